"""Recurrent layers, in floating point and in integers, and how they are read off an fp32 graph.

Start here. `quantised_layers` turns the layers into integers, `scan` and `forms` write those as ONNX.

A layer takes a row x_t of the picture, or of the layer below, and its own state h (an LSTM a cell c too). With W the
weights of the inputs, R those of the state, * the product of each element with its own, s the logistic function:

    LSTM   i, o, f = s(W x_t + R h + b)     g = tanh(W_g x_t + R_g h + b_g)
           c <- f * c + i * g               h <- o * tanh(c)
    GRU    z, r = s(W x_t + R h + b)        n = tanh(W_n x_t + b_wn + r * (R_n h + b_rn))
           h <- n + z * (h - n)
    RNN    h <- tanh(W x_t + R h + b)       or max(0, W x_t + R h + b)

**In integers** the row and the state are bytes (`edge_export.int8.quantisation` has the equations of affine
quantisation), and a step is one product of the bytes [x_t, h] with an int8 matrix:

    pixels              are bytes from the start:   scale 1, zero point 0, and 1/255 is in the weights already
    tanh, LSTM, GRU     h lies in (-1, 1):          scale 1/127, zero point 128, without calibration
    RNN with relu       h has no bound:             each unit is scaled so that calibration fills 0 to 255: scale 1

The scales of the columns go into the weights before these are rounded, with a scale for each gate row o; a rectified
layer has one for W and one for R, and two products:

    [W scale_x, R scale_h]_ok ~ scale_o q_ok

What the zero points add to the product is known beforehand, and is folded into the bias:

    b'_o = b_o - scale_o (zero_x sum_k q_ok + zero_h sum_l q_ol)        k over the columns of W, l over those of R

Gates, cell and the new state are computed in fp32; the state becomes a byte again before the next product.

Source: torch.nn.LSTM, torch.nn.GRU, torch.nn.RNN; ONNX's operators LSTM, GRU (linear_before_reset = 1), RNN.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, helper, numpy_helper

from edge_export.graph.builder import IMAGE
from edge_export.graph.recurrent_graph import GATES, RecurrentLayer

# Attributes with the values that the equations above stand for; any other value is another model.
_KNOWN: dict[str, frozenset[object] | None] = {
    "direction": frozenset({b"forward", b"bidirectional", b"reverse"}),
    "layout": frozenset({0}),  # time first
    "linear_before_reset": frozenset({1}),
    "hidden_size": None,  # any
}
# What ONNX's operators take: X, W, R, B, sequence_lens, initial_h, initial_c, P (of peepholes).
INITIAL_H, INITIAL_C = 5, 6
_GLUE = frozenset({"Squeeze", "Transpose", "Reshape", "Flatten"})


@dataclass(frozen=True, slots=True, eq=False)
class RecurrentStack:
    """The recurrent layers of a graph from the picture to the features, and what follows.

    Attributes:
        layers: in order.
        features: name of the tensor [batch, directions * hidden] that the rest of the graph takes.
        rest: the nodes from there to the outputs.
    """

    layers: tuple[RecurrentLayer, ...]
    features: str
    rest: tuple[NodeProto, ...]


def read(model: ModelProto) -> RecurrentStack | None:
    """The stack of a graph, or `None` where the graph has another form.

    A graph is such a stack when the picture goes through nothing but a change of layout into the first layer, each
    layer's sequence into the next one, and only the last one's final state into what follows. Then the state need not
    be float between two steps, and the pixels never: they are integers from the start.

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
    layers = [read_layer(nodes[place], arrays) for place in places]
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
    return RecurrentStack(known, features, rest) if len(known) == len(layers) else None


def read_layer(
    node: NodeProto, arrays: dict[str, NDArray[Any]], *, name: str = "", anywhere: bool = False
) -> RecurrentLayer | None:
    """The layer that a recurrent node is, or `None` where it computes otherwise than the equations above.

    Args:
        node: LSTM, GRU or RNN.
        arrays: the constants of its graph.
        name: prefix for the names of its tensors; empty takes that of its sequence.
        anywhere: whether it may begin with states that it is given, or read upwards only.
    """
    attributes = {one.name: helper.get_attribute_value(one) for one in node.attribute}
    activations = set(attributes.pop("activations", []))
    relu = activations == {b"Relu"}
    entering = [*node.input, *[""] * (8 - len(node.input))]
    allowed = {INITIAL_H, INITIAL_C} if anywhere else set()
    if (
        (activations and not (relu and node.op_type == "RNN"))
        or (attributes.get("direction") == b"reverse" and not anywhere)
        or any(not _is_known(attribute, value) for attribute, value in attributes.items())
        or (node.op_type == "GRU" and "linear_before_reset" not in attributes)
        or any(entering[place] for place in range(4, 8) if place not in allowed)
        or any(weights not in arrays for weights in entering[1:3])
        or (entering[3] and entering[3] not in arrays)
    ):
        return None
    of_inputs, of_state = (arrays[weights].astype(np.float64) for weights in entering[1:3])
    directions, gates, _ = of_inputs.shape
    biases = arrays[entering[3]].astype(np.float64) if entering[3] else np.zeros((directions, 2 * gates))
    return RecurrentLayer(
        name=name or node.output[0].removesuffix(".sequence"),
        cell=node.op_type,
        relu=relu,
        weights=np.concatenate([of_inputs, of_state], axis=2),
        input_bias=biases[:, :gates],
        state_bias=biases[:, gates:],
        sequence=node.output[0],
        upwards=attributes.get("direction") == b"reverse",
    )


def _is_known(attribute: str, value: object) -> bool:
    return attribute in _KNOWN and ((values := _KNOWN[attribute]) is None or value in values)
