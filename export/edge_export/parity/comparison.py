"""Parity: the same images through PyTorch and through every later form of the model, and what may differ."""

import copy
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from edge.bundle.manifest import Precision
from edge.classifier.prediction import softmax
from edge.errors import EdgeError
from edge_export.parity.tolerances import TOLERANCES, Tolerance, broken_tolerances
from edge_train.data.splits import Split
from edge_train.training.evaluation import logits_of

Logits = NDArray[np.float32]
# uint8 images (N, 28, 28) and a batch size to (logits, probabilities), each float32 (N, classes).
Runner = Callable[[NDArray[np.uint8], int], tuple[Logits, Logits]]

# 1 is a device's daily work, 2 and 3 find a frozen or broadcast batch axis, 17 fits no block size, 256 is bulk.
BATCHES = (1, 2, 3, 17, 256)
BULK = BATCHES[-1]
REPORT = "report this model"
EXTREMES = "extremes"  # what the rows of images without a right answer are called


class ParityError(EdgeError):
    """A tolerance is broken; nothing was written."""


@dataclass(frozen=True, slots=True)
class Reference:
    """What PyTorch says, in fp32 on the CPU.

    Attributes:
        split: N digits.
        logits: float32 (N, classes), of the digits.
        probabilities: float32 (N, classes), of the digits.
        extremes: uint8 (M, 28, 28), images that are no digits.
        extreme_logits: float32 (M, classes), of the extremes.
        extreme_probabilities: float32 (M, classes), of the extremes.
        labelled: whether the labels of the split are what the model is trained to say; somebody's own model may read
            no digits.
        tolerances: what each precision may differ by.
        by_magnitude: whether logits that are larger than edge's own may differ by more.
    """

    split: Split
    logits: Logits
    probabilities: Logits
    extremes: NDArray[np.uint8]
    extreme_logits: Logits
    extreme_probabilities: Logits
    labelled: bool = True
    tolerances: Mapping[Precision, Tolerance] = field(default_factory=lambda: TOLERANCES)
    by_magnitude: bool = False

    def limits(self, precision: Precision, expected: Logits) -> Tolerance:
        """What the answers of a precision may differ from those expected."""
        limits = self.tolerances[precision]
        return limits.with_magnitude(float(np.abs(expected).max())) if self.by_magnitude else limits

    def only(self, chosen: NDArray[np.int64]) -> "Reference":
        """The same answers to some of the digits.

        Args:
            chosen: int64 (K,), indices of those digits.
        """
        return dataclasses.replace(
            self,
            split=Split(self.split.name, self.split.images[chosen], self.split.labels[chosen]),
            logits=self.logits[chosen],
            probabilities=self.probabilities[chosen],
        )

    @property
    def accuracy(self) -> float | None:
        """Share of the digits that PyTorch reads right, in [0, 1]; `None` where the labels say nothing."""
        return float((self.logits.argmax(1) == self.split.labels).mean()) if self.labelled else None


def reference(
    module: nn.Module,
    split: Split,
    extremes: NDArray[np.uint8],
    *,
    temperature: float,
    labelled: bool = True,
    tolerances: Mapping[Precision, Tolerance] = TOLERANCES,
) -> Reference:
    """The reference holds PyTorch's answers to a split and to the extremes, and what may differ from them.

    Args:
        module: float images [batch, 28, 28] in [0, 1] to logits [batch, classes], in evaluation mode, on the CPU.
        split: the digits.
        extremes: uint8 (M, 28, 28), images without a right answer.
        temperature: the logits are divided by it before the softmax.
        labelled: whether the labels of the split are what the model is trained to say.
        tolerances: what each precision may differ by.
    """
    logits, extreme_logits = logits_of(module, split.images), logits_of(module, extremes)
    return Reference(
        split,
        logits,
        probabilities_of(logits, temperature),
        extremes,
        extreme_logits,
        probabilities_of(extreme_logits, temperature),
        labelled,
        tolerances,
    )


