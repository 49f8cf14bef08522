"""Connected components of a mask, computed on the runs of its rows.

A run is ink from one blank pixel to the next along a row; a picture has a hundred times fewer of them than pixels.
Runs that touch from row to row, sides or corners, are one component; areas, boxes and outlines follow from the runs.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from edge.picture.ink.morphology import pad
from edge.picture.luminance import Floats, Integers, Mask

Labels = NDArray[np.int32]


# The length of an outline for each crossing of it along rows and columns; along diagonals, the lines lie closer.
# Source: M. W. Crofton's formula of 1868, in four directions.
PER_CROSSING: Final = np.pi / 8
DIAGONAL: Final = 0.5**0.5


@dataclass(frozen=True, slots=True)
class Runs:
    """The ink of a picture, from left to right and from top to bottom.

    Positions count through a picture that is one column wider: the column is blank, so that no run goes on in the next
    row.

    Attributes:
        shape: rows and columns of the picture.
        starts: int64 (R,), the position of each run's first pixel.
        ends: int64 (R,), the position after its last pixel.
    """

    shape: tuple[int, int]
    starts: Integers
    ends: Integers

    @property
    def rows(self) -> Integers:
        """The row of each run."""
        return self.starts // (self.shape[1] + 1)

    @property
    def lengths(self) -> Integers:
        """The pixels of each run."""
        return self.ends - self.starts

    def touching(self) -> tuple[Integers, Integers]:
        """The indices of all pairs of runs, upper and lower, that touch across two neighbouring rows."""
        stride = self.shape[1] + 1
        first = np.searchsorted(self.ends, self.starts - stride, side="left")
        after = np.searchsorted(self.starts, self.ends - stride, side="right")
        count = np.maximum(after - first, 0)
        lower = np.repeat(np.arange(len(count)), count)
        upper = np.arange(len(lower)) + np.repeat(first - np.cumsum(count) + count, count)
        return upper, lower

    def paint(self, values: NDArray[Any]) -> NDArray[Any]:
        """A picture (H, W) in which the pixels of each run have its value, and all others have 0.

        Args:
            values: (R,), of any type.
        """
        height, width = self.shape
        edges = np.empty(2 * len(values) + 2, np.int64)
        edges[0], edges[1:-1:2], edges[2:-1:2], edges[-1] = 0, self.starts, self.ends, height * (width + 1)
        levels = np.zeros(2 * len(values) + 1, values.dtype)
        levels[1::2] = values
        return np.repeat(levels, np.diff(edges)).reshape(height, width + 1)[:, :-1]


@dataclass(frozen=True, slots=True)
class Components:
    """Runs that belong together.

    Attributes:
        runs: of the ink.
        number: int64 (R,), the component of each run, from 1 on.
        count: the largest number in use; a number may have no run.
    """

    runs: Runs
    number: Integers
    count: int

    def paint(self, values: NDArray[Any]) -> NDArray[Any]:
        """A picture (H, W) in which the pixels of each component have its value, and all others have 0.

        Args:
            values: (count + 1,), of any type; the first one is not used.
        """
        return self.runs.paint(values[self.number])

    def labels(self) -> Labels:
        """The number of each pixel's component, int32 (H, W); 0 outside."""
        return self.runs.paint(self.number.astype(np.int32))

    def around(self, inner: Runs) -> Integers:
        """The component that each run of another mask lies in, int64.

        Args:
            inner: of a mask whose pixels are all in this one.
        """
        return self.number[np.searchsorted(self.runs.starts, inner.starts, side="right") - 1]

    def sums(self, image: NDArray[Any]) -> Floats:
        """The sum of the picture's pixels in each component, float64 (count + 1,), exact for integers."""
        starts = self.runs.starts - self.runs.rows  # in the picture without the blank column
        lengths = self.runs.lengths
        ends = np.cumsum(lengths)
        pixels = image.ravel()[np.arange(lengths.sum()) + np.repeat(starts - ends + lengths, lengths)]
        return np.bincount(np.repeat(self.number, lengths), pixels, self.count + 1).astype(np.float64)


@dataclass(frozen=True, slots=True)
class Measurements:
    """What is known of each component; arrays of length count + 1, entry 0 says nothing.

    A box is half open: rows `top` to `bottom - 1`, columns `left` to `right - 1`.

    Attributes:
        area: pixels.
        top: the first row.
        left: the first column.
        bottom: the row after the last one.
        right: the column after the last one.
        on_edge: pixels along the picture's edge, or one pixel beside it; a corner counts twice.
        perimeter: pixels.
    """

    area: Integers
    top: Integers
    left: Integers
    bottom: Integers
    right: Integers
    on_edge: Integers
    perimeter: Floats

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
    def stroke_width(self) -> Floats:
        """The mean stroke width: twice the area for each pixel of the perimeter."""
        return 2 * self.area / np.maximum(self.perimeter, 1)


