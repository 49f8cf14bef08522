"""Where digits that touch may be cut apart."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge.picture.ink.windows import Mask

Integers = NDArray[np.int64]

SWAY: Final = 0.16  # of the height: how far a cut may bend to either side
STEP: Final = 0.03  # of the height, between the cuts that are tried
APART: Final = 0.22  # of the height, the least distance between two cuts, and from the ends
THICKEST: Final = 2.4  # times the stroke width: the ink that a cut may go through
BEND: Final = 0.06  # price of a step to the side, in pixels of ink: straight cuts first


def cuts(ink: Mask, stroke: float) -> tuple[Integers, list[float]]:
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
        near = [abs(paths[candidate] - paths[other]).mean() < margin for other in chosen]
        if not any(near):
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
    price = np.zeros(columns.shape)
    came = np.zeros((height, *columns.shape), np.int8)
    steps = np.array([0, -1, 1])
    for row in range(height):
        stay = np.pad(price, ((0, 0), (1, 1)), constant_values=np.inf)
        choices = np.stack([stay[:, 1:-1], stay[:, :-2] + BEND, stay[:, 2:] + BEND])
        best = choices.argmin(axis=0)
        came[row] = steps[best]
        price = choices.min(axis=0) + ink[row][columns]
    at = price.argmin(axis=1)
    every = np.arange(len(starts))
    prices = price[every, at]
    paths = np.zeros((len(starts), height), np.int64)
    for row in range(height - 1, -1, -1):
        paths[:, row] = columns[every, at]
        at = at + came[row][every, at]
    return paths, prices
