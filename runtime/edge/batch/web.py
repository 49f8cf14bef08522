"""Files at http and https, with limits: whoever answers there may send as much, and as slowly, as he likes.

fsspec's own reader of web addresses takes what it gets. Its session is used here, with the settings that users give it.
"""

import asyncio
from typing import TYPE_CHECKING, Final

from edge.errors import UnreadablePictureError

if TYPE_CHECKING:
    from fsspec.implementations.http import HTTPFileSystem

# For one file; whoever sends nothing is given up sooner than whoever is slow.
MOST_SECONDS: Final = 300.0
SILENT_SECONDS: Final = 30.0

_PARTIAL: Final = 206
_CHUNK_BYTES: Final = 1 << 16


async def get(system: "HTTPFileSystem", path: str, start: int | None, end: int) -> bytes:
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


async def get_all(
    system: "HTTPFileSystem", paths: list[str], starts: list[int | None], ends: list[int]
) -> list[object]:
    """What is at several addresses, side by side: for each the bytes, or the error."""
    gets = [get(system, path, start, end) for path, start, end in zip(paths, starts, ends, strict=True)]
    return list(await asyncio.gather(*gets, return_exceptions=True))
