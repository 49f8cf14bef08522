"""Whether a 28x28 picture is framed as MNIST's images are."""

from typing import Final

import numpy as np

from edge.picture.ink.windows import Bytes

# Pixels of the longer side. MNIST's is 20; the soft edges of a pen may end before or beyond.
SMALLEST: Final = 17
LARGEST: Final = 22
PALE: Final = 16  # grey levels: below is no ink; a JPEG leaves some on blank paper
MIDDLE: Final = 14  # pixel of the centre of mass, rows and columns alike
# MNIST's centres lie within half a pixel of it; a whole pixel, because a JPEG and another rounding move it a little.
OFF_MIDDLE: Final = 1


def is_framed(image: Bytes) -> bool:
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
    if not SMALLEST <= longer <= LARGEST:
        return False
    mass = int(down.sum())
    place = np.arange(len(image))
    off = max(abs(int(place @ down) - MIDDLE * mass), abs(int(place @ across) - MIDDLE * mass))
    return off <= OFF_MIDDLE * mass
