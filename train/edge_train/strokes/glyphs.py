"""The ways in which people write the ten digits, read from `glyphs.toml`, which says what a form and its text are.

`signs.toml` has letters and signs in the same notation: what is no digit.
"""

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import numpy as np
from numpy.typing import NDArray

Runs = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Form:
    """One way to write a digit: points that smooth curves join, one path for each hand.

    Attributes:
        name: in words.
        share: how many of the people who write this digit write it so, in [0, 1]; 0 for a rare form.
        controls: float64 (H, C, 2), one path per hand, x and y in heights of the digit (0 to 1).
        strokes: for each stroke, the ranges [first, last] of the points that one smooth curve joins; neighbours share
            their corner point.
    """

    name: str
    share: float
    controls: NDArray[np.float64]
    strokes: tuple[Runs, ...]


@cache
def forms(label: int) -> tuple[Form, ...]:
    """The forms of one digit: the usual ones, then the rare ones."""
    return _all()[label]


def form_counts() -> tuple[int, ...]:
    """How many forms each of the ten digits has."""
    return tuple(map(len, _all()))


@cache
def signs() -> tuple[Form, ...]:
    """Letters and signs that resemble no digit, one form each."""
    return tuple(_form(**form) for form in _read("signs.toml")["sign"])


@cache
def _all() -> tuple[tuple[Form, ...], ...]:
    written = _read("glyphs.toml")
    return tuple(tuple(_form(**form) for form in written[str(label)]) for label in range(10))


def _read(name: str) -> dict[str, Any]:
    return tomllib.loads((resources.files("edge_train.strokes") / name).read_text(encoding="utf-8"))


def _form(name: str, hands: list[str], share: float = 0.0) -> Form:
    paths = [_path(hand) for hand in hands]
    strokes = paths[0][1]
    assert all(other == strokes for _, other in paths), f"the hands of {name!r} differ in their strokes or corners"
    return Form(name, share, np.array([points for points, _ in paths], np.float64) / 100, strokes)


def _path(text: str) -> tuple[list[tuple[float, float]], tuple[Runs, ...]]:
    points: list[tuple[float, float]] = []
    strokes: list[Runs] = []
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
