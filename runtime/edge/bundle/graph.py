"""What the graph of a bundle may hold: looked through before any session is made, without the onnx package.

A bundle is what `edge export` can write. An ONNX file may also read other files, loop without end, or call functions
that call functions: ONNX Runtime would do it. So every message of the file is walked, wherever a tensor or a node can
hide, and what a bundle has no use for is refused. A later edge may use more: it then changes the protocol.

    fields       only those that are named here; no functions, no training, no sparse tensors
    tensors      inside the file, with as many values as they have bytes for
    versions     opsets up to `NEWEST_OPSET`, IR versions up to `NEWEST_IR_VERSION`
    operators    those of `OPERATORS`: mathematics on arrays, without randomness, text, files or Loop
    subgraphs    the branches of an If and the body of a Scan, `MOST_NESTED` deep
    nodes        `MOST_NODES` in all, and `MOST_FIELDS` of everything

Source: onnx.proto of the ONNX specification.
"""

from dataclasses import dataclass, field
from typing import Final

from edge.bundle.wire import Buffer, WireError, fields, varints

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
