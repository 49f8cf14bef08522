"""Where a service listens, what it lets a client ask for, and requests on the wire.

Each limit bounds memory or time that a stranger could take. Bodies are read within the limits, answers are sent, and
errors become answers.
"""

import asyncio
import json
import zlib
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from starlette.exceptions import HTTPException

from edge.errors import BundleNotFoundError, EdgeError, InputError, PictureError
from edge.session.providers import Provider

MEBIBYTE = 2**20


@dataclass(frozen=True, slots=True)
class Limits:
    """What a client may ask for; more is refused, with the limit in the message.

    Attributes:
        body_bytes: of a request, after gzip or deflate is undone.
        waiting_bytes: of all bodies that are held at a time.
        pictures: picture files in a request.
        images: 28x28 images in a tensor request.
        waiting_requests: tensor requests that are on their way at a time, read, queued or computed.
        waiting_pictures: requests with picture files that are on their way at a time. A picture takes a hundred times
            as long as the model, so that fewer may wait.
        header_bytes: of the headers of a request, and of all else that comes with it and is no body.
        header_seconds: for the first line and the headers of a request.
        body_seconds: for its body, and for a client to take what was sent to it.
        queue_seconds: in the queue, before the model takes it.
        idle_seconds: a connection without a request is kept that long.
        connections: open at a time.
    """

    body_bytes: int = 32 * MEBIBYTE
    waiting_bytes: int = 128 * MEBIBYTE
    pictures: int = 64
    images: int = 4096
    waiting_requests: int = 512
    waiting_pictures: int = 64
    header_bytes: int = 65_536
    header_seconds: float = 10.0
    body_seconds: float = 20.0
    queue_seconds: float = 10.0
    idle_seconds: int = 30
    connections: int = 2048


@dataclass(frozen=True, slots=True)
class Settings:
    """One service.

    Attributes:
        bundles: paths of the bundles; the first is the one that answers where none is named.
        host: address to listen on.
        port: to listen on; 0 takes a free one.
        provider: where the models run.
        provider_options: settings of that provider, as ONNX Runtime names them.
        workers: processes that share the socket.
        api_keys: a request must bring one of them; empty lets everybody in.
        cors_origins: origins that browsers may call from beside the service's own page; `*` means any.
        access_log: whether every request is told as a line of JSON on the standard output.
        watch_seconds: how often the files of the bundles are looked at for changes; 0 never.
        drain_seconds: for the requests that are under way when the service is asked to end.
        limits: what a client may ask for.
    """

    bundles: tuple[Path, ...]
    host: str = "127.0.0.1"
    port: int = 8000
    provider: Provider = "auto"
    provider_options: Mapping[str, str] = field(default_factory=dict)
    workers: int = 1
    api_keys: tuple[str, ...] = field(default=(), repr=False)
    cors_origins: tuple[str, ...] = ()
    access_log: bool = True
    watch_seconds: float = 2.0
    drain_seconds: int = 30
    limits: Limits = Limits()


Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

JSON = b"application/json"

ANSWER = "edge.answer"
"""Key of the scope under which the server leaves a function `(status, headers, body) -> bool` that sends a whole answer
at once; false where it cannot, and the answer goes through ASGI's two messages."""

STATUS = "edge.status"
"""Key of the scope under which the status code of the answer is kept."""

ALWAYS = ((b"x-content-type-options", b"nosniff"), (b"referrer-policy", b"no-referrer"))
"""Headers of every answer."""

_HANG_UP = "edge.hang_up"  # key of the scope under which a handler leaves what is to be called
_HEADERS = "edge.headers"  # the headers by name, once somebody has asked for one
_TAKEN = "edge.taken"  # bytes that the request holds
_COMPLETE = "edge.complete"  # whether the whole body has arrived, where the server can say

_LONGEST_MESSAGE = 500  # characters: an error repeats what was wrong, and not megabytes of it
_LONGEST_NUMBER = 18  # digits

INLINE_BYTES = 2**16
"""A body that is no longer is parsed in the event loop; a longer one would keep it, and goes to a thread."""

