"""The packed bundle as a device sees it: from its bytes, through the thin runtime, and from picture files."""

import dataclasses
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edge import bundle, classifier, picture
from edge_export import parity
from edge_export.parity import Comparison, ParityError, Reference
from edge_export.tolerances import Precision

FILES = 200  # pictures that go through a PNG file: decoding is the same for the next thousand


def compare(packed: bytes, precision: Precision, reference: Reference) -> list[Comparison]:
    """The bundle against PyTorch: the digits as tensors, and the first of them as PNG files.

    A file may not change an answer at all: the files are held to the same pictures as tensors, not to a share of them.

    Args:
        packed: the bytes of the bundle.
        precision: decides the tolerance.
        reference: PyTorch's answers.

    Raises:
        ParityError: a tolerance is broken, or a PNG does not come back as it was written.
    """
    images = reference.split.images
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "packed.onnx"
        bundle.write(path, packed)
        loaded = classifier.load(path, provider="cpu")
        read = np.stack([_through_png(image, Path(folder)) for image in images[:FILES]])
    if not np.array_equal(read, images[:FILES]):
        raise ParityError("a 28x28 PNG does not come back as it was written; report this, it is a defect of edge")
    from_files = np.concatenate([loaded.logits(image) for image in read])
    from_tensors = np.concatenate([loaded.logits(image) for image in images[:FILES]])
    runtime = parity.row(
        "runtime",
        precision,
        reference,
        batch=parity.BULK,
        logits=loaded.logits(images),
        probabilities=loaded.classify(images),
    )
    files = parity.row(
        "PNG file",
        precision,
        reference,
        batch=1,
        logits=from_files,
        probabilities=np.array(
            [list(loaded.predict_image(image).probabilities.values()) for image in read], np.float32
        ),
    )
    changed = int((from_files != from_tensors).any(1).sum())
    failures = (f"{changed} of {len(read)} pictures give other logits as files",) if changed else ()
    rows = [runtime, dataclasses.replace(files, failures=failures)]
    if not all(row.passed for row in rows):
        raise ParityError(parity.refusal(rows, ""))
    return rows


def _through_png(image: NDArray[np.uint8], folder: Path) -> NDArray[np.uint8]:
    path = folder / "digit.png"
    Image.fromarray(image).save(path)
    return picture.read(path)
