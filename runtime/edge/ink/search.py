"""Finds the digit in a grey picture, trying again where a first reading is in doubt."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from edge.ink.levels import noise, reduced, spread
from edge.ink.lines import without_lines
from edge.ink.paper import Evened, even
from edge.ink.pieces import Digit, choose
from edge.ink.polarity import lightness
from edge.ink.threshold import ink
from edge.ink.windows import Bytes, Mask

# The picture is searched at this size: large enough for a thin pen, and quick.
WORKING_PIXELS: Final = 320 * 320
# The window that strokes must be narrower than, as a fraction of the shorter side.
WINDOW: Final = 0.22
SMALLEST_WINDOW: Final = 5
# Components below this fraction of the longer side, in pixels, are noise.
SPECK: Final = 1 / 130
# Below this lightness either way, both polarities are tried; the less likely must score this much better.
DOUBT: Final = 0.2
OVERRULING: Final = 1.3


@dataclass(frozen=True, slots=True)
class Reading:
    """One way to read a picture: what the steps made of it."""

    grey: Bytes  # uint8 (h, w): the picture at working size, dark ink on light paper
    light_ink: bool  # whether it had to be inverted for that
    evened: Evened
    ink: Mask
    without_lines: Mask
    digit: Digit | None


def find(grey: Bytes) -> tuple[Bytes, Reading]:
    """Finds the digit.

    Args:
        grey: uint8 (H, W), either polarity.

    Returns:
        The full picture with dark ink on light paper, its levels spread, uint8 (H, W); and what was found in it at
        working size.
    """
    small = reduced(grey, WORKING_PIXELS)
    darkest, lightest = int(small.min()), int(small.max())
    full, small = spread(grey, darkest, lightest), spread(small, darkest, lightest)
    likely = lightness(small)
    reading = read(small, light_ink=likely > 0)
    if abs(likely) < DOUBT:
        other = read(small, light_ink=likely <= 0)
        if _score(other) > OVERRULING * _score(reading):
            reading = other
    return (255 - full if reading.light_ink else full), reading


def read(grey: Bytes, *, light_ink: bool) -> Reading:
    """Reads a picture of working size, taking the ink to be light or dark."""
    if light_ink:
        grey = 255 - grey
    window = max(SMALLEST_WINDOW, int(min(grey.shape) * WINDOW))
    evened = even(grey, window, noise(grey), overhang=False)
    inked = ink(evened, max(2, round(max(grey.shape) * SPECK)))
    unruled = without_lines(inked)
    return Reading(grey, light_ink, evened, inked, unruled, choose(unruled, grey, evened.paper))


def _score(reading: Reading) -> float:
    return reading.digit.score if reading.digit else 0.0
