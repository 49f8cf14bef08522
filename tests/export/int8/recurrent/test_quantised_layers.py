"""States on calibration images: what they are, how they occur together, and rectified ones scaled to 255."""

from dataclasses import replace

import numpy as np
import pytest

from edge_export.graph.recurrent_graph import RecurrentLayer
from edge_export.int8.recurrent import quantised_layers
from edge_export.int8.recurrent.cells import RecurrentStack
from edge_export.int8.recurrent.quantised_layers import ObservedStates
from edge_export.parity import layerwise

RECTIFIED = ["rnn-relu", "birnn-relu-2"]


def simulated(stack: RecurrentStack, images: np.ndarray) -> tuple[list[np.ndarray], np.ndarray]:
    """The sequences (28, D, N, H) and features (N, D * H) of a stack of plain RNNs, step by step in float64."""
    entering = images.transpose(1, 0, 2).astype(np.float64)
    sequences = []
    for layer in stack.layers:
        sequence = np.stack([_direction(layer, direction, entering) for direction in range(layer.directions)], axis=1)
        sequences.append(sequence)
        entering = np.concatenate(list(sequence.transpose(1, 0, 2, 3)), axis=2)
    last = sequences[-1]
    ends = [last[-1, 0], last[0, -1]][: last.shape[1]]  # upwards, the last row that is read is the first
    return sequences, np.concatenate(ends, axis=1)


def _direction(layer: RecurrentLayer, direction: int, entering: np.ndarray) -> np.ndarray:
    weights, bias = layer.weights[direction], layer.input_bias[direction] + layer.state_bias[direction]
    state = np.zeros((entering.shape[1], layer.hidden))
    found = []
    for row in entering if direction == 0 else entering[::-1]:
        total = np.concatenate([row, state], axis=1) @ weights.T + bias
        state = np.maximum(total, 0) if layer.relu else np.tanh(total)
        found.append(state)
    return np.stack(found if direction == 0 else found[::-1])


def test_the_states_are_those_of_pytorch(kind, read_stack, converted, digits):
    _, stack, observed = read_stack(kind)
    expected = layerwise.layer_outputs(converted(kind)[0].model(), digits.images)
    assert observed.images is digits.images
    for position, sequence in enumerate(observed.sequences):
        assert sequence.dtype == np.float32
        wanted = expected[f"recurrent layer {position}"]
        np.testing.assert_allclose(sequence, wanted, atol=1e-5 * max(1, np.abs(wanted).max()))
    assert len(observed.sequences) == len(stack.layers)


@pytest.mark.parametrize("count", [1, 99, 101])
def test_any_number_of_images_is_observed(count, read_stack, digits):
    one, stack, _ = read_stack("bilstm")
    observed = quantised_layers.observe(one.model, stack, np.resize(digits.images, (count, 28, 28)))
    assert observed.sequences[0].shape == (28, 2, count, 10)
    np.testing.assert_allclose(
        observed.sequences[0][:, :, 60:], observed.sequences[0][:, :, : max(0, count - 60)], atol=1e-6
    )


@pytest.mark.parametrize("kind", RECTIFIED)
def test_equalised_states_compute_the_same(kind, read_stack, digits):
    _, stack, observed = read_stack(kind)
    equal, scaled, gain = quantised_layers.equalise_states(stack, observed)
    _, features = simulated(stack, digits.images)
    sequences, equalised = simulated(equal, digits.images)
    assert not np.allclose(equalised, features)
    np.testing.assert_allclose(equalised * gain, features, rtol=1e-9, atol=1e-9)
    for found, wanted in zip(scaled.sequences, sequences, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-2)


@pytest.mark.parametrize("kind", RECTIFIED)
def test_every_unit_that_wakes_reaches_255(kind, read_stack):
    _, stack, observed = read_stack(kind)
    _, scaled, _ = quantised_layers.equalise_states(stack, observed)
    for before, after in zip(observed.sequences, scaled.sequences, strict=True):
        awake = before.max(axis=(0, 2)) > 0.01 * before.max()
        assert awake.any()
        np.testing.assert_allclose(after.max(axis=(0, 2))[awake], 255, rtol=1e-5)
        assert after.max() <= 255 * (1 + 1e-5)


