"""A line of digits as a lattice of candidates.

Where digits touch, or fall into pieces, a line is cut at every place that may part two digits; what lies between two
cuts is one candidate for a digit, or a part of one. What is no digit at all may be left out, at a price. A path through
the lattice is a way to read the line.
"""

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import inf, log
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge.picture.ink.components import stroke_width
from edge.picture.luminance import Integers, Mask

# Cuts from top to bottom, relative to the height of what is cut.
SWAY: Final = 0.18  # of the height: how far a cut may bend to either side
STEP: Final = 0.03  # of the height, between the cuts that are tried
APART: Final = 0.1  # of the height, the least distance between two cuts, and from the ends
THICKEST: Final = 2.4  # times the stroke width: the ink that a cut may go through
BEND: Final = 0.06  # price of a step to the side, in pixels of ink: straight cuts first

# Candidates, relative to the usual height of a digit.
CUT_WIDTH: Final = 0.7  # narrower ink is not cut: letters would become pairs of digits
WIDEST: Final = 1.3  # of joined pieces, and of what is cut
WIDEST_PIECE: Final = 2.2  # of one piece, of its own height
WIDEST_GAP: Final = 0.2  # between pieces that are joined
LEAST_SLICE: Final = 0.35  # rows with ink: lower slices are no digits
USUAL_ASPECT: Final = 0.75  # of a digit with the gap behind it, width over height
MOST_SLICES: Final = 6  # of one digit

# What a way through the line costs besides what the model says, in the same unit: natural logarithms of probability.
CUT_COST: Final = 2.0  # for each stroke width of ink that a cut goes through
JOIN_COST: Final = 6.0  # for each digit's height of blank between what is joined
LOW_COST: Final = 6.0  # for a slice that is lower than other digits, for each height that it lacks
LEAVING_COST: Final = 7.0  # for a piece that is read as nothing, for each height that it has
LEAST_PROBABILITY: Final = 1e-4
# A piece of a digit, or two that touch, are mostly rejected, but not all of them, and some digits are, too: what counts
# is how odd the model finds a candidate, 1 being the threshold of rejection. Usual digits are below the first number.
USUAL_ODDITY: Final = 0.5
MOST_ODD: Final = 1.3
ODDITY_COST: Final = 5.0
# What is odd and as wide as several digits side by side is hardly one digit, and costs more; a word is wider.
DIGIT_WIDTH: Final = 0.7  # over its height
WIDTH_POWER: Final = 1.5
LOWEST: Final = 0.7  # usual heights: lower ink is as wide as digits of this height are
WORD_WIDTH: Final = 2.4  # usual heights
SOUND: Final = 0.5  # what is read at this confidence, and as no odd digit, is not cut: no cut would cost less


@dataclass(frozen=True, slots=True)
class Blob:
    """Connected ink of a line: a digit, a part of one, or several that touch."""

    mask: Mask  # bool (h, w), of its box alone
    top: int  # where the box lies on the page
    left: int

    @property
    def height(self) -> int:
        """Rows of the box."""
        return int(self.mask.shape[0])

    @property
    def width(self) -> int:
        """Columns of the box."""
        return int(self.mask.shape[1])


@dataclass(frozen=True, slots=True)
class DigitSpan:
    """Neighbouring slices of a line, taken for one digit.

    Attributes:
        first: the first slice.
        last: the slice after the last.
        cost: besides what the model doubts.
        digits: how many digits are as wide, 1 or more.
        is_digit: False for what is left out.
    """

    first: int
    last: int
    cost: float
    digits: float = 1.0
    is_digit: bool = True

    @property
    def ends(self) -> tuple[int, int]:
        """The first slice and the one after the last."""
        return self.first, self.last


