"""The one table of tolerances: what may differ from PyTorch, and by how much, before an export is refused."""

from dataclasses import dataclass
from typing import Literal

Precision = Literal["fp32", "fp16", "int8"]


@dataclass(frozen=True, slots=True)
class Tolerance:
    """Limits on the difference to PyTorch's fp32 on the CPU. `None` is no limit.

    `logit_error`: largest absolute difference of a logit, in logits, on any image.
    `flip_share`: share of the digits whose label changes, in [0, 1].
    `accuracy_drop`: loss of accuracy on the digits, in percentage points.
    """

    logit_error: float | None
    flip_share: float
    accuracy_drop: float


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
    """The table with another limit on what int8 may lose, in percentage points; its flips grow with it."""
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
