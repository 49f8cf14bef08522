"""The int8 candidates of recurrent models."""

from collections.abc import Callable

from onnx import ModelProto, helper

from edge_export.graph.builder import GraphBuilder
from edge_export.int8 import rewrite
from edge_export.int8.material import Material, Recurrences
from edge_export.int8.recurrent import branched, fused, stepped
from edge_export.int8.recurrent.rounded import Rounded, round_layers
from edge_export.int8.rewrite import DYNAMIC_LSTM_OPERATOR, MICROSOFT, RECURRENT, beyond_onnx
from edge_export.int8.rounding import Bits, Quantised, copy_of

# Takes the builder, the layers, and the name of their result.
Write = Callable[[GraphBuilder, tuple[Rounded, ...], str], None]


def weight_only(material: Material) -> Quantised | None:
    """int8 weights that become float when the session loads."""
    operators = material.operators
    if not operators & RECURRENT or "Conv" in operators:
        return None
    # Its products are fp32, so that 8 bits are right on every processor.
    return _rewritten(material, 8, _in_floats) or Quantised(rewrite.weight_only(material.model))


def dynamic_lstm(material: Material) -> Quantised | None:
    """The fused int8 operator for every LSTM."""
    operators = material.operators
    if "LSTM" not in operators or "Conv" in operators:
        return None

    def write(builder: GraphBuilder, layers: tuple[Rounded, ...], features: str) -> None:
        fused.write(builder, builder, layers, features, dynamic=True)

    as_stack = _rewritten(material, material.profile.bits, write)
    return as_stack or Quantised(rewrite.dynamic(material.model, material.profile.bits), (DYNAMIC_LSTM_OPERATOR,))


def row_by_row(material: Material) -> Quantised | None:
    """Integer products, a row of the picture at a time."""

    def write(builder: GraphBuilder, layers: tuple[Rounded, ...], features: str) -> None:
        stepped.write_batch_size(builder)
        stepped.write(builder, builder, layers, features, unsigned=material.profile.unsigned)

    return _rewritten(material, 8, write)


def both(material: Material) -> Quantised | None:
    """The fused operators for a few pictures, row by row for many."""
    # Both branches share the weights: the fused LSTM decides their bits.
    bits = material.profile.bits if "LSTM" in material.operators else 8

    def write(builder: GraphBuilder, layers: tuple[Rounded, ...], features: str) -> None:
        branched.write(builder, layers, features, unsigned=material.profile.unsigned and bits == 8)

    return _rewritten(material, bits, write)


def _in_floats(builder: GraphBuilder, layers: tuple[Rounded, ...], features: str) -> None:
    fused.write(builder, builder, layers, features, dynamic=False)


def _rewritten(material: Material, bits: Bits, write: Write) -> Quantised | None:
    """The model with its recurrent layers written anew; `None` if it is no stack of them."""
    if (found := material.recurrences) is None:
        return None
    layers = round_layers(found.stack, found.observed, bits)
    written = _around(found, layers, write)
    own = beyond_onnx(written.graph.node)
    if own:
        written.opset_import.append(helper.make_opsetid(MICROSOFT, 1))
    return Quantised(written, tuple(sorted(own)), calibrated=True, twin=_around(found, layers, _in_floats))


def _around(found: Recurrences, layers: tuple[Rounded, ...], write: Write) -> ModelProto:
    """The model with those layers in the place of its own."""
    stack = found.stack
    builder = GraphBuilder()
    if found.gain is None:
        write(builder, layers, stack.features)
    else:
        write(builder, layers, f"{stack.features}_equalised")
        gain = builder.weight("features_gain", found.gain)
        builder.node("Mul", [f"{stack.features}_equalised", gain], stack.features)
    builder.nodes.extend(stack.rest)
    used = {name for node in stack.rest for name in node.input}
    builder.weights.extend(weight for weight in found.rest.graph.initializer if weight.name in used)
    _unname_constants(builder)
    written = copy_of(found.rest)
    del written.graph.node[:], written.graph.initializer[:]
    written.graph.node.extend(builder.nodes)
    written.graph.initializer.extend(builder.weights)
    return written


def _unname_constants(builder: GraphBuilder) -> None:
    """Takes the names off nodes that fold away when the session loads: nobody sees them, and each costs bytes."""
    constant = {weight.name for weight in builder.weights}
    for node in builder.nodes:
        if node.input and constant.issuperset(node.input):
            node.name = ""
            constant.update(node.output)
