"""Times several peers in turns, so that whatever else the machine does meets all of them alike.

In each round every peer runs a short burst, the first call of which is not timed: it brings the peer's weights back
into the cache that the others took. The order turns by one from round to round. Ratios are formed within a round and
their median is reported, so that a slow minute of the machine moves a time and leaves the ratio alone.
"""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

BURST_SECONDS = 0.02  # long enough for a percentile of short calls, short enough that a round sees one machine
BURST_CALLS = (1, 30)  # at least and at most
WARM_UP_ROUNDS = 2


@dataclass(frozen=True, slots=True)
class Timing:
    """What one peer took for one call.

    Attributes:
        p50_us: median, in microseconds.
        p90_us: nine of ten calls took no longer, in microseconds.
        ratio: how many times as fast as the baseline, the median over the rounds; above 1 it is faster.
        calls: timed calls.
    """

    p50_us: float
    p90_us: float
    ratio: float
    calls: int


def in_turns(tasks: Mapping[str, Callable[[], object]], *, baseline: str, rounds: int) -> dict[str, Timing]:
    """Times every task.

    Args:
        tasks: what to call, by name.
        baseline: the name of the one that ratios refer to.
        rounds: bursts of each task that count, at least 1.
    """
    names = list(tasks)
    bursts: dict[str, list[list[float]]] = {name: [] for name in names}
    for turn in range(WARM_UP_ROUNDS + rounds):
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            times = _burst(tasks[name])
            if turn >= WARM_UP_ROUNDS:
                bursts[name].append(times)
    medians = {name: [statistics.median(times) for times in bursts[name]] for name in names}
    return {
        name: Timing(
            p50_us=float(np.percentile(calls, 50)) * 1e6,
            p90_us=float(np.percentile(calls, 90)) * 1e6,
            ratio=statistics.median(base / own for base, own in zip(medians[baseline], medians[name], strict=True)),
            calls=len(calls),
        )
        for name in names
        for calls in [np.concatenate(bursts[name])]
    }


def _burst(task: Callable[[], object]) -> list[float]:
    task()
    times: list[float] = []
    least, most = BURST_CALLS
    while len(times) < least or (len(times) < most and sum(times) < BURST_SECONDS):
        started = time.perf_counter()
        task()
        times.append(time.perf_counter() - started)
    return times
