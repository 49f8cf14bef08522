"""Rewriting node by node: what becomes of each operator of anybody's graph, and that it still says the same."""

import numpy as np
import onnx
import pytest
from onnx import helper

from edge_export.graph import conversion, session
from edge_export.int8.operators import PRODUCTS, quantise_lstms, quantise_weights
from edge_export.int8.operators import RECURRENT as RECURRENT_OPERATORS
from edge_export.int8.quantisation import LARGEST
from edge_train.models.specification import Recurrent
from edge_train.training.evaluation import logits_of

RECURRENT = ["lstm", "bilstm", "gru", "rnn", "rnn-relu"]


@pytest.mark.parametrize("kind", ["lstm", "bilstm-2"])
@pytest.mark.parametrize("bits", [7, 8])
def test_an_lstm_becomes_the_operator_that_has_int8_kernels(kind, bits, converted, operators):
    model = converted(kind)[1].model
    count = operators(model)["LSTM"]
    found = operators(quantise_lstms(model, bits))
    assert found["DynamicQuantizeLSTM"] == count
    assert not found["LSTM"]
    assert "com.microsoft" in {entry.domain for entry in quantise_lstms(model, bits).opset_import}


@pytest.mark.parametrize(("kind", "directions", "hidden"), [("lstm", 1, 12), ("bilstm", 2, 10)])
@pytest.mark.parametrize("bits", [7, 8])
def test_every_gate_row_of_an_lstm_has_its_own_scale(*, kind, bits, directions, hidden, converted, arrays):
    model = quantise_lstms(converted(kind)[1].model, bits)
    constants, before = arrays(model), arrays(converted(kind)[1].model)
    node = next(node for node in model.graph.node if node.op_type == "DynamicQuantizeLSTM")
    for weight, scale, zero, original in (
        (node.input[1], node.input[8], node.input[9], "recurrent.0.W"),
        (node.input[2], node.input[10], node.input[11], "recurrent.0.R"),
    ):
        assert constants[weight].dtype == np.int8
        assert np.abs(constants[weight].astype(int)).max() == LARGEST[bits]
        assert constants[scale].shape == constants[zero].shape == (directions, 4 * hidden)
        assert not constants[zero].any()
        rebuilt = (constants[weight] * constants[scale][:, None, :]).transpose(0, 2, 1)
        step = constants[scale][..., None] / 2
        assert (np.abs(rebuilt - before[original]) <= step * 1.001).all()


@pytest.mark.parametrize("kind", RECURRENT)
def test_weight_only_is_a_cast_and_a_product_in_front_of_each_weight(kind, converted, operators, arrays):
    model = quantise_weights(converted(kind)[1].model)
    makers = {output: node for node in model.graph.node for output in node.output}
    constants = arrays(model)
    seen = 0
    for node in model.graph.node:
        recurrent = node.op_type in RECURRENT_OPERATORS
        if not recurrent and node.op_type != "Gemm":
            continue
        for name in node.input[1:3] if recurrent else node.input[1:2]:
            product = makers[name]
            cast = makers[product.input[0]]
            assert (product.op_type, cast.op_type) == ("Mul", "Cast")
            values, scale = constants[cast.input[0]], constants[product.input[1]]
            assert values.dtype == np.int8
            assert np.abs(values.astype(int)).max() == 127, "its products are fp32: 8 bits are right everywhere"
            assert scale.shape == (*values.shape[:-1], 1), "a scale for each row"
            seen += 1
    assert seen == 2 * sum(operators(model)[one] for one in RECURRENT_OPERATORS) + 1
    assert not operators(model)["DequantizeLinear"], "which is not folded when the session loads"


@pytest.mark.parametrize("kind", RECURRENT)
@pytest.mark.parametrize("method", ["quantise_weights", "quantise_lstms"])
def test_int8_says_nearly_what_pytorch_says(*, kind, method, converted, images, arrays, answers):
    model = converted(kind)[1].model
    rewritten = quantise_weights(model) if method == "quantise_weights" else quantise_lstms(model, 7)
    expected = logits_of(converted(kind)[0].model(), images)
    # The fused LSTM takes the range of its inputs from the pictures that it is given together.
    found = answers(rewritten, images, spread=1e-5 if method == "quantise_weights" else 5e-3)
    assert np.abs(found - expected).max() < 0.05 * np.abs(expected).max()
    assert not np.array_equal(found, expected), "int8 that changes nothing is no int8"
    left = {name for name, array in arrays(rewritten).items() if array.dtype == np.float32 and array.ndim > 1}
    assert all(name.endswith((".B", "_scale")) for name in left), "no matrix of weights is left in fp32"


@pytest.mark.parametrize("method", ["quantise_weights", "quantise_lstms"])
def test_the_callers_model_stays_as_it_was_and_the_same_bytes_come_out(method, converted):
    model = converted("lstm")[1].model
    before = model.SerializeToString(deterministic=True)
    twice = [quantise_weights(model) if method == "quantise_weights" else quantise_lstms(model, 7) for _ in range(2)]
    assert model.SerializeToString(deterministic=True) == before
    assert twice[0].SerializeToString(deterministic=True) == twice[1].SerializeToString(deterministic=True)


