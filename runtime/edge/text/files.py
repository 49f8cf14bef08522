"""Writing files in one step, with an error that fits what is written; and the folder of what a user may delete."""

import errno
import os
import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from edge.errors import WriteError

_FOLDER = "edge-toolkit"
_LONGEST_NAME = 100  # with what is put behind it, below the 255 bytes of common file systems

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
    try:
        with _interrupts_waiting(), ExitStack() as cleaning:
            _staged(path, data, cleaning).replace(path)
    except OSError as error:
        raise _write_error(f"{what} {path}".lstrip() + " cannot be written", error, advice) from error


@contextmanager
def written_whole(path: Path, what: str) -> Iterator[BinaryIO]:
    """A file that is written little by little, and is there when all of it is: `write_atomically` for a large one.

    Args:
        path: the file; its folder must exist. On any failure an old file stays as it was.
        what: what is written, for the error.

    Yields:
        A stream to write all bytes to.

    Raises:
        WriteError: the folder does not exist or is read-only, or the disk is full.
    """
    try:
        with ExitStack() as cleaning:
            temporary = _hidden(path, "part", cleaning)
            with temporary.open("xb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
    except OSError as error:
        raise _write_error(f"{what} {path} cannot be written", error) from error


def write_together(contents: Mapping[Path, bytes | None], *, advice: str = "") -> None:
    """Writes several files of one folder as one step: all of them are the new ones, or all are as they were.

    All bytes are on the disk before the first file is replaced, so that a full one changes nothing. Whoever else writes
    into the folder with this function waits (where the system has no locks on folders, such as Windows, nobody does).
    Only a crash of the machine, or a killed process, can fall between the renames.

    Args:
        contents: all of the new bytes of each file, in their folder, which must exist; `None` removes the file.
        advice: what to do when it fails; by default what fits the cause.

    Raises:
        WriteError: the folder does not exist or is read-only, a folder is in the way of a file, or the disk is full.
    """
    path = next(iter(contents))
    try:
        with _alone_in(path.parent), _interrupts_waiting(), ExitStack() as cleaning:
            staged: dict[Path, Path] = {}
            kept: dict[Path, Path] = {}
            for path, data in contents.items():
                if data is not None:
                    staged[path] = _staged(path, data, cleaning)
            for path in contents:
                if path.exists():
                    kept[path] = _kept(path, cleaning)
            try:
                for path in contents:
                    if path in staged:
                        staged[path].replace(path)
                    else:
                        path.unlink(missing_ok=True)
            except BaseException:
                for changed in contents:
                    with suppress(OSError):
                        if changed in kept:
                            kept[changed].replace(changed)
                        else:
                            changed.unlink(missing_ok=True)
                raise
    except OSError as error:
        raise _write_error(f"{path} cannot be written", error, advice) from error


def write_folder(folder: Path, contents: Mapping[str, bytes]) -> None:
    """Writes a folder with all that is in it as one step; a folder of that name goes as a whole.

    Args:
        folder: the folder; the one above it must exist.
        contents: the bytes of each file, by its path in the folder, such as "1/model.onnx".

    Raises:
        WriteError: the folder above does not exist or is read-only, or the disk is full.
    """
    try:
        with _alone_in(folder.parent), _interrupts_waiting(), ExitStack() as cleaning:
            staged = _hidden(folder, "part", cleaning)
            for name, data in contents.items():
                (staged / name).parent.mkdir(parents=True, exist_ok=True)
                _fill(staged / name, data)
            if not folder.exists():
                staged.replace(folder)
                return
            before = _hidden(folder, "old", cleaning)
            folder.replace(before)
            try:
                staged.replace(folder)
            except BaseException:
                before.replace(folder)
                raise
    except OSError as error:
        raise _write_error(f"the folder {folder} cannot be written", error) from error


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


def is_file_name(name: str) -> bool:
    """Whether a name that comes from a file may be a file's own: in its folder, seen there, and shown as it is.

    Args:
        name: such as "lstm-int8". Letters of any script and spaces are allowed; separators of any system, control and
            invisible characters, a dot in front, and more than 100 characters are not.
    """
    return (
        0 < len(name) <= _LONGEST_NAME
        and name.isprintable()
        and name.strip() == name
        and not name.startswith(".")
        and not set(name) & set("/\\:")
    )


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


def _staged(path: Path, data: bytes, cleaning: ExitStack) -> Path:
    """The bytes in a hidden file beside the one that it will replace, since a rename is one step in one folder."""
    temporary = _hidden(path, "part", cleaning)
    _fill(temporary, data)
    return temporary


def _fill(path: Path, data: bytes) -> None:
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _kept(path: Path, cleaning: ExitStack) -> Path:
    """A second name of a file that is there, under which it survives being replaced; a copy where links are unknown."""
    second = _hidden(path, "old", cleaning)
    try:
        os.link(path, second)
    except OSError:
        second.write_bytes(path.read_bytes())
    return second


def _hidden(path: Path, suffix: str, cleaning: ExitStack) -> Path:
    """A name beside the path that nothing has; the file or folder that gets it is gone in the end."""
    import secrets  # slow to import, and most commands write no file

    hidden = path.with_name(f".{path.name}.{secrets.token_hex(8)}.{suffix}")

    def remove() -> None:
        if hidden.is_dir():
            import shutil  # as above

            shutil.rmtree(hidden, ignore_errors=True)
        else:
            with suppress(OSError):
                hidden.unlink()  # gone already when all went well

    cleaning.callback(remove)
    return hidden


@contextmanager
def _interrupts_waiting() -> Iterator[None]:
    """Ctrl-C and SIGTERM are held until the files are whole and nothing is left beside them, and take effect then.

    Python hands signals to the main thread alone, and no other may ask for them.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    arrived: list[int] = []
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, lambda number, _frame: arrived.append(number)) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        if arrived:
            signal.raise_signal(arrived[0])


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Nobody else who asks for it is in the folder meanwhile."""
    if sys.platform == "win32":
        yield
        return
    import fcntl

    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # some network file systems know no locks
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _write_error(happened: str, error: OSError, advice: str = "") -> WriteError:
    remedy = advice or _ADVICE.get(error.errno or 0, "check the folder and its space")
    found = WriteError(f"{happened}: {error.strerror or error}; {remedy}")
    found.errno, found.strerror = error.errno, error.strerror
    return found
