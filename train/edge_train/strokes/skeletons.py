"""The forms of the glyphs read from their text: points that smooth curves join, one path for each hand."""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from edge_train.strokes.glyphs import FORMS, Form


@dataclass(frozen=True, slots=True)
class Skeleton:
    """The points of a form, read from its text.

    `controls`: float64 (H, C, 2), one path per hand, x and y in heights of the digit (0 to 1).
    `runs`: for each stroke, the ranges [first, last] of the points that one smooth curve joins; neighbours share their
    corner point.
    """

    controls: NDArray[np.float64]
    runs: tuple[tuple[tuple[int, int], ...], ...]


@cache
def skeletons(label: int) -> tuple[Skeleton, ...]:
    """The forms of one digit, read from their text, in the order of `FORMS`."""
    return tuple(_skeleton(form) for form in FORMS[label])


def _skeleton(form: Form) -> Skeleton:
    paths = [_path(hand) for hand in form.hands]
    runs = paths[0][1]
    assert all(other == runs for _, other in paths), f"the hands of {form.name!r} differ in their strokes or corners"
    return Skeleton(np.array([points for points, _ in paths], np.float64) / 100, runs)


def _path(text: str) -> tuple[list[tuple[float, float]], tuple[tuple[tuple[int, int], ...], ...]]:
    points: list[tuple[float, float]] = []
    strokes: list[tuple[tuple[int, int], ...]] = []
    for stroke in text.split("/"):
        first, runs = len(points), []
        for pair in stroke.split(","):
            x, y = pair.strip().removesuffix("!").split()
            points.append((float(x), float(y)))
            if pair.strip().endswith("!"):
                runs.append((first, len(points) - 1))
                first = len(points) - 1
        strokes.append((*runs, (first, len(points) - 1)))
    return points, tuple(strokes)
