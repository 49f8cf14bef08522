"""The pieces of the ink: how much each looks like a written digit, which are the digit, and how many digits there are.

Counting is cautious on purpose: a second digit that is overlooked costs a label that means little anyway, one that is
imagined costs a label that is right.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from edge.picture.ink.binarisation import histogram, relative_depth
from edge.picture.ink.components import Components, Labels, Measurements, connect, find_runs, measure
from edge.picture.ink.morphology import dilate, dilate_mask, erode, pad
from edge.picture.luminance import Floats, Grey, Mask

# Lengths as fractions of the working picture's longer side.
LINK: Final = 1 / 160  # gaps that are bridged at once: noise and a skipping pen cut strokes
SHARPNESS: Final = 1 / 130  # an edge of ink is not softer than about this

# The score of a piece: how much boundary it has, how well real edges carry it, how near the middle it is.
SIZE_POWER: Final = 0.7
SUPPORT_POWER: Final = 4
CENTRE_WEIGHT: Final = 0.7
# Thickness over size: a stroke is thin, a shadow or the hole of an 8 is not.
THIN: Final = 0.28
CHUNKY: Final = 0.40
LEAST_THINNESS: Final = 0.1
# Frames, page edges, sheets of paper and flat lines are taken only if there is nothing else.
UNLIKELY: Final = 0.005
FLAT: Final = 0.15  # height over width: an underline or a dash, no digit
SHEET_FILL: Final = 0.7  # of its box; and not narrower than SHEET_ASPECT
SHEET_ASPECT: Final = 0.4
ALONG_THE_EDGE: Final = 0.38  # of a piece's outline: page, finger, desk; a digit in a tight crop has up to 0.3
FRAME_SIZE: Final = 0.3  # of the picture, for a drawn frame
FRAME_SIDES: Final = 0.1  # its ink lies within this share of its box's sides
FRAME_SHARE: Final = 0.93
FRAME_CORNER: Final = 0.12
FRAME_CONTENT: Final = 0.15  # something of this share of its size must be inside
LEAST_SUPPORT: Final = 0.4  # of the digit's, for what may be writing beside it


@dataclass(frozen=True, slots=True)
class Pieces:
    """The ink of a picture, cut into pieces; arrays of length count + 1, entry 0 is the background."""

    components: Components
    labels: Labels  # int32 (H, W)
    measures: Measurements
    score: Floats  # how much each looks like a written digit
    support: Floats  # 0 to 1: how much of the ink's depth along its boundary real edges carry
    framing: Mask  # frames and page edges

    def written(self, main: int) -> Mask:
        """Which pieces may be writing, if the main one is: edges carry them, and they are no frames."""
        written: Mask = (self.support >= LEAST_SUPPORT * self.support[main]) & ~self.framing & (self.measures.area > 0)
        written[0] = False
        return written


def find_pieces(ink: Mask, smoothed: Grey, paper: Grey, link: int | None = None) -> Pieces | None:
    """Cuts the ink into pieces and says of each how much it looks like a written digit.

    Args:
        ink: bool (H, W).
        smoothed: uint8 (H, W), dark ink on lighter paper, with less noise.
        paper: uint8 (H, W), the paper's light.
        link: pixels; gaps up to twice as wide are bridged. Without, it goes with the size of the picture.

    Returns:
        The pieces, or None if there is no ink.
    """
    reach = max(1, round(max(ink.shape) * LINK)) if link is None else link
    linked = connect(find_runs(dilate_mask(ink, reach)))
    if linked.count == 0:
        return None
    runs = find_runs(ink)
    components = Components(runs, linked.around(runs), linked.count)
    labels, measures = components.labels(), measure(components)
    depth, carried = _edges(ink, labels, measures, smoothed, paper)
    support = carried / np.maximum(depth, 1)
    framing = _framing(labels, measures)
    score = carried**SIZE_POWER * support**SUPPORT_POWER * _centrality(measures, ink.shape) * _thinness(measures)
    score[framing | _flat(measures)] *= UNLIKELY
    score[0] = -1
    return Pieces(components, labels, measures, score, support, framing)


def _edges(ink: Mask, labels: Labels, measures: Measurements, grey: Grey, paper: Grey) -> tuple[Floats, Floats]:
    """The depth of the ink along each piece's boundary, and how much of it a real edge in the picture carries.

    Ink ends at an edge: within a few pixels the picture is lighter outside than inside by about the ink's depth. What
    is cut out of a shadow or a slope of light ends where nothing happens in the picture.
    """
    reach, length = max(1, round(max(ink.shape) * SHARPNESS)), len(measures.area)
    top, left = max(0, int(measures.top.min()) - reach), max(0, int(measures.left.min()) - reach)
    near = slice(top, int(measures.bottom.max()) + reach), slice(left, int(measures.right.max()) + reach)
    ink, labels, grey, paper = ink[near], labels[near], grey[near], paper[near]
    framed = pad(ink, 1)
    inner = framed[:-2, 1:-1] & framed[2:, 1:-1] & framed[1:-1, :-2] & framed[1:-1, 2:]
    boundary = np.flatnonzero(ink & ~inner)
    inside = ink.view(np.uint8) * np.uint8(255)
    darkest_inside = erode(grey | ~inside, reach).take(boundary)
    lightest_outside = dilate(grey & ~inside, reach).take(boundary)
    deepest = dilate(np.maximum(paper, grey) - grey, reach).take(boundary)
    seen = np.minimum(np.maximum(lightest_outside, darkest_inside) - darkest_inside, deepest)
    light, piece = paper.take(boundary), labels.take(boundary)
    depth = np.bincount(piece, relative_depth(deepest, light), length)
    carried = np.bincount(piece, relative_depth(seen, light), length)
    return depth.astype(np.float64), carried.astype(np.float64)


def _centrality(measures: Measurements, shape: tuple[int, ...]) -> Floats:
    """1 in the middle of the picture, falling towards the corners."""
    down = (measures.top + measures.bottom) / (2 * shape[0]) - 0.5
    across = (measures.left + measures.right) / (2 * shape[1]) - 0.5
    return 1 - CENTRE_WEIGHT * np.minimum(np.sqrt(down * down + across * across) / 0.7, 1)


def _thinness(measures: Measurements) -> Floats:
    """1 for what is as thin as a stroke, little for blots."""
    thickness = measures.stroke_width / measures.size
    thinness = np.clip((CHUNKY - thickness) / (CHUNKY - THIN), LEAST_THINNESS, 1)
    fill = measures.area / np.maximum(measures.height * measures.width, 1)
    sheet = (fill > SHEET_FILL) & (np.minimum(measures.height, measures.width) > SHEET_ASPECT * measures.size)
    return np.where(sheet, LEAST_THINNESS, thinness)


def _flat(measures: Measurements) -> Mask:
    """Pieces that are much wider than high."""
    return measures.height < FLAT * measures.width


def _framing(labels: Labels, measures: Measurements) -> Mask:
    """Pieces that lie along the picture's edge, or are a box drawn around something."""
    height, width = labels.shape
    framing: Mask = measures.on_edge > ALONG_THE_EDGE * measures.perimeter
    large = (measures.height > FRAME_SIZE * height) & (measures.width > FRAME_SIZE * width)
    for piece in np.flatnonzero(large).tolist():
        framing[piece] |= _is_drawn_frame(piece, labels, measures)
    return framing


