"""A chain of layers as stages, then in integers: answers stay, weights keep their range, a byte saturates at limits."""

from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from edge_export.graph import conversion, exporters, session
from edge_export.int8.convolutional.network import (
    Affine,
    AveragePool,
    Convolution,
    Flatten,
    Linear,
    MaxPool,
    Relu,
    UnsuitableError,
    read,
)
from edge_export.int8.convolutional.requantisation import (
    LARGEST_BYTE,
    QuantisedStage,
    Stage,
    always_zero,
    quantise_stages,
    remove_unused,
    start_at_zero,
    to_stages,
)
from edge_train.models.specification import Convolutional

CHAINS = {
    "BatchNorm before ReLU": "conv5x6 bn relu pool flatten linear10",
    "BatchNorm after ReLU, before pooling": "conv3x4 conv3x6 relu bn pool relu conv3x8 relu flatten linear10",
    "BatchNorm after ReLU, before a linear layer": "conv5x4 relu bn flatten linear10",
    "average pooling at the end": "conv3x6 relu pool conv3x8 relu bn pool conv1x10 average average flatten",
    "no activation between convolutions": "conv3x4 conv3x6 conv3x4 relu flatten linear10",
    "linear layers only": "flatten linear24 relu linear10",
    "BatchNorm first": "bn conv5x4 relu flatten linear10",
}


def computed(chain: list[Stage], images: np.ndarray) -> np.ndarray:
    tensor = torch.from_numpy(images).double().unsqueeze(1)
    for stage in chain:
        tensor = stage(tensor)
    return tensor.numpy()


def expected(model: onnx.ModelProto, images: np.ndarray) -> np.ndarray:
    return session.run(session.open_session(model), images, len(images))[0]


@pytest.mark.parametrize("words", CHAINS.values(), ids=CHAINS)
def test_stages_compute_what_the_graph_computes(words, drawn, images):
    model = conversion.convert(drawn(Convolutional(words))).model
    chain = to_stages(read(model))
    wanted = expected(model, images)
    np.testing.assert_allclose(computed(chain, images), wanted, atol=1e-4 * np.abs(wanted).max())


@pytest.mark.parametrize("words", CHAINS.values(), ids=CHAINS)
def test_from_zero_upwards_they_still_do(words, drawn, images):
    model = conversion.convert(drawn(Convolutional(words))).model
    chain = to_stages(read(model))
    moved = start_at_zero(chain, [np.full(len(stage.lower), -2.5) for stage in chain[:-1]])
    assert all(not stage.lower.any() for stage in moved[:-1])
    unlimited = [not np.isfinite(stage.lower).all() for stage in chain[:-1]]
    if not any(unlimited):  # otherwise the assumed smallest value, -2.5, cuts something off
        wanted = expected(model, images)
        np.testing.assert_allclose(computed(moved, images), wanted, atol=1e-4 * np.abs(wanted).max())


def test_a_negative_scale_after_relu_becomes_an_upper_limit(drawn):
    chain = to_stages(
        read(conversion.convert(drawn(Convolutional(CHAINS["BatchNorm after ReLU, before pooling"]))).model)
    )
    limited = np.isfinite(chain[1].upper)
    assert limited.any()
    assert not limited.all()


def test_a_linear_tail_is_one_layer(drawn):
    model = conversion.convert(drawn(Convolutional("conv3x6 relu pool conv1x10 average flatten linear10"))).model
    chain = to_stages(read(model))
    assert [stage.product.weight.shape for stage in chain] == [(6, 1, 3, 3), (10, 6 * 13 * 13)]


class Padded(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.chain = nn.Sequential(
            nn.Conv2d(1, 6, 5, stride=2), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 8, 3, padding=1), nn.ReLU(),
            nn.MaxPool2d(2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 10),
        )  # fmt: skip

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.chain(image.unsqueeze(1) * 2)


def test_somebodys_own_chain_is_read_with_its_padding_and_strides(images):
    model = exporters.convert(Padded().eval(), classes=10, temperature=0.8).model
    chain = to_stages(read(model))
    wanted = expected(model, images)
    np.testing.assert_allclose(computed(chain, images), wanted, atol=1e-4 * np.abs(wanted).max())
    assert [getattr(stage.product, "strides", None) for stage in chain] == [(2, 2), (1, 1), None]


def test_shifted_pixels_before_a_padded_convolution_are_refused():
    """Its padding is zero after the shift, which is no byte."""

    class Shifted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.chain = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(1568, 10))

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return self.chain((image - 0.5).unsqueeze(1))

    model = exporters.convert(Shifted().eval(), classes=10, temperature=1.0).model
    with pytest.raises(UnsuitableError, match="shifted before a padded convolution"):
        to_stages(read(model))


def test_a_padded_convolution_needs_a_tensor_that_starts_at_zero():
    product = Convolution(np.ones((2, 1, 3, 3)), np.zeros(2))
    padded = Convolution(np.ones((2, 2, 3, 3)), np.zeros(2), pads=(1, 1, 1, 1))
    free = np.full(2, np.inf)
    chain = [Stage(product, -free, free), Stage(padded, -free, free)]
    with pytest.raises(UnsuitableError, match="does not start at zero"):
        start_at_zero(chain, [np.array([-1.0, 0.0]), np.zeros(2)])


def test_logits_behind_a_relu_are_refused(drawn):
    model = conversion.convert(drawn(Convolutional("conv5x4 flatten linear10 relu"))).model
    with pytest.raises(UnsuitableError, match="last layer is not linear"):
        to_stages(read(model))


