"""The bytes of an ONNX file, and what its graph may hold: looked through without the onnx package, before any session.

A protobuf message is a sequence of fields, each a tag (`number << 3 | wire type`) and a value. What reads and writes
fields knows no message: its callers know the field numbers of ONNX. Malformed bytes raise `WireError`; every step
consumes at least one byte and never looks past the end, so that hostile bytes cannot loop or over-read.

A bundle is what `edge export` can write. An ONNX file may also read other files, loop without end, or call functions
that call functions: ONNX Runtime would do it. So every message of the file is walked, wherever a tensor or a node can
hide, and what a bundle has no use for is refused. A later edge may use more: it then changes the protocol.

    fields       only those that are named here; no functions, no training, no sparse tensors
    tensors      inside the file, with as many values as they have bytes for
    versions     opsets up to `NEWEST_OPSET`, IR versions up to `NEWEST_IR_VERSION`
    operators    those of `OPERATORS`: mathematics on arrays, without randomness, text, files or Loop
    subgraphs    the branches of an If and the body of a Scan, `MOST_NESTED` deep
    nodes        `MOST_NODES` in all, and `MOST_FIELDS` of everything

Source: https://protobuf.dev/programming-guides/encoding/ and onnx.proto of the ONNX specification.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

VARINT = 0
FIXED64 = 1
BYTES = 2
FIXED32 = 5

_MAX_VARINT_BYTES = 10  # 64 bits in groups of 7
_MAX_UINT64 = 2**64 - 1
_MAX_FIELD_NUMBER = 2**29 - 1

_MODEL_METADATA = 14  # ModelProto.metadata_props, a repeated StringStringEntryProto
_ENTRY_KEY = 1
_ENTRY_VALUE = 2

Buffer = bytes | memoryview
Value = int | memoryview


class WireError(ValueError):
    """The bytes are not a well-formed protobuf message."""


def fields(buffer: Buffer) -> Iterator[tuple[int, int, Value]]:
    """Walks the top level of one message.

    Args:
        buffer: the bytes of the message, without a length in front.

    Yields:
        `(number, wire type, value)`: the value is an int for varints and fixed-width fields (little-endian,
        unsigned), and a view into `buffer` for length-delimited ones. Nothing is copied.

    Raises:
        WireError: a tag, a length or a value is malformed or reaches past the end.
    """
    view = memoryview(buffer)
    position = 0
    while position < len(view):
        start = position
        tag, position = _read_varint(view, position)
        number, wire_type = tag >> 3, tag & 7
        if not 1 <= number <= _MAX_FIELD_NUMBER:
            raise WireError(f"field number {number} at byte {start} is out of range")
        if wire_type == VARINT:
            value, position = _read_varint(view, position)
            yield number, wire_type, value
            continue
        if wire_type == BYTES:
            size, position = _read_varint(view, position)
        elif wire_type in {FIXED64, FIXED32}:
            size = 8 if wire_type == FIXED64 else 4
        else:
            raise WireError(f"wire type {wire_type} at byte {start} does not exist in ONNX")
        if size > len(view) - position:
            raise WireError(
                f"field {number} at byte {start} announces {size} bytes, but only {len(view) - position} are left"
            )
        chunk = view[position : position + size]
        position += size
        yield number, wire_type, chunk if wire_type == BYTES else int.from_bytes(chunk, "little")


def varints(buffer: Buffer) -> Iterator[int]:
    """The numbers of a packed field, unsigned.

    Raises:
        WireError: the bytes end inside one.
    """
    view, position = memoryview(buffer), 0
    while position < len(view):
        value, position = _read_varint(view, position)
        yield value


def metadata(model: Buffer) -> list[tuple[str, bytes]]:
    """Lists the metadata entries of an ONNX model in the order of the file.

    Args:
        model: a serialised ModelProto.

    Returns:
        `(key, value)` pairs; a key may come twice. Undecodable bytes in a key are replaced.

    Raises:
        WireError: the model or one of its entries is malformed.
    """
    entries = []
    for number, wire_type, value in fields(model):
        if number == _MODEL_METADATA and wire_type == BYTES and isinstance(value, memoryview):
            parts = {n: bytes(v) for n, _, v in fields(value) if isinstance(v, memoryview)}
            entries.append((parts.get(_ENTRY_KEY, b"").decode(errors="replace"), parts.get(_ENTRY_VALUE, b"")))
    return entries


def encode_varint(value: int) -> bytes:
    """Encodes a non-negative integer in groups of seven bits, the lowest first."""
    if not 0 <= value <= _MAX_UINT64:
        raise WireError(f"{value} does not fit into an unsigned 64-bit varint")
    groups = bytearray()
    while value > 0x7F:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    groups.append(value)
    return bytes(groups)


def encode_integer(number: int, value: int) -> bytes:
    """Encodes one varint field."""
    return encode_varint(number << 3 | VARINT) + encode_varint(value)


def encode_bytes(number: int, value: bytes | str) -> bytes:
    """Encodes one length-delimited field: a string (as UTF-8), raw bytes, or a nested message."""
    raw = value.encode() if isinstance(value, str) else value
    return encode_varint(number << 3 | BYTES) + encode_varint(len(raw)) + raw


def encode_metadata(key: str, value: str) -> bytes:
    """Encodes one metadata entry of an ONNX model; appended to the file's bytes, it becomes part of the model."""
    return encode_bytes(_MODEL_METADATA, encode_bytes(_ENTRY_KEY, key) + encode_bytes(_ENTRY_VALUE, value))


