"""The list of the pictures of a run: a million of them in some 60 MB, with a digest, and cut into shards.

A list is one run of bytes and the places in it where records begin. A record is the path of a picture and, where the
picture is part of an archive or a table, where it is in it. A picture is made an object of when it is asked for.
"""

import hashlib
import os
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import overload

from edge.errors import InputError, PictureError
from edge.picture.paths import Found, Place

_BETWEEN = b"\0"  # in no path

# Every shard of every machine must come to the same answer, whatever Python's own hash does today.
_HASH_BYTES = 8


class Listing(Sequence[Found]):
    """Pictures in the order in which they are wanted, held as bytes.

    Args:
        pictures: each of them, once.
        tell: is called with the number of pictures so far, now and then.
    """

    def __init__(self, pictures: Iterable[Found], tell: Callable[[int], None] | None = None) -> None:
        self._records = bytearray()
        self._ends = array("Q")
        self._problems: dict[int, PictureError] = {}
        self._files: list[str] = []
        numbers: dict[str, int] = {}
        for each in pictures:
            self._records += os.fsencode(each.path).replace(_BETWEEN, b"?")  # an archive may name anything
            if each.problem is not None:
                self._problems[len(self._ends)] = each.problem
            if (place := each.place) is not None:
                if place.file not in numbers:
                    numbers[place.file] = len(self._files)
                    self._files.append(place.file)
                self._records += b"\0%d\0%d\0%d" % (numbers[place.file], place.start, place.size)
            self._ends.append(len(self._records))
            if tell is not None and len(self._ends) % 1000 == 0:
                tell(len(self._ends))

    def __len__(self) -> int:
        return len(self._ends)

    @overload
    def __getitem__(self, at: int) -> Found: ...

    @overload
    def __getitem__(self, at: slice) -> list[Found]: ...

    def __getitem__(self, at: int | slice) -> Found | list[Found]:
        if isinstance(at, slice):
            return [self._picture(position) for position in range(*at.indices(len(self)))]
        return self._picture(range(len(self))[at])

    def _picture(self, at: int) -> Found:
        path, *place = self._record(at).split(_BETWEEN)
        name = os.fsdecode(path)
        if place:
            file, start, size = map(int, place)
            return Found(name, self._problems.get(at), Place(self._files[file], start, size))
        return Found(name, self._problems.get(at))

    def _record(self, at: int) -> bytes:
        return bytes(self._records[self._ends[at - 1] if at else 0 : self._ends[at]])

    @property
    def problem(self) -> PictureError | None:
        """Why the first of the arguments that stand for no picture does so; None where all do."""
        return next(iter(self._problems.values()), None)

    def sha256(self) -> str:
        """The digest of the list, hexadecimal: of every path and place in it, not of what the files hold."""
        import numpy as np

        digest = hashlib.sha256()
        for file in self._files:
            digest.update(os.fsencode(file) + _BETWEEN)
        # with the ends, so that no two lists have the same records in one run of bytes; in one order on every machine
        digest.update(np.frombuffer(self._ends, np.uint64).astype("<u8", copy=False).tobytes())
        digest.update(self._records)
        return digest.hexdigest()


class Selection(Sequence[Found]):
    """Some pictures of a list, in an order of their own.

    Args:
        listing: the list.
        positions: of the pictures in it.
    """

    def __init__(self, listing: Sequence[Found], positions: Sequence[int]) -> None:
        self._listing = listing
        self._positions = positions

    def __len__(self) -> int:
        return len(self._positions)

    @overload
    def __getitem__(self, at: int) -> Found: ...

    @overload
    def __getitem__(self, at: slice) -> list[Found]: ...

    def __getitem__(self, at: int | slice) -> Found | list[Found]:
        if isinstance(at, slice):
            return [self._listing[position] for position in self._positions[at]]
        return self._listing[self._positions[at]]


def shards(listing: Sequence[Found], count: int) -> list[Sequence[int]]:
    """Cuts a list into shards: which one a picture is in depends on its own path alone.

    Args:
        listing: the pictures.
        count: how many shards, at least 1.

    Returns:
        For each shard the positions of its pictures, ascending. A shard may be empty.

    Raises:
        InputError: fewer shards than 1.
    """
    if count < 1:
        raise InputError(f"{count} shards cannot hold anything; give 1 or more")
    if count == 1:
        return [range(len(listing))]
    found = [array("Q") for _ in range(count)]
    for position, each in enumerate(listing):
        found[_hash(each.path) % count].append(position)
    return list(found)


def _hash(path: str) -> int:
    return int.from_bytes(hashlib.blake2b(os.fsencode(path), digest_size=_HASH_BYTES).digest(), "big")


def lines_of(chunks: Iterable[bytes], separator: bytes) -> Iterator[str]:
    """The entries of a list of paths.

    Args:
        chunks: the bytes of the list, cut anywhere.
        separator: between two entries: a line feed, before which a carriage return is dropped, or a zero byte.

    Yields:
        Each entry that is not empty.
    """
    rest = b""
    for chunk in chunks:
        *whole, rest = (rest + chunk).split(separator)
        for line in whole:
            if entry := _entry(line, separator):
                yield entry
    if entry := _entry(rest, separator):
        yield entry


def _entry(line: bytes, separator: bytes) -> str:
    return os.fsdecode(line.removesuffix(b"\r") if separator == b"\n" else line)