class Lattice:
    """A line cut into slices, and the candidates that runs of slices are.

    Args:
        line: its connected ink, from left to right.
        height: the usual height of a digit, pixels.
        whole: the places in the line of pieces that are not cut.

    Attributes:
        candidates: ordered by their first slice.
    """

    def __init__(self, line: Sequence[Blob], height: float, whole: Container[int] = ()) -> None:
        self._height = height
        slices: list[Blob] = []
        self._before: list[float] = []  # the cost of joining a slice with the one before it
        self._cut: list[float] = []  # and of parting them
        self._pieces: list[tuple[int, int]] = []  # the first slice of each piece, and the one after its last
        for at, blob in enumerate(line):
            parts, prices = ([blob], []) if at in whole or not can_be_cut(blob, height) else _sliced(blob, height)
            self._pieces.append((len(slices), len(slices) + len(parts)))
            for part, price in zip(parts, [None, *prices], strict=True):
                gap = max(0, part.left - (slices[-1].left + slices[-1].width)) if slices else 0
                self._before.append(JOIN_COST * gap / height if price is None else 0.0)
                self._cut.append(0.0 if price is None else CUT_COST * price)
                slices.append(part)
        self._slices = slices
        self.candidates = [each for first in range(len(slices)) for each in self._runs(first)]
        self.candidates += [
            DigitSpan(first, last, LEAVING_COST * _digits_left_out(slices[first:last], height), is_digit=False)
            for first, last in self._pieces
        ]
        self.candidates.sort(key=lambda each: each.first)

    def whole(self, at: int) -> int | None:
        """The index of the candidate that is all of a piece of the line, if there is one."""
        ends = self._pieces[at]
        return next((n for n, each in enumerate(self.candidates) if each.is_digit and each.ends == ends), None)

    def blob(self, candidate: DigitSpan) -> Blob:
        """The ink of a candidate."""
        return joined(self._slices[candidate.first : candidate.last])

    def cheapest_path(self, doubts: Mapping[int, float]) -> list[int]:
        """The indices of the candidates of the cheapest way through the line, from left to right.

        The model need not look at every candidate: what it has not seen is taken to be certain. If all of the path has
        been seen, no other way is cheaper, whatever the model would say of the rest.

        Args:
            doubts: of the candidates that the model has seen, by their indices, as `doubt` gives them.
        """
        total = [0.0] + [inf] * len(self._slices)
        path: list[int] = [-1] * (len(self._slices) + 1)
        for index, each in enumerate(self.candidates):
            price = total[each.first] + each.cost + (doubts.get(index, 0.0) if each.is_digit else 0.0)
            if price < total[each.last]:
                total[each.last], path[each.last] = price, index
        chosen, at = [], len(self._slices)
        while at > 0:
            chosen.append(path[at])
            at = self.candidates[path[at]].first
        return chosen[::-1]

    def _runs(self, first: int) -> list[DigitSpan]:
        """Every run of slices from `first` on that can be one digit."""
        found = []
        cost = self._cut[first]
        start, end = next(piece for piece in self._pieces if piece[0] <= first < piece[1])
        for last in range(first + 1, min(first + MOST_SLICES, len(self._slices)) + 1):
            top, left, bottom, right = _box(self._slices[first:last])
            is_whole = (first, last) == (start, end)
            if last > first + 1:
                cost += self._before[last - 1]
                if self._before[last - 1] > JOIN_COST * WIDEST_GAP:
                    break
                if right - left > WIDEST * self._height and last > end:
                    break
                most = WIDEST_PIECE * (bottom - top) if is_whole else WIDEST * self._height
                if right - left > most:
                    continue
            lacking = 0.0 if is_whole else max(0.0, 1 - (bottom - top) / self._height)
            found.append(DigitSpan(first, last, cost + LOW_COST * lacking, self._digits(bottom - top, right - left)))
        return found

    def _digits(self, height: int, width: int) -> float:
        """How many digits side by side are as wide."""
        aspect = width / max(height, LOWEST * self._height)
        return max(1.0, aspect / DIGIT_WIDTH) if width < WORD_WIDTH * self._height else 1.0


def can_be_cut(blob: Blob, height: float) -> bool:
    """Whether ink is wide enough to be more than one digit."""
    return blob.width >= CUT_WIDTH * height


def is_sound(confidence: float, oddity: float) -> bool:
    """Whether ink that is wide enough to be cut is one digit, so that no cut need be tried."""
    return confidence >= SOUND and oddity < USUAL_ODDITY


def doubt(confidence: float, oddity: float, digits: float) -> float:
    """What a candidate costs for what the model says of it.

    Args:
        confidence: of its label, 0 to 1.
        oddity: its score as a share of the threshold of rejection: about 0 for a usual digit, 1 or more if rejected.
        digits: how many digits are as wide, 1 or more.
    """
    odd = min(max(0.0, oddity - USUAL_ODDITY), MOST_ODD - USUAL_ODDITY)
    return ODDITY_COST * odd * float(digits**WIDTH_POWER) - log(max(confidence, LEAST_PROBABILITY))


