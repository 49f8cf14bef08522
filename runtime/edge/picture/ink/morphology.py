"""Filters over square windows: dilation, erosion, closing, means, smoothing and distance; all in integers.

By hand because the thin install has no OpenCV and no SciPy; at these sizes both are no faster.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.picture.luminance import Grey, Mask


def dilate(image: Grey, reach: int, columns: int | None = None) -> Grey:
    """The largest value within `reach` rows and `columns` columns of each pixel; beyond the edge counts as 0.

    Args:
        image: uint8 (H, W).
        reach: pixels, 0 or more.
        columns: pixels, if their number is another one than that of rows.

    Returns:
        uint8 (H, W).
    """
    return _slide(image, reach, reach if columns is None else columns, np.maximum, 0)


def erode(image: Grey, reach: int, columns: int | None = None) -> Grey:
    """The smallest value within `reach` rows and `columns` columns of each pixel; beyond the edge counts as 255."""
    return _slide(image, reach, reach if columns is None else columns, np.minimum, 255)


def dilate_mask(mask: Mask, reach: int, columns: int | None = None) -> Mask:
    """Every pixel within `reach` rows and `columns` columns of the mask, bool (H, W)."""
    return dilate(mask.view(np.uint8), reach, columns).view(np.bool_)


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


def local_means(image: Grey, reaches: Sequence[int]) -> list[Grey]:
    """The mean of the pixels within each reach of each pixel, rounded down; windows are cut at the edge.

    One running sum serves all: the cost of a mean does not depend on its reach.

    Args:
        image: uint8 (H, W), at most 64 000 pixels: a sum of that many is exact in float32.
        reaches: pixels, at least 1 each.

    Returns:
        uint8 (H, W) for each reach.
    """
    height, width = image.shape
    margin = max(reaches)
    running = np.zeros((height + 2 * margin + 1, width + 2 * margin + 1), np.int32)
    running[margin + 1 : margin + 1 + height, margin + 1 : margin + 1 + width] = image
    np.cumsum(running, axis=0, out=running)
    np.cumsum(running, axis=1, out=running)
    means: list[Grey] = []
    for reach in reaches:
        before, after = margin - reach, margin + reach + 1
        bands = running[after : after + height] - running[before : before + height]
        windows = (bands[:, after : after + width] - bands[:, before : before + width]).astype(np.float32)
        windows /= _reached(height, reach)[:, None] * _reached(width, reach)
        means.append(windows.astype(np.uint8))
    return means


def smooth(image: Grey) -> Grey:
    """Weighted 1, 2, 1 in both directions and rounded: three eighths of white noise remain."""
    height, width = image.shape
    stride = width + 2
    level = np.empty((height + 2, stride), np.uint16)
    level[1:-1, 1:-1] = image
    level[0, 1:-1], level[-1, 1:-1] = image[0], image[-1]
    level[:, 0], level[:, -1] = level[:, 1], level[:, -2]
    total = level.ravel()
    for step in (stride, stride, 1, 1):  # 1, 2, 1 is 1, 1 twice
        total = total[:-step] + total[step:]
    total += np.uint16(8)
    total >>= np.uint16(4)
    return _unflattened(total.astype(np.uint8), image.shape, stride)


def squared_distance(mask: Mask, reach: int) -> NDArray[np.int16]:
    """The squared distance of each pixel to the mask, exact up to `reach` pixels and larger beyond.

    Args:
        mask: bool (H, W).
        reach: pixels, at most 127.

    Returns:
        int16 (H, W), 0 in the mask, at least `(reach + 1) ** 2` where it is further away.
    """
    distance = np.where(mask, np.int16(0), np.int16((reach + 1) ** 2))
    for axis in (0, 1):
        source = np.moveaxis(distance, axis, 0)
        nearest = source.copy()
        for step in range(1, min(reach, len(source) - 1) + 1):
            np.minimum(nearest[step:], source[:-step] + step * step, out=nearest[step:])
            np.minimum(nearest[:-step], source[step:] + step * step, out=nearest[:-step])
        distance = np.moveaxis(nearest, 0, axis)
    return distance


def _reached(length: int, reach: int) -> NDArray[np.float32]:
    """How many positions of a line lie within `reach` of each."""
    position = np.arange(length, dtype=np.float32)
    return np.minimum(position, reach) + np.minimum(length - 1 - position, reach) + 1


def _slide(image: Grey, rows: int, columns: int, pick: np.ufunc, beyond: int) -> Grey:
    """Picks among the values of the window around each pixel, doubling the span in each pass.

    The padded picture is one long line, on which a row is a step of its width: what runs over the end of a row is the
    margin, and falls away.
    """
    stride = image.shape[1] + 2 * columns
    picked = pad(image, rows, columns, beyond).ravel()
    for reach, one in ((columns, 1), (rows, stride)):
        span, wanted = 1, 2 * reach + 1
        while span < wanted:
            step = min(span, wanted - span)  # spans may overlap: the larger of two values is the same twice
            picked = pick(picked[: -step * one], picked[step * one :])
            span += step
    return _unflattened(picked, image.shape, stride)


def _unflattened(line: Grey, shape: tuple[int, ...], stride: int) -> Grey:
    """The picture on a line of rows that are `stride` long and miss their end in the last one."""
    height, width = shape
    whole = np.empty(height * stride, line.dtype)
    whole[: len(line)] = line
    return np.ascontiguousarray(whole.reshape(height, stride)[:, :width])
