"""Recurrent classifiers as ONNX: the fused operator of each layer, straight from the weights.

Six nodes carry an LSTM: Cast, Transpose, LSTM, Squeeze, Gemm, Softmax. An omitted initial state means zeros, and the
operator's second output is the final state, so nothing is computed from shapes at run time.
"""

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from edge.bundle.input import COLUMNS
from edge_export.graph.builder import IMAGE, LOGITS, PIXEL_SCALE, GraphBuilder
from edge_train.models.specification import Recurrent

# Where ONNX's gates lie among torch's. Sources: onnx.ai operator documentation; torch.nn.LSTM and torch.nn.GRU.
_GATE_ORDER: dict[str, tuple[int, ...]] = {
    "lstm": (0, 3, 1, 2),  # torch i f g o -> ONNX i o f c
    "gru": (1, 0, 2),  # torch r z n -> ONNX z r h
    "rnn-tanh": (0,),
    "rnn-relu": (0,),
}
_OPERATOR = {"lstm": "LSTM", "gru": "GRU", "rnn-tanh": "RNN", "rnn-relu": "RNN"}


def write(specification: Recurrent, weights: dict[str, Tensor]) -> GraphBuilder:
    """The graph of a recurrent classifier up to its logits.

    Args:
        specification: cell, sizes and directions.
        weights: the state of a `RecurrentClassifier` of that specification.
    """
    arrays = {name: tensor.detach().numpy().astype(np.float64) for name, tensor in weights.items()}
    builder = GraphBuilder()
    pixels = builder.node("Cast", [IMAGE], "pixels", to=1)
    sequence = builder.node("Transpose", [pixels], "rows", perm=[1, 0, 2])  # [28, batch, columns]
    state = ""
    for layer in range(specification.layers):
        last = layer == specification.layers - 1
        sequence, state = _layer(builder, specification, arrays, layer, sequence, keep_sequence=not last)
    if specification.bidirectional:
        side_by_side = builder.node("Transpose", [state], "final.directions", perm=[1, 0, 2])  # [batch, 2, hidden]
        features = builder.node("Flatten", [side_by_side], "final", axis=1)
    else:
        axis = builder.weight("direction", np.array([0], np.int64))
        features = builder.node("Squeeze", [state, axis], "final")
    builder.weight("head.weight", arrays["head.weight"])
    builder.weight("head.bias", arrays["head.bias"])
    builder.node("Gemm", [features, "head.weight", "head.bias"], LOGITS, transB=1)
    builder.tap("head", LOGITS)
    return builder


def _layer(
    builder: GraphBuilder,
    specification: Recurrent,
    arrays: dict[str, NDArray[np.float64]],
    layer: int,
    sequence: str,
    *,
    keep_sequence: bool,
) -> tuple[str, str]:
    prefix = f"recurrent.{layer}"
    directions = ["", "_reverse"] if specification.bidirectional else [""]
    order = _GATE_ORDER[specification.cell]

    def stacked(kind: str) -> list[NDArray[np.float64]]:
        return [_regated(arrays[f"recurrent.{kind}_l{layer}{direction}"], order) for direction in directions]

    inputs = np.stack(stacked("weight_ih"))  # (directions, gates * hidden, inputs)
    if layer == 0:
        assert inputs.shape[-1] == COLUMNS
        inputs = inputs * PIXEL_SCALE
    biases = [np.concatenate(pair) for pair in zip(stacked("bias_ih"), stacked("bias_hh"), strict=True)]
    builder.weight(f"{prefix}.W", inputs)
    builder.weight(f"{prefix}.R", np.stack(stacked("weight_hh")))
    builder.weight(f"{prefix}.B", np.stack(biases))

    attributes: dict[str, object] = {"hidden_size": specification.hidden}
    if specification.bidirectional:
        attributes["direction"] = "bidirectional"
    if specification.cell == "gru":
        attributes["linear_before_reset"] = 1  # torch applies the reset gate after the recurrent product
    if specification.cell == "rnn-relu":
        attributes["activations"] = ["Relu"] * len(directions)
    sequence_name, state_name = f"{prefix}.sequence", f"{prefix}.state"
    builder.node(
        _OPERATOR[specification.cell],
        [sequence, f"{prefix}.W", f"{prefix}.R", f"{prefix}.B"],
        sequence_name,  # [28, directions, batch, hidden]
        **attributes,
    )
    builder.nodes[-1].output.append(state_name)  # [directions, batch, hidden]
    builder.tap(f"recurrent layer {layer}", sequence_name, steps=True)
    if not keep_sequence:
        return "", state_name
    if specification.bidirectional:
        turned = builder.node("Transpose", [sequence_name], f"{prefix}.turned", perm=[0, 2, 1, 3])
        shape = builder.weight(f"{prefix}.joined_shape", np.array([0, 0, 2 * specification.hidden], np.int64))
        return builder.node("Reshape", [turned, shape], f"{prefix}.joined"), state_name
    axis = builder.weight(f"{prefix}.direction", np.array([1], np.int64))
    return builder.node("Squeeze", [sequence_name, axis], f"{prefix}.output"), state_name


def _regated(array: NDArray[np.float64], order: tuple[int, ...]) -> NDArray[np.float64]:
    gates = np.split(array, len(order))
    return np.concatenate([gates[source] for source in order])
