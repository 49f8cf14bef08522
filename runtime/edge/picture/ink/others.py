"""How many digits there are, where one was looked for.

Cautious on purpose: a second digit that is overlooked costs a label that means little anyway, one that is imagined
costs a label that is right.
"""

from typing import Final

import numpy as np

from edge.picture.ink.pieces import Digit, Pieces
from edge.picture.ink.windows import Bytes, Mask

# What is this much like the digit that was chosen is another one: height over its size, stroke width, darkness, support
# by edges, each relative to its own. What is left of printed lines is thinner and paler, what is left of a shadow has
# no edges, an underline is flat, and what the picture's edge cuts off does not count.
HEIGHT: Final = (0.55, 1.8)
STROKE: Final = (0.4, 2.5)
LEAST_DARKNESS: Final = 0.6
LEAST_SUPPORT: Final = 0.8
# A speck is about half as thick as large; where the digit itself looks like one, nothing is counted.
THICKEST: Final = 0.36
UPRIGHT: Final = 0.5  # height over size: what is flatter is an underline taken for a digit
# Beside, above or below the digit by this share of its size: nearer, it may be a part of it.
LEAST_GAP: Final = 0.05
# Digits written so closely that they were joined into one: pieces side by side, each as high as the whole, or almost.
PART_HEIGHT: Final = 0.6
JOINED_ASPECT: Final = 1.15  # width over height; a 0 in two halves is narrower
# Digits that touch are one piece, wide, and high all along its width; a digit that wide has a dip or is a dash.
TOUCHING_ASPECT: Final = 1.9
USUAL_ASPECT: Final = 0.75  # of a handwritten digit with the gap behind it
STROKES_HIGH: Final = 3  # times the stroke width, the least height of writing
PARTS: Final = 5  # of the width, in each of which the ink must reach PART_HEIGHT


def count(pieces: Pieces, digit: Digit, strength: Bytes) -> int:
    """The number of digits in a picture in which one was found.

    Args:
        pieces: of the picture's ink.
        digit: the one that was chosen.
        strength: uint8 (H, W), of the ink.

    Returns:
        1 or more; about right where digits touch.
    """
    return _within(pieces, digit) + int(_others(pieces, digit, strength).sum())


def _others(pieces: Pieces, digit: Digit, strength: Bytes) -> Mask:
    """Pieces outside of the digit that look as much like one."""
    measures, main = pieces.measures, digit.main
    top, left, bottom, right = digit.box
    size = max(bottom - top, right - left)
    if digit.thickness > THICKEST or bottom - top < UPRIGHT * size:
        return np.zeros_like(digit.chosen)
    gap = np.maximum(
        np.maximum(left - measures.right, measures.left - right),
        np.maximum(top - measures.bottom, measures.top - bottom),
    )
    ink = np.bincount(pieces.labels.ravel(), strength.ravel(), len(measures.area)) / np.maximum(measures.area, 1)
    like = pieces.written(main) & ~digit.chosen & (measures.on_edge == 0) & (gap >= LEAST_GAP * size)
    like &= (measures.height >= HEIGHT[0] * size) & (measures.size <= HEIGHT[1] * size)
    like &= (measures.thickness >= STROKE[0] * measures.thickness[main]) & (
        measures.thickness <= STROKE[1] * measures.thickness[main]
    )
    like &= ink >= LEAST_DARKNESS * ink[main]
    like &= measures.thickness <= THICKEST * measures.size
    like &= pieces.support >= LEAST_SUPPORT * pieces.support[main]
    return np.asarray(like, np.bool_)


def _within(pieces: Pieces, digit: Digit) -> int:
    """How many digits the chosen one is: more than one where neighbours were joined, or touch."""
    top, left, bottom, right = digit.box
    height, width = bottom - top, right - left
    measures = pieces.measures
    high = digit.chosen & (measures.height >= PART_HEIGHT * height)
    drawn = (measures.height >= UPRIGHT * measures.size) & (measures.thickness <= THICKEST * measures.size)
    tall = np.flatnonzero(high & drawn)
    order = tall[np.argsort(measures.left[tall], kind="stable")]
    reached, beside = 0, 0
    for piece in order.tolist():
        beside += int(measures.left[piece]) >= reached
        reached = max(reached, int(measures.right[piece]))
    if beside >= 2 and width >= JOINED_ASPECT * height:
        return beside
    written = height >= STROKES_HIGH * measures.thickness[digit.main]
    if written and width >= TOUCHING_ASPECT * height and _high_all_along(digit.mask[top:bottom, left:right]):
        return max(2, round(width / height / USUAL_ASPECT))
    return 1


def _high_all_along(ink: Mask) -> bool:
    """Whether the ink spans most of the height in every part of its width."""
    for part in np.array_split(ink, PARTS, axis=1):
        rows = np.flatnonzero(part.any(axis=1))
        if len(rows) == 0 or rows[-1] + 1 - rows[0] < PART_HEIGHT * len(ink):
            return False
    return True
