"""A service on a free port of the loopback address, in a thread of this process, and a client of its own."""

import json
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

if TYPE_CHECKING:
    from edge.service.requests import Settings
    from edge.service.server import Service

LOOPBACK = ("127.0.0.1", "::1")


@dataclass(frozen=True)
class Reply:
    """What a service answered."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Client:
    """Asks one service."""

    def __init__(self, port: int) -> None:
        self.port = port

    def ask(self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> Reply:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, body or None, dict(headers or {}))
            answer = connection.getresponse()
            return Reply(answer.status, {key.lower(): value for key, value in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def get(self, path: str, **headers: str) -> Reply:
        return self.ask("GET", path, headers=headers)

    def post(self, path: str, body: bytes | object, headers: Mapping[str, str] | None = None) -> Reply:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.ask("POST", path, content, headers)

    def connect(self) -> socket.socket:
        """A bare connection, for what no client would send."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=30)


@dataclass(frozen=True)
class Running:
    """A service while it runs."""

    client: Client
    service: "Service"


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """In place of the fixture for all tests: a service is asked on the loopback address, and nothing elsewhere."""
    connect = socket.socket.connect

    def only_here(self: socket.socket, address: Any) -> None:
        assert address[0] in LOOPBACK, f"a test tried to reach {address}"
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", only_here)


@contextmanager
def running(settings: "Settings") -> Iterator[Running]:
    """Runs a service for the time of the block."""
    from edge.service.server import Service, listening  # the extra may be missing, and then each module says so

    with listening(settings) as bound:
        service = Service(settings, bound)
        thread = threading.Thread(target=service.run)
        thread.start()
        try:
            client = Client(bound.getsockname()[1])
            client.get("/v2/health/live")
            yield Running(client, service)
        finally:
            service.end()
            thread.join(timeout=30)
    assert not thread.is_alive()


@pytest.fixture(scope="session")
def run() -> "Callable[[Settings], Any]":
    """Runs a service for the time of a block."""
    return running


@pytest.fixture(scope="session")
def client_of() -> Callable[[int], Client]:
    """Asks a service that listens on a port."""
    return Client


@pytest.fixture
def serve(bundle_path: Path) -> Callable[..., Any]:
    """Runs a service of the bundle of these tests with other limits or settings."""

    from edge.service.requests import Limits, Settings

    def start(*, limits: Limits | None = None, **settings: Any) -> Any:
        facts: dict[str, Any] = {"bundles": (bundle_path,), "port": 0, "access_log": False, "watch_seconds": 0.0}
        return running(Settings(**{**facts, **settings}, limits=limits or Limits()))

    return start


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, packed: bytes) -> Iterator[Running]:
    """One service for the tests of a module that leave it as it was."""
    from edge.service.requests import Settings

    path = tmp_path_factory.mktemp("served") / "linear.onnx"
    path.write_bytes(packed)
    with running(Settings((path,), port=0, access_log=False, watch_seconds=0.0)) as found:
        yield found


@pytest.fixture
def client(shared: Running) -> Client:
    """Asks the service that the tests of a module share."""
    return shared.client


@pytest.fixture
def tensor() -> Callable[..., dict[str, Any]]:
    """Images as the input of the protocol, in JSON or as bytes behind it."""

    def write(images: np.ndarray, *, binary: bool = False, **changes: Any) -> dict[str, Any]:
        data = {"parameters": {"binary_data_size": images.nbytes}} if binary else {"data": images.ravel().tolist()}
        return {"name": "image", "datatype": "UINT8", "shape": list(images.shape), **data, **changes}

    return write
