"""Which pieces of the ink are the digit."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge.picture.ink.components import Labels, Measures, label, measure
from edge.picture.ink.levels import histogram
from edge.picture.ink.paper import strength
from edge.picture.ink.windows import Bytes, Mask, largest, padded, smallest, smoothed, widened

Floats = NDArray[np.float64]

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
LEAST_SUPPORT: Final = 0.4  # of the main piece's
BESIDE_THE_SHEET: Final = 0.15  # of a piece's outline along the picture's edge: desk, finger, a page's shadow
CUT_OFF_REACH: Final = 0.04  # of what the picture's edge cuts off, where it does not cut the digit: a neighbour's end
BAR_WINDING: Final = 1.6  # area over thickness and size of a single straight stroke, at most: a word has more


@dataclass(frozen=True, slots=True)
class Pieces:
    """The ink of a picture, cut into pieces; arrays of length count + 1, entry 0 is the background."""

    labels: Labels  # int32 (H, W)
    measures: Measures
    score: Floats  # how much each looks like a written digit
    support: Floats  # 0 to 1: how much of the ink's depth along its boundary real edges carry
    framing: Mask  # frames and page edges

    def written(self, main: int) -> Mask:
        """Which pieces may be writing, if the main one is: edges carry them, and they are no frames."""
        written: Mask = (self.support >= LEAST_SUPPORT * self.support[main]) & ~self.framing & (self.measures.area > 0)
        written[0] = False
        return written


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


def survey(ink: Mask, grey: Bytes, paper: Bytes, link: int | None = None) -> Pieces | None:
    """Cuts the ink into pieces and says of each how much it looks like a written digit.

    Args:
        ink: bool (H, W).
        grey: uint8 (H, W), dark ink on lighter paper.
        paper: uint8 (H, W), the paper's light.
        link: pixels; gaps up to twice as wide are bridged. Without, it goes with the size of the picture.

    Returns:
        The pieces, or None if there is no ink.
    """
    reach = max(1, round(max(ink.shape) * LINK)) if link is None else link
    linked, count = label(widened(ink, reach))
    if count == 0:
        return None
    labels = np.where(ink, linked, 0)
    measures = measure(labels, count)
    depth, carried = _edges(labels, count, grey, paper)
    support = carried / np.maximum(depth, 1)
    framing = _framing(labels, measures)
    score = carried**SIZE_POWER * support**SUPPORT_POWER * _centrality(measures, ink.shape) * _thinness(measures)
    score[framing | _flat(measures)] *= UNLIKELY
    score[0] = -1
    return Pieces(labels, measures, score, support, framing)


def choose(pieces: Pieces) -> Digit:
    """Chooses the piece that looks most like a written digit, and joins the pieces that belong to it."""
    measures = pieces.measures
    main = int(np.argmax(pieces.score))
    beside = (measures.on_edge > BESIDE_THE_SHEET * measures.perimeter) & (measures.on_edge[main] == 0)
    chosen = _joined(main, pieces.labels, measures, pieces.written(main) & ~beside)
    thinness = float(measures.thickness[main] / measures.size[main])
    return Digit(
        mask=chosen[pieces.labels],
        box=_box(chosen, measures),
        score=float(pieces.score[main]),
        support=float(pieces.support[main]),
        thickness=thinness,
        main=main,
        chosen=chosen,
    )


def _edges(labels: Labels, count: int, grey: Bytes, paper: Bytes) -> tuple[Floats, Floats]:
    """The depth of the ink along each piece's boundary, and how much of it a real edge in the picture carries.

    Ink ends at an edge: within a few pixels the picture is lighter outside than inside by about the ink's depth. What
    is cut out of a shadow or a slope of light ends where nothing happens in the picture.
    """
    ink = labels > 0
    reach = max(1, round(max(ink.shape) * SHARPNESS))
    framed = padded(ink, 1)
    inner = framed[:-2, 1:-1] & framed[2:, 1:-1] & framed[1:-1, :-2] & framed[1:-1, 2:]
    boundary = ink & ~inner
    even_grey = smoothed(grey)
    darkest_inside = smallest(np.where(ink, even_grey, np.uint8(255)), reach)[boundary]
    lightest_outside = largest(np.where(ink, np.uint8(0), even_grey), reach)[boundary]
    below = np.where(paper > even_grey, paper - even_grey, 0).astype(np.uint8)
    deepest = largest(below, reach)[boundary]
    rise = np.where(lightest_outside > darkest_inside, lightest_outside - darkest_inside, 0)
    seen = np.minimum(rise, deepest).astype(np.uint8)
    light = paper[boundary]
    piece = labels[boundary]
    depth: Floats = np.bincount(piece, strength(deepest, light), count + 1).astype(np.float64)
    carried: Floats = np.bincount(piece, strength(seen, light), count + 1).astype(np.float64)
    return depth, carried


def _centrality(measures: Measures, shape: tuple[int, ...]) -> Floats:
    """1 in the middle of the picture, falling towards the corners."""
    down = (measures.top + measures.bottom) / (2 * shape[0]) - 0.5
    across = (measures.left + measures.right) / (2 * shape[1]) - 0.5
    return 1 - CENTRE_WEIGHT * np.minimum(np.sqrt(down * down + across * across) / 0.7, 1)


def _thinness(measures: Measures) -> Floats:
    """1 for what is as thin as a stroke, little for blots."""
    thickness = measures.thickness / measures.size
    thinness = np.clip((CHUNKY - thickness) / (CHUNKY - THIN), LEAST_THINNESS, 1)
    fill = measures.area / np.maximum(measures.height * measures.width, 1)
    sheet = (fill > SHEET_FILL) & (np.minimum(measures.height, measures.width) > SHEET_ASPECT * measures.size)
    return np.where(sheet, LEAST_THINNESS, thinness)


def _flat(measures: Measures) -> Mask:
    """Pieces that are much wider than high."""
    return measures.height < FLAT * measures.width


def _framing(labels: Labels, measures: Measures) -> Mask:
    """Pieces that lie along the picture's edge, or are a box drawn around something."""
    height, width = labels.shape
    framing: Mask = measures.on_edge > ALONG_THE_EDGE * measures.perimeter
    large = (measures.height > FRAME_SIZE * height) & (measures.width > FRAME_SIZE * width)
    for piece in np.flatnonzero(large).tolist():
        framing[piece] |= _is_drawn_frame(piece, labels, measures)
    return framing


