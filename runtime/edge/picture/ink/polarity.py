"""Whether the ink is lighter than its paper."""

from typing import Final

import numpy as np

from edge.picture.ink.levels import reduced
from edge.picture.ink.windows import Bytes, means

# Decided on a small copy: polarity is a question of areas.
MOST_PIXELS: Final = 128 * 128
# Neighbourhoods, as fractions of the shorter side: from thin strokes to very thick ones.
NEIGHBOURHOODS: Final = (16, 8, 4)


def lightness(grey: Bytes) -> float:
    """How clearly the ink is lighter (above 0) or darker (below 0) than the paper.

    Near a stroke, ink is the rarer level: it lies further from the local mean than the paper does. The third moment
    of the difference from the local mean therefore has the sign of the ink. Slopes of light and the edges of shadows
    and frames have as much on one side as on the other and add nothing, which the level of the border or the
    commonest level cannot say of themselves.

    Args:
        grey: uint8 (H, W).

    Returns:
        From -1 to 1; 0 for a picture of one level.
    """
    small = reduced(grey, MOST_PIXELS)
    balance = weight = 0
    for fraction in NEIGHBOURHOODS:
        difference = small - means(small, max(1, min(small.shape) // fraction))
        cubes = difference**3
        balance += int(cubes.sum())
        weight += int(np.abs(cubes).sum())
    return balance / weight if weight else 0.0
