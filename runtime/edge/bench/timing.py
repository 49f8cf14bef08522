"""Timed calls and their percentiles.

A percentile is a sample: the smallest duration such that at least that share of all calls took no longer (nearest
rank), so no figure lies between two measurements. It is given only where enough calls stand on its rarer side;
elsewhere there is none, because a p99.9 of a hundred calls is their maximum under another name.
"""

import time
from array import array
from collections.abc import Callable, Sequence

PERCENTILES = {"p50": 500, "p90": 900, "p99": 990, "p99.9": 999}
"""The percentiles that are printed, in thousandths of the calls."""

SAMPLES_BEYOND = 10
"""Calls that must lie on the rarer side of a percentile: with fewer, one burst of noise decides it."""

MOST_SAMPLES = 100_000
"""A series ends there: ten times what p99.9 needs, and 0.8 MB a series."""

# Caches hold another model's weights when a turn begins: its first tenth, and at least one call, are not counted.
WARMUP_SHARE = 0.1
WARMUP_CALLS = 1

_NANOSECONDS = 1_000_000_000
_WHOLE = 1000


def samples_needed(per_mille: int) -> int:
    """Counts the calls that a percentile needs.

    Args:
        per_mille: the percentile in thousandths, 1 to 999.
    """
    rarer = min(per_mille, _WHOLE - per_mille)
    return -(-SAMPLES_BEYOND * _WHOLE // rarer)


def percentile(ordered: Sequence[int], per_mille: int) -> int | None:
    """The percentile of a series, by nearest rank.

    Args:
        ordered: durations of any unit, ascending.
        per_mille: the percentile in thousandths, 1 to 999.

    Returns:
        One of the durations; None where the series is too short for this percentile.
    """
    if len(ordered) < samples_needed(per_mille):
        return None
    return ordered[-(-per_mille * len(ordered) // _WHOLE) - 1]


def whole_percentiles(ordered: Sequence[int]) -> list[int | None]:
    """The percentiles 1 to 99 of an ascending series; None for those it is too short for."""
    return [percentile(ordered, whole * 10) for whole in range(1, 100)]


def turn(call: Callable[[], object], seconds: float, series: "array[int]") -> int:
    """Times calls for a while, after a warm-up.

    Nothing but the call lies between the two readings of the clock that make a sample.

    Args:
        call: what is timed.
        seconds: how long the turn lasts, warm-up included. A call is never cut off, and at least one is timed.
        series: receives the durations in nanoseconds; nothing more once it has `MOST_SAMPLES`.

    Returns:
        The number of calls of the warm-up.
    """
    clock = time.perf_counter_ns
    begun = clock()
    warm, end = begun + int(seconds * WARMUP_SHARE * _NANOSECONDS), begun + int(seconds * _NANOSECONDS)
    uncounted = 0
    while uncounted < WARMUP_CALLS or clock() < warm:
        call()
        uncounted += 1
    while len(series) < MOST_SAMPLES:
        start = clock()
        call()
        stop = clock()
        series.append(stop - start)
        if stop >= end:
            break
    return uncounted


def series() -> "array[int]":
    """An empty series of durations in nanoseconds."""
    return array("q")
