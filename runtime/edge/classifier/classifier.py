"""The classifier: a checked bundle and one session of it; pictures in, predictions out."""

import math
import os
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edge.bundle import bundle, shipped, signature
from edge.bundle.bundle import Bundle
from edge.bundle.input import COLUMNS, DIGITS, OUTPUTS, ROWS, SCORE
from edge.bundle.manifest import Manifest
from edge.bundle.signature import Trusted
from edge.classifier.prediction import Prediction, Scorer, as_batch
from edge.errors import BundleError, InputError, SeveralDigitsError
from edge.session import batching, cpu, session
from edge.session.batching import LEAST_IMAGES_PER_THREAD, Batching, run_in_parts
from edge.session.providers import Provider
from edge.session.session import Session

if TYPE_CHECKING:
    from edge.picture.preprocessing import Source

# What is fetched for each question: the graph computes all of its outputs, and each that is asked for is an array more.
_LOGITS, _PROBABILITIES = (OUTPUTS[0],), (OUTPUTS[1],)

_INFINITE = math.inf


class Classifier:
    """Classifies images with one bundle on one provider; may be used from several threads at once.

    Make it with `load`.
    """

    def __init__(self, source: Bundle, running: Session, *, cores: int = 1) -> None:
        self._bundle = source
        self._session = running
        self._cores = cores
        self._batching: Batching | None = None
        # So many images do without the profile, so that they need not wait for it to be read.
        self._unplanned = 1 if running.has_branches else LEAST_IMAGES_PER_THREAD - 1
        facts = source.manifest.rejection
        self._threshold = -math.inf if facts is None else facts.threshold
        self._scorer = None if facts is None or running.has_score else Scorer.of(facts)
        self._asked = (OUTPUTS[1], SCORE) if running.has_score else (OUTPUTS[1],)
        self._shows_digits = source.manifest.labels == DIGITS  # of other labels reading knows no likeness
        self._labels, self._name, self._provider = source.manifest.labels, source.manifest.name, running.provider

    def __reduce__(self) -> tuple[object, ...]:
        # The bytes travel to the other process, which makes a session of its own of them.
        running = self._session
        reopen = partial(
            _reopened,
            provider=self._provider,
            threads=running.threads,
            reason=running.reason,
            cores=self._cores,
            provider_options=running.provider_options,
        )
        return reopen, (self._bundle,)

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
    def provider(self) -> str:
        """Where the model runs, proved: "cpu", "cuda", or the short name of another provider."""
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
        if self._batching is None:
            self._batching = batching.batching_for(self._bundle.sha256, self._cores)
            self._unplanned = LEAST_IMAGES_PER_THREAD - 1
            if self._batching.few_images is not None:
                self._session.few_images = self._batching.few_images
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

        seen = preprocessing.read_digit(source)
        prediction = self.predictions(seen.image, (seen.likeness,))[0]
        if self.doubts(prediction, seen.likeness):
            from edge.classifier.signs import count_digits  # few pictures are doubted

            if (digits := count_digits(seen.image, self)) > 1:
                raise SeveralDigitsError(preprocessing.name_of(source), digits)
        return prediction

    def predict_image(self, image: NDArray[np.uint8]) -> Prediction:
        """Says what a prepared image shows.

        Args:
            image: uint8 (28, 28), ink 255 on background 0, as `edge.picture.preprocessing.read` gives it.

        Raises:
            InputError: the array has another shape or type.
            BundleError: the model answers with what is no number.
            ProviderError: onnxruntime failed.
        """
        batch = as_batch(image)
        if len(batch) != 1:
            raise InputError(f"{len(batch)} images are not one; give uint8 ({ROWS}, {COLUMNS}), or ask `predictions`")
        return self._prediction(batch)

    def predictions(self, images: ArrayLike, likeness: Sequence[float] | None = None) -> list[Prediction]:
        """Says what prepared images show.

        Args:
            images: uint8 (N, 28, 28) or (28, 28), ink 255 on background 0; N may be 0.
            likeness: what reading adds to the score of each, as `edge.picture.preprocessing.read_digit` gives it.

        Returns:
            A prediction for each.

        Raises:
            InputError: the array has another shape or type.
            BundleError: the model answers with what is no number.
            ProviderError: onnxruntime failed.
        """
        batch = as_batch(images)
        if len(batch) == 1 and likeness is None:
            return [self._prediction(batch)]
        if self._scorer is not None:
            return self.to_predictions(*self.run(batch), likeness)
        probabilities, *scores = self._fetch(self._asked, batch)
        return self._told(probabilities.tolist(), scores[0].tolist() if scores else None, likeness)

    def run(self, images: ArrayLike) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float64] | None]:
        """Computes everything that the model says of prepared images.

        Args:
            images: uint8 (N, 28, 28) or (28, 28), ink 255 on background 0; N may be 0.

        Returns:
            Logits and probabilities, each float32 (N, classes), and scores, float64 (N,), or None where the
            bundle cannot say.

        Raises:
            InputError: the array has another shape or type.
            BundleError: the model answers with what is no number.
            ProviderError: onnxruntime failed.
        """
        outputs = (*OUTPUTS, SCORE) if self._session.has_score else OUTPUTS
        logits, probabilities, *scores = self._fetch(outputs, as_batch(images))
        self._check(logits)
        if self._scorer is not None:
            return logits, probabilities, self._scorer.scores(logits)
        return logits, probabilities, scores[0].astype(np.float64) if scores else None

    def to_predictions(
        self,
        logits: NDArray[np.float32],
        probabilities: NDArray[np.float32],
        scores: NDArray[np.float64] | None,
        likeness: Sequence[float] | None = None,
    ) -> list[Prediction]:
        """What the outputs of `run` say of each image; and reading, as in `predictions`."""
        return self._told(probabilities.tolist(), None if scores is None else scores.tolist(), likeness)

    def _prediction(self, batch: NDArray[np.uint8]) -> Prediction:
        """What one image shows, without the calls that many images need: they take a tenth of a small model's time."""
        if self._scorer is not None:
            return self.to_predictions(*self.run(batch))[0]
        rows, *scores = self._session.numbers(self._asked, batch)
        if len(rows) != 1 or len(rows[0]) != len(self._labels):
            raise self._misshapen(rows, 1)
        return self._told_of(rows[0], scores[0][0] if scores else None)

    def _told(
        self, rows: list[list[float]], scores: list[float] | None, likeness: Sequence[float] | None
    ) -> list[Prediction]:
        if likeness is not None and scores is not None and self._shows_digits:
            scores = [score + more for score, more in zip(scores, likeness, strict=True)]
        if scores is None:
            return [self._told_of(row, None) for row in rows]
        return [self._told_of(row, score) for row, score in zip(rows, scores, strict=True)]

    def _told_of(self, row: list[float], score: float | None) -> Prediction:
        """One image should cost little more than its run: no array is made here, and no property asked."""
        if not -_INFINITE < sum(row, score or 0.0) < _INFINITE:  # which NaN is not
            raise self._no_numbers()
        labels, confidence = self._labels, max(row)
        is_rejected = score is not None and score < self._threshold
        label = labels[row.index(confidence)]
        return Prediction(label, confidence, labels, tuple(row), self._name, self._provider, score, is_rejected)

    def scores(self, images: ArrayLike) -> list[float | None]:
        """How much prepared images look like any label: about 0 for a usual digit, lower for others.

        Args:
            images: uint8 (N, 28, 28) or (28, 28), ink 255 on background 0; N may be 0.

        Returns:
            A score for each; None where the bundle cannot say.

        Raises:
            InputError: the array has another shape or type.
            BundleError: the model answers with what is no number.
            ProviderError: onnxruntime failed.
        """
        found = self.run(images)
        return [None] * len(found[0]) if found[2] is None else found[2].tolist()

    def doubts(self, prediction: Prediction, likeness: float) -> bool:
        """Whether the model rejects a picture, with what reading added to its score or without."""
        if prediction.rejected or prediction.score is None:
            return prediction.rejected
        return self.rejects(prediction.score - likeness if self._shows_digits else prediction.score)

    def rejects(self, score: float | None) -> bool:
        """Whether an image of that score is probably none of the labels."""
        return score is not None and score < self._threshold

    def classify(self, images: ArrayLike) -> NDArray[np.float32]:
        """Computes the probabilities of prepared images.

        Args:
            images: uint8 (N, 28, 28) or (28, 28), ink 255 on background 0; N may be 0.

        Returns:
            float32 (N, classes), each row sums to 1; the columns follow `labels`.

        Raises:
            InputError: the array has another shape or type.
            BundleError: the model answers with what is no number.
            ProviderError: onnxruntime failed.
        """
        (probabilities,) = self._fetch(_PROBABILITIES, as_batch(images))
        return self._check(probabilities)

    def logits(self, images: ArrayLike) -> NDArray[np.float32]:
        """Computes the logits of prepared images: what the model says before the softmax and its temperature.

        Args:
            images: uint8 (N, 28, 28) or (28, 28), ink 255 on background 0; N may be 0.

        Returns:
            float32 (N, classes); the columns follow `labels`.

        Raises:
            InputError: the array has another shape or type.
            BundleError: the model answers with what is no number.
            ProviderError: onnxruntime failed.
        """
        (logits,) = self._fetch(_LOGITS, as_batch(images))
        return self._check(logits)

    def _fetch(self, outputs: tuple[str, ...], batch: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
        """The outputs of that names: each float32 (N, classes), or (N,) for the score."""
        count, classes = len(batch), len(self._labels)
        if 0 < count <= self._unplanned or 0 < count <= self.batching.direct_images:
            found = self._session.fetch(outputs, batch)  # without a copy: one image takes a few dozen microseconds
            if found[0].shape != (count, classes):
                raise self._misshapen(found[0], count)
            return found
        whole = [np.empty(count if name == SCORE else (count, classes), np.float32) for name in outputs]

        def work(part: slice) -> None:
            for target, values in zip(whole, self._session.fetch(outputs, batch[part]), strict=True):
                target[part] = values

        if count:
            run_in_parts(count, self.batching, work)
        return whole

    def _misshapen(self, values: ArrayLike, count: int) -> BundleError:
        return BundleError(
            f"{self._name} answers {count} images with an array of shape {np.shape(values)}, not "
            f"{(count, len(self._labels))}; check it with `edge verify`"
        )

    def _check(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        # One product tells of almost every array that it is in order, and costs a fifth of looking at each number.
        if not math.isfinite(np.vdot(values, values)) and not np.isfinite(values).all():
            raise self._no_numbers()
        return values

    def _no_numbers(self) -> BundleError:
        return BundleError(
            f"{self.manifest.name} answers with what is no number (NaN, or infinite); check it with `edge verify`, "
            "and export it again"
        )


def load(
    name_or_path: str | os.PathLike[str],
    *,
    provider: Provider = "auto",
    threads: int | None = None,
    trusted: Trusted | None = None,
    provider_options: Mapping[str, str] | None = None,
) -> Classifier:
    """Loads a bundle: checks every byte of it, then makes a session on a proved provider.

    Args:
        name_or_path: a shipped name such as "lstm-int8", or the path of a bundle.
        provider: "auto" for CUDA where it works and the CPU elsewhere; "cpu", "cuda", or the short name of another
            provider of ONNX Runtime, such as "openvino": that one, or an error that names what is missing.
        threads: cores to use at most; None takes all that the process may use. Small models use one for each run, and
            run large batches in several threads; large models share one run among them. On CUDA it means nothing.
        trusted: public keys, one of which must have signed the bundle: paths of PEM files, or 64 hexadecimal digits
            each. None takes those that the environment variable `EDGE_TRUSTED_KEYS` names; where it names none, who
            signed the bundle is not looked at.
        provider_options: settings of that provider, as ONNX Runtime names them, such as {"device_type": "GPU"}.

    Raises:
        BundleError: not found, damaged, no bundle, or of another generation of edge.
        SignatureError: keys are given, and none of them has signed the bundle.
        KeyFileError: a public key cannot be read.
        ProviderError: the provider cannot run the model here, or onnxruntime is missing.
        InputError: an unknown provider, settings for one that takes none, or fewer threads than 1.
    """
    source = bundle.read(shipped.locate(name_or_path), trusted=signature.public_keys(trusted))
    if threads is not None and threads < 1:
        raise InputError(f"{threads} threads cannot run anything; give 1 or more")
    cores = cpu.allowed() if threads is None else threads
    inside = min(batching.default_threads(source.size), cores)
    running = session.create(
        source.data,
        provider=provider,
        threads=inside,
        manifest=source.manifest,
        provider_options=provider_options,
    )
    return Classifier(source, running, cores=cores if running.provider == "cpu" and inside == 1 else 1)


def _reopened(
    source: Bundle, *, provider: str, threads: int, reason: str, cores: int, provider_options: Mapping[str, str]
) -> Classifier:
    running = session.create(
        source.data,
        provider=provider,
        threads=threads,
        manifest=source.manifest,
        provider_options=provider_options,
    )
    running.reason = reason
    return Classifier(source, running, cores=cores)
