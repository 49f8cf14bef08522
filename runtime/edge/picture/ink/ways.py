"""The ways to read a line: ink cut where digits may touch, joined where a digit may be in pieces."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge.picture.ink.components import measure
from edge.picture.ink.cuts import cuts
from edge.picture.ink.layout import Blot
from edge.picture.ink.windows import Mask

# Relative to the usual height of a digit.
CUT_WIDTH: Final = 0.6  # narrower ink is not cut
WIDEST: Final = 1.3  # of joined pieces
WIDEST_GAP: Final = 0.2  # between pieces that are joined
LEAST_SLICE: Final = 0.35  # rows with ink: lower slices are no digits
MOST_SLICES: Final = 6  # of one digit

# What a way through the line costs besides what the model says, in the same unit: natural logarithms of probability.
CUT_COST: Final = 2.0  # for each stroke width of ink that a cut goes through
JOIN_COST: Final = 6.0  # for each digit's height of blank between what is joined
LOW_COST: Final = 4.0  # for a digit that is lower than others, for each height that it lacks
LEAST_PROBABILITY: Final = 1e-4


@dataclass(frozen=True, slots=True)
class Candidate:
    """Slices `first` to `last - 1` of a line, taken for one digit."""

    first: int
    last: int
    blot: Blot
    cost: float  # besides what the model says


class Ways:
    """A line cut into slices, and the digits that runs of slices may be."""

    def __init__(self, line: Sequence[Blot], height: float) -> None:
        self._height = height
        slices: list[Blot] = []
        self._before: list[float] = []  # the cost of joining a slice with the one before it
        self._cut: list[float] = []  # and of parting them
        for blot in line:
            parts, prices = _sliced(blot, height)
            for part, price in zip(parts, [None, *prices], strict=True):
                gap = max(0, part.left - (slices[-1].left + slices[-1].width)) if slices else 0
                self._before.append(JOIN_COST * gap / height if price is None else 0.0)
                self._cut.append(0.0 if price is None else CUT_COST * price)
                slices.append(part)
        self._slices = slices
        self.candidates = [each for first in range(len(slices)) for each in self._runs(first)]

    def _runs(self, first: int) -> list[Candidate]:
        """Every run of slices from `first` on that can be one digit."""
        found = []
        cost = self._cut[first]
        for last in range(first + 1, min(first + MOST_SLICES, len(self._slices)) + 1):
            blot = _joined(self._slices[first:last])
            if last > first + 1:
                cost += self._before[last - 1]
                too_far = self._before[last - 1] > JOIN_COST * WIDEST_GAP
                if too_far or blot.width > WIDEST * self._height:
                    break
            lacking = max(0.0, 1 - blot.height / self._height)
            found.append(Candidate(first, last, blot, cost + LOW_COST * lacking))
        return found

    def cheapest(self, probabilities: NDArray[np.float32]) -> list[int]:
        """The indices of the candidates of the cheapest way through the line, from left to right.

        Args:
            probabilities: float32 (candidates, classes).
        """
        costs = -np.log(np.maximum(probabilities.max(axis=1), LEAST_PROBABILITY))
        total = [0.0] + [float("inf")] * len(self._slices)
        way: list[int] = [-1] * (len(self._slices) + 1)
        for index, each in enumerate(self.candidates):  # ordered by their first slice
            price = total[each.first] + each.cost + float(costs[index])
            if price < total[each.last]:
                total[each.last], way[each.last] = price, index
        chosen, at = [], len(self._slices)
        while at > 0:
            chosen.append(way[at])
            at = self.candidates[way[at]].first
        return chosen[::-1]


def _sliced(blot: Blot, height: float) -> tuple[list[Blot], list[float]]:
    """The blot cut wherever digits may touch; and through how many stroke widths of ink each cut goes."""
    if blot.width < CUT_WIDTH * height:
        return [blot], []
    thickness = max(1.0, float(measure(blot.mask.astype(np.int32), 1).thickness[1]))
    found, prices = cuts(blot.mask, thickness)
    paths = list(found)
    columns = np.arange(blot.width)
    while True:
        edges = [np.zeros(blot.height, np.int64), *paths, np.full(blot.height, blot.width)]
        masks = [blot.mask & (columns >= left[:, None]) & (columns < right[:, None]) for left, right in pairwise(edges)]
        crumb = next((at for at, mask in enumerate(masks) if mask.any(axis=1).sum() < LEAST_SLICE * height), None)
        if crumb is None or not paths:
            return [_tight(mask, blot) for mask in masks], prices
        # it goes to the neighbour to which more ink leads
        beside = [at for at in (crumb - 1, crumb) if 0 <= at < len(paths)]
        dropped = max(beside, key=lambda at: prices[at])
        del paths[dropped], prices[dropped]


def _tight(mask: Mask, blot: Blot) -> Blot:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    inner = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return Blot(inner, blot.top + int(rows[0]), blot.left + int(columns[0]))


def _joined(blots: Sequence[Blot]) -> Blot:
    """All of the ink in one box."""
    top, left = min(each.top for each in blots), min(each.left for each in blots)
    bottom = max(each.top + each.height for each in blots)
    right = max(each.left + each.width for each in blots)
    mask = np.zeros((bottom - top, right - left), np.bool_)
    for each in blots:
        mask[each.top - top :, each.left - left :][: each.height, : each.width] |= each.mask
    return Blot(mask, top, left)
