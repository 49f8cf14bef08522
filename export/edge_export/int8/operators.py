"""int8 weights for the operators of any graph, one node at a time, whatever stands around it or it stands in.

| operator       | `quantise_lstms` makes it                      | `quantise_weights` makes it                |
|----------------|------------------------------------------------|--------------------------------------------|
| LSTM           | DynamicQuantizeLSTM, a scale for each gate row | int8 weights, Cast and Mul at session load |
| GRU, RNN       | as `quantise_weights`: there is no int8 kernel | the same                                   |
| Gemm, MatMul   | as `quantise_weights`                          | the same                                   |
| Conv           | stays                                          | the same, where it is asked for            |
"""

import copy
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import numpy as np
import onnx_ir
from numpy.typing import NDArray
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

from edge_export.graph.builder import bodies_of
from edge_export.graph.recurrent_graph import GATES
from edge_export.int8.quantisation import Bits, quantise_rows

MICROSOFT = "com.microsoft"  # the domain of the operators that ONNX Runtime has beyond ONNX
DYNAMIC_LSTM_OPERATOR = "DynamicQuantizeLSTM"
RECURRENT = frozenset(GATES)
PRODUCTS = frozenset({"Gemm", "MatMul"})
CONVOLUTION = "Conv"

Arrays = dict[str, NDArray[Any]]
# A node and the constants of its graph to the nodes in its place, new constants, and constants no longer needed.
Rule = Callable[[NodeProto, Arrays], tuple[list[NodeProto], Arrays, set[str]]]


def quantise_lstms(model: ModelProto, bits: Bits) -> ModelProto:
    """The model with the fused int8 operator for each LSTM, and int8 weights for every other layer.

    Args:
        model: fp32; stays as it is.
        bits: of the weights of the LSTM, whose products are integer products.
    """
    rules: dict[str, Rule] = dict.fromkeys((RECURRENT | PRODUCTS) - {"LSTM"}, _rescaled_weights)
    rewritten = replace_nodes(model, {**rules, "LSTM": partial(_dynamic_lstm, bits=bits)})
    rewritten.opset_import.append(helper.make_opsetid(MICROSOFT, 1))
    return rewritten


def quantise_weights(model: ModelProto, operators: frozenset[str] = RECURRENT | PRODUCTS) -> ModelProto:
    """The model with int8 weights that become float when the session loads: smaller, not faster.

    Args:
        model: fp32; stays as it is.
        operators: which to rewrite.
    """
    return replace_nodes(model, dict.fromkeys(operators, _rescaled_weights))


def replace_nodes(model: ModelProto, rules: dict[str, Rule]) -> ModelProto:
    """The model with every node that a rule is for replaced by what the rule gives."""
    result = copy.deepcopy(model)
    arrays = {weight.name: numpy_helper.to_array(weight) for weight in model.graph.initializer}
    added: Arrays = {}
    replaced: set[str] = set()

    def rewritten(graph: GraphProto, before: list[NodeProto]) -> list[NodeProto]:
        """The nodes of a graph; what is computed from constants alone is put before the node that it stands in."""
        nodes: list[NodeProto] = []
        outside = before if graph is not result.graph else nodes
        for node in graph.node:
            for body in bodies_of(node):
                inside = rewritten(body, outside)
                del body.node[:]
                body.node.extend(inside)
            if node.op_type not in rules:
                nodes.append(node)
                continue
            (*constant, new_node), new_arrays, gone = rules[node.op_type](node, arrays)
            outside += constant
            nodes.append(new_node)
            added.update(new_arrays)
            replaced.update(gone)
        return nodes

    nodes = rewritten(result.graph, [])
    # Layers may share a weight: it is rebuilt once, and kept where another node still takes it as it was.
    once = {node.output[0]: node for node in reversed(nodes)}
    nodes = [node for node in nodes if once[node.output[0]] is node]
    used = _read(nodes)
    kept = [weight for weight in model.graph.initializer if weight.name not in replaced or weight.name in used]
    del result.graph.node[:], result.graph.initializer[:]
    result.graph.node.extend(nodes)
    result.graph.initializer.extend(kept)
    result.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in added.items())
    return result


