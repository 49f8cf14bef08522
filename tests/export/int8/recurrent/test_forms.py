"""One graph with two ways to compute: the same answers, the same weights, each way at its batch sizes."""

import copy

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from edge_export.graph import session
from edge_export.graph.recurrent_graph import GATES, RecurrentLayer
from edge_export.int8.recurrent.forms import LEAST_INTEGER_UNITS, MOST_FEW, few_pictures, few_pictures_vnni
from edge_train.models.specification import Recurrent
from edge_train.training.evaluation import logits_of

BRANCHES = ["then_branch", "else_branch"]


def limit_of(model: onnx.ModelProto) -> int:
    (limit,) = [one for one in model.graph.initializer if one.name == "few"]
    return int(numpy_helper.to_array(limit)[0])


@pytest.fixture(scope="module")
def many(digits) -> np.ndarray:
    """More pictures than are ever a few."""
    return np.resize(digits.images, (MOST_FEW + 6, 28, 28))


def branch_of(model: onnx.ModelProto, name: str) -> onnx.GraphProto:
    (choice,) = [node for node in model.graph.node if node.op_type == "If"]
    return next(one.g for one in choice.attribute if one.name == name)


def logits_at(model: onnx.ModelProto, images: np.ndarray, batch: int) -> np.ndarray:
    """The logits of the first pictures, in a single batch of that size."""
    return session.run(session.open_session(model), images[:batch], batch)[0]


@pytest.mark.sampled(4)
def test_both_branches_say_what_pytorch_says_on_both_sides_of_the_limit(kind, quantised, converted, many):
    model = quantised(kind, "branched").model
    expected = logits_of(converted(kind)[0].model(), many)
    limit = limit_of(model)
    for batch in (1, limit - 1, limit, limit + 1, len(many)):
        found = logits_at(model, many, batch)
        assert np.abs(found - expected[:batch]).max() < 0.05 * np.abs(expected).max()


def negated(model: onnx.ModelProto, name: str) -> onnx.ModelProto:
    """The model with the other sign on what that branch gives."""
    damaged = copy.deepcopy(model)
    branch = branch_of(damaged, name)
    result = branch.output[0].name
    place, node = next((place, node) for place, node in enumerate(branch.node) if result in node.output)
    node.output[list(node.output).index(result)] = "before"
    branch.node.insert(place + 1, helper.make_node("Neg", ["before"], [result]))
    return damaged


@pytest.mark.parametrize("name", BRANCHES)
@pytest.mark.sampled(6)
def test_each_branch_is_taken_at_its_batch_sizes_and_at_no_others(kind, name, quantised, many):
    model = quantised(kind, "branched").model
    damaged = negated(model, name)
    limit = limit_of(model)
    for batch in (1, limit - 1, limit, len(many)):
        same = np.array_equal(logits_at(damaged, many, batch), logits_at(model, many, batch))
        assert same == ((name == "then_branch") == (batch >= limit))


def stored_bytes(graph: onnx.GraphProto) -> int:
    """The bytes of all int8 weights of a graph and of the graphs in it; single numbers are none."""
    own = [numpy_helper.to_array(one) for one in graph.initializer]
    inner = [one.g for node in graph.node for one in node.attribute if one.type == onnx.AttributeProto.GRAPH]
    constants = [one for node in graph.node if node.op_type == "Constant" for one in node.attribute]
    assert not constants, "a constant in a node would escape the count"
    return sum(one.nbytes for one in own if one.dtype == np.int8 and one.size > 1) + sum(map(stored_bytes, inner))


def test_the_weights_are_stored_once(kind, quantised):
    branched, stepped = (quantised(kind, name).model for name in ("branched", "stepped"))
    assert stored_bytes(branched.graph) == stored_bytes(stepped.graph) > 0
    assert not any(branch_of(branched, name).initializer for name in BRANCHES)


def test_few_pictures_take_the_fused_operators_and_many_take_steps(kind, quantised):
    model = quantised(kind, "branched").model
    few, many = ({node.op_type for node in branch_of(model, name).node} for name in BRANCHES)
    fused = "DynamicQuantizeLSTM" if kind == "lstm-40" else kind.strip("bi").partition("-")[0].upper()
    assert fused in few
    assert "Scan" not in few
    assert "Scan" in many
    assert fused not in many


