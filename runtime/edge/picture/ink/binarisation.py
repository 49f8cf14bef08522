"""Grey levels -> ink: sizes, histograms, noise; which way round the picture is, even light, and a threshold."""

from dataclasses import dataclass
from math import ceil
from typing import Final

import numpy as np
from PIL import Image

from edge.picture.ink.components import connect, find_runs
from edge.picture.ink.morphology import close, local_means, smooth
from edge.picture.luminance import Grey, Integers, Mask

# The name under which the manifest knows how pictures are made smaller: each new pixel is the mean of the area that
# it covers.
REDUCTION: Final = "box"
# Faint writing has few grey levels, and averaging would round them away: pictures with less than this range are
# spread over the whole scale first.
WIDE_RANGE: Final = 128

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

_LEVELS: Final = np.arange(256)
_SQUARES: Final = _LEVELS * _LEVELS


def as_image(picture: Grey | Image.Image) -> Image.Image:
    """The picture as a Pillow image of mode L; pixels that lie in their order are not copied."""
    if isinstance(picture, Image.Image):
        return picture
    height, width = picture.shape
    # `fromarray` finds out the type of the pixels, which takes as long as a small picture
    return Image.frombuffer("L", (width, height), np.ascontiguousarray(picture), "raw", "L", 0, 1)


def resize(
    picture: Grey | Image.Image, height: int, width: int, part: tuple[float, float, float, float] | None = None
) -> Grey:
    """A picture, or a part of it, at another size; area means where it shrinks, bicubic where it grows.

    Args:
        picture: uint8 (H, W), or an image of mode L.
        height: of the result, pixels.
        width: of the result, pixels.
        part: top, left, bottom, right within the picture, whole or fractional pixels; all of it without.

    Returns:
        uint8 (height, width).
    """
    image = as_image(picture)
    top, left, bottom, right = part or (0, 0, image.height, image.width)
    method = Image.Resampling.BOX if bottom - top >= height else Image.Resampling.BICUBIC
    return np.asarray(image.resize((width, height), method, (left, top, right, bottom)))


def shrink(picture: Grey | Image.Image, most_pixels: int) -> Grey:
    """The picture at a size of at most about `most_pixels`, uint8 (h, w); smaller pictures keep their size."""
    image = as_image(picture)
    scale = (image.height * image.width / most_pixels) ** 0.5
    if scale <= 1:
        return np.asarray(picture)
    return resize(image, max(1, round(image.height / scale)), max(1, round(image.width / scale)))


def stretched(small: Grey) -> list[int]:
    """The level that each level of a picture becomes, so that the darkest of a small copy is 0 and the lightest 255.

    Each stays as it is where the copy has a wide range of levels, or one level alone.

    Args:
        small: uint8 (h, w).

    Returns:
        256 levels.
    """
    darkest, lightest = int(small.min()), int(small.max())
    levels = lightest - darkest
    if levels >= WIDE_RANGE or levels == 0:
        return list(range(256))
    return [min(max(level - darkest, 0), levels) * 255 // levels for level in range(256)]


def histogram(values: Grey) -> Integers:
    """How often each level from 0 to 255 occurs."""
    if values.size == 0:
        return np.zeros(256, np.int64)
    return np.array(as_image(values.reshape(1, -1)).histogram())  # numpy has none for bytes


def quantile(counts: Integers, share: float) -> int:
    """The smallest level at or below which at least that share of the counted values lies."""
    running = np.cumsum(counts)
    return int(np.searchsorted(running, max(1, round(share * int(running[-1])))))


def otsu_threshold(counts: Integers) -> int:
    """The level that parts the counted values into two groups whose means lie furthest apart.

    Source: N. Otsu, "A threshold selection method from gray-level histograms", 1979.

    Args:
        counts: int64, how often each level occurs; not all zero.

    Returns:
        The largest level of the lower group.
    """
    return _parted(counts)[0]


def separability(counts: Integers) -> float:
    """How much of the variance of the levels lies between Otsu's two groups: 1 for two levels, 0.75 for a slope.

    Args:
        counts: int64, how often each level occurs; not all zero.

    Returns:
        0 to 1; 0 for a single level.
    """
    level, lower, lower_sum = _parted(counts)
    total, below, mass, mass_below = int(lower[-1]), int(lower[level]), int(lower_sum[-1]), int(lower_sum[level])
    variance_of_all = total * int(counts @ _SQUARES[: len(counts)]) - mass * mass
    if not 0 < below < total or variance_of_all == 0:
        return 0.0
    return (mass_below * total - mass * below) ** 2 / (below * (total - below) * variance_of_all)


def _parted(counts: Integers) -> tuple[int, Integers, Integers]:
    """Otsu's level; and up to each level how many values there are, and their sum."""
    lower, lower_sum = counts.cumsum(), (counts * _LEVELS[: len(counts)]).cumsum()
    exact, exact_sum = lower.astype(np.float64), lower_sum.astype(np.float64)
    both = exact * (exact[-1] - exact)
    apart = (exact_sum[-1] * exact - exact_sum * exact[-1]) ** 2
    return int(np.where(both > 0, apart / np.maximum(both, 1), -1.0).argmax()), lower, lower_sum


def noise_deviation(image: Grey) -> float:
    """The standard deviation of the picture's pixel noise, grey levels.

    The median answer of a mask that is blind to anything flat or sloping, so that strokes, being rare, do not count.
    Source: J. Immerkaer, "Fast noise variance estimation", 1996, with the median in place of the mean.
    """
    if min(image.shape) < 3:
        return 0.0
    height, width = image.shape
    line = image.astype(np.int16).ravel()  # one long row: what runs over the end of a row falls away
    for step in (1, 1, width, width):  # 1, -2, 1 is -1, 1 twice
        line = line[step:] - line[:-step]
    answer = np.zeros((height - 2, width), np.int16)
    np.abs(line, out=answer.ravel()[: len(line)])
    # the mask's squares sum to 36; half of the magnitudes of a normal distribution lie below 0.6745
    return quantile(np.bincount(answer[:, :-2].ravel()), 0.5) / (6 * 0.6745)


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
