"""Parity: the same pictures through PyTorch and through every later form of the model."""

import copy
import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from edge.errors import EdgeError
from edge_export.parity.tolerances import TOLERANCES, Precision, Tolerance
from edge_train.data.mnist import Split
from edge_train.training.loop import logits_of

Logits = NDArray[np.float32]
# uint8 images (N, 28, 28) and a batch size to (logits, probabilities), each float32 (N, classes).
Runner = Callable[[NDArray[np.uint8], int], tuple[Logits, Logits]]

# 1 is a device's daily work, 2 and 3 find a frozen or broadcast batch axis, 17 fits no block size, 256 is bulk.
BATCHES = (1, 2, 3, 17, 256)
BULK = BATCHES[-1]
EXTREMES = "extremes"  # what the rows of images without a right answer are called


class ParityError(EdgeError):
    """A tolerance is broken; nothing was written."""


@dataclass(frozen=True, slots=True)
class Reference:
    """What PyTorch says, in fp32 on the CPU.

    `split`: the digits. `logits`, `probabilities`: float32 (N, classes), of them. `extremes`: uint8 (M, 28, 28), images
    that are no digits; `extreme_logits`, `extreme_probabilities`: float32 (M, classes), of those. `labelled`: whether
    the labels of the split are what the model is trained to say; somebody's own model may read no digits.
    `tolerances`: what each precision may differ by.
    """

    split: Split
    logits: Logits
    probabilities: Logits
    extremes: NDArray[np.uint8]
    extreme_logits: Logits
    extreme_probabilities: Logits
    labelled: bool = True
    tolerances: Mapping[Precision, Tolerance] = field(default_factory=lambda: TOLERANCES)

    def only(self, chosen: NDArray[np.int64]) -> "Reference":
        """The same answers to some of the digits, by their indices."""
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
    """PyTorch's answers to a split and to the extremes, and what may differ from them."""
    logits, extreme_logits = logits_of(module, split.images), logits_of(module, extremes)
    return Reference(
        split,
        logits,
        softmax(logits, temperature),
        extremes,
        extreme_logits,
        softmax(extreme_logits, temperature),
        labelled,
        tolerances,
    )


@dataclass(frozen=True, slots=True)
class Comparison:
    """One row of the parity table: a form of the model against PyTorch, at one batch size.

    Errors are absolute, in logits and in probability; `flips` are digits whose label differs from PyTorch's;
    `accuracy` in [0, 1], `None` for images without labels.
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
    accuracy_drop: float  # percentage points below PyTorch; 0 without labels
    failures: tuple[str, ...]  # broken tolerances, in words, each with the tolerance that would have passed

    @property
    def passed(self) -> bool:
        """Whether every tolerance holds."""
        return not self.failures


def softmax(logits: Logits, temperature: float) -> Logits:
    """Probabilities, softmax of logits / temperature along the classes, computed in float64, returned as float32."""
    scaled = logits.astype(np.float64) / temperature
    powers = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True), np.float32)


def exact_logits(module: nn.Module, images: NDArray[np.uint8]) -> Logits:
    """PyTorch's logits computed in float64 and rounded once, float32 (N, classes).

    They are the same on every machine: float32 sums depend on the processor's vector width, and evidence that did
    would make the bytes of a bundle depend on where it was exported.
    """
    pixels = torch.from_numpy(images.copy()).double() / 255
    with torch.no_grad():
        try:
            return np.asarray(copy.deepcopy(module).double().eval()(pixels).numpy(), np.float32)
        except Exception:  # noqa: BLE001 - somebody's own module may know float32 only, and say so in any way
            return logits_of(module, images)


def compare(
    stage: str, precision: Precision, reference: Reference, runner: Runner, batches: tuple[int, ...] = BATCHES
) -> list[Comparison]:
    """Every digit of the reference at every batch size, then the extremes, against PyTorch.

    Args:
        stage: what is compared, as the table calls it.
        precision: decides the tolerance.
        reference: PyTorch's answers.
        runner: the form of the model under test.
        batches: sizes to run.
    """
    rows = [_digits(stage, precision, reference, runner, batch) for batch in batches]
    rows.append(_extremes(stage, precision, reference, runner))
    return rows


def row(
    stage: str, precision: Precision, reference: Reference, *, batch: int, logits: Logits, probabilities: Logits
) -> Comparison:
    """The comparison of answers that are already there, for the first len(logits) digits of the reference."""
    count = len(logits)
    expected, labels = reference.logits[:count], reference.split.labels[:count]
    flips = int((logits.argmax(1) != expected.argmax(1)).sum())
    accuracy, drop = None, 0.0
    if reference.labelled:
        accuracy = float((logits.argmax(1) == labels).mean())
        drop = 100 * (float((expected.argmax(1) == labels).mean()) - accuracy)
    error = np.abs(logits - expected)
    probability_error = np.abs(probabilities - reference.probabilities[:count])
    failures = _failures(reference.tolerances[precision], float(error.max()), flips, count, drop)
    return Comparison(
        stage=stage,
        precision=precision,
        data=reference.split.name,
        images=count,
        batch=batch,
        logits_max_error=float(error.max()),
        logits_mean_error=float(error.mean()),
        probabilities_max_error=float(probability_error.max()),
        probabilities_mean_error=float(probability_error.mean()),
        flips=flips,
        accuracy=accuracy,
        accuracy_drop=drop,
        failures=failures,
    )


def flipped(reference: Reference, logits: Logits) -> NDArray[np.int64]:
    """Indices of the digits whose label differs from PyTorch's."""
    return np.flatnonzero(logits.argmax(1) != reference.logits[: len(logits)].argmax(1))