def test_only_the_operators_that_are_asked_for_are_rewritten(converted, arrays):
    model = converted("gru")[1].model
    result = quantise_weights(model, PRODUCTS)
    found = {name for name, array in arrays(result).items() if array.dtype == np.int8}
    assert found == {"head.weight_int8"}
    assert {"recurrent.0.W", "recurrent.1.R"} <= set(arrays(result))


def test_a_row_of_zeros_stays_zero(drawn, images):
    one = drawn(Recurrent("gru", hidden=6))
    one.weights["recurrent.weight_hh_l0"][3:9] = 0
    one.weights["head.weight"][2] = 0
    model = quantise_weights(conversion.convert(one).model)
    logits, _ = session.run(session.open_session(model), images, 17)
    assert np.isfinite(logits).all()
    np.testing.assert_allclose(logits[:, 2], one.weights["head.bias"][2], atol=1e-6)


def test_the_product_of_two_activations_stays(own_graph):
    model = own_graph(
        helper.make_node("Transpose", ["pixels"], ["turned"], perm=[0, 2, 1]),
        helper.make_node("MatMul", ["pixels", "turned"], ["squares"]),
        helper.make_node("ReduceMean", ["squares"], ["mean"], axes=[1, 2], keepdims=0),
        helper.make_node("Unsqueeze", ["mean", "last"], ["column"]),
        helper.make_node("Mul", ["column", "gains"], ["logits"]),
        last=np.array([1], np.int64),
        gains=np.ones(10, np.float32),
    )
    assert quantise_weights(model) == model


def test_layers_that_share_their_weights_are_quantised_once(own_graph, images):
    random = np.random.default_rng(1)
    model = own_graph(
        helper.make_node("Transpose", ["pixels"], ["rows"], perm=[1, 0, 2]),
        helper.make_node("RNN", ["rows", "W", "R"], ["", "state"], hidden_size=10),
        helper.make_node("Squeeze", ["state", "direction"], ["first"]),
        helper.make_node("Gemm", ["first", "shared"], ["second"]),
        helper.make_node("Gemm", ["second", "shared"], ["logits"]),
        W=(random.normal(size=(1, 10, 28)) / 2000).astype(np.float32),
        R=(random.normal(size=(1, 10, 10)) / 10).astype(np.float32),
        shared=random.normal(size=(10, 10)).astype(np.float32),
        direction=np.array([0], np.int64),
    )
    result = quantise_weights(model)
    onnx.checker.check_model(result, full_check=True)
    expected, _ = session.run(session.open_session(model), images, 17)
    found, _ = session.run(session.open_session(result), images, 17)
    assert np.abs(found - expected).max() < 0.05 * np.abs(expected).max()


def test_a_weight_that_another_node_reads_as_it_was_is_kept(own_graph, images):
    random = np.random.default_rng(2)
    model = own_graph(
        helper.make_node("Transpose", ["pixels"], ["rows"], perm=[1, 0, 2]),
        helper.make_node("GRU", ["rows", "W", "R"], ["", "state"], hidden_size=10),
        helper.make_node("Squeeze", ["state", "direction"], ["features"]),
        helper.make_node("Gemm", ["features", "shared"], ["scores"]),
        helper.make_node("ReduceSum", ["shared", "direction"], ["sum"], keepdims=0),
        helper.make_node("Add", ["scores", "sum"], ["logits"]),
        W=(random.normal(size=(1, 30, 28)) / 2000).astype(np.float32),
        R=(random.normal(size=(1, 30, 10)) / 10).astype(np.float32),
        shared=random.normal(size=(10, 10)).astype(np.float32),
        direction=np.array([0], np.int64),
    )
    result = quantise_weights(model)
    onnx.checker.check_model(result, full_check=True)
    expected, _ = session.run(session.open_session(model), images, 17)
    found, _ = session.run(session.open_session(result), images, 17)
    assert np.abs(found - expected).max() < 0.05 * np.abs(expected).max()


def test_matrix_products_have_a_scale_for_each_column(own_graph, arrays, images):
    random = np.random.default_rng(3)
    model = own_graph(
        helper.make_node("Transpose", ["pixels"], ["rows"], perm=[1, 0, 2]),
        helper.make_node("GRU", ["rows", "W", "R"], ["", "state"], hidden_size=8),
        helper.make_node("Squeeze", ["state", "direction"], ["features"]),
        helper.make_node("MatMul", ["features", "head"], ["logits"]),
        W=(random.normal(size=(1, 24, 28)) / 2000).astype(np.float32),
        R=(random.normal(size=(1, 24, 8)) / 10).astype(np.float32),
        head=(random.normal(size=(8, 10)) * np.logspace(-3, 0, 10)).astype(np.float32),
        direction=np.array([0], np.int64),
    )
    result = quantise_weights(model)
    assert arrays(result)["head_scale"].shape == (1, 10)
    expected, _ = session.run(session.open_session(model), images, 17)
    found, _ = session.run(session.open_session(result), images, 17)
    # A single scale would drown the small columns in the rounding of the large ones.
    assert (np.abs(found - expected).max(0) < 0.05 * np.abs(expected).max(0)).all()
