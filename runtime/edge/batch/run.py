"""A run over very many pictures: how it is asked for, its list, how quickly it goes on, and what became of it.

The list of the pictures of a run holds a million of them in some 60 MB, has a digest, and is cut into shards. It is one
run of bytes and the places in it where records begin. A record is the path of a picture and, where the picture is part
of an archive or a table, where it is in it. A picture is made an object of when it is asked for.
"""

import json
import os
import time
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, Literal, overload

from edge.errors import InputError, PictureError
from edge.picture.paths import Found, Place

Form = Literal["jsonl", "parquet"]
FORMS: Final[tuple[Form, ...]] = ("jsonl", "parquet")

# A killed run loses one part at most: a second of small pictures, two minutes of photographs on one core.
PART_ROWS: Final = 5000


@dataclass(frozen=True, slots=True)
class RunOptions:
    """Where and how the rows of a run are written.

    Attributes:
        folder: for the parts and the manifest.
        shard: which one is to be read, from 1.
        shards: how many there are.
        form: of the parts.
        part_rows: rows of a part.
        top: only so many of the most probable labels; all without.
    """

    folder: Path
    shard: int = 1
    shards: int = 1
    form: Form = "jsonl"
    part_rows: int = PART_ROWS
    top: int | None = None


def parse_shard(text: str) -> tuple[int, int]:
    """Which shard of how many is meant, such as "3/16".

    Raises:
        InputError: it says none.
    """
    number, _, count = text.partition("/")
    if number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count):
        return int(number), int(count)
    raise InputError(f"{text} is no shard; write which one of how many, such as 3/16")


_LEAST_SECONDS = 1e-3  # of a clock that has not moved on yet


@dataclass(frozen=True, slots=True)
class Counts:
    """What became of pictures.

    Attributes:
        pictures: all of them.
        errors: those that have no label.
        rejected: those whose label should not be trusted.
    """

    pictures: int = 0
    errors: int = 0
    rejected: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(self.pictures + other.pictures, self.errors + other.errors, self.rejected + other.rejected)

    def line(self) -> str:
        """For people."""
        return f"{self.pictures} pictures, {self.errors} errors, {self.rejected} rejected"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a run.

    Attributes:
        counts: of all pictures.
        before: how many of them earlier runs had read.
        rate: pictures that this one read, a second.
    """

    counts: Counts
    before: int
    rate: float

    def line(self) -> str:
        """Pictures, errors, rejected, rate: for people."""
        earlier = f", {self.before} of them read before" if self.before else ""
        rate = f"{self.rate:.0f} a second" if self.before < self.counts.pictures else "nothing was left to read"
        return f"{self.counts.line()}{earlier}; {rate}"

    def json_line(self) -> str:
        """The same for programs."""
        return json.dumps({**asdict(self.counts), "before": self.before, "per_second": round(self.rate, 1)})


class Pace:
    """Tells how quickly a run goes on, from when this was made."""

    def __init__(self) -> None:
        self._begun = time.monotonic()

    def rate(self, pictures: int) -> float:
        """So many pictures a second were read since the beginning."""
        return pictures / max(time.monotonic() - self._begun, _LEAST_SECONDS)

    def figure(self, pictures: int) -> str:
        """The rate, for a progress bar."""
        return f"{self.rate(pictures):.0f} a second"

    def outcome(self, counts: Counts, before: Counts) -> Outcome:
        """What became of a run that ends now.

        Args:
            counts: of all pictures.
            before: of those that earlier runs had read.
        """
        return Outcome(counts, before.pictures, self.rate(counts.pictures - before.pictures))


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
        from hashlib import sha256

        import numpy as np

        digest = sha256()
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
    from hashlib import blake2b  # not for the help

    found = [array("Q") for _ in range(count)]
    for position, each in enumerate(listing):
        digest = blake2b(os.fsencode(each.path), digest_size=_HASH_BYTES).digest()
        found[int.from_bytes(digest, "big") % count].append(position)
    return list(found)


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
