"""The application: routes, admission, errors, security headers, metrics and access log, as one ASGI application."""

import asyncio
import hmac
import json
import logging
import time
from collections.abc import Awaitable, Callable
from importlib import resources
from typing import Any

from starlette.middleware.cors import CORSMiddleware
from starlette.routing import Route, Router

import edge
from edge.classifier.answers import json_line
from edge.errors import PictureError
from edge.service import inference, openapi, uploads
from edge.service.metrics import CONTENT_TYPE, Metrics, Observer
from edge.service.repository import Model, Repository
from edge.service.requests import (
    ALWAYS,
    ANSWER,
    INLINE_BYTES,
    STATUS,
    ClientGoneError,
    Memory,
    Receive,
    RequestError,
    Scope,
    Send,
    Settings,
    cancel_with_client,
    header,
    positive,
    query,
    read_body,
    respond,
    respond_error,
    respond_json,
    told,
)
from edge.service.uploads import Upload, UploadReader
from edge.session import cpu

LOG = logging.getLogger("edge.service")

FULL = "the service is busy and its queue full; try again in a second"
_INLINE_ANSWERS = 128  # images: writing more numbers than theirs as JSON would keep the event loop

HUNG_UP = 499  # no status of HTTP's: what servers log for a client that did not wait

# Nothing of the page comes from elsewhere, and no other page may frame it.
_POLICY = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_PAGE = ((b"content-security-policy", _POLICY), (b"cache-control", b"no-cache"))

_KINDS = {
    ".html": b"text/html; charset=utf-8",
    ".css": b"text/css; charset=utf-8",
    ".js": b"text/javascript; charset=utf-8",
    ".svg": b"image/svg+xml",
}

# Answered without a key: whether the service lives, for whoever keeps it alive, and the page, which asks for the key.
_OPEN = frozenset({"/", "/docs", "/openapi.json", "/v2/health/live", "/v2/health/ready"})

INFER = "/v2/models/{model}/infer"

ROUTE = "edge.route"
"""Key of the scope under which the route is kept that a request took, for the figures."""

Handler = Callable[[Scope, Receive, Send], Awaitable[None]]


Work = Callable[[Model, list[Upload]], Awaitable[list[str]]]