def _read(nodes: Iterable[NodeProto]) -> set[str]:
    """The names of all tensors that nodes read, in their branches and bodies too."""
    names = {name for node in nodes for name in node.input}
    for body in (body for node in nodes for body in bodies_of(node)):
        names |= _read(body.node) | {given.name for given in body.output}
    return names


def beyond_onnx(model: ModelProto) -> tuple[str, ...]:
    """The operators that ONNX Runtime has beyond ONNX, in the graph and in its branches and bodies."""
    nodes = onnx_ir.traversal.RecursiveGraphIterator(onnx_ir.from_proto(model).graph)
    return tuple(sorted({node.op_type for node in nodes if node.domain == MICROSOFT}))


def _dynamic_lstm(node: NodeProto, arrays: Arrays, *, bits: Bits) -> tuple[list[NodeProto], Arrays, set[str]]:
    """LSTM -> DynamicQuantizeLSTM: W and R int8 with a scale per direction and gate row, transposed as it wants them.

    Source: com.microsoft.DynamicQuantizeLSTM in ONNX Runtime's ContribOperators.md.
    """
    added: Arrays = {}
    inputs = list(node.input) + [""] * (8 - len(node.input))
    scales: list[str] = []
    for position in (1, 2):
        name = inputs[position]
        quantised, scale = quantise_rows(arrays[name], bits)  # (directions, 4 * hidden, inputs)
        added[f"{name}_int8"] = np.ascontiguousarray(quantised.transpose(0, 2, 1))
        added[f"{name}_scale"] = scale[..., 0]
        added[f"{name}_zero_point"] = np.zeros(scale.shape[:-1], np.int8)
        inputs[position] = f"{name}_int8"
        scales += [f"{name}_scale", f"{name}_zero_point"]
    fused = helper.make_node(
        DYNAMIC_LSTM_OPERATOR, [*inputs, *scales], list(node.output), name=node.name, domain=MICROSOFT
    )
    fused.attribute.extend(attribute for attribute in node.attribute if attribute.name != "layout")
    return [fused], added, {node.input[1], node.input[2]}


def _rescaled_weights(node: NodeProto, arrays: Arrays) -> tuple[list[NodeProto], Arrays, set[str]]:
    """Weights as int8 with a scale per row, made float again by Cast and Mul, which fold when the session loads.

    DequantizeLinear in their place is not folded by ONNX Runtime, and costs time in every run.
    """
    positions = (1, 2) if node.op_type in RECURRENT else (1,)
    added: Arrays = {}
    nodes: list[NodeProto] = []
    gone: set[str] = set()
    rebuilt = copy.deepcopy(node)
    for position in positions:
        name = node.input[position]
        if name not in arrays:
            continue  # the product of two activations
        columns = node.op_type == "MatMul"
        array = arrays[name].swapaxes(-1, -2) if columns else arrays[name]
        # A convolution has a row for each channel that it gives.
        rows = array.reshape(len(array), -1) if node.op_type == CONVOLUTION else array
        quantised, scale = quantise_rows(rows, 8)
        quantised = quantised.reshape(array.shape)
        scale = scale.reshape(*scale.shape, *[1] * (array.ndim - rows.ndim))
        if columns:
            quantised, scale = quantised.swapaxes(-1, -2), scale.swapaxes(-1, -2)
        added[f"{name}_int8"], added[f"{name}_scale"] = np.ascontiguousarray(quantised), np.ascontiguousarray(scale)
        nodes.append(helper.make_node("Cast", [f"{name}_int8"], [f"{name}_float"], to=TensorProto.FLOAT))
        nodes.append(helper.make_node("Mul", [f"{name}_float", f"{name}_scale"], [f"{name}_rescaled"]))
        rebuilt.input[position] = f"{name}_rescaled"
        gone.add(name)
    return [*nodes, rebuilt], added, gone