def _sliced(blob: Blob, height: float) -> tuple[list[Blob], list[float]]:
    """The blob cut wherever digits may touch; and through how many stroke widths of ink each cut goes."""
    thickness = max(1.0, stroke_width(blob.mask))
    found, prices = find_cuts(blob.mask, thickness)
    paths = list(found)
    columns = np.arange(blob.width)
    while True:
        edges = [np.zeros(blob.height, np.int64), *paths, np.full(blob.height, blob.width)]
        masks = [blob.mask & (columns >= left[:, None]) & (columns < right[:, None]) for left, right in pairwise(edges)]
        crumb = next((at for at, mask in enumerate(masks) if mask.any(axis=1).sum() < LEAST_SLICE * height), None)
        if crumb is None or not paths:
            return [_tight(mask, blob) for mask in masks], prices
        # it goes to the neighbour to which more ink leads
        beside = [at for at in (crumb - 1, crumb) if 0 <= at < len(paths)]
        dropped = max(beside, key=lambda at: prices[at])
        del paths[dropped], prices[dropped]


def _tight(mask: Mask, blob: Blob) -> Blob:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    inner = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return Blob(inner, blob.top + int(rows[0]), blob.left + int(columns[0]))


def _box(blobs: Sequence[Blob]) -> tuple[int, int, int, int]:
    """Top, left, bottom and right of all of the ink."""
    return (
        min(each.top for each in blobs),
        min(each.left for each in blobs),
        max(each.top + each.height for each in blobs),
        max(each.left + each.width for each in blobs),
    )


def _digits_left_out(blobs: Sequence[Blob], height: float) -> float:
    """How many digits all of the ink may be, small ones less."""
    top, left, bottom, right = _box(blobs)
    return min(1.0, (bottom - top) / height) * max(1.0, (right - left) / (USUAL_ASPECT * height))


def joined(blobs: Sequence[Blob]) -> Blob:
    """All of the ink in one box."""
    top, left, bottom, right = _box(blobs)
    mask = np.zeros((bottom - top, right - left), np.bool_)
    for each in blobs:
        mask[each.top - top :, each.left - left :][: each.height, : each.width] |= each.mask
    return Blob(mask, top, left)


def find_cuts(ink: Mask, stroke: float) -> tuple[Integers, list[float]]:
    """Paths from top to bottom through as little ink as possible.

    Args:
        ink: bool (h, w), a wide piece.
        stroke: the stroke width, pixels.

    Returns:
        int64 (n, h), from left to right and nowhere crossing: in each row, the first column to the right of the cut.
        For each cut the ink that it goes through, in stroke widths.
    """
    height, width = ink.shape
    margin = max(2, round(APART * height))
    starts = np.arange(margin, width - margin, max(1, round(STEP * height)))
    if len(starts) == 0:
        return np.zeros((0, height), np.int64), []
    paths, prices = _cheapest(ink, starts, max(1, round(SWAY * height)))
    chosen: list[int] = []
    for candidate in np.argsort(prices, kind="stable").tolist():
        if prices[candidate] > THICKEST * stroke:
            break
        if not (np.abs(paths[chosen] - paths[candidate]).mean(axis=1) < margin).any():
            chosen.append(candidate)
    chosen.sort(key=lambda each: float(paths[each].mean()))
    ordered = np.maximum.accumulate(paths[chosen], axis=0)
    return ordered, [float(prices[each]) / stroke for each in chosen]


def _cheapest(ink: Mask, starts: Integers, sway: int) -> tuple[Integers, NDArray[np.float64]]:
    """For each start the path that crosses least ink and stays within `sway` columns of it.

    Returns:
        Paths int64 (n, h), prices float64 (n,).
    """
    height, width = ink.shape
    offsets = np.arange(-sway, sway + 1)
    columns = np.clip(starts[:, None] + offsets, 0, width - 1)  # (n, 2 sway + 1)
    inked = ink[:, columns]
    came = np.zeros(inked.shape, np.int8)  # from which column of the row above, relative to each
    framed = np.full((len(starts), len(offsets) + 2), np.inf)
    price = framed[:, 1:-1]
    price[:] = 0
    for row in range(height):
        from_left, from_right = framed[:, :-2] + BEND, framed[:, 2:] + BEND
        left = from_left < price
        best = np.minimum(from_left, price)
        right = from_right < best
        np.subtract(right, left > right, out=came[row], dtype=np.int8)
        np.minimum(best, from_right, out=best)
        np.add(best, inked[row], out=price)
    at = price.argmin(axis=1)
    every = np.arange(len(starts))
    prices = price[every, at]
    paths = np.zeros((len(starts), height), np.int64)
    for row in range(height - 1, -1, -1):
        paths[:, row] = columns[every, at]
        at = at + came[row][every, at]
    return paths, prices