class Application:
    """The service as an ASGI application.

    Args:
        settings: of the service.
        repository: the models that answer.
        metrics: what is counted.
    """

    def __init__(self, settings: Settings, repository: Repository, metrics: Metrics) -> None:
        self._settings = settings
        self.limits = settings.limits
        self._repository = repository
        self._metrics = metrics
        self._reader = UploadReader(cpu.allowed())
        self._memory = Memory(settings.limits.waiting_bytes)
        self._requests = 0
        self._pictures = 0
        self._keys = [key.encode() for key in settings.api_keys]
        self._page = _page_files()
        self._observer = Observer(metrics, access_log=settings.access_log)
        self._waiting = {kind: metrics.waiting.labels(kind) for kind in ("tensors", "pictures")}
        self._openapi = json.dumps(openapi.document(), indent=1).encode()
        self._routes = self._built()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request."""
        if scope["type"] != "http":
            raise RuntimeError(f"the service speaks HTTP, not {scope['type']}")
        started = time.perf_counter()
        scope["app"] = self  # by which Starlette's router raises what it does not find, in place of answering itself

        async def noted(message: Any) -> None:  # noqa: ANN401 - an ASGI message
            if message["type"] == "http.response.start":
                scope[STATUS] = message["status"]
                message["headers"] += ALWAYS
            await send(message)

        try:
            if self._keys and not self._is_open(scope) and not self._is_known(scope):
                await respond_error(scope, noted, 401, "this service wants a key; send `Authorization: Bearer KEY`")
            else:
                await self._routes(scope, receive, noted)
        except ClientGoneError:
            scope[STATUS] = HUNG_UP
        except asyncio.CancelledError:
            if (task := asyncio.current_task()) is not None and task.cancelling():
                raise
            scope[STATUS] = HUNG_UP
        except Exception as error:
            if STATUS in scope:
                raise
            code, message = told(scope, error)
            if code == 500:
                LOG.exception("a request failed")
            await respond_error(scope, noted, code, message)
        finally:
            self._memory.give_back(scope)
            scope.pop(ANSWER, None)  # it holds the request, which holds the scope: garbage that only a collection finds
        self._observer.request(scope, scope.get(ROUTE, "none"), scope.get(STATUS, 0), time.perf_counter() - started)

    def close(self) -> None:
        """Lets go of the threads and writes what is left of the log."""
        self._observer.flush()
        self._reader.close()
        self._repository.close()

    # Who may ask

    def _is_open(self, scope: Scope) -> bool:
        path = scope["path"]
        return path in _OPEN or path.startswith("/page/") or scope["method"] == "OPTIONS"

    def _is_known(self, scope: Scope) -> bool:
        given = header(scope, b"authorization")
        kind, _, key = given.partition(b" ")
        if kind.lower() != b"bearer":
            key = header(scope, b"x-api-key")
        # All keys are compared, each in constant time: how long it takes tells nothing about any of them.
        return sum(hmac.compare_digest(key.strip(), known) for known in self._keys) > 0

    # Routes

    def _built(self) -> Handler:
        def at(path: str, handler: Handler, *methods: str) -> Route:
            return Route(path, _Endpoint(path, handler), methods=list(methods))

        model = "/v2/models/{model}"
        version = model + "/versions/{version}"
        routes = [
            at(INFER, self._infer, "POST"),
            at(version + "/infer", self._infer, "POST"),
            at("/predict", self._predict, "POST"),
            at("/read", self._read, "POST"),
            at("/explain", self._explain, "POST"),
            at("/v2", self._server, "GET"),
            at("/v2/", self._server, "GET"),
            at("/v2/health/live", self._live, "GET"),
            at("/v2/health/ready", self._ready, "GET"),
            at("/v2/models", self._models, "GET"),
            at(model, self._model, "GET"),
            at(version, self._model, "GET"),
            at(model + "/ready", self._model_ready, "GET"),
            at(version + "/ready", self._model_ready, "GET"),
            at("/metrics", self._figures, "GET"),
            at("/openapi.json", self._document, "GET"),
            at("/", self._static, "GET"),
            at("/docs", self._static, "GET"),
            at("/page/{file}", self._static, "GET"),
        ]

        router = Router(routes, redirect_slashes=False)
        infer, at_once = routes[0].app, {INFER.format(model=name): name for name in self._repository.models}

        async def routed(scope: Scope, receive: Receive, send: Send) -> None:
            name = at_once.get(scope["path"])
            if name is None or scope["method"] != "POST":
                await router(scope, receive, send)
            else:  # without a search through all the routes: these are what most requests ask for
                scope["path_params"] = {"model": name}
                await infer(scope, receive, send)

        if not self._settings.cors_origins:
            return routed
        shared = CORSMiddleware(
            routed,
            allow_origins=list(self._settings.cors_origins),
            allow_methods=["GET", "POST"],
            allow_headers=["*"],
            expose_headers=[inference.JSON_LENGTH.decode()],
        )

        async def with_origins(scope: Scope, receive: Receive, send: Send) -> None:
            scope.pop(ANSWER, None)  # the middleware adds its headers to what goes through `send`
            await shared(scope, receive, send)

        return with_origins

    def _chosen(self, scope: Scope) -> Model:
        parameters = scope.get("path_params", {})
        version = parameters.get("version", inference.VERSION)
        if version != inference.VERSION:
            raise RequestError(404, f"there is no version {version!r}; a model has version {inference.VERSION} only")
        return self._repository.get(parameters.get("model"))

    # The Open Inference Protocol

    async def _infer(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._requests >= self.limits.waiting_requests:
            raise RequestError(503, FULL)
        model = self._chosen(scope)
        self._requests += 1
        waiting = self._waiting["tensors"]
        waiting.inc()
        try:
            body = await read_body(scope, receive, self.limits, self._memory, self._reader.run)
            manifest = model.classifier.manifest
            asked = body, header(scope, inference.JSON_LENGTH), manifest, self.limits.images
            if len(body) <= INLINE_BYTES:
                request = inference.parse(*asked)
            else:
                request = await self._reader.run(inference.parse, *asked)
            pixels = request.pixels if request.pixels is not None else await self._pixels(model, request.pictures or [])
            future = model.batcher.submit(pixels)
            cancel_with_client(scope, future)
            outputs = await future
        finally:
            self._requests -= 1
            waiting.dec()
        given = model.name, request, outputs, manifest.labels
        if len(outputs.logits) <= _INLINE_ANSWERS:
            text, kind, headers = inference.answer(*given)
        else:
            text, kind, headers = await self._reader.run(inference.answer, *given)
        await respond(scope, send, text, kind=kind, headers=headers)

    async def _pixels(self, model: Model, files: list[bytes]) -> bytes:
        """The images of picture files that came as a tensor: all of them, or the first error."""
        if self._pictures >= self.limits.waiting_pictures:
            raise RequestError(503, FULL)
        if len(files) > self.limits.pictures:
            raise RequestError(413, f"{len(files)} pictures came; send at most {self.limits.pictures} in a request")
        found = [Upload(f"picture {at}", each) for at, each in enumerate(files)]
        uploads.check_recipe(model, found)
        self._pictures += 1
        try:
            seen = await self._reader.images(found)
        finally:
            self._pictures -= 1
        for each in seen:
            if isinstance(each, PictureError):
                raise each
        return b"".join([each.image.tobytes() for each in seen if not isinstance(each, PictureError)])

    async def _server(self, scope: Scope, receive: Receive, send: Send) -> None:
        facts = {"name": "edge", "version": edge.__version__, "extensions": list(inference.EXTENSIONS)}
        await respond_json(scope, send, facts)

    async def _live(self, scope: Scope, receive: Receive, send: Send) -> None:
        await respond_json(scope, send, {"live": True})

    async def _ready(self, scope: Scope, receive: Receive, send: Send) -> None:
        await respond_json(scope, send, {"ready": True})

    async def _models(self, scope: Scope, receive: Receive, send: Send) -> None:
        models = self._repository.models.values()
        await respond_json(scope, send, {"models": [model.facts() for model in models]})

    async def _model(self, scope: Scope, receive: Receive, send: Send) -> None:
        model = self._chosen(scope)
        await respond_json(scope, send, inference.metadata(model.name, model.classifier.manifest))

    async def _model_ready(self, scope: Scope, receive: Receive, send: Send) -> None:
        await respond_json(scope, send, {"name": self._chosen(scope).name, "ready": True})

    # Pictures

    async def _predict(self, scope: Scope, receive: Receive, send: Send) -> None:
        asked = query(scope)
        top = positive("top", asked.get("top"))
        shows_image = asked.get("image", "").lower() in {"1", "true", "yes"}

        async def work(model: Model, found: list[Upload]) -> list[str]:
            answered = await uploads.answers(model, self._reader, found)
            lines = [json_line(each, top) for each in answered]
            return list(map(uploads.with_image, lines, answered)) if shows_image else lines

        await self._with_pictures(scope, receive, send, work)

    async def _read(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._with_pictures(scope, receive, send, self._in_threads(uploads.page_record))

    async def _explain(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._with_pictures(scope, receive, send, self._in_threads(uploads.explanation_record))

    def _in_threads(self, record: Callable[[Model, Upload], dict[str, Any]]) -> Work:
        async def work(model: Model, found: list[Upload]) -> list[str]:
            records = await asyncio.gather(*(self._reader.run(record, model, each) for each in found))
            return [json.dumps(each, allow_nan=False) for each in records]

        return work

    async def _with_pictures(self, scope: Scope, receive: Receive, send: Send, work: Work) -> None:
        """Reads the pictures of a request and answers with what `work` says of them, JSON for each.

        A form gets an array, a record for each of its files; another body one record, with status 422 where it is an
        error.
        """
        if self._pictures >= self.limits.waiting_pictures:
            raise RequestError(503, FULL)
        model = self._repository.get(query(scope).get("model"))
        self._pictures += 1
        waiting = self._waiting["pictures"]
        waiting.inc()
        try:
            body = await read_body(scope, receive, self.limits, self._memory, self._reader.run)
            kind = header(scope, b"content-type")
            found = await uploads.received(body, kind, self.limits)
            uploads.check_recipe(model, found)
            task = asyncio.ensure_future(work(model, found))
            cancel_with_client(scope, task)
            records = await task
        finally:
            self._pictures -= 1
            waiting.dec()
        if kind.lower().startswith(uploads.MULTIPART):
            await respond(scope, send, f"[{', '.join(records)}]".encode())
        else:
            status = 422 if '"error"' in records[0] and "error" in json.loads(records[0]) else 200
            await respond(scope, send, records[0].encode(), status=status)

    # The page, the documents and the figures

    async def _static(self, scope: Scope, receive: Receive, send: Send) -> None:
        names = {"/": "index.html", "/docs": "docs.html"}
        name = names.get(scope["path"]) or scope["path_params"]["file"]
        if name not in self._page:
            raise RequestError(404, f"nothing is at {scope['path']}; /docs lists what is")
        content, kind = self._page[name]
        await respond(scope, send, content, kind=kind, headers=list(_PAGE))

    async def _document(self, scope: Scope, receive: Receive, send: Send) -> None:
        await respond(scope, send, self._openapi)

    async def _figures(self, scope: Scope, receive: Receive, send: Send) -> None:
        await respond(scope, send, self._metrics.text(), kind=CONTENT_TYPE.encode())


class _Endpoint:
    """A handler as an application of its own, which Starlette's routes call without a request object."""

    def __init__(self, path: str, handler: Handler) -> None:
        self._path = path
        self._handler = handler

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope[ROUTE] = self._path
        await self._handler(scope, receive, send)


def _page_files() -> dict[str, tuple[bytes, bytes]]:
    """The files of the page, with their types: they are small, and are read once."""
    folder = resources.files("edge.service") / "web"
    found = {}
    for file in folder.iterdir():
        suffix = "." + file.name.rpartition(".")[2]
        if suffix in _KINDS:
            found[file.name] = file.read_bytes(), _KINDS[suffix]
    return found