def find_runs(mask: Mask) -> Runs:
    """The runs of a mask, bool (H, W)."""
    height, width = mask.shape
    flat = np.zeros(height * (width + 1) + 1, np.bool_)
    flat[1:].reshape(height, width + 1)[:, :-1] = mask
    changes = np.flatnonzero(flat[1:] != flat[:-1])
    return Runs((height, width), changes[::2], changes[1::2])


def connect(runs: Runs) -> Components:
    """The components of a mask, numbered in the order of their first pixels.

    Runs that touch are joined by passing the smallest index on until nothing is left to join. The number of passes
    grows with the bends of the longest component, not with the size of the picture.
    """
    upper, lower = runs.touching()
    root = np.arange(len(runs.starts))
    while len(upper):
        one, other = root[upper], root[lower]
        smallest = np.minimum(one, other)
        np.minimum.at(root, one, smallest)
        np.minimum.at(root, other, smallest)
        while not np.array_equal(shorter := root[root], root):
            root = shorter
        apart = root[upper] != root[lower]
        upper, lower = upper[apart], lower[apart]
    numbers = np.cumsum(root == np.arange(len(root)))
    return Components(runs, numbers[root], int(numbers[-1]) if len(numbers) else 0)


def measure(components: Components) -> Measurements:
    """Measures every component; a number without a run has area 0."""
    runs, number, count = components.runs, components.number, components.count + 1
    (height, width), rows = runs.shape, runs.rows
    left = runs.starts - rows * (width + 1)
    length = runs.lengths
    right = left + length
    tops, bottoms = np.full(count, height), np.zeros(count, np.int64)
    tops[number[::-1]] = rows[::-1]  # of several values for one place, the last one stays
    bottoms[number] = rows + 1
    lefts, rights = np.full(count, width), np.zeros(count, np.int64)
    np.minimum.at(lefts, number, left)
    np.maximum.at(rights, number, right)
    upper, lower = runs.touching()
    level, rising, falling = (_overlaps(runs, upper, lower, shift) for shift in (0, 1, -1))
    # scaling leaves a pale line along many edges: where the edge itself is blank, the line beside it counts
    blank_above = length - np.bincount(lower, level, len(length))
    blank_below = length - np.bincount(upper, level, len(length))
    along_top = np.where(rows == 0, length, np.where(rows == 1, blank_above, 0))
    along_bottom = np.where(rows == height - 1, length, np.where(rows == height - 2, blank_below, 0))
    on_edge = along_top + along_bottom + (left <= 1) + (right >= width - 1)
    # out of a run there are two steps along its row; across rows there is one out of each pixel but into ink
    area = np.bincount(number, length, count)
    straight = 2 * np.bincount(number, minlength=count) + 2 * (area - np.bincount(number[lower], level, count))
    diagonal = 2 * (2 * area - np.bincount(number[lower], rising + falling, count))
    return Measurements(
        area=area.astype(np.int64),
        top=tops,
        left=lefts,
        bottom=bottoms,
        right=rights,
        on_edge=np.bincount(number, on_edge, count).astype(np.int64),
        perimeter=(straight + diagonal * DIAGONAL) * PER_CROSSING,
    )


def _overlaps(runs: Runs, upper: Integers, lower: Integers, shift: int) -> Integers:
    """For each pair of touching runs, the pixels of the lower one that lie `shift` columns beside one of the upper."""
    down = runs.shape[1] + 1 + shift
    starts = np.maximum(runs.starts[upper] + down, runs.starts[lower])
    ends = np.minimum(runs.ends[upper] + down, runs.ends[lower])
    overlaps: Integers = np.maximum(ends - starts, 0)
    return overlaps


def stroke_width(mask: Mask) -> float:
    """The mean stroke width of all the ink, pixels: what `measure` finds where all is one component, much sooner.

    Args:
        mask: bool (H, W).
    """
    framed = pad(mask, 1)
    # an edge is crossed outwards as often one way as the other: half of the eight directions are enough
    straight = np.count_nonzero(framed[1:] ^ framed[:-1]) + np.count_nonzero(framed[:, 1:] ^ framed[:, :-1])
    falling, rising = framed[1:, 1:] ^ framed[:-1, :-1], framed[1:, :-1] ^ framed[:-1, 1:]
    diagonal = np.count_nonzero(falling) + np.count_nonzero(rising)
    perimeter = (straight + diagonal * DIAGONAL) * PER_CROSSING
    return float(2 * np.count_nonzero(mask) / max(perimeter, 1))
