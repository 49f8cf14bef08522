"""A chain of layers is read off a graph; what is no such chain is refused by name."""

import numpy as np
import onnx
import pytest
import torch
from onnx import helper, numpy_helper
from torch import nn

from edge_export.graph import conversion, exporters
from edge_export.int8.convolutional.network import Flatten, UnsuitableError, read
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
    model = exporters.convert(module.eval(), classes=10, temperature=1.0).model
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


def flat(*nodes: onnx.NodeProto) -> list[onnx.NodeProto]:
    """Nodes behind a picture that has become 784 features, `features`."""
    return [helper.make_node("Flatten", ["pixels"], ["features"], axis=1), *nodes]


def test_a_plain_matrix_product_is_a_linear_layer(own_graph):
    head = np.random.default_rng(1).normal(size=(784, 10)).astype(np.float32)
    scaled = helper.make_node("Div", ["features", "full"], ["unit"])
    product = helper.make_node("MatMul", ["unit", "head"], ["logits"])
    flattened, division, linear = read(own_graph(*flat(scaled, product), head=head, full=np.float32(255)))
    assert isinstance(flattened, Flatten)
    assert division.gain == pytest.approx(1 / 255)
    np.testing.assert_array_equal(linear.weight, head.T)
    assert not linear.bias.any()


HEAD = np.ones((784, 10), np.float32)
UNREADABLE = {
    "a product with a factor": (
        flat(helper.make_node("Gemm", ["features", "w"], ["logits"], alpha=0.5)),
        {"w": HEAD},
        "product of an unusual form",
    ),
    "a product by three axes": (
        [
            helper.make_node("MatMul", ["pixels", "w"], ["products"]),
            helper.make_node("ReduceMean", ["products"], ["logits"], axes=[1], keepdims=0),
        ],
        {"w": np.ones((1, 28, 10), np.float32)},
        "multiplies by 3 axes",
    ),
    "a number divided by the pixels": (
        flat(
            helper.make_node("Div", ["one", "features"], ["inverse"]),
            helper.make_node("MatMul", ["inverse", "w"], ["logits"]),
        ),
        {"w": HEAD, "one": np.float32(1)},
        "no form for this Div",
    ),
    "a picture cut into pieces": (
        [
            helper.make_node("Reshape", ["pixels", "shape"], ["pieces"]),
            helper.make_node("ReduceMean", ["pieces"], ["logits"], axes=[2, 3], keepdims=0),
        ],
        {"shape": np.array([-1, 10, 1, 1], np.int64)},
        r"reshapes to \[-1, 10, 1, 1\]",
    ),
    "rows flattened into the batch": (
        [
            helper.make_node("Flatten", ["pixels"], ["rows"], axis=2),
            helper.make_node("MatMul", ["rows", "w"], ["logits"]),
        ],
        {"w": np.ones((28, 10), np.float32)},
        "flattens the batch",
    ),
}


@pytest.mark.parametrize(("nodes", "arrays", "reason"), UNREADABLE.values(), ids=UNREADABLE)
def test_a_node_of_another_form_is_refused_by_name(nodes, arrays, reason, own_graph):
    with pytest.raises(UnsuitableError, match=reason):
        read(own_graph(*nodes, **arrays))
