"""A hand: what a batch of different people do with a pen when they write given digits.

The glyphs say what a digit is; here every writer gets a form, a hand between the drawn ones, a slant, a haste, a
tremor and a pressure, all from numbers that belong to one picture alone.
"""

from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from edge_train.strokes import pen
from edge_train.strokes.glyphs import form_counts, forms, signs

Writers = Literal["usual", "all"]

# The spread of handwriting, in heights of the digit unless said otherwise. Wider spreads were tried: a digit in a
# hundred is then one that no reader agrees on.
JITTER = 0.016  # standard deviation of a point, three of which are summed
LOOSE_ENDS = 1.8  # the ends of a stroke vary more: gaps, overlaps, short and long bars
CARE = (0.3, 1.7)  # factor on jitter and tremor: careful writers and careless ones
TREMOR = 0.005
WAVE = (0.045, 0.035)  # largest slow bend, across and down
UNEQUAL = (0.18, 0.2)  # top against bottom: how much wider, how much taller
ASPECT = 0.2  # of the logarithm of width by height
SLANT = (0.14, 0.22)  # mean and spread of the shift to the right per height: most writers lean that way
ROTATION = 0.09  # radians
NIB = 0.4  # how much narrower a line is along the edge of a broad nib
PRESSURE = 0.16  # slow change of the width of the line
TAPER = (-0.15, 0.4)  # how much narrower the ends are; below 0: blobs of ink
TAPER_LENGTH = 0.12

_ABOVE_EVERY_DRAW = 2.0


class Dice:
    """Random numbers for a batch of pictures: row k of the numbers belongs to picture k alone.

    Numbers are taken column by column, so the order of the calls is part of what a seed means.
    """

    def __init__(self, numbers: NDArray[np.float64]) -> None:
        self._numbers = numbers
        self._taken = 0

    def uniform(self, low: float = 0.0, high: float = 1.0) -> NDArray[np.float64]:
        """Evenly spread numbers in [low, high), float64 (N, 1)."""
        return low + (high - low) * self._take(1)

    def uniforms(self, count: int) -> NDArray[np.float64]:
        """Evenly spread numbers in [0, 1), float64 (N, count)."""
        return self._take(count)

    def bell(self, spread: float) -> NDArray[np.float64]:
        """Numbers about 0 with standard deviation `spread`, float64 (N, 1)."""
        return self.bells(spread, 1)

    def bells(self, spread: float, count: int) -> NDArray[np.float64]:
        """Numbers about 0 with standard deviation `spread`, float64 (N, count)."""
        # Sums of two even numbers end at 2.45 spreads: no rare draw tears a digit beyond recognition.
        total = self._take(count) + self._take(count)
        return np.asarray((total - 1.0) * (np.sqrt(6.0) * spread))

    def _take(self, count: int) -> NDArray[np.float64]:
        columns = self._numbers[:, self._taken : self._taken + count]
        self._taken += count
        assert self._taken <= self._numbers.shape[1], "more random numbers are taken than there are; raise DRAWS"
        return columns


@dataclass(frozen=True, slots=True)
class Writing:
    """What a batch of pens did, before it is put on paper of some size.

    Attributes:
        positions: float64 (N, P, 2), x and y in heights of the digit, about the origin.
        joined: bool (N, P - 1), whether the pen is down between a position and the next.
        pressure: float64 (N, P), the width of the line relative to the pen's, about 1.
    """

    positions: NDArray[np.float64]
    joined: NDArray[np.bool_]
    pressure: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class _Book:
    """All F forms of all digits, or all signs, as arrays, padded to the most hands of a form and points of a hand.

    `first`: int64 (10,), the first form of each digit; of signs (1,). `controls`: float64 (F, H, C, 2); `hands`: bool
    (F, H), which of them exist; `loose`: float64 (F, C), how freely a point moves. The others are the fields of
    `pen.Trace`, with a leading F.
    """

    first: NDArray[np.int64]
    controls: NDArray[np.float64]
    hands: NDArray[np.bool_]
    loose: NDArray[np.float64]
    exact: NDArray[np.float64]
    hasty: NDArray[np.float64]
    joined: NDArray[np.bool_]
    way: NDArray[np.float64]
    to_end: NDArray[np.float64]


def write(labels: NDArray[np.int64], dice: Dice, positions: int, writers: Writers = "usual") -> Writing:
    """One digit by one writer for each label.

    Args:
        labels: int64 (N,), 0 to 9.
        dice: its rows belong to the same pictures; about 90 columns are taken.
        positions: of the pen, P.
        writers: "usual" writes each form as often as people do, "all" each form of a digit as often as any other.
    """
    book = _book(positions, "digits")
    return _written(book.first[labels] + (dice.uniform() >= _bounds(writers)[labels]).sum(axis=1), book, dice)


def write_signs(dice: Dice, positions: int) -> Writing:
    """One letter or sign that resembles no digit for each row of the dice, each of them equally often.

    Args:
        dice: about 90 columns are taken.
        positions: of the pen, P.
    """
    book = _book(positions, "signs")
    return _written((dice.uniform()[:, 0] * len(book.controls)).astype(np.int64), book, dice)


