"""What is measured, and the measuring: bundles on providers, with thread counts and batch sizes, all of them in turns.

Each session is timed by fresh loads, and by calls on batches. A duration of a load is that of `edge.session.create`
from the bytes in memory; of a call, that of one `Session.run`: a numpy array in, two numpy arrays out, with everything
that edge and onnxruntime's Python binding do in between. Making the images is not part of it.
"""

import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.bench.turns import Series, Turn, take_turns, time_turn
from edge.bundle import bundle, shipped
from edge.bundle.bundle import Bundle
from edge.bundle.input import COLUMNS, ROWS
from edge.errors import BundleError, BundleNotFoundError, InputError, ProviderError
from edge.session import session
from edge.session.providers import Provider
from edge.session.session import Session
from edge.verification import verify

LARGEST_BATCH = 65536  # 51 MB of pixels: a larger number is a slip of the finger
MOST_THREADS = 1024

SPINNING = False
"""Whether idle threads wait busily: as `edge.load` makes its sessions."""

ROUNDS = 8
"""Turns of each configuration. More would spend the time on warming caches again, fewer see less of the noise."""

MOST_CALLS = 100_000
"""A configuration ends there: ten times what p99.9 needs, and 0.8 MB each."""

# Caches hold another model's weights when a turn begins: its first tenth, and at least one call, are not timed.
WARMUP_SHARE = 0.1
WARMUP_CALLS = 1


@dataclass(frozen=True, slots=True, eq=False)
class NamedBundle:
    """A bundle that is measured.

    Attributes:
        name: of its manifest; as it was asked for when two bundles share that.
        source: the bundle, checked.
    """

    name: str
    source: Bundle


@dataclass(frozen=True, slots=True, eq=False)
class Setup:
    """A session that is to be made: its batch sizes share it.

    Attributes:
        subject: the bundle.
        provider: as it was asked for: "auto", "cpu" or "cuda".
        threads: threads inside one operator.
    """

    subject: NamedBundle
    provider: Provider
    threads: int


@dataclass(frozen=True, slots=True)
class Experiment:
    """All that is measured.

    Attributes:
        subjects: the bundles.
        providers: as asked for.
        threads: thread counts, each at least 1.
        batches: batch sizes, each at least 1.
        seconds: time for each configuration, warm-up included.
        cold_starts: fresh processes for each bundle and provider; 0 for none.

    Raises:
        InputError: one of these says nothing that can be measured.
    """

    subjects: tuple[NamedBundle, ...]
    providers: tuple[Provider, ...] = ("auto",)
    threads: tuple[int, ...] = (1,)
    batches: tuple[int, ...] = (1, 16, 256)
    seconds: float = 3.0
    cold_starts: int = 5

    def __post_init__(self) -> None:
        _check("batch size", self.batches, LARGEST_BATCH)
        _check("number of threads", self.threads, MOST_THREADS)
        if not 0 < self.seconds < float("inf"):
            raise InputError(f"{self.seconds} seconds measure nothing; give a number above 0")
        if self.cold_starts < 0:
            raise InputError(f"there are no {self.cold_starts} cold starts; give 0 or more")

    @property
    def setups(self) -> list[Setup]:
        """The sessions, bundle by bundle."""
        return [Setup(*each) for each in itertools.product(self.subjects, self.providers, self.threads)]


@dataclass(slots=True, eq=False)
class Timed:
    """Something that is timed.

    Attributes:
        call: what is called.
        turn: how long each of its turns lasts.
        series: the durations so far.
        failure: why there are no more; None when all went well.
    """

    call: Callable[[], object]
    turn: Turn
    series: Series = field(default_factory=Series)
    failure: str | None = None

    def take(self) -> None:
        """Takes a turn, unless an earlier one failed."""
        if self.failure is None:
            try:
                time_turn(self.call, self.series, self.turn)
            except ProviderError as error:
                self.failure = str(error)


@dataclass(frozen=True, slots=True, eq=False)
class Opened:
    """A session that is measured.

    Attributes:
        setup: what was asked for.
        session: what came of it.
        placement: number of nodes by the provider that ran them.
        wrong: why `edge verify` refuses the bundle on this provider; None when it passes.
        loads: fresh loads.
    """

    setup: Setup
    session: Session
    placement: dict[str, int]
    wrong: str | None
    loads: Timed


