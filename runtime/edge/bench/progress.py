"""Progress on the standard error: one live line on a terminal, a plain line now and then elsewhere."""

import sys
import time
from typing import TextIO

_WIDTH = 30  # characters of the bar
_ERASE = "\r\x1b[K"
_LIVE_SECONDS = 0.1  # between two drawings: more often is not seen, and takes time from what is measured
_PLAIN_SECONDS = 10.0  # between two lines in a log


class Progress:
    """Tells how far a number of steps has come; a line of its own for each stage."""

    __slots__ = ("_begun", "_done", "_live", "_stage", "_stream", "_told", "_total")

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._live = self._stream.isatty()
        self._stage = ""
        self._total = self._done = 0
        self._begun = self._told = 0.0

    def begin(self, stage: str, total: int) -> None:
        """Begins a stage of that many steps."""
        self.end()
        self._stage, self._total, self._done = stage, total, 0
        self._begun = self._told = time.monotonic()
        if self._live:
            self._draw()
        else:
            self._write(f"{stage}\n")

    def step(self) -> None:
        """Counts a step, and tells it when the last word was long ago."""
        self._done += 1
        now = time.monotonic()
        if now - self._told < (_LIVE_SECONDS if self._live else _PLAIN_SECONDS):
            return
        self._told = now
        if self._live:
            self._draw()
        else:
            self._write(f"{self._stage}: {self._done} of {self._total}\n")

    def end(self) -> None:
        """Leaves the terminal as it was."""
        if self._live and self._stage:
            self._write(_ERASE)
        self._stage = ""

    def _draw(self) -> None:
        share = self._done / max(self._total, 1)
        filled = round(_WIDTH * share)
        left = (time.monotonic() - self._begun) * (1 / share - 1) if share else 0.0
        rest = f", {left:.0f} s left" if share else ""
        self._write(f"{_ERASE}[{'#' * filled}{'.' * (_WIDTH - filled)}] {self._stage} {share:.0%}{rest}")

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()
