"""Measures how a bundle runs many images fastest on this machine, and keeps the answer in the user's profile.

Chunk sizes and numbers of threads are timed in turns, by the wall clock because several threads take part, and each is
compared with the fastest. Where the noise cannot tell candidates apart, a fixed order decides, which begins with the
rule of `edge.session.batching`: what is not clearly better changes nothing.
"""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.bench.turns import Series, compare, time_in_turns
from edge.bundle.bundle import Bundle
from edge.bundle.input import COLUMNS, ROWS
from edge.errors import InputError, WriteError
from edge.session import cpu, profile, session
from edge.session.batching import Batching, run_in_parts
from edge.session.session import Session
from edge.text import table

CHUNKS = (256, 128, 512, 64, 1024)  # in the order in which equal ones are taken
ROUNDS = 9
WARMUP_ROUNDS = 1

# Two of the largest chunks for two threads; more threads get as many images more.
IMAGES_PER_THREAD = 1024

# A candidate equals the best if it is slower by less than twice the standard error of its ratio, within these bounds:
# less than the lower one is not worth a profile, and more than the upper one is never only noise.
LEAST_DIFFERENCE = 0.02
MOST_DIFFERENCE = 0.08


@dataclass(frozen=True, slots=True)
class Trial:
    """One measured candidate.

    Attributes:
        chunk_images: images in one run.
        threads: runs at a time.
        us_per_image: median time for an image, microseconds.
        ratio: how many times the duration of the candidate with the least median.
        error: standard error of that ratio, as a share of it.
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
    images = np.random.default_rng(0).integers(
        0, 256, (IMAGES_PER_THREAD * max(2, most), ROWS, COLUMNS), dtype=np.uint8
    )
    trials = _trials(running, plans, images, rounds, progress)
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
    best = min(trial.ratio for trial in trials)
    return next(trial for trial in trials if trial.ratio <= best * (1 + _noise(trial)))


def _noise(trial: Trial) -> float:
    return min(max(2 * trial.error, LEAST_DIFFERENCE), MOST_DIFFERENCE)


def _thread_counts(most: int) -> list[int]:
    """The most, and below it ..., 4, 2, 1."""
    return [most, *(1 << power for power in reversed(range(most.bit_length())) if 1 << power < most)]


def _trials(
    running: Session,
    plans: Sequence[Batching],
    images: NDArray[np.uint8],
    rounds: int,
    progress: Callable[[int, int], None] | None,
) -> list[Trial]:
    def work(part: slice) -> None:
        running.run(images[part])

    turns = (rounds + WARMUP_ROUNDS) * len(plans)
    series = time_in_turns(
        {plan: functools.partial(run_in_parts, len(images), plan, work) for plan in plans},
        rounds=rounds,
        warmup_rounds=WARMUP_ROUNDS,
        progress=None if progress is None else lambda done: progress(done, turns),
    )
    fastest = min(series.values(), key=Series.median_us).medians()
    ratios = {plan: compare(each.medians(), fastest) for plan, each in series.items()}
    return [
        Trial(
            chunk_images=plan.chunk_images,
            threads=plan.threads,
            us_per_image=each.median_us() / len(images),
            ratio=ratios[plan].value,
            error=ratios[plan].error,
        )
        for plan, each in series.items()
    ]
