"""How times are taken and judged, everywhere in edge: in turns, and by ratios that are formed within a round.

**The quantity.** A duration is what one clock advances from just before a call until it has returned. What becomes of
the result, its destruction included, lies outside. One reading of the clock stays in each duration: on Linux some 50 ns
of `WALL`, some 450 ns of `thread_clock`. It is the same for all, so ratios of calls that take less than about 50 us by
the latter come out up to 1 % nearer to 1 than they are.

**The clock.** `WALL` advances whatever the process does, so it is the one for what somebody waits for: fresh
processes, several threads, percentiles of a service. `thread_clock` advances with the processor time of the calling
thread only: it does not see that other programs were given the core meanwhile, and is the one for comparing code that
computes in this thread alone.

**The sequence.** Each round gives every task one turn, so that drift and bursts of other work meet all alike. Rounds
come in pairs, the second in the reverse order of the first: a linear drift of the machine cancels within a pair. Each
pair begins one task later than the pair before: over as many pairs as there are tasks, every task takes every place
equally often. Rounds before the first that counts warm up (lazy imports, page faults, the processor's clock). Calls at
the beginning of a turn may go untimed as well: without, a task is timed with what the others left in the caches, but
for the one that ends a round and begins the next.

**The statistics.** A percentile is a duration that was measured: the smallest that at least that share of all did not
exceed (nearest rank), given only where ten durations lie on its rarer side. Two tasks are compared round by round: the
quotient of their medians in that round, and of these quotients the median. That is robust against bursts shorter than
half of the run, and against drift. A quotient of two medians over the whole run would be neither.

**The uncertainty.** The standard error of that median is 1.2533 s / sqrt(n) for n independent normal quotients of
standard deviation s, which is estimated by 1.4826 times their median absolute deviation. It says how well a run repeats
in the same process (type A): of 360 comparisons of a task with itself, 5 % were further from 1 than two of these
errors, and one was further than three. Disturbances that last longer than a round make quotients depend on each other,
and it is then too small. What a process or a session has once and for all is not in it: where its memory lies, which
core it got, how warm the machine is. The same LSTM in two files came to 0.86, 0.93 and 1.08 in three processes, each
within 1 % of itself. So a difference of a few percent is believed when sessions that were made anew show it, or several
processes.

Source: the error of a sample median and the factor of the median absolute deviation are the usual asymptotic ones, as
in P. J. Huber, Robust Statistics, 1981; nearest rank as in R. J. Hyndman and Y. Fan, Sample Quantiles
in Statistical Packages, 1996, definition 1.
"""

import math
import statistics
import time
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from edge.errors import EdgeError

Item = TypeVar("Item")

Clock = Callable[[], int]
"""Gives nanoseconds since some moment."""

WALL: Clock = time.perf_counter_ns

FINE_SECONDS = 1e-6
"""A clock that advances in larger steps cannot time a call: on Windows a thread's does by 15.6 ms."""

PERCENTILES = {"p50": 500, "p90": 900, "p99": 990, "p99.9": 999}
"""The percentiles that are printed, in thousandths of the calls."""

SAMPLES_BEYOND = 10
"""Calls that must lie on the rarer side of a percentile: with fewer, one burst of noise decides it."""

_NANOSECONDS = 1_000_000_000
_WHOLE = 1000
_MAD_TO_DEVIATION = 1.4826  # normal noise: standard deviation over median absolute deviation
_ERROR_OF_MEDIAN = 1.2533  # normal noise: standard error of the median over that of the mean, sqrt(pi / 2)


class ClockError(EdgeError):
    """A clock did not move, so that nothing can be said of what was timed."""


@dataclass(frozen=True, slots=True)
class Turn:
    """What happens in one turn of a task; by default, one timed call.

    Attributes:
        seconds: how long calls go on, the untimed ones included. A call is never cut off, and at least one is timed.
        warmup_calls: calls at its beginning that are not timed, at the least.
        warmup_share: share of its seconds whose calls are not timed.
        most_calls: timed calls at most.
    """

    seconds: float = 0.0
    warmup_calls: int = 0
    warmup_share: float = 0.0
    most_calls: int = 1_000_000


@dataclass(slots=True, eq=False)
class Series:
    """The durations of a task.

    Attributes:
        rounds: those of each round that counts, in nanoseconds and in the order of time; none is empty.
        warmup_calls: calls of these rounds that were not timed.
    """

    rounds: "list[array[int]]" = field(default_factory=list)
    warmup_calls: int = 0

    def ordered(self) -> list[int]:
        """All durations in nanoseconds, ascending."""
        return sorted(duration for durations in self.rounds for duration in durations)

    def medians(self) -> list[float]:
        """The median of each round, in nanoseconds."""
        return [statistics.median(durations) for durations in self.rounds]

    def median_us(self) -> float:
        """The median of all durations, in microseconds."""
        return statistics.median(self.ordered()) / 1e3


