"""When an answer is none: fitted on validation digits, so that next to none of them is rejected."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from edge.bundle.manifest import Rejection
from edge.classifier.prediction import Scorer, distances, energies
from edge_train.data.splits import Split

MOST_REJECTED = 0.01  # of the validation digits
TAIL = 0.0075  # the lowest digits, by which energy and distance are brought to one scale
# Of a model that says the same of every digit: the energy of log-probabilities is 0, but for what float32 rounds.
LEAST_SPREAD = 1e-3
LEAST_VARIANCE = 1e-6
DIGITS = 3  # significant, of every number in the manifest
# The lowest of n scores is what one good picture in n falls below: of fewer, more than the share would be rejected.
LEAST_IMAGES = 100
MOST_CLASSES = 32  # the centres and the covariance grow with the square, and are bytes of the manifest
RIDGE = 1e-3  # of the mean variance: the logits of a class may lie in a plane


def fit(logits: NDArray[np.float32], split: Split) -> Rejection | None:
    """The scores of validation digits say below which one an answer is none.

    Args:
        logits: float32 (N, classes), of the graph that is packed.
        split: the N validation images that they belong to.

    Returns:
        What the manifest holds of it; `None` where there are too few images to tell, or too many classes to keep.
    """
    classes = logits.shape[1]
    if len(split) < LEAST_IMAGES or classes > MOST_CLASSES or len(np.unique(split.labels)) < classes:
        return None
    centres = np.stack([logits[split.labels == label].mean(axis=0, dtype=np.float64) for label in range(classes)])
    covariance = np.cov((logits - centres[split.labels]).T)
    covariance += max(RIDGE * np.trace(covariance) / classes, LEAST_VARIANCE) * np.eye(classes)
    # The factor bears rounding better than the inverse itself, whose large entries nearly cancel.
    centres, whitening = (
        _rounded(centres),
        _rounded(np.asarray(np.linalg.cholesky(np.linalg.inv(covariance)), np.float64)),
    )
    energy, distance = energies(logits), distances(logits, centres, whitening)
    open_to_all = Rejection(
        threshold=-np.inf,
        energy=_middle_and_spread(energy),
        distance=_middle_and_spread(distance, upper=True),
        centres=_rows(centres),
        whitening=tuple(row[: position + 1] for position, row in enumerate(_rows(whitening))),
        data=split.name,
        images=len(split),
        rejected=0.0,
    )
    found = Scorer.of(open_to_all).scores(logits)
    lowest = np.sort(found)[int(MOST_REJECTED * len(found))]  # fewer than the share lie below it
    threshold = float(np.floor(lowest * 1000) / 1000)
    return replace(open_to_all, threshold=threshold, rejected=round(float((found < threshold).mean()), 4))


def _middle_and_spread(values: NDArray[np.float64], *, upper: bool = False) -> tuple[float, float]:
    """The median, and how far the unlikeliest digits lie below it, or above."""
    middle = np.median(values)
    edge = np.quantile(values, 1 - TAIL if upper else TAIL)
    middle, spread = _rounded(np.array([middle, max(abs(edge - middle), LEAST_SPREAD)]))
    return float(middle), float(spread)


def _rounded(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """To so many significant digits: more are noise, and bytes of the manifest."""
    return np.array([float(f"{value:.{DIGITS - 1}e}") for value in values.ravel()]).reshape(values.shape)


def _rows(matrix: NDArray[np.float64]) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(map(float, row)) for row in matrix)
