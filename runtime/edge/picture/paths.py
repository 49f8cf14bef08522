"""Which pictures the arguments of a command mean: files, folders, patterns and the standard input."""

import glob
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

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
    """

    path: str
    problem: PictureError | None = None


def expand(arguments: Iterable[str]) -> Iterator[Found]:
    """Turns arguments into pictures, in the order of the arguments.

    An existing file is taken as it is. A folder stands for the pictures directly in it, sorted. A pattern
    (`*`, `?`, `[...]`, `**` through all folders) stands for the files that match, sorted: for shells that leave
    it to the program.

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
    try:
        with os.scandir(folder) as entries:
            names = sorted(entry.name for entry in entries if _is_picture(entry))
    except OSError as error:
        yield Found(folder, PictureError(f"{folder} cannot be listed: {error.strerror}; check its permissions"))
        return
    if not names:
        kinds = ", ".join(sorted(SUFFIXES))
        yield Found(folder, PictureNotFoundError(f"the folder {folder} holds no pictures ({kinds}); name another"))
    start = str(Path(folder) / "-")[:-1]  # with a separator, and without a leading "./"
    for name in names:
        yield Found(start + name)


def _is_picture(entry: "os.DirEntry[str]") -> bool:
    name = entry.name
    return os.path.splitext(name)[1].lower() in SUFFIXES and name[0] != "." and entry.is_file()  # noqa: PTH122 - quick


def _matching(pattern: str) -> Iterator[Found]:
    paths = sorted(path for path in glob.glob(pattern, recursive=True) if not os.path.isdir(path))  # noqa: PTH112, PTH207
    if not paths:
        yield Found(pattern, PictureNotFoundError(f"no file matches {pattern}; check the pattern"))
    for path in paths:
        yield Found(path)
