"""What a recurrent network says after each row, as a piece of graph that can be put behind a bundle's own.

The piece computes the logits of 28 networks that have read 1, 2, ... 28 rows: 28 copies of one image go through the
network's own operators with `sequence_lens` 1 to 28, so that a bidirectional network begins its way back at the row
that it has come to, and a stack of layers knows no more than the rows read. protobuf merges a message that comes twice:
appended to the bytes of the bundle, the nodes stand behind those of its graph and read the same weights by their names.
So the piece holds no weight, takes about half a kilobyte, and costs a prediction nothing.

Row by row in integers there is no `sequence_lens`. For an int8 bundle the piece is taken from `dequantised`, the same
integer weights in the float operators, and holds what makes them float, and the biases if the bundle has others.

Source: Protocol Buffers documentation, encoding, "Last One Wins": embedded messages are merged.
"""

import itertools

import numpy as np
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper

from edge.bundle import bundle
from edge.bundle.input import COLUMNS, ROWS
from edge.bundle.manifest import Precision
from edge.explanation import belief
from edge.session import session as thin_session
from edge_export.graph.builder import IMAGE, LOGITS
from edge_export.int8.quantisation import QuantisedModel
from edge_export.model.trained_model import TrainedModel
from edge_export.parity.comparison import ParityError
from edge_export.parity.tolerances import TOLERANCES
from edge_train.models.specification import Recurrent

# Inputs of ONNX's recurrent operators: X, W, R, B, sequence_lens.
_LENGTHS_AT = 4
_RECURRENT = frozenset({"LSTM", "GRU", "RNN"})

PREFIX = "r."


def of(trained: TrainedModel, model: ModelProto, quantised: QuantisedModel | None) -> bytes | None:
    """The piece for a bundle; `None` where edge does not know that the network reads row by row.

    Args:
        trained: the model.
        model: the graph that is packed.
        quantised: how it came about, if it is int8.
    """
    if trained.checkpoint is None or not isinstance(trained.checkpoint.specification, Recurrent):
        return None
    dequantised = model if quantised is None else quantised.dequantised
    assert dequantised is not None, "edge's own recurrent models are stacks of layers"
    return fragment(model, dequantised)


def fragment(model: ModelProto, dequantised: ModelProto) -> bytes:
    """The bytes that give a model the output `row_logits` when they are appended to its own.

    Args:
        model: the graph that is packed.
        dequantised: the same network in float operators; the model itself where it has no others. What both hold under
            one name, weights and what is made of weights alone, is read from the model.

    Returns:
        A serialised ModelProto of which nothing is set but nodes, constants and an output of the graph: `row_logits`,
        float32 [28, classes], for an image [1, 28, 28].
    """
    piece = GraphProto()
    shared = _shared(model, dequantised)
    names = dict(zip(shared, shared, strict=True))
    counter = itertools.count()

    def renamed(name: str) -> str:
        if name not in names:
            names[name] = f"{PREFIX}{next(counter)}"
        return names[name]

    # Written as numbers, not as raw bytes: small ones take a byte each.
    lengths = helper.make_tensor(f"{PREFIX}lengths", TensorProto.INT32, [ROWS], range(1, ROWS + 1))
    shape = helper.make_tensor(f"{PREFIX}shape", TensorProto.INT64, [3], [ROWS, ROWS, COLUMNS])
    piece.initializer.extend([lengths, shape])
    piece.node.append(helper.make_node("Expand", [IMAGE, shape.name], [renamed(IMAGE)]))
    needed = _needed(dequantised)
    for weight in dequantised.graph.initializer:
        if weight.name in needed and weight.name not in shared:
            piece.initializer.add().CopyFrom(weight)
            piece.initializer[-1].name = renamed(weight.name)
    names[LOGITS] = belief.OUTPUT
    for node in dequantised.graph.node:
        if node.output[0] in shared or needed.isdisjoint(node.output):
            continue
        copy = piece.node.add()
        copy.CopyFrom(node)
        copy.name = ""
        copy.input[:] = [renamed(name) for name in node.input]
        copy.output[:] = [renamed(name) for name in node.output]
        if node.op_type in _RECURRENT:
            copy.input[:] = [*copy.input, *[""] * (_LENGTHS_AT - len(copy.input)), lengths.name]
    classes = next(output for output in dequantised.graph.output if output.name == LOGITS).type.tensor_type.shape.dim[1]
    piece.output.append(helper.make_tensor_value_info(belief.OUTPUT, TensorProto.FLOAT, [ROWS, classes.dim_value]))
    serialised: bytes = ModelProto(graph=piece).SerializeToString(deterministic=True)
    return serialised


def check(packed: bytes, precision: Precision) -> None:
    """Asserts that the last row, where a bundle has rows, says what it says itself: on every golden image.

    In fp32 and fp16 by the tolerance of parity. The piece of an int8 bundle rounds its weights and no state, and the
    bundle both: they may differ by as much as the bundle may from PyTorch on the same image.

    Args:
        packed: the bytes of the bundle.
        precision: decides the tolerance.

    Raises:
        ParityError: they differ by more, or the piece does not run behind the graph.
    """
    source = bundle.read(packed)
    if (data := source.data_with_rows) is None:
        return
    running = thin_session.create(data, provider="cpu", threads=1, manifest=source.manifest)
    evidence = source.evidence
    limit = TOLERANCES[precision].logit_error
    for index, (image, kind) in enumerate(zip(evidence.images, evidence.kinds, strict=True)):
        allowed = evidence.limit(index) if limit is None else limit
        rows, logits = running.fetch((belief.OUTPUT, LOGITS), image[None])
        error = float(np.abs(rows[-1] - logits[0]).max())
        if not error <= allowed:
            raise ParityError(
                f"the rows of {source.manifest.name} end {error:.3g} off its logits on the golden image {kind}, where "
                f"{allowed:.2g} is allowed; nothing was written; report this model"
            )


def _needed(model: ModelProto) -> set[str]:
    """The tensors that the logits are computed from."""
    needed = {LOGITS}
    for node in reversed(model.graph.node):
        if not needed.isdisjoint(node.output):
            needed.update(node.input)
    return needed


def _shared(model: ModelProto, dequantised: ModelProto) -> set[str]:
    """Weights, and what is made of weights alone, that both graphs hold under one name; and the name of no tensor."""
    shared = {weight.name for weight in model.graph.initializer if weight in dequantised.graph.initializer} | {""}
    for node in model.graph.node:
        if shared.issuperset(node.input) and any(_same(node, other) for other in dequantised.graph.node):
            shared.update(node.output)
    return shared


def _same(node: NodeProto, other: NodeProto) -> bool:
    """Whether two nodes are the same, whatever they are called."""
    return all(
        getattr(node, part) == getattr(other, part) for part in ("op_type", "domain", "input", "output", "attribute")
    )
