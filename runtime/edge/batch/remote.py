"""Pictures at an address, such as `s3://bucket/digits/7.png`: fsspec finds and fetches them (extra `remote`).

What is there may be of any size, and nobody can be trusted to say so. Many files are fetched side by side, each up to a
size that photographs have; what is larger is left and fetched alone, up to the size that pictures in archives may have.

Whoever answers at http and https may send as much, and as slowly, as he likes, and fsspec's own reader of web addresses
takes what it gets. Its session is used here with limits, and with the settings that users give it.
"""

import time
from collections.abc import Coroutine, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, Final, cast

from edge.errors import MissingExtraError, PictureError, PictureNotFoundError, UnreadablePictureError
from edge.picture.paths import SUFFIXES, Found, stop_if_asked

if TYPE_CHECKING:
    import asyncio

    from fsspec import AbstractFileSystem
    from fsspec.implementations.http import HTTPFileSystem

EXTRA = "remote"

_WEB = ("http://", "https://")  # no listings there, and ? begins a query

# A network that fails once mostly answers the next time; a row that says "failed" would stay in a finished part.
_TRIES = 3
_SECONDS_BETWEEN_TRIES = 0.5
_LASTING = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError, PictureError)

# 32 of them are held at a time by each thread.
MOST_BYTES_BESIDE: Final = 8_000_000
MOST_BYTES: Final = 150_000_000
_SECONDS_BETWEEN_LOOKS: Final = 0.2  # whether anybody still waits

# For one file of the web; whoever sends nothing is given up sooner than whoever is slow.
MOST_SECONDS: Final = 300.0
SILENT_SECONDS: Final = 30.0

_PARTIAL: Final = 206  # the status of an answer that is a part of a file
_CHUNK_BYTES: Final = 1 << 16


@dataclass(frozen=True, slots=True)
class Large:
    """A file that is too large to be held beside others.

    Attributes:
        address: where it is.
    """

    address: str

    def fetch(self) -> bytes | PictureError:
        """All of it, or why there is nothing."""
        (content,) = _contents([self.address], [None], [MOST_BYTES + 1])
        if isinstance(content, bytes) and len(content) > MOST_BYTES:
            return UnreadablePictureError(
                f"{self.address} is too large (more than {MOST_BYTES // 1_000_000} MB); scale it down or crop it"
            )
        return content


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


def fetch(
    addresses: Sequence[str], ranges: Sequence[tuple[int, int]] | None = None
) -> "list[bytes | Large | PictureError]":
    """What is at addresses, fetched side by side where their system can.

    Args:
        addresses: of files of one system; one of them may come several times.
        ranges: begin and end of what is wanted of each, bytes; all of it without.

    Returns:
        For each its bytes, or that it is large and has to be fetched alone, or why there are none.

    Raises:
        MissingExtraError: fsspec, or what it needs for this kind of address, is not installed.
        PictureError: no system of that name is known.
        StoppedError: nobody waits for them any more.
    """
    if ranges is not None:
        return list(_contents(addresses, [start for start, _ in ranges], [end for _, end in ranges]))
    found = _contents(addresses, [None] * len(addresses), [MOST_BYTES_BESIDE + 1] * len(addresses))
    return [
        Large(address) if isinstance(each, bytes) and len(each) > MOST_BYTES_BESIDE else each
        for address, each in zip(addresses, found, strict=True)
    ]


def _contents(
    addresses: Sequence[str], starts: Sequence[int | None], ends: Sequence[int]
) -> list[bytes | PictureError]:
    """The bytes from starts to ends; where there is no start, a whole file is asked for and read up to there."""
    system, _ = _filesystem(addresses[0])
    paths = [str(system._strip_protocol(address)) for address in addresses]  # noqa: SLF001 - fsspec's own name for it
    answers: list[object] = [None] * len(paths)
    waiting = list(range(len(paths)))
    for tried in range(_TRIES):
        time.sleep(_SECONDS_BETWEEN_TRIES * tried)
        stop_if_asked()
        found = _asked(
            system, [paths[at] for at in waiting], [starts[at] for at in waiting], [ends[at] for at in waiting]
        )
        for at, answer in zip(waiting, found, strict=True):
            answers[at] = answer
        waiting = [at for at in waiting if not isinstance(answers[at], (bytes, *_LASTING))]
        if not waiting:
            break
    for at in waiting:  # stores refuse to send the beginning of nothing
        if starts[at] is None and _is_empty(system, paths[at]):
            answers[at] = b""
    return [
        answer if isinstance(answer, bytes) else _error(address, answer)
        for address, answer in zip(addresses, answers, strict=True)
    ]


