"""Pictures in tar files, as WebDataset has them: each is read where it lies, nothing is unpacked."""

import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Final, cast

from edge.batch import remote
from edge.batch.inputs import is_address
from edge.errors import PictureError, PictureNotFoundError, UnreadablePictureError
from edge.picture.paths import SUFFIXES, Found, Place

# Pictures in an archive are read as a whole: 100 megapixels of grey without compression fit.
MOST_MEMBER_BYTES: Final = 150_000_000
# A header of an archive says how long a name is, and what follows is read as one.
_MOST_HEADER_BYTES: Final = 1 << 20


def members(file: str) -> Iterator[Found]:
    """The pictures of an archive, in its order; all else in it, such as labels, is left out.

    Args:
        file: path or address of a tar file that is not compressed.

    Yields:
        A picture each, called `file/name`; or why there is none.

    Raises:
        MissingExtraError: it is an address, and fsspec is not installed.
    """
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
        if size > _MOST_HEADER_BYTES:
            raise tarfile.ReadError(f"a header of {size} bytes")
        return self._file.read(size)


def _too_large(file: str, member: tarfile.TarInfo) -> PictureError:
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