Run = Callable[..., Awaitable[Any]]
"""Calls a function with its arguments beside the event loop."""

_STATUS: dict[type[EdgeError], int] = {BundleNotFoundError: 404, PictureError: 422, InputError: 400, EdgeError: 500}

_WINDOW_BITS = {b"gzip": 16 + zlib.MAX_WBITS, b"deflate": zlib.MAX_WBITS}
_COMPRESSION_LEVEL = 1  # an answer is small, and the processor is what counts
_RETRY_SECONDS = b"1"


class RequestError(EdgeError):
    """A request that gets another answer than it asked for.

    Attributes:
        status: HTTP status code.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def told(scope: Scope, error: Exception) -> tuple[int, str]:
    """Status code and message of an error."""
    if isinstance(error, RequestError):
        return error.status, str(error)
    if isinstance(error, HTTPException):
        if error.status_code == 404:
            return 404, f"nothing is at {scope['path']}; /docs lists what is"
        return error.status_code, f"{scope['path']} does not take {scope['method']}; /docs lists what it takes"
    for kind, status in _STATUS.items():
        if isinstance(error, kind):
            return status, str(error)
    return 500, "the service failed at this request; its log says why"


class Memory:
    """What the bodies of all requests take together.

    Args:
        most: bytes.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._taken = 0

    def take(self, scope: Scope, size: int) -> None:
        """Notes bytes that a request holds.

        Raises:
            RequestError: 503, all of them together would be too many.
        """
        if self._taken + size > self._most:
            raise RequestError(503, "too many large requests are on their way; try again in a second")
        self._taken += size
        scope[_TAKEN] = scope.get(_TAKEN, 0) + size

    def give_back(self, scope: Scope) -> None:
        """Notes that a request has ended."""
        self._taken -= scope.pop(_TAKEN, 0)


class ClientGoneError(Exception):
    """Nobody waits for the answer any more."""


def cancel_with_client(scope: Scope, work: "asyncio.Future[Any]") -> None:
    """Has work cancelled when the client of a request hangs up: nobody waits for it any more."""
    scope[_HANG_UP] = work.cancel


def hang_up(scope: Mapping[str, Any]) -> None:
    """Cancels what a request has under way; the server calls it when a connection is lost."""
    if cancel := scope.get(_HANG_UP):
        cancel()


def complete(scope: Scope) -> None:
    """Notes that the body of a request has arrived; the server calls it."""
    scope[_COMPLETE] = True


def header(scope: Scope, name: bytes) -> bytes:
    """The value of a header, empty where the request has none; the name in lower case."""
    headers: dict[bytes, bytes] | None = scope.get(_HEADERS)
    if headers is None:
        headers = scope[_HEADERS] = dict(scope["headers"])
    return headers.get(name, b"")


def whole_number(text: str | bytes) -> int | None:
    """The number that a client wrote in decimal digits; None where it is none, or too long to mean anything."""
    return int(text) if text.isdigit() and text.isascii() and len(text) <= _LONGEST_NUMBER else None


def positive(name: str, text: str | None) -> int | None:
    """The number from 1 that a client gave for a setting; None where it gave none.

    Raises:
        RequestError: 400, it is no such number.
    """
    if text is None:
        return None
    number = whole_number(text)
    if not number:
        raise RequestError(400, f"{name} cannot be {text!r}; give a number from 1")
    return number