@dataclass(frozen=True, slots=True, eq=False)
class Calls:
    """The calls of one configuration.

    Attributes:
        opened: the session.
        images: uint8 (batch, 28, 28), the same in every call.
        runs: the calls.
    """

    opened: Opened
    images: NDArray[np.uint8]
    runs: Timed

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
class Observations:
    """What was measured so far.

    Attributes:
        opened: the sessions.
        calls: their calls, batch by batch of each session.
        refused: the sessions that could not be made.
    """

    opened: list[Opened] = field(default_factory=list)
    calls: list[Calls] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)


def named_bundles(names_or_paths: Sequence[str]) -> tuple[NamedBundle, ...]:
    """Reads and checks the bundles before anything is measured; each file once.

    Args:
        names_or_paths: shipped names and paths; none of them stands for all that are shipped.

    Raises:
        BundleError: one is not found, damaged, no bundle, or of another generation of edge; or none is shipped.
    """
    asked = list(names_or_paths) or shipped.names()
    if not asked:
        raise BundleNotFoundError("no bundles are shipped with this installation; name a bundle")
    paths: dict[Path, str] = {}
    for each in asked:
        paths.setdefault(shipped.locate(each), each)
    found = [(each, bundle.read(path)) for path, each in paths.items()]
    shared = Counter(source.manifest.name for _, source in found)
    return tuple(
        NamedBundle(source.manifest.name if shared[source.manifest.name] == 1 else each, source)
        for each, source in found
    )


def open_sessions(experiment: Experiment, into: Observations) -> None:
    """Makes all sessions, and asks for each where its nodes run and whether its answers are right.

    Args:
        experiment: what is measured.
        into: receives the sessions, and calls without durations for each batch size.

    Raises:
        RuntimeMissingError: onnxruntime is not installed, or broken.
    """
    pixels = {subject.name: subject.source.evidence.images for subject in experiment.subjects}
    facts: dict[tuple[str, str], tuple[dict[str, int], str | None]] = {}
    turn = Turn(experiment.seconds / ROUNDS, WARMUP_CALLS, WARMUP_SHARE, MOST_CALLS // ROUNDS)
    for setup in experiment.setups:
        subject = setup.subject
        try:
            running = _open(setup)
            key = subject.name, running.provider
            if key not in facts:
                facts[key] = _placement(subject, running), _refusal(subject, running)
        except (ProviderError, BundleError) as error:
            into.refused.append(Refused(setup, str(error)))
            continue
        opened = Opened(setup, running, *facts[key], Timed(_opening(setup), Turn()))
        into.opened.append(opened)
        for batch in experiment.batches:
            images = np.resize(pixels[subject.name], (batch, ROWS, COLUMNS))
            into.calls.append(Calls(opened, images, Timed(_running(running, images), turn)))


def measure(into: Observations) -> Iterator[int]:
    """Times fresh loads and calls, in `ROUNDS` rounds over all of them.

    Args:
        into: as `open_sessions` left it; receives the durations as they come, so that whoever stops early keeps them.

    Yields:
        The number of the round, from 1, after each turn.
    """
    timed = [*(each.loads for each in into.opened), *(each.runs for each in into.calls)]
    for number, each in take_turns(timed, rounds=ROUNDS):
        each.take()
        yield number


def _check(what: str, values: Sequence[int], most: int) -> None:
    for value in values:
        if not 1 <= value <= most:
            raise InputError(f"{value} is no {what}; give 1 to {most}")


def _opening(setup: Setup) -> Callable[[], Session]:
    return lambda: _open(setup)


def _running(running: Session, images: NDArray[np.uint8]) -> Callable[[], object]:
    return lambda: running.run(images)


def _open(setup: Setup) -> Session:
    source = setup.subject.source
    return session.create(
        source.data, provider=setup.provider, threads=setup.threads, spinning=SPINNING, manifest=source.manifest
    )


def _placement(subject: NamedBundle, running: Session) -> dict[str, int]:
    placed = list(session.placement(subject.source.data, running.provider, manifest=subject.source.manifest).values())
    return {provider: placed.count(provider) for provider in dict.fromkeys(placed)}


def _refusal(subject: NamedBundle, running: Session) -> str | None:
    """Why the bundle's answers are wrong here: a figure of speed means nothing then."""
    assert subject.source.path is not None  # a subject is always read from a file
    outcome = verify(subject.source.path, running.provider)
    return None if (failed := outcome.failed) is None else f"{failed.name}: {failed.detail}"
