"""The recurrent layers of a graph, read off its nodes, where they form a stack that can be computed row by row.

A graph is such a stack when the picture goes through nothing but a change of layout into the first layer, each layer's
sequence into the next one, and only the last one's final state into what follows. Then the state need not be float
between two steps, and the pixels never: they are integers from the start.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, helper, numpy_helper

from edge_export.graph.builder import IMAGE

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
# Attributes with the values that the equations of `stepped` stand for; any other value is another model.
_KNOWN: dict[str, frozenset[object] | None] = {
    "direction": frozenset({b"forward", b"bidirectional"}),
    "linear_before_reset": frozenset({1}),
    "hidden_size": None,  # any
}
_GLUE = frozenset({"Squeeze", "Transpose", "Reshape", "Flatten"})

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
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
    """

    name: str
    cell: str
    relu: bool
    weights: Array
    input_bias: Array
    state_bias: Array
    sequence: str

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


@dataclass(frozen=True, slots=True, eq=False)
class Stack:
    """The recurrent layers of a graph from the picture to the features, and what follows.

    Attributes:
        layers: in order.
        features: name of the tensor [batch, directions * hidden] that the rest of the graph takes.
        rest: the nodes from there to the outputs.
    """

    layers: tuple[Layer, ...]
    features: str
    rest: tuple[NodeProto, ...]


def read(model: ModelProto) -> Stack | None:
    """The stack of a graph, or `None` where the graph has another form.

    Args:
        model: fp32, as `edge_export.graph.convert` writes it.
    """
    arrays = {weight.name: numpy_helper.to_array(weight) for weight in model.graph.initializer}
    nodes = list(model.graph.node)
    places = [place for place, node in enumerate(nodes) if node.op_type in GATES]
    if not places:
        return None
    first, last = places[0], places[-1]
    end = last + 1
    while end < len(nodes) and nodes[end].op_type in _GLUE:
        end += 1
    before, inside, rest = nodes[:first], nodes[first:end], tuple(nodes[end:])
    layers = [_layer(nodes[place], arrays) for place in places]
    features = inside[-1].output[0]
    hidden_from_rest = {output for node in (*before, *inside) for output in node.output} - {features}
    if (
        [node.op_type for node in before] != ["Cast", "Transpose"]
        or before[0].input[0] != IMAGE
        or list(helper.get_node_attr_value(before[1], "perm")) != [1, 0, 2]  # time first, then the batch
        or nodes[first].input[0] != before[1].output[0]
        or any(node.op_type not in _GLUE | GATES.keys() for node in inside)
        or len(nodes[last].output) < 2
        or nodes[last + 1].input[0] != nodes[last].output[1]  # the final state, not the sequence
        or any(name in hidden_from_rest for node in rest for name in node.input)
    ):
        return None
    known = tuple(layer for layer in layers if layer is not None)
    return Stack(known, features, rest) if len(known) == len(layers) else None


def _layer(node: NodeProto, arrays: dict[str, NDArray[Any]]) -> Layer | None:
    attributes = {one.name: helper.get_attribute_value(one) for one in node.attribute}
    activations = set(attributes.pop("activations", []))
    relu = activations == {b"Relu"}
    constants = [name for name in node.input[1:] if name]
    if (
        (activations and not (relu and node.op_type == "RNN"))
        or any(not _is_known(name, value) for name, value in attributes.items())
        or (node.op_type == "GRU" and "linear_before_reset" not in attributes)
        or constants != list(node.input[1:4])  # weights and biases, no initial state, no peepholes
        or len(constants) != 3
        or any(name not in arrays for name in constants)
    ):
        return None
    of_inputs, of_state, biases = (arrays[name].astype(np.float64) for name in constants)
    gates = of_inputs.shape[1]
    return Layer(
        name=node.output[0].removesuffix(".sequence"),
        cell=node.op_type,
        relu=relu,
        weights=np.concatenate([of_inputs, of_state], axis=2),
        input_bias=biases[:, :gates],
        state_bias=biases[:, gates:],
        sequence=node.output[0],
    )


def _is_known(attribute: str, value: object) -> bool:
    return attribute in _KNOWN and ((values := _KNOWN[attribute]) is None or value in values)