@pytest.mark.parametrize("kind", ["lstm", "bigru-2", "rnn"])
def test_bounded_states_stay_as_they_are(kind, read_stack):
    _, stack, observed = read_stack(kind)
    equal, same, gain = quantised_layers.equalise_states(stack, observed)
    assert gain is None
    for before, after in zip(stack.layers, equal.layers, strict=True):
        np.testing.assert_array_equal(after.weights, before.weights)
        assert after.sequence == before.sequence
    assert all(one is other for one, other in zip(same.sequences, observed.sequences, strict=True))


def test_a_bounded_layer_above_a_rectified_one_takes_its_factors(read_stack, digits):
    _, stack, _ = read_stack("rnn-relu")
    mixed = replace(stack, layers=(stack.layers[0], replace(stack.layers[1], relu=False)))
    sequences, features = simulated(mixed, digits.images)
    observed = ObservedStates(digits.images, tuple(sequence.astype(np.float32) for sequence in sequences))
    equal, _, gain = quantised_layers.equalise_states(mixed, observed)
    assert gain is None, "the features are bounded"
    np.testing.assert_allclose(simulated(equal, digits.images)[1], features, atol=1e-9)


def test_a_unit_that_never_wakes_is_not_scaled_beyond_measure(read_stack, digits):
    _, stack, _ = read_stack("rnn-relu")
    bias = stack.layers[0].input_bias.copy()
    bias[0, 3] = -1e4
    asleep = replace(stack, layers=(replace(stack.layers[0], input_bias=bias), stack.layers[1]))
    sequences, features = simulated(asleep, digits.images)
    assert not sequences[0][..., 3].any()
    observed = ObservedStates(digits.images, tuple(sequence.astype(np.float32) for sequence in sequences))
    equal, _, gain = quantised_layers.equalise_states(asleep, observed)
    unit = sequences[0].max() * quantised_layers.QUIET / quantised_layers.FULL
    assert equal.layers[0].input_bias[0, 3] == pytest.approx(-1e4 / unit)
    np.testing.assert_allclose(simulated(equal, digits.images)[1] * gain, features, rtol=1e-9, atol=1e-9)


def test_a_layer_that_never_wakes_does_no_harm(read_stack, digits):
    _, stack, _ = read_stack("rnn-relu")
    empty = tuple(np.zeros((28, 1, len(digits.images), 12), np.float32) for _ in stack.layers)
    equal, scaled, gain = quantised_layers.equalise_states(stack, ObservedStates(digits.images, empty))
    assert all(np.isfinite(layer.weights).all() for layer in equal.layers)
    assert not any(sequence.any() for sequence in scaled.sequences)
    assert (gain > 0).all()


def test_scaled_states_are_no_longer_called_as_in_pytorch(read_stack):
    _, stack, observed = read_stack("rnn-relu")
    equal, *_ = quantised_layers.equalise_states(stack, observed)
    assert [layer.sequence for layer in equal.layers] == [
        "recurrent.0.sequence.equalised",
        "recurrent.1.sequence.equalised",
    ]


@pytest.mark.parametrize("position", [0, 1])
@pytest.mark.parametrize("kind", ["gru", "bilstm-2"])
def test_moments_are_the_mean_over_every_row_that_a_layer_sees(kind, position, read_stack):
    _, stack, observed = read_stack(kind)
    count = 5
    few = ObservedStates(observed.images[:count], tuple(one[:, :, :count] for one in observed.sequences))
    for direction in range(stack.layers[position].directions):
        rows = []
        for picture in range(count):
            for row in range(28):
                if position == 0:
                    inputs = few.images[picture, row].astype(np.float64)
                else:
                    inputs = few.sequences[position - 1][row, :, picture].reshape(-1).astype(np.float64)
                before = row - 1 if direction == 0 else row + 1
                states_before = few.sequences[position][:, direction, picture]
                state = states_before[before] if 0 <= before < 28 else np.zeros(stack.layers[position].hidden)
                rows.append(np.concatenate([inputs, state]))
        expected = sum(np.outer(row, row) for row in rows) / len(rows)
        found = quantised_layers.moments(few, position, direction)
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)
