"""Batches without a timer: what arrived while the model was busy goes together.

A request alone is run at once; the busier the service, the larger the batches become by themselves. Nothing waits for
others to come, so that no time is lost where nobody else comes.
"""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge.bundle.input import COLUMNS, ROWS
from edge.service.requests import RequestError

IMAGE_BYTES = ROWS * COLUMNS

LARGEST_BATCH = 256
"""Images in a run, unless one request brings more: from here on larger batches gain nothing (benchmarks/LOG.md)."""


class Outputs(NamedTuple):
    """What a model says of some images.

    Attributes:
        logits: float32 (N, classes).
        probabilities: float32 (N, classes).
        scores: float64 (N,), how much each looks like any label; None where the bundle cannot say.
    """

    logits: NDArray[np.float32]
    probabilities: NDArray[np.float32]
    scores: NDArray[np.float64] | None


Compute = Callable[[NDArray[np.uint8]], Outputs]
Observe = Callable[[int], None]


@dataclass(slots=True)
class _Job:
    pixels: bytes
    images: int
    future: "asyncio.Future[Outputs]"
    deadline: float


class Batcher:
    """Runs the requests of one model, in the order of their arrival.

    Args:
        compute: uint8 (N, 28, 28) to what the model says; called from one thread at a time.
        executor: whose threads compute; one at a time is taken, and given back when nothing waits.
        observe: told the number of images of each run.
        queue_seconds: a request that waited longer is refused.
    """

    def __init__(self, compute: Compute, executor: Executor, *, observe: Observe, queue_seconds: float) -> None:
        self._compute = compute
        self._executor = executor
        self._observe = observe
        self._queue_seconds = queue_seconds
        self._waiting: deque[_Job] = deque()
        self._lock = threading.Lock()
        self._busy = False

    @property
    def waiting(self) -> int:
        """Requests that no run has taken yet."""
        return len(self._waiting)

    def submit(self, pixels: bytes) -> "asyncio.Future[Outputs]":
        """Puts images into the queue; must be called from the event loop.

        Args:
            pixels: N x 784 bytes, N at least 1.

        Returns:
            What the model says of them. A future that is cancelled before a run takes it is not computed. It raises
            `RequestError` 503 where the queue took too long.
        """
        future = asyncio.get_running_loop().create_future()
        job = _Job(pixels, len(pixels) // IMAGE_BYTES, future, time.monotonic() + self._queue_seconds)
        with self._lock:
            self._waiting.append(job)
            if self._busy:
                return future
            self._busy = True
        self._executor.submit(self._work, future.get_loop())
        return future

    def _work(self, loop: asyncio.AbstractEventLoop) -> None:
        while jobs := self._take():
            now = time.monotonic()
            late = [job for job in jobs if job.deadline < now]
            wanted = [job for job in jobs if job.deadline >= now and not job.future.cancelled()]
            outcome: Outputs | Exception | None = None
            if wanted:
                pixels = b"".join([job.pixels for job in wanted])
                images = np.frombuffer(pixels, np.uint8).reshape(-1, ROWS, COLUMNS)
                try:
                    outcome = self._compute(images)
                except Exception as error:  # noqa: BLE001 - it belongs to the requests, which raise it
                    outcome = error
                self._observe(len(images))
            try:
                loop.call_soon_threadsafe(_deliver, wanted, outcome, late)
            except RuntimeError:  # the loop has ended: nobody waits any more
                return

    def _take(self) -> list[_Job]:
        """The requests of the next run, at least one; when there are none, the thread is given back."""
        with self._lock:
            taken: list[_Job] = []
            images = 0
            while self._waiting and (not taken or images + self._waiting[0].images <= LARGEST_BATCH):
                taken.append(self._waiting.popleft())
                images += taken[-1].images
            self._busy = bool(taken)
            return taken


def _deliver(jobs: list[_Job], outcome: Outputs | Exception | None, late: list[_Job]) -> None:
    first = 0
    for job in jobs:
        part = slice(first, first + job.images)
        first = part.stop
        if job.future.done():  # cancelled meanwhile
            continue
        if isinstance(outcome, Outputs):
            scores = None if outcome.scores is None else outcome.scores[part]
            job.future.set_result(Outputs(outcome.logits[part], outcome.probabilities[part], scores))
        elif outcome is not None:
            job.future.set_exception(outcome)
    for job in late:
        if not job.future.done():
            job.future.set_exception(RequestError(503, "the request waited too long; try again in a second"))
