"""Grey levels: pictures at other sizes, histograms, Otsu's threshold, contrast, noise."""

from typing import Final

import numpy as np
from PIL import Image

from edge.picture.arrays import Grey, Integers

# The name under which the manifest knows how pictures are made smaller: each new pixel is the mean of the area that
# it covers.
REDUCTION: Final = "box"
# Faint writing has few grey levels, and averaging would round them away: pictures with less than this range are
# spread over the whole scale first.
WIDE_RANGE: Final = 128

_LEVELS: Final = np.arange(256)
_SQUARES: Final = _LEVELS * _LEVELS


def as_image(picture: Grey | Image.Image) -> Image.Image:
    """The picture as a Pillow image of mode L; pixels that lie in their order are not copied."""
    if isinstance(picture, Image.Image):
        return picture
    height, width = (
        picture.shape
    )  # `fromarray` finds out the type of the pixels, which takes as long as a small picture
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
