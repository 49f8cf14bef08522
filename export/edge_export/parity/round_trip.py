"""The packed bundle as a device sees it: from its bytes, through the thin runtime, and from picture files."""

import dataclasses
import tempfile
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edge.bundle import bundle
from edge.bundle.manifest import Precision
from edge.classifier import classifier
from edge.classifier.classifier import Classifier
from edge.picture import preprocessing
from edge_export.parity import comparison
from edge_export.parity.comparison import ParityError, ParityRow, Reference

FILES = 200  # pictures that go through a PNG file: decoding is the same for the next thousand


def compare(packed: bytes, precision: Precision, reference: Reference) -> list[ParityRow]:
    """The bundle is held against PyTorch: the digits as tensors, and the first of them as PNG files.

    A file may not change an answer at all: the files are held to the same pictures as tensors, not to a share of them.

    Args:
        packed: the bytes of the bundle.
        precision: decides the tolerance.
        reference: PyTorch's answers.

    Returns:
        The row of the tensors, and the row of the files where there are any.

    Raises:
        ParityError: a tolerance is broken, or a PNG does not come back as it was written.
    """
    images = reference.split.images
    shown = reference.only(_as_files(images))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "packed.onnx"
        bundle.write(path, packed)
        loaded = classifier.load(path, provider="cpu")
        pictures = [_through_png(image, Path(folder)) for image in shown.split.images]
    read = np.array(pictures, np.uint8).reshape(shown.split.images.shape)
    if not np.array_equal(read, shown.split.images):
        raise ParityError("a 28x28 PNG does not come back as it was written; report this, it is a defect of edge")
    runtime = comparison.row(
        "runtime",
        precision,
        reference,
        batch=comparison.BULK,
        logits=loaded.logits(images),
        probabilities=loaded.classify(images),
    )
    rows = [runtime, *([_files(loaded, precision, shown, read)] if len(read) else [])]
    if not all(row.passed for row in rows):
        raise ParityError(comparison.refusal(rows, ""))
    return rows


def _files(loaded: Classifier, precision: Precision, shown: Reference, read: NDArray[np.uint8]) -> ParityRow:
    """The row of pictures that were read from files, against the same pictures as tensors."""
    from_files = np.concatenate([loaded.logits(image) for image in read])
    from_tensors = np.concatenate([loaded.logits(image) for image in shown.split.images])
    probabilities = [list(loaded.predict_image(image).probabilities.values()) for image in read]
    row = comparison.row(
        "PNG file",
        precision,
        shown,
        batch=1,
        logits=from_files,
        probabilities=np.array(probabilities, np.float32),
    )
    changed = int((from_files != from_tensors).any(1).sum())
    failures = (f"{changed} of {len(read)} pictures give other logits as files",) if changed else ()
    return dataclasses.replace(row, failures=failures)


def _as_files(images: NDArray[np.uint8]) -> NDArray[np.int64]:
    """The first pictures that a 28x28 file stands for bit for bit.

    One whose border is not dark, such as a coat that fills its picture, would be taken for a photograph of something.
    """
    ready = (index for index, image in enumerate(images) if preprocessing.is_ready(image))
    return np.array(list(islice(ready, FILES)), np.int64)


def _through_png(image: NDArray[np.uint8], folder: Path) -> NDArray[np.uint8]:
    path = folder / "digit.png"
    Image.fromarray(image).save(path)
    return preprocessing.read(path)