CONVOLUTION = Convolution(np.ones((2, 1, 3, 3)), np.zeros(2))
LINEAR = Linear(np.ones((10, 2 * 13 * 13)), np.zeros(10))
INEXACT = {
    "an activation on the raw pixels": ([Relu(), CONVOLUTION, Flatten(), LINEAR], "no form for Relu on the raw pixels"),
    "a negative scale behind a pooling": (
        [CONVOLUTION, MaxPool(2), Affine(np.array([1.0, -1.0]), np.zeros(2)), Flatten(), LINEAR],
        "makes it a min pooling",
    ),
    "a channel scaled by zero": (
        [CONVOLUTION, Affine(np.array([1.0, 0.0]), np.zeros(2)), MaxPool(2), Flatten(), LINEAR],
        "a channel is scaled by zero",
    ),
    "a pooling of a pooling": ([CONVOLUTION, MaxPool(2), MaxPool(1), Flatten(), LINEAR], "no form for MaxPool after"),
    "an activation behind an average": (
        [CONVOLUTION, AveragePool(2), Relu(), Flatten(), LINEAR],
        "average pooling with more than linear layers",
    ),
    "an average of a large picture": (
        [
            Convolution(np.ones((10, 1, 1, 1)), np.zeros(10)),
            Relu(),
            AveragePool(2),
            Flatten(),
            Linear(np.ones((10, 1960)), np.zeros(10)),
        ],
        "are 7840 x 10 weights as one",
    ),
}


@pytest.mark.parametrize(("layers", "reason"), INEXACT.values(), ids=INEXACT)
def test_what_cannot_be_rewritten_exactly_is_refused(layers, reason):
    with pytest.raises(UnsuitableError, match=reason):
        to_stages(layers)


# --- integers ---

WORDS = "conv3x8 relu bn conv3x4 conv3x8 relu bn pool relu conv3x6 relu flatten linear10"


@pytest.fixture(scope="module")
def chain(drawn):
    return to_stages(read(conversion.convert(drawn(Convolutional(WORDS))).model))


@pytest.mark.parametrize(("bits", "largest", "error"), [(7, 63, 0.08), (8, 127, 0.05)])
def test_integers_say_nearly_what_the_stages_say(*, bits, largest, error, chain, digits, in_integers):
    network = quantise_stages(chain, digits.images, bits)
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
    largest = max(int(np.abs(stage.weight.astype(int)).max()) for stage in quantise_stages(chain, digits.images, 7))
    assert 2 * LARGEST_BYTE * largest < 2**15


def test_an_upper_limit_is_the_byte_255():
    one = Convolution(np.ones((2, 1, 1, 1)), np.zeros(2))
    both = Linear(np.ones((1, 2 * 784)), np.zeros(1))
    first = Stage(one, lower=np.zeros(2), upper=np.array([100.0, np.inf]))
    last = Stage(both, np.full(1, -np.inf), np.full(1, np.inf), flat=True)
    pixels = np.arange(784, dtype=np.int64).reshape(1, 28, 28) % 201
    network = quantise_stages([first, last], pixels.astype(np.uint8), 7)
    limited, unlimited = network[0].multiplier * network[0].weight[:, 0, 0, 0]
    assert limited == pytest.approx(LARGEST_BYTE / 100)
    assert unlimited == pytest.approx(LARGEST_BYTE / 200)


def test_a_smaller_share_of_the_values_gives_finer_steps(chain, digits):
    whole, most = (quantise_stages(chain, digits.images, 7, share=share)[0] for share in (1.0, 0.99))
    assert np.median(most.multiplier / whole.multiplier) > 1


def test_a_network_that_is_dead_for_the_calibration_images_is_refused(chain):
    silent = replace(chain[0], product=replace(chain[0].product, bias=np.full(8, -1e9)))
    with pytest.raises(UnsuitableError, match="nothing but zeros"):
        quantise_stages([silent, *chain[1:]], np.zeros((3, 28, 28), np.uint8), 7)


def with_idle_channels(network: list[QuantisedStage], *, silent: list[int], unread: list[int]) -> list[QuantisedStage]:
    first, second = network[:2]
    bias = first.bias.copy()
    bias[silent] = -(2**30)
    weight = second.weight.copy()
    weight[:, unread] = 0
    return [replace(first, bias=bias), replace(second, weight=weight), *network[2:]]


def test_channels_that_nothing_comes_of_go_and_no_output_changes(chain, digits, images, in_integers):
    network = with_idle_channels(quantise_stages(chain, digits.images, 7), silent=[1, 6], unread=[0, 3])
    fewer = remove_unused(network)
    assert len(fewer[0].bias) == 4
    assert fewer[1].weight.shape[1] == 4
    np.testing.assert_array_equal(in_integers(fewer, images), in_integers(network, images))


def test_as_many_stay_as_kernels_like(chain, digits):
    network = with_idle_channels(quantise_stages(chain, digits.images, 7), silent=[1], unread=[3])
    fewer = remove_unused(network)
    assert len(fewer[0].bias) == 8, "6 are used; a multiple of 4 stays"
    everything = with_idle_channels(network, silent=list(range(8)), unread=[])
    assert len(remove_unused(everything)[0].bias) == 4, "an operator needs channels"


def test_a_channel_that_one_picture_could_wake_is_not_always_zero(chain, digits):
    first = quantise_stages(chain, digits.images, 7)[0]
    most = LARGEST_BYTE * np.maximum(first.weight.reshape(8, -1).astype(int), 0).sum(axis=1)
    awake, asleep = -most + np.ceil(1 / first.multiplier), -most
    assert not always_zero(replace(first, bias=awake.astype(np.int32))).any()
    assert always_zero(replace(first, bias=asleep.astype(np.int32))).all()
