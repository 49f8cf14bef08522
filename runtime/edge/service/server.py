"""Sockets, slow and idle connections and signals, around the application."""

import asyncio
import functools
import gc
import json
import logging
import multiprocessing
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from edge.errors import EdgeError, InputError
from edge.service.application import Application
from edge.service.metrics import Metrics
from edge.service.repository import Repository
from edge.service.requests import ALWAYS, ANSWER, Headers, Limits, Settings, complete, hang_up
from edge.service.workers import REFUSED, Supervisor

LOG = logging.getLogger("edge.service")

SWITCH_SECONDS = 1e-3
"""How long a thread that reads a picture may keep Python's lock while the event loop waits for it."""

OBJECTS_BETWEEN_COLLECTIONS = 1000
"""Commands have more between two collections, and end soon; here one of 70 000 objects would halt all for 0.1 s."""

_FRAMED = 8  # bytes that may come with each of a body
_LINGER_SECONDS = 0.3  # an idle connection may have a request on its way when the service begins to end


def serve(settings: Settings) -> int:
    """Runs the service until it is told to end.

    Args:
        settings: of the service.

    Returns:
        The exit code: 0 after SIGTERM or Ctrl-C, 1 where a worker refused a bundle.

    Raises:
        EdgeError: a bundle is refused, or the address is taken.
    """
    with listening(settings) as bound:
        if settings.workers > 1:
            return Supervisor(run_worker, settings, bound).run()
        say_on_stderr()
        Service(settings, bound).run()
    return 0


def run_worker(settings: Settings, bound: socket.socket) -> None:
    """One of several processes that share a socket; ends this process."""
    say_on_stderr()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal tells the whole group; the supervisor ends its workers
    try:
        service = Service(settings, bound)
        threading.Thread(target=_end_with_parent, args=(service,), daemon=True).start()
        service.run()
    except EdgeError as error:
        print(f"edge: {error}", file=sys.stderr)  # noqa: T201 - as the command line tells it
        sys.exit(REFUSED)
    sys.exit(0)


def _end_with_parent(service: "Service") -> None:
    """A worker whose supervisor was killed would hold the socket for ever."""
    if (parent := multiprocessing.parent_process()) is not None:
        parent.join()
        service.end()


def say_on_stderr() -> None:
    """What the service says of itself goes to the standard error; the standard output is the access log's."""
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(levelname)s %(message)s")


@contextmanager
def listening(settings: Settings) -> Iterator[socket.socket]:
    """The socket that the service will listen on.

    Raises:
        InputError: the address cannot be had.
    """
    try:
        family, _, _, _, place = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)[0]
    except OSError as error:
        raise _no_address(settings, error) from error
    with socket.socket(family, socket.SOCK_STREAM) as bound:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            bound.bind(place)
        except OSError as error:
            raise _no_address(settings, error) from error
        yield bound


def _no_address(settings: Settings, error: OSError) -> InputError:
    return InputError(
        f"{settings.host}:{settings.port} cannot be listened on: {error.strerror}; choose another --port or --host"
    )


def address(bound: socket.socket) -> str:
    """The address of a socket as people type it into a browser."""
    host, port = bound.getsockname()[:2]
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


class Service:
    """One process that serves. Making it loads the bundles and replays their evidence.

    Args:
        settings: of the service.
        bound: the socket to listen on.

    Raises:
        EdgeError: a bundle is refused.
    """

    def __init__(self, settings: Settings, bound: socket.socket) -> None:
        self.metrics = Metrics()
        self.repository = Repository(settings, self.metrics)
        self._bound = bound
        self._application = Application(settings, self.repository, self.metrics)
        config = uvicorn.Config(
            self._application,
            http=_Protocol,
            ws="none",
            interface="asgi3",
            lifespan="off",
            log_config=None,
            log_level=logging.ERROR,  # a stranger's nonsense is answered, and is no news
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=settings.limits.idle_seconds,
            timeout_graceful_shutdown=settings.drain_seconds,
        )
        self._server = _Server(config, self.repository, settings)
        bound.listen(config.backlog)  # from here on who connects is answered; before, nobody could be

    def run(self) -> None:
        """Answers until it is told to end, and then what is under way."""
        sys.setswitchinterval(SWITCH_SECONDS)
        gc.collect()
        gc.freeze()  # what was made until now stays, and need not be looked through again
        gc.set_threshold(OBJECTS_BETWEEN_COLLECTIONS)
        for model in self.repository.models.values():
            LOG.info("%s on %s: %s", model.name, model.classifier.provider, model.evidence)
        LOG.info("ready at %s", address(self._bound))
        self._server.run(sockets=[self._bound])
        self._application.close()

    def end(self) -> None:
        """Tells it to end; may be called from any thread."""
        self._server.should_exit = True


class _Server(uvicorn.Server):
    """uvicorn's, with a clean exit at SIGTERM, and bundles that are read anew at SIGHUP or when their files change."""

    def __init__(self, config: uvicorn.Config, repository: Repository, settings: Settings) -> None:
        super().__init__(config)
        self._repository = repository
        self._settings = settings
        self._wanted = False
        self._task: asyncio.Task[None] | None = None

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Ends at SIGINT and SIGTERM as asked, with exit code 0, and reads the bundles anew at SIGHUP."""
        if threading.current_thread() is not threading.main_thread():
            yield  # whoever runs a service in a thread of their own deals with signals
            return
        handled: dict[int, Any] = dict.fromkeys((signal.SIGINT, signal.SIGTERM), self._end)
        if hasattr(signal, "SIGHUP"):
            handled[signal.SIGHUP] = self._reload
        before = {number: signal.signal(number, handler) for number, handler in handled.items()}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _end(self, number: int, frame: FrameType | None) -> None:
        if self.should_exit and number == signal.SIGINT:
            self.force_exit = True
        self.should_exit = True

    def _reload(self, number: int, frame: FrameType | None) -> None:
        self._wanted = True

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second."""
        ending = await super().on_tick(counter)
        every = round(self._settings.watch_seconds * 10)
        asked, self._wanted = self._wanted, False
        watched = every > 0 and counter % every == 0 and self._repository.changed()
        if (asked or watched) and (self._task is None or self._task.done()):
            self._task = asyncio.create_task(self._read_anew(force=asked))
        elif asked:
            self._wanted = True  # after the one that is under way
        return ending

    async def _read_anew(self, *, force: bool) -> None:
        try:
            await asyncio.to_thread(lambda: self._repository.reload(force=force))
        except Exception:
            LOG.exception("the bundles could not be read anew; those in use go on")


