"""Graphs written from the weights: what PyTorch says, in as few nodes as the operators allow."""

from collections import Counter

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from edge_export.graph import conversion, session
from edge_export.graph.builder import IR_VERSION, OPSET
from edge_train.models.specification import MODELS, Convolutional, Recurrent
from edge_train.training.checkpoint import CheckpointError
from edge_train.training.evaluation import logits_of

# Nothing of these is needed when every shape is known.
SHAPE_ARITHMETIC = {
    "Shape",
    "Gather",
    "ConstantOfShape",
    "Expand",
    "Concat",
    "Slice",
    "Constant",
    "Identity",
    "Reshape",
}

OPERATORS = {
    "lstm": {"Cast": 1, "Transpose": 1, "LSTM": 1, "Squeeze": 1, "Gemm": 1, "Softmax": 1},
    "gru": {"Cast": 1, "Transpose": 1, "GRU": 1, "Squeeze": 1, "Gemm": 1, "Softmax": 1},
    "rnn": {"Cast": 1, "Transpose": 1, "RNN": 1, "Squeeze": 1, "Gemm": 1, "Softmax": 1},
    "bilstm": {"Cast": 1, "Transpose": 2, "LSTM": 1, "Flatten": 1, "Gemm": 1, "Softmax": 1},
    "gru-256x2": {"Cast": 1, "Transpose": 1, "GRU": 2, "Squeeze": 2, "Gemm": 1, "Softmax": 1},
    "cnn": {"Cast": 1, "Unsqueeze": 1, "Conv": 2, "Relu": 3, "MaxPool": 2, "Flatten": 1, "Gemm": 2, "Softmax": 1},
}
OPERATORS |= {"lstm-20": OPERATORS["lstm"], "rnn-relu": OPERATORS["rnn"]}


def operators(model: onnx.ModelProto) -> Counter[str]:
    return Counter(node.op_type for node in model.graph.node)


@pytest.fixture(scope="module")
def tables(drawn):
    """Every model of the table with random weights, and its graph."""
    stored = {name: drawn(entry.specification) for name, entry in MODELS.items()}
    return {name: (one, conversion.convert(one).model) for name, one in stored.items()}


@pytest.mark.represented(name=("gru", "rnn-relu", "bilstm", "cnn"))
@pytest.mark.parametrize("name", MODELS)
def test_a_graph_says_what_pytorch_says_at_every_batch_size(name, tables, images, answers):
    stored, model = tables[name]
    expected = logits_of(stored.model(), images)
    assert np.abs(expected).max() > 0.2, "the weights say nothing"
    np.testing.assert_allclose(answers(model, images), expected, atol=2e-5)


@pytest.mark.parametrize("name", OPERATORS)
def test_a_graph_has_no_node_too_many(name, tables):
    assert operators(tables[name][1]) == OPERATORS[name]


def test_the_lstm_needs_at_most_eight_nodes_also_with_a_temperature(drawn):
    model = conversion.convert(drawn(Recurrent("lstm"), temperature=0.5)).model
    assert len(model.graph.node) <= 8


@pytest.mark.parametrize("name", [name for name in MODELS if name != "bilstm-256x2"])
def test_no_shape_is_computed_when_the_model_runs(name, tables):
    assert not set(operators(tables[name][1])) & SHAPE_ARITHMETIC


def test_the_only_reshape_has_a_constant_target_that_keeps_the_batch_axis_free(tables):
    model = tables["bilstm-256x2"][1]
    (reshape,) = [node for node in model.graph.node if node.op_type == "Reshape"]
    constants = {weight.name: numpy_helper.to_array(weight) for weight in model.graph.initializer}
    assert constants[reshape.input[1]].tolist() == [0, 0, 512]  # rows and batch as they come


@pytest.mark.parametrize("name", [name for name in MODELS if not name.startswith("cnn")])
def test_a_recurrent_layer_is_one_fused_operator_without_initial_states(name, tables):
    stored, model = tables[name]
    kind = {"lstm": "LSTM", "gru": "GRU"}.get(stored.specification.cell, "RNN")
    layers = [node for node in model.graph.node if node.op_type == kind]
    assert len(layers) == stored.specification.layers
    assert all(len(node.input) == 4 for node in layers), "sequence, W, R, B: anything more is a state or a length"


