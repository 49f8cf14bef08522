"""The integer forms of recurrent nodes among any others, and the candidates that they are.

The candidates are those of `forms`, for networks that are no stack of layers: each recurrent node is written anew in
its place, with the same inputs and outputs, and everything around it stays. Two directions are two `Scan`s, one of
them backwards, whose states are put side by side; the layers of a stack follow one another.

`branched` computes what lies between the first recurrent node and the first tensor that alone decides all that follows
in two ways, the fused operators for a few pictures and row by row for many.
"""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from onnx import ModelProto, TensorProto, helper
from onnx_ir.passes import common

from edge_export.graph import recurrent_graph
from edge_export.graph.builder import IMAGE, GraphBuilder
from edge_export.int8 import operators
from edge_export.int8.calibration import CalibratedModel
from edge_export.int8.operators import DYNAMIC_LSTM_OPERATOR, MICROSOFT, RECURRENT, beyond_onnx
from edge_export.int8.quantisation import Bits, QuantisedModel
from edge_export.int8.recurrent import cells, scan
from edge_export.int8.recurrent.forms import (
    choice,
    fused_operator,
    has_integer_products,
    unname_constants,
)
from edge_export.int8.recurrent.nodes import CalibratedNodes, RecurrentNode
from edge_export.int8.recurrent.quantised_layers import QuantisedLayer, quantise_layer

# Takes where it writes to, a node of the graph, and its layer in integers.
Write = Callable[["_Builders", RecurrentNode, QuantisedLayer], None]
Layers = Mapping[int, QuantisedLayer]


@dataclass(frozen=True, slots=True)
class _Builders:
    """`constants` takes weights and what is computed from them alone, `here` the nodes that depend on the picture."""

    constants: GraphBuilder
    here: GraphBuilder


# --- candidates -------------------------------------------------------------------------------------------------------


def weight_only(source: CalibratedModel) -> QuantisedModel | None:
    """int8 weights that become float when the session loads."""
    if source.stack is not None:
        return None
    if not source.operators & RECURRENT:
        everything = RECURRENT | operators.PRODUCTS | {operators.CONVOLUTION}  # the recurrent ones in bodies
        return QuantisedModel(operators.quantise_weights(source.model, everything))
    # Its products are fp32, so that 8 bits are right on every processor.
    return _rewritten(source, 8, _write_floats) or QuantisedModel(operators.quantise_weights(source.model))


def dynamic_lstm(source: CalibratedModel) -> QuantisedModel | None:
    """The fused int8 operator for every LSTM."""
    if source.stack is not None or "LSTM" not in source.operators:
        return None
    bits = source.profile.bits
    as_nodes = _rewritten(source, bits, _write_integer_lstms, per_row=False)
    return as_nodes or QuantisedModel(operators.quantise_lstms(source.model, bits), (DYNAMIC_LSTM_OPERATOR,))


def stepped(source: CalibratedModel) -> QuantisedModel | None:
    """Integer products, a row of the sequence at a time."""
    return _rewritten(source, source.profile.bits, _write_steps)


def branched(source: CalibratedModel) -> QuantisedModel | None:
    """The fused operators for a few pictures, row by row for many."""
    if (nodes := source.nodes) is None or (end := _end_of_branches(nodes)) is None:
        return None
    fused = any(has_integer_products(one.layer) for one in nodes.nodes.values())
    layers = _quantised(nodes, source.profile.bits, per_row=not fused)
    place, result = end
    return _finished(nodes, _branched_graph(nodes, layers, place, result))


def _rewritten(source: CalibratedModel, bits: Bits, write: Write, *, per_row: bool = True) -> QuantisedModel | None:
    """The model with its recurrent nodes written anew; `None` where none of them can be integers."""
    if (nodes := source.nodes) is None:
        return None
    layers = _quantised(nodes, bits, per_row=per_row)
    to = _Builders(GraphBuilder(), GraphBuilder())
    _write_nodes(to, nodes, layers, range(len(nodes.rest.graph.node)), write)
    to.constants.nodes.extend(to.here.nodes)
    return _finished(nodes, to.constants)


def _quantised(nodes: CalibratedNodes, bits: Bits, *, per_row: bool) -> Layers:
    return {
        place: quantise_layer(one.layer, one.occurring, one.entering, bits, per_row=per_row)
        for place, one in nodes.nodes.items()
    }


