"""Whether a confidence means what it says: reliability by bins, and the expected calibration error."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# As in Guo et al., 2017; other numbers of bins give other errors, so it is no setting.
BINS = 15


@dataclass(frozen=True, slots=True)
class Calibration:
    """Answers sorted into bins of equal width by their confidence.

    `expected_error` is the mean distance of confidence and accuracy over the bins, weighted by their images: ECE.
    Empty bins have confidence and accuracy None.
    """

    temperature: float
    expected_error: float
    images: tuple[int, ...]
    confidence: tuple[float | None, ...]  # mean of a bin, in [0, 1]
    accuracy: tuple[float | None, ...]  # share of right answers in a bin, in [0, 1]


def softmax(logits: NDArray[np.floating], temperature: float = 1.0) -> NDArray[np.float64]:
    """Turns logits into probabilities.

    Args:
        logits: (N, classes).
        temperature: divides the logits first.

    Returns:
        float64 (N, classes), each row sums to 1.
    """
    scaled = np.asarray(logits, np.float64) / temperature
    exponentials = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    return np.asarray(exponentials / exponentials.sum(axis=1, keepdims=True), np.float64)


def measure(logits: NDArray[np.floating], labels: NDArray[np.int64], temperature: float = 1.0) -> Calibration:
    """The calibration of softmax(logits / temperature).

    Args:
        logits: (N, classes), N at least 1.
        labels: int64 (N,), columns of the logits.
        temperature: 1 is the network as it is.

    Source: Guo, Pleiss, Sun and Weinberger, 2017, On Calibration of Modern Neural Networks; bins (low, high].
    """
    probabilities = softmax(logits, temperature)
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    place = np.clip(np.ceil(confidence * BINS).astype(int) - 1, 0, BINS - 1)
    images = np.bincount(place, minlength=BINS)
    with np.errstate(invalid="ignore"):
        mean_confidence = np.bincount(place, confidence, BINS) / images
        accuracy = np.bincount(place, right, BINS) / images
    gaps = np.abs(mean_confidence - accuracy)[images > 0]
    return Calibration(
        temperature=temperature,
        expected_error=float((gaps * images[images > 0]).sum() / len(labels)),
        images=tuple(map(int, images)),
        confidence=_known(mean_confidence),
        accuracy=_known(accuracy),
    )


def _known(values: NDArray[np.float64]) -> tuple[float | None, ...]:
    return tuple(None if np.isnan(value) else round(float(value), 6) for value in values)
