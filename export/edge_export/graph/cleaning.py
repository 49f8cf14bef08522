"""What torch's exporters leave, cleaned to what a picture of one size needs.

Both exporters write a graph that computes sizes when it runs. Here nothing is free but the batch, so the graph is not
reasoned about but *measured*: it runs with two batches of different size, and every tensor is looked at. What is the
same in both is constant; what changes with the batch is the batch. Parity with PyTorch at five other sizes decides
afterwards whether that was right. The passes, in their order:

1. what depends on the size of the batch alone is a constant, if it is the same in both runs, or for every picture;
2. a state of zeros at the beginning of a recurrent layer is left out, which means zeros in ONNX, and so are lengths
   of sequences that are those of full ones, and an activation that ONNX takes by itself;
3. a Reshape to sizes that are computed gets constant ones, in which -1 stands for the batch;
4. operators that move numbers, and in the end leave them as they were, go; several in a row become one;
5. the last step of a recurrent layer is its final state, which the operator gives of itself;
6. the usual rules: batch normalisation into convolutions, transposes that cancel, what leads nowhere.

What is done to every pixel alike is folded into the first weights afterwards (`edge_export.graph.pixels`).

Source: onnx_ir for the data structure, onnxscript (optimizer, rewriter) for the usual rules.
"""

from collections.abc import Iterable
from functools import partial
from types import ModuleType

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray
from onnx import ModelProto
from onnx_ir.passes import common

from edge_export.graph.tensor_values import SIZES, Array, Axes, NotLoadedError, TensorValues, constant, measure, store

MOST_MATCHED = 1200  # nodes of a graph, beyond which the usual rules, which match each with each, take minutes
MOST_CONSTANT = 4096  # numbers of a constant that was measured: sizes and states are small, anything more is data

FIRST_STATES = {"LSTM": (5, 6), "GRU": (5,), "RNN": (5,)}  # the places of those inputs
LENGTHS = 4  # the place of the lengths of sequences
_ELEMENTWISE = frozenset({"Add", "Sub", "Mul", "Div", "Max", "Min", "Where"})  # they repeat an axis of size 1
# Operators that give the numbers of their first input in the same order.
_ORDERED = frozenset({"Reshape", "Squeeze", "Unsqueeze", "Flatten", "Identity"})
_BODIES = (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS)
# Operators that give numbers of their inputs, and compute nothing.
_MOVING = _ORDERED | {"Transpose", "Gather", "Slice", "Concat", "Split"}


def clean(model: ModelProto, sizes: tuple[int, int] = SIZES) -> ModelProto:
    """The model with the same answers and as few nodes as the passes above leave.

    Args:
        model: takes `image`, uint8 [batch, 28, 28]; stays as it is.
        sizes: of the batches that it is run with; both 1 for a graph that takes one picture only.

    Raises:
        ConversionError: the graph does not run at both sizes of the batch.
    """
    if sum(node.op_type != "Constant" for node in model.graph.node) <= MOST_MATCHED:
        try:
            return _cleaned(model, sizes, rules=True)
        except NotLoadedError:
            pass  # the usual rules were seen to leave a shape behind that nobody stores
    return _cleaned(model, sizes, rules=False)


def _cleaned(model: ModelProto, sizes: tuple[int, int], *, rules: bool) -> ModelProto:
    """What `clean` gives, with the usual rules for patterns or without."""
    from onnxscript import optimizer, rewriter

    cleaned = ir.from_proto(model)
    simplified = optimizer.optimize_ir if rules else partial(_fold_constants, optimizer)
    simplified(cleaned)
    common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(cleaned)
    for simplify in (fold_sizes, omit_zero_states, fix_reshapes, drop_moves, take_final_states):
        simplify(cleaned, sizes)
        common.RemoveUnusedNodesPass()(cleaned)
    if rules:
        cleaned = rewriter.rewrite(cleaned)
    simplified(cleaned)
    common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(cleaned)
    drop_moves(cleaned, sizes)
    common.RemoveUnusedNodesPass()(cleaned)
    common.RemoveUnusedOpsetsPass()(cleaned)
    common.ClearMetadataAndDocStringPass()(cleaned)  # notes of the exporter and the optimiser about themselves
    result: ModelProto = ir.to_proto(cleaned)
    return result


