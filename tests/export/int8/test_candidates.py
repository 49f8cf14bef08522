"""The candidates: what suits which model, what each promises, and that all of them are fit for a bundle."""

import numpy as np
import onnx
import pytest
from onnx import helper

from edge_export.graph import conversion, form, session
from edge_export.int8 import candidates
from edge_export.int8.candidates import CANDIDATES
from edge_export.int8.processors import PROFILES
from edge_export.int8.quantisation import QuantisationError, int8_share
from edge_train.models.specification import Convolutional
from edge_train.training import checkpoint
from edge_train.training.evaluation import logits_of

SUITABLE = {
    "lstm": ["weight-only", "dynamic-lstm", "stepped", "branched"],
    "bilstm-2": ["weight-only", "dynamic-lstm", "stepped", "branched"],
    "gru": ["weight-only", "stepped", "branched"],
    "bigru-2": ["weight-only", "stepped", "branched"],
    "rnn": ["weight-only", "stepped", "branched"],
    "rnn-relu": ["weight-only", "stepped", "branched"],
    "cnn": ["weight-only", "static-qdq", "blocks", "blocks-percentile"],
    "mlp": ["weight-only", "static-qdq", "blocks", "blocks-percentile"],
}
EVERY = [(kind, name) for kind, names in SUITABLE.items() for name in names]


@pytest.mark.parametrize("kind", SUITABLE)
def test_the_operators_decide_what_suits(kind, converted, digits):
    built = candidates.build(converted(kind)[1].model, digits.images, PROFILES["any"])
    assert list(built) == SUITABLE[kind], "simplest first"
    assert [name for name in CANDIDATES if name in built] == list(built)


@pytest.mark.parametrize(("kind", "name"), EVERY)
def test_int8_says_nearly_what_pytorch_says(kind, name, quantised, converted, digits):
    expected = logits_of(converted(kind)[0].model(), digits.images)
    running = session.open_session(quantised(kind, name).model)
    for batch in (1, 60):
        found, probabilities = session.run(running, digits.images, batch)
        # 8 bits are 1/127 of the largest number in each product; errors add up over a few layers.
        assert np.abs(found - expected).max() < 0.08 * np.abs(expected).max()
        assert not np.array_equal(found, expected), "int8 that changes nothing is no int8"
        np.testing.assert_allclose(probabilities.sum(1), 1, atol=1e-5)


@pytest.mark.parametrize(("kind", "name"), EVERY)
@pytest.mark.sampled(8)
def test_the_interface_and_the_versions_stay(kind, name, quantised):
    model = quantised(kind, name).model
    onnx.checker.check_model(model)
    form.check_form(model, classes=10, lean=False)
    assert model.ir_version == 7
    assert {entry.domain: entry.version for entry in model.opset_import if not entry.domain} == {"": 13}


@pytest.mark.parametrize("kind", ["lstm", "rnn-relu", "cnn"])
def test_the_same_model_gives_the_same_bytes_and_stays_as_it_was(kind, converted, digits):
    model = converted(kind)[1].model
    before = model.SerializeToString(deterministic=True)
    first, again = (candidates.build(model, digits.images, PROFILES["any"]) for _ in range(2))
    assert model.SerializeToString(deterministic=True) == before
    for name, one in first.items():
        assert one.model.SerializeToString(deterministic=True) == again[name].model.SerializeToString(
            deterministic=True
        )


@pytest.mark.parametrize(("kind", "name"), [("gru", "stepped"), ("lstm", "weight-only"), ("mlp", "static-qdq")])
def test_a_candidate_alone_is_the_one_among_all(kind, name, converted, digits):
    model = converted(kind)[1].model
    alone = candidates.build(model, digits.images, PROFILES["any"], name)
    assert list(alone) == [name]
    assert alone[name].model == candidates.build(model, digits.images, PROFILES["any"])[name].model


def test_a_name_that_there_is_none_of_is_told_with_those_that_there_are(converted, digits):
    with pytest.raises(QuantisationError) as refusal:
        candidates.build(converted("rnn")[1].model, digits.images, PROFILES["any"], "int4")
    assert str(refusal.value) == (
        "there is no candidate 'int4'; use one of weight-only, dynamic-lstm, stepped, branched, static-qdq, "
        "blocks, blocks-percentile"
    )


