"""The classifier: a checked bundle and one session of it; pictures in, predictions out."""

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edge.bundle import (
    bundle,
    shipped,
)
from edge.bundle.bundle import Bundle
from edge.bundle.manifest import Manifest, ProviderName
from edge.classifier import (
    rejection,
)
from edge.errors import InputError
from edge.session import (
    cpu,
    profile,
    session,
)
from edge.session.batching import LEAST_IMAGES_PER_THREAD, Batching, run_in_parts
from edge.session.providers import Provider
from edge.session.session import Session

if TYPE_CHECKING:
    from edge.picture.preprocessing import Source

SIDE = 28
"""Rows and columns of an image, in pixels."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a picture shows.

    Attributes:
        label: the most probable label.
        confidence: its probability, 0 to 1.
        probabilities: probability of each label, in the order of the manifest.
        model: name of the bundle.
        provider: where it was computed, "cpu" or "cuda".
        score: how much the image looks like any label, about 0 for a usual digit and lower for others; None where the
            bundle cannot say.
        rejected: whether that is so low that the image is probably none of the labels.
    """

    label: str
    confidence: float
    probabilities: dict[str, float]
    model: str
    provider: ProviderName
    score: float | None = None
    rejected: bool = False

    def top(self, count: int) -> list[tuple[str, float]]:
        """The most probable labels with their probabilities, best first; equal ones in the manifest's order."""
        ranked = sorted(self.probabilities.items(), key=lambda pair: -pair[1])
        return ranked[: max(count, 0)]


