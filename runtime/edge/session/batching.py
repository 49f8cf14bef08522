"""How many images run at once: chunks of equal size, run side by side by threads that share one session.

onnxruntime lets go of Python's lock while it computes, and a session may be used by several threads: for the small
models of edge that is faster than threads inside one operator, which have too little to do each.
"""

import itertools
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Origin = Literal["rule", "profile"]

# Larger chunks are not faster on any model of edge, and need memory for every activation of every image.
CHUNK_IMAGES = 256

# With fewer images than this each, starting a thread (some 50 us) and smaller chunks cost more than the thread brings.
LEAST_IMAGES_PER_THREAD = 64


@dataclass(frozen=True, slots=True)
class Batching:
    """How a classifier runs many images.

    Attributes:
        chunk_images: images in one run at most.
        threads: runs at a time at most, each in a thread of its own; 1 where the operators themselves use the cores.
        source: "profile" if it was measured on this machine, "rule" otherwise.
        few_images: batches of fewer images are computed in the way for a few, where a model has one
            (`edge.bundle.branches`); None leaves it to the file.
    """

    chunk_images: int
    threads: int
    source: Origin
    few_images: int | None = None

    @property
    def direct_images(self) -> int:
        """Up to this many images are one run in the caller's thread."""
        return self.chunk_images if self.threads == 1 else min(self.chunk_images, 2 * LEAST_IMAGES_PER_THREAD - 1)


def rule(threads: int) -> Batching:
    """The batching for a machine without a profile.

    Args:
        threads: cores that may be used, at least 1.
    """
    return Batching(CHUNK_IMAGES, threads, "rule")


def chunks(count: int, batching: Batching) -> list[slice]:
    """Cuts a batch into parts whose sizes differ by one at most.

    A small remainder would take another branch of a graph that looks at the size of its batch, and leave all threads
    but one without work at the end: so the number of parts is a multiple of the number of threads.

    Args:
        count: images, at least 1.
        batching: at most `batching.chunk_images` in a part.
    """
    workers = max(1, min(batching.threads, count // LEAST_IMAGES_PER_THREAD))
    rounds = -(-count // (batching.chunk_images * workers))
    parts = min(count, rounds * workers)
    edges = [count * part // parts for part in range(parts + 1)]
    return [slice(start, end) for start, end in itertools.pairwise(edges)]


def run_in_parts(count: int, batching: Batching, work: Callable[[slice], None]) -> None:
    """Does the work for every part of a batch, several parts at a time; the calling thread does its share.

    Args:
        count: images, at least 1.
        batching: how they are cut, and how many threads there may be.
        work: called with each part, from several threads at once.

    Raises:
        BaseException: the first that `work` raised; parts not begun by then are left out.
    """
    waiting = deque(chunks(count, batching))
    failures: list[BaseException] = []

    def serve() -> None:
        try:
            while True:
                try:
                    part = waiting.popleft()
                except IndexError:
                    return
                work(part)
        except BaseException as error:  # noqa: BLE001 - raised again by the calling thread
            failures.append(error)
            waiting.clear()

    helpers = [
        threading.Thread(target=serve, name="edge-classify", daemon=True)
        for _ in range(min(batching.threads, len(waiting)) - 1)
    ]
    started = []
    for helper in helpers:
        try:
            helper.start()
        except RuntimeError:  # the system gives no more threads: those that there are do the work
            break
        started.append(helper)
    serve()
    for helper in started:
        helper.join()
    if failures:
        raise failures[0]


def startable_threads(wanted: int) -> int:
    """How many threads the system gives this process, up to so many: tried, because nothing tells it beforehand."""
    gate = threading.Event()
    started: list[threading.Thread] = []
    try:
        for _ in range(wanted):
            thread = threading.Thread(target=gate.wait, daemon=True)
            thread.start()
            started.append(thread)
    except RuntimeError:
        pass
    finally:
        gate.set()
    for thread in started:
        thread.join()
    return len(started)