@pytest.mark.parametrize(
    ("kind", "name"),
    [("gru", "dynamic-lstm"), ("rnn", "static-qdq"), ("cnn", "stepped"), ("mlp", "stepped"), ("cnn", "branched")],
)
def test_a_candidate_that_does_not_suit_is_told(kind, name, converted, digits):
    with pytest.raises(QuantisationError, match=rf"the candidate {name} does not suit .*leave --candidate out"):
        candidates.build(converted(kind)[1].model, digits.images, PROFILES["any"], name)


def test_a_model_without_products_cannot_be_quantised(own_graph, digits):
    model = own_graph(
        helper.make_node("ReduceMean", ["pixels"], ["mean"], axes=[1, 2], keepdims=0),
        helper.make_node("Unsqueeze", ["mean", "last"], ["column"]),
        helper.make_node("Mul", ["column", "gains"], ["logits"]),
        last=np.array([1], np.int64),
        gains=np.ones(10, np.float32),
    )
    with pytest.raises(
        QuantisationError, match=r"no weight of this model \(Cast, Mul, ReduceMean, .*\) can be int8; .* --quantize"
    ):
        candidates.build(model, digits.images, PROFILES["any"])


def test_products_of_activations_alone_are_no_int8_model(own_graph, digits):
    model = own_graph(
        helper.make_node("Transpose", ["pixels"], ["turned"], perm=[0, 2, 1]),
        helper.make_node("MatMul", ["pixels", "turned"], ["squares"]),
        helper.make_node("ReduceMean", ["squares"], ["mean"], axes=[1, 2], keepdims=0),
        helper.make_node("Unsqueeze", ["mean", "last"], ["column"]),
        helper.make_node("Mul", ["column", "gains"], ["logits"]),
        last=np.array([1], np.int64),
        gains=np.ones(10, np.float32),
    )
    with pytest.raises(QuantisationError, match="can be int8"):
        candidates.build(model, digits.images, PROFILES["any"])


@pytest.mark.parametrize(
    ("kind", "name", "operators"),
    [
        ("lstm", "weight-only", ()),
        ("gru", "weight-only", ()),
        ("cnn", "static-qdq", ()),
        ("lstm", "dynamic-lstm", ("DynamicQuantizeLSTM",)),
        ("gru", "stepped", ("MatMulIntegerToFloat",)),
        ("rnn", "branched", ("MatMulIntegerToFloat",)),
        ("lstm", "branched", ("MatMulIntegerToFloat",)),
        ("lstm-40", "branched", ("DynamicQuantizeLSTM", "MatMulIntegerToFloat")),
    ],
)
def test_operators_that_only_the_cpu_has_are_named_also_inside_branches(kind, name, operators, quantised):
    one = quantised(kind, name)
    assert one.cpu_only == operators
    assert ("com.microsoft" in {entry.domain for entry in one.model.opset_import}) == bool(operators)


def test_a_name_promises_no_int8_arithmetic_where_there_is_none():
    for name, one in CANDIDATES.items():
        assert ("int8 products" in one.arithmetic) == (name != "weight-only")
    assert "not faster" in CANDIDATES["weight-only"].arithmetic


def test_weights_alone_are_given_to_every_target_alike(quantised):
    assert quantised("gru", "weight-only", "any").model == quantised("gru", "weight-only", "vnni").model


@pytest.mark.parametrize(("kind", "name"), [("rnn-relu", "stepped"), ("lstm", "branched"), ("mlp", "static-qdq")])
def test_calibration_images_decide_and_the_candidate_says_so(kind, name, converted, quantised, digits):
    faint = candidates.build(converted(kind)[1].model, digits.images // 8, PROFILES["any"], name)[name]
    assert faint.calibrated
    assert faint.model != quantised(kind, name).model


@pytest.mark.represented(name=("branched",))
@pytest.mark.parametrize("name", ["weight-only", "dynamic-lstm", "branched"])
def test_the_shipped_lstm_keeps_nearly_all_its_weights_in_int8(name, images):
    model = conversion.convert(checkpoint.load(checkpoint.shipped("lstm"))).model
    result = candidates.build(model, images, PROFILES["any"], name)[name].model
    assert int8_share(result) > 0.95
    assert len(result.SerializeToString()) < 0.32 * len(model.SerializeToString())


def test_a_folded_chain_can_be_quantised(drawn, digits):
    one = drawn(Convolutional("conv5x4 relu bn pool conv3x4 relu flatten linear10"), gains="positive")
    built = candidates.build(conversion.convert(one).model, digits.images, PROFILES["any"])
    assert list(built) == SUITABLE["cnn"]
