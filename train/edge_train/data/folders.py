"""A folder of pictures as a data set: a sub-folder for each class, the parts given by folders or drawn by content.

    signs/arrow/1.png            signs/train/arrow/1.png
    signs/arrow/photo.jpg        signs/test/arrow/photo.jpg
    signs/cross/2.png            signs/test/cross/2.png

A part that has no folder is drawn from the training pictures by the SHA-256 of each file. So a picture stays in its
part when others come or go, and copies of one file are never on both sides.
"""

import re
import unicodedata
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Final, Literal

import numpy as np

from edge.picture.paths import SUFFIXES
from edge_train.data import image_cache
from edge_train.data.image_cache import CachedImages
from edge_train.data.splits import DataError, Split
from edge_train.models.specification import MOST_CLASSES

Part = Literal["training", "validation", "test"]

PARTS: Final[tuple[Part, ...]] = ("training", "validation", "test")
PART_FOLDERS: Final[dict[str, Part]] = {
    "train": "training",
    "training": "training",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
    "testing": "test",
}

# What has no folder takes that share of the training pictures, by ascending digests: 80/10/10 where there is none.
DRAWN: Final[tuple[Part, ...]] = ("test", "validation")
DRAWN_SHARE: Final = 0.1
# More than this share of unusable pictures is another kind of folder, or another kind of picture.
MOST_UNUSABLE: Final = 0.1
SHOWN: Final = 3  # pictures or folders that a refusal names; each unusable picture has been told before it

_HIDDEN = (".", "__")  # beginnings of names that tools leave behind: .git, __MACOSX
_NUMBER = re.compile(r"(\d+)")

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class LabelledFile:
    """A picture file.

    Attributes:
        path: of the file.
        label: the number of its class.
        part: of the data set; `None` where no folder says it.
    """

    path: Path
    label: int
    part: Part | None


@dataclass(frozen=True, slots=True)
class FolderLayout:
    """What a folder says before any picture is read.

    Attributes:
        folder: of the data set.
        labels: of the classes, in natural order.
        pictures: all files.
        given: the parts that have folders.
    """

    folder: Path
    labels: tuple[str, ...]
    pictures: tuple[LabelledFile, ...]
    given: frozenset[Part]

    @property
    def name(self) -> str:
        """As it stands in reports."""
        return self.folder.resolve().name or "folder"


def layout(folder: Path) -> FolderLayout:
    """The classes and picture files of a folder, the classes in natural order (`2` before `10`).

    Raises:
        DataError: it cannot be listed, or has not 2 to 1000 classes with pictures, or classes that differ by part.
    """
    below = _folders(folder)
    parts = {place: PART_FOLDERS[place.name.lower()] for place in below if place.name.lower() in PART_FOLDERS}
    alone = len(parts) == 1 and len(below) > 1
    if "training" not in parts.values() or alone:  # a class may be called "test", or "train"
        return _of_classes(folder, {None: folder})
    if others := [place.name for place in below if place not in parts]:
        raise DataError(
            f"{folder} has {_few(place.name for place in parts)} and beside them {_few(others)}; "
            "have either a folder for each part, or one for each class"
        )
    if twice := [part for part, count in Counter(parts.values()).items() if count > 1]:
        raise DataError(f"{folder} has two folders for the {twice[0]} pictures; put them into one")
    return _of_classes(folder, {part: place for place, part in parts.items()})


def load(found: FolderLayout, tell: Tell) -> dict[Part, Split]:
    """The pictures of a folder through the one pre-processing, by part.

    Args:
        found: the folder's layout.
        tell: takes a line for each picture that is left out: unreadable, blank, with several digits, or in two classes.

    Raises:
        DataError: more than a tenth of the pictures are unusable, or a class has too few.
    """
    files = [picture.path for picture in found.pictures]
    images = image_cache.read(files, image_cache.cache_of(found.folder))
    problems = _problems(found, images)
    for problem in problems.values():
        tell(f"left out: {problem}")
    if len(problems) > MOST_UNUSABLE * len(files):
        raise DataError(
            f"{len(problems)} of {len(files)} pictures in {found.folder} cannot be used, which is more than a tenth: "
            f"{'; '.join(list(problems.values())[:SHOWN])}; look at them with edge predict --show-steps, "
            "or take them out"
        )
    usable = [index for index in range(len(files)) if index not in problems]
    where = _parts(found, usable, images.digests)
    splits: dict[Part, Split] = {}
    for part in PARTS:
        chosen = [index for index in usable if where[index] == part]
        labels = np.array([found.pictures[index].label for index in chosen], np.int64)
        splits[part] = Split(f"{found.name}-{part}", np.stack([images.images[index] for index in chosen]), labels)
    return splits


def natural(text: str) -> tuple[list[tuple[int, int, str]], str]:
    """A key that sorts numbers in names by their value, and letters whatever their case."""
    pieces = _NUMBER.split(text)
    key = [(0, int(piece), "") if piece.isdecimal() else (1, 0, piece.casefold()) for piece in pieces if piece]
    return key, text