@pytest.mark.parametrize(("target", "largest"), [("any", 63), ("vnni", 127)])
@pytest.mark.sampled(6)
def test_the_weights_have_the_bits_of_the_target(target, largest, kind, quantised, arrays):
    weights = [
        array.astype(int)
        for name, array in arrays(quantised(kind, "branched", target).model).items()
        if name.endswith(".weights") and name.startswith("recurrent")
    ]
    assert all(0.9 * largest < np.abs(array).max() <= largest for array in weights)


@pytest.mark.parametrize(
    ("kind", "candidate"), [("lstm-40", "dynamic-lstm"), ("lstm-40", "branched"), ("bilstm-2", "dynamic-lstm")]
)
def test_one_scale_serves_each_direction_of_an_lstm_with_integer_products(kind, candidate, quantised, arrays):
    scales = {
        name: array.shape
        for name, array in arrays(quantised(kind, candidate).model).items()
        if name.startswith("recurrent") and name.endswith("weights_scale")
    }
    assert set(scales.values()) == {(2,) if kind == "bilstm-2" else (1,)}


@pytest.mark.parametrize("candidate", ["weight-only", "stepped", "branched"])
def test_every_gate_row_of_any_other_layer_has_a_scale_of_its_own(candidate, quantised, arrays):
    assert arrays(quantised("lstm", candidate).model)["recurrent.0.weights_scale"].shape == (1, 4 * 12)


def layer(cell: str, hidden: int, *, relu: bool = False) -> RecurrentLayer:
    gates = GATES[cell] * hidden
    bias = np.zeros((1, gates))
    return RecurrentLayer("one", cell, relu, np.zeros((1, gates, 28 + hidden)), bias, bias, "one.sequence")


def test_the_fewer_units_the_more_pictures_are_a_few():
    for cell, relu in (("LSTM", False), ("GRU", False), ("RNN", False), ("RNN", True)):
        limits = [few_pictures(layer(cell, hidden, relu=relu)) for hidden in (4, 20, 64, 128, 256, 4096)]
        assert limits == sorted(limits, reverse=True)
        assert limits[0] == MOST_FEW
        assert limits[-1] == 1
    assert (
        few_pictures(layer("RNN", 128)) < few_pictures(layer("RNN", 128, relu=True)) < few_pictures(layer("GRU", 128))
    )


def test_with_vnni_fewer_pictures_are_a_few_for_a_gru_and_a_large_rnn_with_relu():
    for cell, relu, hidden, fewer in (
        ("LSTM", False, 128, False), ("RNN", False, 128, False), ("GRU", False, 128, True),
        ("RNN", True, 20, False), ("RNN", True, 128, True), ("RNN", True, 256, True),
    ):  # fmt: skip
        one = layer(cell, hidden, relu=relu)
        assert 1 <= few_pictures_vnni(one) <= few_pictures(one)
        assert (few_pictures_vnni(one) < few_pictures(one)) is fewer


def test_a_bundle_tells_it_where_it_is_not_the_graphs_own_limit(export, drawn, speeds):
    for hidden, expected in ((64, 12), (20, None)):
        stored = drawn(Recurrent("rnn-relu", hidden=hidden), name="rnn")
        packed = export(stored, precision="int8", candidate="branched", force=True)
        assert packed.manifest.few_images_vnni == expected


def test_a_small_lstm_computes_a_few_pictures_in_floats(quantised):
    small, large = (quantised(kind, "branched").model for kind in ("lstm", "lstm-40"))
    assert LEAST_INTEGER_UNITS == 40
    assert "LSTM" in {node.op_type for node in branch_of(small, "then_branch").node}
    assert "DynamicQuantizeLSTM" in {node.op_type for node in branch_of(large, "then_branch").node}


def test_the_graph_is_valid(kind, quantised):
    onnx.checker.check_model(quantised(kind, "branched").model)