def refusal(rows: Sequence[Comparison], where: str) -> str:
    """What broke first, what would have passed, where it begins, and what to do."""
    first = next(row for row in rows if not row.passed)
    advice = "report this model" if first.precision == "fp32" else f"export it in fp32, {first.precision} is not safe"
    return (
        f"{first.stage} differs from PyTorch on {first.data} at batch {first.batch}: {'; '.join(first.failures)}"
        f"{'; ' + where if where else ''}; nothing was written; {advice}"
    )


def margins(logits: Logits) -> Logits:
    """Distance of the best logit to the second best, float32 (N,)."""
    ordered = np.sort(logits, axis=1)
    return np.asarray(ordered[:, -1] - ordered[:, -2], np.float32)


def _digits(stage: str, precision: Precision, reference: Reference, runner: Runner, batch: int) -> Comparison:
    logits, probabilities = runner(reference.split.images, batch)
    return row(stage, precision, reference, batch=batch, logits=logits, probabilities=probabilities)


def _extremes(stage: str, precision: Precision, reference: Reference, runner: Runner) -> Comparison:
    """Images without a right answer: their labels decide nothing, their logits must still be PyTorch's."""
    logits, probabilities = runner(reference.extremes, 1)
    error = np.abs(logits - reference.extreme_logits)
    probability_error = np.abs(probabilities - reference.extreme_probabilities)
    return Comparison(
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
        failures=_failures(reference.tolerances[precision], float(error.max()), 0, len(logits), 0.0),
    )


def _failures(tolerance: Tolerance, error: float, flips: int, count: int, drop: float) -> tuple[str, ...]:
    broken = []
    if not np.isfinite(error):
        broken.append("a logit is not finite")
    elif tolerance.logit_error is not None and error > tolerance.logit_error:
        passing = _rounded_up(error, digits=1 - math.floor(math.log10(error)))
        broken.append(f"max |logit error| {error:.3g} exceeds {tolerance.logit_error:.2g}; {passing:.2g} would pass")
    if flips > tolerance.flip_share * count:
        share = _rounded_up(flips / count, digits=4)
        broken.append(f"{flips} of {count} labels flip, {tolerance.flip_share:.2%} may; {share:.2%} would pass")
    if drop > tolerance.accuracy_drop + 1e-9:
        points = _rounded_up(drop, digits=2)
        broken.append(
            f"accuracy falls by {drop:.3f} points, {tolerance.accuracy_drop:.2f} are allowed; {points:.2f} would pass"
        )
    return tuple(broken)


def _rounded_up(value: float, *, digits: int) -> float:
    """The value with that many decimals, not below it: rounded to the nearest, it would not pass."""
    noise = 1e-9  # of float64 itself: 0.1 + 0.2 is 0.3
    return math.ceil(value * 10.0**digits - noise) / 10.0**digits
