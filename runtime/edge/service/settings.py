"""Where a service listens, and the limits that it keeps: each bounds memory or time that a stranger could take."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

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