def _is_drawn_frame(piece: int, labels: Labels, measures: Measurements) -> bool:
    top, left = int(measures.top[piece]), int(measures.left[piece])
    bottom, right = int(measures.bottom[piece]), int(measures.right[piece])
    content = (
        (measures.top > top)
        & (measures.left > left)
        & (measures.bottom < bottom)
        & (measures.right < right)
        & (measures.size > FRAME_CONTENT * measures.size[piece])
        & (measures.area > 0)
    )
    if not content.any():
        return False
    rows, columns = np.nonzero(labels[top:bottom, left:right] == piece)
    down, across = (rows + 0.5) / (bottom - top), (columns + 0.5) / (right - left)
    from_top_or_bottom, from_a_side = np.minimum(down, 1 - down), np.minimum(across, 1 - across)
    if np.mean(np.minimum(from_top_or_bottom, from_a_side) < FRAME_SIDES) < FRAME_SHARE:
        return False
    corner = (from_top_or_bottom < FRAME_CORNER) & (from_a_side < FRAME_CORNER)
    quarters = (down[corner] > 0.5) * 2 + (across[corner] > 0.5)
    return bool((histogram(quarters.astype(np.uint8))[:4] > 0).all())


# Further pieces of the same digit: how near they must be, by what they are. Fractions of the digit's size; for dots,
# of its stroke width.
DOT_SIZE: Final = 1.8  # times the stroke width: a speck, unless it nearly touches
DOT_REACH: Final = 0.6
DOT_LEAST: Final = 0.03
CRUMB_SHARE: Final = 0.03  # of the digit's area
CRUMB_REACH: Final = 0.05
UNDERLINE_REACH: Final = 0.05  # of a flat line below all the rest: the foot of a 1 or a 2, if it nearly touches
PART_REACH: Final = 0.12
BAR_SHARE: Final = 0.06  # of the digit's area: the bar of a 5 may float above it
BAR_REACH: Final = 0.22
BAR_FLATNESS: Final = 1.5
BAR_THICKNESS: Final = 0.5  # times the digit's stroke width: a line of small writing is no bar
BESIDE_THE_SHEET: Final = 0.15  # of a piece's outline along the picture's edge: desk, finger, a page's shadow
CUT_OFF_REACH: Final = 0.04  # of what the picture's edge cuts off, where it does not cut the digit: a neighbour's end
BAR_WINDING: Final = 1.6  # area over thickness and size of a single straight stroke, at most: a word has more

