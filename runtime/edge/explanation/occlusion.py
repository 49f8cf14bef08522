"""The places that an answer hangs on: how its probability falls while a patch of background hides a part of the digit.

Works for any model, because it only asks for answers. The answers are a sentence, or a picture: the digit, the places
that its label hangs on, and the patch that costs most.

Source: Zeiler and Fergus, 2014, Visualizing and Understanding Convolutional Networks, section 4.2.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edge import drawing
from edge.bundle.input import COLUMNS, ROWS
from edge.classifier.classifier import Classifier
from edge.classifier.prediction import as_batch
from edge.drawing import BLUE, INK, PALE_INK, QUIET, RED, SMALL, TEXT, TITLE, Pen
from edge.errors import InputError
from edge.text.table import percent

# Of 28: a stroke and a half, which parts what it lies on. A narrower patch leaves ink at its side that a network sees
# through, a wider one costs nearly every answer everything wherever it lies: the map has no places any more.
PATCH: Final = 5

# An answer that loses less than this to every patch hangs on none of them.
HANGS: Final = 0.05


@dataclass(frozen=True, slots=True, eq=False)
class Occlusion:
    """What a model answers while a patch is hidden, for every place of the patch.

    Attributes:
        answer: column of the label of the whole image.
        confidence: its probability, 0 to 1.
        patch: side of the patch in pixels.
        hidden: float32 (28, 28, classes), the probabilities with the patch around that pixel; a patch at the border is
            cut off there.
    """

    answer: int
    confidence: float
    patch: int
    hidden: NDArray[np.float32]

    @property
    def drop(self) -> NDArray[np.float32]:
        """float32 (28, 28): how far the answer's probability falls; negative where hiding makes it surer."""
        return np.float32(self.confidence) - self.hidden[:, :, self.answer]

    @property
    def most(self) -> tuple[int, int]:
        """Row and column, from 0, of the middle of the patch that costs most."""
        row, column = divmod(int(self.drop.argmax()), COLUMNS)
        return row, column


def measure(classifier: Classifier, image: ArrayLike, *, patch: int = PATCH) -> Occlusion:
    """Asks for the answer with each patch of the image hidden.

    Args:
        classifier: of any model.
        image: uint8 (28, 28) or (1, 28, 28), ink 255 on background 0.
        patch: side of the patch in pixels, odd, so that it has a middle; 1 to 27.

    Raises:
        InputError: not exactly one image, another shape or type, or another patch.
        ProviderError: onnxruntime failed.
    """
    batch = as_batch(image)
    if len(batch) != 1:
        raise InputError(f"{len(batch)} images cannot be explained at once; give one, uint8 (28, 28)")
    if patch % 2 == 0 or not 1 <= patch < ROWS:
        raise InputError(f"a patch of {patch} pixels has no middle inside the image; give an odd number from 1 to 27")
    whole = classifier.classify(batch)[0]
    covered = _covered(batch[0], patch)
    # Most places hide nothing but background: their answer is known.
    changed = np.flatnonzero((covered != batch[0]).any(axis=(1, 2)))
    hidden = np.repeat(whole[None], ROWS * COLUMNS, axis=0)
    hidden[changed] = classifier.classify(covered[changed])
    answer = int(whole.argmax())
    return Occlusion(answer, float(whole[answer]), patch, hidden.reshape(ROWS, COLUMNS, -1))


def sentence(found: Occlusion, labels: Sequence[str]) -> str:
    """Where the answer hangs most, in a sentence; rows and columns count from 1."""
    row, column = found.most
    label, patch = labels[found.answer], f"{found.patch}x{found.patch} pixels"
    if found.drop[row, column] < HANGS:
        worst = 100 * float(found.drop[row, column])
        return f"{label} hangs on no single place: no hidden patch of {patch} costs it more than {worst:.1f} points"
    hidden = found.hidden[row, column]
    leader = int(hidden.argmax())
    where = f"row {row + 1}, column {column + 1}"
    fall = f"{percent(found.confidence)} to {percent(float(hidden[found.answer]))}"
    rest = f", and {labels[leader]} leads with {percent(float(hidden[leader]))}" if leader != found.answer else ""
    return f"{label} hangs most on {where}: with {patch} hidden there it falls from {fall}{rest}"


def _covered(image: NDArray[np.uint8], patch: int) -> NDArray[np.uint8]:
    """uint8 (784, 28, 28): the image with a patch of background around each of its pixels."""
    place = np.arange(ROWS)
    near = np.abs(place[:, None] - place) <= patch // 2  # (places, pixels) along one axis
    inside = near[:, None, :, None] & near[None, :, None, :]  # (row place, column place, row, column)
    return np.where(inside, np.uint8(0), image).reshape(ROWS * COLUMNS, ROWS, COLUMNS)


CELL: Final = 11  # points: side of an enlarged pixel
TILE: Final = ROWS * CELL
LEFT, TOP, GAP = 32, 104, 36
LEGEND_WIDTH: Final = 16
LEGEND_ROOM: Final = 74  # with its numbers
PIXELS: Final = 2

FALL: Final = RED  # hiding costs belief
RISE: Final = BLUE  # hiding makes the model surer
STRENGTH: Final = 0.8  # of the colour where the map is strongest: the ink shines through

# The map's full colour stands for at least this fall, so that an answer that hangs nowhere has an empty map.
LEAST_SCALE: Final = 0.05

LEFTS: Final = (LEFT, LEFT + TILE + GAP, LEFT + 2 * (TILE + GAP) + LEGEND_ROOM)
WIDTH: Final = LEFTS[2] + TILE + LEFT
HEIGHT: Final = TOP + TILE + 64


