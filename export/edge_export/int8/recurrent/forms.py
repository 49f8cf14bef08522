"""The forms of an integer recurrent network as ONNX, and the candidates that they are.

| candidate      | form                                                                                           |
|----------------|------------------------------------------------------------------------------------------------|
| `weight-only`  | ONNX's own operators; the int8 weights become float when the session loads                     |
| `dynamic-lstm` | `DynamicQuantizeLSTM`, whose products are of integers: fastest for single pictures             |
| `stepped`      | a `Scan`, row by row, whose products are of integers (`scan`): fastest for many at once        |
| `branched`     | `If` on the size of the batch, the fused operators below a limit and the steps from there on   |

All forms take the same int8 weights under the same names. What is computed from constants alone is folded when the
session loads. GRU and RNN have no fused int8 operator.
"""

import copy
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from edge.bundle.branches import CONDITION, LIMIT
from edge_export.graph import recurrent_graph
from edge_export.graph.builder import GraphBuilder
from edge_export.graph.recurrent_graph import FusedOperator, RecurrentLayer
from edge_export.int8.calibration import CalibratedModel
from edge_export.int8.operators import DYNAMIC_LSTM_OPERATOR, MICROSOFT, beyond_onnx
from edge_export.int8.quantisation import Bits, QuantisedModel
from edge_export.int8.recurrent import scan
from edge_export.int8.recurrent.quantised_layers import CalibratedStack, QuantisedLayer, quantise_layers

# Steps cost each batch more than the fused operators, and each picture less, by an amount that grows with the units of
# the state. They are the faster ones where pictures times units exceed these numbers: measured with 20 to 256 units, on
# AVX2 and AVX-512 VNNI, in sessions of one branch each, as the runtime makes them (`edge.bundle.branches`).
PICTURES_TIMES_UNITS = {"LSTM": 4000, "GRU": 2200, "RNN": 340}
PICTURES_TIMES_UNITS_RECTIFIED = 1200  # the fused RNN takes half the time with relu that it takes with tanh
# With VNNI the steps of a GRU and of an RNN with relu win sooner: with 64, 128 and 256 units from 24, 11 and 4
# pictures on, and from 15, 3 and fewer than 2, as measured: the fused RNN takes three times as long for two as for one.
PICTURES_TIMES_UNITS_GRU_VNNI = 1400
PICTURES_TIMES_SQUARED_UNITS_RECTIFIED_VNNI = 50_000
MOST_FEW = 64  # more pictures are never a few: the runtime asks so many when it verifies both branches

# With fewer units, integer products cost the fused LSTM more than they save.
LEAST_INTEGER_UNITS = 40

Branch = tuple[list[NodeProto], str]
# Takes the builder, the layers, and the name of their result, float32 [batch, directions * hidden].
Write = Callable[[GraphBuilder, tuple[QuantisedLayer, ...], str], None]


# --- candidates -------------------------------------------------------------------------------------------------------


def weight_only(source: CalibratedModel) -> QuantisedModel | None:
    """int8 weights that become float when the session loads."""
    # Its products are fp32, so that 8 bits are right on every processor.
    return _rewritten(source, 8, _write_floats)


def dynamic_lstm(source: CalibratedModel) -> QuantisedModel | None:
    """The fused int8 operator for every LSTM."""
    if "LSTM" not in source.operators:
        return None

    def write(builder: GraphBuilder, layers: tuple[QuantisedLayer, ...], features: str) -> None:
        write_fused(builder, builder, layers, features, integers=lambda layer: layer.cell == "LSTM")

    return _rewritten(source, source.profile.bits, write, per_row=False)


def stepped(source: CalibratedModel) -> QuantisedModel | None:
    """Integer products, a row of the picture at a time."""

    def write(builder: GraphBuilder, layers: tuple[QuantisedLayer, ...], features: str) -> None:
        scan.write_batch_size(builder)
        scan.write(builder, builder, layers, features)

    return _rewritten(source, source.profile.bits, write)


def branched(source: CalibratedModel) -> QuantisedModel | None:
    """The fused operators for a few pictures, row by row for many."""
    # Both branches share the weights, and a fused LSTM of integer products is faster with one scale for all of them.
    stack = source.stack
    fused = stack is not None and any(has_integer_products(layer) for layer in stack.stack.layers)
    made = _rewritten(source, source.profile.bits, _write_branches, per_row=not fused)
    if (
        made is None
        or stack is None
        or (limit := few_pictures_vnni(first := stack.stack.layers[0])) == few_pictures(first)
    ):
        return made
    return replace(made, few_images_vnni=limit)


