"""How much a picture looks like one of a written digit: what reading knows of it, and its image no longer shows.

Of a dial, a face or a road sign little but a ring may be left, and a model says 0. Pen strokes are unlike such a ring:
a row of a digit crosses one or two of them, nothing lies between them that is no part of the digit, and no hand draws
the same curve twice. Each of five traits counts only beyond what nearly all digits have, so that most lose nothing.

The numbers were chosen with `benchmarks/likeness.py`, on drawn digits and on drawn pictures that show none.
"""

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from edge.picture.arrays import Grey, Mask

if TYPE_CHECKING:
    from edge.picture.ink.search import Segmentation

HALF: Final = 128  # grey levels: from here on a pixel of the image is ink
# Strokes that a row crosses on average, from which on symmetry counts: a bar, which is a plain 1, has all of it, and a
# thick ring, which is the 0 of a marker, looks the same after half a turn.
BAR: Final = 1.2
RING: Final = 1.6


class Traits(NamedTuple):
    """What is measured of a digit, or of what was taken for one; low for digits.

    Attributes:
        turned: share of the ink, 0 to 1, that half a turn of the image leaves in place; 0 for bars and thick rings.
        mirrored: the same of the better one of two mirrors, upright or level; 0 for bars.
        across: strokes that a row of the image crosses on average, of those with ink.
        down: strokes that a column of the close-up crosses on average; it has the ticks of a dial, the image not.
        enclosed: ink in the digit's box that is no part of it, as a share of the digit's area.
    """

    turned: float
    mirrored: float
    across: float
    down: float
    enclosed: float


# What a trait may be at no cost, about 97 of 100 hard pictures of digits being below; how much more costs as much score
# as usual digits differ by; and what a single trait costs at most.
USUAL: Final = Traits(turned=0.85, mirrored=0.86, across=1.85, down=2.8, enclosed=0.02)
UNIT: Final = Traits(turned=0.03, mirrored=0.04, across=0.2, down=0.8, enclosed=0.05)
MOST: Final = 4.0
# Digits out of pictures have lower scores than the validation digits of which the threshold rejects 1 %: without this,
# it would reject 3 to 4 % of hard pictures, many of them read right. The traits reject in its place what it lets pass.
ALLOWANCE: Final = 0.6


def likeness(image: Grey, found: "Segmentation", close_up: Mask) -> float:
    """What reading adds to the score of an image: the more, the more its picture looks like one of a digit.

    Args:
        image: uint8 (28, 28), what the model sees.
        found: the digit in the picture at working size.
        close_up: bool (h, w), the digit's ink in the close-up.

    Returns:
        `ALLOWANCE` for most digits, less for others.
    """
    return ALLOWANCE - cost(measure(image, found, close_up))


def cost(traits: Traits) -> float:
    """What traits beyond the usual take from the score, 0 or more."""
    beyond = ((trait - usual) / unit for trait, usual, unit in zip(traits, USUAL, UNIT, strict=True))
    return sum(min(max(0.0, each), MOST) for each in beyond)


def measure(image: Grey, found: "Segmentation", close_up: Mask) -> Traits:
    """The traits of what was found; the arguments are those of `likeness`."""
    ink = image >= HALF
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    if found.digit is None or len(rows) == 0:
        return Traits(0.0, 0.0, 0.0, 0.0, 0.0)
    tight = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    other_ways = tight[::-1, ::-1], tight[:, ::-1], tight[::-1]
    turned, across_it, along_it = (np.count_nonzero(tight & other) / np.count_nonzero(tight) for other in other_ways)
    across = _crossed(tight.T)
    top, left, bottom, right = found.digit.box
    box = slice(top, bottom), slice(left, right)
    part_of_it, all_ink = np.count_nonzero(found.digit.mask[box]), np.count_nonzero(found.ink[box])
    return Traits(
        turned=float(turned) if across > RING else 0.0,
        mirrored=float(max(across_it, along_it)) if across > BAR else 0.0,
        across=across,
        down=_crossed(close_up),
        enclosed=float(all_ink / part_of_it - 1),
    )


def _crossed(ink: Mask) -> float:
    """The strokes that a column crosses on average, of those with ink."""
    starts = np.count_nonzero(ink[1:] > ink[:-1]) + np.count_nonzero(ink[0])
    return int(starts) / max(1, int(np.count_nonzero(ink.any(axis=0))))
