"""Picture files out of request bodies, and what becomes of them: labels, lines of digits, explanations.

Reading a picture takes a hundred times as long as the model, so it happens in threads beside the event loop. The 28x28
images then go through the model's batcher, together with everybody else's.
"""

import asyncio
import base64
import functools
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from edge.bundle.input import COLUMNS, ROWS
from edge.classifier.answers import Answer, failure, told
from edge.classifier.page import read_grey_page, read_page
from edge.classifier.prediction import Prediction
from edge.errors import BundleError, NoDigitError, PictureError
from edge.explanation import explain_image
from edge.picture import preprocessing
from edge.picture.luminance import Prepared
from edge.service.microbatching import IMAGE_BYTES
from edge.service.repository import Model
from edge.service.requests import Limits, RequestError

T = TypeVar("T")

MULTIPART = b"multipart/form-data"
IMAGE = b"application/octet-stream"
"""Content type of a body of exactly 784 bytes: an image as the model sees it."""


@dataclass(frozen=True, slots=True)
class Upload:
    """One picture of a request.

    Attributes:
        name: as the client called it; "-" where it did not.
        content: the bytes of the file.
        image: uint8 (28, 28) where the body was an image already; None for files.
    """

    name: str
    content: bytes
    image: NDArray[np.uint8] | None = None


class _Parser(MultiPartParser):
    """Parts stay in memory: the body is there already, and its size is limited."""

    spool_max_size = 2**62


async def received(body: bytes, content_type: bytes, limits: Limits) -> list[Upload]:
    """The pictures of a body: the parts of a form that are files, or the body itself.

    Raises:
        RequestError: no picture, too many, or a form that is damaged.
    """
    kind = content_type.partition(b";")[0].strip().lower()
    if kind != MULTIPART:
        if not body:
            raise RequestError(400, "the body is empty; send a picture file, or a form with one or several")
        if kind == IMAGE and len(body) == IMAGE_BYTES:
            return [Upload("-", body, np.frombuffer(body, np.uint8).reshape(ROWS, COLUMNS))]
        return [Upload("-", body)]

    async def once() -> Any:  # noqa: ANN401 - an async generator of bytes
        yield body

    headers = Headers(raw=[(b"content-type", content_type)])
    parser = _Parser(
        headers, once(), max_files=limits.pictures, max_fields=limits.pictures, max_part_size=limits.body_bytes
    )
    try:
        form = await parser.parse()
    except (MultiPartException, KeyError) as error:
        message = getattr(error, "message", "it has no boundary")
        status = 413 if "Too many" in str(message) else 400
        raise RequestError(
            status, f"the form cannot be read: {message}; send at most {limits.pictures} files"
        ) from error
    files = [value for _, value in form.multi_items() if isinstance(value, UploadFile)]
    found = [Upload(each.filename or "-", each.file.read()) for each in files]
    await form.close()
    if not found:
        raise RequestError(400, "the form has no file; add a part with a file name for each picture")
    return found


def check_recipe(model: Model, found: list[Upload]) -> None:
    """Refuses picture files where they would not look as the model expects; images are what they are.

    Raises:
        RequestError: 501, the bundle was made with a later picture recipe than this edge knows.
    """
    if all(upload.image is not None for upload in found):
        return
    try:
        model.classifier.manifest.check_pictures()
    except BundleError as error:
        raise RequestError(501, str(error)) from error


class UploadReader:
    """Reads pictures in threads.

    Args:
        threads: that read side by side.
    """

    def __init__(self, threads: int) -> None:
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="edge-read")

    async def run(self, function: Callable[..., T], *arguments: Any) -> T:  # noqa: ANN401
        """Calls a function in one of the threads; it is not called at all where the request is cancelled before."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, functools.partial(function, *arguments))

    async def images(self, found: list[Upload]) -> list[Prepared | PictureError]:
        """What the model sees of each picture, or why it cannot be read."""
        return list(await asyncio.gather(*(self.run(_seen, each) for each in found)))

    def close(self) -> None:
        """Lets go of the threads."""
        self._executor.shutdown(wait=False, cancel_futures=True)


def _seen(upload: Upload) -> Prepared | PictureError:
    if upload.image is not None:
        return Prepared(upload.image)
    try:
        return preprocessing.read_digit(BytesIO(upload.content))
    except PictureError as error:
        return error


async def answers(model: Model, reader: UploadReader, found: list[Upload]) -> list[Answer]:
    """What becomes of each picture; the images go through the model's batcher."""
    seen = await reader.images(found)
    good = [each for each in seen if not isinstance(each, PictureError)]
    predictions: Iterator[Prediction] = iter(())
    if good:
        outputs = await model.batcher.submit(b"".join([each.image.tobytes() for each in good]))
        predictions = iter(model.classifier.to_predictions(*outputs, [each.likeness for each in good]))
    return [
        Answer(upload.name, error=each)
        if isinstance(each, PictureError)
        else await _told(model, reader, upload, each, next(predictions))
        for upload, each in zip(found, seen, strict=True)
    ]


async def _told(model: Model, reader: UploadReader, upload: Upload, seen: Prepared, prediction: Prediction) -> Answer:
    """The answer to a picture; one that is doubted is looked at again beside the event loop."""
    if upload.image is None and model.classifier.doubts(prediction, seen.likeness):
        return await reader.run(told, upload.name, seen, prediction, model.classifier)
    return Answer(upload.name, seen.image, prediction)


def with_image(line: str, answer: Answer) -> str:
    """An answer's line of JSON, with the image that the model saw in base64."""
    if answer.image is None:
        return line
    return f'{line[:-1]}, "image": "{base64.b64encode(answer.image.tobytes()).decode()}"}}'


def page_record(model: Model, upload: Upload) -> dict[str, Any]:
    """Every digit of a picture, as `edge read --json` prints it; called beside the event loop."""
    try:
        if upload.image is not None:
            page = read_grey_page(upload.image, model.classifier)
        else:
            page = read_page(BytesIO(upload.content), model.classifier)
        if not page.lines:
            raise NoDigitError(upload.name, len(page.unread))
    except PictureError as error:
        return {"path": upload.name, **failure(error)}
    lines, unread = page.record(), page.unread_record()
    of_model = {"model": model.name, "provider": model.classifier.provider}
    return {"path": upload.name, "lines": lines, "unread": unread, **of_model}


def explanation_record(model: Model, upload: Upload) -> dict[str, Any]:
    """Why a picture is read as it is, as `edge explain --json` prints it; called beside the event loop."""
    seen = _seen(upload)
    if isinstance(seen, PictureError):
        return {"path": upload.name, **failure(seen)}
    found = explain_image(seen.image, model.classifier, upload.name, seen.likeness)
    return {"path": upload.name, **found.record()}
