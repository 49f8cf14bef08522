"""Which pictures are asked for: what arguments mean, and whether anybody still waits for them.

Arguments are files, folders, patterns and the standard input. A block of photographs takes seconds. When a run ends
early, by Ctrl-C, by SIGTERM or by an error, its workers have blocks before them, and Python waits for them before the
process ends. So whoever reads pictures looks now and then whether anybody wants them.
"""

import glob
import os
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from edge.errors import PictureError, PictureNotFoundError

STANDARD_INPUT = "-"

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff", ".gif"})
"""What counts as a picture in a folder; a file that is named itself may have any name."""


@dataclass(frozen=True, slots=True)
class Found:
    """One picture, or one argument that means none.

    Attributes:
        path: the path, or "-" for the standard input.
        problem: why there is no picture; None otherwise. Whether the file can be read shows later.
        place: where its bytes are, if they are part of another file; None where the path is a file's own.
    """

    path: str
    problem: PictureError | None = None
    place: "Place | None" = None


class Place(NamedTuple):
    """Where in another file a picture is.

    Attributes:
        file: the path or address of an archive or a table.
        start: where its bytes begin in an archive, bytes; its row in a table, from 0.
        size: of the picture in an archive, bytes; `IN_A_ROW` for a row of a table.
    """

    file: str
    start: int
    size: int


IN_A_ROW = -1


def expand(arguments: Iterable[str]) -> Iterator[Found]:
    """Turns arguments into pictures, in the order of the arguments.

    An existing file is taken as it is. A folder stands for the pictures directly in it, sorted, and then for those of
    each folder in it, sorted too; hidden folders and links to folders are left out. A pattern (`*`, `?`, `[...]`, `**`
    through all folders) stands for the files that match, sorted: for shells that leave it to the program.

    Args:
        arguments: paths, patterns, or "-".
    """
    for argument in arguments:
        if argument == STANDARD_INPUT:
            yield Found(argument)
        elif os.path.isdir(argument):  # noqa: PTH112 - unlike Path, it takes any text
            yield from _in_folder(argument)
        elif glob.has_magic(argument) and not os.path.lexists(argument):
            yield from _matching(argument)
        else:
            yield Found(argument)


def _in_folder(folder: str) -> Iterator[Found]:
    found = False
    waiting = [folder]
    while waiting:
        below = waiting.pop()
        try:
            names, folders = _names_in(below)
        except OSError as error:
            found = True
            yield Found(below, PictureError(f"{below} cannot be listed: {error.strerror}; check its permissions"))
            continue
        start = str(Path(below) / "-")[:-1]  # with a separator, and without a leading "./"
        for name in names:
            found = True
            yield Found(start + name)
        waiting.extend(start + name for name in reversed(folders))
    if not found:
        kinds = ", ".join(sorted(SUFFIXES))
        yield Found(folder, PictureNotFoundError(f"the folder {folder} holds no pictures ({kinds}); name another"))


def _names_in(folder: str) -> tuple[list[str], list[str]]:
    """The pictures and the folders directly in a folder, both sorted.

    Raises:
        OSError: it cannot be listed.
    """
    names, folders = [], []
    with os.scandir(folder) as entries:
        for entry in entries:
            if _is_picture(entry):
                names.append(entry.name)
            elif entry.name[0] != "." and entry.is_dir(follow_symlinks=False):  # a link may lead round in a circle
                folders.append(entry.name)
    return sorted(names), sorted(folders)


def _is_picture(entry: "os.DirEntry[str]") -> bool:
    name = entry.name
    return os.path.splitext(name)[1].lower() in SUFFIXES and name[0] != "." and entry.is_file()  # noqa: PTH122 - quick


def _matching(pattern: str) -> Iterator[Found]:
    paths = sorted(path for path in glob.glob(pattern, recursive=True) if not os.path.isdir(path))  # noqa: PTH112, PTH207
    if not paths:
        yield Found(pattern, PictureNotFoundError(f"no file matches {pattern}; check the pattern"))
    for path in paths:
        yield Found(path)


_of_thread = threading.local()


class StoppedError(BaseException):
    """Nobody waits for these pictures any more; like an interrupt, it is no error of what was being done."""


@contextmanager
def stoppable(asked: threading.Event) -> Iterator[None]:
    """Reading in this thread ends when that is asked for, with `StoppedError` at the next `stop_if_asked`.

    Args:
        asked: is set by another thread.
    """
    _of_thread.asked = asked
    try:
        yield
    finally:
        _of_thread.asked = None


def stop_if_asked() -> None:
    """Goes on, or ends the reading where that was asked for.

    Raises:
        StoppedError: it was.
    """
    asked = getattr(_of_thread, "asked", None)
    if asked is not None and asked.is_set():
        raise StoppedError
