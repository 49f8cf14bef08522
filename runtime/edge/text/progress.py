"""A progress bar on a terminal: one line of the standard error, redrawn a few times a second; elsewhere nothing."""

import sys
import time

_COLUMNS = 24
_SECONDS_BETWEEN = 0.1  # more often is seen by nobody, and slows a terminal down


class Bar:
    """How much of something is done. Between `clear` and the next `show`, other lines may be printed."""

    __slots__ = ("_drawn", "_next", "_total")

    def __init__(self, total: int) -> None:
        self._total = total
        self._drawn = 0
        self._next = time.monotonic() + _SECONDS_BETWEEN  # what is quick needs no bar

    def show(self, done: int) -> None:
        """Draws the bar, unless it is no terminal that would show it, or it was drawn just now.

        Args:
            done: 0 to the total.
        """
        now = time.monotonic()
        if now < self._next or not sys.stderr.isatty():
            return
        self._next = now + _SECONDS_BETWEEN
        filled = _COLUMNS * done // max(self._total, 1)
        line = f"[{'#' * filled}{'.' * (_COLUMNS - filled)}] {done} of {self._total}"
        self._write("\r" + line.ljust(self._drawn), len(line))

    def clear(self) -> None:
        """Leaves an empty line, if there is a bar."""
        if self._drawn:
            self._write("\r" + " " * self._drawn + "\r", 0)
            self._next = 0.0

    def _write(self, text: str, columns: int) -> None:
        sys.stderr.write(text)
        sys.stderr.flush()
        self._drawn = columns
