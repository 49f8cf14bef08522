"""The parts of a data set, and which pictures of MNIST and its successors are set aside for validation."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.errors import EdgeError

# The validation split is a fact of the project, not a setting: parity and calibration of an export rely on the same
# one that training chose its best epoch by.
VALIDATION_IMAGES = 5000
SPLIT_SEED = 28


class DataError(EdgeError):
    """A data set is missing, damaged or cannot be fetched."""


@dataclass(frozen=True, slots=True)
class Split:
    """Pictures and their labels.

    Attributes:
        name: as it stands in reports: "mnist-validation".
        images: uint8 (N, 28, 28), ink 255 on background 0.
        labels: int64 (N,), 0 to classes - 1.
    """

    name: str
    images: NDArray[np.uint8]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)


def divided(name: str, images: NDArray[np.uint8], labels: NDArray[np.int64]) -> tuple[Split, Split]:
    """Divides the training part of a published data set: the same 5 000 pictures are always set aside.

    Args:
        name: of the data set.
        images: uint8 (N, 28, 28), more than 5 000.
        labels: int64 (N,).

    Returns:
        Training and validation, each in the order of the files.
    """
    order = np.random.Generator(np.random.PCG64(SPLIT_SEED)).permutation(len(labels))
    training, validation = np.sort(order[VALIDATION_IMAGES:]), np.sort(order[:VALIDATION_IMAGES])
    return (
        Split(f"{name}-training", images[training], labels[training]),
        Split(f"{name}-validation", images[validation], labels[validation]),
    )