class Classifier:
    """Classifies images with one bundle on one provider; may be used from several threads at once.

    Make it with `load`.
    """

    def __init__(self, source: Bundle, running: Session, *, cores: int = 1) -> None:
        self._bundle = source
        self._session = running
        self._cores = cores
        self._batching: Batching | None = None

    @property
    def bundle(self) -> Bundle:
        """The bundle that was loaded."""
        return self._bundle

    @property
    def manifest(self) -> Manifest:
        """What the bundle says about itself."""
        return self._bundle.manifest

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels of the columns of `classify` and `logits`."""
        return self.manifest.labels

    @property
    def provider(self) -> ProviderName:
        """Where the model runs, proved: "cpu" or "cuda"."""
        return self._session.provider

    @property
    def provider_reason(self) -> str:
        """Why it runs there, in a few words."""
        return self._session.reason

    @property
    def threads(self) -> int:
        """Threads inside one operator; how many runs go on at a time is in `batching`."""
        return self._session.threads

    @property
    def batching(self) -> Batching:
        """How many images `classify` runs at once, and in how many threads: by this machine's profile, or by rule."""
        if self._batching is None:  # small batches do without, so that they need not wait for the profile to be read
            self._batching = profile.batching_for(self._bundle.sha256, self._cores)
        return self._batching

    def predict(self, source: "Source") -> Prediction:
        """Reads a picture and says what it shows.

        Args:
            source: a path, the bytes of a picture file, a binary stream, a Pillow image, or an array of pixels.

        Raises:
            PictureError: the picture cannot be read, is blank, or shows several digits.
            InputError: an array that is no picture.
            BundleError: the model was made with a later picture recipe than this edge knows.
            ProviderError: onnxruntime failed.
        """
        self.manifest.check_pictures()
        from edge.picture import preprocessing  # Pillow is not needed by those who bring arrays

        return self.predict_image(preprocessing.read_digit(source))

    def predict_image(self, image: NDArray[np.uint8]) -> Prediction:
        """Says what a prepared image shows.

        Args:
            image: uint8 (28, 28), ink 255 on background 0, as `edge.picture.preprocessing.read` gives it.

        Raises:
            InputError: the array has another shape or type.
            ProviderError: onnxruntime failed.
        """
        return self.predictions(as_batch(image)[:1])[0]

    def predictions(self, images: ArrayLike) -> list[Prediction]:
        """Says what prepared images show.

        Args:
            images: uint8 (N, 28, 28) or (28, 28), ink 255 on background 0; N may be 0.

        Returns:
            A prediction for each.

        Raises:
            InputError: the array has another shape or type.
            ProviderError: onnxruntime failed.
        """
        return self.to_predictions(*self.run(images))

    def run(self, images: ArrayLike) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float64] | None]:
        """Computes everything that the model says of prepared images.

        Args:
            images: uint8 (N, 28, 28) or (28, 28), ink 255 on background 0; N may be 0.

        Returns:
            Logits and probabilities, each float32 (N, classes), and scores, float64 (N,), or None where the bundle
            cannot say.

        Raises:
            InputError: the array has another shape or type.
            ProviderError: onnxruntime failed.
        """
        logits, probabilities = self._run(images)
        rule = self.manifest.rejection
        return logits, probabilities, None if rule is None else rejection.scores(logits, rule)

    def to_predictions(
        self,
        logits: NDArray[np.float32],
        probabilities: NDArray[np.float32],
        scores: NDArray[np.float64] | None,
    ) -> list[Prediction]:
        """What the outputs of `run` say of each image."""
        rows = probabilities
        best = rows.argmax(axis=1).tolist()
        labels, model, provider = self.labels, self.manifest.name, self.provider
        return [
            Prediction(
                labels[index],
                row[index],
                dict(zip(labels, row, strict=True)),
                model,
                provider,
                score,
                self.rejects(score),
            )
            for index, row, score in zip(
                best, rows.tolist(), [None] * len(rows) if scores is None else scores.tolist(), strict=True
            )
        ]

    def scores(self, images: ArrayLike) -> list[float | None]:
        """How much prepared images look like any label: about 0 for a usual digit, lower for others.

        Args:
            images: uint8 (N, 28, 28) or (28, 28), ink 255 on background 0; N may be 0.

        Returns:
            A score for each; None where the bundle cannot say.

        Raises:
            InputError: the array has another shape or type.
            ProviderError: onnxruntime failed.
        """
        return self._scores(self.logits(images))

    def rejects(self, score: float | None) -> bool:
        """Whether an image of that score is probably none of the labels."""
        return score is not None and self.manifest.rejection is not None and score < self.manifest.rejection.threshold

    def _scores(self, logits: NDArray[np.float32]) -> list[float | None]:
        if self.manifest.rejection is None:
            return [None] * len(logits)
        return list(map(float, rejection.scores(logits, self.manifest.rejection)))

    def classify(self, images: ArrayLike) -> NDArray[np.float32]:
        """Computes the probabilities of prepared images.

        Args:
            images: uint8 (N, 28, 28) or (28, 28), ink 255 on background 0; N may be 0.

        Returns:
            float32 (N, classes), each row sums to 1; the columns follow `labels`.

        Raises:
            InputError: the array has another shape or type.
            ProviderError: onnxruntime failed.
        """
        return self._run(images)[1]

    def logits(self, images: ArrayLike) -> NDArray[np.float32]:
        """Computes the logits of prepared images: what the model says before the softmax and its temperature.

        Args:
            images: uint8 (N, 28, 28) or (28, 28), ink 255 on background 0; N may be 0.

        Returns:
            float32 (N, classes); the columns follow `labels`.

        Raises:
            InputError: the array has another shape or type.
            ProviderError: onnxruntime failed.
        """
        return self._run(images)[0]

    def _run(self, images: ArrayLike) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Logits and probabilities, each float32 (N, classes)."""
        batch = as_batch(images)
        count = len(batch)
        if 0 < count < LEAST_IMAGES_PER_THREAD or 0 < count <= self.batching.direct_images:
            return self._session.run(batch)  # without a copy: a single image takes a few dozen microseconds
        logits, probabilities = np.empty((2, count, len(self.labels)), np.float32)

        def work(part: slice) -> None:
            logits[part], probabilities[part] = self._session.run(batch[part])

        if count:
            run_in_parts(count, self.batching, work)
        return logits, probabilities


def load(
    name_or_path: str | os.PathLike[str], *, provider: Provider = "auto", threads: int | None = None
) -> Classifier:
    """Loads a bundle: checks every byte of it, then makes a session on a proved provider.

    Args:
        name_or_path: a shipped name such as "lstm-int8", or the path of a bundle.
        provider: "cpu", "cuda" (or an error that names what is missing), or "auto": CUDA where it works.
        threads: cores to use at most; None takes all that the process may use. Small models use one for each run, and
            run large batches in several threads; large models share one run among them. On CUDA it means nothing.

    Raises:
        BundleError: not found, damaged, no bundle, or of another generation of edge.
        ProviderError: the provider cannot run the model here, or onnxruntime is missing.
        InputError: an unknown provider, or fewer threads than 1.
    """
    source = bundle.read(shipped.locate(name_or_path))
    if threads is not None and threads < 1:
        raise InputError(f"{threads} threads cannot run anything; give 1 or more")
    cores = cpu.allowed() if threads is None else threads
    inside = min(session.default_threads(source.size), cores)
    running = session.create(source.data, provider=provider, threads=inside, manifest=source.manifest)
    return Classifier(source, running, cores=cores if running.provider == "cpu" and inside == 1 else 1)


def as_batch(images: ArrayLike) -> NDArray[np.uint8]:
    """Checks images and gives them a batch axis.

    Args:
        images: uint8 (N, 28, 28) or (28, 28).

    Returns:
        uint8 (N, 28, 28), contiguous.

    Raises:
        InputError: another shape or type; the message says how to convert.
    """
    expected = f"expected uint8 (N, {SIDE}, {SIDE}) with ink 255 on background 0"
    try:
        array = np.asarray(images)
    except ValueError as error:
        raise InputError(f"the images have no common shape ({error}); {expected}") from error
    if array.dtype != np.uint8:
        raise InputError(f"the images are {array.dtype}, {expected}; {_conversion(array)}")
    if array.ndim not in {2, 3} or array.shape[-2:] != (SIDE, SIDE):
        raise InputError(
            f"the images have shape {array.shape}, {expected}; read files with `edge.picture.preprocessing.read`"
        )
    return np.ascontiguousarray(array.reshape(-1, SIDE, SIDE))


def _conversion(array: NDArray[np.generic]) -> str:
    if np.issubdtype(array.dtype, np.floating):
        return "for values in [0, 1] multiply by 255 and cast: (images * 255).round().astype(numpy.uint8)"
    if array.dtype == np.bool_:
        return "convert them with: images.astype(numpy.uint8) * 255"
    return "for values in 0..255 cast them: images.astype(numpy.uint8)"