def _write_nodes(to: _Builders, nodes: CalibratedNodes, layers: Layers, places: range, write: Write) -> None:
    """The nodes of the graph at those places, the recurrent ones written anew."""
    for place in places:
        if place in layers:
            write(to, nodes.nodes[place], layers[place])
        else:
            to.here.nodes.append(copy.deepcopy(nodes.rest.graph.node[place]))


def _finished(nodes: CalibratedNodes, builder: GraphBuilder) -> QuantisedModel:
    own = {weight.name for weight in builder.weights}
    builder.weights.extend(weight for weight in nodes.rest.graph.initializer if weight.name not in own)
    unname_constants(builder)
    model = copy.deepcopy(nodes.rest)
    del model.graph.node[:], model.graph.initializer[:], model.graph.value_info[:]
    model.graph.node.extend(builder.nodes)
    model.graph.initializer.extend(builder.weights)
    beyond = beyond_onnx(model)
    if beyond:
        model.opset_import.append(helper.make_opsetid(MICROSOFT, 1))
    lean = ir.from_proto(model)
    common.RemoveUnusedNodesPass()(lean)  # pixels as floats, where nothing takes them so any more
    result: ModelProto = ir.to_proto(lean)
    del result.graph.value_info[:]
    return QuantisedModel(result, beyond, calibrated=True)


# --- a node row by row ------------------------------------------------------------------------------------------------


def _write_steps(to: _Builders, one: RecurrentNode, quantised: QuantisedLayer) -> None:
    sequence = _bytes(to, one)
    sequence_read, *ends_read = [*one.node.output, "", ""][:3]
    weights = scan.store_weights(to.constants, quantised)
    directions = [scan.Cell(to.constants, quantised, direction, weights) for direction in range(one.layer.directions)]
    kept = TensorProto.FLOAT if sequence_read else None
    ends = [scan.scan(to.here, cell, sequence, _starts(to, one, cell, sequence), kept) for cell in directions]
    if sequence_read:
        _side_by_side(to, one, [end.sequence for end in ends], sequence_read, axis=1)
    for place, end in enumerate(ends_read):
        if end:
            _side_by_side(to, one, [parts.states[place] for parts in ends], end, axis=0)


def _bytes(to: _Builders, one: RecurrentNode) -> str:
    """What enters as bytes, uint8 [T, batch, inputs]; pixels are bytes before they become floats."""
    name = one.layer.name
    if one.moves is not None:
        tensor = IMAGE
        for place, node in enumerate(one.moves):
            moved = copy.deepcopy(node)
            moved.input[0], moved.output[0] = tensor, f"{name}.pixels_{place}"
            moved.name = tensor = moved.output[0]
            to.here.nodes.append(moved)
        return tensor
    scale = to.constants.weight(f"{name}.input_unit", np.array(one.entering.scale, np.float32))
    zero = to.constants.weight(f"{name}.input_zero", np.array(one.entering.zero_point, np.uint8))
    return to.here.node("QuantizeLinear", [one.node.input[0], scale, zero], f"{name}.bytes")


def _starts(to: _Builders, one: RecurrentNode, cell: scan.Cell, sequence: str) -> list[str]:
    """The states that a direction begins with: those that the node is given, or zeros."""
    given = one.node.input[cells.INITIAL_H : cells.INITIAL_C + 1]
    zeros: list[str] = []
    if not all(given) or len(given) < _states(one):
        batch = f"{one.layer.name}.batch"
        if batch not in {node.output[0] for node in to.here.nodes}:
            shape = to.here.node("Shape", [sequence], f"{one.layer.name}.shape")
            to.here.node("Gather", [shape, to.constants.weight("axis_1", np.array([1], np.int64))], batch, axis=0)
        zeros = scan.zero_states(to.here, cell, batch)
    starts = []
    for place in range(_states(one)):
        if place < len(given) and given[place]:
            index = to.constants.weight(f"direction_{cell.direction}", np.array(cell.direction, np.int64))
            starts.append(to.here.node("Gather", [given[place], index], f"{cell.name}.start_{place}", axis=0))
        else:
            starts.append(zeros[place])
    return starts


def _states(one: RecurrentNode) -> int:
    return 2 if one.layer.cell == "LSTM" else 1


