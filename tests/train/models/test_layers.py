"""The work of a layer, against numbers that were calculated by hand."""

import pytest
from torch import nn

from edge_train.models import layers, networks, specification
from edge_train.models.specification import Convolutional, Recurrent


def total(sizes):
    return sum(layer.macs for layer in layers.of(sizes))


def test_an_lstm_multiplies_four_gates_at_each_of_the_28_rows():
    recurrent, head = layers.of(Recurrent("lstm", hidden=128))
    assert recurrent.macs == 28 * 4 * 128 * (28 + 128)
    assert head.macs == 128 * 10


@pytest.mark.parametrize(("cell", "gates"), [("lstm", 4), ("gru", 3), ("rnn-tanh", 1), ("rnn-relu", 1)])
def test_a_cell_multiplies_as_often_as_it_has_gates(cell, gates):
    assert total(Recurrent(cell, hidden=8)) == 28 * gates * 8 * (28 + 8) + 8 * 10


def test_the_second_layer_of_a_bidirectional_network_reads_both_directions():
    first = 2 * 28 * 3 * 16 * (28 + 16)
    second = 2 * 28 * 3 * 16 * (32 + 16)
    assert total(Recurrent("gru", hidden=16, layers=2, bidirectional=True)) == first + second + 32 * 10


def test_a_convolution_uses_its_kernel_at_every_place_it_fits():
    found = layers.of(Convolutional("conv5x16 bn relu pool conv3x4 flatten linear10"))
    assert [layer.macs for layer in found] == [
        24 * 24 * 16 * 5 * 5,  # 24 = 28 - 5 + 1
        0,
        0,
        0,
        10 * 10 * 4 * 3 * 3 * 16,  # 10 = 24 / 2 - 3 + 1
        0,
        4 * 10 * 10 * 10,
    ]
    assert found[3].output == (1, 16, 12, 12)


def test_a_grouped_convolution_multiplies_only_within_its_groups():
    layer = nn.Conv2d(8, 8, 3, groups=8)
    assert layers.macs_of(layer, (1, 8, 6, 6), (1, 8, 4, 4)) == 4 * 4 * 8 * 3 * 3


@pytest.mark.parametrize("name", specification.MODELS)
def test_the_parameters_of_the_layers_are_those_of_the_model(name):
    sizes = specification.named(name)
    counted = networks.parameter_count(networks.build(sizes))
    assert sum(layer.parameters for layer in layers.of(sizes)) == counted
