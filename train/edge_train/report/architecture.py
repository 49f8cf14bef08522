"""The network as a picture: a recurrent one unrolled over the rows, a convolutional one as the shapes on the way."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PatchCollection
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, Polygon

from edge import charts
from edge.bundle.input import COLUMNS, ROWS
from edge_train.models.specification import Recurrent, Specification

Point = tuple[float, float]

WIDTH_INCHES = 9.5
LETTERS = 7.5

# Unrolled, in columns: the cells of a track are 1 apart.
LAYERS_SHOWN = 4  # of more, the first ones and the last one
LEFT = 6.6  # room for the names
CELL = 0.62  # side of a cell
TRACK = 1.25  # from one track to the next
HEAD = ROWS + 1.2  # where the cells end and the head begins
CELL_NAMES = {"lstm": "LSTM", "gru": "GRU", "rnn-tanh": "tanh RNN", "rnn-relu": "ReLU RNN"}
ROWS_NAMED = (0, 9, 18, ROWS - 1)

# These change no shape: they are named below the layer that they follow, and get no slab of their own.
ATTACHED = {"ReLU": "ReLU", "BatchNorm2d": "BN", "Dropout": "dropout"}
RESHAPING = {"MaxPool2d": "max", "AvgPool2d": "mean", "Flatten": "flatten"}
SLANT = 0.35  # of the oblique edges of a slab, as a share of its side
SPACE = 1.15  # between two slabs


@dataclass(slots=True)
class _Slab:
    """A shape on the way, and the words for what led to it; `weights`: a convolution or a linear layer did."""

    shape: tuple[int, ...]
    words: list[str]
    weights: bool


def picture(sizes: Specification, layers: list[dict[str, Any]], labels: list[str]) -> Figure:
    """The network from the picture to the logits.

    Args:
        sizes: what it is.
        layers: of the metrics, in order.
        labels: of the classes.
    """
    return _unrolled(sizes, labels) if isinstance(sizes, Recurrent) else _chain(layers)


def _unrolled(sizes: Recurrent, labels: list[str]) -> Figure:
    """A cell for each row, a track for each direction; rows enter from below, the last states leave to the right."""
    layers = list(range(sizes.layers))
    if len(layers) > LAYERS_SHOWN:
        layers = [*layers[: LAYERS_SHOWN - 1], layers[-1]]
    directions = ("→", "←") if sizes.bidirectional else ("→",)
    tracks = [(layer, direction) for layer in layers for direction in directions]
    left, right, low, high = -LEFT, HEAD + 9.4, -2.2, TRACK * len(tracks) + 0.8
    axes = charts.bare_axes(WIDTH_INCHES, WIDTH_INCHES * (high - low) / (right - left))
    axes.set_xlim(left, right)
    axes.set_ylim(low, high)
    heights = [TRACK * place + 0.8 for place in range(len(tracks))]
    _rows(axes)
    _boxes(axes, [(row, height) for height in heights for row in range(ROWS)], (CELL, CELL), charts.BLUE, [0.55])
    forward, backward, upward = [], [], []
    for height, (_, direction) in zip(heights, tracks, strict=True):
        between = [((row - 1 + CELL / 2, height), (row - CELL / 2, height)) for row in range(1, ROWS)]
        if direction == "→":
            forward += between
        else:
            backward += [(end, start) for start, end in between]
        if height > heights[0] and direction == directions[0]:  # a layer reads all directions of the one below
            upward += [((row, height - TRACK + CELL / 2), (row, height - CELL / 2)) for row in range(ROWS)]
    _arrows(axes, forward, charts.INK, ">")
    _arrows(axes, backward, charts.INK, "<")
    _arrows(axes, upward, charts.GREY, "^")
    for height, (layer, direction) in zip(heights, tracks, strict=True):
        name = f"{CELL_NAMES[sizes.cell]} {sizes.hidden}" + f" {direction}" * sizes.bidirectional
        number = f"layer {layer + 1}: " if sizes.layers > 1 else ""
        axes.text(-0.6, height, f"{number}{name}", ha="right", va="center", fontsize=LETTERS)
    if len(layers) < sizes.layers:
        axes.text(ROWS / 2, TRACK * (len(tracks) - len(directions)) + 0.17, "⋮", ha="center", va="center")
    _head(axes, sizes, heights[-1], len(labels))
    return _figure(axes)


def _rows(axes: Axes) -> None:
    strengths = [0.15 + 0.55 * row / (ROWS - 1) for row in range(ROWS)]
    _boxes(axes, [(row, -1.1) for row in range(ROWS)], (CELL, 0.42), charts.ORANGE, strengths)
    _arrows(axes, [((row, -0.85), (row, 0.8 - CELL / 2)) for row in range(ROWS)], charts.GREY, "^")
    axes.text(-0.6, -1.1, f"{ROWS} rows of {COLUMNS} pixels", ha="right", va="center", fontsize=LETTERS)
    for row in ROWS_NAMED:
        axes.text(row, -1.55, f"row {row + 1}", ha="center", va="top", fontsize=7)


def _head(axes: Axes, sizes: Recurrent, top: float, classes: int) -> None:
    directions = 2 if sizes.bidirectional else 1
    middle = top - TRACK / 2 * (directions - 1)
    last = ROWS - 1 + CELL / 2
    arrows = [((last, middle if directions == 1 else top - TRACK), (HEAD, middle))]
    if sizes.bidirectional:  # the backward track ends at the first row: its state is led along above all cells
        rail = top + 0.62
        axes.plot([0, 0, ROWS], [top + CELL / 2, rail, rail], color=charts.INK, linewidth=0.9)
        arrows.append(((ROWS, rail), (HEAD, middle)))
    arrows += [((HEAD + 2.2, middle), (HEAD + 3.1, middle)), ((HEAD + 5.7, middle), (HEAD + 6.5, middle))]
    _arrows(axes, arrows, charts.INK, ">")
    _boxes(axes, [(HEAD + 1.1, middle)], (2.0, 1.5), charts.BLUE, [0.3])
    _boxes(axes, [(HEAD + 4.4, middle)], (2.4, 1.5), charts.ORANGE, [0.4])
    axes.text(HEAD + 1.1, middle, f"state\n{directions * sizes.hidden}", ha="center", va="center", fontsize=7)
    axes.text(HEAD + 4.4, middle, "linear", ha="center", va="center", fontsize=7)
    axes.text(HEAD + 6.7, middle, f"{classes} logits", ha="left", va="center", fontsize=LETTERS)


def _chain(layers: list[dict[str, Any]]) -> Figure:
    """A slab for each shape from the picture to the logits, and the layers between them in words."""
    slabs = _slabs(layers)
    right = SPACE * len(slabs) + 0.9
    axes = charts.bare_axes(max(7.0, 0.3 + 0.8 * len(slabs)), 2.9)
    x = end = 0.0
    arrows: list[tuple[Point, Point]] = []
    for place, slab in enumerate(slabs):
        left, right = _draw_slab(axes, slab, x)
        if place:
            arrows.append(((end, 0), (left - 0.08, 0)))
        _describe(axes, slab, (left + right) / 2, "input" if place == 0 else None)
        end, x = right + 0.08, right + SPACE
    _arrows(axes, arrows, charts.INK, ">")
    axes.set_xlim(-0.6, x - SPACE + 0.9)
    axes.set_ylim(-2.3, 2.9)
    return _figure(axes)


def _slabs(layers: list[dict[str, Any]]) -> list[_Slab]:
    """The shapes on the way, layers that change none attached to the one before them."""
    slabs = [_Slab((1, ROWS, COLUMNS), [], weights=False)]
    for layer in layers:
        kind, _, sizes = layer["kind"].partition(" ")
        if kind in ATTACHED:
            slabs[-1].words.append(f"{ATTACHED[kind]} {sizes}" if kind == "Dropout" else ATTACHED[kind])
        elif kind == "Conv2d":
            slabs.append(_Slab(tuple(layer["output"]), [f"conv {sizes.rpartition(' ')[2]}"], weights=True))
        elif kind == "Linear":
            slabs.append(_Slab(tuple(layer["output"]), ["linear"], weights=True))
        else:
            slabs.append(_Slab(tuple(layer["output"]), [f"{RESHAPING[kind]} {sizes}".strip()], weights=False))
    return slabs


def _draw_slab(axes: Axes, slab: _Slab, left: float) -> tuple[float, float]:
    """Height is the side of the picture, width goes with the logarithm of the channels; returns its outer edges."""
    channels, *sides = slab.shape
    colour = charts.ORANGE if slab.weights else charts.GREY
    if not sides:  # a vector: a bar as high as its length is large
        side, width, slant = 0.26 * math.log2(channels + 1), 0.16, 0.0
    else:
        side = 2.6 * (sides[0] / ROWS) ** 0.6
        width, slant = 0.08 + 0.1 * math.log2(channels + 1), SLANT * side * 0.5
    low, high = -side / 2, side / 2
    inner, outer = left + width, left + width + slant
    front = [(left, low), (inner, low), (inner, high), (left, high)]
    roof = [(left, high), (inner, high), (outer, high + slant), (left + slant, high + slant)]
    flank = [(inner, low), (outer, low + slant), (outer, high + slant), (inner, high)]
    for corners, strength in ((front, 0.55), (roof, 0.35), (flank, 0.75)):
        axes.add_patch(Polygon(corners, facecolor=colour, alpha=strength, edgecolor="none"))
    return left, outer


def _describe(axes: Axes, slab: _Slab, middle: float, default: str | None) -> None:
    shape = "×".join(map(str, slab.shape))
    axes.text(middle, -1.5, shape, ha="center", va="top", fontsize=7, color=charts.INK, weight="bold")
    words = "\n".join(([default] if default else []) + slab.words)
    axes.text(middle, 2.0, words, ha="center", va="bottom", fontsize=7, linespacing=1.25)


def _boxes(axes: Axes, middles: Sequence[Point], size: Point, colour: str, strengths: Sequence[float]) -> None:
    """Boxes of one size and colour, as one artist; one strength for all of them, or one for each."""
    width, height = size
    style = "round,pad=0,rounding_size=0.1"
    boxes = [FancyBboxPatch((x - width / 2, y - height / 2), width, height, boxstyle=style) for x, y in middles]
    colours = [to_rgba(colour, strength) for strength in strengths]
    axes.add_collection(PatchCollection(boxes, facecolors=colours, linewidths=0), autolim=False)


def _arrows(axes: Axes, arrows: Sequence[tuple[Point, Point]], colour: str, head: str) -> None:
    """Thin arrows whose heads all point the same way, as two artists."""
    if arrows:
        axes.add_collection(LineCollection(list(arrows), colors=colour, linewidths=0.8), autolim=False)
        ends = [end for _, end in arrows]
        axes.plot(*zip(*ends, strict=True), linestyle="none", marker=head, markersize=2, color=colour)


def _figure(axes: Axes) -> Figure:
    drawn = axes.get_figure(root=True)
    assert drawn is not None
    return drawn
