"""MNIST's own frame: the digit in 20x20 pixels, its centre of mass in the middle of 28x28."""

from typing import Final

import numpy as np

from edge.picture.ink.levels import resized
from edge.picture.ink.windows import Bytes, Mask

SIDE: Final = 28
BOX: Final = 20
# Pixels of the close-up for each pixel of the box: fine enough to change stroke widths smoothly.
FINENESS: Final = 8


def boxed(ink: Mask) -> Bytes:
    """Scales the ink to a 20x20 box, smoothly, and places its centre of mass at pixel (14, 14).

    In MNIST the centre of mass lies within half a pixel of (14, 14) in each of the 70 000 pictures.

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
    digit = resized(tight * np.uint8(255), height, width)
    top, left = _start(digit.sum(axis=1, dtype=np.int64)), _start(digit.sum(axis=0, dtype=np.int64))
    image = np.zeros((SIDE, SIDE), np.uint8)
    image[top : top + height, left : left + width] = digit
    return image


def _start(mass: np.ndarray[tuple[int], np.dtype[np.int64]]) -> int:
    """Where the first row (or column) goes so that the centre of mass falls on the middle one; all stays inside."""
    total = max(1, int(mass.sum()))
    centre = (2 * int((mass * np.arange(len(mass))).sum()) + total) // (2 * total)
    return min(max(SIDE // 2 - centre, 0), SIDE - len(mass))
