"""Finds out whether an ONNX model keeps weights in other files, without the onnx package.

Tensors sit in the graph's initialisers, in the attributes of its nodes, and so on inside the graphs that are
attributes themselves (the branches of an If), and in functions. One tensor stored elsewhere is enough: such a
file is no self-contained model.
"""

from edge.bundle.wire import Buffer, WireError, fields

# Which nested message to look into, by the message it is a field of. Source: onnx.proto.
_CHILDREN: dict[str, dict[int, str]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {},
}
_TENSOR_DATA_LOCATION = 14
_EXTERNAL = 1
_MAX_DEPTH = 64  # an If in an If costs 3 levels; deeper nesting is hostile


def has_external_data(model: Buffer) -> bool:
    """Tells whether any tensor of the model is stored in another file.

    Args:
        model: a serialised ModelProto.

    Raises:
        WireError: a message is malformed, or nested deeper than any real model.
    """
    return _contains_external(model, "model", _MAX_DEPTH)


def _contains_external(message: Buffer, kind: str, depth: int) -> bool:
    if depth == 0:
        raise WireError("the messages are nested too deeply")
    children = _CHILDREN[kind]
    for number, _, value in fields(message):
        if kind == "tensor" and number == _TENSOR_DATA_LOCATION and value == _EXTERNAL:
            return True
        child = children.get(number)
        if child and isinstance(value, memoryview) and _contains_external(value, child, depth - 1):
            return True
    return False
