"""int8: what becomes of each operator, that it is really int8, and that it still says what PyTorch says."""

from collections import Counter

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edge.errors import EdgeError
from edge_export import convert, quantise, session
from edge_export.quantise import QuantisationError
from edge_train import checkpoint
from edge_train.loop import logits_of
from edge_train.specification import Convolutional, Recurrent

KINDS = ["lstm", "bilstm", "gru", "rnn", "rnn-relu", "cnn", "mlp"]
METHODS = {"lstm": "dynamic-lstm", "bilstm": "dynamic-lstm", "cnn": "static-qdq", "mlp": "static-qdq"}


def operators(model: onnx.ModelProto) -> Counter[str]:
    return Counter(node.op_type for node in model.graph.node)


def stored(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    return {weight.name: numpy_helper.to_array(weight) for weight in model.graph.initializer}


@pytest.fixture(scope="module")
def quantised(converted, digits):
    return {kind: quantise.quantise(converted(kind)[1].model, digits.images) for kind in KINDS}


@pytest.mark.parametrize("kind", KINDS)
def test_the_operator_decides_the_method(kind, quantised):
    assert quantised[kind].method == METHODS.get(kind, "weight-only")
    assert quantised[kind].method in quantise.ARITHMETIC


@pytest.mark.parametrize("kind", KINDS)
def test_int8_says_nearly_what_pytorch_says(kind, quantised, converted, images):
    images = images[:60]  # a calibrated range covers digits, not an image of 255s
    expected = logits_of(converted(kind)[0].model(), images)
    found, _ = session.run(session.open_session(quantised[kind].model), images, 1)
    # 8 bits are 1/127 of the largest number in each product; errors add up over a few layers.
    assert np.abs(found - expected).max() < 0.08 * np.abs(expected).max()
    assert not np.array_equal(found, expected), "int8 that changes nothing is no int8"


@pytest.mark.parametrize("kind", KINDS)
def test_the_callers_model_stays_as_it_was(kind, converted, digits):
    model = converted(kind)[1].model
    before = model.SerializeToString(deterministic=True)
    quantise.quantise(model, digits.images)
    assert model.SerializeToString(deterministic=True) == before


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_model_is_quantised_to_the_same_bytes(kind, quantised, converted, digits):
    again = quantise.quantise(converted(kind)[1].model, digits.images)
    assert again.model.SerializeToString(deterministic=True) == quantised[kind].model.SerializeToString(
        deterministic=True
    )


@pytest.mark.parametrize("kind", KINDS)
def test_the_interface_and_the_versions_stay(kind, quantised):
    model = quantised[kind].model
    onnx.checker.check_model(model)
    convert.check_form(model, classes=10)
    assert model.ir_version == 7
    assert {entry.domain: entry.version for entry in model.opset_import if not entry.domain} == {"": 13}


@pytest.mark.parametrize("kind", KINDS)
def test_no_weight_matrix_is_left_in_fp32(kind, quantised):
    model = quantised[kind].model
    floats = {name: array for name, array in stored(model).items() if array.dtype == np.float32 and array.ndim > 1}
    # What is left in fp32: biases of a recurrent layer (one row), scales, and a last layer that is small.
    small = {"mlp": {"chain.3.weight"}}.get(kind, set())
    assert {name for name in floats if not name.endswith((".B", "_scale"))} == small


@pytest.mark.parametrize("kind", KINDS)
def test_int8_weights_are_stored_as_int8_and_use_its_range(kind, quantised):
    weights = [array for array in stored(quantised[kind].model).values() if array.dtype == np.int8 and array.size > 100]
    assert weights
    for array in weights:
        assert np.abs(array.astype(np.int16)).max() == 127


@pytest.mark.parametrize(
    ("kind", "weights", "others"),
    [
        ("lstm", 48 * (28 + 12) + 48 * (12 + 12) + 10 * 12, 2 * 96 + 10),  # ONNX has two biases for each gate
        ("gru", 36 * (28 + 12) + 36 * (12 + 12) + 10 * 12, 2 * 72 + 10),
        ("mlp", 784 * 24, 24 + 24 * 10 + 10),  # the last layer is small and stays
        ("cnn", 25 * 6 + 6 * 9 * 8 + 8 * 9 * 6 + 6 * 64 * 10, 6 + 8 + 6 + 4 * 6 + 10),  # one BatchNorm stays
    ],
)
def test_the_share_of_int8_is_the_share_of_the_bytes(*, kind, weights, others, quantised):
    assert quantise.int8_share(quantised[kind].model) == pytest.approx(weights / (weights + 4 * others))


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_of_an_fp32_model_is_int8(kind, converted):
    assert quantise.int8_share(converted(kind)[1].model) == 0


@pytest.mark.parametrize("kind", ["lstm", "bilstm"])
def test_an_lstm_becomes_the_operator_that_has_int8_kernels(kind, quantised, converted):
    count = operators(converted(kind)[1].model)["LSTM"]
    found = operators(quantised[kind].model)
    assert found["DynamicQuantizeLSTM"] == count
    assert not found["LSTM"]
    assert quantised[kind].cpu_only == ("DynamicQuantizeLSTM",)
    assert "com.microsoft" in {entry.domain for entry in quantised[kind].model.opset_import}


@pytest.mark.parametrize(("kind", "directions", "hidden"), [("lstm", 1, 12), ("bilstm", 2, 10)])
def test_every_gate_row_of_an_lstm_has_its_own_scale(kind, directions, hidden, quantised, converted):
    arrays = stored(quantised[kind].model)
    before = stored(converted(kind)[1].model)
    node = next(node for node in quantised[kind].model.graph.node if node.op_type == "DynamicQuantizeLSTM")
    for weight, scale, zero, original in (
        (node.input[1], node.input[8], node.input[9], "recurrent.0.W"),
        (node.input[2], node.input[10], node.input[11], "recurrent.0.R"),
    ):
        assert arrays[weight].dtype == np.int8
        assert arrays[scale].shape == arrays[zero].shape == (directions, 4 * hidden)
        assert not arrays[zero].any()
        rebuilt = (arrays[weight] * arrays[scale][:, None, :]).transpose(0, 2, 1)
        step = arrays[scale][..., None] / 2
        assert (np.abs(rebuilt - before[original]) <= step * 1.001).all()


@pytest.mark.parametrize(("kind", "operator"), [("gru", "GRU"), ("rnn", "RNN"), ("rnn-relu", "RNN")])
def test_weight_only_is_a_cast_and_a_product_in_front_of_each_weight(kind, operator, quantised):
    model = quantised[kind].model
    makers = {output: node for node in model.graph.node for output in node.output}
    arrays = stored(model)
    for node in model.graph.node:
        if node.op_type not in (operator, "Gemm"):
            continue
        for name in node.input[1:3] if node.op_type == operator else node.input[1:2]:
            product = makers[name]
            cast = makers[product.input[0]]
            assert (product.op_type, cast.op_type) == ("Mul", "Cast")
            assert arrays[cast.input[0]].dtype == np.int8
            assert arrays[product.input[1]].shape[-1] == 1, "a scale for each row"
            assert arrays[product.input[1]].shape[:-1] == arrays[cast.input[0]].shape[:-1]
    assert not operators(model)["DequantizeLinear"], "which is not folded when the session loads"
    assert quantised[kind].cpu_only == ()


def test_weight_only_arithmetic_is_not_called_int8():
    assert "fp32 arithmetic" in quantise.ARITHMETIC["weight-only"]


@pytest.mark.parametrize(("kind", "products"), [("cnn", [True] * 4), ("mlp", [True, False])])
def test_products_have_int8_on_both_sides_except_in_a_small_last_layer(kind, products, quantised):
    model = quantised[kind].model
    makers = {output: node.op_type for node in model.graph.node for output in node.output}
    found = [node for node in model.graph.node if node.op_type in ("Conv", "Gemm")]
    sides = [{makers.get(name) for name in node.input[:2]} for node in found]
    assert [side == {"DequantizeLinear"} for side in sides] == products
    assert quantised[kind].calibrated


@pytest.mark.parametrize("kind", ["lstm", "bilstm", "gru", "rnn", "rnn-relu"])
def test_recurrent_models_need_no_calibration(kind, quantised, converted):
    nothing = quantise.quantise(converted(kind)[1].model, np.zeros((1, 28, 28), np.uint8))
    assert nothing.model == quantised[kind].model
    assert not quantised[kind].calibrated


def test_calibration_data_decide_the_ranges_of_a_cnn(converted, digits):
    model = converted("cnn")[1].model
    faint = quantise.quantise(model, digits.images // 8)
    assert faint.model != quantise.quantise(model, digits.images).model


def test_the_stock_quantiser_gives_no_advice_to_the_user(converted, digits, caplog):
    quantise.quantise(converted("mlp")[1].model, digits.images)
    assert not caplog.records


@pytest.mark.parametrize("count", [1, 7, 130])
def test_any_number_of_calibration_images_will_do(count, converted, digits):
    images = np.resize(digits.images, (count, 28, 28))
    assert quantise.quantise(converted("mlp")[1].model, images).calibrated


def test_a_row_of_zeros_stays_zero(drawn, images):
    one = drawn(Recurrent("gru", hidden=6))
    one.weights["recurrent.weight_hh_l0"][3:9] = 0
    one.weights["head.weight"][2] = 0
    model = quantise.quantise(convert.convert(one).model, images).model
    logits, _ = session.run(session.open_session(model), images, 17)
    assert np.isfinite(logits).all()
    np.testing.assert_allclose(logits[:, 2], one.weights["head.bias"][2], atol=1e-6)


def classifier(*nodes: onnx.NodeProto, **arrays: np.ndarray) -> onnx.ModelProto:
    """A model of somebody's: from `pixels`, float [batch, 28, 28], to `logits`."""
    head = [helper.make_node("Cast", ["image"], ["pixels"], to=1)]
    tail = [helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1)]
    return helper.make_model(
        helper.make_graph(
            [*head, *nodes, *tail],
            "own",
            [helper.make_tensor_value_info("image", TensorProto.UINT8, ["batch", 28, 28])],
            [helper.make_tensor_value_info(name, 1, ["batch", 10]) for name in ("logits", "probabilities")],
            [numpy_helper.from_array(array, name) for name, array in arrays.items()],
        ),
        opset_imports=[helper.make_opsetid("", 13)],
        ir_version=7,
    )


def test_a_model_without_products_cannot_be_quantised(digits):
    model = classifier(
        helper.make_node("ReduceMean", ["pixels"], ["mean"], axes=[1, 2], keepdims=0),
        helper.make_node("Unsqueeze", ["mean", "last"], ["column"]),
        helper.make_node("Mul", ["column", "gains"], ["logits"]),
        last=np.array([1], np.int64),
        gains=np.ones(10, np.float32),
    )
    with pytest.raises(QuantisationError, match=r"nothing to quantise among Cast, Mul.*without --quantize"):
        quantise.quantise(model, digits.images)


def test_products_of_activations_alone_are_no_int8_model(digits):
    model = classifier(
        helper.make_node("Transpose", ["pixels"], ["turned"], perm=[0, 2, 1]),
        helper.make_node("MatMul", ["pixels", "turned"], ["squares"]),
        helper.make_node("ReduceMean", ["squares"], ["mean"], axes=[1, 2], keepdims=0),
        helper.make_node("Unsqueeze", ["mean", "last"], ["column"]),
        helper.make_node("Mul", ["column", "gains"], ["logits"]),
        last=np.array([1], np.int64),
        gains=np.ones(10, np.float32),
    )
    with pytest.raises(QuantisationError, match=r"no weight of this model can be stored as int8.*without --quantize"):
        quantise.quantise(model, digits.images)


def test_a_refusal_is_an_expected_failure():
    assert issubclass(QuantisationError, EdgeError)


def test_layers_that_share_their_weights_are_quantised_once(images):
    random = np.random.default_rng(1)
    model = classifier(
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
    result = quantise.quantise(model, images).model
    onnx.checker.check_model(result, full_check=True)
    expected, _ = session.run(session.open_session(model), images, 17)
    found, _ = session.run(session.open_session(result), images, 17)
    assert np.abs(found - expected).max() < 0.05 * np.abs(expected).max()


def test_a_weight_that_another_node_reads_as_it_was_is_kept(images):
    random = np.random.default_rng(2)
    model = classifier(
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
    result = quantise.quantise(model, images).model
    onnx.checker.check_model(result, full_check=True)
    expected, _ = session.run(session.open_session(model), images, 17)
    found, _ = session.run(session.open_session(result), images, 17)
    assert np.abs(found - expected).max() < 0.05 * np.abs(expected).max()


def test_matrix_products_have_a_scale_for_each_column(images):
    random = np.random.default_rng(3)
    model = classifier(
        helper.make_node("Transpose", ["pixels"], ["rows"], perm=[1, 0, 2]),
        helper.make_node("GRU", ["rows", "W", "R"], ["", "state"], hidden_size=8),
        helper.make_node("Squeeze", ["state", "direction"], ["features"]),
        helper.make_node("MatMul", ["features", "head"], ["logits"]),
        W=(random.normal(size=(1, 24, 28)) / 2000).astype(np.float32),
        R=(random.normal(size=(1, 24, 8)) / 10).astype(np.float32),
        head=(random.normal(size=(8, 10)) * np.logspace(-3, 0, 10)).astype(np.float32),
        direction=np.array([0], np.int64),
    )
    result = quantise.quantise(model, images).model
    assert stored(result)["head_scale"].shape == (1, 10)
    expected, _ = session.run(session.open_session(model), images, 17)
    found, _ = session.run(session.open_session(result), images, 17)
    # A single scale would drown the small columns in the rounding of the large ones.
    assert (np.abs(found - expected).max(0) < 0.05 * np.abs(expected).max(0)).all()


@pytest.mark.parametrize("name", ["lstm"])
def test_the_shipped_model_keeps_nearly_all_its_weights_in_int8(name, images):
    model = convert.convert(checkpoint.load(checkpoint.shipped(name))).model
    result = quantise.quantise(model, images).model
    assert quantise.int8_share(result) > 0.95
    assert len(result.SerializeToString()) < 0.3 * len(model.SerializeToString())


def test_a_folded_chain_can_be_quantised(drawn, digits):
    one = drawn(Convolutional("conv5x4 relu bn pool conv3x4 relu flatten linear10"), gains="positive")
    assert quantise.quantise(convert.convert(one).model, digits.images).method == "static-qdq"