# What is this much like the digit that was chosen is another one: height over its size, stroke width, darkness, support
# by edges, each relative to its own. What is left of printed lines is thinner and paler, what is left of a shadow has
# no edges, an underline is flat, and what the picture's edge cuts off does not count.
ALIKE_HEIGHT: Final = (0.55, 1.8)
ALIKE_STROKE: Final = (0.4, 2.5)
ALIKE_DARKNESS: Final = 0.6
ALIKE_SUPPORT: Final = 0.8
# A speck is about half as thick as large; where the digit itself looks like one, nothing is counted.
THICKEST: Final = 0.36
UPRIGHT: Final = 0.5  # height over size: what is flatter is an underline taken for a digit
# Beside, above or below the digit by this share of its size: nearer, it may be a part of it.
LEAST_GAP: Final = 0.05
# Digits written so closely that they were joined into one: pieces side by side, each as high as the whole, or almost.
PART_HEIGHT: Final = 0.6
JOINED_ASPECT: Final = 1.15  # width over height; a 0 in two halves is narrower
# Digits that touch are one piece, wide, and high all along its width; a digit that wide has a dip or is a dash.
TOUCHING_ASPECT: Final = 1.9
USUAL_ASPECT: Final = 0.75  # of a handwritten digit with the gap behind it
STROKES_HIGH: Final = 3  # times the stroke width, the least height of writing
PARTS: Final = 5  # of the width, in each of which the ink must reach PART_HEIGHT


@dataclass(frozen=True, slots=True)
class Digit:
    """The ink taken for the digit."""

    mask: Mask  # bool (H, W)
    box: tuple[int, int, int, int]  # top, left, bottom, right; half open
    score: float  # to be compared with other readings of the same picture
    support: float  # 0 to 1: how much of the ink's depth along its boundary real edges carry
    thickness: float  # of its main piece, as a share of its size
    main: int  # the piece that looks most like a digit
    chosen: Mask  # bool (count + 1,): all its pieces


def choose_digit(pieces: Pieces) -> Digit:
    """Chooses the piece that looks most like a written digit, and joins the pieces that belong to it."""
    measures = pieces.measures
    main = int(np.argmax(pieces.score))
    beside = (measures.on_edge > BESIDE_THE_SHEET * measures.perimeter) & (measures.on_edge[main] == 0)
    chosen = _joined(main, pieces.labels, measures, pieces.written(main) & ~beside)
    thinness = float(measures.stroke_width[main] / measures.size[main])
    return Digit(
        mask=pieces.components.paint(chosen),
        box=_box(chosen, measures),
        score=float(pieces.score[main]),
        support=float(pieces.support[main]),
        thickness=thinness,
        main=main,
        chosen=chosen,
    )


def _joined(main: int, labels: Labels, measures: Measurements, eligible: Mask) -> Mask:
    """Which pieces make up the digit: the main one, and what is near enough for its kind."""
    chosen = np.zeros(len(measures.area), np.bool_)
    chosen[main] = True
    joined = True
    while joined:  # pieces of pieces
        joined = False
        box = _box(chosen, measures)
        for piece in np.flatnonzero(eligible & ~chosen).tolist():
            reach = _reach(piece, main, box, measures)
            if _box_gap(piece, box, measures) <= reach and _near(piece, chosen, labels, measures, reach):
                chosen[piece] = joined = True
                box = _box(chosen, measures)
    return chosen


def _box(chosen: Mask, measures: Measurements) -> tuple[int, int, int, int]:
    return (
        int(measures.top[chosen].min()),
        int(measures.left[chosen].min()),
        int(measures.bottom[chosen].max()),
        int(measures.right[chosen].max()),
    )


def _reach(piece: int, main: int, box: tuple[int, int, int, int], measures: Measurements) -> float:
    """How far a piece may lie from the digit and still belong to it, by what it is; pixels."""
    top, left, bottom, right = box
    height = max(bottom, int(measures.bottom[piece])) - min(top, int(measures.top[piece]))
    width = max(right, int(measures.right[piece])) - min(left, int(measures.left[piece]))
    together = max(height, width)
    stroke, share = float(measures.stroke_width[main]), measures.area[piece] / measures.area[main]
    if measures.on_edge[piece] > 0 and measures.on_edge[main] == 0:
        return CUT_OFF_REACH * together
    if measures.size[piece] <= DOT_SIZE * stroke:
        return max(DOT_REACH * stroke, DOT_LEAST * together)
    if share < CRUMB_SHARE:
        return CRUMB_REACH * together
    if measures.top[piece] >= bottom and measures.height[piece] < FLAT * measures.width[piece]:
        return UNDERLINE_REACH * together
    overlap = min(right, int(measures.right[piece])) > max(left, int(measures.left[piece]))
    flat = measures.width[piece] > BAR_FLATNESS * measures.height[piece]
    winding = measures.area[piece] / (measures.stroke_width[piece] * measures.size[piece])
    is_stroke = share >= BAR_SHARE and measures.stroke_width[piece] >= BAR_THICKNESS * stroke and winding <= BAR_WINDING
    is_bar = is_stroke and (overlap or (flat and measures.top[piece] < top + PART_REACH * together))
    return (BAR_REACH if is_bar else PART_REACH) * together