@pytest.mark.parametrize("name", MODELS)
def test_the_interface_is_that_of_a_bundle(name, tables):
    running = session.open_session(tables[name][1])
    (image,) = running.get_inputs()
    assert (image.name, image.type, image.shape) == ("image", "tensor(uint8)", ["batch", 28, 28])
    outputs = [(output.name, output.type, output.shape) for output in running.get_outputs()]
    assert outputs == [(name, "tensor(float)", ["batch", 10]) for name in ("logits", "probabilities")]


@pytest.mark.parametrize("name", MODELS)
def test_the_versions_are_the_lowest_that_carry_the_graph(name, tables):
    model = tables[name][1]
    assert (OPSET, IR_VERSION) == (13, 7)
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 13)]
    assert model.ir_version == 7
    onnx.checker.check_model(model, full_check=True)


@pytest.mark.parametrize("name", MODELS)
def test_weights_are_float32_and_stored_once(name, tables):
    stored, model = tables[name]
    stored_bytes = sum(
        numpy_helper.to_array(weight).nbytes for weight in model.graph.initializer if weight.data_type == 1
    )
    trained_bytes = sum(4 * tensor.numel() for tensor in stored.weights.values() if tensor.dtype.is_floating_point)
    assert stored_bytes <= trained_bytes
    assert {weight.data_type for weight in model.graph.initializer} <= {1, 7}


@pytest.mark.parametrize("name", ["lstm", "cnn-16k"])
def test_the_same_checkpoint_gives_the_same_bytes(name, tables):
    stored, model = tables[name]
    assert conversion.convert(stored).model.SerializeToString(deterministic=True) == model.SerializeToString(
        deterministic=True
    )


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_probabilities_are_the_softmax_of_logits_by_temperature(drawn, images, temperature):
    model = conversion.convert(drawn(Recurrent("gru", hidden=9), temperature=temperature)).model
    logits, probabilities = session.run(session.open_session(model), images, 17)
    powers = np.exp(logits.astype(np.float64) / temperature)
    np.testing.assert_allclose(probabilities, powers / powers.sum(1, keepdims=True), atol=1e-6)
    assert ("Mul" in operators(model)) == (temperature != 1.0)


def test_pixels_go_in_raw_the_scale_is_in_the_weights(drawn):
    stored = drawn(Recurrent("rnn-tanh", hidden=9))
    model = conversion.convert(stored).model
    weights = {weight.name: numpy_helper.to_array(weight) for weight in model.graph.initializer}
    np.testing.assert_allclose(weights["recurrent.0.W"][0] * 255, stored.weights["recurrent.weight_ih_l0"], rtol=1e-5)
    assert not {"Div", "Mul", "Sub"} & set(operators(model))


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn-tanh", "rnn-relu"])
@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.sampled(8)
def test_every_free_size_converts_exactly(*, cell, layers, bidirectional, drawn, images, answers):
    stored = drawn(Recurrent(cell, hidden=7, layers=layers, bidirectional=bidirectional), seed=layers)
    expected = logits_of(stored.model(), images)
    limit = 2e-5 * max(1.0, float(np.abs(expected).max()))  # a ReLU state has no bound, and neither have its logits
    found = answers(conversion.convert(stored).model, images, spread=limit)
    np.testing.assert_allclose(found, expected, atol=limit)


def test_a_hidden_state_of_one_number_converts(drawn, images, answers):
    stored = drawn(Recurrent("lstm", hidden=1))
    np.testing.assert_allclose(
        answers(conversion.convert(stored).model, images), logits_of(stored.model(), images), atol=2e-5
    )


def test_the_labels_decide_nothing_about_the_graph(drawn):
    stored = drawn(Recurrent("gru", hidden=5), labels=tuple("zyxwvutsrq"))
    assert session.open_session(conversion.convert(stored).model).get_outputs()[0].shape == ["batch", 10]


def test_weights_that_do_not_fit_are_refused(drawn):
    stored = drawn(Recurrent("gru", hidden=5))
    other = drawn(Convolutional("flatten linear10"), weights=stored.weights)
    with pytest.raises(CheckpointError, match="do not fit"):
        conversion.convert(other)


@pytest.mark.parametrize("name", MODELS)
def test_every_tap_exists_and_the_last_one_is_the_logits(name, drawn, tables):
    taps = conversion.convert(tables[name][0]).taps
    outputs = [output for node in tables[name][1].graph.node for output in node.output]
    assert taps[-1].tensor == "logits"
    positions = [outputs.index(tap.tensor) for tap in taps]
    assert positions == sorted(positions)
    assert len({tap.layer for tap in taps}) == len(taps)