def _fold_constants(optimizer: ModuleType, model: ir.Model) -> None:
    """What the optimiser does without its rules for patterns."""
    optimizer.fold_constants_ir(model)
    common.RemoveUnusedNodesPass()(model)
    common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
    common.DeduplicateInitializersPass()(model)
    common.CommonSubexpressionEliminationPass()(model)


def fold_sizes(model: ir.Model, sizes: tuple[int, int] = SIZES) -> None:
    """Pass 1."""
    measured = measure(model, sizes)
    for node in model.graph:
        for value in node.outputs:
            if value.name not in measured.of_sizes or value.is_graph_output():
                continue
            few, many = measured.values[value.name]
            if few.shape == many.shape and few.size <= MOST_CONSTANT and np.array_equal(few, many):
                value.replace_all_uses_with(store(model.graph, few, f"{value.name}_constant"))
            elif (one := _alike_in_batch(measured, value)) is not None and one.size <= MOST_CONSTANT:
                _broadcast(model.graph, measured, value, one)


def _alike_in_batch(measured: TensorValues, value: ir.Value) -> Array | None:
    """The tensor for a batch of one, where it is the same for every picture of the batch; None where it is not."""
    axes = measured.axes(value)
    if axes is None or -1 not in axes:
        return None
    few, many = measured.values[str(value.name)]
    first: Array = few.take([0], axes.index(-1))
    return first if all(np.array_equal(run, np.broadcast_to(first, run.shape)) for run in (few, many)) else None


def _broadcast(graph: ir.Graph, measured: TensorValues, value: ir.Value, one: Array) -> None:
    """Puts the tensor for a batch of one where an operator repeats it for the pictures of its other operand."""
    axes = measured.axes(value)
    for use in list(value.uses()):
        others = [other for place, other in enumerate(use.node.inputs) if place != use.idx]
        repeats = use.node.op_type in _ELEMENTWISE and any(
            measured.axes(other) == axes and str(other.name) not in measured.of_sizes for other in others if other
        )
        if repeats:
            name = f"{value.name}_of_one"
            stored = graph.initializers.get(name) or store(graph, one, name)
            use.node.replace_input_with(use.idx, stored)


def omit_zero_states(model: ir.Model, sizes: tuple[int, int] = SIZES) -> None:
    """Pass 2."""
    layers = [node for node in model.graph if node.op_type in FIRST_STATES]
    if not layers:
        return
    measured = measure(model, sizes)
    for node in layers:
        if node.op_type in FIRST_STATES and len(node.inputs) > LENGTHS and _are_full(node, measured):
            node.replace_input_with(LENGTHS, None)
        for place in FIRST_STATES.get(node.op_type, ()):
            state = node.inputs[place] if place < len(node.inputs) else None
            if state is None or state.name is None:
                continue
            stored = constant(state)
            if (stored is not None and not stored.any()) or (
                state.name in measured.of_sizes and not any(run.any() for run in measured.values[state.name])
            ):
                node.replace_input_with(place, None)
        while node.op_type in FIRST_STATES and node.inputs[-1] is None:
            node.resize_inputs(len(node.inputs) - 1)
        activations = node.attributes.get("activations") if node.op_type == "RNN" else None
        if activations is not None and set(activations.as_strings()) == {"Tanh"}:
            del node.attributes["activations"]


def _are_full(node: ir.Node, measured: TensorValues) -> bool:
    """Whether the lengths of a recurrent node are those of its whole sequences, whatever the pictures are."""
    lengths, axes = node.inputs[LENGTHS], measured.axes(node.inputs[0])
    if lengths is None or lengths.name is None or axes is None:
        return False
    if (stored := constant(lengths)) is not None:
        return bool((stored == axes[0]).all())
    return lengths.name in measured.of_sizes and all((run == axes[0]).all() for run in measured.values[lengths.name])