def few_pictures(layer: RecurrentLayer) -> int:
    """Below so many pictures the fused operator is the faster form of a layer."""
    product = PICTURES_TIMES_UNITS_RECTIFIED if layer.relu else PICTURES_TIMES_UNITS[layer.cell]
    return max(1, min(MOST_FEW, product // layer.hidden))


def few_pictures_vnni(layer: RecurrentLayer) -> int:
    """The same on x86 with VNNI, where integer products cost less."""
    few = few_pictures(layer)
    if layer.relu:
        few = min(few, PICTURES_TIMES_SQUARED_UNITS_RECTIFIED_VNNI // layer.hidden**2)
    elif layer.cell == "GRU":
        few = min(few, PICTURES_TIMES_UNITS_GRU_VNNI // layer.hidden)
    return max(1, few)


def has_integer_products(layer: RecurrentLayer) -> bool:
    """Whether the fused operator of a layer is the faster one with products of integers."""
    return layer.cell == "LSTM" and layer.hidden >= LEAST_INTEGER_UNITS


def _rewritten(source: CalibratedModel, bits: Bits, write: Write, *, per_row: bool = True) -> QuantisedModel | None:
    """The model with its recurrent layers written anew; `None` if it is no stack of them."""
    if (stack := source.stack) is None:
        return None
    layers = quantise_layers(stack, bits, per_row=per_row)
    model = replace_layers(stack, layers, write)
    own = beyond_onnx(model)
    if own:
        model.opset_import.append(helper.make_opsetid(MICROSOFT, 1))
    return QuantisedModel(model, own, calibrated=True, dequantised=replace_layers(stack, layers, _write_floats))


def replace_layers(calibrated: CalibratedStack, layers: tuple[QuantisedLayer, ...], write: Write) -> ModelProto:
    """The model with quantised layers in the place of its own.

    Args:
        calibrated: the model, and its layers.
        layers: those layers, quantised.
        write: writes them in some form.
    """
    stack, gain = calibrated.stack, calibrated.gain
    builder = GraphBuilder()
    if gain is None:
        write(builder, layers, stack.features)
    else:
        write(builder, layers, f"{stack.features}_equalised")
        gains = builder.weight("features_gain", gain)
        builder.node("Mul", [f"{stack.features}_equalised", gains], stack.features)
    builder.nodes.extend(stack.rest)
    used = {name for node in stack.rest for name in node.input}
    builder.weights.extend(weight for weight in calibrated.rest.graph.initializer if weight.name in used)
    unname_constants(builder)
    model = copy.deepcopy(calibrated.rest)
    del model.graph.node[:], model.graph.initializer[:]
    model.graph.node.extend(builder.nodes)
    model.graph.initializer.extend(builder.weights)
    return model


def unname_constants(builder: GraphBuilder) -> None:
    """Takes the names off nodes that fold away when the session loads: nobody sees them, and each costs bytes."""
    constant = {weight.name for weight in builder.weights}
    for node in builder.nodes:
        if node.input and constant.issuperset(node.input):
            node.name = ""
            constant.update(node.output)


# --- branched ---------------------------------------------------------------------------------------------------------


def _write_branches(builder: GraphBuilder, layers: tuple[QuantisedLayer, ...], features: str) -> None:
    """batch_size < few ? fused : stepped."""
    scan.write_batch_size(builder)
    few, many = GraphBuilder(), GraphBuilder()
    write_fused(builder, few, layers, f"{features}_of_few", integers=has_integer_products)
    scan.write(builder, many, layers, f"{features}_of_many")
    width = layers[-1].layer.hidden * layers[-1].layer.directions
    branches = (few.nodes, f"{features}_of_few"), (many.nodes, f"{features}_of_many")
    builder.nodes.append(choice(builder, layers[0].layer, branches, features, ["batch", width]))


def choice(
    builder: GraphBuilder,
    layer: RecurrentLayer,
    branches: tuple[Branch, Branch],
    result: str,
    shape: list[str | int] | None,
) -> NodeProto:
    """The node that computes a result in the way for a few pictures or in the one for many.

    Args:
        builder: takes the condition; the size of the batch has been written.
        layer: says how many are a few.
        branches: of a few and of many, the nodes and the name that the result has there.
        result: its name.
        shape: of the result, where it is known.
    """
    limit = builder.weight(LIMIT, np.array([few_pictures(layer)], np.int64))
    builder.node("Less", [scan.BATCH_SIZE, limit], CONDITION)
    graphs = {
        branch: helper.make_graph(nodes, branch, [], [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)])
        for branch, (nodes, name) in zip(("then_branch", "else_branch"), branches, strict=True)
    }
    return helper.make_node("If", [CONDITION], [result], name=result, **graphs)


# --- fused ------------------------------------------------------------------------------------------------------------


def write_fused(
    constants: GraphBuilder,
    here: GraphBuilder,
    layers: tuple[QuantisedLayer, ...],
    features: str,
    *,
    integers: Callable[[RecurrentLayer], bool],
) -> None:
    """Writes the layers as one operator each, from the picture to the features.

    Args:
        constants: takes the weights, and what is computed from them alone.
        here: takes the nodes that depend on the picture; may be the same builder.
        layers: the layers.
        features: the name of the result, float32 [batch, directions * hidden].
        integers: whether a layer, an LSTM, gets integer products; otherwise its arithmetic is fp32.
    """
    quantised = {one.layer.name: one for one in layers}

    def fused(layer: RecurrentLayer) -> FusedOperator:
        return fused_operator(constants, quantised[layer.name], integers=integers(layer))

    recurrent_graph.write_layers(constants, here, [one.layer for one in layers], fused, features, axis="axis_0")


def fused_operator(constants: GraphBuilder, one: QuantisedLayer, *, integers: bool) -> FusedOperator:
    """The fused operator of a layer, with int8 weights.

    Args:
        constants: takes the weights, and what is computed from them alone.
        one: the layer.
        integers: whether its products are of integers, which suits an LSTM only.
    """
    if not integers:
        return FusedOperator([*_float_weights(constants, one), _biases(constants, one)], one.layer.cell)
    weights, quantisation = _integer_weights(constants, one)
    operands = [*weights, _biases(constants, one), "", "", "", "", *quantisation]
    return FusedOperator(operands, DYNAMIC_LSTM_OPERATOR, MICROSOFT)


def _write_floats(builder: GraphBuilder, layers: tuple[QuantisedLayer, ...], features: str) -> None:
    write_fused(builder, builder, layers, features, integers=lambda _: False)


def _integer_weights(constants: GraphBuilder, one: QuantisedLayer) -> tuple[list[str], list[str]]:
    """W and R as DynamicQuantizeLSTM wants them, and scale and zero point of each, for a layer or for a row.

    Source: com.microsoft.DynamicQuantizeLSTM in ONNX Runtime's ContribOperators.md.
    """
    name = one.layer.name
    parts = _parts(constants, one)
    # One for each scale: the kernel reads as many, whatever the shape, and one for each direction reads past the end.
    shape = constants.weight(f"{name}.zeros_shape", np.array(one.input_scale.shape, np.int64))
    nothing = numpy_helper.from_array(np.zeros(1, np.int8))
    zero = constants.node("ConstantOfShape", [shape], f"{name}.zero_point", value=nothing)
    scales = [
        _times(constants, scale, 1 / parameters.scale, f"{part}_scale")
        for part, scale, parameters in zip(
            parts, scan.store_scales(constants, one), (one.input, one.state), strict=True
        )
    ]
    return parts, [scales[0], zero, scales[1], zero]


def _float_weights(constants: GraphBuilder, one: QuantisedLayer) -> list[str]:
    """W and R, float32 [directions, gates * hidden, inputs or hidden]."""
    inner = [1] if one.per_row else [1, 2]
    axis = constants.weight("_".join(["axis", *map(str, inner)]), np.array(inner, np.int64))
    results = []
    for part, scale, parameters in zip(
        _parts(constants, one), scan.store_scales(constants, one), (one.input, one.state), strict=True
    ):
        row = constants.node("Unsqueeze", [scale, axis], f"{part}_row_scale")
        number = constants.node("Cast", [part], f"{part}_float", to=TensorProto.FLOAT)
        rescaled = constants.node("Mul", [number, row], f"{part}_rescaled")
        turned = constants.node("Transpose", [rescaled], f"{part}_turned", perm=[0, 2, 1])
        results.append(_times(constants, turned, 1 / parameters.scale, f"{part}_weights"))
    return results


def _parts(constants: GraphBuilder, one: QuantisedLayer) -> list[str]:
    """The int8 weights of inputs and state, [directions, inputs or hidden, gates * hidden]."""
    name = one.layer.name
    sizes = [one.layer.inputs, one.layer.hidden]
    return constants.split(scan.store_weights(constants, one), sizes, [f"{name}.W", f"{name}.R"], axis=1)


def _biases(constants: GraphBuilder, one: QuantisedLayer) -> str:
    """ONNX's two biases for each gate; where they are only ever added, their sum, and zeros made at session load."""
    name, layer = one.layer.name, one.layer
    gates = layer.input_bias.shape[1]
    if layer.cell == "GRU":
        # The new state's recurrent product meets the reset gate before the sum, so that it keeps a bias of its own.
        added = 2 * layer.hidden
        first = layer.input_bias.copy()
        first[:, :added] += layer.state_bias[:, :added]
        shape = constants.weight(f"{name}.zeros_shape", np.array([layer.directions, added], np.int64))
        parts = [
            constants.weight(f"{name}.bias", first),
            constants.node("ConstantOfShape", [shape], f"{name}.zeros"),
            constants.weight(f"{name}.n_bias", layer.state_bias[:, added:]),
        ]
        return constants.node("Concat", parts, f"{name}.B", axis=1)
    total = constants.weight(f"{name}.bias", layer.input_bias + layer.state_bias)
    pads = constants.weight(f"{name}.pads", np.array([0, 0, 0, gates], np.int64))
    return constants.node("Pad", [total, pads], f"{name}.B")


def _times(constants: GraphBuilder, tensor: str, factor: float, output: str) -> str:
    if factor == 1:
        return tensor
    number = constants.weight(f"{output}_unit", np.array(factor, np.float32))
    return constants.node("Mul", [tensor, number], output)
