"""The belief after each row as a picture: the digit, and beside each of its rows what the model believes after it.

Digit and chart share their vertical axis, so that a bend of a curve stands beside the ink that caused it.
"""

import io
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edge import drawing
from edge.bundle.input import ROWS
from edge.drawing import FAINT, INK, QUIET, SERIES, SMALL, TEXT, TITLE, UNREAD, Pen
from edge.text.table import percent

CELL: Final = 16  # points: side of an enlarged pixel
TILE: Final = ROWS * CELL
LEFT, TOP = 48, 104
STRIP_LEFT: Final = LEFT + TILE + 16
STRIP_WIDTH: Final = 30
CHART_LEFT: Final = STRIP_LEFT + STRIP_WIDTH + 32
CHART_WIDTH: Final = 340
BARS_LEFT: Final = CHART_LEFT + CHART_WIDTH + 44
BAR_LEFT: Final = BARS_LEFT + 34
BAR_WIDTH: Final = 120
WIDTH: Final = BAR_LEFT + BAR_WIDTH + 84
HEIGHT: Final = TOP + TILE + 44
BOTTOM: Final = TOP + TILE

PIXELS: Final = 2
GIF_PIXELS: Final = 1

MOST_CURVES: Final = len(SERIES)
NAMED: Final = 0.3  # a curve that comes this far has its label beside its peak
PLATEAU: Final = 0.99  # of its peak: so far a curve stays level
NOTICED: Final = 0.05  # one that stays below is thin

ROW_MS: Final = 140
LAST_MS: Final = 3000
SHADES: Final = 10  # of each colour in a GIF, which holds 256 in all
GREYS: Final = 32  # of the digit


@dataclass(frozen=True, slots=True, eq=False)
class BeliefChart:
    """What is drawn.

    Attributes:
        name: of the picture.
        model: name of the bundle.
        labels: of the columns.
        image: uint8 (28, 28), ink 255 on background 0.
        beliefs: float32 (28, classes), the probabilities after each row.
        answer: column of the model's answer.
        settled: the row, from 1, from which on the answer leads; None where another one leads at the end.
    """

    name: str
    model: str
    labels: tuple[str, ...]
    image: NDArray[np.uint8]
    beliefs: NDArray[np.float32]
    answer: int
    settled: int | None


def png(chart: BeliefChart) -> bytes:
    """The finished picture as a PNG file."""
    return drawing.png(frame(chart, ROWS, pixels=PIXELS))


def gif(chart: BeliefChart) -> bytes:
    """The rows revealed one by one, as a GIF file that starts again after a while."""
    frames = [frame(chart, count, pixels=GIF_PIXELS) for count in range(1, ROWS + 1)]
    palette = _palette()
    reduced = [one.quantize(palette=palette, dither=Image.Dither.NONE) for one in frames]
    file = io.BytesIO()
    reduced[0].save(
        file,
        "GIF",
        save_all=True,
        append_images=reduced[1:],
        duration=[ROW_MS] * (ROWS - 1) + [LAST_MS],
        loop=0,
        optimize=True,
    )
    return file.getvalue()


def _palette() -> Image.Image:
    """The colours of every frame, and what lies between them and the ground where an edge is smooth.

    One palette for all, and not taken from a frame: colours would flicker, or be missing where they come late.
    """
    ground, steps = drawing.rgb(drawing.GROUND), np.linspace(0, 1, SHADES)[:, None]
    tones = [drawing.mixed(ground, drawing.rgb(colour), steps) for colour in (*SERIES, QUIET)]
    greys = drawing.mixed(ground, drawing.rgb(INK), np.linspace(0, 1, GREYS)[:, None])
    picture = Image.new("P", (1, 1))
    flat = [drawing.rgb(colour)[None].astype(np.uint8) for colour in (FAINT, UNREAD)]
    picture.putpalette(np.concatenate([*tones, greys, *flat]).tobytes())
    return picture


def frame(chart: BeliefChart, count: int, *, pixels: int) -> Image.Image:
    """The picture when so many rows are read.

    Args:
        chart: what is drawn.
        count: rows that are read, 1 to 28.
        pixels: of the picture for each point.
    """
    pen = Pen(WIDTH, HEIGHT, pixels=pixels)
    _title(pen, chart, count)
    _digit(pen, chart, count)
    curves = shown(chart.beliefs, chart.answer)
    colours = dict(zip(curves, SERIES, strict=False))
    _leaders(pen, chart, count, colours)
    _grid(pen)
    for column in sorted(curves, key=lambda one: chart.beliefs[:, one].max()):
        _curve(pen, chart, count, column, colours[column])
    for column in curves:
        _peak(pen, chart, count, column, colours[column])
    _bars(pen, chart, count, colours)
    if count == ROWS and chart.settled is not None:
        _settled(pen, chart.settled)
    return pen.finished()


def shown(beliefs: NDArray[np.float32], answer: int) -> list[int]:
    """The columns that get a curve, in their order: those that come furthest, the answer among them."""
    furthest = np.argsort(-beliefs.max(axis=0), kind="stable").tolist()
    first = [answer, *(column for column in furthest if column != answer)]
    return sorted(first[:MOST_CURVES])


def _title(pen: Pen, chart: BeliefChart, count: int) -> None:
    belief = chart.beliefs[count - 1]
    leader = int(belief.argmax())
    label = drawing.fitting(chart.labels[leader], 160, TITLE)
    words = f"{chart.model} believes after row {count}:  {label},  {percent(float(belief[leader]))}"
    pen.text(LEFT, 34, words, size=TITLE)
    note = f"{drawing.fitting(chart.name, 360, TEXT)}, read from the top, row by row"
    if count == ROWS and chart.settled is not None:
        note += f": after row {chart.settled} the answer no longer changes"
    pen.text(LEFT, 62, note, colour=QUIET)


