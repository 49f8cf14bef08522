"""Recurrent classifiers as ONNX: the fused operator of each layer, straight from the weights.

Six nodes carry an LSTM: Cast, Transpose, LSTM, Squeeze, Gemm, Softmax. An omitted initial state means zeros, and the
operator's second output is the final state, so nothing is computed from shapes at run time.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto
from torch import Tensor

from edge.bundle.input import COLUMNS
from edge_export.graph.builder import IMAGE, LOGITS, PIXEL_SCALE, GraphBuilder
from edge_train.models.specification import Recurrent

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}

# Where ONNX's gates lie among torch's. Sources: onnx.ai operator documentation; torch.nn.LSTM and torch.nn.GRU.
_GATE_ORDER: dict[str, tuple[int, ...]] = {
    "lstm": (0, 3, 1, 2),  # torch i f g o -> ONNX i o f c
    "gru": (1, 0, 2),  # torch r z n -> ONNX z r h
    "rnn-tanh": (0,),
    "rnn-relu": (0,),
}
OPERATOR = {"lstm": "LSTM", "gru": "GRU", "rnn-tanh": "RNN", "rnn-relu": "RNN"}

Array = NDArray[np.float64]
Number = TypeVar("Number", np.float32, np.float64)


@dataclass(frozen=True, slots=True, eq=False)
class RecurrentLayer:
    """One recurrent layer.

    D directions, G gates, H hidden units, I inputs; gates in ONNX's order.

    Attributes:
        name: prefix for the names of its tensors.
        cell: "LSTM", "GRU" or "RNN".
        relu: whether the state is rectified instead of squashed by tanh; RNN only.
        weights: float64 (D, G * H, I + H): of the inputs, then of the state.
        input_bias: float64 (D, G * H).
        state_bias: float64 (D, G * H), of the recurrent product.
        sequence: name of the tensor with every state, [28, D, batch, H].
        upwards: whether its one direction reads the rows from the last to the first.
    """

    name: str
    cell: str
    relu: bool
    weights: Array
    input_bias: Array
    state_bias: Array
    sequence: str
    upwards: bool = False

    @property
    def directions(self) -> int:
        """1, or 2 where the rows are also read from the last to the first."""
        return len(self.weights)

    @property
    def hidden(self) -> int:
        """Units of the state of one direction."""
        return len(self.input_bias[0]) // GATES[self.cell]

    @property
    def inputs(self) -> int:
        """Values that enter at each step."""
        return len(self.weights[0, 0]) - self.hidden


@dataclass(frozen=True, slots=True)
class FusedOperator:
    """The operator that computes a whole layer, and the names of what it takes after the sequence."""

    operands: list[str]
    operator: str
    domain: str | None = None


def write(specification: Recurrent, weights: dict[str, Tensor]) -> GraphBuilder:
    """The graph of a recurrent classifier up to its logits.

    Args:
        specification: cell, sizes and directions.
        weights: the state of a `RecurrentClassifier` of that specification.
    """
    arrays = {name: tensor.detach().numpy().astype(np.float64) for name, tensor in weights.items()}
    builder = GraphBuilder()
    layers = [_layer(specification, arrays, number) for number in range(specification.layers)]

    def in_floats(layer: RecurrentLayer) -> FusedOperator:
        parts = {
            "W": layer.weights[..., : layer.inputs],
            "R": layer.weights[..., layer.inputs :],
            "B": np.concatenate([layer.input_bias, layer.state_bias], axis=1),
        }
        return FusedOperator([builder.weight(f"{layer.name}.{kind}", part) for kind, part in parts.items()], layer.cell)

    write_layers(builder, builder, layers, in_floats, "final", axis="direction")
    for number, layer in enumerate(layers):
        builder.tap(f"recurrent layer {number}", layer.sequence, steps=True)
    builder.weight("head.weight", arrays["head.weight"])
    builder.weight("head.bias", arrays["head.bias"])
    builder.node("Gemm", ["final", "head.weight", "head.bias"], LOGITS, transB=1)
    builder.tap("head", LOGITS)
    return builder


def write_layers(
    constants: GraphBuilder,
    here: GraphBuilder,
    layers: Sequence[RecurrentLayer],
    fused: Callable[[RecurrentLayer], FusedOperator],
    features: str,
    *,
    axis: str,
) -> None:
    """Writes the layers, a node each, from the picture to the final state of the last one.

    Args:
        constants: takes the weights, and what is computed from them alone.
        here: takes the nodes that depend on the picture; may be the same builder.
        layers: in order.
        fused: the operator of a layer.
        features: name of the result, float32 [batch, directions * hidden].
        axis: name of the constant [0], the axis of directions that a single one leaves.
    """
    pixels = here.node("Cast", [IMAGE], "pixels", to=TensorProto.FLOAT)
    sequence = here.node("Transpose", [pixels], "rows", perm=[1, 0, 2])  # [28, batch, columns]
    for layer in layers:
        state = f"{layer.name}.state"  # [directions, batch, hidden]
        one = fused(layer)
        here.node(one.operator, [sequence, *one.operands], layer.sequence, **attributes(layer), domain=one.domain)
        here.nodes[-1].output.append(state)
        if layer is not layers[-1]:
            sequence = _joined(constants, here, layer)
    if layer.directions == 2:
        side_by_side = here.node("Transpose", [state], "final.directions", perm=[1, 0, 2])  # [batch, 2, hidden]
        here.node("Flatten", [side_by_side], features, axis=1)
    else:
        here.node("Squeeze", [state, constants.weight(axis, np.array([0], np.int64))], features)


def attributes(layer: RecurrentLayer) -> dict[str, object]:
    """What the fused operator of a layer is told of it."""
    told: dict[str, object] = {"hidden_size": layer.hidden}
    if layer.directions == 2:
        told["direction"] = "bidirectional"
    elif layer.upwards:
        told["direction"] = "reverse"
    if layer.cell == "GRU":
        told["linear_before_reset"] = 1  # torch applies the reset gate after the recurrent product
    if layer.relu:
        told["activations"] = ["Relu"] * layer.directions
    return told


def _joined(constants: GraphBuilder, here: GraphBuilder, layer: RecurrentLayer) -> str:
    """The sequence of a layer as the next one takes it, [28, batch, directions * hidden]."""
    name = layer.name
    if layer.directions == 1:
        axis = constants.weight(f"{name}.direction", np.array([1], np.int64))
        return here.node("Squeeze", [layer.sequence, axis], f"{name}.output")
    turned = here.node("Transpose", [layer.sequence], f"{name}.turned", perm=[0, 2, 1, 3])
    shape = constants.weight(f"{name}.joined_shape", np.array([0, 0, layer.directions * layer.hidden], np.int64))
    return here.node("Reshape", [turned, shape], f"{name}.joined")


def _layer(specification: Recurrent, arrays: dict[str, Array], number: int) -> RecurrentLayer:
    """A layer with torch's numbers in ONNX's order, for raw pixels."""
    directions = ["", "_reverse"] if specification.bidirectional else [""]

    def stacked(kind: str) -> Array:
        named = [arrays[f"recurrent.{kind}_l{number}{direction}"] for direction in directions]
        return np.stack([gates_in_order(array, specification.cell) for array in named])

    inputs = stacked("weight_ih")  # (D, G * H, I)
    if number == 0:
        assert inputs.shape[-1] == COLUMNS
        inputs = inputs * PIXEL_SCALE
    return RecurrentLayer(
        name=f"recurrent.{number}",
        cell=OPERATOR[specification.cell],
        relu=specification.cell == "rnn-relu",
        weights=np.concatenate([inputs, stacked("weight_hh")], axis=2),
        input_bias=stacked("bias_ih"),
        state_bias=stacked("bias_hh"),
        sequence=f"recurrent.{number}.sequence",
    )


def gates_in_order(array: NDArray[Number], cell: str) -> NDArray[Number]:
    """Weights or biases of torch, (G * H, ...), with the gates where ONNX has them.

    Args:
        array: as torch's layer holds it.
        cell: "lstm", "gru", "rnn-tanh" or "rnn-relu".
    """
    order = _GATE_ORDER[cell]
    gates = np.split(array, len(order))
    return np.concatenate([gates[source] for source in order])
