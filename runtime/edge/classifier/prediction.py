"""What a model takes and what its logits say: images, checked; labels, probabilities, and what looks like no label.

Arrays that are no images are refused, and told how they become some.

Softmax cannot say "none of these": a scribble gets a label, and often a confident one. Two things of the logits can.
Their energy is low where the model finds little of any label; and for each label, the logits of its images lie close
around a centre, of which other images stay clear. Neither is enough for every model: a convolutional one gives noise
more energy than digits, and a recurrent one parts scribbles better by energy than by distance. So both count: energy
where it is lower than usual, and the distance either way.

Sources: W. Liu et al., "Energy-based Out-of-distribution Detection", 2020; K. Lee et al., "A Simple Unified Framework
for Detecting Out-of-Distribution Samples and Adversarial Attacks", 2018.
"""

import os
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edge.bundle.input import COLUMNS, INPUT, ROWS
from edge.bundle.manifest import Rejection
from edge.errors import InputError

Floats = NDArray[np.float64]

_UINT8 = np.dtype(INPUT.dtype)
_IMAGE = (ROWS, COLUMNS)
_ONE = (1, *_IMAGE)
_DARK = b"\0\1"
_MIDDLE = ROWS // 2  # the row in which most digits have ink

_EXPECTED = f"expected {INPUT.dtype} (N, {ROWS}, {COLUMNS}) with ink {INPUT.ink} on background {INPUT.background}"


def as_batch(images: ArrayLike) -> NDArray[np.uint8]:
    """Checks images and gives them a batch axis.

    Args:
        images: uint8 (N, 28, 28) or (28, 28).

    Returns:
        uint8 (N, 28, 28), contiguous; an array that is so already is not copied.

    Raises:
        InputError: another shape or type; the message says how to convert.
    """
    # One image as it should be: looking for what may be wrong takes a tenth of a small model's time.
    if type(images) is np.ndarray and images.dtype is _UINT8 and images.flags.c_contiguous:
        if images.shape == _IMAGE and images[_MIDDLE].tobytes().strip(_DARK):
            return images[None]
        if images.shape == _ONE and images[0, _MIDDLE].tobytes().strip(_DARK):
            return images
    array = images if type(images) is np.ndarray else _to_array(images)
    if array.dtype is not _UINT8 and array.dtype != _UINT8:
        raise InputError(f"{_kind(images, array)}, {_EXPECTED}; {_conversion(array)}")
    batch = array[None] if array.ndim == 2 else array
    if batch.ndim != 3 or batch.shape[1:] != _IMAGE:
        raise InputError(f"the images have shape {array.shape}, {_EXPECTED}; {_reshaping(array)}")
    if not batch.flags.c_contiguous:
        batch = np.ascontiguousarray(batch)
    if len(batch) > 0 and int(batch.max()) == 1:  # such an image is black to the eye and to the model
        raise InputError(f"the images hold 0 and 1 only, {_EXPECTED}; multiply them by {INPUT.ink}")
    return batch


def _to_array(images: ArrayLike) -> NDArray[np.uint8]:
    try:
        return np.asarray(images)
    except (ValueError, TypeError, RuntimeError) as error:
        raise InputError(_not_an_array(images, error)) from error


def _not_an_array(images: object, error: Exception) -> str:
    """Why `numpy.asarray` failed: lists of unequal lengths, or a tensor that is not in this process's memory."""
    if hasattr(images, "detach") or hasattr(images, "cpu"):
        return (
            f"the images are a {type(images).__name__} that numpy cannot read ({error}), {_EXPECTED}; "
            "give images.detach().cpu().numpy(), of type uint8"
        )
    return f"the images have no common shape ({error}); {_EXPECTED}"


def _kind(images: object, array: NDArray[np.generic]) -> str:
    if images is None or isinstance(images, str | bytes | os.PathLike):
        return f"{images!r:.60} is no array"
    return f"the images are {array.dtype}"


def _conversion(array: NDArray[np.generic]) -> str:
    if array.dtype.kind in "OUSV":
        return "pictures are read by `predict`, which takes paths, bytes and Pillow images"
    if array.size == 0:
        return f"for no images give numpy.zeros((0, {ROWS}, {COLUMNS}), numpy.uint8)"
    if np.issubdtype(array.dtype, np.floating):
        return "for values in [0, 1] multiply by 255 and cast: (images * 255).round().astype(numpy.uint8)"
    if array.dtype == np.bool_:
        return "convert them with: images.astype(numpy.uint8) * 255"
    return "for values in 0..255 cast them: images.astype(numpy.uint8)"


def _reshaping(array: NDArray[np.uint8]) -> str:
    if array.ndim > 1 and array.size % (ROWS * COLUMNS) == 0 and array.shape[-1] in {1, COLUMNS, ROWS * COLUMNS}:
        return f"if each row of 784 values or each plane is an image: images.reshape(-1, {ROWS}, {COLUMNS})"
    return "pictures of other sizes are read by `predict`, or by `edge.picture.preprocessing.read`"


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
