"""The service for other ASGI servers: plain uvicorn, Hypercorn, Ray Serve, or as a part of another application."""

from pathlib import Path

from starlette.types import ASGIApp, Receive, Scope, Send

from edge.bundle import shipped
from edge.service.application import Application
from edge.service.metrics import Metrics
from edge.service.repository import Repository
from edge.service.requests import Limits, Settings
from edge.session.providers import Provider


def application(
    *bundles: str,
    provider: Provider = "auto",
    api_keys: tuple[str, ...] = (),
    cors_origins: tuple[str, ...] = (),
    access_log: bool = True,
    limits: Limits | None = None,
) -> ASGIApp:
    """The routes of `edge serve` as an ASGI application; making it loads the bundles and replays their evidence.

    Sockets, signals, slow and idle connections, reloads and worker processes are matters of the server that runs it.

    Args:
        bundles: shipped names or paths; the first answers where none is named. The default bundle if there are none.
        provider: where the models run.
        api_keys: a request must bring one of them; empty lets everybody in.
        cors_origins: origins that browsers may call from beside the service's own page; `*` means any.
        access_log: whether every request is told as a line of JSON on the standard output.
        limits: what a client may ask for; those of time and of connections are the server's.

    Returns:
        A callable of ASGI 3 for the scopes `http` and `lifespan`, of which the second lets its threads go at the end.

    Raises:
        EdgeError: a bundle is refused.
        ImportError: the extra `serve` is not installed.
    """
    paths = tuple(Path(shipped.locate(name)) for name in bundles or (shipped.DEFAULT,))
    settings = Settings(
        paths,
        provider=provider,
        api_keys=api_keys,
        cors_origins=cors_origins,
        access_log=access_log,
        limits=limits or Limits(),
    )
    metrics = Metrics()
    routes = Application(settings, Repository(settings, metrics), metrics)

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _live(routes, receive, send)
        else:
            await routes(scope, receive, send)

    return answer


async def _live(routes: Application, receive: Receive, send: Send) -> None:
    """Says that it is ready when the server asks, and ends when it is told to."""
    while (message := await receive())["type"] != "lifespan.shutdown":
        await send({"type": f"{message['type']}.complete"})
    routes.close()
    await send({"type": "lifespan.shutdown.complete"})
