"""Measures how a bundle runs fastest on this machine, and keeps the answer in the user's profile.

Where a model computes a few images in another way than many (`edge.bundle.branches`), both are timed at several batch
sizes, by the processor time of the thread: from how many images on is the way for many the faster one?

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

from edge.bench.turns import Series, compare, thread_clock, time_in_turns
from edge.bundle.bundle import Bundle
from edge.bundle.input import COLUMNS, ROWS
from edge.errors import InputError, WriteError
from edge.session import batching, cpu, session
from edge.session.batching import Batching, run_in_parts
from edge.session.session import Session
from edge.text import table

CHUNKS = (256, 128, 512, 64, 1024)  # in the order in which equal ones are taken
ROUNDS = 9
WARMUP_ROUNDS = 1

# Images at once at which the way for a few is timed beside the way for many; more are always many.
BATCHES = (1, 2, 4, 8, 12, 16, 24, 32, 48, 64)
# Of each batch: one run takes some 50 us to 5 ms.
SECONDS = 0.3

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
class BranchTrial:
    """The two ways of a model at one batch size.

    Attributes:
        images: of a batch.
        few_us: median time of a batch in the way for a few, microseconds.
        many_us: the same in the way for many.
        ratio: how many times as fast the way for many is.
        error: standard error of that ratio, as a share of it.
    """

    images: int
    few_us: float
    many_us: float
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
        branches: the two ways of the model, by batch size; none where it has one way.
    """

    bundle: str
    machine: str
    trials: tuple[Trial, ...]
    plan: Batching
    kept: Path | None
    problem: str | None
    branches: tuple[BranchTrial, ...] = ()

    def lines(self) -> list[str]:
        """The measurement for people: a table, the choice, and where it is kept."""
        rows = [["threads", "chunk", "us per image", "times the fastest", ""]]
        for trial in sorted(self.trials, key=lambda trial: (trial.threads, trial.chunk_images)):
            chosen = (trial.threads, trial.chunk_images) == (self.plan.threads, self.plan.chunk_images)
            numbers = [str(trial.threads), str(trial.chunk_images), f"{trial.us_per_image:.1f}"]
            rows.append([*numbers, f"{trial.ratio:.2f} +- {trial.error:.2f}", "chosen" if chosen else ""])
        where = f"kept in {self.kept}" if self.kept else f"not kept: {self.problem}"
        return [f"{self.bundle} on {self.machine}", *self._branch_lines(), *table.aligned(rows), where]

    def _branch_lines(self) -> list[str]:
        if not self.branches:
            return []
        rows = [["images", "few us", "many us", "times as fast", ""]]
        for trial in self.branches:
            numbers = [str(trial.images), f"{trial.few_us:.0f}", f"{trial.many_us:.0f}"]
            taken = "many" if self.plan.few_images is not None and trial.images >= self.plan.few_images else "few"
            rows.append([*numbers, f"{trial.ratio:.2f} +- {trial.ratio * trial.error:.2f}", taken])
        return table.aligned(rows)


def tune(
    source: Bundle,
    *,
    cores: int | None = None,
    rounds: int = ROUNDS,
    progress: Callable[[int, int], None] | None = None,
) -> Tuning:
    """Measures on the CPU how a bundle runs a few images and how it runs many, and keeps the best for `edge.load`.

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
    branches = _branch_trials(running, rounds) if running.has_branches else ()
    few_images = first_of_many(branches)
    if few_images is not None:
        running.few_images = few_images
    plans = [Batching(chunk, threads, "profile") for threads in _thread_counts(most) for chunk in CHUNKS]
    images = np.random.default_rng(0).integers(
        0, 256, (IMAGES_PER_THREAD * max(2, most), ROWS, COLUMNS), dtype=np.uint8
    )
    trials = _trials(running, plans, images, rounds, progress)
    chosen = choose(trials)
    plan = Batching(chosen.chunk_images, chosen.threads, "profile", few_images)
    kept, problem = None, None
    try:
        kept = batching.keep(source.sha256, most, plan)
    except WriteError as error:
        problem = str(error)
    return Tuning(source.manifest.name, batching.machine(), tuple(trials), plan, kept, problem, branches)


def first_of_many(trials: Sequence[BranchTrial]) -> int | None:
    """The images from which on the way for many is the faster one, at every batch size that was timed.

    Args:
        trials: by ascending batch size; none for a model that has one way.

    Returns:
        One more than the largest batch where the way for a few is the faster one even there; None without trials.
    """
    if not trials:
        return None
    limit = trials[-1].images + 1
    for trial in reversed(trials):
        if trial.ratio <= 1:
            break
        limit = trial.images
    return limit


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


def _branch_trials(running: Session, rounds: int) -> tuple[BranchTrial, ...]:
    limits = {"few": BATCHES[-1] + 1, "many": 1}
    images = np.random.default_rng(0).integers(0, 256, (BATCHES[-1], ROWS, COLUMNS), dtype=np.uint8)

    def run(limit: int, batch: NDArray[np.uint8]) -> None:
        running.few_images = limit
        running.run(batch)

    trials = []
    for count in BATCHES:
        tasks = {way: functools.partial(run, limit, images[:count]) for way, limit in limits.items()}
        series = time_in_turns(tasks, rounds=rounds, warmup_rounds=WARMUP_ROUNDS, seconds=SECONDS, clock=thread_clock())
        ratio = compare(series["few"].medians(), series["many"].medians())
        medians = {way: each.median_us() for way, each in series.items()}
        trials.append(BranchTrial(count, medians["few"], medians["many"], ratio.value, ratio.error))
    return tuple(trials)


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
