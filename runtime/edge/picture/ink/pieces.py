"""The ink cut into pieces, and how much each of them looks like a written digit."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from edge.picture.arrays import Floats, Grey, Mask
from edge.picture.ink.binarisation import relative_depth
from edge.picture.ink.components import Components, Labels, Measurements, connect, find_runs, measure
from edge.picture.ink.levels import histogram
from edge.picture.ink.morphology import dilate, dilate_mask, erode, pad

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
