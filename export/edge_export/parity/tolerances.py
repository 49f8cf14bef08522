"""The one table of tolerances: what may differ from PyTorch, and by how much, before an export is refused."""

import math
from dataclasses import dataclass, replace

from edge.bundle.manifest import Precision


@dataclass(frozen=True, slots=True)
class Tolerance:
    """Limits on the difference to PyTorch's fp32 on the CPU.

    Attributes:
        logit_error: largest absolute difference of a logit, in logits, on any image; `None` is no limit.
        flip_share: share of the digits whose label changes, in [0, 1].
        accuracy_drop: loss of accuracy on the digits, in percentage points.
    """

    logit_error: float | None
    flip_share: float
    accuracy_drop: float

    def with_magnitude(self, largest: float) -> "Tolerance":
        """The limits for somebody's own model: float32 rounds large logits, and sums of logarithms, more coarsely.

        Args:
            largest: absolute value of a logit.
        """
        if self.logit_error is None:
            return self
        return replace(self, logit_error=max(self.logit_error, UNKNOWN_LOGIT_ERROR) * max(1.0, largest / USUAL_LOGIT))


# The largest logits that the limits below were set for.
USUAL_LOGIT = 10.0
# Of a model that is not edge's, nobody knows how its arithmetic adds up: a ten thousandth of a usual logit. torch's own
# tutorial on ONNX compares with ten times that.
UNKNOWN_LOGIT_ERROR = 1e-3

TOLERANCES: dict[Precision, Tolerance] = {
    # The same arithmetic in another order: float32 rounding over 28 steps stays ten times below this.
    "fp32": Tolerance(logit_error=1e-4, flip_share=0.0, accuracy_drop=0.0),
    # 11 bits of mantissa: each rounding is 5e-4 of the value, the logits are of the order of 10.
    "fp16": Tolerance(logit_error=0.1, flip_share=0.001, accuracy_drop=0.05),
    # Labels are what counts: a logit may move further where the decision is clear.
    "int8": Tolerance(logit_error=None, flip_share=0.002, accuracy_drop=0.1),
}

# `edge verify` on the target allows for other instruction sets, which add in another order, and, in int8, round or
# saturate differently. A wrong kernel or a saturating product is off by far more than twice what the export saw.
EVIDENCE_HEADROOM = 2.0
EVIDENCE_FLOOR: dict[Precision, float] = {"fp32": 1e-3, "fp16": 0.1, "int8": 0.05}

# Labels flip both ways: most flips of a narrow decision cost no accuracy.
FLIPS_PER_LOSS = 2.0


def with_budget(accuracy_drop: float) -> dict[Precision, Tolerance]:
    """The table with another limit on what int8 may lose; the flips that it may have grow with it.

    Args:
        accuracy_drop: in percentage points, 0 to 100.
    """
    usual = TOLERANCES["int8"]
    flip_share = max(usual.flip_share, FLIPS_PER_LOSS * accuracy_drop / 100)
    return {**TOLERANCES, "int8": Tolerance(usual.logit_error, flip_share, accuracy_drop)}


def evidence_tolerance(precision: Precision, observed_error: float) -> float:
    """The logit error that `edge verify` allows on the golden images: the floor, doubled until it has the headroom.

    In doublings, because the observed error differs a little between processors, and the bundle's bytes shall not.

    Args:
        precision: of the bundle.
        observed_error: largest absolute logit error that the export saw on the golden images.
    """
    tolerance = EVIDENCE_FLOOR[precision]
    while tolerance < EVIDENCE_HEADROOM * observed_error:
        tolerance *= 2
    return tolerance


def broken_tolerances(tolerance: Tolerance, error: float, flips: int, count: int, drop: float) -> tuple[str, ...]:
    """Which limits a comparison breaks, in words, each with the tolerance that would have passed.

    Args:
        tolerance: the limits.
        error: largest absolute difference of a logit.
        flips: digits whose label changed.
        count: digits that were compared.
        drop: loss of accuracy, in percentage points.
    """
    broken = []
    if not math.isfinite(error):
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
