"""fp16: half the bytes, the same interface, nearly the same answers."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edge_export.graph import conversion, form, fp16, session
from edge_export.parity.comparison import probabilities_of
from edge_export.parity.tolerances import TOLERANCES
from edge_train.models.specification import Recurrent
from edge_train.training.evaluation import logits_of

KINDS = ["lstm", "bilstm", "gru", "rnn", "cnn", "mlp"]


@pytest.fixture(scope="module")
def halved(converted):
    return {kind: fp16.to_fp16(converted(kind)[1].model) for kind in KINDS}


@pytest.mark.parametrize("kind", KINDS)
def test_every_weight_is_fp16(kind, halved):
    types = {
        weight.name: weight.data_type
        for weight in halved[kind].graph.initializer
        if weight.data_type != TensorProto.INT64 and weight.name != "inverse_temperature"
    }
    assert types
    assert set(types.values()) == {TensorProto.FLOAT16}


@pytest.mark.parametrize("kind", KINDS)
def test_the_image_stays_uint8_and_the_outputs_float32(kind, halved):
    form.check_form(halved[kind], classes=10)


@pytest.mark.parametrize("kind", KINDS)
def test_the_graph_is_valid_and_sorted_and_of_the_same_versions(kind, halved):
    onnx.checker.check_model(halved[kind], full_check=True)
    assert halved[kind].ir_version == 7
    assert [entry.version for entry in halved[kind].opset_import] == [13]
    known = {"image", *(weight.name for weight in halved[kind].graph.initializer), ""}
    for node in halved[kind].graph.node:
        assert known.issuperset(node.input), f"{node.name} stands before its inputs"
        known.update(node.output)


@pytest.mark.parametrize("kind", KINDS)
def test_no_cast_is_left_over(kind, halved, converted):
    added = len(halved[kind].graph.node) - len(converted(kind)[1].model.graph.node)
    assert added == 1, "the logits, back to float32"


@pytest.mark.parametrize("kind", KINDS)
def test_answers_stay_within_the_tolerance_of_fp16(kind, halved, converted, images):
    expected = logits_of(converted(kind)[0].model(), images)
    for batch in (1, 17):
        found, _ = session.run(session.open_session(halved[kind]), images, batch)
        assert np.abs(found - expected).max() < TOLERANCES["fp16"].logit_error
        assert (found.argmax(1) == expected.argmax(1)).mean() > 0.95


def test_probabilities_keep_the_precision_of_fp32(drawn, images):
    model = fp16.to_fp16(conversion.convert(drawn(Recurrent("gru", hidden=9), temperature=0.5)).model)
    logits, probabilities = session.run(session.open_session(model), images, 17)
    np.testing.assert_allclose(probabilities, probabilities_of(logits, 0.5), atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_the_file_has_half_the_weights(kind, halved, converted):
    def weight_bytes(model: onnx.ModelProto) -> int:
        return sum(numpy_helper.to_array(one).nbytes for one in model.graph.initializer if one.data_type != 7)

    assert weight_bytes(halved[kind]) <= 0.5 * weight_bytes(converted(kind)[1].model) + 4


@pytest.mark.parametrize("kind", ["lstm", "cnn"])
def test_the_callers_model_stays_and_the_result_is_the_same_each_time(kind, halved, converted):
    model = converted(kind)[1].model
    before = model.SerializeToString(deterministic=True)
    again = fp16.to_fp16(model)
    assert model.SerializeToString(deterministic=True) == before
    assert again.SerializeToString(deterministic=True) == halved[kind].SerializeToString(deterministic=True)


def test_operators_that_have_no_fp16_are_cast_around_and_the_graph_stays_sorted(images):
    random = np.random.default_rng(4)
    nodes = [
        helper.make_node("Cast", ["image"], ["pixels"], to=1),
        helper.make_node("Flatten", ["pixels"], ["flat"]),
        helper.make_node("Gemm", ["flat", "weight"], ["scores"], name="product"),
        helper.make_node("Max", ["scores", "floor"], ["high"], name="limit"),
        helper.make_node("Mul", ["high", "scores"], ["logits"], name="square"),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
    ]
    weights = {"weight": random.normal(size=(784, 10)) / 5000, "floor": np.zeros(10)}
    model = helper.make_model(
        helper.make_graph(
            nodes,
            "own",
            [helper.make_tensor_value_info("image", TensorProto.UINT8, ["batch", 28, 28])],
            [helper.make_tensor_value_info(name, 1, ["batch", 10]) for name in ("logits", "probabilities")],
            [numpy_helper.from_array(array.astype(np.float32), name) for name, array in weights.items()],
        ),
        opset_imports=[helper.make_opsetid("", 13)],
        ir_version=7,
    )
    halved = fp16.to_fp16(model)
    assert sum(node.op_type == "Cast" for node in halved.graph.node) > 2
    known = {"image", *weights}
    for node in halved.graph.node:
        assert known.issuperset(node.input), f"{node.op_type} stands before its inputs"
        known.update(node.output)
    expected, _ = session.run(session.open_session(model), images, 17)
    found, _ = session.run(session.open_session(halved), images, 17)
    np.testing.assert_allclose(found, expected, atol=0.01)
