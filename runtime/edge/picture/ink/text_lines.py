"""The digits of a page: the pieces of its ink in lines, without printed boxes, underlines, dashes and points.

What is as dark and as sharp as the digits and fits no line is no digit, but it is not passed over in silence: it is
handed on as unread.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from edge.picture.ink.components import Measurements
from edge.picture.ink.digit import Pieces, find_pieces
from edge.picture.ink.lattice import Blob
from edge.picture.ink.morphology import dilate_mask, erode
from edge.picture.ink.segmentation import Segmentation
from edge.picture.luminance import Grey, Integers, Mask

# Relative to the usual height of a digit on the page.
LINK: Final = 1 / 60  # gaps that are bridged at once: the pen skipped
NARROWEST: Final = 1.5  # height over width of the widest digit of a page, unless all are 1s
TALL: Final = 0.55  # what is lower is a part, a small digit, a dash or a speck
TALLEST: Final = 2.2  # what is higher is a drawing; touching lines are not read
SEVERAL_HIGHER: Final = 3  # pieces that are too high: if they are alike, they are the digits, and the others print
ALIKE: Final = 1.5  # the ratio of the higher of their heights to the median, or of the median to the lower
NEAR: Final = 0.12  # a low piece this near belongs to the digit
ABOVE: Final = 0.3  # and if it lies above or below it, this near
LEAST_PART: Final = 0.12  # size of a piece that can be a part of a digit
# Beside a digit, and in none of its columns: a dash half-way up is no part of it, and neither is a point at its foot.
HALF_WAY: Final = (0.25, 0.8)  # of the digit's height, from its top
POINT_SIZE: Final = 0.3
SAME_LINE: Final = 0.5  # how far the middle of a digit may lie from the line through its neighbours
LEVEL: Final = 0.6  # or how much of the smaller one's height it shares with the last of them
SMALL: Final = 0.25  # height of the smallest digit between larger ones, a 0 mostly
LEAST_TOLD: Final = 0.35  # size of what is told to be unread

# A digit that is low among others has a shape: it is no dash, no point, and lies beside its neighbours.
SMALL_UPRIGHT: Final = 0.7  # height over width
SMALL_THICKNESS: Final = 0.36  # stroke width over size: a point has more
SMALL_BESIDE: Final = 0.5  # of its columns, at least, are nobody else's

# Relative to the piece that looks most like a digit: printed lines and shadows are paler, and edges do not carry them.
LEAST_DARKNESS: Final = 0.5
LEAST_SUPPORT: Final = 0.75
FLAT: Final = 0.3  # height over width: a dash, an underline, a bar
DASH: Final = 0.6  # likewise, of a short thick dash

# An underline: flat, long, and a single stroke.
UNDERLINE_WIDTH: Final = 1.3  # usual heights
SINGLE_STROKE: Final = 1.6  # area over thickness and size
# A printed box, or several side by side: nearly all along each of its four sides there is ink.
BOX_SIDE: Final = 0.85  # usual heights, the least height and width
BOX_SIDES: Final = 0.12  # of its height, how far from its edges the sides may lie
BOX_COVER: Final = 0.9  # of each side
UNDERLINED: Final = 1.8  # usual heights: what is so wide and has ink all along its lower side stands on an underline
BOX_LINE: Final = 0.8  # of a usual height: longer straight runs of its ink are its lines
# A ring around digits: nearly all along the columns and rows of one of them there is ink on both sides of it.
RINGED: Final = 0.45  # of the ring's height, the least height of what it surrounds: a 0 with a point in it is none


@dataclass(frozen=True, slots=True)
class PageLines:
    """The lines of a page.

    Attributes:
        lines: from top to bottom; of each, the connected ink from left to right.
        digit_height: the usual height of a digit, pixels of the working size.
        unread: what looks written and is in no line.
    """

    lines: list[list[Blob]]
    digit_height: float
    unread: list[Blob]


def find_lines(segmentation: Segmentation) -> PageLines:
    """Finds the lines of digits.

    Args:
        segmentation: of the page, at working size.

    Returns:
        No lines where there is no ink.
    """
    if segmentation.pieces is None or segmentation.digit is None:
        return PageLines([], 0.0, [])
    strength = segmentation.light.strength
    usual, widest = _usual_size(segmentation.pieces, strength, segmentation.digit.main)
    ink = segmentation.ink
    # the digits of a narrow column may be linked to one piece so far
    narrow = min(usual, NARROWEST * widest)
    pieces = _pieces(segmentation, ink, narrow)
    boxes, underlined = _boxes(pieces, usual)
    rings = _rings(pieces, boxes, usual)
    if boxes.any() or underlined.any() or rings.any():
        ink = _without_lines(ink, pieces, boxes, underlined, usual) & ~pieces.components.paint(rings)
        if not ink.any():
            return PageLines([], usual, [])
        pieces = _pieces(segmentation, ink, narrow)
        boxes = np.zeros(len(pieces.score), np.bool_)
    main = int(np.argmax(pieces.score))
    written = _written(pieces, strength, main)
    usual, _ = _usual_size(pieces, strength, main)
    measures = pieces.measures
    written &= ~_underlines(measures, usual)
    is_tall = (
        written
        & (measures.height >= FLAT * measures.width)
        & (measures.height >= TALL * usual)
        & (measures.height <= TALLEST * usual)
    )
    if not is_tall.any():
        return PageLines([], usual, [])
    is_tall |= _small_digits(measures, written & ~is_tall, np.flatnonzero(is_tall), usual)
    tall = np.flatnonzero(is_tall)
    owner = _owners(measures, written, is_tall, usual)
    lines = [
        [_blob(pieces, owner, piece) for piece in line]
        for line in _lines(measures.left[tall], measures.right[tall], measures.top[tall], measures.bottom[tall], usual)
        for line in [tall[line].tolist()]
    ]
    left_over = written & (owner == 0) & (measures.size >= LEAST_TOLD * usual) & (measures.on_edge == 0)
    left_over &= (measures.height >= DASH * measures.width) | (measures.width > UNDERLINE_WIDTH * usual)
    left_over &= measures.stroke_width <= SMALL_THICKNESS * measures.size
    every = np.arange(len(owner))
    return PageLines(lines, usual, [_blob(pieces, every, piece) for piece in np.flatnonzero(left_over).tolist()])


def _pieces(segmentation: Segmentation, ink: Mask, usual: float) -> Pieces:
    link = max(1, round(LINK * usual))
    pieces = find_pieces(ink, segmentation.picture.smoothed, segmentation.light.paper, link)
    assert pieces is not None
    return pieces


def _written(pieces: Pieces, strength: Grey, main: int) -> Mask:
    """Pieces that are as dark and as sharp as writing, and no frames."""
    area = np.maximum(pieces.measures.area, 1)
    ink = pieces.components.sums(strength) / area
    written: Mask = pieces.written(main) & (ink >= LEAST_DARKNESS * ink[main])
    written &= pieces.support >= LEAST_SUPPORT * pieces.support[main]
    return written


def _usual_size(pieces: Pieces, strength: Grey, main: int) -> tuple[float, float]:
    """The median height and the greatest width of the pieces about as high as the one that looks most like a digit.

    A letter of small print may look most like one; but several pieces that are too high beside it, are about as high as
    each other and have more ink are the digits of the page.
    """
    height, width, area = pieces.measures.height, pieces.measures.width, pieces.measures.area
    like = _written(pieces, strength, main) & (height >= FLAT * width)
    near = like & (height >= height[main] / 2) & (height <= height[main] * 2)
    if not near.any():
        near[main] = True  # a whole word of print
    usual = float(np.median(height[near]))
    higher = like & (height > TALLEST * usual)
    if higher.any():
        higher &= np.abs(np.log(np.maximum(height, 1) / np.median(height[higher]))) <= np.log(ALIKE)
        if np.count_nonzero(higher) >= SEVERAL_HIGHER and area[higher].sum() > area[near].sum():
            near, usual = higher, float(np.median(height[higher]))
    return usual, float(width[near].max())


def _underlines(measures: Measurements, usual: float) -> Mask:
    """Long flat strokes."""
    winding = measures.area / np.maximum(measures.stroke_width * measures.size, 1)
    flat = (measures.height < FLAT * measures.width) & (measures.width >= UNDERLINE_WIDTH * usual)
    return np.asarray(flat & (winding <= SINGLE_STROKE), np.bool_)


def _boxes(pieces: Pieces, usual: float) -> tuple[Mask, Mask]:
    """Printed boxes, and rows of them that share sides; and what stands on an underline and touches it."""
    measures = pieces.measures
    large = (measures.height >= BOX_SIDE * usual) & (measures.width >= BOX_SIDE * usual)
    boxes, underlined = np.zeros(len(large), np.bool_), np.zeros(len(large), np.bool_)
    for piece in np.flatnonzero(large).tolist():
        rows = slice(int(measures.top[piece]), int(measures.bottom[piece]))
        columns = slice(int(measures.left[piece]), int(measures.right[piece]))
        ink = pieces.labels[rows, columns] == piece
        side = max(1, round(BOX_SIDES * len(ink)))
        below, *others = (
            np.count_nonzero(cover) >= BOX_COVER * len(cover)
            for cover in (
                ink[-side:].any(axis=0),
                ink[:side].any(axis=0),
                ink[:, :side].any(axis=1),
                ink[:, -side:].any(axis=1),
            )
        )
        boxes[piece] = below and all(others)
        underlined[piece] = below and not boxes[piece] and measures.width[piece] >= UNDERLINED * usual
    return boxes, underlined


def _rings(pieces: Pieces, boxes: Mask, usual: float) -> Mask:
    """Rings that somebody drew around digits."""
    measures = pieces.measures
    rings = np.zeros(len(boxes), np.bool_)
    for piece in np.flatnonzero((measures.height >= BOX_SIDE * usual) & ~boxes).tolist():
        top, bottom = int(measures.top[piece]), int(measures.bottom[piece])
        left, right = int(measures.left[piece]), int(measures.right[piece])
        inner = (measures.top > top) & (measures.bottom < bottom) & (measures.left > left) & (measures.right < right)
        inner &= measures.height >= RINGED * (bottom - top)
        if not inner.any():
            continue
        ink = pieces.labels[top:bottom, left:right] == piece
        for other in np.flatnonzero(inner).tolist():
            rows = slice(int(measures.top[other]) - top, int(measures.bottom[other]) - top)
            columns = slice(int(measures.left[other]) - left, int(measures.right[other]) - left)
            sides = (
                ink[: rows.start, columns].any(axis=0),
                ink[rows.stop :, columns].any(axis=0),
                ink[rows, : columns.start].any(axis=1),
                ink[rows, columns.stop :].any(axis=1),
            )
            rings[piece] |= all(np.count_nonzero(side) >= BOX_COVER * len(side) for side in sides)
    return rings


def _without_lines(ink: Mask, pieces: Pieces, boxes: Mask, underlined: Mask, usual: float) -> Mask:
    """The ink without the straight lines of boxes and without underlines; a digit that touches one stays."""
    length = max(3, round(BOX_LINE * usual))
    found = np.zeros_like(ink)
    for lined, (rows, columns) in ((boxes | underlined, (0, length // 2)), (boxes, (length // 2, 0))):
        of_lined = pieces.components.paint(lined)
        # a line that tilts is in the next row after a while
        thick = dilate_mask(of_lined, int(rows == 0), int(columns == 0))
        core = erode(thick.view(np.uint8) * np.uint8(255), rows, columns) > 0
        found |= of_lined & dilate_mask(dilate_mask(core, rows, columns), 1)
    return ink & ~found


def _small_digits(measures: Measurements, low: Mask, tall: Integers, usual: float) -> Mask:
    """Low pieces that are digits of their own, a small 0 say, and neither parts of others nor signs."""
    small = low & (measures.height >= SMALL * usual) & (measures.height >= SMALL_UPRIGHT * measures.width)
    small &= measures.stroke_width <= SMALL_THICKNESS * measures.size
    # a short straight stroke is a comma, or a part of a digit
    small &= measures.area > SINGLE_STROKE * measures.stroke_width * measures.size
    for piece in np.flatnonzero(small).tolist():
        left, right = int(measures.left[piece]), int(measures.right[piece])
        level = (measures.top[tall] < measures.bottom[piece]) & (measures.bottom[tall] > measures.top[piece])
        shared = np.minimum(measures.right[tall], right) - np.maximum(measures.left[tall], left)
        small[piece] = level.any() and not (shared[level] > (1 - SMALL_BESIDE) * (right - left)).any()
    return small


def _owners(measures: Measurements, written: Mask, is_tall: Mask, usual: float) -> Integers:
    """For each piece the tall piece that it is a part of; itself for tall ones, 0 for what belongs to none."""
    tall = np.flatnonzero(is_tall)
    owner = np.zeros(len(measures.area), np.int64)
    owner[tall] = tall
    low = written & ~is_tall & (measures.height < TALL * usual) & (measures.size >= LEAST_PART * usual)
    for piece in np.flatnonzero(low).tolist():
        across = np.maximum(measures.left[tall] - measures.right[piece], measures.left[piece] - measures.right[tall])
        down = np.maximum(measures.top[tall] - measures.bottom[piece], measures.top[piece] - measures.bottom[tall])
        distance = np.where(across < 0, down / (ABOVE / NEAR), np.maximum(across, down))
        nearest = int(np.argmin(distance))
        is_sign = across[nearest] >= 0 and _is_sign(measures, piece, int(tall[nearest]), usual)
        if distance[nearest] <= NEAR * usual and not is_sign:
            owner[piece] = tall[nearest]
    return owner


def _is_sign(measures: Measurements, piece: int, digit: int, usual: float) -> bool:
    """Whether a low piece beside a digit is a dash or a point."""
    height = measures.bottom[digit] - measures.top[digit]
    place = ((measures.top[piece] + measures.bottom[piece]) / 2 - measures.top[digit]) / height
    if measures.height[piece] < DASH * measures.width[piece]:
        return bool(HALF_WAY[0] <= place <= HALF_WAY[1])
    is_point = measures.size[piece] <= POINT_SIZE * usual and (
        measures.stroke_width[piece] > SMALL_THICKNESS * measures.size[piece]
    )
    return bool(is_point and place > HALF_WAY[1])


def _lines(left: Integers, right: Integers, top: Integers, bottom: Integers, usual: float) -> list[Integers]:
    """Indices of the pieces of each line, from left to right; lines from top to bottom.

    From left to right, each piece goes to the line whose last pieces lie most level with it.
    """
    middle = (top + bottom) / 2
    lines: list[list[int]] = []
    for piece in np.argsort(left + right, kind="stable").tolist():
        offsets = [abs(float(np.mean(middle[line[-3:]])) - middle[piece]) for line in lines]
        best = int(np.argmin(offsets)) if offsets else -1
        if best >= 0 and (offsets[best] <= SAME_LINE * usual or _is_level(lines[best][-1], piece, top, bottom)):
            lines[best].append(piece)
        else:
            lines.append([piece])
    return [np.array(line) for line in sorted(lines, key=lambda line: float(np.mean(middle[line])))]


def _is_level(one: int, other: int, top: Integers, bottom: Integers) -> bool:
    """Whether two pieces lie side by side: the rows of the lower one are mostly rows of the higher one, too."""
    shared = min(bottom[one], bottom[other]) - max(top[one], top[other])
    return bool(shared >= LEVEL * min(bottom[one] - top[one], bottom[other] - top[other]))


def _blob(pieces: Pieces, owner: Integers, piece: int) -> Blob:
    """The piece and its parts."""
    measures = pieces.measures
    own = owner == piece
    top, bottom = int(measures.top[own].min()), int(measures.bottom[own].max())
    left, right = int(measures.left[own].min()), int(measures.right[own].max())
    return Blob(own[pieces.labels[top:bottom, left:right]], top, left)
