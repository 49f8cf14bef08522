"""Which points are ink."""

from typing import Final

import numpy as np

from edge.picture.ink.components import label
from edge.picture.ink.levels import histogram, split
from edge.picture.ink.windows import Bytes, Mask

# Relative to the level that best parts what stands out of the noise: ink starts at the first, and goes on down to the
# second, which is where a pencil skips or a thin line falls between two pixels.
STRONG: Final = 0.85
WEAK: Final = 0.5


def ink(strength: Bytes, certain: Mask, speck_pixels: int) -> Mask:
    """Ink is what stands out of the noise and of fainter things, and whatever weaker is attached to it.

    Args:
        strength: uint8 (H, W), 0 paper to 255 black.
        certain: bool (H, W), what is no noise and may be ink.
        speck_pixels: smaller components are not looked at.

    Returns:
        bool (H, W).
    """
    counts = histogram(strength[certain])
    if not counts.any():
        return certain
    level = split(counts)
    labels, count = label(certain & (strength >= WEAK * level))
    kept = np.zeros(count + 1, np.bool_)
    kept[labels[strength >= STRONG * level]] = True
    kept &= np.bincount(labels.ravel(), minlength=count + 1) >= speck_pixels
    kept[0] = False
    return kept[labels]
