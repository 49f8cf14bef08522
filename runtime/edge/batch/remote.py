"""Pictures at an address, such as `s3://bucket/digits/7.png`: fsspec finds and fetches them (extra `remote`)."""

import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, BinaryIO, cast

from edge.errors import MissingExtraError, PictureError, PictureNotFoundError, UnreadablePictureError
from edge.picture.paths import SUFFIXES, Found

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

EXTRA = "remote"

_WEB = ("http://", "https://")  # no listings there, and ? begins a query

# A network that fails once mostly answers the next time; a row that says "failed" would stay in a finished part.
_TRIES = 3
_SECONDS_BETWEEN_TRIES = 0.5
_LASTING = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError)


def expand(address: str) -> Iterator[Found]:
    """The pictures that an address stands for: itself, all below it where it ends in a slash, or those that match.

    Args:
        address: a file, a folder, or a pattern (`*`, `?`, `[...]`, `**`); of the web, a file.

    Raises:
        MissingExtraError: fsspec, or what it needs for this kind of address, is not installed.
    """
    if address.lower().startswith(_WEB) or not (address.endswith("/") or set(address) & set("*?[")):
        yield Found(address)
        return
    try:
        system, path = _filesystem(address)
        if address.endswith("/"):
            found = [each for each in system.find(path) if _is_picture(each)]
        else:
            found = [each for each in system.glob(path) if not each.endswith("/")]
    except MissingExtraError:
        raise
    except Exception as cause:  # noqa: BLE001 - every system of fsspec has kinds of its own
        yield Found(address, PictureError(f"{address} cannot be listed ({_told(cause)}); check it and your access"))
        return
    if not found:
        yield Found(address, PictureNotFoundError(f"nothing that is a picture is at {address}; check the address"))
    for each in sorted(found):
        yield Found(system.unstrip_protocol(each))


def fetch(addresses: Sequence[str], ranges: Sequence[tuple[int, int]] | None = None) -> list[bytes | PictureError]:
    """What is at addresses, fetched side by side where their system can.

    Args:
        addresses: of files of one system; one of them may come several times.
        ranges: begin and end of what is wanted of each, bytes; all of it without.

    Returns:
        For each its bytes, or why there are none.

    Raises:
        MissingExtraError: fsspec, or what it needs for this kind of address, is not installed.
        PictureError: no system of that name is known.
    """
    system, _ = _filesystem(addresses[0])
    paths = [str(system._strip_protocol(address)) for address in addresses]  # noqa: SLF001 - fsspec's own name for it
    answers: list[object] = [None] * len(paths)
    waiting = list(range(len(paths)))
    for tried in range(_TRIES):
        time.sleep(_SECONDS_BETWEEN_TRIES * tried)
        starts = [ranges[at][0] if ranges else None for at in waiting]
        ends = [ranges[at][1] if ranges else None for at in waiting]
        # unlike `cat` it takes names with the signs of a pattern as they are
        found = system.cat_ranges([paths[at] for at in waiting], starts, ends, on_error="return")
        for at, answer in zip(waiting, found, strict=True):
            answers[at] = answer
        waiting = [at for at in waiting if not isinstance(answers[at], (bytes, *_LASTING))]
        if not waiting:
            break
    return [
        answer if isinstance(answer, bytes) else _error(address, answer)
        for address, answer in zip(addresses, answers, strict=True)
    ]


def open_file(address: str) -> BinaryIO:
    """A file at an address, to be read at any place.

    Raises:
        MissingExtraError: as for `fetch`.
        PictureError: it is not there, or may not be read.
    """
    try:
        system, path = _filesystem(address)
        return cast(BinaryIO, system.open(path, "rb"))
    except MissingExtraError:
        raise
    except Exception as cause:
        raise _error(address, cause) from cause


def _error(address: str, cause: object) -> PictureError:
    if isinstance(cause, FileNotFoundError):
        return PictureNotFoundError(f"there is no file {address}; check the address")
    if isinstance(cause, PermissionError):
        return UnreadablePictureError(f"{address} may not be read; check your access")
    return UnreadablePictureError(f"{address} cannot be fetched ({_told(cause)}); check the address and the network")


def _told(cause: object) -> str:
    text = " ".join(str(cause).split()) or type(cause).__name__
    return text if text.isprintable() else repr(text)


def _filesystem(address: str) -> "tuple[AbstractFileSystem, str]":
    """The system of an address, and its path there.

    Raises:
        MissingExtraError: fsspec, or what it needs for this kind of address, is not installed.
        PictureError: no system of that name is known.
    """
    try:
        from fsspec.core import url_to_fs
    except ImportError as error:
        raise MissingExtraError(f"predict {address}", EXTRA, "fsspec") from error
    try:
        system, path = url_to_fs(address)
    except ImportError as error:
        missing = error.name or getattr(error.__cause__, "name", None) or _told(error)
        raise MissingExtraError(f"predict {address}", EXTRA, missing) from error
    except ValueError as error:
        raise PictureError(f"{address} is no address that can be read ({_told(error)}); check it") from error
    return system, str(path)


def _is_picture(path: str) -> bool:
    name = path.rsplit("/", 1)[-1]
    return not name.startswith(".") and any(name.lower().endswith(suffix) for suffix in SUFFIXES)
