"""Which pieces of the ink are the digit."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge.ink.components import Labels, Measures, label, measure
from edge.ink.levels import histogram
from edge.ink.paper import strength
from edge.ink.windows import Bytes, Mask, largest, sums, widened

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
# Frames, page edges and sheets of paper are taken only if there is nothing else.
UNLIKELY: Final = 0.005
SHEET_FILL: Final = 0.7  # of its box; and not narrower than SHEET_ASPECT
SHEET_ASPECT: Final = 0.4
ALONG_THE_EDGE: Final = 0.35  # of a piece's size lies on the picture's edge: page, finger, desk
WHOLE_PICTURE: Final = 0.95
FRAME_SIZE: Final = 0.3  # of the picture, for a drawn frame
FRAME_SIDES: Final = 0.1  # its ink lies within this share of its box's sides
FRAME_SHARE: Final = 0.93
FRAME_CORNER: Final = 0.12
FRAME_CONTENT: Final = 0.15  # something of this share of its size must be inside

# Further pieces of the same digit: how near they must be, by what they are. Fractions of the digit's size; for dots,
# of its stroke width.
DOT_SIZE: Final = 1.8  # times the stroke width: a speck, unless it nearly touches
DOT_REACH: Final = 0.6
CRUMB_SHARE: Final = 0.03  # of the digit's area
CRUMB_REACH: Final = 0.03
PART_REACH: Final = 0.10
BAR_SHARE: Final = 0.06  # of the digit's area: the bar of a 5 may float above it
BAR_REACH: Final = 0.22
LEAST_SUPPORT: Final = 0.4  # of the main piece's
PART_ON_EDGE: Final = 0.3


@dataclass(frozen=True, slots=True)
class Digit:
    """The ink taken for the digit."""

    mask: Mask  # bool (H, W)
    box: tuple[int, int, int, int]  # top, left, bottom, right; half open
    score: float  # to be compared with other readings of the same picture


def choose(ink: Mask, grey: Bytes, paper: Bytes) -> Digit | None:
    """Chooses the piece that looks most like a written digit, and joins the pieces that belong to it.

    Args:
        ink: bool (H, W).
        grey: uint8 (H, W), dark ink on lighter paper.
        paper: uint8 (H, W), the paper's light.

    Returns:
        The digit, or None if there is no ink.
    """
    longer = max(ink.shape)
    linked, count = label(widened(ink, max(1, round(longer * LINK))))
    if count == 0:
        return None
    labels = np.where(ink, linked, 0)
    measures = measure(labels, count)
    depth, carried = _edges(labels, count, grey, paper)
    support = carried / np.maximum(depth, 1)
    framing = _framing(labels, measures)
    score = carried**SIZE_POWER * support**SUPPORT_POWER * _centrality(measures, ink.shape) * _thinness(measures)
    score[framing] *= UNLIKELY
    score[0] = -1
    main = int(np.argmax(score))
    chosen = _joined(main, labels, measures, (support >= LEAST_SUPPORT * support[main]) & ~framing)
    mask = chosen[labels]
    box = (
        int(measures.top[chosen].min()),
        int(measures.left[chosen].min()),
        int(measures.bottom[chosen].max()),
        int(measures.right[chosen].max()),
    )
    return Digit(mask, box, float(score[main]))


def _edges(labels: Labels, count: int, grey: Bytes, paper: Bytes) -> tuple[Floats, Floats]:
    """The depth of the ink along each piece's boundary, and how much of it a real edge in the picture carries.

    Ink ends at an edge: within a few pixels the picture is lighter outside than inside by about the ink's depth. What
    is cut out of a shadow or a slope of light ends where nothing happens in the picture.
    """
    ink = labels > 0
    reach = max(1, round(max(ink.shape) * SHARPNESS))
    padded = np.pad(ink, 1)
    inner = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    boundary = ink & ~inner
    inside = sums(ink, reach)[boundary]
    inside_sum = sums(np.where(ink, grey, 0), reach)[boundary]
    outside = sums(np.ones_like(grey), reach)[boundary] - inside
    outside_sum = sums(grey, reach)[boundary] - inside_sum
    rise = outside_sum // np.maximum(outside, 1) - inside_sum // np.maximum(inside, 1)
    below = np.where(paper > grey, paper - grey, 0).astype(np.uint8)
    deepest = largest(below, reach)[boundary]
    # averages over the window see about half of a sharp edge
    seen = np.clip(np.where(outside > 0, 2 * rise, 0), 0, deepest).astype(np.uint8)
    light = paper[boundary]
    piece = labels[boundary]
    depth = np.bincount(piece, strength(deepest, light), count + 1)
    carried = np.bincount(piece, strength(seen, light), count + 1)
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


def _framing(labels: Labels, measures: Measures) -> Mask:
    """Pieces that lie along the picture's edge, fill the picture, or are a box drawn around something."""
    height, width = labels.shape
    along = measures.on_edge > ALONG_THE_EDGE * measures.size
    whole = (
        (measures.height >= WHOLE_PICTURE * height)
        & (measures.width >= WHOLE_PICTURE * width)
        & (measures.on_edge > 0)
    )
    framing: Mask = along | whole
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
    area = int(measures.area[main])
    stroke = float(measures.thickness[main])
    dot = measures.size <= DOT_SIZE * stroke
    crumb = ~dot & (measures.area < CRUMB_SHARE * area)
    bar = ~dot & (measures.area >= BAR_SHARE * area)
    eligible = eligible & (measures.area > 0) & (measures.on_edge < PART_ON_EDGE * measures.size)
    for _ in range(2):  # pieces of pieces
        if not (eligible & ~chosen).any():
            break
        top, bottom = measures.top[chosen].min(), measures.bottom[chosen].max()
        left, right = measures.left[chosen].min(), measures.right[chosen].max()
        size = max(bottom - top, right - left)
        digit = chosen[labels]
        common = np.minimum(right, measures.right) - np.maximum(left, measures.left)
        above_or_below = bar & (2 * common > measures.width)
        for kind, reach, columns in (
            (dot, DOT_REACH * stroke, True),
            (crumb, CRUMB_REACH * size, True),
            (~dot & ~crumb, PART_REACH * size, True),
            (above_or_below, BAR_REACH * size, False),
        ):
            if not (kind & eligible & ~chosen).any():
                continue
            near = labels[widened(digit, max(1, round(reach)), columns=columns)]
            touched = np.bincount(near, minlength=len(chosen)) > 0
            chosen |= touched & kind & eligible
    return chosen
