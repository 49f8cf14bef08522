"""The standard streams of a command: closed, full, or in an encoding that does not know every letter.

All of it is dealt with here, so that no command has to: what cannot be told on the standard error is left out, and
results that cannot be written are a failure that is told.
"""

import errno
import io
import os
import sys
from contextlib import suppress
from typing import TextIO

from edge.errors import EdgeError, WriteError

# What a write to a stream fails with, other than that its reader has left, which ends a command quietly.
_UNWRITABLE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EBADF, errno.EFBIG})


class _Forgiving(io.TextIOBase):
    """A standard error that drops what cannot be written: results must not be lost to a remark about them."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with suppress(OSError, ValueError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError, ValueError):
            self._stream.flush()

    def isatty(self) -> bool:
        return self._stream.isatty()

    def fileno(self) -> int:
        return self._stream.fileno()

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._stream.encoding


def prepare() -> None:
    """Makes every stream one that can be used.

    Raises:
        EdgeError: the standard output is closed, so that nobody would get the results.
    """
    for number in range(3):  # a file that is opened later must not get the number of a closed stream
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # noqa: FBT003 - it takes no keyword
    sys.stdin = sys.stdin or open(os.devnull, encoding="utf-8")  # noqa: SIM115, PTH123 - as long as the process
    sys.stderr = sys.stderr or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123
    if sys.stdout is None:
        raise EdgeError("the standard output is closed; send it to a file, or to /dev/null")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a file name need not fit the terminal's encoding
    if isinstance(sys.stderr, io.TextIOWrapper):
        sys.stderr = _Forgiving(sys.stderr)


def settle() -> None:
    """Writes what is left of the results, while it can still be told that it failed.

    Raises:
        OSError: it cannot be written.
    """
    if sys.stdout is not None:
        sys.stdout.flush()


def failure_of(error: OSError) -> EdgeError | None:
    """What to tell of an error of the standard output; None where it is none, or the reader has left.

    The stream is let go of, because Python would fail at it again when the process ends.
    """
    if error.filename is not None or error.errno not in _UNWRITABLE | {errno.EPIPE}:
        return None
    with suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    reason = error.strerror or str(error)
    return WriteError(f"the results cannot be written to the standard output: {reason}; send it elsewhere")
