"""The smallest models that ask this machine a question: of one node each, written without the ONNX package.

Every ONNX Runtime of the last years reads them, and every provider that computes has a kernel for a sum of floats.

Whether products of int8 lose a part of their sums on this processor is measured, because no list of instructions says.
x86 kernels with AVX2 and without VNNI add pairs of products of a uint8 and an int8 in 16 bits, and saturate
(onnxruntime#5849, #6004, #14642). Those with VNNI do not, and neither do those of x86 before AVX2 and of arm64, whether
it has the instructions for dot products or not.
"""

from edge.bundle.wire import encode_bytes, encode_integer
from edge.errors import ProviderError

INPUT, OUTPUT = "x", "y"

TERMS = 64
"""Products in each sum of `products`: more than a register holds, so that a kernel takes its usual way."""

_COLUMNS = 16
_OPSET = 13
_IR_VERSION = 7

# Element types of ONNX's TensorProto.
_FLOAT, _UINT8, _INT8, _INT32 = 1, 2, 3, 6


def addition() -> bytes:
    """A model that adds a float32 tensor of shape [1] to itself."""
    node = encode_bytes(1, INPUT) * 2 + encode_bytes(2, OUTPUT) + encode_bytes(4, "Add")
    return _model(node, _value(INPUT, _FLOAT, 1), _value(OUTPUT, _FLOAT, 1))


def products(weight: int) -> bytes:
    """A model that multiplies uint8 [1, TERMS] by a matrix of int8, and gives the sums as int32 [1, 16].

    Args:
        weight: what the matrix is full of, 0 to 127. It is a constant, as in every int8 bundle, because a kernel
            rearranges constants when the session is made.
    """
    matrix = b"".join(encode_integer(1, size) for size in (TERMS, _COLUMNS))
    matrix += (
        encode_integer(2, _INT8) + encode_bytes(8, "weights") + encode_bytes(9, bytes([weight]) * TERMS * _COLUMNS)
    )
    inputs = encode_bytes(1, INPUT) + encode_bytes(1, "weights")
    node = inputs + encode_bytes(2, OUTPUT) + encode_bytes(4, "MatMulInteger")
    return _model(node, _value(INPUT, _UINT8, 1, TERMS), _value(OUTPUT, _INT32, 1, _COLUMNS), encode_bytes(5, matrix))


def _model(node: bytes, takes: bytes, gives: bytes, constants: bytes = b"") -> bytes:
    """A serialised ModelProto of one node."""
    graph = (
        encode_bytes(1, node) + encode_bytes(2, "probe") + constants + encode_bytes(11, takes) + encode_bytes(12, gives)
    )
    opset = encode_bytes(1, "") + encode_integer(2, _OPSET)
    return encode_integer(1, _IR_VERSION) + encode_bytes(7, graph) + encode_bytes(8, opset)


def _value(name: str, element: int, *axes: int) -> bytes:
    """A ValueInfoProto."""
    shape = b"".join(encode_bytes(1, encode_integer(1, axis)) for axis in axes)
    tensor = encode_integer(1, element) + encode_bytes(2, shape)
    return encode_bytes(1, name) + encode_bytes(2, encode_bytes(1, tensor))


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
        return measured_sum(WEIGHT) == PIXEL * WEIGHT * TERMS
    except ProviderError:
        return None


def measured_sum(weight: int) -> int:
    """The sum of `TERMS` products of `PIXEL` and a weight, as ONNX Runtime computes it on this processor.

    Args:
        weight: 0 to 127.

    Raises:
        RuntimeMissingError: onnxruntime is not installed, or broken.
        ProviderError: onnxruntime cannot load the model.
    """
    import numpy as np

    from edge.session.providers import Options, open_on  # which asks `addition` itself

    native = open_on(products(weight), "cpu", Options(), None)
    (sums,) = native.run([OUTPUT], {INPUT: np.full((1, TERMS), PIXEL, np.uint8)})
    return int(sums.min())
