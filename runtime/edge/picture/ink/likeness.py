"""How much a picture looks like one of a written digit: what reading knows of it, and its image no longer shows.

Of a dial, a face or a road sign little but a ring may be left, and a model says 0. Pen strokes are unlike such a ring:
a row of a digit crosses one or two of them, no other ink lies between them, the paper is the same on both
sides, and no hand draws the same curve twice. A letter, a cup or a head is none of this, and a second opinion knows it.
Each of seven traits counts only beyond what nearly all digits have, so that most lose nothing.

The numbers were chosen with `benchmarks/likeness.py`, on drawn digits and on drawn pictures that show none; those of
the second opinion, and the allowance, with the kinds of `rejection_asked.py`.
"""

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge.picture.ink.normalisation import strokes_crossed
from edge.picture.ink.opinion import oddness
from edge.picture.luminance import Grey, Mask

if TYPE_CHECKING:
    from edge.picture.ink.digit import Digit
    from edge.picture.ink.segmentation import Segmentation

HALF: Final = 128  # grey levels: from here on a pixel of the image is ink
# Strokes that a row crosses on average, from which on symmetry counts: a bar, which is a plain 1, has all of it, and a
# thick ring, which is the 0 of a marker, looks the same after half a turn.
BAR: Final = 1.2
RING: Final = 1.6
# The paper on both sides of the strokes is compared on so many rows and columns of a digit, this far from the ink.
CROSSINGS: Final = 16
AWAY: Final = 0.04  # of the digit's size
LEAST_AWAY: Final = 2  # pixels: edges are soft
FEWEST: Final = 8  # places with paper on both sides: of fewer nothing is said
LEAST_CONTRAST: Final = 8  # grey levels between paper and ink


class Traits(NamedTuple):
    """What is measured of a digit, or of what was taken for one; low for digits.

    Attributes:
        turned: share of the ink, 0 to 1, that half a turn of the image leaves in place; 0 for bars and thick rings.
        mirrored: the same of the better one of two mirrors, upright or level; 0 for bars.
        across: strokes that a row of the image crosses on average, of those with ink.
        down: strokes that a column of the close-up crosses on average; it has the ticks of a dial, the image not.
        enclosed: ink in the digit's box that is no part of it, as a share of the digit's area.
        filled: how much darker or lighter the paper is on the inner side of the strokes than on the outer, as a share
            of the ink's contrast, at three of four places; a shadow and noise are on either side.
        odd: by a second opinion, the logarithm of the odds that the image shows no digit; below 0 for most digits.
    """

    turned: float
    mirrored: float
    across: float
    down: float
    enclosed: float
    filled: float
    odd: float


# What a trait may be at no cost, about 97 of 100 hard pictures of digits being below; how much more costs as much score
# as usual digits differ by; and what a single trait costs at most.
USUAL: Final = Traits(turned=0.85, mirrored=0.86, across=1.85, down=2.8, enclosed=0.02, filled=0.06, odd=2.5)
UNIT: Final = Traits(turned=0.03, mirrored=0.04, across=0.2, down=0.8, enclosed=0.05, filled=0.02, odd=0.25)
MOST: Final = 4.0
# Digits out of pictures have lower scores than the validation digits of which the threshold rejects 1 %: without this,
# it would reject 3 to 4 % of hard pictures, many of them read right. The traits reject in its place what it lets pass.
ALLOWANCE: Final = 2.25


def likeness(image: Grey, found: "Segmentation", crossed: float) -> float:
    """What reading adds to the score of an image: the more, the more its picture looks like one of a digit.

    Args:
        image: uint8 (28, 28), what the model sees.
        found: the digit in the picture at working size.
        crossed: strokes that a column of the close-up crosses on average.

    Returns:
        `ALLOWANCE` for most digits, less for others.
    """
    return ALLOWANCE - cost(measure(image, found, crossed))


def cost(traits: Traits) -> float:
    """What traits beyond the usual take from the score, 0 or more."""
    beyond = ((trait - usual) / unit for trait, usual, unit in zip(traits, USUAL, UNIT, strict=True))
    return sum(min(max(0.0, each), MOST) for each in beyond)


def measure(image: Grey, found: "Segmentation", crossed: float) -> Traits:
    """The traits of what was found; the arguments are those of `likeness`."""
    ink = image >= HALF
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    if found.digit is None or len(rows) == 0:
        return Traits(*[0.0] * len(Traits._fields))
    tight = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    other_ways = tight[::-1, ::-1], tight[:, ::-1], tight[::-1]
    turned, across_it, along_it = (np.count_nonzero(tight & other) / np.count_nonzero(tight) for other in other_ways)
    across = strokes_crossed(tight.T)
    top, left, bottom, right = found.digit.box
    box = slice(top, bottom), slice(left, right)
    part_of_it, all_ink = np.count_nonzero(found.digit.mask[box]), np.count_nonzero(found.ink[box])
    return Traits(
        turned=float(turned) if across > RING else 0.0,
        mirrored=float(max(across_it, along_it)) if across > BAR else 0.0,
        across=across,
        down=crossed,
        enclosed=float(all_ink / part_of_it - 1),
        filled=_sides(found, found.digit),
        odd=oddness(image),
    )


def _sides(found: "Segmentation", digit: "Digit") -> float:
    """How much darker or lighter the paper is on the inner side of the strokes than on the outer: `filled`."""
    top, left, bottom, right = digit.box
    size = max(bottom - top, right - left)
    away, step = max(LEAST_AWAY, round(AWAY * size)), max(1, round(size / CROSSINGS))
    margin = away + away // 2 + 1
    rows, columns = slice(max(0, top - margin), bottom + margin), slice(max(0, left - margin), right + margin)
    strokes, grey = digit.mask[rows, columns], found.picture.smoothed[rows, columns]
    ways = ((strokes[::step], grey[::step]), (strokes.T[::step], grey.T[::step]))
    outer, inner = np.concatenate([_beside(mask, levels, away, margin) for mask, levels in ways], axis=1)
    if len(outer) < FEWEST:
        return 0.0
    changes = np.sort(outer - inner)
    outer.sort()
    darker, paper, lighter = changes[len(changes) // 4], outer[len(outer) // 2], -changes[-1 - len(changes) // 4]
    some = slice(None, None, step), slice(None, None, step)
    ink = grey[some][strokes[some]]
    return float(max(0, darker, lighter) / max(LEAST_CONTRAST, paper - float(ink.mean()) if len(ink) else 0.0))


def _beside(strokes: Mask, grey: Grey, away: int, margin: int) -> NDArray[np.int16]:
    """The paper so many pixels beside each stroke that a row crosses, int16 (2, N): on the outer side, on the inner."""
    width, half = strokes.shape[1], away // 2
    ink, grey = strokes.reshape(-1), grey.reshape(-1)
    within = strokes.copy()
    within[:, :margin] = within[:, -margin:] = False  # so that both sides are in the row
    flat = within.reshape(-1)
    edges = np.flatnonzero(flat[1:] != flat[:-1])
    before, behind = edges[::2] + 1 - away, edges[1::2] + away
    clear = ~(ink[before] | ink[behind] | ink[before - half] | ink[behind + half])  # another stroke would be near
    before, behind = before[clear], behind[clear]
    sides = grey[np.stack([before, behind])].astype(np.int16)
    return np.where(before % width + behind % width < width, sides, sides[::-1])
