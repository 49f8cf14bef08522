"""What is read off a graph as a stack of recurrent layers, and what makes a graph none."""

import copy

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from edge_export.graph import conversion
from edge_export.graph.recurrent_graph import GATES
from edge_export.int8.recurrent import cells
from edge_train.models.specification import Recurrent

SHAPES = {  # cell, layers, directions, hidden
    "lstm": ("LSTM", 2, 1, 12),
    "lstm-40": ("LSTM", 1, 1, 40),
    "bilstm": ("LSTM", 1, 2, 10),
    "bilstm-2": ("LSTM", 2, 2, 9),
    "gru": ("GRU", 2, 1, 12),
    "bigru-2": ("GRU", 2, 2, 9),
    "rnn": ("RNN", 1, 1, 12),
    "rnn-relu": ("RNN", 2, 1, 12),
    "birnn-relu-2": ("RNN", 2, 2, 9),
}


def test_every_recurrent_model_is_a_stack(kind, converted):
    cell, count, directions, hidden = SHAPES[kind]
    stack = cells.read(converted(kind)[1].model)
    assert len(stack.layers) == count
    for position, layer in enumerate(stack.layers):
        inputs = 28 if position == 0 else directions * hidden
        gates = GATES[cell] * hidden
        assert (layer.cell, layer.directions, layer.hidden, layer.inputs) == (cell, directions, hidden, inputs)
        assert layer.weights.shape == (directions, gates, inputs + hidden)
        assert layer.input_bias.shape == layer.state_bias.shape == (directions, gates)
        assert layer.relu == ("relu" in kind)
    assert stack.features == "final"
    assert stack.rest[0].op_type == "Gemm"
    assert stack.rest[-1].output == ["probabilities"]


def test_the_numbers_are_those_of_the_graph(converted, arrays):
    model = converted("bilstm-2")[1].model
    constants = arrays(model)
    for position, layer in enumerate(cells.read(model).layers):
        prefix = f"recurrent.{position}"
        np.testing.assert_array_equal(layer.weights[..., : layer.inputs], constants[f"{prefix}.W"])
        np.testing.assert_array_equal(layer.weights[..., layer.inputs :], constants[f"{prefix}.R"])
        biases = np.concatenate([layer.input_bias, layer.state_bias], axis=1)
        np.testing.assert_array_equal(biases, constants[f"{prefix}.B"])
        assert (layer.name, layer.sequence) == (prefix, f"{prefix}.sequence")


@pytest.mark.parametrize("kind", ["cnn", "mlp"])
def test_a_model_without_recurrent_layers_is_none(kind, converted):
    assert cells.read(converted(kind)[1].model) is None


def node(model: onnx.ModelProto, name: str) -> onnx.NodeProto:
    """The node that makes the tensor of that name."""
    return next(one for one in model.graph.node if name in one.output)


def attribute(one: onnx.NodeProto, name: str, value: object) -> None:
    """Sets an attribute, or takes it out where the value is `None`."""
    kept = [entry for entry in one.attribute if entry.name != name]
    del one.attribute[:]
    one.attribute.extend(kept)
    if value is not None:
        one.attribute.append(helper.make_attribute(name, value))


def constant(model: onnx.ModelProto, name: str, array: np.ndarray) -> str:
    model.graph.initializer.append(numpy_helper.from_array(array, name))
    return name


def initial_state(model):
    layer = node(model, "recurrent.0.sequence")
    layer.input.extend(["", constant(model, "start", np.ones((1, 1, 12), np.float32))])


def computed_weights(model):
    model.graph.node.insert(0, helper.make_node("Neg", ["recurrent.0.R"], ["negative"]))
    node(model, "recurrent.0.sequence").input[2] = "negative"


def reset_before_the_product(model):
    attribute(node(model, "recurrent.1.sequence"), "linear_before_reset", 0)


def reset_as_onnx_does_without_being_told(model):
    attribute(node(model, "recurrent.1.sequence"), "linear_before_reset", None)


def other_activations(model):
    attribute(node(model, "recurrent.0.sequence"), "activations", ["Sigmoid", "Relu"])


def a_clipped_cell(model):
    attribute(node(model, "recurrent.0.sequence"), "clip", 3.0)


def pixels_normalised(model):
    model.graph.node.insert(
        1, helper.make_node("Div", ["pixels", constant(model, "full", np.float32([255]))], ["unit"])
    )
    node(model, "rows").input[0] = "unit"


def pixels_not_turned(model):
    node(model, "rows").op_type = "Identity"
    attribute(node(model, "rows"), "perm", None)


def the_sequence_is_what_the_rest_uses(model):
    node(model, "final").input[0] = "recurrent.1.sequence"


def a_state_of_an_earlier_layer_is_used_too(model):
    model.graph.node.insert(len(model.graph.node) - 1, helper.make_node("Identity", ["recurrent.0.state"], ["side"]))
    node(model, "probabilities").input.append("side")


def an_activation_between_two_layers(model):
    place = [one.output[0] for one in model.graph.node].index("recurrent.1.sequence")
    model.graph.node.insert(place, helper.make_node("Tanh", ["recurrent.0.output"], ["squashed"]))
    node(model, "recurrent.1.sequence").input[0] = "squashed"


def the_lower_layer_reads_backwards(model):
    attribute(node(model, "recurrent.0.sequence"), "direction", "reverse")


def the_sequence_has_no_state_beside_it(model):
    del node(model, "recurrent.1.sequence").output[1]


@pytest.mark.parametrize(
    "change",
    [
        initial_state,
        computed_weights,
        reset_before_the_product,
        reset_as_onnx_does_without_being_told,
        other_activations,
        a_clipped_cell,
        pixels_normalised,
        pixels_not_turned,
        the_sequence_is_what_the_rest_uses,
        a_state_of_an_earlier_layer_is_used_too,
        an_activation_between_two_layers,
        the_lower_layer_reads_backwards,
        the_sequence_has_no_state_beside_it,
    ],
    ids=lambda change: change.__name__.replace("_", " "),
)
def test_a_graph_of_another_form_is_none(change, converted):
    model = copy.deepcopy(converted("gru")[1].model)
    assert cells.read(model) is not None
    change(model)
    assert cells.read(model) is None


@pytest.mark.parametrize(("activations", "relu"), [(["Tanh"], None), (["Relu"], True), (["Sigmoid"], None)])
def test_an_rnn_rectifies_or_squashes_without_a_word(activations, relu, drawn):
    model = conversion.convert(drawn(Recurrent("rnn-tanh", hidden=6))).model
    attribute(node(model, "recurrent.0.sequence"), "activations", activations)
    stack = cells.read(model)
    assert (None if stack is None else stack.layers[0].relu) == relu


def test_reading_leaves_the_graph_as_it_was(converted):
    model = converted("gru")[1].model
    before = model.SerializeToString(deterministic=True)
    cells.read(model)
    assert model.SerializeToString(deterministic=True) == before


def test_a_layer_without_biases_has_zeros(converted):
    model = copy.deepcopy(converted("gru")[1].model)
    node(model, "recurrent.0.sequence").input.pop()
    lower, upper = cells.read(model).layers
    assert not lower.input_bias.any()
    assert not lower.state_bias.any()
    assert lower.input_bias.shape == lower.state_bias.shape == (1, 3 * 12)
    assert upper.input_bias.any()
