"""What a recurrent model believes after each row: its probabilities when it has read the first t rows and no more.

That is the network itself on a sequence of t rows, not a look inside the one that reads all 28: a bidirectional network
begins its way back at row t, and a stack of layers knows nothing of what is still to come.

It is told as text, a line a row, or drawn: the digit, and beside each of its rows what the model believes after it, as
a picture or row by row as an animation. Digit and chart share their vertical axis, so that a bend of a curve stands
beside the ink that caused it.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from edge import drawing
from edge.bundle import ort_format
from edge.bundle.input import COLUMNS, ROWS
from edge.bundle.manifest import Manifest
from edge.classifier.classifier import Classifier
from edge.classifier.prediction import as_batch, softmax
from edge.drawing import FAINT, INK, QUIET, SERIES, SMALL, TEXT, TITLE, UNREAD, Pen
from edge.errors import BundleError, InputError
from edge.session import session
from edge.text.table import percent

OUTPUT: Final = "row_logits"

BAR: Final = 16  # columns of a full belief
_LABEL: Final = 8  # columns of a label at most

# From no ink to full ink; two signs a pixel, because a terminal's cells are twice as high as wide.
_SHADES: Final = " ░▒▓█"
_ASCII_SHADES: Final = " .:+#"


def is_recurrent(manifest: Manifest) -> bool:
    """Whether the model is one of edge's that read a picture row by row."""
    return manifest.architecture.get("kind") == "recurrent"


def rows(classifier: Classifier, image: ArrayLike) -> NDArray[np.float32]:
    """The probabilities of the labels after each row.

    They are computed on the CPU, in floating point, whatever the classifier runs on: an int8 bundle's integer weights
    count, but not the rounding of its state, so that the last row differs a little from its `probabilities`.

    Args:
        classifier: of a recurrent model.
        image: uint8 (28, 28) or (1, 28, 28), ink 255 on background 0.

    Returns:
        float32 (28, classes), calibrated as the bundle's `probabilities`; row t is after the first t + 1 rows of the
        image. The columns follow `classifier.labels`.

    Raises:
        BundleError: the bundle does not carry what its rows are computed with.
        InputError: not exactly one image, or another shape or type.
        ProviderError: onnxruntime failed.
    """
    batch = as_batch(image)
    if len(batch) != 1:
        raise InputError(f"{len(batch)} images cannot be explained at once; give one, uint8 (28, 28)")
    manifest = classifier.manifest
    if (data := classifier.bundle.data_with_rows) is None:
        raise BundleError(_missing(manifest, in_ort_format=ort_format.is_ort(classifier.bundle.data)))
    running = session.create(data, provider="cpu", threads=1, manifest=manifest)
    (logits,) = running.fetch((OUTPUT,), batch)
    return softmax(logits.astype(np.float64) / manifest.temperature).astype(np.float32)


def settled_row(beliefs: NDArray[np.float32], answer: int) -> int | None:
    """The row, counted from 1, from which on the answer leads without interruption.

    Args:
        beliefs: float32 (rows, classes), as `rows` gives them.
        answer: column of the answer.

    Returns:
        None where another label leads after the last row: int8 arithmetic can decide a close call the other way.
    """
    elsewhere = np.flatnonzero(beliefs.argmax(axis=1) != answer)
    last = int(elsewhere[-1]) + 1 if len(elsewhere) else 0
    return None if last == len(beliefs) else last + 1


def lines(
    image: NDArray[np.uint8],
    beliefs: NDArray[np.float32],
    labels: Sequence[str],
    settled: int | None,
    *,
    unicode: bool = True,
) -> list[str]:
    """A line for each row: its number, its pixels, the leading label, its belief as a number and as a bar.

    Args:
        image: uint8 (28, 28), ink 255 on background 0.
        beliefs: float32 (28, classes), the probabilities after each row.
        labels: of the columns.
        settled: the row, from 1, from which on the answer leads; None where another one leads at the end.
        unicode: whether the terminal can show blocks; signs of ASCII otherwise.
    """
    left, right = _inked(image)
    shades, full = (_SHADES, "█") if unicode else (_ASCII_SHADES, "#")
    leaders = beliefs.argmax(axis=1)
    names = [label[:_LABEL] for label in labels]
    width = max(5, *(len(names[column]) for column in leaders.tolist()))
    lines = [f"row  {'':{2 * (right - left)}}  {'leads':{width}}  belief"]
    for row, (column, pixels) in enumerate(zip(leaders.tolist(), image[:, left:right].tolist(), strict=True), 1):
        ink = "".join(2 * shades[(level * len(shades) - 1) // 255 if level else 0] for level in pixels)
        belief = float(beliefs[row - 1, column])
        mark = "  <- settled" if row == settled else ""
        bar = full * round(BAR * belief)
        lines.append(f"{row:3}  {ink}  {names[column]:{width}}  {percent(belief):>8}  {bar:{BAR}}{mark}".rstrip())
    return lines


def settlement(settled: int | None, label: str, leader: str) -> str:
    """The row after which the answer no longer changes, in a sentence.

    Args:
        settled: the row, from 1; None where another label leads at the end.
        label: the model's answer.
        leader: the label that leads after the last row.
    """
    if settled is None:
        return f"a close call: in floating point {leader} leads after the last row, in the bundle's integers {label}"
    if settled == 1:
        return f"{label} leads from the first row on"
    return f"after row {settled} the answer no longer changes: {label}"


def _missing(manifest: Manifest, *, in_ort_format: bool) -> str:
    if not is_recurrent(manifest):
        return f"{manifest.name} does not read row by row; `edge explain` draws its occlusion map instead"
    if in_ort_format:
        return f"{manifest.name} in ORT format cannot be read row by row; explain the bundle that it was made from"
    option = "" if manifest.precision == "fp32" else f" --precision {manifest.precision}"
    return (
        f"{manifest.name} was packed without its rows, by an older edge; export it again with "
        f"`edge export --model {manifest.model}{option}`"
    )


def _inked(image: NDArray[np.uint8]) -> tuple[int, int]:
    """The first column with ink and the one behind the last, with one to spare on each side."""
    columns = np.flatnonzero(image.any(axis=0))
    if not len(columns):
        return 0, COLUMNS
    return max(0, int(columns[0]) - 1), min(COLUMNS, int(columns[-1]) + 2)


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
