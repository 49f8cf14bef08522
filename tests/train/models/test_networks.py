"""The networks: what goes in, what comes out, how large they are, and which chains of layers are none."""

import pytest
import torch
from torch import nn

from edge_train.models import networks
from edge_train.models.specification import MODELS, Convolutional, Recurrent, SpecificationError, named

# Counted by hand from the sizes: gates * hidden * (inputs + hidden + 2 biases) for each layer and direction, then 10
# outputs.
PARAMETERS = {
    "lstm": 4 * 128 * (28 + 128 + 2) + 128 * 10 + 10,
    "lstm-20": 4 * 20 * (28 + 20 + 2) + 20 * 10 + 10,
    "rnn-relu": 128 * (28 + 128 + 2) + 128 * 10 + 10,
    "rnn": 128 * (28 + 128 + 2) + 128 * 10 + 10,
    "gru": 3 * 128 * (28 + 128 + 2) + 128 * 10 + 10,
    "bilstm": 2 * 4 * 128 * (28 + 128 + 2) + 256 * 10 + 10,
    "rnn-256x2": 256 * (28 + 256 + 2) + 256 * (256 + 256 + 2) + 256 * 10 + 10,
    "gru-256x2": 3 * 256 * (28 + 256 + 2) + 3 * 256 * (256 + 256 + 2) + 256 * 10 + 10,
    "lstm-256x2": 4 * 256 * (28 + 256 + 2) + 4 * 256 * (256 + 256 + 2) + 256 * 10 + 10,
    "bilstm-256x2": 8 * 256 * (28 + 256 + 2) + 8 * 256 * (512 + 256 + 2) + 512 * 10 + 10,
    "cnn": (25 + 1) * 16 + 2 * 16 + (16 * 25 + 1) * 32 + 2 * 32 + (32 * 16 + 1) * 256 + 257 * 10,
    "cnn-16k": 16_478,
}


@pytest.fixture(scope="module")
def built():
    torch.manual_seed(0)
    return {name: networks.build(named(name)).eval() for name in MODELS}


@pytest.mark.parametrize("name", MODELS)
def test_a_model_has_as_many_parameters_as_its_sizes_say(name, built):
    assert networks.parameter_count(built[name]) == PARAMETERS[name]


def test_the_sizes_that_are_published_are_met():
    assert PARAMETERS["lstm"] == 82_186


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("batch", [1, 3])
def test_images_become_ten_logits_each(name, batch, built):
    with torch.no_grad():
        logits = built[name](torch.rand(batch, 28, 28))
    assert logits.shape == (batch, 10)
    assert logits.dtype == torch.float32
    assert torch.isfinite(logits).all()


@pytest.mark.parametrize("name", MODELS)
def test_an_image_is_judged_alone_whatever_else_is_in_the_batch(name, built):
    images = torch.rand(3, 28, 28)
    with torch.no_grad():
        together, alone = built[name](images), built[name](images[1:2])
    torch.testing.assert_close(together[1:2], alone, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn-tanh", "rnn-relu"])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_the_first_and_the_last_row_both_count(cell, bidirectional):
    torch.manual_seed(1)
    network = networks.build(Recurrent(cell, hidden=12, layers=2, bidirectional=bidirectional)).eval()
    images = torch.full((1, 28, 28), 0.5)
    with torch.no_grad():
        plain = network(images)
        for row in (0, 27):
            changed = images.clone()
            changed[0, row] = 1.0
            assert not torch.equal(network(changed), plain), f"row {row} is not read"


def test_a_bidirectional_network_reads_both_final_states():
    network = networks.build(Recurrent("lstm", hidden=6, bidirectional=True)).eval()
    images = torch.rand(2, 28, 28)
    with torch.no_grad():
        sequence, _ = network.recurrent(images)
        final = torch.cat([sequence[:, -1, :6], sequence[:, 0, 6:]], dim=1)  # forward ends last, backward first
        torch.testing.assert_close(network(images), network.head(final))


def test_forget_gates_start_open_and_the_relu_state_neither_grows_nor_dies():
    lstm = networks.build(Recurrent("lstm", hidden=5))
    assert lstm.recurrent.bias_ih_l0[5:10].tolist() == [1.0] * 5
    assert lstm.recurrent.bias_hh_l0.abs().sum() == 0
    relu = networks.build(Recurrent("rnn-relu", hidden=5))
    torch.testing.assert_close(relu.recurrent.weight_hh_l0, 0.9 * torch.eye(5))


def test_a_tanh_state_is_turned_a_little_and_keeps_its_length():
    turn = networks.build(Recurrent("rnn-tanh", hidden=64, layers=2)).recurrent.weight_hh_l1
    torch.testing.assert_close(turn @ turn.T, torch.eye(64))
    assert torch.linalg.det(turn) > 0
    angles = torch.linalg.eigvals(turn).angle().abs()
    assert 0.5 < angles.max() < 1.6  # a matrix of any angles would reach 3.1
    assert not torch.equal(turn, networks.build(Recurrent("rnn-tanh", hidden=64, layers=2)).recurrent.weight_hh_l1)


def test_the_global_seed_decides_the_initial_weights():
    drawn = []
    for seed in (3, 3, 4):
        torch.manual_seed(seed)
        drawn.append(nn.utils.parameters_to_vector(networks.build(named("cnn-16k")).parameters()))
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


def test_a_new_network_is_ready_to_be_trained():
    assert networks.build(named("cnn")).training


@pytest.mark.parametrize(
    ("chain", "complaint"),
    [
        ("conv29x4 flatten linear10", "nothing of the 28x28 picture is left at conv29x4"),
        ("pool pool pool pool pool flatten linear10", "nothing of the 28x28 picture is left at pool"),
        ("conv5x4 relu linear10", "linear10 stands before flatten"),
        ("conv5x4 relu", "the layers end in shape"),
        ("flatten linear11", "the layers end in shape"),
        ("flatten linear10 pool", "pool stands after flatten"),
        ("flatten conv3x4 linear10", "conv3x4 stands after flatten"),
        ("flatten linear32 bn linear10", "bn stands after flatten"),
    ],
)
def test_layers_that_do_not_fit_are_told_with_the_option_to_change(chain, complaint):
    with pytest.raises(SpecificationError, match=complaint) as refusal:
        networks.build(Convolutional(chain))
    assert "--chain" in str(refusal.value)


def test_a_chain_without_convolutions_is_a_model_too():
    assert networks.parameter_count(networks.build(Convolutional("flatten linear10"))) == 784 * 10 + 10