async def read_body(scope: Scope, receive: Receive, limits: Limits, memory: Memory, run: Run) -> bytes:
    """The body of a request, gzip and deflate undone.

    Args:
        scope: of the request.
        receive: gives its parts.
        limits: that it has to keep.
        memory: where its bytes are noted until `give_back`.
        run: how what takes long is called.

    Raises:
        RequestError: larger than the limit (413), too slow (408), another encoding (415), damaged (400), or more than
            there is room for now (503).
        ClientGoneError: the client hung up.
    """
    declared = whole_number(header(scope, b"content-length"))
    if declared is not None and declared > limits.body_bytes:
        raise _too_large(limits)
    if scope.get(_COMPLETE):  # a timer would cost more than what it waits for
        body = await _received(scope, receive, limits, memory)
    else:
        try:
            async with asyncio.timeout(limits.body_seconds):
                body = await _received(scope, receive, limits, memory)
        except TimeoutError as error:
            message = f"the body did not arrive within {limits.body_seconds:g} s; send it faster"
            raise RequestError(408, message) from error
    encoding = header(scope, b"content-encoding").strip().lower()
    if encoding in {b"", b"identity"}:
        return body
    content: bytes = await run(_decompressed, body, encoding, limits)
    memory.take(scope, len(content))
    return content


async def _received(scope: Scope, receive: Receive, limits: Limits, memory: Memory) -> bytes:
    parts, size, more = [], 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGoneError
        parts.append(message.get("body", b""))
        memory.take(scope, len(parts[-1]))
        size += len(parts[-1])
        if size > limits.body_bytes:
            raise _too_large(limits)
        more = message.get("more_body", False)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _decompressed(body: bytes, encoding: bytes, limits: Limits) -> bytes:
    if encoding not in _WINDOW_BITS:
        raise RequestError(415, f"the encoding {encoding.decode('latin-1')!r} is not known; send gzip, deflate or none")
    decoder = zlib.decompressobj(_WINDOW_BITS[encoding])
    try:
        content = decoder.decompress(body, limits.body_bytes + 1)
    except zlib.error as error:
        raise RequestError(400, f"the body is no {encoding.decode()}: {error}; send it again") from error
    if len(content) > limits.body_bytes:
        raise _too_large(limits)
    if not decoder.eof:
        raise RequestError(400, f"the body's {encoding.decode()} is cut off; send it again")
    return content


def _too_large(limits: Limits) -> RequestError:
    return RequestError(413, f"a request may have {limits.body_bytes} bytes; send fewer pictures at a time")


async def respond(
    scope: Scope, send: Send, body: bytes, *, status: int = 200, kind: bytes = JSON, headers: Headers | None = None
) -> None:
    """Sends an answer, compressed where the client asks for it."""
    sent = [(b"content-type", kind), *(headers or [])]
    if body and (accepted := header(scope, b"accept-encoding")) and (encoding := _wanted(accepted)):
        encoder = zlib.compressobj(_COMPRESSION_LEVEL, zlib.DEFLATED, _WINDOW_BITS[encoding])
        body = encoder.compress(body) + encoder.flush()
        sent += [(b"content-encoding", encoding), (b"vary", b"accept-encoding")]
    sent.append((b"content-length", b"%d" % len(body)))
    scope[STATUS] = status
    if (at_once := scope.get(ANSWER)) is not None and at_once(status, sent, body):
        return
    await send({"type": "http.response.start", "status": status, "headers": sent})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})


async def respond_json(scope: Scope, send: Send, content: object) -> None:
    """Sends an answer as JSON."""
    await respond(scope, send, json.dumps(content, allow_nan=False).encode())


async def respond_error(scope: Scope, send: Send, status: int, message: str) -> None:
    """Sends an error, always in the form `{"error": message}`."""
    headers = [(b"retry-after", _RETRY_SECONDS)] if status == 503 else []
    if len(message) > _LONGEST_MESSAGE:
        message = message[:_LONGEST_MESSAGE] + " ..."
    body = json.dumps({"error": message}).encode()
    await respond(scope, send, body, status=status, headers=headers)


def _wanted(accepted: bytes) -> bytes:
    """The encoding to answer with: the first that the client names and we know, none otherwise."""
    for word in accepted.lower().split(b","):
        name, _, quality = word.strip().partition(b";")
        if name.strip() in _WINDOW_BITS and quality.replace(b" ", b"") not in {b"q=0", b"q=0.0"}:
            return name.strip()
    return b""


def query(scope: Scope) -> Mapping[str, str]:
    """The parameters of the address; of a parameter that is given twice, the last."""
    from urllib.parse import parse_qsl

    return dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True))