def _asked(
    system: "AbstractFileSystem", paths: list[str], starts: list[int | None], ends: list[int]
) -> Sequence[object]:
    """Asks once: for each the bytes, or the error."""
    from fsspec.asyn import AsyncFileSystem

    if paths[0].lower().startswith(_WEB):
        return _waited(get_all_from_web(cast(Any, system), paths, starts, ends), cast(Any, system).loop)
    if isinstance(system, AsyncFileSystem):
        return _waited(system._cat_ranges(paths, [start or 0 for start in starts], ends), system.loop)  # noqa: SLF001
    # unlike `cat` it takes names with the signs of a pattern as they are
    return cast(Sequence[object], system.cat_ranges(paths, [start or 0 for start in starts], ends, on_error="return"))


def _waited(task: Coroutine[object, object, Any], loop: "asyncio.AbstractEventLoop") -> Sequence[object]:
    """What a task of another thread's loop gives; it is given up with whoever waits for it."""
    import asyncio

    future = asyncio.run_coroutine_threadsafe(task, loop)
    try:
        while True:
            try:
                return cast(Sequence[object], future.result(_SECONDS_BETWEEN_LOOKS))
            except TimeoutError:
                if future.done():
                    raise
                stop_if_asked()
    except BaseException:
        future.cancel()
        raise


def _is_empty(system: "AbstractFileSystem", path: str) -> bool:
    try:
        return bool(system.info(path).get("size") == 0)
    except Exception:  # noqa: BLE001 - the first error is told
        return False


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
    if isinstance(cause, PictureError) and not isinstance(cause, OSError):
        return cause
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


async def get_from_web(system: "HTTPFileSystem", path: str, start: int | None, end: int) -> bytes:
    """What is at an address, at most a part of it.

    Args:
        system: fsspec's for the web.
        path: the address.
        start: where the part begins, bytes; None for a whole file, of which nobody is asked to send a part.
        end: where to stop reading, bytes.

    Raises:
        UnreadablePictureError: it takes longer than it may, or the server sends no parts of files.
        FileNotFoundError: it is not there.
        PermissionError: it may not be read.
        OSError: another answer, or none.
    """
    import aiohttp

    # what is unpacked on the way could become a thousand times as large
    headers = {"Accept-Encoding": "identity"}
    if start is not None:
        headers["Range"] = f"bytes={start}-{end - 1}"
    limits = aiohttp.ClientTimeout(total=MOST_SECONDS, sock_connect=SILENT_SECONDS, sock_read=SILENT_SECONDS)
    given = dict(system.kwargs)
    given["headers"] = {**given.get("headers", {}), **headers}
    session = await system.set_session()
    try:
        async with session.get(system.encode_url(path), **given, timeout=limits) as answer:
            if answer.status in (401, 403):
                raise PermissionError(path)
            system._raise_not_found_for_status(answer, path)  # noqa: SLF001 - what fsspec's own reader does
            if start and answer.status != _PARTIAL:
                raise UnreadablePictureError(f"the server of {path} sends no parts of files; save it first")
            wanted = end - (start or 0)
            received = bytearray()
            async for chunk in answer.content.iter_chunked(_CHUNK_BYTES):
                received += chunk[: wanted - len(received)]
                if len(received) >= wanted:
                    answer.close()  # all else is left
                    break
            return bytes(received)
    except TimeoutError as cause:
        raise UnreadablePictureError(
            f"{path} comes too slowly (at most {MOST_SECONDS:g} s, and {SILENT_SECONDS:g} s without a byte); save it "
            "first, or try again"
        ) from cause


async def get_all_from_web(
    system: "HTTPFileSystem", paths: list[str], starts: list[int | None], ends: list[int]
) -> list[object]:
    """What is at several addresses, side by side: for each the bytes, or the error."""
    import asyncio

    gets = [get_from_web(system, path, start, end) for path, start, end in zip(paths, starts, ends, strict=True)]
    return list(await asyncio.gather(*gets, return_exceptions=True))