def _box_gap(piece: int, box: tuple[int, int, int, int], measures: Measurements) -> int:
    top, left, bottom, right = box
    down = max(top - int(measures.bottom[piece]), int(measures.top[piece]) - bottom, 0)
    across = max(left - int(measures.right[piece]), int(measures.left[piece]) - right, 0)
    return max(down, across)


def _near(piece: int, chosen: Mask, labels: Labels, measures: Measurements, reach: float) -> bool:
    """Whether ink of the digit lies within reach of the piece, rows and columns alike."""
    grow = max(1, round(reach))
    top, left = max(0, int(measures.top[piece]) - grow), max(0, int(measures.left[piece]) - grow)
    around = labels[top : int(measures.bottom[piece]) + grow, left : int(measures.right[piece]) + grow]
    return bool((dilate_mask(around == piece, grow) & chosen[around]).any())


def count_digits(pieces: Pieces, digit: Digit, strength: Grey) -> int:
    """The number of digits in a picture in which one was found.

    Args:
        pieces: of the picture's ink.
        digit: the one that was chosen.
        strength: uint8 (H, W), of the ink.

    Returns:
        1 or more; about right where digits touch.
    """
    return _within(pieces, digit) + int(_others(pieces, digit, strength).sum())


def _others(pieces: Pieces, digit: Digit, strength: Grey) -> Mask:
    """Pieces outside of the digit that look as much like one."""
    measures, main = pieces.measures, digit.main
    top, left, bottom, right = digit.box
    size = max(bottom - top, right - left)
    if digit.thickness > THICKEST or bottom - top < UPRIGHT * size:
        return np.zeros_like(digit.chosen)
    gap = np.maximum(
        np.maximum(left - measures.right, measures.left - right),
        np.maximum(top - measures.bottom, measures.top - bottom),
    )
    ink = pieces.components.sums(strength) / np.maximum(measures.area, 1)
    like = pieces.written(main) & ~digit.chosen & (measures.on_edge == 0) & (gap >= LEAST_GAP * size)
    like &= (measures.height >= ALIKE_HEIGHT[0] * size) & (measures.size <= ALIKE_HEIGHT[1] * size)
    like &= (measures.stroke_width >= ALIKE_STROKE[0] * measures.stroke_width[main]) & (
        measures.stroke_width <= ALIKE_STROKE[1] * measures.stroke_width[main]
    )
    like &= ink >= ALIKE_DARKNESS * ink[main]
    like &= measures.stroke_width <= THICKEST * measures.size
    like &= pieces.support >= ALIKE_SUPPORT * pieces.support[main]
    return np.asarray(like, np.bool_)


def _within(pieces: Pieces, digit: Digit) -> int:
    """How many digits the chosen one is: more than one where neighbours were joined, or touch."""
    top, left, bottom, right = digit.box
    height, width = bottom - top, right - left
    measures = pieces.measures
    high = digit.chosen & (measures.height >= PART_HEIGHT * height)
    drawn = (measures.height >= UPRIGHT * measures.size) & (measures.stroke_width <= THICKEST * measures.size)
    tall = np.flatnonzero(high & drawn)
    order = tall[np.argsort(measures.left[tall], kind="stable")]
    reached, beside = 0, 0
    for piece in order.tolist():
        beside += int(measures.left[piece]) >= reached
        reached = max(reached, int(measures.right[piece]))
    if beside >= 2 and width >= JOINED_ASPECT * height:
        return beside
    written = height >= STROKES_HIGH * measures.stroke_width[digit.main]
    if written and width >= TOUCHING_ASPECT * height and _high_all_along(digit.mask[top:bottom, left:right]):
        return max(2, round(width / height / USUAL_ASPECT))
    return 1


def _high_all_along(ink: Mask) -> bool:
    """Whether the ink spans most of the height in every part of its width."""
    for part in np.array_split(ink, PARTS, axis=1):
        rows = np.flatnonzero(part.any(axis=1))
        if len(rows) == 0 or rows[-1] + 1 - rows[0] < PART_HEIGHT * len(ink):
            return False
    return True
