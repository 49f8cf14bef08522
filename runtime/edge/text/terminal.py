"""What a terminal shows: words that come from files, made harmless, lines beside the results, signs, and progress.

Progress goes to the standard error: one line that is redrawn on a terminal; elsewhere nothing, or a line now and then.
"""

import os
import sys
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, TextIO

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

WIDEST_CELL = 32

# Signs for a cell with two pixels, from no ink to full.
_ASCII: Final = " .:-=+*#%@"
_HALF_BLOCKS: Final = {(False, False): " ", (True, False): "▀", (False, True): "▄", (True, True): "█"}
_INKED: Final = 96  # the grey level from which half a cell is drawn


def printable(text: str) -> str:
    """The text as it is, or quoted when a terminal would act on it or hide a part of it.

    For every word that comes from a file or from people: names, labels, versions, kinds.
    """
    return text if text.isprintable() else repr(text)


def shortened(cell: str) -> str:
    """The cell, cut to `WIDEST_CELL` letters: one long text must not push all that stands beside it off the screen."""
    return cell if len(cell) <= WIDEST_CELL else cell[: WIDEST_CELL - 3] + "..."


def shows_blocks() -> bool:
    """Whether the output can encode the blocks that pictures and bars are drawn with."""
    try:
        "\u2580\u2584\u2588\u2591\u2592\u2593".encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def to_stderr(line: str) -> None:
    """Prints a line that is no result: stdout holds results only, so that other programs can read them."""
    print(line, file=sys.stderr, flush=True)  # noqa: T201


def image_as_text(image: "NDArray[np.uint8]", *, unicode: bool = True) -> str:
    """The image as text, 28 columns by 14 lines: each character stands for two pixels, one above the other.

    Args:
        image: uint8 (28, 28), ink 255 on background 0.
        unicode: whether the terminal can show half blocks; signs from `.` to `@` otherwise.
    """
    pairs = list(zip(image[::2].tolist(), image[1::2].tolist(), strict=True))
    if not unicode:
        return "\n".join(_ascii_line(upper, lower) for upper, lower in pairs)
    return "\n".join(_block_line(upper, lower) for upper, lower in pairs)


def _block_line(upper: list[int], lower: list[int]) -> str:
    cells = zip(upper, lower, strict=True)
    return "".join(_HALF_BLOCKS[above >= _INKED, below >= _INKED] for above, below in cells).rstrip()


def _ascii_line(upper: list[int], lower: list[int]) -> str:
    most = 2 * 255
    cells = zip(upper, lower, strict=True)
    return "".join(_ASCII[(above + below) * (len(_ASCII) - 1) // most] for above, below in cells).rstrip()


_COLUMNS = 24  # of the bar, where there is room
_FEWEST_COLUMNS = 4
_USUAL_COLUMNS = 80  # of a terminal
_ERASE = "\r\x1b[K"
_LIVE_SECONDS = 0.1  # between two drawings: more often is not seen, and takes time from what is done
_LOG_SECONDS = 10.0  # between two lines of a log
_TELLING_SECONDS = 2.0  # after which the time left is more than a guess


class ProgressBar:
    """Tells how far something has come. Between `clear` and the next `show`, other lines may be printed.

    Args:
        stream: where to; None takes the standard error.
        in_logs: whether a stream that is no terminal gets a plain line for each stage, and one now and then.
        clock: seconds, for tests.
    """

    __slots__ = ("_begun", "_clock", "_done", "_drawn", "_in_logs", "_live", "_next", "_stage", "_stream", "_total")

    def __init__(
        self,
        stream: TextIO | None = None,
        *,
        in_logs: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stream = stream or sys.stderr
        self._live = self._stream.isatty()
        self._in_logs = in_logs and not self._live
        self._clock = clock
        self._stage = ""
        self._total = self._done = 0
        self._begun = self._next = 0.0
        self._drawn = False

    def begin(self, total: int, stage: str = "") -> None:
        """Begins a stage.

        Args:
            total: steps that it has; 0 where nobody knows.
            stage: its name; none needs to be given where there is only one.
        """
        self.clear()
        self._stage, self._total, self._done = stage, total, 0
        self._begun = self._clock()
        self._next = self._begun + (_LIVE_SECONDS if self._live else _LOG_SECONDS)  # what is quick needs no bar
        if self._in_logs:
            self._write(f"{stage}\n")

    def step(self) -> None:
        """Counts one step more."""
        self.show(self._done + 1)

    def show(self, done: int, figures: Sequence[str] = ()) -> None:
        """Tells how many steps are done, unless the last word was just now.

        Args:
            done: 0 to the total, where that is known.
            figures: what else is known by now, such as "loss 0.1234", the first one first where not all have room.
        """
        self._done = done
        if not (self._live or self._in_logs) or (now := self._clock()) < self._next:
            return
        self._next = now + (_LIVE_SECONDS if self._live else _LOG_SECONDS)
        if self._in_logs:
            self._write(f"{self._stage}: {self._reached(done)}\n")
            return
        left = (now - self._begun) * (self._total / done - 1) if done else 0.0
        line = " ".join([*self._stage.split(), self._reached(done)])
        if now - self._begun >= _TELLING_SECONDS and left >= 1:
            line += f", {left:.0f} s left"
        room = self._width() - 1  # a line that fills the last column wraps, and could not be erased
        for figure in figures:
            if len(line) + 2 + len(figure) > room:
                break
            line += f"  {figure}"
        columns = min(_COLUMNS, room - len(line) - len("[] "))
        filled = columns * done // max(self._total, 1)
        draws = columns >= _FEWEST_COLUMNS and self._total > 0
        bar = f"[{'#' * filled}{'.' * (columns - filled)}] " if draws else ""
        self._write(f"{_ERASE}{bar}{line[:room]}")
        self._drawn = True

    def clear(self) -> None:
        """Leaves an empty line, if there is a bar."""
        if self._drawn:
            self._write(_ERASE)
            self._drawn = False
            self._next = 0.0

    def _reached(self, done: int) -> str:
        return f"{done} of {self._total}" if self._total else f"{done}"

    def _width(self) -> int:
        """Columns of the terminal; 80 where it does not say."""
        try:
            return os.get_terminal_size(self._stream.fileno()).columns or _USUAL_COLUMNS
        except OSError:
            return _USUAL_COLUMNS

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()
