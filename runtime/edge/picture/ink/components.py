"""Connected components of a mask: pixels that touch, sides or corners, share a number."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.picture.arrays import Integers, Mask
from edge.picture.ink.morphology import pad

Labels = NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Measurements:
    """What is known of each component; arrays of length count + 1, entry 0 is the background and says nothing.

    A box is half open: rows `top` to `bottom - 1`, columns `left` to `right - 1`.
    """

    area: Integers  # pixels
    top: Integers
    left: Integers
    bottom: Integers
    right: Integers
    on_edge: Integers  # pixels along the picture's edge, or one pixel beside it; a corner counts twice
    perimeter: NDArray[np.float64]  # pixels

    @property
    def height(self) -> Integers:
        """Rows of the box."""
        return self.bottom - self.top

    @property
    def width(self) -> Integers:
        """Columns of the box."""
        return self.right - self.left

    @property
    def size(self) -> Integers:
        """The longer side of the box, at least 1."""
        return np.maximum(np.maximum(self.height, self.width), 1)

    @property
    def stroke_width(self) -> NDArray[np.float64]:
        """The mean stroke width: twice the area for each pixel of the perimeter."""
        return 2 * self.area / np.maximum(self.perimeter, 1)


def label(mask: Mask) -> tuple[Labels, int]:
    """Numbers the components of a mask, in the order of their first pixels.

    Rows are cut into runs; runs that touch from row to row are joined by passing the smallest number on until nothing
    changes. The number of passes grows with the bends of the longest component, not with the size of the picture.

    Args:
        mask: bool (H, W).

    Returns:
        int32 (H, W), 0 outside and 1 to count inside; and the count.
    """
    height, width = mask.shape
    stride = width + 2
    framed = np.zeros((height, stride), np.int8)
    framed[:, 1:-1] = mask
    change = np.diff(framed.ravel(), append=np.int8(0))
    # positions in a picture with one empty column at either side: runs never continue on the next row
    starts = np.flatnonzero(change == 1)  # the pixel before the run
    ends = np.flatnonzero(change == -1)  # its last pixel
    if len(starts) == 0:
        return np.zeros((height, width), np.int32), 0
    upper, lower = _touching(starts, ends, stride)
    root = _joined(len(starts), upper, lower)
    first = root == np.arange(len(root))
    number = np.cumsum(first)[root]
    steps = np.zeros(height * stride + 1, np.int32)
    steps[starts + 1] = number
    steps[ends + 1] -= number.astype(np.int32)
    labels = np.cumsum(steps[:-1], dtype=np.int32).reshape(height, stride)[:, 1:-1]
    return np.ascontiguousarray(labels), int(first.sum())


def _touching(starts: Integers, ends: Integers, stride: int) -> tuple[Integers, Integers]:
    """Pairs of runs, upper and lower, that touch across two neighbouring rows."""
    low = np.searchsorted(ends, starts - stride, side="left")
    high = np.searchsorted(starts, ends - stride, side="right")
    count = np.maximum(high - low, 0)
    lower = np.repeat(np.arange(len(starts)), count)
    upper = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count) + np.repeat(low, count)
    return upper, lower


def _joined(count: int, one: Integers, other: Integers) -> Integers:
    """The smallest run that can be reached from each run over the pairs."""
    root = np.arange(count)
    while True:
        smallest = np.minimum(root[one], root[other])
        lowered = root.copy()
        np.minimum.at(lowered, root[one], smallest)
        np.minimum.at(lowered, root[other], smallest)
        while not np.array_equal(shorter := lowered[lowered], lowered):
            lowered = shorter
        if np.array_equal(lowered, root):
            return root
        root = lowered


def measure(labels: Labels, count: int) -> Measurements:
    """Measurements every component.

    Args:
        labels: int32 (H, W), 0 background.
        count: the largest number in use; numbers without a pixel get area 0.

    Returns:
        Arrays of length count + 1.
    """
    height, width = labels.shape
    rows, columns = np.nonzero(labels)
    number = labels[rows, columns]
    top, left = np.full(count + 1, height), np.full(count + 1, width)
    bottom, right = np.zeros(count + 1, np.int64), np.zeros(count + 1, np.int64)
    np.minimum.at(top, number, rows)
    np.minimum.at(left, number, columns)
    np.maximum.at(bottom, number, rows + 1)
    np.maximum.at(right, number, columns + 1)
    on_edge = sum(
        (
            np.bincount(_outermost(side), minlength=count + 1)
            for side in (labels, labels[::-1], labels.T, labels.T[::-1])
        ),
        np.zeros(count + 1, np.int64),
    )
    return Measurements(
        area=np.bincount(number, minlength=count + 1),
        top=top,
        left=left,
        bottom=bottom,
        right=right,
        on_edge=on_edge,
        perimeter=_perimeter(labels, rows, columns, number, count),
    )


def stroke_width(mask: Mask) -> float:
    """The mean stroke width of all the ink, pixels: what `measure` finds where all has one number, much sooner.

    Args:
        mask: bool (H, W).
    """
    framed = pad(mask, 1)
    # an edge is crossed outwards as often one way as the other: half of the eight directions are enough
    straight = np.count_nonzero(framed[1:] ^ framed[:-1]) + np.count_nonzero(framed[:, 1:] ^ framed[:, :-1])
    diagonal = np.count_nonzero(framed[1:, 1:] ^ framed[:-1, :-1]) + np.count_nonzero(framed[1:, :-1] ^ framed[:-1, 1:])
    perimeter = (straight + diagonal * 0.5**0.5) * (np.pi / 8)  # as in `_perimeter`
    return float(2 * np.count_nonzero(mask) / max(perimeter, 1))


def _outermost(labels: Labels) -> Labels:
    """The first row, and where it is empty the second: scaling leaves a pale line along the edge of many pictures."""
    first: Labels = labels[0]
    return first if len(labels) == 1 else np.asarray(np.where(first > 0, first, labels[1]), np.int32)


def _perimeter(labels: Labels, rows: Integers, columns: Integers, number: Labels, count: int) -> NDArray[np.float64]:
    """Crofton's formula: steps out of the component, counted along rows, columns and both diagonals."""
    ink = pad(labels > 0, 1)
    straight = np.zeros(count + 1, np.int64)
    diagonal = np.zeros(count + 1, np.int64)
    for down in (-1, 0, 1):
        for across in (-1, 0, 1):
            if down == across == 0:
                continue
            out = number[~ink[rows + 1 + down, columns + 1 + across]]
            steps = np.bincount(out, minlength=count + 1)
            if down == 0 or across == 0:
                straight += steps
            else:
                diagonal += steps
    length: NDArray[np.float64] = (straight + diagonal * 0.5**0.5) * (np.pi / 8)
    return length
