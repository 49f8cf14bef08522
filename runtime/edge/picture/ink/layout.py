"""Where digits are written: the pieces of a page as lines, each from left to right."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge.picture.ink.pieces import Pieces, survey
from edge.picture.ink.search import Reading
from edge.picture.ink.windows import Bytes, Mask

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

# Relative to the usual height of a digit on the page.
LINK: Final = 1 / 60  # gaps that are bridged at once: the pen skipped
TALL: Final = 0.55  # what is lower is a part, a dash or a speck
TALLEST: Final = 2.2  # what is higher is a frame or a drawing; touching lines are not read
NEAR: Final = 0.12  # a low piece this near belongs to the digit
ABOVE: Final = 0.3  # and if it lies above or below it, this near
LEAST_PART: Final = 0.12  # size of a piece that can be a part of a digit
SAME_LINE: Final = 0.5  # how far the middle of a digit may lie from the line through its neighbours

# Relative to the piece that looks most like a digit: printed lines and shadows are paler, and edges do not carry them.
LEAST_DARKNESS: Final = 0.5
LEAST_SUPPORT: Final = 0.75
FLAT: Final = 0.3  # height over width: a dash, an underline, a bar


@dataclass(frozen=True, slots=True)
class Blot:
    """Connected ink of a line: a digit, a part of one, or several that touch."""

    mask: Mask  # bool (h, w), of its box alone
    top: int  # where the box lies on the page
    left: int

    @property
    def height(self) -> int:
        """Rows of the box."""
        return int(self.mask.shape[0])

    @property
    def width(self) -> int:
        """Columns of the box."""
        return int(self.mask.shape[1])


@dataclass(frozen=True, slots=True)
class Layout:
    """The lines of a page, from top to bottom; the blots of a line, from left to right."""

    lines: list[list[Blot]]
    height: float  # usual height of a digit, pixels of the working size


def lay_out(reading: Reading) -> Layout:
    """Finds the lines of digits.

    Args:
        reading: of the page, at working size.

    Returns:
        No lines where there is no ink.
    """
    if reading.pieces is None or reading.digit is None:
        return Layout([], 0.0)
    usual = _usual_height(reading.pieces, reading.evened.strength, reading.digit.main)
    pieces = survey(reading.ink, reading.grey, reading.evened.paper, max(1, round(LINK * usual)))
    assert pieces is not None
    written = _written(pieces, reading.evened.strength, int(np.argmax(pieces.score)))
    usual = _usual_height(pieces, reading.evened.strength, int(np.argmax(pieces.score)))
    measures = pieces.measures
    upright = written & (measures.height >= FLAT * measures.width)
    tall = np.flatnonzero(upright & (measures.height >= TALL * usual) & (measures.height <= TALLEST * usual))
    if len(tall) == 0:
        return Layout([], usual)
    owner = _owners(pieces, written, tall, usual)
    lines = [
        [_blot(pieces, owner, piece) for piece in line]
        for line in _lines(measures.left[tall], measures.right[tall], measures.top[tall], measures.bottom[tall], usual)
        for line in [tall[line].tolist()]
    ]
    return Layout(lines, usual)


def _written(pieces: Pieces, strength: Bytes, main: int) -> Mask:
    """Pieces that are as dark and as sharp as writing, and no frames."""
    area = np.maximum(pieces.measures.area, 1)
    ink = np.bincount(pieces.labels.ravel(), strength.ravel(), len(area)) / area
    written: Mask = pieces.written(main) & (ink >= LEAST_DARKNESS * ink[main])
    written &= pieces.support >= LEAST_SUPPORT * pieces.support[main]
    return written


def _usual_height(pieces: Pieces, strength: Bytes, main: int) -> float:
    """The height of the digits: of the pieces about as high as the one that looks most like one, the median."""
    height = pieces.measures.height
    like = _written(pieces, strength, main) & (height >= FLAT * pieces.measures.width)
    near = height[like & (height >= height[main] / 2) & (height <= height[main] * 2)]
    return float(np.median(near)) if len(near) else float(height[main])


def _owners(pieces: Pieces, written: Mask, tall: Integers, usual: float) -> Integers:
    """For each piece the tall piece that it is a part of; itself for tall ones, 0 for what belongs to none."""
    measures = pieces.measures
    owner = np.zeros(len(measures.area), np.int64)
    owner[tall] = tall
    low = written & (measures.height < TALL * usual) & (measures.size >= LEAST_PART * usual)
    for piece in np.flatnonzero(low).tolist():
        across = np.maximum(measures.left[tall] - measures.right[piece], measures.left[piece] - measures.right[tall])
        down = np.maximum(measures.top[tall] - measures.bottom[piece], measures.top[piece] - measures.bottom[tall])
        distance = np.where(across < 0, down / (ABOVE / NEAR), np.maximum(across, down))
        nearest = int(np.argmin(distance))
        if distance[nearest] <= NEAR * usual:
            owner[piece] = tall[nearest]
    return owner


def _lines(left: Integers, right: Integers, top: Integers, bottom: Integers, usual: float) -> list[Integers]:
    """Indices of the pieces of each line, from left to right; lines from top to bottom.

    From left to right, each piece goes to the line whose last pieces lie most level with it.
    """
    middle = (top + bottom) / 2
    lines: list[list[int]] = []
    for piece in np.argsort(left + right, kind="stable").tolist():
        offsets = [abs(_expected(line, left + right, middle) - middle[piece]) for line in lines]
        best = int(np.argmin(offsets)) if offsets else -1
        if best >= 0 and offsets[best] <= SAME_LINE * usual:
            lines[best].append(piece)
        else:
            lines.append([piece])
    return [np.array(line) for line in sorted(lines, key=lambda line: float(np.mean(middle[line])))]


def _expected(line: list[int], across: Integers, middle: Floats) -> float:
    """Where the next piece of a line should be: at the mean height of its last few."""
    return float(np.mean(middle[line[-3:]]))


def _blot(pieces: Pieces, owner: Integers, piece: int) -> Blot:
    """The piece and its parts."""
    measures = pieces.measures
    own = owner == piece
    top, bottom = int(measures.top[own].min()), int(measures.bottom[own].max())
    left, right = int(measures.left[own].min()), int(measures.right[own].max())
    return Blot(own[pieces.labels[top:bottom, left:right]], top, left)
