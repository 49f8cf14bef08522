"""Rounding: a row and its scale, and how much of a model is really int8."""

import numpy as np
import pytest
from onnx import helper

from edge.errors import EdgeError
from edge_export.int8 import rounding
from edge_export.int8.rounding import LARGEST, QuantisationError, int8_share, per_row


@pytest.mark.parametrize(("bits", "limit"), [(7, 63), (8, 127)])
def test_a_row_comes_back_within_half_a_step(bits, limit):
    rows = np.random.default_rng(1).normal(size=(2, 5, 40)) * np.logspace(-4, 4, 5)[:, None]
    values, scale = per_row(rows, bits)
    assert (values.dtype, values.shape) == (np.int8, rows.shape)
    assert (scale.dtype, scale.shape) == (np.float32, (2, 5, 1))
    assert (np.abs(values.astype(int)).max(-1) == limit).all(), "the largest weight of a row takes the largest integer"
    assert (np.abs(values * scale - rows) <= scale * 0.5001).all()


@pytest.mark.parametrize("bits", [7, 8])
def test_the_integers_are_symmetric(bits):
    row = np.random.default_rng(2).normal(size=(3, 50))
    np.testing.assert_array_equal(per_row(-row, bits)[0], -per_row(row, bits)[0])
    assert per_row(-np.abs(row), bits)[0].min() == -LARGEST[bits], "-128 has no counterpart"


def test_a_row_of_zeros_has_a_scale_above_zero():
    values, scale = per_row(np.zeros((2, 4)), 8)
    assert not values.any()
    assert (scale > 0).all()


@pytest.mark.parametrize(
    ("kind", "candidate", "weights", "others"),
    [
        # Two layers share no weights; row by row and fused, the biases that are only ever added are one.
        ("lstm", "dynamic-lstm", 48 * (28 + 12) + 48 * (12 + 12) + 10 * 12, 2 * 48 + 10),
        ("gru", "weight-only", 36 * (28 + 12) + 36 * (12 + 12) + 10 * 12, 2 * (36 + 12) + 10),
        ("rnn", "weight-only", 12 * (28 + 12) + 10 * 12, 12 + 10),
        ("mlp", "static-qdq", 784 * 24, 24 + 24 * 10 + 10),  # the last layer is small and stays
        ("cnn", "static-qdq", 25 * 6 + 6 * 9 * 8 + 8 * 9 * 6 + 6 * 64 * 10, 6 + 8 + 6 + 4 * 6 + 10),  # a norm stays
    ],
)
def test_the_share_of_int8_is_the_share_of_the_bytes(*, kind, candidate, weights, others, quantised):
    assert int8_share(quantised(kind, candidate).model) == pytest.approx(weights / (weights + 4 * others))


@pytest.mark.parametrize("kind", ["lstm", "gru", "cnn", "mlp"])
def test_nothing_of_an_fp32_model_is_int8(kind, converted):
    assert int8_share(converted(kind)[1].model) == 0


def test_scales_zero_points_shapes_and_single_numbers_are_no_weights(own_graph):
    node = helper.make_node("Identity", ["pixels"], ["logits"])
    weights = {"kernel": np.ones((3, 100), np.int8), "bias": np.ones(25, np.float32)}
    nothing = {
        "kernel_scale": np.ones(500, np.float32),
        "kernel_zero_point": np.ones(500, np.int8),
        "shape": np.ones(500, np.int64),
        "step": np.ones(1, np.float32),
    }
    assert int8_share(own_graph(node, **weights, **nothing)) == 300 / (300 + 100)
    assert int8_share(own_graph(node, **weights, norm=np.ones(25, np.float32))) == 300 / (300 + 200)


def test_a_copy_can_be_changed_without_changing_the_original(converted):
    model = converted("rnn")[1].model
    before = model.SerializeToString(deterministic=True)
    copied = rounding.copy_of(model)
    assert copied == model
    del copied.graph.node[:]
    assert model.SerializeToString(deterministic=True) == before
    assert rounding.opset(model) == 13


def test_a_refusal_is_an_expected_failure():
    assert issubclass(QuantisationError, EdgeError)