def _read_varint(view: memoryview, position: int) -> tuple[int, int]:
    value = 0
    for index in range(_MAX_VARINT_BYTES):
        if position + index >= len(view):
            raise WireError(f"the bytes end inside a number at byte {position}")
        byte = view[position + index]
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            if value > _MAX_UINT64:
                break
            return value, position + index + 1
    raise WireError(f"the number at byte {position} is longer than 64 bits")


MOST_NODES: Final = 10_000  # an unrolled network of 28 rows has some thousands
MOST_NESTED: Final = 2  # a Scan in a branch of an If
MOST_FIELDS: Final = 500_000  # of all messages: some dozen for each node; walking through more takes seconds
# Versions count up by one or two a year; a number far above is no version.
NEWEST_OPSET: Final = 40
NEWEST_IR_VERSION: Final = 25

# Those of ONNX up to opset 26 that compute arrays from arrays and always end.
_STANDARD: Final = """
    Abs Acos Acosh Add And ArgMax ArgMin Asin Asinh Atan Atanh Attention AveragePool BatchNormalization BitShift
    BitwiseAnd BitwiseNot BitwiseOr BitwiseXor Cast CastLike Ceil Celu CenterCropPad Clip Col2Im Compress Concat
    ConcatFromSequence Constant ConstantOfShape Conv ConvInteger ConvTranspose Cos Cosh CumProd CumSum DepthToSpace
    DequantizeLinear Det Div Dropout DynamicQuantizeLinear Einsum Elu Equal Erf Exp Expand EyeLike Flatten Floor GRU
    Gather GatherElements GatherND Gelu Gemm GlobalAveragePool GlobalLpPool GlobalMaxPool Greater GreaterOrEqual
    GridSample GroupNormalization HardSigmoid HardSwish Hardmax Identity If InstanceNormalization IsInf IsNaN LRN
    LSTM LayerNormalization LeakyRelu Less LessOrEqual Log LogSoftmax LpNormalization LpPool MatMul MatMulInteger
    Max MaxPool Mean MeanVarianceNormalization Min Mish Mod Mul Neg NonZero Not OneHot Or PRelu Pad Pow QLinearConv
    QLinearMatMul QuantizeLinear RMSNormalization RNN Range Reciprocal ReduceL1 ReduceL2 ReduceLogSum
    ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare Relu Reshape Resize
    ReverseSequence RotaryEmbedding Round Scan ScatterElements ScatterND Selu SequenceAt SequenceConstruct
    SequenceLength Shape Shrink Sigmoid Sign Sin Sinh Size Slice Softmax Softplus Softsign SpaceToDepth Split
    SplitToSequence Sqrt Squeeze Sub Sum Swish Tan Tanh ThresholdedRelu Tile TopK Transpose Trilu Unsqueeze Where
    Xor
"""
# ONNX Runtime's own: what the int8 forms of edge are made of, and what its optimiser and quantiser write.
_MICROSOFT: Final = """
    BiasGelu DequantizeLinear DynamicQuantizeLSTM DynamicQuantizeMatMul FastGelu FusedConv FusedGemm FusedMatMul
    Gelu MatMulInteger16 MatMulIntegerToFloat MatMulNBits NhwcMaxPool QGemm QLinearAdd QLinearAveragePool
    QLinearConcat QLinearConv QLinearGlobalAveragePool QLinearLeakyRelu QLinearMul QLinearSigmoid QLinearSoftmax
    QuantizeLinear QuickGelu SkipLayerNormalization
"""
OPERATORS: Final = {"": frozenset(_STANDARD.split()), "com.microsoft": frozenset(_MICROSOFT.split())}
"""Operators by domain."""