@dataclass(frozen=True, slots=True)
class Ratio:
    """How many times one quantity is another, from their values in the same rounds.

    Attributes:
        value: median of the quotients.
        error: standard error of that median, as a share of it.
    """

    value: float
    error: float


def thread_clock() -> Clock:
    """The processor time of the calling thread; the wall clock where the system counts it in coarse steps."""
    fine = time.get_clock_info("thread_time").resolution <= FINE_SECONDS
    return time.thread_time_ns if fine else WALL


def take_turns(
    items: Sequence[Item], *, rounds: int, warmup_rounds: int = 0, seconds: float = 0.0, clock: Clock = WALL
) -> Iterator[tuple[int, Item]]:
    """Yields whose turn it is, round after round, in the sequence that the head of this module describes.

    Args:
        items: those that take turns.
        rounds: rounds that count, at the least.
        warmup_rounds: rounds before them.
        seconds: further rounds begin until so long after the first.
        clock: by which these seconds pass.

    Yields:
        The number of the round and the item. The first round that counts has number 1, those before it 0 and less.
    """
    begun = clock()
    made = 0
    while made < warmup_rounds + rounds or clock() < begun + seconds * _NANOSECONDS:
        first = (made // 2) % max(len(items), 1)
        order = [*items[first:], *items[:first]]
        for item in reversed(order) if made % 2 else order:
            yield made - warmup_rounds + 1, item
        made += 1


def time_turn(call: Callable[[], object], into: Series, turn: Turn = Turn(), *, clock: Clock = WALL) -> None:
    """Times the calls of one turn.

    Nothing but the call lies between the two readings of the clock that make a duration.

    Args:
        call: what is timed.
        into: receives the durations as they come, so that whoever is interrupted keeps them.
        turn: how long it lasts.
        clock: by which durations and the turn itself are measured.
    """
    begun = clock()
    warm = begun + int(turn.seconds * turn.warmup_share * _NANOSECONDS)
    end = begun + int(turn.seconds * _NANOSECONDS)
    untimed = 0
    while untimed < turn.warmup_calls or clock() < warm:
        call()
        untimed += 1
    into.warmup_calls += untimed
    durations = array("q")
    while len(durations) < turn.most_calls:
        started = clock()
        result = call()
        stopped = clock()
        del result  # a session takes long to go
        durations.append(stopped - started)
        if len(durations) == 1:
            into.rounds.append(durations)
        if stopped >= end:
            break


def time_in_turns(
    tasks: Mapping[Item, Callable[[], object]],
    *,
    rounds: int,
    warmup_rounds: int = 0,
    seconds: float = 0.0,
    turn: Turn = Turn(),
    clock: Clock = WALL,
    progress: Callable[[int], None] | None = None,
) -> dict[Item, Series]:
    """Times tasks in turns.

    Args:
        tasks: what to call, by name.
        rounds: rounds that count, at the least.
        warmup_rounds: rounds before them, whose durations are left out.
        seconds: further rounds begin until so long after the first, by the wall clock.
        turn: how long each turn lasts.
        clock: by which durations are measured.
        progress: called after each turn with the number of turns so far.

    Returns:
        The durations by name; all have the same number of rounds.
    """
    found = {name: Series() for name in tasks}
    ordered = take_turns(list(tasks), rounds=rounds, warmup_rounds=warmup_rounds, seconds=seconds)
    for made, (number, name) in enumerate(ordered, start=1):
        time_turn(tasks[name], found[name] if number >= 1 else Series(), turn, clock=clock)
        if progress is not None:
            progress(made)
    return found


def compare(numerators: Sequence[float], denominators: Sequence[float]) -> Ratio:
    """How many times the one is the other: the median of the quotients of each round, and its standard error.

    The clock of a thread may stand still for a whole turn, on a virtual machine: such a round says nothing, and is left
    out.

    Args:
        numerators: a value of each round: `baseline.medians()` for how many times as fast something is.
        denominators: the values of the other in the same rounds.

    Raises:
        ClockError: no round is left.
    """
    rounds = zip(numerators, denominators, strict=True)
    quotients = [one / other for one, other in rounds if one > 0 and other > 0]
    if not quotients:
        raise ClockError("the clock stood still whenever something was timed; try again")
    middle = statistics.median(quotients)
    deviation = _MAD_TO_DEVIATION * statistics.median(abs(quotient - middle) for quotient in quotients)
    return Ratio(middle, _ERROR_OF_MEDIAN * deviation / math.sqrt(len(quotients)) / middle)


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
