"""The images that an export is evaluated on: those that the model was trained for where they are at hand."""

import dataclasses
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.bundle.input import DIGITS
from edge_train import strokes
from edge_train.data import datasets, published
from edge_train.data.datasets import MNIST, STROKES, Dataset
from edge_train.data.splits import DataError, Split

STROKE_IMAGES = 2000
PARITY_SEED = 2_001
CALIBRATION_SEED = 2_002
CALIBRATION_IMAGES = 1000  # ranges of activations settle well below this

AUTO = "auto"


@dataclass(frozen=True, slots=True)
class EvaluationData:
    """What an export needs of data.

    Attributes:
        parity: validation data, which decides whether the tolerances hold.
        calibration: uint8 (N, 28, 28), training data, for the ranges of activations.
        calibration_name: what that is called.
        test: decides nothing, and is only reported; `None` for strokes.
        labels: what the labels of the splits are called.
    """

    parity: Split
    calibration: NDArray[np.uint8]
    calibration_name: str
    test: Split | None
    labels: tuple[str, ...] = DIGITS

    def in_order(self, labels: tuple[str, ...]) -> "EvaluationData":
        """The same data with its labels in the order of the model's, where both have the same ones.

        Args:
            labels: of the model, in the order of its logits.
        """
        if self.labels == labels or sorted(self.labels) != sorted(labels):
            return self
        order = np.array([labels.index(label) for label in self.labels], np.int64)

        def turned(split: Split) -> Split:
            return Split(split.name, split.images, order[split.labels])

        test = None if self.test is None else turned(self.test)
        return dataclasses.replace(self, parity=turned(self.parity), test=test, labels=labels)


def find(
    data: str, folder: Path | None, *, trained_on: str | None = None, labels: tuple[str, ...] = DIGITS
) -> EvaluationData:
    """Finds the images that a model is evaluated on.

    Args:
        data: what `edge train --data` takes, or "auto": what the model was trained on; for digits MNIST where it is
            already on this machine, strokes otherwise.
        folder: where published sets are; `None` is `published.default_folder()`.
        trained_on: what the checkpoint says of its data; `None` where it says nothing.
        labels: of the model; empty where nobody named them, so that those of the data are taken.

    Raises:
        DataError: the data is not there, a file of it is damaged, or a folder has other classes than the model.
    """
    folder = folder or published.default_folder()
    if data == AUTO and trained_on not in (None, MNIST, STROKES):
        source = _trained_on(str(trained_on), folder)
    elif data == STROKES or (data == AUTO and published.find("mnist", folder) is None):
        return _strokes(STROKE_IMAGES, CALIBRATION_IMAGES)
    else:
        source = datasets.find(MNIST if data == AUTO else data, folder, fetch=data != AUTO)
    if labels and source.data not in datasets.NAMES and sorted(source.labels) != sorted(labels):
        raise DataError(
            f"the folder {source.data} has the classes {', '.join(source.labels)}, and the model {', '.join(labels)}; "
            "name the folder that it was trained on with --data, or its classes with --labels"
        )
    training, validation = source.splits()
    chosen = np.linspace(0, len(training) - 1, min(CALIBRATION_IMAGES, len(training))).astype(np.int64)
    return EvaluationData(validation, training.images[chosen], training.name, source.test(), source.labels)


def _trained_on(data: str, folder: Path) -> Dataset:
    """The data that the checkpoint names: never fetched, and nothing else in its place."""
    try:
        return datasets.find(data, folder, fetch=False)
    except DataError as error:
        raise DataError(
            f"the model was trained on {data}, which is not here; name its folder with --data, or take --data strokes, "
            "which says nothing about accuracy"
        ) from error


@cache
def _strokes(count: int, calibration_count: int) -> EvaluationData:
    """Drawn once: a sweep exports many models, and each is judged on the same images, which nobody writes to."""
    images, labels = strokes.sample(count, seed=PARITY_SEED)
    calibration, _ = strokes.sample(calibration_count, seed=CALIBRATION_SEED)
    for array in (images, labels, calibration):
        array.flags.writeable = False
    return EvaluationData(Split("strokes-parity", images, labels), calibration, "strokes-calibration", None)
