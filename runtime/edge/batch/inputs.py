"""What the arguments of a run stand for: files, archives, tables and addresses, listed and read one way.

The list of the pictures of a run holds a million of them in some 60 MB, has a digest, and is cut into shards. It is one
run of bytes and the places in it where records begin. A record is the path of a picture and, where the picture is part
of an archive or a table, where it is in it. A picture is made an object of when it is asked for.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from edge.batch.remote import Large
from edge.errors import NoDigitError, PictureError, SeveralDigitsError, UnreadablePictureError
from edge.picture import paths
from edge.picture.paths import IN_A_ROW, STANDARD_INPUT, Found

if TYPE_CHECKING:
    from edge.picture.decode import Source
    from edge.picture.luminance import Prepared

import hashlib
import os
from array import array
from typing import overload

from edge.errors import InputError
from edge.picture.paths import Place

# Bytes are held for so many pictures at a time and thread: photographs have 5 MB, and a network likes many requests.
FETCHED_AT_A_TIME = 32
# What is larger is read one by one.
FETCHED_BYTES_AT_A_TIME = 32_000_000

ARCHIVE = ".tar"
COMPRESSED = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")
TABLE = ".parquet"

Fetch = Callable[[Sequence[Found]], Sequence[bytes | Large | PictureError]]

_AS_BYTES = "the picture given as bytes"  # how errors call it


def expand(arguments: Iterable[str], listed: Iterable[str] = ()) -> Iterator[Found]:
    """Turns arguments into pictures, in their order.

    Args:
        arguments: as `edge.picture.paths.expand` takes them; addresses such as `s3://bucket/digits/`; tar and Parquet
            files, which stand for what they hold.
        listed: paths and addresses of files, as they are: no folders, and no patterns.

    Raises:
        MissingExtraError: tables or addresses are among them, and what reads them is not installed.
    """
    for argument in arguments:
        if is_address(argument):
            from edge.batch import remote

            standing_for = remote.expand(argument)
        else:
            standing_for = paths.expand([argument])
        for found in standing_for:
            yield from _opened(found)
    for each in listed:
        yield from _opened(Found(each))


def is_address(text: str) -> bool:
    """Whether an argument is an address, such as `s3://bucket/7.png`, and no path."""
    kind, mark, _ = text.partition("://")
    return mark != "" and kind.isascii() and kind.replace("+", "").replace("-", "").replace(".", "").isalnum()


def sources(block: Sequence[Found], typed: "Callable[[], Source] | None" = None) -> "list[Source | PictureError]":
    """What to read pictures from: their own paths, or their bytes where they are elsewhere.

    Args:
        block: pictures.
        typed: gives the standard input, where that is one of them.

    Returns:
        For each its path or its bytes, or why there are none.

    Raises:
        MissingExtraError: as for `expand`.
    """
    return [each.fetch() if isinstance(each, Large) else each for each in _sources(block, typed)]


def _sources(
    block: Sequence[Found], typed: "Callable[[], Source] | None" = None
) -> "list[Source | Large | PictureError]":
    found: list[Source | Large | PictureError] = [each.path if each.problem is None else each.problem for each in block]
    elsewhere: dict[tuple[str, Fetch], list[int]] = defaultdict(list)
    for at, each in enumerate(block):
        if each.problem is not None:
            continue
        if each.place is not None:
            elsewhere[each.place.file, _fetch_rows if each.place.size == IN_A_ROW else _fetch_members].append(at)
        elif is_address(each.path):
            elsewhere["/".join(each.path.split("/", 3)[:3]), _fetch_addresses].append(at)  # kind and host
        elif each.path == STANDARD_INPUT and typed is not None:
            found[at] = typed()
    for (_, fetch), positions in elsewhere.items():
        for at, content in zip(positions, fetch([block[at] for at in positions]), strict=True):
            found[at] = content
    return found


def read_digits(block: Sequence[Found], typed: "Callable[[], Source] | None" = None) -> "list[Prepared | PictureError]":
    """What the model sees of a block of pictures, wherever they are.

    Args:
        block: pictures.
        typed: gives the standard input, where that is one of them.

    Returns:
        For each the image and its likeness, or why there is none; the error says the picture's path.

    Raises:
        MissingExtraError: as for `expand`.
    """
    from edge.picture import preprocessing

    images: list[Prepared | PictureError] = []
    for some in _pieces(block):
        opened = _sources(some, typed)
        outcomes = iter(
            preprocessing.read_digits([each for each in opened if not isinstance(each, PictureError | Large)])
        )
        for each, source in zip(some, opened, strict=True):
            outcome: Prepared | PictureError
            if isinstance(source, Large):  # held alone
                fetched = source.fetch()
                outcome = fetched if isinstance(fetched, PictureError) else preprocessing.read_digits([fetched])[0]
            else:
                outcome = source if isinstance(source, PictureError) else next(outcomes)
            if isinstance(outcome, PictureError) and isinstance(source, bytes | Large) and each.path != STANDARD_INPUT:
                outcome = named(outcome, each.path)
            images.append(outcome)
    return images


def named(error: PictureError, path: str) -> PictureError:
    """The same error, about the path of a picture whose bytes were read.

    Args:
        error: what reading it raised.
        path: what it is called.
    """
    name = path if path.isprintable() else repr(path)
    match error:
        case NoDigitError():
            return NoDigitError(path)
        case SeveralDigitsError():
            return SeveralDigitsError(path, error.digits)
        case UnreadablePictureError():
            return UnreadablePictureError(str(error).replace(_AS_BYTES, name, 1))
    return error


def _pieces(block: Sequence[Found]) -> Iterator[Sequence[Found]]:
    """The block itself where all are files of this machine, which are opened one at a time."""
    if all(each.place is None and not is_address(each.path) for each in block):
        yield block
        return
    piece: list[Found] = []
    held = 0
    for each in block:
        size = 0 if each.place is None or each.place.size == IN_A_ROW else each.place.size
        if piece and (len(piece) == FETCHED_AT_A_TIME or held + size > FETCHED_BYTES_AT_A_TIME):
            yield piece
            piece, held = [], 0
        piece.append(each)
        held += size
    if piece:
        yield piece


def _fetch_rows(pictures: Sequence[Found]) -> list[bytes | PictureError]:
    from edge.batch import parquet

    places = [each.place for each in pictures if each.place is not None]
    return parquet.contents(places[0].file, places)


def _fetch_members(pictures: Sequence[Found]) -> Sequence[bytes | Large | PictureError]:
    from edge.batch import archives

    places = [each.place for each in pictures if each.place is not None]
    return archives.contents(places[0].file, places)


def _fetch_addresses(pictures: Sequence[Found]) -> Sequence[bytes | Large | PictureError]:
    from edge.batch import remote

    return remote.fetch([each.path for each in pictures])


def _opened(found: Found) -> Iterator[Found]:
    """What a file stands for: itself, or the pictures that it holds."""
    name = found.path.lower()
    if is_address(name):
        name = name.partition("?")[0]  # behind it may be a signature
    if found.problem is not None or not name.endswith((ARCHIVE, TABLE, *COMPRESSED)):
        yield found
    elif name.endswith(ARCHIVE):
        from edge.batch import archives

        yield from archives.members(found.path)
    elif name.endswith(TABLE):
        from edge.batch import parquet

        yield from parquet.rows(found.path)
    else:
        told = f"{found.path} is compressed, so that no picture in it can be found alone; unpack it, or pack it as .tar"
        yield Found(found.path, UnreadablePictureError(told))


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