# The fields of each message that a bundle may have, and the kind of message in them that is looked into.
_FIELDS: Final[dict[str, dict[int, str]]] = {
    "model": dict.fromkeys((2, 3, 4, 5, 6, 14), "") | {1: "ir", 7: "graph", 8: "opset"},
    "opset": {1: "domain", 2: "version"},
    "graph": dict.fromkeys((2, 10, 11, 12, 13, 14, 16), "") | {1: "node", 5: "tensor"},
    "node": dict.fromkeys((1, 2, 3, 4, 6, 7, 9), "") | {5: "attribute"},
    "attribute": dict.fromkeys((1, 2, 3, 4, 7, 8, 9, 13, 20), "") | {5: "tensor", 6: "graph"},
    "tensor": dict.fromkeys((1, 2, 4, 5, 7, 8, 9, 10, 11, 12, 14, 16), ""),
}
_FORBIDDEN: Final = {
    ("model", 20): "a training part",
    ("model", 25): "functions of its own",
    ("graph", 15): "sparse tensors",
    ("node", 8): "functions of its own",
    ("attribute", 10): "lists of tensors",
    ("attribute", 11): "lists of graphs",
    ("attribute", 21): "functions of its own",
    ("attribute", 22): "sparse tensors",
    ("attribute", 23): "sparse tensors",
    ("tensor", 6): "tensors of text",
}
_NODE_OPERATOR, _NODE_DOMAIN = 4, 7
_TENSOR_EXTERNAL_DATA, _TENSOR_DATA_LOCATION = 13, 14
_TENSOR_DIMS = 1
_VALUES_PER_BYTE: Final = 2  # of four bits each
_MOST_AXES: Final = 64
_NEWEST: Final = {"version": ("opset", NEWEST_OPSET), "ir": ("IR version", NEWEST_IR_VERSION)}
_DEEPEST_MESSAGE: Final = 64  # deeper nesting of messages is no model


@dataclass(slots=True)
class Contents:
    """What was found in a graph.

    Attributes:
        nodes: how many there are, those of subgraphs among them.
        fields: how many were looked at; looking ends where there are more than a bundle has.
        nested: how deep subgraphs lie in each other.
        is_external: whether a tensor is stored in another file, or says that it is.
        strange: what no bundle holds, in words.
    """

    nodes: int = 0
    fields: int = 0
    nested: int = 0
    is_external: bool = False
    strange: list[str] = field(default_factory=list)


