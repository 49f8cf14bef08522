"""Weights as integers: a row and its scale, errors that make up for each other, and how much is really int8."""

import numpy as np
import pytest
from onnx import helper

from edge.errors import EdgeError
from edge_export.int8.quantisation import LARGEST, QuantisationError, compensate_rounding, int8_share, quantise_rows

ROWS, COLUMNS = 24, 40


@pytest.mark.parametrize(("bits", "limit"), [(7, 63), (8, 127)])
def test_a_row_comes_back_within_half_a_step(bits, limit):
    rows = np.random.default_rng(1).normal(size=(2, 5, 40)) * np.logspace(-4, 4, 5)[:, None]
    values, scale = quantise_rows(rows, bits)
    assert (values.dtype, values.shape) == (np.int8, rows.shape)
    assert (scale.dtype, scale.shape) == (np.float32, (2, 5, 1))
    assert (np.abs(values.astype(int)).max(-1) == limit).all(), "the largest weight of a row takes the largest integer"
    assert (np.abs(values * scale - rows) <= scale * 0.5001).all()


@pytest.mark.parametrize("bits", [7, 8])
def test_the_integers_are_symmetric(bits):
    row = np.random.default_rng(2).normal(size=(3, 50))
    np.testing.assert_array_equal(quantise_rows(-row, bits)[0], -quantise_rows(row, bits)[0])
    assert quantise_rows(-np.abs(row), bits)[0].min() == -LARGEST[bits], "-128 has no counterpart"


def test_a_row_of_zeros_has_a_scale_above_zero():
    values, scale = quantise_rows(np.zeros((2, 4)), 8)
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


def test_a_refusal_is_an_expected_failure():
    assert issubclass(QuantisationError, EdgeError)


# --- errors that make up for each other ---


def correlated(seed: int, *, dependent: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Weights, inputs that go together closely, and their moments; the last `dependent` inputs never occur."""
    random = np.random.default_rng(seed)
    weights = random.normal(size=(ROWS, COLUMNS))
    few = random.normal(size=(500, 6)) @ random.normal(size=(6, COLUMNS))
    inputs = few + 0.1 * random.normal(size=(500, COLUMNS))
    if dependent:
        inputs[:, -dependent:] = 0
    return weights, inputs, inputs.T @ inputs / len(inputs)


def error(weights: np.ndarray, values: np.ndarray, scale: np.ndarray, inputs: np.ndarray) -> float:
    """Mean square of what the products differ by."""
    return float((((weights - values * scale) @ inputs.T) ** 2).mean())


@pytest.mark.parametrize("bits", [7, 8])
@pytest.mark.parametrize("seed", range(8))
@pytest.mark.sampled(6)
def test_products_with_inputs_that_go_together_are_much_closer(seed, bits):
    weights, inputs, moments = correlated(seed)
    plain, scale = quantise_rows(weights, bits)
    better = compensate_rounding(weights, scale.astype(np.float64), moments, bits)
    assert error(weights, better, scale, inputs) < 0.35 * error(weights, plain, scale, inputs)


@pytest.mark.parametrize("seed", range(8))
def test_7_bits_are_closer_than_8_that_are_rounded_each_by_itself(seed):
    weights, inputs, moments = correlated(seed)
    plain, fine = quantise_rows(weights, 8)
    coarse = quantise_rows(weights, 7)[1]
    better = compensate_rounding(weights, coarse.astype(np.float64), moments, 7)
    assert error(weights, better, coarse, inputs) < error(weights, plain, fine, inputs)


def test_inputs_that_have_nothing_to_do_with_each_other_leave_plain_rounding():
    weights, *_ = correlated(1)
    plain, scale = quantise_rows(weights, 8)
    np.testing.assert_array_equal(compensate_rounding(weights, scale, np.diag(np.arange(1.0, COLUMNS + 1)), 8), plain)


@pytest.mark.parametrize("bits", [7, 8])
def test_the_integers_stay_in_their_range(bits):
    weights, _, moments = correlated(2)
    scale = quantise_rows(weights, bits)[1].astype(np.float64)
    values = compensate_rounding(weights * 1.5, scale, moments, bits)  # more than the scale has room for
    assert (values.dtype, values.shape) == (np.int8, weights.shape)
    assert np.abs(values.astype(int)).max() == LARGEST[bits]


def test_a_row_of_zeros_stays_zero():
    weights, _, moments = correlated(3)
    weights[5] = 0
    scale = quantise_rows(weights, 7)[1].astype(np.float64)
    values = compensate_rounding(weights, scale, moments, 7)
    assert not values[5].any()
    assert values[4].any()


def test_a_scale_for_each_weight_is_taken_as_one():
    weights, _, moments = correlated(4)
    scale = quantise_rows(weights, 8)[1].astype(np.float64)
    scales = np.repeat(scale, COLUMNS, axis=1)
    np.testing.assert_array_equal(
        compensate_rounding(weights, scales, moments, 8), compensate_rounding(weights, scale, moments, 8)
    )


@pytest.mark.parametrize("dependent", [1, 20, COLUMNS])
def test_inputs_that_never_occur_do_no_harm(dependent):
    weights, inputs, moments = correlated(5, dependent=dependent)
    plain, scale = quantise_rows(weights, 8)
    values = compensate_rounding(weights, scale.astype(np.float64), moments, 8)
    assert error(weights, values, scale, inputs) <= error(weights, plain, scale, inputs)
    np.testing.assert_array_equal(values[:, -dependent:], plain[:, -dependent:])


def test_two_inputs_that_are_always_the_same_are_rounded_as_one():
    """Half a step twice: each by itself loses a whole step, together nothing."""
    weights = np.array([[127.0, 0.5, 0.5]])
    moments = np.array([[1.0, 0, 0], [0, 1, 1], [0, 1, 1]])
    assert np.rint(weights).sum() != weights.sum()
    values = compensate_rounding(weights, np.ones((1, 1)), moments, 8)
    assert values[0, 1:].sum() == 1


@pytest.mark.parametrize("seed", range(4))
def test_the_order_of_the_columns_is_restored(seed):
    weights, _, moments = correlated(seed)
    scale = quantise_rows(weights, 8)[1].astype(np.float64)
    order = np.random.default_rng(seed).permutation(COLUMNS)
    values = compensate_rounding(weights, scale, moments, 8)
    np.testing.assert_array_equal(
        compensate_rounding(weights[:, order], scale, moments[np.ix_(order, order)], 8), values[:, order]
    )
    assert np.abs(weights - values * scale).max() < 0.2 * np.abs(weights).max(), "each near its own weight"


def test_the_weights_stay_as_they_were():
    weights, _, moments = correlated(6)
    before = weights.copy()
    compensate_rounding(weights, quantise_rows(weights, 8)[1].astype(np.float64), moments, 8)
    np.testing.assert_array_equal(weights, before)