def fix_reshapes(model: ir.Model, sizes: tuple[int, int] = SIZES) -> None:
    """Pass 3."""
    nodes = [node for node in model.graph if node.op_type == "Reshape" and constant(node.inputs[1]) is None]
    if not nodes:
        return
    measured = measure(model, sizes)
    for node in nodes:
        axes = measured.axes(node.outputs[0])
        if axes is not None and 0 not in axes:
            target = store(model.graph, np.array(axes, np.int64), f"{node.outputs[0].name}_axes")
            node.replace_input_with(1, target)


def drop_moves(model: ir.Model, sizes: tuple[int, int] = SIZES) -> None:
    """Pass 4."""
    measured = measure(model, sizes)
    for node in list(model.graph):
        given = measured.axes(node.outputs[0])
        if given is None or not _is_ordered(node, measured):
            continue
        root, steps = node.inputs[0], 1
        while root is not None and (before := root.producer()) is not None and _is_ordered(before, measured):
            root, steps = before.inputs[0], steps + 1
        taken = measured.axes(root)
        if root is None or taken is None:
            continue
        if taken == given and not node.outputs[0].is_graph_output():
            node.outputs[0].replace_all_uses_with(root)
        elif taken != given and (steps > 1 or node.op_type != _mover(taken, given)):
            replace(node, _reshaped(model.graph, root, taken, given, node.outputs[0].name))


def take_final_states(model: ir.Model, sizes: tuple[int, int] = SIZES) -> None:
    """Pass 5."""
    graph = model.graph
    layers = [node for node in graph if node.op_type in FIRST_STATES]
    for layer in layers:
        if len(layer.outputs) < 2:
            layer.resize_outputs(2)
        layer.outputs[1].name = layer.outputs[1].name or f"{layer.outputs[0].name}_final"
    if not layers:
        return
    measured = measure(model, sizes)
    known = {value for layer in layers for value in layer.outputs}
    for node in list(graph):
        value = node.outputs[0]
        if node.op_type not in ("Gather", "Slice", "Concat") or value.name not in measured.values:
            continue
        sources = _sources(value)
        for layer in layers:
            if sources and sources <= known and sources & set(layer.outputs[:2]):
                others = _as_state(graph, measured, value, layer)
                if others:
                    replace(node, *others)
                    break


def _as_state(graph: ir.Graph, measured: TensorValues, value: ir.Value, layer: ir.Node) -> list[ir.Node]:
    """The nodes that give a tensor out of a layer's final state, or of its last step; none where it is neither."""
    sequence, state = layer.outputs[:2]  # [rows, directions, batch, hidden], [directions, batch, hidden]
    given, axes = measured.axes(value), measured.axes(state)
    if given is None or axes is None:
        return []
    name = str(value.name)
    finals = measured.values[str(state.name)]
    if _same(measured, value, finals):
        return [_reshaped(graph, state, axes, given, name)] if axes != given else [ir.node("Identity", [state])]
    turned = [final.transpose(1, 0, 2) for final in finals]
    lasts = [run[-1].transpose(1, 0, 2) for run in measured.values[str(sequence.name)]] if sequence.name else []
    side_by_side = (-1, axes[0] * axes[2])
    if given != side_by_side:
        return []
    nodes: list[ir.Node] = []
    if _same(measured, value, turned):
        entered = state
    elif lasts and _same(measured, value, lasts):
        last = store(graph, np.array(-1, np.int64), f"{name}_last")
        nodes.append(_named(ir.node("Gather", [sequence, last], {"axis": 0}), f"{name}_step"))
        entered = nodes[-1].outputs[0]
    else:
        return []
    nodes.append(_named(ir.node("Transpose", [entered], {"perm": [1, 0, 2]}), f"{name}_directions"))
    nodes.append(_named(ir.node("Flatten", [nodes[-1].outputs[0]], {"axis": 1}), f"{name}_state"))
    return nodes


