"""Batches without a timer: what arrived while the model was busy goes together.

A request alone is run at once; the busier the service, the larger the batches become by themselves. Nothing waits for
others to come, so that no time is lost where nobody else comes.

A run that takes no longer than a handful of requests take to be parsed happens in the event loop itself: what arrived
meanwhile lies in the sockets, is parsed in one pass of the loop, and is the next batch. Handing such a run to a thread
would cost more than the run. Longer runs go to a thread, and the loop goes on.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor
from contextlib import suppress
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


INLINE_SECONDS = 1e-3
"""A run that is expected to take no longer happens in the event loop."""

_MEASURED = 4  # of so many runs one is timed: asking a thread's clock is a system call
_MEMORY = 0.9  # share of the old value in the running mean of the time that an image takes

Compute = Callable[[NDArray[np.uint8]], Outputs]
Observe = Callable[[Outputs], None]


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
        executor: whose threads compute what would keep the event loop; one at a time is taken.
        observe: told what the model said in each run, in the thread of the run.
        queue_seconds: a request that waited longer is refused.
        inline_seconds: a run that is expected to take no longer happens in the event loop.
    """

    def __init__(
        self,
        compute: Compute,
        executor: Executor,
        *,
        observe: Observe,
        queue_seconds: float,
        inline_seconds: float = INLINE_SECONDS,
    ) -> None:
        self._compute = compute
        self._executor = executor
        self._observe = observe
        self._queue_seconds = queue_seconds
        self._inline_seconds = inline_seconds
        self._image_seconds = 0.0  # expected, from the runs so far
        self._runs = 0
        self._waiting: deque[_Job] = deque()
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
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Outputs] = loop.create_future()
        self._waiting.append(_Job(pixels, len(pixels) // IMAGE_BYTES, future, time.monotonic() + self._queue_seconds))
        if not self._busy:
            self._busy = True
            loop.call_soon(self._start, loop)  # after all requests that this pass of the loop parses
        return future

    def _start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begins the next run, here or in a thread; in the event loop."""
        jobs = self._take()
        if not jobs:
            self._busy = bool(self._waiting)
            if self._busy:
                loop.call_soon(self._start, loop)
            return
        if sum(job.images for job in jobs) * self._image_seconds <= self._inline_seconds:
            self._finish(loop, jobs, self._run(jobs))
        else:
            self._executor.submit(self._in_thread, loop, jobs)

    def _in_thread(self, loop: asyncio.AbstractEventLoop, jobs: list[_Job]) -> None:
        outcome = self._run(jobs)
        with suppress(RuntimeError):  # the loop has ended: nobody waits any more
            loop.call_soon_threadsafe(self._finish, loop, jobs, outcome)

    def _finish(self, loop: asyncio.AbstractEventLoop, jobs: list[_Job], outcome: Outputs | Exception) -> None:
        """Gives everybody their own, and goes on with what has come meanwhile."""
        _deliver(jobs, outcome)
        self._busy = bool(self._waiting)
        if self._busy:
            loop.call_soon(self._start, loop)

    def _run(self, jobs: list[_Job]) -> Outputs | Exception:
        images = np.frombuffer(b"".join([job.pixels for job in jobs]), np.uint8).reshape(-1, ROWS, COLUMNS)
        is_measured = self._runs % _MEASURED == 0
        self._runs += 1
        began = time.thread_time() if is_measured else 0.0  # of this thread: a busy machine makes no model slower
        try:
            outputs = self._compute(images)
            self._observe(outputs)
        except Exception as error:  # noqa: BLE001 - it belongs to the requests, which raise it
            return error
        if is_measured:
            now = (time.thread_time() - began) / len(images)
            self._image_seconds = _MEMORY * (self._image_seconds or now) + (1 - _MEMORY) * now
        return outputs

    def _take(self) -> list[_Job]:
        """The requests of the next run; those that are gone or came too late are dropped."""
        taken: list[_Job] = []
        images, now = 0, time.monotonic()
        while self._waiting and (not taken or images + self._waiting[0].images <= LARGEST_BATCH):
            job = self._waiting.popleft()
            if job.future.cancelled():
                continue
            if job.deadline < now:
                job.future.set_exception(RequestError(503, "the request waited too long; try again in a second"))
                continue
            taken.append(job)
            images += job.images
        return taken


def _deliver(jobs: list[_Job], outcome: Outputs | Exception) -> None:
    first = 0
    for job in jobs:
        part = slice(first, first + job.images)
        first = part.stop
        if job.future.done():  # cancelled meanwhile
            continue
        if isinstance(outcome, Exception):
            job.future.set_exception(outcome)
        else:
            scores = None if outcome.scores is None else outcome.scores[part]
            job.future.set_result(Outputs(outcome.logits[part], outcome.probabilities[part], scores))
