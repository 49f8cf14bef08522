"""Grey levels -> ink: which way round the picture is, even light, and a threshold with hysteresis."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from edge.picture.arrays import Grey, Mask
from edge.picture.ink.components import label
from edge.picture.ink.levels import histogram, otsu_threshold, quantile, shrink
from edge.picture.ink.morphology import close, local_mean, smooth

# Polarity is decided on a small copy: it is a question of areas.
POLARITY_PIXELS: Final = 128 * 128
# Neighbourhoods, as fractions of the shorter side: from thin strokes to very thick ones.
NEIGHBOURHOODS: Final = (16, 8, 4)

# A point is told from noise if it lies this many standard deviations below the paper. With 100 000 points, five would
# leave none to chance; specks that pass are left out later.
CERTAIN: Final = 4.5
# What `smooth` leaves of white noise, with a margin for noise that neighbours share.
NOISE_LEFT: Final = 0.45
# Two levels are never certain: rounding alone makes one.
LEAST_DEPTH: Final = 2
# Ink takes a share of the light, so strength is depth over paper; but in the dark a camera's noise takes over, so the
# paper is taken to be lighter by this many levels.
DARKNESS: Final = 32

# Relative to the level that best parts what stands out of the noise: ink starts at the first, and goes on down to the
# second, which is where a pencil skips or a thin line falls between two pixels.
STRONG: Final = 0.85
WEAK: Final = 0.5


def ink_polarity(grey: Grey) -> float:
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
    small = shrink(grey, POLARITY_PIXELS)
    balance = weight = 0
    for fraction in NEIGHBOURHOODS:
        difference = small - local_mean(small, max(1, min(small.shape) // fraction))
        cubes = difference**3
        balance += int(cubes.sum())
        weight += int(np.abs(cubes).sum())
    return balance / weight if weight else 0.0


@dataclass(frozen=True, slots=True)
class EvenLight:
    """A picture of dark ink under even light.

    Attributes:
        paper: uint8 (H, W), what the picture would be without ink.
        offset: levels by which blank paper lies below `paper`, which is an upper bound.
        strength: uint8 (H, W), 0 paper to 255 black: depth relative to the paper's light.
        certain: bool (H, W), deeper than noise.
    """

    paper: Grey
    offset: int
    strength: Grey
    certain: Mask


def even_light(grey: Grey, window: int, noise: float, *, overhang: bool, paper_share: float = 0.5) -> EvenLight:
    """Removes uneven light and shadows from a picture of dark ink.

    Args:
        grey: uint8 (H, W), dark ink on lighter paper.
        window: pixels; strokes narrower than this are ink, wider dark areas are shadow.
        noise: standard deviation, grey levels.
        overhang: whether darkness along the picture's edge is taken as shadow, too.
        paper_share: of the picture that is blank paper, at least.

    Returns:
        The paper's light and the ink's strength.
    """
    paper = close(smooth(grey), window, overhang=overhang)
    depth = np.where(paper > grey, paper - grey, 0).astype(np.uint8)
    counts = histogram(depth)
    offset = quantile(counts, paper_share)
    # the spread of blank paper towards the light: grain counts as noise
    grain = (offset - quantile(counts, paper_share / 5)) / 1.2816
    clear = smooth(np.where(depth > offset, depth - offset, 0).astype(np.uint8))
    least = max(LEAST_DEPTH, CERTAIN * NOISE_LEFT * max(noise, grain))
    return EvenLight(paper, offset, relative_depth(clear, paper), clear >= least)


def relative_depth(depth: Grey, paper: Grey) -> Grey:
    """Depth below the paper, grey levels, as a share of the paper's light.

    Args:
        depth: uint8 (H, W).
        paper: uint8 (H, W).

    Returns:
        uint8 (H, W), 255 for black ink in full light.
    """
    share = depth.astype(np.int32) * (255 + DARKNESS) // np.maximum(paper.astype(np.int32) + DARKNESS, 2 * DARKNESS)
    return np.minimum(share, 255).astype(np.uint8)


def threshold(strength: Grey, certain: Mask, speck_pixels: int) -> Mask:
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
    level = otsu_threshold(counts)
    labels, count = label(certain & (strength >= WEAK * level))
    kept = np.zeros(count + 1, np.bool_)
    kept[labels[strength >= STRONG * level]] = True
    kept &= np.bincount(labels.ravel(), minlength=count + 1) >= speck_pixels
    kept[0] = False
    return kept[labels]
