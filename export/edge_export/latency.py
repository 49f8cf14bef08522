"""What int8 costs or gains on this machine: two graphs, run in turns, so that noise meets both alike."""

import statistics
import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_export.draft import INPUT
from edge_export.session import Session

WARM_UP = 5
REPETITIONS = 40
BATCHES = (1, 256)


@dataclass(frozen=True, slots=True)
class Latency:
    """Medians of one batch size on one thread, in microseconds per image."""

    batch: int
    baseline_us: float
    candidate_us: float

    @property
    def ratio(self) -> float:
        """How many times as fast as the baseline the candidate is; below 1 it is slower."""
        return self.baseline_us / self.candidate_us


def measure(baseline: Session, candidate: Session, images: NDArray[np.uint8]) -> list[Latency]:
    """Both sessions at every batch size, alternating.

    Args:
        baseline: an onnxruntime session.
        candidate: another one, of the same inputs.
        images: uint8 (N, 28, 28), repeated as often as the largest batch needs.
    """
    results = []
    for batch in BATCHES:
        feed = {INPUT: np.resize(images, (batch, *images.shape[1:]))}
        times: tuple[list[float], list[float]] = ([], [])
        for repetition in range(WARM_UP + REPETITIONS):
            for slot, session in enumerate((baseline, candidate)):
                started = time.perf_counter()
                session.run(None, feed)
                elapsed = time.perf_counter() - started
                if repetition >= WARM_UP:
                    times[slot].append(elapsed * 1e6 / batch)
        results.append(Latency(batch, statistics.median(times[0]), statistics.median(times[1])))
    return results
