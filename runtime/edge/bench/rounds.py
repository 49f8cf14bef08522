"""Latency and session load in this process, all configurations interleaved.

Every configuration has its turn in every round, and every second round runs backwards: noise and a processor that
slows down as it warms meet all of them alike.
"""

import time
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from edge.bench import timing
from edge.bench.plan import Plan, Setup, Subject
from edge.errors import BundleError, ProviderError
from edge.session import runtime, session
from edge.session.session import Session
from edge.verification import verify

SPINNING = False
"""Whether idle threads wait busily: as `edge.load` makes its sessions."""

ROUNDS = 8
"""Turns of each configuration. More would spend the time on warming caches again, fewer see less of the noise."""


@dataclass(slots=True, eq=False)
class Running:
    """A session that is measured.

    Attributes:
        setup: what was asked for.
        session: what came of it.
        placement: number of nodes by the provider that ran them.
        wrong: why `edge verify` refuses the bundle on this provider; None when it passes.
        load_ns: durations of fresh loads from the bytes in memory, in nanoseconds.
    """

    setup: Setup
    session: Session
    placement: dict[str, int]
    wrong: str | None
    load_ns: "array[int]" = field(default_factory=timing.series)


@dataclass(slots=True, eq=False)
class Series:
    """The calls of one configuration.

    Attributes:
        running: the session.
        images: uint8 (batch, 28, 28), the same in every call.
        call_ns: durations in nanoseconds, in the order of time.
        warmup_calls: calls that were not counted.
        failure: why there are no more; None when all went well.
    """

    running: Running
    images: NDArray[np.uint8]
    call_ns: "array[int]" = field(default_factory=timing.series)
    warmup_calls: int = 0
    failure: str | None = None

    @property
    def batch(self) -> int:
        """Images of a call."""
        return len(self.images)


@dataclass(frozen=True, slots=True)
class Refused:
    """A session that could not be made.

    Attributes:
        setup: what was asked for.
        reason: why not.
    """

    setup: Setup
    reason: str


@dataclass(slots=True, eq=False)
class Measured:
    """What was measured so far.

    Attributes:
        running: the sessions.
        series: the calls, batch by batch of each session.
        refused: the sessions that could not be made.
    """

    running: list[Running] = field(default_factory=list)
    series: list[Series] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)


def open_sessions(plan: Plan, into: Measured) -> None:
    """Makes all sessions, and asks for each where its nodes run and whether its answers are right.

    Args:
        plan: what is measured.
        into: receives the sessions, and an empty series for each batch size.

    Raises:
        RuntimeMissingError: onnxruntime is not installed, or broken.
    """
    runtime.load()  # so that no load pays for the import
    pixels = {subject.name: subject.source.evidence.images for subject in plan.subjects}
    facts: dict[tuple[str, str], tuple[dict[str, int], str | None]] = {}
    for setup in plan.setups:
        subject = setup.subject
        try:
            running = _open(setup)
            key = subject.name, running.provider
            if key not in facts:
                facts[key] = _placement(subject, running), _refusal(subject, running)
        except (ProviderError, BundleError) as error:
            into.refused.append(Refused(setup, str(error)))
            continue
        into.running.append(Running(setup, running, *facts[key]))
        into.series += [
            Series(into.running[-1], np.resize(pixels[subject.name], (batch, 28, 28))) for batch in plan.batches
        ]


def measure(plan: Plan, into: Measured) -> Iterator[int]:
    """Times fresh loads and calls, in `ROUNDS` rounds over all series.

    A sample is one `Session.run`: a numpy array in, two numpy arrays out, with everything that edge and onnxruntime's
    Python binding do in between. Making the images is not part of it.

    Args:
        plan: what is measured.
        into: as `open_sessions` left it; receives the durations as they come, so that whoever stops early keeps them.

    Yields:
        The number of the round, from 1, after each turn.
    """
    for number in range(1, ROUNDS + 1):
        forwards = number % 2 == 1
        for each in into.running if forwards else reversed(into.running):
            each.load_ns.append(_timed_load(each.setup))
        for one in into.series if forwards else reversed(into.series):
            if one.failure is None:
                _turn(one, plan.seconds / ROUNDS)
            yield number


def _turn(one: Series, seconds: float) -> None:
    run, images = one.running.session.run, one.images
    try:
        one.warmup_calls += timing.turn(lambda: run(images), seconds, one.call_ns)
    except ProviderError as error:
        one.failure = str(error)


def _timed_load(setup: Setup) -> int:
    begun = time.perf_counter_ns()
    fresh = _open(setup)
    ended = time.perf_counter_ns()
    del fresh  # the end of the session is not part of its load
    return ended - begun


def _open(setup: Setup) -> Session:
    source = setup.subject.source
    return session.create(
        source.data, provider=setup.provider, threads=setup.threads, spinning=SPINNING, manifest=source.manifest
    )


def _placement(subject: Subject, running: Session) -> dict[str, int]:
    placed = list(session.placement(subject.source.data, running.provider, manifest=subject.source.manifest).values())
    return {provider: placed.count(provider) for provider in dict.fromkeys(placed)}


def _refusal(subject: Subject, running: Session) -> str | None:
    """Why the bundle's answers are wrong here: a figure of speed means nothing then."""
    assert subject.source.path is not None  # a subject is always read from a file
    outcome = verify(subject.source.path, running.provider)
    return None if outcome.passed else f"{outcome.steps[-1].name}: {outcome.steps[-1].detail}"
