"""Handwriting for synthetic pictures: MNIST's training digits, written anew with a pen of any width.

An MNIST image enlarged is a blurred felt pen. Here its strokes are thinned to a line, which is smoothed and drawn again
at the size and with the pen that the picture needs: other people's hands with a needle or a marker. Without MNIST at
hand the digits are those of the stroke generator.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from edge_train import strokes
from edge_train.data import published

Bytes = NDArray[np.uint8]
Floats = NDArray[np.float64]

FINENESS = 6  # pixels of the enlarged image for each of MNIST's, on which its strokes are thinned
INKED = 110  # grey level of the enlarged image from which it is stroke
SMOOTHING = 3  # rounds in which each point of the line moves to the mean of itself and its neighbours
OVERSAMPLING = 4  # a pen is drawn this much larger and averaged, which gives soft edges
MOST_DRAWN = 6_000  # pixels of the longer side of what is drawn at once


@dataclass(frozen=True, slots=True)
class Line:
    """The path of a pen: points float64 (P, 2), x and y, longer side 1; and joined pairs of them, int64 (E, 2)."""

    points: Floats
    joins: NDArray[np.int64]
    label: str

    @property
    def extent(self) -> tuple[float, float]:
        """Width and height, the longer of them 1."""
        width, height = self.points.max(axis=0)
        return float(width), float(height)


class Writers:
    """Digits in a fixed order, by many hands."""

    def __init__(self, seed: int) -> None:
        if published.find("mnist", published.default_folder()) is not None:
            training, _ = published.load("mnist", fetch=False)
            self._images, self._labels = training.images, training.labels
        else:
            self._images, self._labels = strokes.sample(2000, seed=seed)
        self._order = np.random.default_rng(seed).permutation(len(self._labels))

    def line(self, index: int, labels: str = "") -> Line:
        """The digit at that place of the order, or of the order of those that are among the labels."""
        order = self._order
        if labels:
            order = order[np.isin(self._labels[order], [int(label) for label in labels])]
        at = order[index % len(order)]
        return traced(self._images[at], str(self._labels[at]))


def traced(image: Bytes, label: str) -> Line:
    """The line in the middle of the strokes of uint8 (28, 28)."""
    side = FINENESS * len(image)
    large = np.asarray(Image.fromarray(image).resize((side, side), Image.Resampling.BICUBIC))
    line = thinned(large >= min(INKED, int(large.max())))
    rows, columns = np.nonzero(line)
    number = np.full(line.shape, -1)
    number[rows, columns] = np.arange(len(rows))
    joins = []
    for down, across in ((0, 1), (1, 0), (1, 1), (1, -1)):
        here = number[max(0, -down) : side - down, max(0, -across) : side - max(0, across)]
        there = number[down:, max(0, across) : side + min(0, across)]
        both = (here >= 0) & (there >= 0)
        joins.append(np.stack([here[both], there[both]], axis=1))
    pairs = np.concatenate(joins)
    points = np.stack([columns, rows], axis=1).astype(np.float64)
    for _ in range(SMOOTHING):
        total, count = points.copy(), np.ones((len(points), 1))
        for one, other in ((0, 1), (1, 0)):
            np.add.at(total, pairs[:, one], points[pairs[:, other]])
            np.add.at(count, pairs[:, one], 1)
        points = total / count
    points -= points.min(axis=0)
    return Line(points / max(points.max(), 1.0), pairs, label)


def thinned(ink: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The ink reduced to lines one pixel wide.

    Source: T. Y. Zhang and C. Y. Suen, "A fast parallel algorithm for thinning digital patterns", 1984.
    """
    ink = np.pad(ink, 1)
    while True:
        before = np.count_nonzero(ink)
        for first in (True, False):
            north, east, south, west = (np.roll(ink, *by) for by in ((1, 0), (-1, 1), (-1, 0), (1, 1)))
            around = [
                north,
                np.roll(north, -1, 1),
                east,
                np.roll(south, -1, 1),
                south,
                np.roll(south, 1, 1),
                west,
                np.roll(north, 1, 1),
            ]
            neighbours = np.sum(around, axis=0)
            rises = np.sum([~one & other for one, other in zip(around, around[1:] + around[:1], strict=True)], axis=0)
            kept_corner = (north & east & south) | (east & south & west)
            if not first:
                kept_corner = (north & east & west) | (north & south & west)
            ink &= ~((neighbours >= 2) & (neighbours <= 6) & (rises == 1) & ~kept_corner)
        if np.count_nonzero(ink) == before:
            return ink[1:-1, 1:-1]


def drawn(
    line: Line, size: tuple[int, int], *, tall: float, pen: float, middle: tuple[float, float], skips: float = 0.0
) -> Floats:
    """The share of each pixel that is inked.

    Args:
        line: what is written.
        size: width and height of the picture, pixels.
        tall: the longer side of the line, pixels.
        pen: its width, pixels.
        middle: of the digit, as shares of width and height; what reaches over the edge is cut off.
        skips: share of the line that the pen leaves out, in short gaps.

    Returns:
        float64 (height, width), 0 to 1.
    """
    width, height = size
    finer = max(1, min(OVERSAMPLING, MOST_DRAWN // max(size)))
    picture = Image.new("L", (width * finer, height * finer))
    brush = ImageDraw.Draw(picture)
    extent = np.array(line.extent)
    points = ((line.points - extent / 2) * tall + np.array(middle) * np.array(size)) * finer
    radius = max(pen * finer / 2, 0.5)
    kept = _inked(line, skips)
    for one, other in line.joins[kept].tolist():
        brush.line([*points[one], *points[other]], fill=255, width=max(1, round(2 * radius)))
        if radius > 1:
            x, y = points[one]
            brush.ellipse((x - radius, y - radius, x + radius, y + radius), fill=255)
            x, y = points[other]
            brush.ellipse((x - radius, y - radius, x + radius, y + radius), fill=255)
    return np.asarray(picture.reduce(finer), np.float64) / 255


def _inked(line: Line, skips: float) -> NDArray[np.bool_]:
    """The joins that the pen draws: a wave over the page leaves some out, so that gaps have a length."""
    middle = line.points[line.joins].mean(axis=1)
    wave = np.sin(middle @ np.array([31.0, 23.0])) * np.sin(middle @ np.array([-17.0, 29.0]))
    return np.asarray(wave <= np.quantile(wave, 1 - skips))
