"""Stages in integers: weights stay in their range, limits are where a byte saturates, and idle channels go."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from edge_export.graph import conversion
from edge_export.int8.convolutional import channels, levels, stages
from edge_export.int8.convolutional.chain import Convolution, Linear, UnsuitableError, read
from edge_export.int8.convolutional.levels import Integers
from edge_train.models.specification import Convolutional

WORDS = "conv3x8 relu bn conv3x4 conv3x8 relu bn pool relu conv3x6 relu flatten linear10"


@pytest.fixture(scope="module")
def chain(drawn):
    return stages.form(read(conversion.convert(drawn(Convolutional(WORDS))).model))


@pytest.mark.parametrize(("bits", "largest", "error"), [(7, 63, 0.08), (8, 127, 0.05)])
def test_integers_say_nearly_what_the_stages_say(*, bits, largest, error, chain, digits, in_integers):
    network = levels.quantise(chain, digits.images, bits)
    tensor = torch.from_numpy(digits.images).float().unsqueeze(1)
    for stage in chain:
        tensor = stage(tensor)
    expected = tensor.numpy()
    assert np.abs(in_integers(network, digits.images) - expected).max() < error * np.abs(expected).max()
    for stage in network:
        rows = np.abs(stage.weight.astype(np.int16).reshape(len(stage.bias), -1)).max(axis=1)
        assert (rows <= largest).all()
        assert rows.max() == largest


def test_two_products_of_seven_bit_weights_fit_sixteen_bits(chain, digits):
    largest = max(int(np.abs(stage.weight.astype(int)).max()) for stage in levels.quantise(chain, digits.images, 7))
    assert 2 * levels.LEVELS * largest < 2**15


def test_an_upper_limit_is_255_levels():
    one = Convolution(np.ones((2, 1, 1, 1)), np.zeros(2))
    both = Linear(np.ones((1, 2 * 784)), np.zeros(1))
    first = stages.Stage(one, lower=np.zeros(2), upper=np.array([100.0, np.inf]))
    last = stages.Stage(both, np.full(1, -np.inf), np.full(1, np.inf), flat=True)
    pixels = np.arange(784, dtype=np.int64).reshape(1, 28, 28) % 201
    network = levels.quantise([first, last], pixels.astype(np.uint8), 7)
    limited, unlimited = network[0].multiplier * network[0].weight[:, 0, 0, 0]
    assert limited == pytest.approx(levels.LEVELS / 100)
    assert unlimited == pytest.approx(levels.LEVELS / 200)


def test_a_smaller_share_of_the_values_gives_finer_levels(chain, digits):
    whole, most = (levels.quantise(chain, digits.images, 7, share=share)[0] for share in (1.0, 0.99))
    assert np.median(most.multiplier / whole.multiplier) > 1


def test_a_network_that_is_dead_for_the_calibration_images_is_refused(chain):
    silent = replace(chain[0], product=replace(chain[0].product, bias=np.full(8, -1e9)))
    with pytest.raises(UnsuitableError, match="nothing but zeros"):
        levels.quantise([silent, *chain[1:]], np.zeros((3, 28, 28), np.uint8), 7)


def with_idle_channels(network: list[Integers], *, silent: list[int], unread: list[int]) -> list[Integers]:
    first, second = network[:2]
    bias = first.bias.copy()
    bias[silent] = -(2**30)
    weight = second.weight.copy()
    weight[:, unread] = 0
    return [replace(first, bias=bias), replace(second, weight=weight), *network[2:]]


def test_channels_that_nothing_comes_of_go_and_no_output_changes(chain, digits, images, in_integers):
    network = with_idle_channels(levels.quantise(chain, digits.images, 7), silent=[1, 6], unread=[0, 3])
    fewer = channels.remove_unused(network)
    assert len(fewer[0].bias) == 4
    assert fewer[1].weight.shape[1] == 4
    np.testing.assert_array_equal(in_integers(fewer, images), in_integers(network, images))


def test_as_many_stay_as_kernels_like(chain, digits):
    network = with_idle_channels(levels.quantise(chain, digits.images, 7), silent=[1], unread=[3])
    fewer = channels.remove_unused(network)
    assert len(fewer[0].bias) == 8, "6 are used; a multiple of 4 stays"
    everything = with_idle_channels(network, silent=list(range(8)), unread=[])
    assert len(channels.remove_unused(everything)[0].bias) == 4, "an operator needs channels"


def test_a_channel_that_one_picture_could_wake_is_not_always_zero(chain, digits):
    first = levels.quantise(chain, digits.images, 7)[0]
    most = levels.LEVELS * np.maximum(first.weight.reshape(8, -1).astype(int), 0).sum(axis=1)
    awake, asleep = -most + np.ceil(1 / first.multiplier), -most
    assert not channels.always_zero(replace(first, bias=awake.astype(np.int32))).any()
    assert channels.always_zero(replace(first, bias=asleep.astype(np.int32))).all()