def _of_classes(folder: Path, roots: Mapping[Part | None, Path]) -> FolderLayout:
    files = {
        (part, place.name): paths
        for part, root in roots.items()
        for place in _folders(root)
        if (paths := _files(place))
    }
    names = sorted({name for _, name in files}, key=lambda name: natural(_label(name)))
    if not 2 <= len(names) <= MOST_CLASSES:
        raise DataError(
            f"{folder} has {len(names)} sub-folders with pictures; a data set is a folder with a sub-folder of "
            f"pictures for each class, 2 to {MOST_CLASSES:,} of them"
        )
    labels = tuple(map(_label, names))
    if same := [label for label, count in Counter(labels).items() if count > 1]:
        raise DataError(f"{folder} has two sub-folders that are both called {same[0]}; rename one")
    for part, root in roots.items():
        if missing := [name for name in names if (part, name) not in files]:
            raise DataError(f"{root} has no pictures of {_few(missing)}; every part needs every class")
    pictures = [
        LabelledFile(path, label, part)
        for part in roots
        for label, name in enumerate(names)
        for path in files[part, name]
    ]
    return FolderLayout(folder, labels, tuple(pictures), frozenset(part for part in roots if part is not None))


def _label(name: str) -> str:
    """The label that a folder's name is, the same on every system: macOS writes an ä as two characters."""
    return unicodedata.normalize("NFC", name)


def _folders(folder: Path) -> list[Path]:
    try:
        return sorted(place for place in folder.iterdir() if place.is_dir() and not place.name.startswith(_HIDDEN))
    except OSError as error:
        raise DataError(f"cannot list the folder {folder}: {error.strerror}; check --data") from error


def _files(folder: Path) -> list[Path]:
    """The pictures in and below a folder, in an order that no file system decides."""
    found = (
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in SUFFIXES
        and not any(name.startswith(_HIDDEN) for name in path.relative_to(folder).parts)
        and path.is_file()
    )
    return sorted(found, key=lambda path: natural(path.as_posix()))


def _problems(found: FolderLayout, images: CachedImages) -> dict[int, str]:
    """By the index of the picture, why it cannot be used."""
    problems = dict(images.problems)
    first: dict[str, LabelledFile] = {}
    for index, picture in enumerate(found.pictures):
        if index in problems:
            continue
        other = first.setdefault(images.digests[index], picture)
        if other.label != picture.label:
            problems[index] = f"{picture.path} is the same file as {other.path}, which is in another class"
    return problems


def _parts(found: FolderLayout, usable: Sequence[int], digests: Sequence[str]) -> dict[int, Part]:
    """The part of every usable picture."""
    drawn = tuple(part for part in DRAWN if part not in found.given)
    where: dict[int, Part] = {}
    pools: dict[int, list[int]] = {label: [] for label in range(len(found.labels))}
    given: set[tuple[Part, int]] = set()
    for index in usable:
        picture = found.pictures[index]
        if picture.part in (None, "training"):
            pools[picture.label].append(index)
        else:
            where[index] = picture.part
            given.add((picture.part, picture.label))
    for label, pool in pools.items():
        different = {digests[index] for index in pool}
        if len(different) <= len(drawn):
            raise DataError(
                f"the class {found.labels[label]} of {found.folder} has {len(different)} usable pictures that differ, "
                f"and training needs at least {len(drawn) + 1}, one for each part; add pictures or take the class out"
            )
        of_digest = _drawn(different, drawn)
        where |= {index: of_digest[digests[index]] for index in pool}
    for part in found.given - {"training"}:
        if empty := [label for index, label in enumerate(found.labels) if (part, index) not in given]:
            raise DataError(f"the {part} pictures of {_few(empty)} in {found.folder} cannot be used; add others")
    return where


def _drawn(digests: Iterable[str], drawn: Sequence[Part]) -> dict[str, Part]:
    """The part of each digest: by the share that it is of all possible ones, and at least one for every part."""
    ordered = sorted(digests)
    shares = [int(digest[:13], 16) / 16**13 for digest in ordered]  # 52 bits: exact as a float
    ends, start = [], 0
    for number, _ in enumerate(drawn, start=1):
        still_needed = len(drawn) - number + 1
        start = min(max(bisect_left(shares, number * DRAWN_SHARE), start + 1), len(ordered) - still_needed)
        ends.append(start)
    bounds = [0, *ends, len(ordered)]
    parts: list[Part] = [*drawn, "training"]
    return dict(
        chain.from_iterable(
            ((digest, part) for digest in ordered[begin:end])
            for part, begin, end in zip(parts, bounds[:-1], bounds[1:], strict=True)
        )
    )


def _few(names: Iterable[str]) -> str:
    listed = sorted(names, key=natural)
    more = f" and {len(listed) - SHOWN} more" if len(listed) > SHOWN else ""
    return ", ".join(listed[:SHOWN]) + more
