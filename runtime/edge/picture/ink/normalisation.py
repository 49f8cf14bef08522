"""The digit as MNIST has it: read again at one size, strokes of a usual width, in its box, in the middle of 28x28."""

from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING, Final

import numpy as np
from PIL import Image

from edge.bundle.input import COLUMNS, ROWS
from edge.picture.ink.binarisation import at_least, histogram, quantile, relative_depth, resize
from edge.picture.ink.components import connect, find_runs, stroke_width
from edge.picture.ink.morphology import close, dilate_mask, pad, squared_distance
from edge.picture.luminance import Grey, Integers, Mask

if TYPE_CHECKING:
    from edge.picture.ink.segmentation import Segmentation

# MNIST's frame: the longer side of the digit, and the pixel of its centre of mass, rows and columns alike. In MNIST it
# lies within half a pixel of that in each of the 70 000 pictures.
BOX: Final = 20
MIDDLE: Final = ROWS // 2
# Pixels of the close-up for each pixel of the box: fine enough to change stroke widths smoothly.
FINENESS: Final = 8

MARGIN: Final = 0.12  # of the digit's size, around it in the close-up
# A point is ink from this share of the digit's usual strength on: halfway up a blurred edge.
USUAL: Final = 0.7  # quantile of the strength within the digit
HALFWAY: Final = 0.5
# Chalk, crayon and a pen that runs dry leave pores in a stroke, and slits along it. Where columns cross more strokes
# than digits have, 97 of 100 being below, gaps of up to half a pixel of the image are ink.
POROUS: Final = 2.8
PORE: Final = FINENESS // 2 + 1

# Stroke widths, pixels of the 28x28 image. In MNIST, measured in the same way, 98 of 100 lie between 1.5 and 4.3.
THINNEST: Final = 1.5
THICKEST: Final = 4.2
# Thick strokes lose only this share of what they have too much: their thin parts must not break.
THINNING: Final = 0.7
LEAST_LEFT: Final = 0.2
# What a change of the width must not lose, pixels of the close-up: holes from half a pixel of the image on, and parts
# that are thinner than the rest. Thinning rounds corners off by less than the area of a part.
LEAST_HOLE: Final = FINENESS**2 // 2
LEAST_PART: Final = 2 * FINENESS**2
ROUNDING: Final = 1.5

# A 28x28 picture is framed already if the longer side of its ink is so many pixels: the soft edges of a pen may end
# before the box or beyond, and a JPEG or another rounding moves the centre by up to a pixel.
FRAMED_SIZES: Final = range(17, 23)
OFF_MIDDLE: Final = 1
PALE: Final = 16  # grey levels: below is no ink; a JPEG leaves some on blank paper


@dataclass(frozen=True, slots=True)
class CloseUp:
    """The digit and its surroundings, enlarged or reduced to one size.

    Attributes:
        strength: uint8 (h, w), 0 paper to 255 black.
        ink: bool (h, w), the digit.
        crossed: strokes that a column crosses on average; with the gaps that count as ink only where they are pores.
    """

    strength: Grey
    ink: Mask
    crossed: float


