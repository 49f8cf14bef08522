"""The processors that an int8 bundle is for: what they can multiply without an error decides how weights are rounded.

x86 processors without VNNI add pairs of products of a uint8 and an int8 in 16 bits, and saturate (onnxruntime#5849,
#6004, #14642). Weights of 7 bits are exact there too. So are weights of 8 bits that are handed to the kernel as uint8:
it widens them first, and takes 1.15 to 1.3 times as long on every processor. Rounding that compensates makes 7 bits as
good as 8 that are rounded each by itself.
"""

from dataclasses import dataclass

from edge.errors import EdgeError
from edge_export.int8.quantisation import Bits
from edge_export.options import Target


@dataclass(frozen=True, slots=True)
class ProcessorProfile:
    """How weights are rounded for a target.

    Attributes:
        bits: of weights in products of integers.
        promise: where the products are exact, in words.
    """

    bits: Bits
    promise: str

    @property
    def exact_everywhere(self) -> bool:
        """Whether no processor loses a part of a product."""
        return self.bits == 7


PROFILES: dict[Target, ProcessorProfile] = {
    "any": ProcessorProfile(7, promise="exact on every processor"),
    "vnni": ProcessorProfile(8, promise="exact on x86 with VNNI only; other x86 processors saturate"),
    "arm64": ProcessorProfile(8, promise="exact on arm64; x86 processors without VNNI saturate"),
}


class TargetError(EdgeError):
    """Parity cannot be judged on this machine for that target."""


def check(target: Target, *, exact_here: bool | None) -> None:
    """Refuses a target whose products this processor cannot compute without an error.

    Args:
        target: what was asked for.
        exact_here: whether they are exact on this processor, as `edge.session.cpu` measures it; `None` where it
            cannot: then parity decides.

    Raises:
        TargetError: products would saturate here, and what is measured would say nothing about the target.
    """
    if not PROFILES[target].exact_everywhere and exact_here is False:
        raise TargetError(
            f"int8 for {target} cannot be judged here, because products saturate on this processor; export it on a "
            "machine of that kind, or with --target any"
        )
