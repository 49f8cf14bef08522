"""Several processes that share one socket: started, started anew when they die, and told what the first one is told."""

import logging
import multiprocessing
import multiprocessing.connection
import os
import signal
import socket
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.process import BaseProcess
from types import FrameType

from prometheus_client import multiprocess

from edge.service.metrics import SHARED_FOLDER
from edge.service.requests import Settings

LOG = logging.getLogger("edge.service")

REFUSED = 1
"""Exit code of a worker that refused a bundle: another start would end in the same way."""

_RESTART_SECONDS = 1.0  # between two starts of a worker that dies at once
_LOOK_SECONDS = 1.0

Target = Callable[[Settings, socket.socket], None]


class Supervisor:
    """Keeps a number of worker processes running.

    Args:
        target: what each of them does; it ends its process.
        settings: of the service, with the number of workers.
        bound: the socket that they share.
    """

    def __init__(self, target: Target, settings: Settings, bound: socket.socket) -> None:
        self._target = target
        self._settings = settings
        self._bound = bound
        self._context = multiprocessing.get_context("spawn")
        self._started: dict[BaseProcess, float] = {}
        self._ending = False
        self._code = 0

    def run(self) -> int:
        """Runs the workers until they are told to end.

        Returns:
            0, or 1 where a worker refused a bundle.
        """
        signal.signal(signal.SIGTERM, self._end)
        signal.signal(signal.SIGINT, self._end)
        if hasattr(signal, "SIGHUP"):  # not on Windows
            signal.signal(signal.SIGHUP, self._reload)
        with tempfile.TemporaryDirectory(prefix="edge-metrics-") as folder:
            os.environ[SHARED_FOLDER] = folder
            for _ in range(self._settings.workers):
                self._start()
            while self._started:
                multiprocessing.connection.wait([worker.sentinel for worker in self._started], _LOOK_SECONDS)
                for worker in [worker for worker in self._started if worker.exitcode is not None]:
                    self._bury(worker)
        return self._code

    def _start(self) -> None:
        worker = self._context.Process(target=self._target, args=(self._settings, self._bound))
        worker.start()
        self._started[worker] = time.monotonic()

    def _bury(self, worker: BaseProcess) -> None:
        """A worker has ended: all end with one that refused a bundle, any other is started anew."""
        lived = time.monotonic() - self._started.pop(worker)
        multiprocess.mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]
        if worker.exitcode == REFUSED:
            self._code = 1
            self._end(signal.SIGTERM, None)
        elif not self._is_ending():
            LOG.warning("worker %s ended with %s and is started anew", worker.pid, worker.exitcode)
            time.sleep(max(0.0, _RESTART_SECONDS - lived))
            self._start()
            if self._is_ending():  # told meanwhile
                self._end(signal.SIGTERM, None)

    def _is_ending(self) -> bool:
        """A signal may change it between any two lines."""
        return self._ending

    def _end(self, number: int, frame: FrameType | None) -> None:
        self._ending = True
        for worker in self._started:
            worker.terminate()

    def _reload(self, number: int, frame: FrameType | None) -> None:
        for worker in self._started:
            with suppress(ProcessLookupError):
                os.kill(worker.pid or 0, number)
