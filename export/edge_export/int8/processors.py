"""The processors that an int8 bundle is for: what they can multiply without an error decides how weights are rounded.

x86 processors without VNNI add pairs of products of a uint8 and an int8 in 16 bits, and saturate (onnxruntime#5849,
#6004, #14642). Two ways are exact there too: weights of 7 bits, and weights of 8 bits that are handed to the kernel as
uint8, for which ONNX Runtime has a kernel that widens first. The second is as precise as on other processors and
somewhat slower on those; the fused LSTM operator loses most of its gain with it, so it gets 7 bits.
"""

from dataclasses import dataclass

from edge.errors import EdgeError
from edge.session import cpu
from edge_export.int8.quantisation import Bits
from edge_export.options import Target


@dataclass(frozen=True, slots=True)
class ProcessorProfile:
    """How weights are rounded for a target.

    Attributes:
        bits: of weights that meet the kernel as int8.
        unsigned: whether a product that can take uint8 weights gets those, with 8 bits.
        promise: where the products are exact, in words.
    """

    bits: Bits
    unsigned: bool
    promise: str


PROFILES: dict[Target, ProcessorProfile] = {
    "any": ProcessorProfile(7, unsigned=True, promise="exact on every processor"),
    "vnni": ProcessorProfile(8, unsigned=False, promise="exact on x86 with VNNI only; other x86 processors saturate"),
    "arm64": ProcessorProfile(8, unsigned=False, promise="exact on arm64; x86 processors without VNNI saturate"),
}


class TargetError(EdgeError):
    """Parity cannot be judged on this machine for that target."""


def check(target: Target, instructions: frozenset[str] | None) -> None:
    """Refuses a target whose products this processor cannot compute without an error.

    Args:
        target: what was asked for.
        instructions: this processor's instruction sets, as `edge.session.cpu.instruction_sets` finds them; `None` where
            the system does not tell: then parity decides.

    Raises:
        TargetError: products would saturate here, and what is measured would say nothing about the target.
    """
    if not PROFILES[target].unsigned and instructions is not None and not instructions & cpu.EXACT_INT8:
        raise TargetError(
            f"int8 for {target} cannot be judged here: this processor has no VNNI, and its products saturate; export "
            "it on a machine of that kind, or with --target any"
        )
