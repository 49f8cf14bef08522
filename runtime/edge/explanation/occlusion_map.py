"""The occlusion map as a picture: the digit, the places that the answer hangs on, and the patch that costs most."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge import drawing
from edge.bundle.input import ROWS
from edge.drawing import BLUE, INK, PALE_INK, QUIET, RED, SMALL, TEXT, TITLE, Pen
from edge.explanation.occlusion import Occlusion
from edge.text.table import percent

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
