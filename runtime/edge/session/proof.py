"""A one-node model of about a hundred bytes: the smallest question that only a working provider can answer.

A session of it succeeds exactly when the provider's libraries load and its device is there, whatever the nodes
of the user's model need. Written byte by byte, because the runtime has no onnx package.
"""

from edge.bundle.wire import encode_bytes, encode_integer

INPUT = "x"
OUTPUT = "y"

# An opset and IR that every ONNX Runtime of the last years reads.
_OPSET = 13
_IR_VERSION = 7
_FLOAT = 1


def model() -> bytes:
    """Returns a serialised ONNX model that adds a float32 tensor of shape [1] to itself."""
    node = encode_bytes(1, INPUT) + encode_bytes(1, INPUT) + encode_bytes(2, OUTPUT) + encode_bytes(4, "Add")
    graph = b"".join(
        (
            encode_bytes(1, node),
            encode_bytes(2, "proof"),
            encode_bytes(11, _value(INPUT)),
            encode_bytes(12, _value(OUTPUT)),
        )
    )
    opset = encode_bytes(1, "") + encode_integer(2, _OPSET)
    return encode_integer(1, _IR_VERSION) + encode_bytes(7, graph) + encode_bytes(8, opset)


def _value(name: str) -> bytes:
    """A ValueInfoProto: a float32 tensor with one axis of size 1."""
    shape = encode_bytes(1, encode_integer(1, 1))
    tensor = encode_integer(1, _FLOAT) + encode_bytes(2, shape)
    return encode_bytes(1, name) + encode_bytes(2, encode_bytes(1, tensor))
