"""Many pictures: read and classified a block at a time, several blocks side by side, the answers in order.

A worker reads a block of pictures and runs it through the model, which lets go of Python's lock, so that the next
worker reads meanwhile. A window of blocks is on its way at any time: pictures without end need no more memory, and the
first answers come while the last pictures are still on the disk.
"""

import json
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edge.classifier.classifier import Classifier
from edge.classifier.prediction import Prediction
from edge.errors import NoDigitError, PictureError, SeveralDigitsError
from edge.picture.luminance import Prepared
from edge.picture.paths import Found, stoppable
from edge.session.batching import LEAST_IMAGES_PER_THREAD, startable_threads

if TYPE_CHECKING:
    from concurrent.futures import Future

# Blocks grow: the first answers come soon, and later ones are worth a batch, the largest that one thread runs alone.
FIRST_BLOCK = 4
LARGEST_BLOCK = 2 * LEAST_IMAGES_PER_THREAD - 1

# How long a thread may keep Python's lock while another waits for it, seconds. Reading takes it for some ten
# microseconds at a time, and whoever comes back from the model would wait for the usual 5 ms: as long as a block takes.
SWITCH_SECONDS = 2e-4

# Below this, starting threads takes longer than the pictures.
FEWEST_FOR_THREADS = 16

# Blocks on their way for each worker: one that it works on, and one that waits, so that it never does.
_BLOCKS_PER_WORKER = 2

_FLOAT32 = ".9g"  # nine digits tell any two float32 values apart
_quoted = cache(json.dumps)  # labels and names, which repeat in every line

Read = Callable[[Sequence[Found]], list[Prepared | PictureError]]


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of one picture: a prediction, or the error that kept it from one.

    Attributes:
        path: of the picture, or "-".
        image: uint8 (28, 28), what the model saw; None with an error.
        prediction: what it shows; None with an error.
        error: why it could not be read; None otherwise.
    """

    path: str
    image: NDArray[np.uint8] | None = None
    prediction: Prediction | None = None
    error: PictureError | None = None


def answers(
    classifier: Classifier,
    found: Sequence[Found],
    read: Read,
    *,
    workers: int,
    cut: Callable[[Sequence[Found]], Iterator[Sequence[Found]]] | None = None,
) -> Iterator[list[Answer]]:
    """Classifies pictures.

    Args:
        classifier: the model.
        found: the pictures, in the order in which they are wanted.
        read: gives for each picture of a block what the model sees, or why there is nothing; called from
            several threads at once, if there are more workers than one.
        workers: blocks worked on at a time, at least 1.
        cut: cuts the pictures into blocks; `blocks` without. Which pictures are in a block together can be seen in the
            last digit of their probabilities.

    Yields:
        The answers to one block after the other, in the order of the pictures, as soon as they are there.

    Raises:
        ProviderError: onnxruntime failed.
    """
    if workers == 1 or len(found) < FEWEST_FOR_THREADS or (workers := startable_threads(workers)) < 2:
        for block in (cut or blocks)(found):
            yield answer(classifier, block, read)
        return
    from concurrent.futures import ThreadPoolExecutor  # not for a single picture

    waiting = (cut or blocks)(found)
    usual = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_SECONDS)
    pool = ThreadPoolExecutor(workers, thread_name_prefix="edge-read")
    left = threading.Event()

    def work(block: Sequence[Found]) -> list[Answer]:
        with stoppable(left):
            return answer(classifier, block, read)

    try:
        window: deque[Future[list[Answer]]] = deque(
            pool.submit(work, block) for block in islice(waiting, workers * _BLOCKS_PER_WORKER)
        )
        while window:
            done = window.popleft().result()
            window.extend(pool.submit(work, block) for block in islice(waiting, 1))
            yield done
    finally:
        left.set()  # of a run that ends early, a block of photographs would take seconds
        pool.shutdown(cancel_futures=True)
        sys.setswitchinterval(usual)


def blocks(found: Sequence[Found]) -> Iterator[Sequence[Found]]:
    """Cuts pictures into blocks that grow to a batch."""
    start, size = 0, FIRST_BLOCK
    while start < len(found):
        yield found[start : start + size]
        start, size = start + size, min(2 * size, LARGEST_BLOCK)


def answer(classifier: Classifier, block: Sequence[Found], read: Read) -> list[Answer]:
    """Reads the pictures of a block and classifies them in one run.

    Args:
        classifier: the model.
        block: at least one picture.
        read: as for `answers`.

    Returns:
        An answer for each, in their order.

    Raises:
        ProviderError: onnxruntime failed.
    """
    seen = read(block)
    good = [each for each in seen if not isinstance(each, PictureError)]
    predictions: Iterator[Prediction] = iter(())
    if good:
        images, likeness = zip(*good, strict=True)
        predictions = iter(classifier.predictions(np.stack(images), likeness))
    return [
        Answer(each.path, error=one)
        if isinstance(one, PictureError)
        else told(each.path, one, next(predictions), classifier)
        for each, one in zip(block, seen, strict=True)
    ]


def told(path: str, seen: Prepared, prediction: Prediction, classifier: Classifier) -> Answer:
    """The answer to a picture that was read: its prediction, or that it shows digits that touch.

    Args:
        path: of the picture.
        seen: what the model saw.
        prediction: what it said.
        classifier: the model.

    Raises:
        ProviderError: onnxruntime failed.
    """
    if classifier.doubts(prediction, seen.likeness):
        from edge.classifier.signs import count_digits  # few pictures are doubted

        if (digits := count_digits(seen.image, classifier)) > 1:
            return Answer(path, error=SeveralDigitsError(path, digits))
    return Answer(path, seen.image, prediction)


def json_line(answer: Answer, top: int | None = None) -> str:
    """An answer as a line of JSON, as `edge predict --json` prints it.

    It is written by hand: json.dumps takes four times as long, for digits that a float32 does not have.

    Args:
        answer: what became of a picture.
        top: only so many of the most probable labels; all without.
    """
    prediction = answer.prediction
    if prediction is None:
        return json.dumps({"path": answer.path, **failure(answer.error)})
    shares = prediction.probabilities.items() if top is None else prediction.top(top)
    probabilities = ", ".join([f"{_quoted(label)}: {share:{_FLOAT32}}" for label, share in shares])
    return (
        f'{{"path": {json.dumps(answer.path)}, "label": {_quoted(prediction.label)}, '
        f'"confidence": {prediction.confidence:{_FLOAT32}}, "probabilities": {{{probabilities}}}, '
        f'"model": {_quoted(prediction.model)}, "provider": {_quoted(prediction.provider)}, '
        f'"rejected": {_quoted(prediction.rejected)}, "score": {json.dumps(prediction.score)}}}'
    )


def failure(error: PictureError | None) -> dict[str, str | int]:
    """Why a picture has no answer, as plain values: the message, and how many digits there are, if that is it."""
    digits = {"digits": error.digits} if isinstance(error, NoDigitError | SeveralDigitsError) else {}
    return {"error": str(error), **digits}