def _same(measured: TensorValues, value: ir.Value, runs: Iterable[Array]) -> bool:
    """Whether a tensor held the same numbers in the same order, which were not all zero."""
    pairs = list(zip(measured.values[str(value.name)], runs, strict=True))
    return all(one.size == other.size and np.array_equal(one.ravel(), other.ravel()) for one, other in pairs) and any(
        other.any() for _, other in pairs
    )


def _sources(value: ir.Value) -> set[ir.Value]:
    """The tensors whose numbers are moved into one; none where a stored tensor or an input is among them."""
    node = value.producer()
    if node is None:
        return set()
    if node.op_type not in _MOVING:
        return {value}
    inputs = node.inputs if node.op_type == "Concat" else node.inputs[:1]
    found = [set() if one is None else _sources(one) for one in inputs]
    return set().union(*found) if all(found) else set()


def _is_ordered(node: ir.Node, measured: TensorValues) -> bool:
    """Whether a node gives all numbers of its first input, in the same order."""
    if node.op_type in _ORDERED:
        return True
    if node.op_type not in ("Transpose", "Gather", "Slice", "Expand"):
        return False
    taken, given = measured.axes(node.inputs[0]), measured.axes(node.outputs[0])
    if taken is None or given is None:
        return False
    if node.op_type == "Transpose":
        order = [axis for axis in node.attributes["perm"].as_ints() if taken[axis] != 1]
        return order == sorted(order)
    if node.op_type == "Gather":
        axis = node.attributes["axis"].as_int() if "axis" in node.attributes else 0
        places = constant(node.inputs[1])
        return places is not None and places.size == 1 and taken[axis] == 1
    backwards = node.op_type == "Slice" and len(node.inputs) > 4 and bool(np.any(constant(node.inputs[4]) != 1))
    return taken == given and not backwards


def _mover(taken: Axes, given: Axes) -> str:
    """The simplest operator that gives a tensor other axes."""
    if len(given) == 2 < len(taken) and taken[0] == given[0]:
        return "Flatten"
    if _ones_between(given, taken) is not None:
        return "Squeeze"
    return "Reshape" if _ones_between(taken, given) is None else "Unsqueeze"


def _reshaped(graph: ir.Graph, root: ir.Value, taken: Axes, given: Axes, name: str | None) -> ir.Node:
    """The one node that gives a tensor other axes."""
    mover = _mover(taken, given)
    if mover == "Flatten":
        return _named(ir.node(mover, [root], {"axis": 1}), f"{name}_moved")
    axes = _ones_between(given, taken) if mover == "Squeeze" else _ones_between(taken, given)
    target = np.array(given, np.int64) if axes is None else axes
    return _named(ir.node(mover, [root, store(graph, target, f"{name}_axes")]), f"{name}_moved")


def _ones_between(short: Axes, long: Axes) -> NDArray[np.int64] | None:
    """The places of the axes of size 1 that the longer one has more; None where they differ in others."""
    places, at = [], 0
    for place, size in enumerate(long):
        if at < len(short) and short[at] == size and not (size == 1 and len(long) - place > len(short) - at):
            at += 1
        elif size == 1:
            places.append(place)
        else:
            return None
    return np.array(places, np.int64) if at == len(short) and places else None


def replace(node: ir.Node, *others: ir.Node) -> None:
    """Puts nodes in the place of one; the last of them gives what it gave."""
    graph = node.graph
    assert isinstance(graph, ir.Graph)
    ir.convenience.replace_nodes_and_values(
        graph, node, [node], list(others), [node.outputs[0]], [others[-1].outputs[0]]
    )


def _named(node: ir.Node, name: str) -> ir.Node:
    node.name = node.outputs[0].name = name
    return node
