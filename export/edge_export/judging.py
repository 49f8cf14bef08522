"""The pictures that an export is judged on: real digits where they are at hand, strokes otherwise."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_train import mnist, strokes
from edge_train.mnist import Split

STROKE_IMAGES = 2000
PARITY_SEED = 2_001
CALIBRATION_SEED = 2_002
CALIBRATION_IMAGES = 1000  # ranges of activations settle well below this


@dataclass(frozen=True, slots=True)
class JudgingData:
    """What an export needs of data.

    `parity`: decides whether the tolerances hold: validation data. `calibration`: uint8 (N, 28, 28), training data,
    for the ranges of activations. `test`: decides nothing, it is only reported; `None` where there is no MNIST.
    """

    parity: Split
    calibration: NDArray[np.uint8]
    calibration_name: str
    test: Split | None


def find(data: str, folder: Path | None) -> JudgingData:
    """The judging data by name: "mnist", "strokes", or "auto" for MNIST where it is already on this machine.

    Raises:
        DataError: "mnist" is asked for and not there, or a file of it is damaged.
    """
    folder = folder or mnist.default_folder()
    if data == "mnist" or (data == "auto" and mnist.find(folder) is not None):
        training, validation = mnist.load(folder, fetch=data == "mnist")
        chosen = np.linspace(0, len(training) - 1, CALIBRATION_IMAGES).astype(np.int64)
        return JudgingData(validation, training.images[chosen], training.name, mnist.load_test(folder, fetch=False))
    images, labels = strokes.sample(STROKE_IMAGES, seed=PARITY_SEED)
    calibration, _ = strokes.sample(CALIBRATION_IMAGES, seed=CALIBRATION_SEED)
    return JudgingData(Split("strokes-parity", images, labels), calibration, "strokes-calibration", None)