@dataclass(frozen=True, slots=True)
class ParityRow:
    """One row of the parity table: a form of the model against PyTorch, at one batch size.

    Attributes:
        stage: the form of the model, as the table calls it.
        precision: decides the tolerance.
        data: name of the images.
        images: how many they are.
        batch: how many are run at once.
        logits_max_error: largest absolute difference of a logit.
        logits_mean_error: mean absolute difference of the logits.
        probabilities_max_error: largest absolute difference of a probability.
        probabilities_mean_error: mean absolute difference of the probabilities.
        flips: images whose label differs from PyTorch's.
        accuracy: share of right labels, in [0, 1]; `None` for images without labels.
        accuracy_drop: percentage points below PyTorch; 0 without labels.
        failures: broken tolerances, in words, each with the tolerance that would have passed.
    """

    stage: str
    precision: Precision
    data: str
    images: int
    batch: int
    logits_max_error: float
    logits_mean_error: float
    probabilities_max_error: float
    probabilities_mean_error: float
    flips: int
    accuracy: float | None
    accuracy_drop: float
    failures: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether every tolerance holds."""
        return not self.failures


def probabilities_of(logits: Logits, temperature: float) -> Logits:
    """Probabilities are softmax(logits / temperature), computed in float64 and rounded once.

    Args:
        logits: float32 (N, classes).
        temperature: above 0.

    Returns:
        float32 (N, classes).
    """
    return softmax(logits.astype(np.float64) / temperature).astype(np.float32)


def exact_logits(module: nn.Module, images: NDArray[np.uint8]) -> Logits:
    """PyTorch's logits computed in float64 and rounded once are the same on every machine.

    float32 sums depend on the processor's vector width, and evidence that did would make the bytes of a bundle depend
    on where it was exported.

    Args:
        module: as `reference` takes it; it stays as it is.
        images: uint8 (N, 28, 28), ink 255 on background 0.

    Returns:
        float32 (N, classes).
    """
    pixels = torch.from_numpy(images.copy()).double() / 255
    with torch.no_grad():
        try:
            return np.asarray(copy.deepcopy(module).double().eval()(pixels).numpy(), np.float32)
        except Exception:  # noqa: BLE001 - somebody's own module may know float32 only, and say so in any way
            return logits_of(module, images)


def compare(
    stage: str, precision: Precision, reference: Reference, runner: Runner, batches: tuple[int, ...] = BATCHES
) -> list[ParityRow]:
    """Every digit of the reference is run at every batch size, then the extremes, and held against PyTorch.

    Args:
        stage: what is compared, as the table calls it.
        precision: decides the tolerance.
        reference: PyTorch's answers.
        runner: the form of the model under test.
        batches: sizes to run.

    Returns:
        A row for each batch size, then one for the extremes, image by image.
    """
    rows = [_digits(stage, precision, reference, runner, batch) for batch in batches]
    rows.append(_extremes(stage, precision, reference, runner))
    return rows


def row(
    stage: str, precision: Precision, reference: Reference, *, batch: int, logits: Logits, probabilities: Logits
) -> ParityRow:
    """The row of answers that are already there.

    Args:
        stage: what is compared, as the table calls it.
        precision: decides the tolerance.
        reference: PyTorch's answers.
        batch: how many images were run at once.
        logits: float32 (K, classes), of the first K digits of the reference.
        probabilities: float32 (K, classes), of the same.
    """
    count = len(logits)
    expected, labels = reference.logits[:count], reference.split.labels[:count]
    limits = reference.limits(precision, reference.logits)
    judged = logits.argmax(1)
    if reference.by_magnitude and limits.logit_error is not None:
        # Two logits of somebody's model may be nearer to each other than float32 adds: neither of them is wrong.
        judged = np.where(margins(expected) <= 2 * limits.logit_error, expected.argmax(1), judged)
    flips = int((judged != expected.argmax(1)).sum())
    accuracy, drop = None, 0.0
    if reference.labelled:
        accuracy = float((logits.argmax(1) == labels).mean())
        drop = 100 * (float((expected.argmax(1) == labels).mean()) - float((judged == labels).mean()))
    error = np.abs(logits - expected)
    probability_error = np.abs(probabilities - reference.probabilities[:count])
    failures = broken_tolerances(limits, float(error.max()), flips, count, drop)
    return ParityRow(
        stage=stage,
        precision=precision,
        data=reference.split.name,
        images=count,
        batch=batch,
        logits_max_error=float(error.max()),
        logits_mean_error=float(error.mean()),
        probabilities_max_error=float(probability_error.max()),
        probabilities_mean_error=float(probability_error.mean()),
        flips=int((logits.argmax(1) != expected.argmax(1)).sum()),
        accuracy=accuracy,
        accuracy_drop=drop,
        failures=failures,
    )


def flipped(reference: Reference, logits: Logits) -> NDArray[np.int64]:
    """The digits whose label differs from PyTorch's.

    Args:
        reference: PyTorch's answers.
        logits: float32 (K, classes), of the first K digits of the reference.

    Returns:
        int64, their indices, in ascending order.
    """
    return np.flatnonzero(logits.argmax(1) != reference.logits[: len(logits)].argmax(1))


def refusal(rows: Sequence[ParityRow], where: str) -> str:
    """Why an export is refused: what broke first, what would have passed, where it begins, and what to do.

    Args:
        rows: at least one of them is broken.
        where: the layer at which the difference begins, in words; empty where none can be named.
    """
    first = next(row for row in rows if not row.passed)
    advice = REPORT if first.precision == "fp32" else f"export it in fp32, {first.precision} is not safe"
    return (
        f"{first.stage} differs from PyTorch on {first.data} at batch {first.batch}: {'; '.join(first.failures)}"
        f"{'; ' + where if where else ''}; nothing was written; {advice}"
    )


def margins(logits: Logits) -> Logits:
    """How far the best logit lies above the second best.

    Args:
        logits: float32 (N, classes).

    Returns:
        float32 (N,), 0 or more.
    """
    ordered = np.sort(logits, axis=1)
    return np.asarray(ordered[:, -1] - ordered[:, -2], np.float32)


def _digits(stage: str, precision: Precision, reference: Reference, runner: Runner, batch: int) -> ParityRow:
    logits, probabilities = runner(reference.split.images, batch)
    return row(stage, precision, reference, batch=batch, logits=logits, probabilities=probabilities)


def _extremes(stage: str, precision: Precision, reference: Reference, runner: Runner) -> ParityRow:
    """Images without a right answer: their labels decide nothing, their logits must still be PyTorch's."""
    logits, probabilities = runner(reference.extremes, 1)
    limits = reference.limits(precision, reference.extreme_logits)
    error = np.abs(logits - reference.extreme_logits)
    probability_error = np.abs(probabilities - reference.extreme_probabilities)
    return ParityRow(
        stage=stage,
        precision=precision,
        data=EXTREMES,
        images=len(logits),
        batch=1,
        logits_max_error=float(error.max()),
        logits_mean_error=float(error.mean()),
        probabilities_max_error=float(probability_error.max()),
        probabilities_mean_error=float(probability_error.mean()),
        flips=int((logits.argmax(1) != reference.extreme_logits.argmax(1)).sum()),
        accuracy=None,
        accuracy_drop=0.0,
        failures=broken_tolerances(limits, float(error.max()), 0, len(logits), 0.0),
    )
