"""A recurrent network unrolled over the 28 rows of a picture: a cell for each row, a track for each direction."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from edge import charts
from edge_train.models.specification import COLUMNS, ROWS, Recurrent

LAYERS_SHOWN = 4  # of more, the first ones and the last one
WIDTH_INCHES = 9.5
LEFT = 6.6  # room for the names, in columns
CELL = 0.62  # side of a cell; the columns are 1 apart
HEAD = ROWS + 1.2  # where the cells end and the head begins
NAMES = {"lstm": "LSTM", "gru": "GRU", "rnn-tanh": "tanh RNN", "rnn-relu": "ReLU RNN"}


def picture(sizes: Recurrent, labels: list[str]) -> Figure:
    """The rows enter from below, the states of the last layer leave to the linear layer on the right."""
    layers = list(range(sizes.layers))
    if len(layers) > LAYERS_SHOWN:
        layers = [*layers[: LAYERS_SHOWN - 1], layers[-1]]
    directions = ("→", "←") if sizes.bidirectional else ("→",)
    tracks = [(layer, direction) for layer in layers for direction in directions]
    left, right, low, high = -LEFT, HEAD + 9.4, -2.2, 1.25 * len(tracks) + 0.8
    drawn = charts.figure(WIDTH_INCHES, WIDTH_INCHES * (high - low) / (right - left))
    axes = drawn.subplots()
    axes.set_xlim(left, right)
    axes.set_ylim(low, high)
    axes.set_aspect("equal")
    axes.set_axis_off()
    _rows(axes)
    for place, (layer, direction) in enumerate(tracks):
        height = 1.25 * place + 0.8
        _track(axes, height, backward=direction == "←")
        if place and direction == directions[0]:  # a layer reads all directions of the one below
            for row in range(ROWS):
                axes.add_patch(_arrow((row, height - 1.25 + CELL / 2), (row, height - CELL / 2), charts.GREY))
        name = (
            f"{NAMES[sizes.cell]} {sizes.hidden} {direction}"
            if sizes.bidirectional
            else f"{NAMES[sizes.cell]} {sizes.hidden}"
        )
        number = f"layer {layer + 1}: " if sizes.layers > 1 else ""
        axes.text(-0.6, height, f"{number}{name}", ha="right", va="center", fontsize=7.5)
    if len(layers) < sizes.layers:
        axes.text(ROWS / 2, 1.25 * (len(tracks) - len(directions)) + 0.17, "⋮", ha="center", va="center")
    _head(axes, sizes, len(tracks), len(labels))
    return drawn


def _rows(axes: Axes) -> None:
    for row in range(ROWS):
        shown = 0.15 + 0.55 * row / (ROWS - 1)
        axes.add_patch(_box((row, -1.1), (CELL, 0.42), charts.ORANGE, shown))
        axes.add_patch(_arrow((row, -0.85), (row, 0.42), charts.GREY))
    axes.text(-0.6, -1.1, f"{ROWS} rows of {COLUMNS} pixels", ha="right", va="center", fontsize=7.5)
    for row in (0, 9, 18, ROWS - 1):
        axes.text(row, -1.55, f"row {row + 1}", ha="center", va="top", fontsize=7)


def _track(axes: Axes, height: float, *, backward: bool) -> None:
    for row in range(ROWS):
        axes.add_patch(_box((row, height), (CELL, CELL), charts.BLUE, 0.55))
        if row:
            left, right = (row - 1 + CELL / 2, height), (row - CELL / 2, height)
            start, end = (right, left) if backward else (left, right)
            axes.add_patch(_arrow(start, end, charts.INK))


def _head(axes: Axes, sizes: Recurrent, tracks: int, classes: int) -> None:
    directions = 2 if sizes.bidirectional else 1
    top = 1.25 * (tracks - 1) + 0.8
    middle = top - 0.625 * (directions - 1)
    last = ROWS - 1 + CELL / 2
    for direction in range(directions):
        height = top - 1.25 * (directions - 1 - direction)
        if direction == 0:
            axes.add_patch(_arrow((last, height), (HEAD, middle), charts.INK))
        else:  # the backward track ends at the first row: its state is led along above all cells
            rail = top + 0.62
            axes.plot([0, 0, ROWS], [height + CELL / 2, rail, rail], color=charts.INK, linewidth=0.9)
            axes.add_patch(_arrow((ROWS, rail), (HEAD, middle), charts.INK))
    axes.add_patch(_box((HEAD + 1.1, middle), (2.0, 1.5), charts.BLUE, 0.3))
    axes.text(HEAD + 1.1, middle, f"state\n{directions * sizes.hidden}", ha="center", va="center", fontsize=7)
    axes.add_patch(_arrow((HEAD + 2.2, middle), (HEAD + 3.1, middle), charts.INK))
    axes.add_patch(_box((HEAD + 4.4, middle), (2.4, 1.5), charts.ORANGE, 0.4))
    axes.text(HEAD + 4.4, middle, "linear", ha="center", va="center", fontsize=7)
    axes.add_patch(_arrow((HEAD + 5.7, middle), (HEAD + 6.5, middle), charts.INK))
    axes.text(HEAD + 6.7, middle, f"{classes} logits", ha="left", va="center", fontsize=7.5)


def _box(middle: tuple[float, float], size: tuple[float, float], colour: str, strength: float) -> FancyBboxPatch:
    (x, y), (width, height) = middle, size
    corner = (x - width / 2, y - height / 2)
    style = "round,pad=0,rounding_size=0.1"
    return FancyBboxPatch(corner, width, height, boxstyle=style, color=colour, alpha=strength, linewidth=0)


def _arrow(start: tuple[float, float], end: tuple[float, float], colour: str) -> FancyArrowPatch:
    return FancyArrowPatch(
        start, end, arrowstyle="-|>", mutation_scale=4, color=colour, linewidth=0.8, shrinkA=0, shrinkB=0
    )
