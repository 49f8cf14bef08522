"""Whether products of int8 lose a part of their sums on this processor: measured, because no list of instructions says.

x86 kernels with AVX2 and without VNNI add pairs of products of a uint8 and an int8 in 16 bits, and saturate
(onnxruntime#5849, #6004, #14642). Those with VNNI do not, and neither do those of x86 before AVX2 and of arm64, whether
it has the instructions for dot products or not.
"""

from edge.errors import ProviderError
from edge.session import probes
from edge.session.providers import Options, open_on

PIXEL = 255
"""The largest uint8."""

WEIGHT = 127
"""The largest int8: with 63 and less a pair of products fits into 16 bits."""


def int8_is_exact() -> bool | None:
    """Multiplies the largest numbers on the CPU; takes a millisecond.

    Returns:
        Whether the sums are right; None where ONNX Runtime cannot be asked.
    """
    try:
        return measured_sum(WEIGHT) == PIXEL * WEIGHT * probes.TERMS
    except ProviderError:
        return None


def measured_sum(weight: int) -> int:
    """The sum of `probes.TERMS` products of `PIXEL` and a weight, as ONNX Runtime computes it on this processor.

    Args:
        weight: 0 to 127.

    Raises:
        RuntimeMissingError: onnxruntime is not installed, or broken.
        ProviderError: onnxruntime cannot load the model.
    """
    import numpy as np

    native = open_on(probes.products(weight), "cpu", Options(), None)
    (sums,) = native.run([probes.OUTPUT], {probes.INPUT: np.full((1, probes.TERMS), PIXEL, np.uint8)})
    return int(sums.min())
