"""What the arguments of a run stand for: files, archives, tables and addresses, found and read one way.

Archives are tar files, as WebDataset has them: each picture is read where it lies, nothing is unpacked.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, BinaryIO, Final, cast

from edge.batch import remote
from edge.batch.remote import Large
from edge.errors import (
    NoDigitError,
    PictureError,
    PictureNotFoundError,
    SeveralDigitsError,
    UnreadablePictureError,
)
from edge.picture import paths
from edge.picture.paths import IN_A_ROW, STANDARD_INPUT, SUFFIXES, Found, Place

if TYPE_CHECKING:
    import tarfile

    from edge.picture.decode import Source
    from edge.picture.luminance import Prepared

# Bytes are held for so many pictures at a time and thread: photographs have 5 MB, and a network likes many requests.
FETCHED_AT_A_TIME = 32
# What is larger is read one by one.
FETCHED_BYTES_AT_A_TIME = 32_000_000

ARCHIVE = ".tar"
COMPRESSED = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")
TABLE = ".parquet"

# Pictures in an archive are read as a whole: 100 megapixels of grey without compression fit.
MOST_MEMBER_BYTES: Final = 150_000_000
# A header of an archive says how long a name is, and what follows is read as one.
_MOST_HEADER_BYTES: Final = 1 << 20

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
        for found in remote.expand(argument) if is_address(argument) else paths.expand([argument]):
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
    places = [each.place for each in pictures if each.place is not None]
    return contents(places[0].file, places)


def _fetch_addresses(pictures: Sequence[Found]) -> Sequence[bytes | Large | PictureError]:
    return remote.fetch([each.path for each in pictures])


def _opened(found: Found) -> Iterator[Found]:
    """What a file stands for: itself, or the pictures that it holds."""
    name = found.path.lower()
    if is_address(name):
        name = name.partition("?")[0]  # behind it may be a signature
    if found.problem is not None or not name.endswith((ARCHIVE, TABLE, *COMPRESSED)):
        yield found
    elif name.endswith(ARCHIVE):
        yield from members(found.path)
    elif name.endswith(TABLE):
        from edge.batch import parquet

        yield from parquet.rows(found.path)
    else:
        told = f"{found.path} is compressed, so that no picture in it can be found alone; unpack it, or pack it as .tar"
        yield Found(found.path, UnreadablePictureError(told))


def members(file: str) -> Iterator[Found]:
    """The pictures of an archive, in its order; all else in it, such as labels, is left out.

    Args:
        file: path or address of a tar file that is not compressed.

    Yields:
        A picture each, called `file/name`; or why there is none.

    Raises:
        MissingExtraError: it is an address, and fsspec is not installed.
    """
    import tarfile

    found = False
    try:
        with (
            remote.open_file(file) if is_address(file) else Path(file).open("rb") as opened,
            tarfile.open(fileobj=cast(BinaryIO, _Headers(opened)), mode="r:") as archive,
        ):
            while (member := archive.next()) is not None:
                archive.members.clear()  # type: ignore[attr-defined]  # else it keeps every header
                name = PurePosixPath(member.name)
                if member.isreg() and not member.issparse() and name.suffix.lower() in SUFFIXES:
                    if name.name.startswith("."):  # what macOS leaves beside each file
                        continue
                    found = True
                    if member.size > MOST_MEMBER_BYTES:
                        yield Found(f"{file}/{member.name}", _too_large(file, member))
                        continue
                    yield Found(f"{file}/{member.name}", place=Place(file, member.offset_data, member.size))
    except PictureError as error:
        yield Found(file, error)
        return
    except (tarfile.TarError, OSError, ValueError) as error:
        yield Found(file, _unreadable(file, error))
        return
    if not found:
        kinds = ", ".join(sorted(SUFFIXES))
        yield Found(file, PictureNotFoundError(f"the archive {file} holds no pictures ({kinds}); name another"))


def contents(file: str, places: Sequence[Place]) -> list[bytes | remote.Large | PictureError]:
    """The bytes of pictures of one archive.

    Args:
        file: its path or address.
        places: of the pictures in it.

    Returns:
        For each its bytes, fewer where the archive is cut off, or why there are none.
    """
    if is_address(file):
        return remote.fetch([file] * len(places), [(place.start, place.start + place.size) for place in places])
    try:
        with Path(file).open("rb") as archive:
            read: list[bytes | remote.Large | PictureError] = []
            for place in places:
                archive.seek(place.start)
                read.append(archive.read(place.size))
            return read
    except (OSError, ValueError) as error:
        return [_unreadable(file, error)] * len(places)


class _Headers:
    """A file of which headers are read: a header that claims gigabytes is no reason to read them."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.seek, self.tell = file.seek, file.tell

    def read(self, size: int) -> bytes:
        import tarfile

        if size > _MOST_HEADER_BYTES:
            raise tarfile.ReadError(f"a header of {size} bytes")
        return self._file.read(size)


def _too_large(file: str, member: "tarfile.TarInfo") -> PictureError:
    name = f"{file}/{member.name}"
    return UnreadablePictureError(
        f"{name if name.isprintable() else repr(name)} has {member.size // 1_000_000} MB, in an archive a picture may "
        f"have {MOST_MEMBER_BYTES // 1_000_000}; unpack it"
    )


def _unreadable(file: str, error: Exception) -> PictureError:
    if isinstance(error, FileNotFoundError):
        return PictureNotFoundError(f"there is no file {file}; check the path and the working directory")
    told = getattr(error, "strerror", None) or str(error)
    return UnreadablePictureError(f"the archive {file} cannot be read ({told}); pack it again, without compression")
