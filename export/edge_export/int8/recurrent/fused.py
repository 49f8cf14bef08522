"""Integer layers as ONNX's fused operators: fastest for single pictures.

An LSTM becomes `DynamicQuantizeLSTM`, whose products are integer products. GRU and RNN have no such kernel: their
weights become float when the session loads. All that is computed from constants alone here is folded at that moment.
"""

import numpy as np
from onnx import TensorProto, numpy_helper

from edge_export.graph.builder import IMAGE, GraphBuilder
from edge_export.int8.recurrent.rounded import Rounded, store_scales, store_weights
from edge_export.int8.rewrite import DYNAMIC_LSTM_OPERATOR, MICROSOFT


def write(
    constants: GraphBuilder, here: GraphBuilder, layers: tuple[Rounded, ...], features: str, *, dynamic: bool
) -> None:
    """Writes the layers from the picture to the features.

    Args:
        constants: takes the weights, and what is computed from them alone.
        here: takes the nodes that depend on the picture; may be the same builder.
        layers: the layers.
        features: the name of the result, float32 [batch, directions * hidden].
        dynamic: whether LSTMs get integer products; otherwise all arithmetic is fp32.
    """
    pixels = here.node("Cast", [IMAGE], "pixels", to=TensorProto.FLOAT)
    sequence = here.node("Transpose", [pixels], "rows", perm=[1, 0, 2])  # [28, batch, columns]
    for position, one in enumerate(layers):
        last = position == len(layers) - 1
        layer, name = one.layer, one.layer.name
        integers = dynamic and layer.cell == "LSTM"
        weights = _integer_weights(constants, one) if integers else _float_weights(constants, one)
        attributes: dict[str, object] = {"hidden_size": layer.hidden}
        if layer.directions == 2:
            attributes["direction"] = "bidirectional"
        if layer.cell == "GRU":
            attributes["linear_before_reset"] = 1
        if layer.relu:
            attributes["activations"] = ["Relu"] * layer.directions
        if integers:
            inputs = [sequence, *weights[:2], _biases(constants, one), "", "", "", "", *weights[2:]]
            attributes["domain"] = MICROSOFT
        else:
            inputs = [sequence, *weights, _biases(constants, one)]
        here.node(DYNAMIC_LSTM_OPERATOR if integers else layer.cell, inputs, layer.sequence, **attributes)
        here.nodes[-1].output.append(f"{name}.state")  # [directions, batch, hidden]
        sequence = layer.sequence if last else _joined(constants, here, one)
    _features(constants, here, layers[-1], features)


def _integer_weights(constants: GraphBuilder, one: Rounded) -> list[str]:
    """W, R, and scale and zero point of each. The weights lie as DynamicQuantizeLSTM wants them."""
    name = one.layer.name
    parts = _parts(constants, one)
    # One for each scale: the kernel reads as many, whatever the shape, and one for each direction reads past the end.
    shape = constants.weight(f"{name}.zeros_shape", np.array(one.input_scale.shape, np.int64))
    nothing = numpy_helper.from_array(np.zeros(1, np.int8))
    zero = constants.node("ConstantOfShape", [shape], f"{name}.zero_point", value=nothing)
    scales = [
        _times(constants, scale, 1 / unit.step, f"{part}_scale")
        for part, scale, unit in zip(parts, store_scales(constants, one), (one.input, one.state), strict=True)
    ]
    return [*parts, scales[0], zero, scales[1], zero]


def _float_weights(constants: GraphBuilder, one: Rounded) -> list[str]:
    """W and R, float32 [directions, gates * hidden, inputs or hidden]."""
    axis = constants.weight("axis_1", np.array([1], np.int64))
    results = []
    units = (one.input, one.state)
    for part, scale, unit in zip(_parts(constants, one), store_scales(constants, one), units, strict=True):
        row = constants.node("Unsqueeze", [scale, axis], f"{part}_row_scale")
        number = constants.node("Cast", [part], f"{part}_float", to=TensorProto.FLOAT)
        rescaled = constants.node("Mul", [number, row], f"{part}_rescaled")
        turned = constants.node("Transpose", [rescaled], f"{part}_turned", perm=[0, 2, 1])
        results.append(_times(constants, turned, 1 / unit.step, f"{part}_weights"))
    return results


def _parts(constants: GraphBuilder, one: Rounded) -> list[str]:
    """The int8 weights of inputs and state, [directions, inputs or hidden, gates * hidden]."""
    name = one.layer.name
    sizes = [one.layer.inputs, one.layer.hidden]
    return constants.split(store_weights(constants, one), sizes, [f"{name}.W", f"{name}.R"], axis=1)


def _biases(constants: GraphBuilder, one: Rounded) -> str:
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


def _joined(constants: GraphBuilder, here: GraphBuilder, one: Rounded) -> str:
    """The sequence as the next layer takes it, [28, batch, directions * hidden]."""
    layer, name = one.layer, one.layer.name
    turned = here.node("Transpose", [layer.sequence], f"{name}.turned_sequence", perm=[0, 2, 1, 3])
    shape = constants.weight(f"{name}.joined_shape", np.array([0, 0, layer.directions * layer.hidden], np.int64))
    return here.node("Reshape", [turned, shape], f"{name}.joined")


def _features(constants: GraphBuilder, here: GraphBuilder, one: Rounded, features: str) -> None:
    state = f"{one.layer.name}.state"
    if one.layer.directions == 2:
        side_by_side = here.node("Transpose", [state], "final.directions", perm=[1, 0, 2])
        here.node("Flatten", [side_by_side], features, axis=1)
    else:
        here.node("Squeeze", [state, constants.weight("axis_0", np.array([0], np.int64))], features)
