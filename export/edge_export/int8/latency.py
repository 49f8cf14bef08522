"""What int8 costs or gains on this machine: graphs run in turns, and their times are compared round by round.

Sessions have one thread, the caller's, so its processor time is the latency on an idle machine: on a shared one, the
time that others take does not count. `edge.bench.turns` says how times are taken and what the noise of a ratio is.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto

from edge.bench.turns import Clock, Series, Turn, compare, thread_clock, time_in_turns
from edge.bundle.input import NAME
from edge_export.graph.session import RuntimeSession, open_deployed

Name = TypeVar("Name")

WARM_UP = 3
# Least rounds by batch size: a device's daily work, a few, and bulk. Each round runs every graph once.
REPETITIONS = {1: 200, 4: 100, 16: 50, 64: 25, 256: 15}
ENDS = (1, 256)
# What runs before a graph leaves little of it in the caches, and a graph ten times as slow leaves nothing: a few images
# are timed behind a run of the same graph, as they come one after the other in use. Beside `stepped`, the branch of
# `branched` for a few images came to 0.89 of the fp32 graph that it is, node by node.
FEW, WARM_CALLS = 16, 1
# Rounds go on for as long: on a shared machine, noise comes in bursts of some tenths of a second.
SECONDS = 1.0
LOADS = 5


@dataclass(frozen=True, slots=True)
class Latency:
    """Medians of one batch size on one thread, in microseconds per image.

    Attributes:
        batch: images of a run.
        baseline_us: of the baseline.
        candidate_us: of the candidate.
        ratio: how many times as fast as the baseline the candidate is, the median over rounds; below 1 it is slower.
        noise: standard error of that ratio, as a share of it.
    """

    batch: int
    baseline_us: float
    candidate_us: float
    ratio: float
    noise: float


def measure(
    baseline: RuntimeSession,
    candidates: Mapping[str, RuntimeSession],
    images: NDArray[np.uint8],
    *,
    batches: Sequence[int] | None = None,
    clock: Clock | None = None,
) -> dict[str, tuple[Latency, ...]]:
    """Every candidate against the baseline at every batch size, in turns.

    Args:
        baseline: a session.
        candidates: others, of the same inputs, by name.
        images: uint8 (N, 28, 28), repeated as often as the largest batch needs.
        batches: some of the sizes in `REPETITIONS`; None takes all.
        clock: by which runs are timed; None takes the processor time of this thread.
    """
    timed = time_sessions({"": baseline, **candidates}, images, batches=batches, clock=clock)
    return {
        name: tuple(_compared(batch, timed[batch][""], timed[batch][name]) for batch in timed) for name in candidates
    }


def time_sessions(
    sessions: Mapping[Name, RuntimeSession],
    images: NDArray[np.uint8],
    *,
    batches: Sequence[int] | None = None,
    clock: Clock | None = None,
) -> dict[int, dict[Name, Series]]:
    """Runs sessions in turns at every batch size.

    Args:
        sessions: of the same inputs, by any name.
        images: uint8 (N, 28, 28), repeated as often as the largest batch needs.
        batches: some of the sizes in `REPETITIONS`; None takes all.
        clock: by which runs are timed; None takes the processor time of this thread.

    Returns:
        By batch size and name, the durations of whole batches.
    """
    found = {}
    for batch in REPETITIONS if batches is None else batches:
        feed = {NAME: np.resize(images, (batch, *images.shape[1:]))}
        tasks = {name: _running(session, feed) for name, session in sessions.items()}
        found[batch] = time_in_turns(
            tasks,
            rounds=REPETITIONS[batch],
            warmup_rounds=WARM_UP,
            seconds=SECONDS,
            turn=Turn(warmup_calls=WARM_CALLS if batch <= FEW else 0),
            clock=clock or thread_clock(),
        )
    return found


def load_time(model: ModelProto, *, clock: Clock | None = None) -> float:
    """Median time until the first picture can be computed, in milliseconds."""
    timed = time_in_turns({"load": lambda: open_deployed(model)}, rounds=LOADS, clock=clock or thread_clock())
    return timed["load"].median_us() / 1e3


def _running(session: RuntimeSession, feed: dict[str, NDArray[np.uint8]]) -> Callable[[], object]:
    return lambda: session.run(None, feed)


def _compared(batch: int, baseline: Series, candidate: Series) -> Latency:
    ratio = compare(baseline.medians(), candidate.medians())
    return Latency(batch, baseline.median_us() / batch, candidate.median_us() / batch, ratio.value, ratio.error)
