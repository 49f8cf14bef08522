"""What libtiff says while it decodes, which goes to the process's standard error, past Python, and past its exit code.

A damaged fax picture "decodes": libtiff fills the lines that it cannot read, writes a line for each, and reports
success.
"""

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

STANDARD_ERROR: Final = 2
MOST_BYTES: Final = 65_536  # a pipe holds as much; what does not fit is lost, one line is enough to know

# "Fax4Decode: Bad code word at line 103 of strip 0 (x 301)."; another thread may write in between.
_MESSAGE: Final = re.compile(
    rb"^(?:\w*(?:Decode|Setup|Predictor|Directory|TIFF|Fax|JPEG|LogL|LZMA|ZSTD|WebP|LERC|JBIG)\w*|tempfile\.tif): .*$",
    re.MULTILINE,
)
_WARNING: Final = b"Warning"


@contextmanager
def heard() -> Iterator[list[str]]:
    """Takes the standard error of the process while libtiff decodes, and gives back what others wrote to it.

    One thread at a time may be in it, as the descriptor is the process's own.

    Yields:
        A list that holds the errors of libtiff, a line each, once the block is left. It stays empty where the standard
        error is closed, and on systems whose pipes always wait.
    """
    errors: list[str] = []
    try:
        kept = os.dup(STANDARD_ERROR)
    except OSError:  # closed: nobody could see a line, and none is told
        yield errors
        return
    ends: tuple[int, int] = os.pipe()
    try:
        os.set_blocking(ends[0], False)
        os.set_blocking(ends[1], False)  # a full pipe must not stop the decoder
    except (OSError, AttributeError):  # Windows before Python 3.12
        for descriptor in (*ends, kept):
            os.close(descriptor)
        yield errors
        return
    _flush()
    os.dup2(ends[1], STANDARD_ERROR)
    os.close(ends[1])
    try:
        yield errors
    finally:
        _flush()
        os.dup2(kept, STANDARD_ERROR)
        with suppress(BlockingIOError):
            written = os.read(ends[0], MOST_BYTES)
            lines = [line for line in _MESSAGE.findall(written) if _WARNING not in line]
            errors += [line.decode("utf-8", "replace").rstrip(".") for line in lines]
            if rest := _MESSAGE.sub(b"", written).strip(b"\n"):
                with suppress(OSError):
                    os.write(kept, rest + b"\n")
        os.close(ends[0])
        os.close(kept)


def _flush() -> None:
    with suppress(AttributeError, OSError, ValueError):  # there may be no standard error
        sys.stderr.flush()
