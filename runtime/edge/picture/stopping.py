"""Reading that is broken off between two pictures: a worker that nobody waits for any more ends soon.

A block of photographs takes seconds. When a run ends early, by Ctrl-C, by SIGTERM or by an error, its workers have
blocks before them, and Python waits for them before the process ends. So whoever reads pictures looks now and then
whether anybody wants them.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

_of_thread = threading.local()


class StoppedError(BaseException):
    """Nobody waits for these pictures any more; like an interrupt, it is no error of what was being done."""


@contextmanager
def stoppable(asked: threading.Event) -> Iterator[None]:
    """Reading in this thread ends when that is asked for, with `StoppedError` at the next `check`.

    Args:
        asked: is set by another thread.
    """
    _of_thread.asked = asked
    try:
        yield
    finally:
        _of_thread.asked = None


def check() -> None:
    """Goes on, or ends the reading where that was asked for.

    Raises:
        StoppedError: it was.
    """
    asked = getattr(_of_thread, "asked", None)
    if asked is not None and asked.is_set():
        raise StoppedError
