"""Pictures in, columns out: what an engine such as Ray Data, Dask or Spark calls on each batch of its rows."""

import math
import os
import threading
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edge.bundle import shipped
from edge.errors import InputError, PictureError, UnreadablePictureError
from edge.picture.paths import Found
from edge.session.providers import Provider

if TYPE_CHECKING:
    from edge.classifier.classifier import Classifier
    from edge.picture.luminance import Prepared

Column = NDArray[Any]

# How columns of pictures are called.
BYTES = "bytes"
PATH = "path"

_loading = threading.Lock()


class Reader:
    """Reads batches of pictures; an error is a value in a column, and stops nothing.

    It travels to other processes as its settings, and loads its bundle in each when the first batch comes: once, and
    for all threads of that process.

    Args:
        model: a shipped name such as "lstm-int8", or the path of a bundle that each process can read.
        provider: "auto" for CUDA where it works and the CPU elsewhere; "cpu", "cuda" or another means that or an error.
        threads: cores to use at most in each process; None takes all. One is right where an engine starts a process
            for each core.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] = shipped.DEFAULT,
        *,
        provider: Provider = "cpu",
        threads: int | None = 1,
    ) -> None:
        self.model = os.fspath(model)
        self.provider = provider
        self.threads = threads

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, Column]:
        """Reads the pictures of a batch.

        Args:
            batch: columns by name, such as a dictionary of arrays or a pandas DataFrame: `bytes`, each a picture file,
                or `path`, each a path or an address such as `s3://bucket/7.png`. If both are there, the bytes are read
                and the path is only their name.

        Returns:
            The columns of the batch without `bytes`, and behind them `label` (text), `confidence` (float32, 0 to 1),
            `probabilities` (a float32 array for each row, in the order of the bundle's labels), `rejected` (bool),
            `score` (float64) and `error` (text). In a row with an error, label and probabilities are None, the numbers
            NaN, and rejected is false; in others the error is None.

        Raises:
            InputError: the batch has neither column.
            BundleError: there is no such bundle, or it cannot be used.
            ProviderError: the provider cannot run the model, or onnxruntime failed.
            MissingExtraError: a path is an address, and fsspec is not installed.
        """
        from edge.classifier.answers import answer

        names = list(batch)
        if BYTES not in names and PATH not in names:
            raise InputError(f"the batch has the columns {', '.join(map(str, names)) or 'none'}; give bytes or path")
        contents = list(batch[BYTES]) if BYTES in names else None
        called = [str(name) for name in batch[PATH]] if PATH in names else _numbered(contents or ())
        found = [Found(name) for name in called]
        read = _read_paths if contents is None else lambda block: _read_bytes(block, contents)
        told = answer(_classifier(self.model, self.provider, self.threads), found, read) if found else []
        predictions = [each.prediction for each in told]
        columns = {str(name): np.asarray(batch[name]) for name in names if name != BYTES}
        return columns | {
            "label": _objects(each and each.label for each in predictions),
            "confidence": np.array([math.nan if each is None else each.confidence for each in predictions], np.float32),
            "probabilities": _objects(each and np.array(each.shares, np.float32) for each in predictions),
            "rejected": np.array([each is not None and each.rejected for each in predictions], np.bool_),
            "score": np.array(
                [math.nan if each is None or each.score is None else each.score for each in predictions], np.float64
            ),
            "error": _objects(each.error and str(each.error) for each in told),
        }


def _read_paths(block: Sequence[Found]) -> "list[Prepared | PictureError]":
    from edge.batch import inputs

    return inputs.read_digits(block)


def _read_bytes(block: Sequence[Found], contents: Sequence[Any]) -> "list[Prepared | PictureError]":
    """The images of pictures whose bytes are there; the errors say what each is called."""
    from edge.batch import inputs
    from edge.picture import preprocessing

    good = [bytes(each) for each in contents if isinstance(each, bytes | bytearray | memoryview)]
    outcomes = iter(preprocessing.read_digits(good))
    images: list[Prepared | PictureError] = []
    for each, content in zip(block, contents, strict=True):
        if not isinstance(content, bytes | bytearray | memoryview):
            images.append(UnreadablePictureError(f"{each.path} holds no bytes; give those of a picture file"))
            continue
        outcome = next(outcomes)
        images.append(inputs.named(outcome, each.path) if isinstance(outcome, PictureError) else outcome)
    return images


def _numbered(contents: Sequence[object]) -> list[str]:
    return [f"picture {at} of the batch" for at in range(len(contents))]


def _objects(values: Iterable[object]) -> Column:
    """An array of one axis, whatever its values are."""
    found = list(values)
    column = np.empty(len(found), np.object_)
    for at, value in enumerate(found):
        column[at] = value
    return column


def _classifier(model: str, provider: Provider, threads: int | None) -> "Classifier":
    with _loading:  # two threads that come first at the same time
        return _load(model, provider, threads)


@lru_cache(maxsize=4)
def _load(model: str, provider: Provider, threads: int | None) -> "Classifier":
    from edge.classifier.classifier import load

    classifier = load(model, provider=provider, threads=threads)
    classifier.manifest.check_pictures()
    return classifier