def _written(form: NDArray[np.int64], book: _Book, dice: Dice) -> Writing:
    """The forms of a book, int64 (N,), by one writer each."""
    # Cubed weights: most writers are close to one of the drawn hands, some are between several.
    weights = dice.uniforms(book.hands.shape[1]) ** 3 * book.hands[form] + 1e-9 * book.hands[form]
    weights /= weights.sum(axis=1, keepdims=True)
    controls = (weights[:, :, None, None] * book.controls[form]).sum(axis=1)  # (N, C, 2)
    care, points = dice.uniform(*CARE), controls.shape[1]
    # Neighbours move together, or round digits would turn into polygons.
    jitter = dice.bells(JITTER, 2 * (points + 2)).reshape(-1, points + 2, 2)
    jitter = jitter[:, :-2] + jitter[:, 1:-1] + jitter[:, 2:]
    controls = controls + jitter * (book.loose[form] * care)[..., None]
    haste = dice.uniform()[..., None]
    path = (1 - haste) * (book.exact[form] @ controls) + haste * (book.hasty[form] @ controls)  # (N, P, 2)
    path = _carry(path - 0.5, book.way[form], care, dice)
    return Writing(path, book.joined[form], _press(path, book.way[form], book.to_end[form], dice))


def _carry(
    path: NDArray[np.float64], way: NDArray[np.float64], care: NDArray[np.float64], dice: Dice
) -> NDArray[np.float64]:
    """The path as arm and paper bend it: tremor, slow waves, unequal halves, aspect, slant, rotation."""
    x, y = path[..., 0], path[..., 1]
    # Two waves that are out of step do not look like a sine.
    tremor = (_wave(way, 1.5, 3.0, dice) + _wave(way, 2.5, 4.0, dice)) * (dice.uniform(0.0, TREMOR) * care)
    across = _wave(y, 0.4, 1.1, dice) * dice.uniform(0.0, WAVE[0]) + tremor
    down = _wave(x, 0.4, 1.1, dice) * dice.uniform(0.0, WAVE[1]) + tremor
    x = x * (1 + dice.bell(UNEQUAL[0]) * y) + across
    y = y * (1 + dice.bell(UNEQUAL[1]) * y) + down
    x = x * np.exp(dice.bell(ASPECT)) - (SLANT[0] + dice.bell(SLANT[1])) * y
    angle = dice.bell(ROTATION)
    cosine, sine = np.cos(angle), np.sin(angle)
    return np.stack([x * cosine - y * sine, x * sine + y * cosine], axis=-1)


def _press(
    path: NDArray[np.float64], way: NDArray[np.float64], to_end: NDArray[np.float64], dice: Dice
) -> NDArray[np.float64]:
    """The width of the line along the path, float64 (N, P): the direction of a broad nib, pressure, thinner ends."""
    step = path[:, 4:] - path[:, :-4]  # over several positions: a corner is no blot
    nib = dice.uniform(0.0, np.pi)
    length = np.hypot(step[..., 0], step[..., 1]) + 1e-9
    broad = np.abs(step[..., 0] * np.sin(nib) - step[..., 1] * np.cos(nib)) / length
    broad = np.pad(broad, ((0, 0), (2, 2)), mode="edge")
    pressure = 1 + (broad - 0.6) * dice.uniform(0.0, NIB)  # 0.6 is about the mean over all directions
    pressure += _wave(way, 0.2, 0.9, dice) * dice.uniform(0.0, PRESSURE)
    return pressure * (1 - np.clip(1 - to_end / TAPER_LENGTH, 0.0, 1.0) * dice.uniform(*TAPER))


def _wave(along: NDArray[np.float64], slow: float, fast: float, dice: Dice) -> NDArray[np.float64]:
    """A sine of random phase, with `slow` to `fast` cycles per height of the digit."""
    frequency, phase = dice.uniform(slow, fast), dice.uniform()
    return np.sin(2 * np.pi * (frequency * along + phase))


@cache
def _bounds(writers: Writers) -> NDArray[np.float64]:
    """The running sums of the shares of each digit's forms, float64 (10, K), which a draw is compared with."""
    bounds = np.full((10, max(form_counts())), _ABOVE_EVERY_DRAW)
    for label, count in enumerate(form_counts()):
        shares = [form.share if writers == "usual" else 1 / count for form in forms(label)]
        drawn = [share for share in shares if share]  # rare forms stand behind the others
        bounds[label, : len(drawn) - 1] = np.cumsum(drawn)[:-1]
    return bounds


@cache
def _book(positions: int, what: Literal["digits", "signs"]) -> _Book:
    every = [form for label in range(10) for form in forms(label)] if what == "digits" else list(signs())
    traces = [pen.trace(form, positions) for form in every]
    counts = form_counts() if what == "digits" else (len(every),)
    hands = max(len(form.controls) for form in every)
    points = max(form.controls.shape[1] for form in every)
    controls, exists = np.zeros((len(every), hands, points, 2)), np.zeros((len(every), hands), np.bool_)
    loose = np.ones((len(every), points))
    exact, hasty = np.zeros((2, len(every), positions, points))
    for index, (form, trace) in enumerate(zip(every, traces, strict=True)):
        drawn, length, _ = form.controls.shape
        controls[index, :drawn, :length] = form.controls
        exists[index, :drawn] = True
        for runs in form.strokes:
            loose[index, [runs[0][0], runs[-1][1]]] = LOOSE_ENDS
        exact[index, :, :length], hasty[index, :, :length] = trace.exact, trace.hasty
    return _Book(
        first=np.cumsum([0, *counts[:-1]]).astype(np.int64),
        controls=controls,
        hands=exists,
        loose=loose,
        exact=exact,
        hasty=hasty,
        joined=np.stack([trace.joined for trace in traces]),
        way=np.stack([trace.way for trace in traces]),
        to_end=np.stack([trace.to_end for trace in traces]),
    )
