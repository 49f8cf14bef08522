"""The digit alone, at one size, from the full picture."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from edge.picture.ink.box import BOX, FINENESS
from edge.picture.ink.levels import histogram, quantile, resized
from edge.picture.ink.paper import strength
from edge.picture.ink.search import Reading
from edge.picture.ink.windows import Bytes, Mask, widened

MARGIN: Final = 0.12  # of the digit's size, around it
# A point is ink from this share of the digit's usual strength on: halfway up a blurred edge.
USUAL: Final = 0.7  # quantile of the strength within the digit
HALFWAY: Final = 0.5


@dataclass(frozen=True, slots=True)
class CloseUp:
    """The digit and its surroundings, enlarged or reduced to one size."""

    strength: Bytes  # uint8 (h, w)
    ink: Mask  # bool (h, w)


def close_up(full: Bytes, reading: Reading, mask: Mask, bounds: tuple[int, int, int, int]) -> CloseUp:
    """Reads the digit again from the full picture, at the size at which it fills 160 pixels.

    What was left out at working size (lines, frames, specks) stays out: the ink found there is the stencil.

    Args:
        full: uint8 (H, W), dark ink on light paper.
        reading: of the same picture at working size.
        mask: bool (h, w), the digit's ink at working size.
        bounds: of the mask: top, left, bottom, right; half open.

    Returns:
        The strength and the mask of the digit's ink.
    """
    top, left, bottom, right = bounds
    size = max(bottom - top, right - left)
    margin = max(2, round(MARGIN * size))
    rows, columns = reading.grey.shape
    top, left, bottom, right = (
        max(0, top - margin),
        max(0, left - margin),
        min(rows, bottom + margin),
        min(columns, right + margin),
    )
    scale = BOX * FINENESS / size
    height, width = max(1, round((bottom - top) * scale)), max(1, round((right - left) * scale))
    down, across = full.shape[0] / rows, full.shape[1] / columns
    grey = resized(full, height, width, (top * down, left * across, bottom * down, right * across))
    part = np.s_[top:bottom, left:right]
    paper = resized(reading.evened.paper[part], height, width)
    blank = paper.astype(np.int32) - reading.evened.offset
    ink_strength = strength(np.clip(blank - grey, 0, 255).astype(np.uint8), paper)
    coverage = resized(mask[part] * np.uint8(255), height, width)
    # a stroke hundreds of times longer than wide covers no point of the close-up by half, or at all
    found = coverage >= min(128, int(coverage.max()))
    usual = quantile(histogram(ink_strength[found]), USUAL) if found.any() else 0
    # the stencil is as coarse as a working pixel
    stencil = widened(found, FINENESS // 2)
    ink = stencil & (ink_strength >= max(1, HALFWAY * usual))
    return CloseUp(ink_strength, ink if ink.any() else found)