def contents(model: Buffer) -> Contents:
    """Walks through a serialised ModelProto.

    Raises:
        WireError: a message is malformed, or nested deeper than any real model.
    """
    found = Contents()
    try:
        _walk(model, "model", found, nested=0, depth=_DEEPEST_MESSAGE)
    except _TooManyError:
        found.strange.append(f"more than {MOST_FIELDS} parts")
    check_size(found)
    return found


class _TooManyError(Exception):
    """Looking further would take long, and what was found is enough."""


def check_size(found: Contents) -> None:
    """Notes what is more than a bundle has, when all of a graph was walked; notes are left once each.

    Args:
        found: takes the notes.
    """
    found.strange = list(dict.fromkeys(found.strange))
    if found.nodes > MOST_NODES:
        found.strange.append(f"{found.nodes} nodes (at most {MOST_NODES})")
    if found.nested > MOST_NESTED:
        found.strange.append(f"subgraphs {found.nested} deep (at most {MOST_NESTED})")


def _walk(message: Buffer, kind: str, found: Contents, *, nested: int, depth: int) -> None:
    if depth == 0:
        raise WireError("the messages are nested too deeply")
    known = _FIELDS[kind]
    for number, _, value in fields(message):
        found.fields += 1
        if found.fields > MOST_FIELDS:
            raise _TooManyError
        if kind == "tensor" and (number == _TENSOR_EXTERNAL_DATA or (number == _TENSOR_DATA_LOCATION and value != 0)):
            found.is_external = True
        elif number not in known:
            found.strange.append(_FORBIDDEN.get((kind, number), f"field {number} of a {kind}"))
        elif known[number] in _NEWEST:
            words, newest = _NEWEST[known[number]]
            if not isinstance(value, int) or not 1 <= value <= newest:
                found.strange.append(f"{words} {value if isinstance(value, int) else '(none)'}")
        elif (child := known[number]) and isinstance(value, memoryview):
            if child == "domain":
                _check_domain(bytes(value).decode(errors="replace"), found)
                continue
            inner = nested + (kind == "attribute" and child == "graph")
            found.nested = max(found.nested, inner)
            _walk(value, child, found, nested=inner, depth=depth - 1)
    if kind == "node":
        found.nodes += 1
        _check_operator(message, found)
    elif kind == "tensor":
        _check_values(message, found)


def _check_values(tensor: Buffer, found: Contents) -> None:
    """A tensor that claims more values than its bytes can hold is a claim on memory."""
    values, axes = 1, 0
    for number, _, value in fields(tensor):
        if number == _TENSOR_DIMS:
            for axis in [value] if isinstance(value, int) else varints(value):
                values, axes = values * axis, axes + 1
                if axes > _MOST_AXES:
                    break
    if values > _VALUES_PER_BYTE * len(tensor) or axes > _MOST_AXES:
        found.strange.append("a tensor of more values than it has bytes")


def _check_domain(domain: str, found: Contents) -> None:
    if domain not in {*OPERATORS, "ai.onnx"}:
        found.strange.append(f"operators of {domain}")


def _check_operator(node: Buffer, found: Contents) -> None:
    """Every operator and domain that the node names counts: of a field that comes twice, readers take the last."""
    named: dict[int, list[str]] = {_NODE_OPERATOR: [], _NODE_DOMAIN: []}
    for number, _, value in fields(node):
        if number in named and isinstance(value, memoryview):
            named[number].append(bytes(value).decode(errors="replace"))
    for domain in named[_NODE_DOMAIN] or [""]:
        for operator in named[_NODE_OPERATOR] or [""]:
            check_operator(domain, operator, found)


def check_operator(domain: str, operator: str, found: Contents) -> None:
    """Notes an operator that no bundle uses.

    Args:
        domain: of the operator; empty for ONNX's own.
        operator: its name.
        found: takes the note.
    """
    if operator not in OPERATORS.get("" if domain == "ai.onnx" else domain, ()):
        found.strange.append(f"the operator {f'{domain}.' * bool(domain)}{operator or '(none)'}")