def _is_drawn_frame(piece: int, labels: Labels, measures: Measures) -> bool:
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


def _joined(main: int, labels: Labels, measures: Measures, eligible: Mask) -> Mask:
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


def _box(chosen: Mask, measures: Measures) -> tuple[int, int, int, int]:
    return (
        int(measures.top[chosen].min()),
        int(measures.left[chosen].min()),
        int(measures.bottom[chosen].max()),
        int(measures.right[chosen].max()),
    )


def _reach(piece: int, main: int, box: tuple[int, int, int, int], measures: Measures) -> float:
    """How far a piece may lie from the digit and still belong to it, by what it is; pixels."""
    top, left, bottom, right = box
    height = max(bottom, int(measures.bottom[piece])) - min(top, int(measures.top[piece]))
    width = max(right, int(measures.right[piece])) - min(left, int(measures.left[piece]))
    together = max(height, width)
    stroke, share = float(measures.thickness[main]), measures.area[piece] / measures.area[main]
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
    winding = measures.area[piece] / (measures.thickness[piece] * measures.size[piece])
    is_stroke = share >= BAR_SHARE and measures.thickness[piece] >= BAR_THICKNESS * stroke and winding <= BAR_WINDING
    is_bar = is_stroke and (overlap or (flat and measures.top[piece] < top + PART_REACH * together))
    return (BAR_REACH if is_bar else PART_REACH) * together


def _box_gap(piece: int, box: tuple[int, int, int, int], measures: Measures) -> int:
    top, left, bottom, right = box
    down = max(top - int(measures.bottom[piece]), int(measures.top[piece]) - bottom, 0)
    across = max(left - int(measures.right[piece]), int(measures.left[piece]) - right, 0)
    return max(down, across)


def _near(piece: int, chosen: Mask, labels: Labels, measures: Measures, reach: float) -> bool:
    """Whether ink of the digit lies within reach of the piece, rows and columns alike."""
    grow = max(1, round(reach))
    top, left = max(0, int(measures.top[piece]) - grow), max(0, int(measures.left[piece]) - grow)
    around = labels[top : int(measures.bottom[piece]) + grow, left : int(measures.right[piece]) + grow]
    return bool((widened(around == piece, grow) & chosen[around]).any())
