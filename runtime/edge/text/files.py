"""Writing files in one step, with an error that fits what is written; and the folder of what a user may delete."""

import errno
import os
import sys
from contextlib import suppress
from pathlib import Path

from edge.errors import WriteError

_FOLDER = "edge-toolkit"

_ADVICE = {
    errno.ENOSPC: "free some space, or name another place",
    errno.EDQUOT: "free some space, or name another place",
    errno.ENOENT: "make its folder first, or name another place",
    errno.ENOTDIR: "name another place",
    errno.EEXIST: "name another place",
    errno.EROFS: "name a folder that can be written",
    errno.EACCES: "name a folder that can be written",
    errno.EPERM: "name a folder that can be written",
}


def write_atomically(path: Path, data: bytes, what: str = "", *, advice: str = "") -> None:
    """Writes a file so that whoever opens it sees the old bytes or the new ones, never a part.

    Args:
        path: the file; its folder must exist. On any failure an old file stays as it was.
        data: all of the new bytes.
        what: what is written, for the error: "the checkpoint".
        advice: what to do when it fails; by default what fits the cause.

    Raises:
        WriteError: the folder does not exist or is read-only, or the disk is full.
    """
    import secrets  # slow to import, and most commands write no file

    # In the same folder, because only a rename within one file system is a single step.
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.part")
    try:
        try:
            with temporary.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            with suppress(OSError):
                temporary.unlink()  # gone already when all went well
    except OSError as error:
        raise _write_error(f"{what} {path}".lstrip() + " cannot be written", error, advice) from error


def make_folder(folder: Path, *, advice: str = "") -> None:
    """Makes a folder and those above it, unless it is there.

    Args:
        folder: its path.
        advice: what to do when it fails; by default what fits the cause.

    Raises:
        WriteError: a file is in the way, or the place is read-only or full.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _write_error(f"the folder {folder} cannot be made", error, advice) from error


def cache_folder() -> Path:
    """Where edge keeps what may be deleted at any time: this machine's profile, and data that was read before.

    `edge-toolkit` in `$XDG_CACHE_HOME` or `~/.cache`; in `%LOCALAPPDATA%` on Windows, in `~/Library/Caches` on macOS.
    """
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or "~/AppData/Local"
    elif sys.platform == "darwin":
        base = "~/Library/Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
        if not os.path.isabs(base) and not base.startswith("~"):  # noqa: PTH117 - the XDG rules ignore relative ones
            base = "~/.cache"
    return Path(os.path.expanduser(base)) / _FOLDER  # noqa: PTH111 - without a home, Path raises


def _write_error(happened: str, error: OSError, advice: str) -> WriteError:
    remedy = advice or _ADVICE.get(error.errno or 0, "check the folder and its space")
    found = WriteError(f"{happened}: {error.strerror or error}; {remedy}")
    found.errno, found.strerror = error.errno, error.strerror
    return found
