"""A page while it is written on: digits of `hard_writing`, letters and signs of the stroke generator, and its photo."""

from dataclasses import dataclass, field
from typing import Final

import numpy as np
from hard_scenes import Floats, Size, developed, inked, lit, pen_of, sheet
from hard_writing import Line, Writers, drawn
from numpy.random import Generator
from PIL import Image

from edge_train.strokes.handwriting import Dice, write_signs

POSITIONS: Final = 64  # of the pen, for a letter


@dataclass
class Sheet:
    """A page while it is written on.

    Attributes:
        random: the source of everything.
        writers: of the digits.
        size: width and height, pixels.
        tall: the height of a digit, pixels.
        pen: its width, pixels.
        cover: float64 (H, W), the share of each pixel that is inked.
        digits: likewise, by the digits alone.
        texts: what is written, line by line.
        others: whether there is writing that is no digit.
        next: the next digit of the writers.
        is_held: whether print and signs are of the half that is kept from fitting.
    """

    random: Generator
    writers: Writers
    size: Size
    tall: float
    pen: float
    next: int
    is_held: bool = True
    cover: Floats = field(init=False)
    digits: Floats = field(init=False)
    texts: list[str] = field(default_factory=list)
    others: bool = False

    def __post_init__(self) -> None:
        """Nothing is written yet."""
        self.cover, self.digits = np.zeros((2, *self.size[::-1]))

    def digit(self, labels: str = "") -> Line:
        """The next digit, or the next of those labels."""
        self.next += 1
        return self.writers.line(self.next, labels)

    def put(self, line: Line, left: float, foot: float, share: float = 1.0, stretch: float = 1.0) -> float:
        """Writes a digit on a line of writing.

        Args:
            line: the digit.
            left: where its ink begins, pixels.
            foot: where it stands, pixels.
            share: its height, of the page's usual one.
            stretch: how much wider than usual it is.

        Returns:
            Where its ink ends, pixels.
        """
        points = line.points / line.extent[1] * np.array([stretch, 1.0])
        tall = self.tall * share
        wide, high = points.max(axis=0) * tall
        margin = int(self.pen) + 2
        box = int(wide) + 2 * margin, int(high) + 2 * margin
        small = drawn(Line(points, line.joins, line.label), box, tall=tall, pen=self.pen, middle=(0.5, 0.5))
        top, start = round(foot - high) - margin, round(left) - margin
        self.lay(small, top, start, is_digit=True)
        return left + float(wide)

    def lay(self, small: Floats, top: int, left: int, *, is_digit: bool = False) -> None:
        """Puts ink on the page; what reaches over its edges is cut off."""
        down, across = max(0, -top), max(0, -left)
        part = small[down:, across:]
        for cover in (self.cover, self.digits) if is_digit else (self.cover,):
            here = cover[top + down :, left + across :][: part.shape[0], : part.shape[1]]
            np.maximum(here, part[: here.shape[0], : here.shape[1]], out=here)

    def path(self, points: Floats, top: float, left: float, scale: float) -> None:
        """Draws a curve, float64 (P, 2), x and y in units of `scale` pixels."""
        joins = np.stack([np.arange(len(points) - 1), np.arange(1, len(points))], axis=1)
        self._line(points, joins, top, left, scale)

    def sign(self, top: float, left: float, scale: float) -> float:
        """A letter or sign that resembles no digit; where its ink ends."""
        written = write_signs(Dice(self.random.random((1, 160))), POSITIONS)
        points = written.positions[0] - written.positions[0].min(axis=0)
        joins = np.flatnonzero(written.joined[0])
        self._line(points, np.stack([joins, joins + 1], axis=1), top, left, scale)
        return left + float(points[:, 0].max()) * scale

    def _line(self, points: Floats, joins: np.ndarray, top: float, left: float, scale: float) -> None:
        low = points.min(axis=0)
        wide, high = (points.max(axis=0) - low) * scale
        margin = int(self.pen) + 2
        box = int(wide) + 2 * margin, int(high) + 2 * margin
        line = Line(points - low, joins, "")
        self.lay(
            drawn(line, box, tall=scale, pen=self.pen, middle=(0.5, 0.5)),
            round(top + low[1] * scale) - margin,
            round(left + low[0] * scale) - margin,
        )

    def number(self, count: int, left: float, foot: float, gap: tuple[float, float] = (0.15, 0.4)) -> float:
        """A number of that many digits; where its ink ends."""
        text = ""
        for _ in range(count):
            line = self.digit()
            text += line.label
            share = self.random.uniform(0.88, 1.08)
            left = self.put(line, left, foot + self.tall * self.random.uniform(-0.05, 0.05), share)
            left += self.tall * self.random.uniform(*gap)
        self.texts.append(text)
        return left

    def rows(self, most: int, counts: tuple[int, int], top: float = 1.6, gap: tuple[float, float] = (0.15, 0.4)) -> int:
        """Some lines of digits; how many."""
        count = int(self.random.integers(1, most + 1))
        for row in range(count):
            foot = self.tall * (top + 1.7 * row)
            self.number(int(self.random.integers(*counts)), self.tall * self.random.uniform(0.4, 0.8), foot, gap)
        return count

    def rule(self, left: float, right: float, foot: float, width: float) -> None:
        """A straight printed line, paler than the pen."""
        strength = self.random.uniform(0.3, 0.8)
        self.lay(np.full((max(1, round(width)), max(1, round(right - left))), strength), round(foot), round(left))

    def photo(self, page: Floats | None = None, shade: Floats | None = None) -> Image.Image:
        """The page, its ink on it, under a lamp, seen by a camera."""
        ink, contrast = pen_of(self.random)
        page = sheet(self.random, self.size) if page is None else page
        page = lit(self.random, inked(page, self.cover, ink, contrast))
        return developed(self.random, page if shade is None else page * shade[..., None], blur=(0.3, 1.0))


def blank(
    random: Generator, writers: Writers, start: int, count: float = 7, rows: float = 1, *, is_held: bool = True
) -> Sheet:
    """A page with room for some digits and lines of them."""
    tall = float(random.uniform(36, 110))
    pen = max(1.5, tall * random.uniform(0.05, 0.12))
    size = int(tall * (count + 1.6)), int(tall * (rows * 1.8 + 1.2))
    return Sheet(random, writers, size, tall, pen, start, is_held)
