"""A chain of layers rewritten as stages computes what the graph computes; what is no such chain is refused by name."""

import numpy as np
import onnx
import pytest
import torch
from onnx import helper, numpy_helper
from torch import nn

from edge_export.graph import conversion, session, traced
from edge_export.int8.convolutional import stages
from edge_export.int8.convolutional.chain import Convolution, UnsuitableError, read
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


def computed(chain: list[stages.Stage], images: np.ndarray) -> np.ndarray:
    tensor = torch.from_numpy(images).double().unsqueeze(1)
    for stage in chain:
        tensor = stage(tensor)
    return tensor.numpy()


def expected(model: onnx.ModelProto, images: np.ndarray) -> np.ndarray:
    return session.run(session.open_session(model), images, len(images))[0]


@pytest.mark.parametrize("words", CHAINS.values(), ids=CHAINS)
def test_stages_compute_what_the_graph_computes(words, drawn, images):
    model = conversion.convert(drawn(Convolutional(words))).model
    chain = stages.form(read(model))
    wanted = expected(model, images)
    np.testing.assert_allclose(computed(chain, images), wanted, atol=1e-4 * np.abs(wanted).max())


@pytest.mark.parametrize("words", CHAINS.values(), ids=CHAINS)
def test_from_zero_upwards_they_still_do(words, drawn, images):
    model = conversion.convert(drawn(Convolutional(words))).model
    chain = stages.form(read(model))
    moved = stages.zero_based(chain, [np.full(len(stage.lower), -2.5) for stage in chain[:-1]])
    assert all(not stage.lower.any() for stage in moved[:-1])
    unlimited = [not np.isfinite(stage.lower).all() for stage in chain[:-1]]
    if not any(unlimited):  # otherwise the assumed smallest value, -2.5, cuts something off
        wanted = expected(model, images)
        np.testing.assert_allclose(computed(moved, images), wanted, atol=1e-4 * np.abs(wanted).max())


def test_a_negative_scale_after_relu_becomes_an_upper_limit(drawn):
    chain = stages.form(
        read(conversion.convert(drawn(Convolutional(CHAINS["BatchNorm after ReLU, before pooling"]))).model)
    )
    limited = np.isfinite(chain[1].upper)
    assert limited.any()
    assert not limited.all()


def test_a_linear_tail_is_one_layer(drawn):
    model = conversion.convert(drawn(Convolutional("conv3x6 relu pool conv1x10 average flatten linear10"))).model
    chain = stages.form(read(model))
    assert [stage.product.weight.shape for stage in chain] == [(6, 1, 3, 3), (10, 6 * 13 * 13)]


class Own(nn.Module):
    def __init__(self, body: nn.Module, *, residual: bool = False) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.body, self.residual = body, residual
        self.head = nn.Linear(4 * 14 * 14, 10)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        picture = ((image - 0.13) / 0.31).unsqueeze(1)
        hidden = self.body(picture)
        return self.head((hidden + picture if self.residual else hidden)[..., :14, :14].flatten(1))


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
    model = traced.convert(Padded().eval(), classes=10, temperature=0.8).model
    chain = stages.form(read(model))
    wanted = expected(model, images)
    np.testing.assert_allclose(computed(chain, images), wanted, atol=1e-4 * np.abs(wanted).max())
    assert [getattr(stage.product, "strides", None) for stage in chain] == [(2, 2), (1, 1), None]


REFUSED = {
    "a residual sum": (Own(nn.Conv2d(1, 4, 3, padding=1), residual=True), "read by 2 nodes"),
    "an activation without a form": (Own(nn.Sequential(nn.Conv2d(1, 4, 3), nn.Sigmoid())), "Sigmoid"),
    "a grouped convolution": (Own(nn.Sequential(nn.Conv2d(1, 4, 3), nn.Conv2d(4, 4, 3, groups=2))), "grouped"),
    "windows that overlap": (Own(nn.Sequential(nn.Conv2d(1, 4, 3), nn.MaxPool2d(3, stride=1))), "overlap"),
}


@pytest.mark.parametrize(("module", "reason"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_plain_chain_is_refused_by_name(module, reason):
    model = traced.convert(module.eval(), classes=10, temperature=1.0).model
    with pytest.raises(UnsuitableError, match=reason):
        stages.form(read(model))


def test_shifted_pixels_before_a_padded_convolution_are_refused():
    """Its padding is zero after the shift, which is no byte."""

    class Shifted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.chain = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(1568, 10))

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return self.chain((image - 0.5).unsqueeze(1))

    model = traced.convert(Shifted().eval(), classes=10, temperature=1.0).model
    with pytest.raises(UnsuitableError, match="shifted before a padded convolution"):
        stages.form(read(model))


def test_a_padded_convolution_needs_a_tensor_that_starts_at_zero():
    product = Convolution(np.ones((2, 1, 3, 3)), np.zeros(2))
    padded = Convolution(np.ones((2, 2, 3, 3)), np.zeros(2), pads=(1, 1, 1, 1))
    free = np.full(2, np.inf)
    chain = [stages.Stage(product, -free, free), stages.Stage(padded, -free, free)]
    with pytest.raises(UnsuitableError, match="does not start at zero"):
        stages.zero_based(chain, [np.array([-1.0, 0.0]), np.zeros(2)])


def test_logits_behind_a_relu_are_refused(drawn):
    model = conversion.convert(drawn(Convolutional("conv5x4 flatten linear10 relu"))).model
    with pytest.raises(UnsuitableError, match="last layer is not linear"):
        stages.form(read(model))


def test_weights_that_are_computed_are_refused(drawn):
    model = conversion.convert(drawn(Convolutional("conv5x4 flatten linear10"))).model
    weight = next(entry for entry in model.graph.initializer if entry.name == "chain.0.weight")
    array = numpy_helper.to_array(weight)
    model.graph.initializer.remove(weight)
    model.graph.initializer.append(numpy_helper.from_array(array, "kept"))
    model.graph.node.insert(0, helper.make_node("Abs", ["kept"], ["chain.0.weight"]))
    with pytest.raises(UnsuitableError, match="no constant input 1"):
        read(model)
