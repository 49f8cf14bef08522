"""A chain of layers is read off a graph; what is no such chain is refused by name."""

import pytest
import torch
from onnx import helper, numpy_helper
from torch import nn

from edge_export.graph import conversion, traced
from edge_export.int8.convolutional.network import UnsuitableError, read
from edge_train.models.specification import Convolutional


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
        read(model)


def test_weights_that_are_computed_are_refused(drawn):
    model = conversion.convert(drawn(Convolutional("conv5x4 flatten linear10"))).model
    weight = next(entry for entry in model.graph.initializer if entry.name == "chain.0.weight")
    array = numpy_helper.to_array(weight)
    model.graph.initializer.remove(weight)
    model.graph.initializer.append(numpy_helper.from_array(array, "kept"))
    model.graph.node.insert(0, helper.make_node("Abs", ["kept"], ["chain.0.weight"]))
    with pytest.raises(UnsuitableError, match="no constant input 1"):
        read(model)