class _Protocol(HttpToolsProtocol):
    """HTTP with the service's limits: on connections, on headers that do not come, and on idle ones at the end."""

    _headers_due: asyncio.TimerHandle | None = None
    _send_due: asyncio.TimerHandle | None = None
    _in_headers = False
    _in_body = False
    _ending = False
    _around_bytes = 0  # of this request, beside its body: headers, and what frames chunks and follows the last

    @property
    def _limits(self) -> Limits:
        application: Application = self.config.loaded_app
        return application.limits

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self._limits.connections:
            self._refuse(503, "too many connections; try again in a second")
        else:
            self._expect_headers()

    def data_received(self, data: bytes) -> None:
        self._around_bytes += len(data)
        super().data_received(data)
        if self._around_bytes > self._limits.header_bytes and not self.transport.is_closing():
            self._refuse(
                431, f"more than {self._limits.header_bytes} bytes are no body; send fewer and shorter headers"
            )
            return
        if not self._in_headers and not (self._in_body and self._is_idle()):
            self._stop_waiting()
        elif self._headers_due is None:  # most headers come in one piece, and need no timer
            self._expect_headers()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._around_bytes = 0
        self._in_headers = True

    def on_headers_complete(self) -> None:
        self._in_headers = False
        self._in_body = True
        super().on_headers_complete()
        if self._ending:
            self.cycle.keep_alive = False
        scope: Any = self.scope  # of uvicorn's own type, which knows no keys but its own
        scope[ANSWER] = functools.partial(self._answer, self.cycle)

    def on_body(self, body: bytes) -> None:
        # a chunk of one byte has five around it
        self._around_bytes = max(0, self._around_bytes - _FRAMED * len(body))
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._in_body = False
        super().on_message_complete()
        scope: Any = self.scope
        complete(scope)

    def pause_writing(self) -> None:
        """The client does not take what is sent to it; it may not hold the answer for ever."""
        super().pause_writing()
        self._send_due = self.loop.call_later(self._limits.body_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        """The client has taken enough of it."""
        if self._send_due is not None:
            self._send_due.cancel()
            self._send_due = None
        super().resume_writing()

    def timeout_keep_alive_handler(self) -> None:
        """An idle connection ends, with what the client did not take of its last answer."""
        if self.transport.get_write_buffer_size():
            self.transport.abort()
        else:
            super().timeout_keep_alive_handler()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        if self._send_due is not None:
            self._send_due.cancel()
        cycle = self.cycle
        super().connection_lost(exc)
        if cycle and not cycle.response_complete:
            hang_up(cycle.scope)

    def shutdown(self) -> None:
        """A connection that is idle may have a request on its way, which is answered as the last one."""
        self._ending = True
        if self._is_idle():
            self.loop.call_later(_LINGER_SECONDS, self._close_if_idle)
        else:
            self.cycle.keep_alive = False

    def send_400_response(self, msg: str) -> None:
        self._refuse(400, "this is no HTTP request")

    def _is_idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _close_if_idle(self) -> None:
        if self._is_idle() and not self.transport.is_closing():
            self.transport.close()

    def _expect_headers(self) -> None:
        self._headers_due = self.loop.call_later(self._limits.header_seconds, self._too_slow)

    def _stop_waiting(self) -> None:
        if self._headers_due is not None:
            self._headers_due.cancel()
            self._headers_due = None

    def _too_slow(self) -> None:
        if self.transport.is_closing():
            return
        if self._in_body:  # of a request that was refused, and that has its answer
            self.transport.abort()
        else:
            self._refuse(408, "the request did not come in time")

    def _answer(self, cycle: RequestResponseCycle, status: int, headers: Headers, body: bytes) -> bool:
        """Sends an answer in one piece, where uvicorn sends head and body one after the other.

        A system call on a socket costs as much as everything else that an answer takes.
        """
        if cycle.response_started or cycle.disconnected or cycle.flow.write_paused or cycle.scope["method"] == "HEAD":
            return False
        head = [STATUS_LINE[status]]
        for name, value in (*cycle.default_headers, *headers, *ALWAYS):
            head += name, b": ", value, b"\r\n"
        head.append(b"\r\n" if cycle.keep_alive else b"connection: close\r\n\r\n")
        cycle.transport.write(b"".join([*head, body]))
        cycle.response_started = cycle.response_complete = True
        cycle.waiting_for_100_continue = False
        cycle.message_event.set()
        if not cycle.keep_alive:
            cycle.transport.close()
        cycle.on_response()
        return True

    def _refuse(self, status: int, message: str) -> None:
        body = json.dumps({"error": message}).encode()
        self.transport.write(
            b"HTTP/1.1 %d \r\ncontent-type: application/json\r\ncontent-length: %d\r\nretry-after: 1\r\n"
            b"connection: close\r\n\r\n%b" % (status, len(body), body)
        )
        self.transport.close()
