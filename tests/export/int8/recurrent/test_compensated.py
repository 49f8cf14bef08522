"""Compensated rounding: closer to the products than rounding each weight by itself, and never out of range."""

import numpy as np
import pytest

from edge_export.int8.recurrent.compensated import compensated
from edge_export.int8.rounding import LARGEST, per_row

ROWS, COLUMNS = 24, 40


def layer(seed: int, *, dependent: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
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
def test_products_with_inputs_that_go_together_are_much_closer(seed, bits):
    weights, inputs, moments = layer(seed)
    plain, scale = per_row(weights, bits)
    better = compensated(weights, scale.astype(np.float64), moments, bits)
    assert error(weights, better, scale, inputs) < 0.35 * error(weights, plain, scale, inputs)


@pytest.mark.parametrize("seed", range(8))
def test_7_bits_are_closer_than_8_that_are_rounded_each_by_itself(seed):
    weights, inputs, moments = layer(seed)
    plain, fine = per_row(weights, 8)
    coarse = per_row(weights, 7)[1]
    better = compensated(weights, coarse.astype(np.float64), moments, 7)
    assert error(weights, better, coarse, inputs) < error(weights, plain, fine, inputs)


def test_inputs_that_have_nothing_to_do_with_each_other_leave_plain_rounding():
    weights, *_ = layer(1)
    plain, scale = per_row(weights, 8)
    np.testing.assert_array_equal(compensated(weights, scale, np.diag(np.arange(1.0, COLUMNS + 1)), 8), plain)


@pytest.mark.parametrize("bits", [7, 8])
def test_the_integers_stay_in_their_range(bits):
    weights, _, moments = layer(2)
    scale = per_row(weights, bits)[1].astype(np.float64)
    values = compensated(weights * 1.5, scale, moments, bits)  # more than the scale has room for
    assert (values.dtype, values.shape) == (np.int8, weights.shape)
    assert np.abs(values.astype(int)).max() == LARGEST[bits]


def test_a_row_of_zeros_stays_zero():
    weights, _, moments = layer(3)
    weights[5] = 0
    scale = per_row(weights, 7)[1].astype(np.float64)
    values = compensated(weights, scale, moments, 7)
    assert not values[5].any()
    assert values[4].any()


def test_a_scale_for_each_weight_is_taken_as_one():
    weights, _, moments = layer(4)
    scale = per_row(weights, 8)[1].astype(np.float64)
    scales = np.repeat(scale, COLUMNS, axis=1)
    np.testing.assert_array_equal(compensated(weights, scales, moments, 8), compensated(weights, scale, moments, 8))


@pytest.mark.parametrize("dependent", [1, 20, COLUMNS])
def test_inputs_that_never_occur_do_no_harm(dependent):
    weights, inputs, moments = layer(5, dependent=dependent)
    plain, scale = per_row(weights, 8)
    values = compensated(weights, scale.astype(np.float64), moments, 8)
    assert error(weights, values, scale, inputs) <= error(weights, plain, scale, inputs)
    np.testing.assert_array_equal(values[:, -dependent:], plain[:, -dependent:])


def test_two_inputs_that_are_always_the_same_are_rounded_as_one():
    """Half a step twice: each by itself loses a whole step, together nothing."""
    weights = np.array([[127.0, 0.5, 0.5]])
    moments = np.array([[1.0, 0, 0], [0, 1, 1], [0, 1, 1]])
    assert np.rint(weights).sum() != weights.sum()
    values = compensated(weights, np.ones((1, 1)), moments, 8)
    assert values[0, 1:].sum() == 1


@pytest.mark.parametrize("seed", range(4))
def test_the_order_of_the_columns_is_restored(seed):
    weights, _, moments = layer(seed)
    scale = per_row(weights, 8)[1].astype(np.float64)
    order = np.random.default_rng(seed).permutation(COLUMNS)
    values = compensated(weights, scale, moments, 8)
    np.testing.assert_array_equal(
        compensated(weights[:, order], scale, moments[np.ix_(order, order)], 8), values[:, order]
    )
    assert np.abs(weights - values * scale).max() < 0.2 * np.abs(weights).max(), "each near its own weight"


def test_the_weights_stay_as_they_were():
    weights, _, moments = layer(6)
    before = weights.copy()
    compensated(weights, per_row(weights, 8)[1].astype(np.float64), moments, 8)
    np.testing.assert_array_equal(weights, before)