def _digit(pen: Pen, chart: BeliefChart, count: int) -> None:
    colours = drawing.paper(chart.image)
    colours[count:] = drawing.rgb(UNREAD).astype(np.uint8)
    pen.tile(colours, LEFT, TOP, CELL)
    for row in range(1, ROWS):
        pen.box(LEFT, TOP + row * CELL - 0.25, LEFT + TILE, TOP + row * CELL + 0.25, FAINT)
    for row in (1, *range(4, ROWS + 1, 4)):
        pen.text(LEFT - 10, TOP + (row - 0.5) * CELL, str(row), size=SMALL, colour=QUIET, anchor="rm")
    pen.text(LEFT, TOP - 14, "row", size=SMALL, colour=QUIET, anchor="rm")
    if count < ROWS:
        edge = TOP + count * CELL
        pen.box(LEFT, edge - 1, LEFT + TILE, edge + 1, INK)


def _leaders(pen: Pen, chart: BeliefChart, count: int, colours: dict[int, str]) -> None:
    """The leading label of each row, on its colour."""
    middle = STRIP_LEFT + STRIP_WIDTH / 2
    pen.text(middle, TOP - 14, "leads", size=SMALL, colour=QUIET, anchor="mm")
    for row in range(count):
        column = int(chart.beliefs[row].argmax())
        top = TOP + row * CELL
        pen.box(STRIP_LEFT, top + 0.5, STRIP_LEFT + STRIP_WIDTH, top + CELL - 0.5, colours.get(column, QUIET))
        label = drawing.fitting(chart.labels[column], STRIP_WIDTH - 4, SMALL)
        pen.text(middle, top + CELL / 2, label, size=SMALL, colour=drawing.GROUND, anchor="mm")


def _grid(pen: Pen) -> None:
    for quarter in range(5):
        x = CHART_LEFT + CHART_WIDTH * quarter / 4
        pen.box(x - 0.5, TOP, x + 0.5, BOTTOM, FAINT)
        pen.text(x, TOP - 14, f"{25 * quarter} %", size=SMALL, colour=QUIET, anchor="mm")
    words = "belief after each row, beside the row"
    pen.text(CHART_LEFT + CHART_WIDTH / 2, BOTTOM + 20, words, size=SMALL, colour=QUIET, anchor="mm")


def _point(belief: float, row: int) -> drawing.Point:
    """Where a belief after a row, counted from 0, stands in the chart."""
    return CHART_LEFT + CHART_WIDTH * belief, TOP + (row + 0.5) * CELL


def _curve(pen: Pen, chart: BeliefChart, count: int, column: int, colour: str) -> None:
    values = chart.beliefs[:count, column].tolist()
    width = 1.0 if max(values) < NOTICED else 2.0
    if column == chart.answer:
        width = 3.5
    points = [_point(value, row) for row, value in enumerate(values)]
    pen.line(points if len(points) > 1 else points * 2, colour, width)
    if values[-1] >= NOTICED:
        pen.dot(*points[-1], 4.5, colour)


def _peak(pen: Pen, chart: BeliefChart, count: int, column: int, colour: str) -> None:
    """The label of a curve that comes far, beside its peak, or left of it where it comes too far."""
    values = chart.beliefs[:count, column]
    row = int(values.argmax())
    if values[row] < NAMED:
        return
    inside = values[row] > 1 - NAMED / 2
    if inside:  # in the middle of the plateau: other curves cross at its ends
        below = np.flatnonzero(values < PLATEAU * values[row])
        first = int(below[below < row].max(initial=-1)) + 1
        last = int(below[below > row].min(initial=count)) - 1
        row = (first + last) // 2
    x, y = _point(float(values[row]), row)
    label = drawing.fitting(chart.labels[column], 80, TEXT)
    pen.text(x + (-10 if inside else 10), y, label, colour=colour, anchor="rm" if inside else "lm", halo=True)


def _bars(pen: Pen, chart: BeliefChart, count: int, colours: dict[int, str]) -> None:
    """The legend, which is also the belief after the last row that is read."""
    pen.text(BARS_LEFT, TOP - 14, f"after row {count}", size=SMALL, colour=QUIET)
    step = TILE / MOST_CURVES
    for place, (column, colour) in enumerate(colours.items()):
        belief = float(chart.beliefs[count - 1, column])
        y = TOP + (place + 0.5) * step
        label = drawing.fitting(chart.labels[column], BAR_LEFT - BARS_LEFT - 6, TEXT)
        pen.text(BAR_LEFT - 12, y, label, size=TEXT, colour=colour, anchor="rm")
        pen.box(BAR_LEFT, y - 9, BAR_LEFT + BAR_WIDTH, y + 9, UNREAD)
        pen.box(BAR_LEFT, y - 9, BAR_LEFT + max(1.5, BAR_WIDTH * belief), y + 9, colour)
        words = percent(belief)
        pen.text(BAR_LEFT + BAR_WIDTH + 10, y, words, size=SMALL, colour=INK if belief >= NOTICED else QUIET)


def _settled(pen: Pen, row: int) -> None:
    """A line below the row after which nothing changes, and the row's number."""
    pen.dashes(LEFT, CHART_LEFT + CHART_WIDTH, TOP + row * CELL, INK)
    y = TOP + (row - 0.5) * CELL
    pen.box(LEFT - 40, y - 8, LEFT - 4, y + 8, drawing.GROUND)
    pen.text(LEFT - 10, y, str(row), size=SMALL, colour=INK, anchor="rm")