def close_up(full: Image.Image, segmentation: "Segmentation", ink: Mask, top: int, left: int) -> CloseUp:
    """Reads the digit again from the full picture, at the size at which it fills 160 pixels.

    What was left out at working size (lines, frames, specks) stays out: the ink found there is the stencil.

    Args:
        full: mode L, dark ink on light paper.
        segmentation: of the same picture at working size.
        ink: bool (h, w), the digit's ink at working size, cut to its box.
        top: where that box lies in the picture.
        left: likewise.

    Returns:
        The strength and the mask of the digit's ink.
    """
    size = max(ink.shape)
    margin = max(2, round(MARGIN * size))
    rows, columns = segmentation.light.paper.shape
    box_top, box_left = top, left
    top, bottom = max(0, top - margin), min(rows, top + ink.shape[0] + margin)
    left, right = max(0, left - margin), min(columns, left + ink.shape[1] + margin)
    stencil = np.zeros((bottom - top, right - left), np.uint8)
    stencil[box_top - top :, box_left - left :][: ink.shape[0], : ink.shape[1]] = ink * np.uint8(255)
    scale = BOX * FINENESS / size
    height, width = max(1, round((bottom - top) * scale)), max(1, round((right - left) * scale))
    down, across = full.height / rows, full.width / columns
    grey = resize(full, height, width, (top * down, left * across, bottom * down, right * across))
    paper = resize(segmentation.light.paper[top:bottom, left:right], height, width)
    blank = paper.astype(np.int32) - segmentation.light.offset
    strength = relative_depth(np.clip(blank - grey, 0, 255).astype(np.uint8), paper)
    coverage = resize(stencil, height, width)
    # a stroke hundreds of times longer than wide covers no point of the close-up by half, or at all
    found = coverage >= min(128, int(coverage.max()))
    usual = quantile(histogram(strength[found]), USUAL) if found.any() else 0
    # the stencil is as coarse as a working pixel
    seen = dilate_mask(found, FINENESS // 2) & at_least(strength, max(1, HALFWAY * usual))
    crossed = strokes_crossed(seen)
    if crossed > POROUS:
        pores = strokes_crossed(seen.T) > POROUS  # rows of a scale do not cross the gaps between its ticks
        seen = close(seen.view(np.uint8), PORE, overhang=False).view(np.bool_)
        crossed = strokes_crossed(seen) if pores else crossed
    return CloseUp(strength, seen if seen.any() else found, crossed)


def strokes_crossed(ink: Mask) -> float:
    """The strokes that a column crosses on average, of those with ink."""
    starts = np.count_nonzero(ink[1:] > ink[:-1]) + np.count_nonzero(ink[0])
    return int(starts) / max(1, int(np.count_nonzero(ink.any(axis=0))))


def image_stroke_width(ink: Mask) -> float:
    """The mean stroke width of a close-up's ink, pixels of the 28x28 image."""
    return stroke_width(ink) / FINENESS


def adjust_stroke_width(ink: Mask) -> Mask:
    """The ink with strokes of a width that the model knows.

    Shrunk to 20 pixels, the line of a thin pen would fade away: it is thickened before, but no loop is closed. A thick
    pen's is thinned, and its thin parts stay.

    Args:
        ink: bool (h, w), a close-up.

    Returns:
        bool, the same or with a wider margin.
    """
    now = image_stroke_width(ink)
    if now < THINNEST:
        radius = (THINNEST - now) / 2 * FINENESS
        margin = ceil(radius) + 1
        wider: Mask = squared_distance(pad(ink, margin), ceil(radius)) <= radius * radius
        return wider & ~_closed(pad(ink, margin), wider)
    if now > THICKEST:
        radius = (now - THICKEST) / 2 * FINENESS * THINNING
        thinner: Mask = squared_distance(~pad(ink, 1), ceil(radius)) > radius * radius
        if np.count_nonzero(thinner) >= LEAST_LEFT * np.count_nonzero(ink):
            return thinner | _thin_parts(pad(ink, 1), thinner, radius)
    return ink


def _closed(ink: Mask, wider: Mask) -> Mask:
    """The holes of the ink, a loop of a 6 say, of which wider strokes leave nothing."""
    holes = connect(find_runs(~ink))
    if holes.count < 2:
        return np.zeros_like(ink)
    labels = holes.labels()
    area = np.bincount(labels.ravel(), minlength=holes.count + 1)
    left = np.bincount(labels[~wider], minlength=holes.count + 1)
    return holes.paint((area >= LEAST_HOLE) & (left == 0))


def _thin_parts(ink: Mask, thinner: Mask, radius: float) -> Mask:
    """The parts of the ink, the foot of a 2 say, of which thinner strokes leave nothing; and their joints."""
    reach = radius + ROUNDING
    lost = ink & (squared_distance(thinner, ceil(reach)) > reach * reach)
    if not lost.any():
        return lost
    parts = connect(find_runs(lost))
    area = np.bincount(parts.number, parts.runs.lengths, parts.count + 1)
    kept = parts.paint(area >= LEAST_PART)
    return ink & dilate_mask(kept, ceil(reach)) if kept.any() else kept


def fit_frame(ink: Mask) -> Grey:
    """Scales the ink to a 20x20 box, smoothly, and places its centre of mass at pixel (14, 14).

    Args:
        ink: bool (H, W), at least one pixel.

    Returns:
        uint8 (28, 28), ink 255 on background 0.
    """
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    tight = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    height, width = tight.shape
    longer = max(height, width)
    height, width = (
        max(1, (2 * BOX * height + longer) // (2 * longer)),
        max(1, (2 * BOX * width + longer) // (2 * longer)),
    )
    digit = resize(tight * np.uint8(255), height, width)
    top, left = _start(digit.sum(axis=1, dtype=np.int64)), _start(digit.sum(axis=0, dtype=np.int64))
    image = np.zeros((ROWS, COLUMNS), np.uint8)
    image[top : top + height, left : left + width] = digit
    return image


def is_framed(image: Grey) -> bool:
    """Whether the ink is as large as the 20x20 box, and has its centre of mass in the middle.

    Args:
        image: uint8 (28, 28), ink 255 on background 0.
    """
    ink = np.where(image > PALE, image, 0)
    across, down = ink.sum(axis=0), ink.sum(axis=1)
    columns, rows = across.nonzero()[0], down.nonzero()[0]
    if len(rows) == 0:
        return False
    longer = max(int(rows[-1] - rows[0]), int(columns[-1] - columns[0])) + 1
    if longer not in FRAMED_SIZES:
        return False
    mass = int(down.sum())
    place = np.arange(len(image))
    off = max(abs(int(place @ down) - MIDDLE * mass), abs(int(place @ across) - MIDDLE * mass))
    return off <= OFF_MIDDLE * mass


def _start(mass: Integers) -> int:
    """Where the first row (or column) goes so that the centre of mass falls on the middle one; all stays inside."""
    total = max(1, int(mass.sum()))
    centre = (2 * int((mass * np.arange(len(mass))).sum()) + total) // (2 * total)
    return min(max(MIDDLE - centre, 0), ROWS - len(mass))
