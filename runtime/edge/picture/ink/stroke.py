"""Strokes that are too thin or too thick for the model are brought into its range."""

from math import ceil
from typing import Final

import numpy as np

from edge.picture.ink.box import FINENESS
from edge.picture.ink.components import thickness
from edge.picture.ink.windows import Mask, padded, squared_distance

# Pixels of the 28x28 picture. In MNIST, measured in the same way, 98 of 100 digits lie between 1.5 and 4.3.
THINNEST: Final = 1.5
THICKEST: Final = 4.2
# Thick strokes lose only this share of what they have too much: their thin parts must not break.
THINNING: Final = 0.7
LEAST_LEFT: Final = 0.2


def width(ink: Mask) -> float:
    """The mean stroke width of a close-up's ink, pixels of the 28x28 picture."""
    return thickness(ink) / FINENESS


def adjusted(ink: Mask) -> Mask:
    """The ink with strokes of a width that the model knows.

    Shrunk to 20 pixels, the line of a thin pen would fade away: it is thickened before.

    Args:
        ink: bool (h, w), a close-up.

    Returns:
        bool, the same or with a wider margin.
    """
    now = width(ink)
    if now < THINNEST:
        radius = (THINNEST - now) / 2 * FINENESS
        return squared_distance(padded(ink, ceil(radius) + 1), ceil(radius)) <= radius * radius
    if now > THICKEST:
        radius = (now - THICKEST) / 2 * FINENESS * THINNING
        thinner = squared_distance(~padded(ink, 1), ceil(radius)) > radius * radius
        if np.count_nonzero(thinner) >= LEAST_LEFT * np.count_nonzero(ink):
            return thinner
    return ink
