"""Measures how a bundle runs many images fastest on this machine, and keeps the answer in the user's profile.

Chunk sizes and numbers of threads are timed in turns, round after round, so that a machine that is busy for a while
slows all of them. What counts is each round's ratio to the fastest candidate. Where the noise cannot tell candidates
apart, a fixed order decides, which begins with the rule of `edge.session.batching`: what is not clearly better changes
nothing.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median, pstdev

import numpy as np
from numpy.typing import NDArray

from edge.bundle.bundle import Bundle
from edge.errors import InputError, WriteError
from edge.session import cpu, profile, session
from edge.session.batching import Batching, run_in_parts
from edge.session.session import Session
from edge.text import table

CHUNKS = (256, 128, 512, 64, 1024)  # in the order in which equal ones are taken
ROUNDS = 9

# Two of the largest chunks for two threads; more threads get as many images more.
IMAGES_PER_THREAD = 1024

# Two candidates are equal if they differ by less than twice the standard error of the median, within these bounds:
# less than the lower one is not worth a profile, and more than the upper one is never only noise.
LEAST_DIFFERENCE = 0.02
MOST_DIFFERENCE = 0.08
_ERROR_OF_MEDIAN = 1.25  # standard error of the median of normal values, as a multiple of that of their mean


@dataclass(frozen=True, slots=True)
class Trial:
    """One measured candidate.

    Attributes:
        chunk_images: images in one run.
        threads: runs at a time.
        us_per_image: median time for an image, microseconds.
        ratio: median of the ratios to the candidate with the least median, round by round.
        error: standard error of that median.
    """

    chunk_images: int
    threads: int
    us_per_image: float
    ratio: float
    error: float


@dataclass(frozen=True, slots=True)
class Tuning:
    """What was measured, and what was chosen.

    Attributes:
        bundle: name of the bundle.
        machine: what the measurement holds for.
        trials: every candidate, in the order in which equal ones are taken.
        plan: the choice.
        kept: the profile that it was written to; None if it could not be written.
        problem: why it was not kept; None otherwise.
    """

    bundle: str
    machine: str
    trials: tuple[Trial, ...]
    plan: Batching
    kept: Path | None
    problem: str | None

    def lines(self) -> list[str]:
        """The measurement for people: a table, the choice, and where it is kept."""
        rows = [["threads", "chunk", "us per image", "times the fastest", ""]]
        for trial in sorted(self.trials, key=lambda trial: (trial.threads, trial.chunk_images)):
            chosen = (trial.threads, trial.chunk_images) == (self.plan.threads, self.plan.chunk_images)
            numbers = [str(trial.threads), str(trial.chunk_images), f"{trial.us_per_image:.1f}"]
            rows.append([*numbers, f"{trial.ratio:.2f} +- {trial.error:.2f}", "chosen" if chosen else ""])
        where = f"kept in {self.kept}" if self.kept else f"not kept: {self.problem}"
        return [f"{self.bundle} on {self.machine}", *table.aligned(rows), where]


def tune(
    source: Bundle,
    *,
    cores: int | None = None,
    rounds: int = ROUNDS,
    progress: Callable[[int, int], None] | None = None,
) -> Tuning:
    """Measures chunk sizes and numbers of threads on the CPU, and keeps the best for `edge.load`.

    Args:
        source: the bundle.
        cores: cores to use at most; None takes all that the process may use.
        rounds: how often each candidate is timed, at least 1; a round takes about a tenth of a second each.
        progress: called with the number of finished timings and of all.

    Returns:
        The measurement and the choice. A profile that cannot be written is told in it, and is no error.

    Raises:
        ProviderError: onnxruntime is missing, cannot load the bundle, or failed.
        InputError: fewer cores or rounds than 1.
    """
    most = cpu.allowed() if cores is None else cores
    if most < 1 or rounds < 1:
        raise InputError(f"{most} cores and {rounds} rounds measure nothing; give 1 or more of each")
    running = session.create(source.data, provider="cpu", threads=1, manifest=source.manifest)
    plans = [Batching(chunk, threads, "profile") for threads in _thread_counts(most) for chunk in CHUNKS]
    images = np.random.default_rng(0).integers(0, 256, (IMAGES_PER_THREAD * max(2, most), 28, 28), dtype=np.uint8)
    seconds = _timed(running, plans, images, rounds, progress or (lambda _done, _all: None))
    trials = _judged(plans, seconds, len(images))
    chosen = choose(trials)
    plan = Batching(chosen.chunk_images, chosen.threads, "profile")
    kept, problem = None, None
    try:
        kept = profile.keep(source.sha256, most, plan)
    except WriteError as error:
        problem = str(error)
    return Tuning(source.manifest.name, profile.machine(), tuple(trials), plan, kept, problem)


def choose(trials: Sequence[Trial]) -> Trial:
    """The first candidate that the noise cannot tell from the best.

    Args:
        trials: at least one, in the order in which equal ones are taken.
    """
    best = min(trials, key=lambda trial: trial.ratio)
    noise = min(max(2 * best.error, LEAST_DIFFERENCE), MOST_DIFFERENCE)
    return next(trial for trial in trials if trial.ratio <= best.ratio * (1 + noise))


def _thread_counts(most: int) -> list[int]:
    """The most, and below it ..., 4, 2, 1."""
    return [most, *(1 << power for power in reversed(range(most.bit_length())) if 1 << power < most)]


def _timed(
    running: Session,
    plans: Sequence[Batching],
    images: NDArray[np.uint8],
    rounds: int,
    progress: Callable[[int, int], None],
) -> NDArray[np.float64]:
    """Seconds of each plan in each round, float64 (rounds, plans), after a round that warms up."""

    def work(part: slice) -> None:
        running.run(images[part])

    seconds = np.zeros((rounds + 1, len(plans)))
    for turn, row in enumerate(seconds):
        # every other round backwards, so that none always follows the same one
        for index in range(len(plans)) if turn % 2 else reversed(range(len(plans))):
            started = time.perf_counter()
            run_in_parts(len(images), plans[index], work)
            row[index] = time.perf_counter() - started
            progress(turn * len(plans) + int(np.count_nonzero(row)), seconds.size)
    return seconds[1:]


def _judged(plans: Sequence[Batching], seconds: NDArray[np.float64], images: int) -> list[Trial]:
    medians = np.median(seconds, axis=0)
    ratios = seconds / seconds[:, [int(medians.argmin())]]
    return [
        Trial(
            chunk_images=plan.chunk_images,
            threads=plan.threads,
            us_per_image=float(medians[index]) / images * 1e6,
            ratio=median(ratios[:, index].tolist()),
            error=_ERROR_OF_MEDIAN * pstdev(ratios[:, index].tolist()) / len(seconds) ** 0.5,
        )
        for index, plan in enumerate(plans)
    ]
