"""Grey levels -> ink: which way round the picture is, even light, and a threshold with hysteresis."""

from dataclasses import dataclass
from math import ceil
from typing import Final

import numpy as np

from edge.picture.arrays import Grey, Mask
from edge.picture.ink.components import connect, find_runs
from edge.picture.ink.levels import histogram, otsu_threshold, quantile
from edge.picture.ink.morphology import close, local_means, smooth

# Neighbourhoods in which polarity is judged, as fractions of the shorter side: from thin strokes to very thick ones.
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
    balance = weight = 0
    for mean in local_means(grey, [max(1, min(grey.shape) // fraction) for fraction in NEIGHBOURHOODS]):
        difference = grey.astype(np.int32) - mean
        cubes = difference * difference * difference
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


def even_light(
    grey: Grey, smoothed: Grey, window: int, noise: float, *, overhang: bool = False, paper_share: float = 0.5
) -> EvenLight:
    """Removes uneven light and shadows from a picture of dark ink.

    Args:
        grey: uint8 (H, W), dark ink on lighter paper.
        smoothed: uint8 (H, W), the same with less noise.
        window: pixels; strokes narrower than this are ink, wider dark areas are shadow.
        noise: standard deviation, grey levels.
        overhang: whether darkness along the picture's edge is taken as shadow, too.
        paper_share: of the picture that is blank paper, at least.

    Returns:
        The paper's light and the ink's strength.
    """
    paper = close(smoothed, window, overhang=overhang)
    depth = np.maximum(paper, grey) - grey
    counts = histogram(depth)
    offset = quantile(counts, paper_share)
    # the spread of blank paper towards the light: grain counts as noise
    grain = (offset - quantile(counts, paper_share / 5)) / 1.2816
    clear = smooth(np.maximum(depth, np.uint8(offset)) - np.uint8(offset))
    least = max(LEAST_DEPTH, CERTAIN * NOISE_LEFT * max(noise, grain))
    return EvenLight(paper, offset, relative_depth(clear, paper), at_least(clear, least))


def relative_depth(depth: Grey, paper: Grey) -> Grey:
    """Depth below the paper, grey levels, as a share of the paper's light.

    Args:
        depth: uint8 (H, W).
        paper: uint8 (H, W).

    Returns:
        uint8 (H, W), 255 for black ink in full light.
    """
    # a quotient in float32 is never rounded up to a whole number while its numerator is below 2 ** 23
    light = np.maximum(paper, np.uint8(DARKNESS)).astype(np.float32)
    light += DARKNESS
    share = depth.astype(np.float32)
    share *= 255 + DARKNESS
    share /= light
    return np.minimum(share, 255, out=share).astype(np.uint8)


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
    components = connect(find_runs(certain & at_least(strength, WEAK * level)))
    area = np.bincount(components.number, components.runs.lengths, components.count + 1)
    kept = np.zeros(components.count + 1, np.bool_)
    kept[components.around(find_runs(certain & at_least(strength, STRONG * level)))] = True
    return components.paint(kept & (area >= speck_pixels))


def at_least(image: Grey, level: float) -> Mask:
    """Where the picture has at least that level, whole or not, above 0."""
    whole = ceil(level)
    return image >= np.uint8(whole) if whole <= 255 else np.zeros(image.shape, np.bool_)
