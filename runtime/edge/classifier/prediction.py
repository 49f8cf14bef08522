"""What logits say: the probabilities of the labels, the prediction, and how much an image looks like any label.

Softmax cannot say "none of these": a scribble gets a label, and often a confident one. Two things of the logits can.
Their energy is low where the model finds little of any label; and for each label, the logits of its images lie close
around a centre, of which other images stay clear. Neither is enough for every model: a convolutional one gives noise
more energy than digits, and a recurrent one parts scribbles better by energy than by distance. So both count: energy
where it is lower than usual, and the distance either way.

Sources: W. Liu et al., "Energy-based Out-of-distribution Detection", 2020; K. Lee et al., "A Simple Unified Framework
for Detecting Out-of-Distribution Samples and Adversarial Attacks", 2018.
"""

from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from edge.bundle.manifest import Rejection


class Prediction(NamedTuple):
    """What a picture shows.

    Attributes:
        label: the most probable label.
        confidence: its probability, 0 to 1.
        labels: those of the bundle.
        shares: probability of each, in their order.
        model: name of the bundle.
        provider: where it was computed, such as "cpu".
        score: how much the image looks like any label, about 0 for a usual digit and lower for others, and with it what
            reading knows of its picture; None where the bundle cannot say.
        rejected: whether that is so low that the image is probably none of the labels.
    """

    label: str
    confidence: float
    labels: tuple[str, ...]
    shares: tuple[float, ...]
    model: str
    provider: str
    score: float | None = None
    rejected: bool = False

    @property
    def probabilities(self) -> dict[str, float]:
        """Probability of each label, in the order of the manifest."""
        return dict(zip(self.labels, self.shares, strict=True))

    def top(self, count: int) -> list[tuple[str, float]]:
        """The most probable labels with their probabilities, best first; equal ones in the manifest's order."""
        ranked = sorted(zip(self.labels, self.shares, strict=True), key=lambda pair: -pair[1])
        return ranked[: max(count, 0)]


def softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Probabilities along the last axis, in float64: large logits do not overflow, and sums are 1 to fifteen digits.

    Args:
        logits: float64 (..., classes), divided by the temperature already.
    """
    powers: NDArray[np.float64] = np.exp(logits - logits.max(-1, keepdims=True))
    powers /= powers.sum(-1, keepdims=True)
    return powers


Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Scorer:
    """Computes scores from logits, for bundles whose graph does not: those of an older edge.

    Attributes:
        energy: median and spread of usual digits.
        distance: the same of the distance to the nearest centre.
        centres: float64 (classes, classes), the mean logits of each label's images, a row each.
        whitening: float64 (classes, classes), lower triangle L; L L^T is the inverse covariance about the centres.
    """

    energy: tuple[float, float]
    distance: tuple[float, float]
    centres: Floats
    whitening: Floats

    @classmethod
    def of(cls, facts: Rejection) -> Self:
        """The scorer of a bundle."""
        whitening = np.zeros((len(facts.whitening),) * 2)
        whitening[np.tril_indices(len(whitening))] = np.concatenate(facts.whitening)
        return cls(facts.energy, facts.distance, np.array(facts.centres), whitening)

    def scores(self, logits: NDArray[np.float32]) -> Floats:
        """The score of each image: about 0 for a usual digit, lower for what looks less like any label.

        Args:
            logits: float32 (N, classes).

        Returns:
            float64 (N,); below the threshold of the bundle's rejection an image is rejected.
        """
        middle, spread = self.energy
        lower = np.minimum((energies(logits) - middle) / spread, 0)
        middle, spread = self.distance
        nearer = (middle - distances(logits, self.centres, self.whitening)) / spread
        return np.asarray(lower + nearer)


def energies(logits: NDArray[np.float32]) -> Floats:
    """log(sum(exp(logits))) of each row, float64 (N,): the higher, the more the model finds of any label."""
    exact = logits.astype(np.float64)
    highest = exact.max(axis=1, keepdims=True)
    return np.asarray(highest[:, 0] + np.log(np.exp(exact - highest).sum(axis=1)))


def distances(logits: NDArray[np.float32], centres: Floats, whitening: Floats) -> Floats:
    """The Mahalanobis distance of each row to the nearest centre.

    Args:
        logits: float32 (N, classes).
        centres: float64 (classes, classes), a row each.
        whitening: float64 (classes, classes), lower triangle L; L L^T is the inverse covariance about the centres.

    Returns:
        float64 (N,), 0 or more.
    """
    apart = (logits.astype(np.float64)[:, None] - centres) @ whitening  # (N, classes, classes)
    return np.asarray(np.sqrt(np.square(apart).sum(axis=2).min(axis=1)))
