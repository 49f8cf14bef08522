"""Filters over square windows: dilation, erosion, closing, means, smoothing and distance; all in integers.

By hand because the thin install has no OpenCV and no SciPy; at these sizes both are no faster.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.picture.arrays import Grey, Integers, Mask


def dilate(image: Grey, reach: int) -> Grey:
    """The largest value within `reach` pixels of each pixel, rows and columns alike; beyond the edge counts as 0."""
    return _slide(_slide(image, reach, 0, np.maximum, 0), reach, 1, np.maximum, 0)


def erode(image: Grey, reach: int) -> Grey:
    """The smallest value within `reach` pixels of each pixel; beyond the edge counts as 255."""
    return _slide(_slide(image, reach, 0, np.minimum, 255), reach, 1, np.minimum, 255)


def dilate_mask(mask: Mask, reach: int, *, rows: bool = True, columns: bool = True) -> Mask:
    """Every pixel within `reach` pixels of the mask, across the named directions.

    Args:
        mask: bool (H, W).
        reach: pixels, 0 or more.
        rows: whether it grows up and down.
        columns: whether it grows left and right.

    Returns:
        bool (H, W).
    """
    grown = mask.view(np.uint8)
    if rows:
        grown = _slide(grown, reach, 0, np.maximum, 0)
    if columns:
        grown = _slide(grown, reach, 1, np.maximum, 0)
    return grown.view(np.bool_)


def close(image: Grey, side: int, *, overhang: bool) -> Grey:
    """The picture without dark things that are narrower than a square window.

    Each pixel becomes the smallest, over all windows that hold it, of the largest value in the window: a dark stroke
    vanishes, a dark area into which the window fits stays exactly as it is, edges included.

    Args:
        image: uint8 (H, W).
        side: of the window, pixels.
        overhang: whether a window may lie almost wholly outside the picture, so that darkness along the picture's
            edge stays too; otherwise its centre stays inside.

    Returns:
        uint8 (H, W), nowhere smaller than the image.
    """
    reach = max(1, side // 2)
    if not overhang:
        return erode(dilate(image, reach), reach)
    return erode(dilate(pad(image, reach), reach), reach)[reach:-reach, reach:-reach]


def pad(image: NDArray[Any], rows: int, columns: int | None = None, beyond: int = 0) -> NDArray[Any]:
    """The picture with a margin of one value: what `numpy.pad` gives, in a tenth of the time of a small picture.

    Args:
        image: (H, W), of any type.
        rows: of the margin, above and below.
        columns: of the margin, at either side; as many as rows without.
        beyond: the value of the margin.

    Returns:
        (H + 2 * rows, W + 2 * columns), of the same type.
    """
    columns = rows if columns is None else columns
    height, width = image.shape
    result = np.full((height + 2 * rows, width + 2 * columns), beyond, image.dtype)
    result[rows : rows + height, columns : columns + width] = image
    return result


def local_mean(image: NDArray[Any], reach: int) -> Integers:
    """The mean of the pixels within `reach` of each pixel, rounded down; windows are cut at the edge.

    Running sums: the cost does not depend on the reach.
    """
    height, width = image.shape
    total = pad(image.astype(np.int64), reach + 1)[:-1, :-1].cumsum(0).cumsum(1)
    bands = total[2 * reach + 1 :] - total[: -2 * reach - 1]
    windows = bands[:, 2 * reach + 1 :] - bands[:, : -2 * reach - 1]
    rows, columns = _reached(height, reach), _reached(width, reach)
    result: Integers = windows // (rows[:, None] * columns[None, :])
    return result


def smooth(image: Grey) -> Grey:
    """Weighted 1, 2, 1 in both directions and rounded: three eighths of white noise remain."""
    height, width = image.shape
    level = np.empty((height + 2, width + 2), np.uint16)
    level[1:-1, 1:-1] = image
    level[0, 1:-1], level[-1, 1:-1] = image[0], image[-1]
    level[:, 0], level[:, -1] = level[:, 1], level[:, -2]
    pairs = level[:-1] + level[1:]  # 1, 2, 1 is 1, 1 twice
    across = pairs[:-1] + pairs[1:]
    pairs = across[:, :-1] + across[:, 1:]
    total = pairs[:, :-1] + pairs[:, 1:]
    total += np.uint16(8)
    total >>= np.uint16(4)
    result: Grey = total.astype(np.uint8)
    return result


def squared_distance(mask: Mask, reach: int) -> NDArray[np.int32]:
    """The squared distance of each pixel to the mask, exact up to `reach` pixels and larger beyond.

    Args:
        mask: bool (H, W).
        reach: pixels.

    Returns:
        int32 (H, W), 0 in the mask, at least `(reach + 1) ** 2` where it is further away.
    """
    distance = np.where(mask, 0, (reach + 1) ** 2).astype(np.int32)
    for axis in (0, 1):
        source = np.moveaxis(distance, axis, 0)
        nearest = source.copy()
        for step in range(1, min(reach, len(source) - 1) + 1):
            np.minimum(nearest[step:], source[:-step] + step * step, out=nearest[step:])
            np.minimum(nearest[:-step], source[step:] + step * step, out=nearest[:-step])
        distance = np.moveaxis(nearest, 0, axis)
    return distance


def _reached(length: int, reach: int) -> Integers:
    """How many positions of a line lie within `reach` of each."""
    position = np.arange(length)
    return np.minimum(position, reach) + np.minimum(length - 1 - position, reach) + 1


def _slide(image: Grey, reach: int, axis: int, pick: np.ufunc, beyond: int) -> Grey:
    """Picks among the 2 * reach + 1 values around each pixel, doubling the span in each pass."""
    picked = pad(image, reach, 0, beyond) if axis == 0 else pad(image, 0, reach, beyond)
    span, wanted = 1, 2 * reach + 1
    while span < wanted:
        step = min(span, wanted - span)  # spans may overlap: the larger of two values is the same twice
        picked = pick(picked[:-step], picked[step:]) if axis == 0 else pick(picked[:, :-step], picked[:, step:])
        span += step
    return picked