@dataclass(frozen=True, slots=True, eq=False)
class OcclusionMap:
    """What is drawn.

    Attributes:
        name: of the picture.
        model: name of the bundle.
        labels: of the columns.
        image: uint8 (28, 28), ink 255 on background 0.
        found: the answers with each patch hidden.
    """

    name: str
    model: str
    labels: tuple[str, ...]
    image: NDArray[np.uint8]
    found: Occlusion


def png(shown: OcclusionMap) -> bytes:
    """The picture as a PNG file."""
    pen = Pen(WIDTH, HEIGHT, pixels=PIXELS)
    found = shown.found
    scale = max(LEAST_SCALE, float(np.abs(found.drop).max()))
    row, column = found.most
    label = drawing.fitting(shown.labels[found.answer], 200, TITLE)
    pen.text(LEFT, 34, f"{shown.model} reads {label}", size=TITLE)
    note = drawing.fitting(shown.name, 420, TEXT)
    pen.text(
        LEFT, 62, f"{note}, with a patch of {found.patch}x{found.patch} pixels hidden at every place", colour=QUIET
    )
    covered = hidden(shown.image, found.patch, row, column)
    tiles = (drawing.paper(shown.image), coloured(shown.image, found.drop, scale), drawing.paper(covered))
    heads = ("the digit", "where hiding costs belief", f"hidden around row {row + 1}, column {column + 1}")
    for left, tile, head in zip(LEFTS, tiles, heads, strict=True):
        pen.text(left, TOP - 16, head, colour=INK)
        pen.tile(tile, left, TOP, CELL)
    for left in LEFTS[1:]:
        _patch(pen, found, left)
    _legend(pen, scale, float(found.drop.min()))
    whole = f"{label}  {percent(found.confidence)}"
    _answer(pen, LEFTS[0], whole, "the answer")
    pen.text(LEFTS[1], TOP + TILE + 22, "a pixel's colour is what hiding", size=SMALL, colour=QUIET)
    pen.text(LEFTS[1], TOP + TILE + 38, "the patch around it costs", size=SMALL, colour=QUIET)
    _answer(pen, LEFTS[2], _first_two(shown, row, column), "the answer without the patch")
    return drawing.png(pen.finished())


def coloured(image: NDArray[np.uint8], drop: NDArray[np.float32], scale: float) -> NDArray[np.uint8]:
    """The pale digit under the map, uint8 (28, 28, 3).

    Args:
        image: uint8 (28, 28), ink 255 on background 0.
        drop: float32 (28, 28), how far the answer's probability falls.
        scale: the fall that gets the full colour.
    """
    base = drawing.paper(image, PALE_INK).astype(np.float64)
    share = np.clip(np.abs(drop) / scale, 0, 1)[..., None].astype(np.float64) * STRENGTH
    colour = np.where(drop[..., None] >= 0, drawing.rgb(FALL), drawing.rgb(RISE))
    return drawing.mixed(base, colour, share)


def hidden(image: NDArray[np.uint8], patch: int, row: int, column: int) -> NDArray[np.uint8]:
    """The image with background around a pixel, as `occlusion` hides it."""
    covered = image.copy()
    half = patch // 2
    covered[max(0, row - half) : row + half + 1, max(0, column - half) : column + half + 1] = 0
    return covered


def _patch(pen: Pen, found: Occlusion, left: float) -> None:
    """The outline of the patch that costs most."""
    row, column = found.most
    half = found.patch // 2
    edges = [max(0, column - half), max(0, row - half), min(ROWS, column + half + 1), min(ROWS, row + half + 1)]
    x1, y1, x2, y2 = (edge * CELL for edge in edges)
    pen.frame(left + x1, TOP + y1, left + x2, TOP + y2, INK, width=1.5)


def _legend(pen: Pen, scale: float, lowest: float) -> None:
    """The colours from the full fall down to nothing, and on to a rise where there is one."""
    left = LEFTS[1] + TILE + 14
    rises = lowest < -LEAST_SCALE / 5
    bottom_value = -scale if rises else 0.0
    values = np.linspace(scale, bottom_value, 256, dtype=np.float32)
    blank = np.zeros((256, 1), np.uint8)
    bar = coloured(blank, values[:, None], scale)
    height = TILE / 256
    for place, colour in enumerate(bar[:, 0].tolist()):
        tone = "#" + bytes(colour).hex()
        pen.box(left, TOP + place * height, left + LEGEND_WIDTH, TOP + (place + 1) * height, tone)
    pen.frame(left, TOP, left + LEGEND_WIDTH, TOP + TILE, drawing.FAINT)
    marks = [(scale, TOP), (0.0, TOP + TILE / 2 if rises else TOP + TILE)]
    if rises:
        marks.append((-scale, TOP + TILE))
    for value, y in marks:
        words = "0" if value == 0 else f"{-100 * value:+.0f}"
        pen.text(left + LEGEND_WIDTH + 8, y, words, size=SMALL, colour=QUIET)
    pen.text(left, TOP + TILE + 20, "points of belief", size=SMALL, colour=QUIET, anchor="lm")


def _answer(pen: Pen, left: float, words: str, caption: str) -> None:
    pen.text(left, TOP + TILE + 22, words, size=TEXT)
    pen.text(left, TOP + TILE + 44, caption, size=SMALL, colour=QUIET)


def _first_two(shown: OcclusionMap, row: int, column: int) -> str:
    """The best answers with that patch hidden."""
    shares = shown.found.hidden[row, column]
    best = np.argsort(-shares, kind="stable")[:2].tolist()
    return "    ".join(f"{drawing.fitting(shown.labels[one], 90, TEXT)}  {percent(float(shares[one]))}" for one in best)
