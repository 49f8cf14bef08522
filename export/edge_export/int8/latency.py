"""What int8 costs or gains on this machine: graphs run in turns, so that noise meets all of them alike.

Sessions have one thread, the caller's, so that its processor time is the latency on an idle machine: on a shared one,
the time that others take does not count. Where the system measures it too coarsely, the wall clock is taken.
"""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto

from edge_export.graph.builder import IMAGE
from edge_export.graph.session import Session, open_session

WARM_UP = 3
# Least rounds by batch size: a device's daily work, and bulk. Each round runs every graph once.
REPETITIONS = {1: 200, 256: 15}
# Rounds go on for as long: on a shared machine, noise comes in bursts of some tenths of a second.
SECONDS = 1.5
LOADS = 5
FINE_SECONDS = 1e-6

# The median absolute deviation of normal noise is this much smaller than its standard deviation.
_MAD_TO_DEVIATION = 1.4826


@dataclass(frozen=True, slots=True)
class Latency:
    """Medians of one batch size on one thread, in microseconds per image.

    `ratio`: how many times as fast as the baseline the candidate is, the median over rounds; below 1 it is slower.
    `noise`: standard error of that ratio, as a share of it.
    """

    batch: int
    baseline_us: float
    candidate_us: float
    ratio: float
    noise: float


def measure(
    baseline: Session, candidates: Mapping[str, Session], images: NDArray[np.uint8]
) -> dict[str, tuple[Latency, ...]]:
    """Every candidate against the baseline at every batch size, in turns.

    Args:
        baseline: a session.
        candidates: others, of the same inputs, by name.
        images: uint8 (N, 28, 28), repeated as often as the largest batch needs.
    """
    found: dict[str, list[Latency]] = {name: [] for name in candidates}
    clock = _clock()
    sessions = [("", baseline), *candidates.items()]
    for batch, repetitions in REPETITIONS.items():
        feed = {IMAGE: np.resize(images, (batch, *images.shape[1:]))}
        times: dict[str, list[float]] = {name: [] for name, _ in sessions}
        began, rounds = time.perf_counter(), 0
        while rounds < WARM_UP + repetitions or time.perf_counter() - began < SECONDS:
            start = rounds % len(sessions)  # who goes first finds the caches as nobody else does
            for name, session in (*sessions[start:], *sessions[:start]):
                started = clock()
                session.run(None, feed)
                elapsed = clock() - started
                if rounds >= WARM_UP:
                    times[name].append(elapsed * 1e6 / batch)
            rounds += 1
        for name in candidates:
            found[name].append(_compared(batch, times[""], times[name]))
    return {name: tuple(latencies) for name, latencies in found.items()}


def _clock() -> Callable[[], float]:
    fine = time.get_clock_info("thread_time").resolution <= FINE_SECONDS
    return time.thread_time if fine else time.perf_counter


def load_time(model: ModelProto) -> float:
    """Median time to open a session of the model, in milliseconds."""
    clock = _clock()
    times = []
    for _ in range(LOADS):
        started = clock()
        open_session(model)
        times.append((clock() - started) * 1e3)
    return statistics.median(times)


def _compared(batch: int, baseline: list[float], candidate: list[float]) -> Latency:
    ratios = np.array(baseline) / np.array(candidate)
    ratio = float(np.median(ratios))
    deviation = _MAD_TO_DEVIATION * float(np.median(np.abs(ratios - ratio)))
    noise = deviation / ratio / len(ratios) ** 0.5
    return Latency(batch, statistics.median(baseline), statistics.median(candidate), ratio, noise)