def _side_by_side(to: _Builders, one: RecurrentNode, parts: list[str], output: str, *, axis: int) -> None:
    """The states of each direction along an axis of their own, as the node gives them, under the name that it gives."""
    axes = to.constants.weight(f"axis_{axis}", np.array([axis], np.int64))
    apart = [to.here.node("Unsqueeze", [part, axes], f"{part}_apart") for part in parts]
    if len(apart) == 2:
        to.here.node("Concat", apart, output, axis=axis)
    else:
        to.here.nodes[-1].output[0] = to.here.nodes[-1].name = output
    _scaled_back(to, one, [output])


def _scaled_back(to: _Builders, one: RecurrentNode, outputs: list[str]) -> None:
    """Rectified states as the rest of the graph knows them; the last node has written those outputs."""
    if one.unit is None:
        return
    unit = to.constants.weight(f"{one.layer.name}.unit", one.unit[:, None, :])  # (D, 1, H)
    written = to.here.nodes[-1]
    for place, output in enumerate(written.output):
        if output in outputs and output:
            written.output[place] = written.name = f"{output}_equalised"
            to.here.node("Mul", [f"{output}_equalised", unit], output)


# --- a node fused -----------------------------------------------------------------------------------------------------


def _write_fused(to: _Builders, one: RecurrentNode, quantised: QuantisedLayer, *, integers: bool) -> None:
    fused = fused_operator(to.constants, quantised, integers=integers)
    after = [*fused.operands, *[""] * (cells.INITIAL_C - len(fused.operands))]
    for place in (cells.INITIAL_H, cells.INITIAL_C):
        if place < len(one.node.input):
            after[place - 1] = one.node.input[place]
    while not after[-1]:
        after.pop()
    told = recurrent_graph.attributes(one.layer)
    to.here.node(fused.operator, [one.node.input[0], *after], one.layer.name, domain=fused.domain, **told)
    to.here.nodes[-1].output[:] = one.node.output
    _scaled_back(to, one, list(one.node.output))


def _write_floats(to: _Builders, one: RecurrentNode, quantised: QuantisedLayer) -> None:
    _write_fused(to, one, quantised, integers=False)


def _write_integer_lstms(to: _Builders, one: RecurrentNode, quantised: QuantisedLayer) -> None:
    _write_fused(to, one, quantised, integers=one.layer.cell == "LSTM")


def _write_few(to: _Builders, one: RecurrentNode, quantised: QuantisedLayer) -> None:
    _write_fused(to, one, quantised, integers=has_integer_products(one.layer))


# --- branched ---------------------------------------------------------------------------------------------------------


def _end_of_branches(nodes: CalibratedNodes) -> tuple[int, str] | None:
    """The first place after which a single tensor, that one, is all that is read of what the recurrent nodes began."""
    graph = nodes.rest.graph
    first, last = min(nodes.nodes), max(nodes.nodes)
    interface = {output.name for output in graph.output}
    for end in range(last, len(graph.node)):
        inside = {name for node in graph.node[first : end + 1] for name in node.output}
        after = {name for node in graph.node[end + 1 :] for name in node.input}
        crossing = inside & (after | interface)
        if len(crossing) == 1:
            return end, crossing.pop()
    return None


def _branched_graph(nodes: CalibratedNodes, layers: Layers, end: int, result: str) -> GraphBuilder:
    """batch_size < few ? fused : stepped, between the first recurrent node and the tensor of that name."""
    first = min(nodes.nodes)
    builder, before, after = GraphBuilder(), GraphBuilder(), GraphBuilder()
    before.nodes.extend(map(copy.deepcopy, nodes.rest.graph.node[:first]))
    after.nodes.extend(map(copy.deepcopy, nodes.rest.graph.node[end + 1 :]))
    scan.write_batch_size(builder)
    branches = []
    for suffix, write in (("few", _write_few), ("many", _write_steps)):
        part = GraphBuilder()
        _write_nodes(_Builders(builder, part), nodes, layers, range(first, end + 1), write)
        own = f"{result}_of_{suffix}"
        for node in part.nodes:
            node.name = ""
            node.input[:] = [own if name == result else name for name in node.input]
            node.output[:] = [own if name == result else name for name in node.output]
        branches.append((part.nodes, own))
    few, many = branches
    after.nodes.insert(0, choice(builder, layers[first].layer, (few, many), result, None))
    builder.nodes.extend([*before.nodes, *after.nodes])
    return builder
