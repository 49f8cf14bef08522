"""The integer graph in blocks of pixels: exact integers, a bundle's form, weights stored once, nothing left in fp32."""

from collections import Counter
from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from edge_export.graph import conversion, exporters, form
from edge_export.int8.convolutional import blocks
from edge_export.int8.convolutional.blocks import COVERED_SHARE, EXACT, cheapest_width, is_faster_in_fp32
from edge_export.int8.convolutional.network import UnsuitableError, read
from edge_export.int8.convolutional.requantisation import QuantisedStage, quantise_stages, remove_unused, to_stages
from edge_export.int8.quantisation import int8_share
from edge_train.models.specification import Convolutional

CHAINS = {
    "pooled": "conv5x6 bn relu pool conv3x8 relu pool flatten linear24 relu linear10",
    "pooled with a rest": "conv3x4 relu conv4x6 relu pool conv3x8 relu pool flatten linear10",
    "BatchNorm behind ReLU": "conv3x4 conv3x6 relu bn pool relu conv3x8 relu flatten linear10",
    "average pooling": "conv3x16 relu bn conv3x4 conv3x8 relu pool conv1x10 average average average flatten",
    "linear": "flatten linear24 relu linear10",
}
WIDTHS = [1, 2, 4, 8]


@pytest.fixture(scope="module", params=CHAINS.values(), ids=CHAINS)
def fp32(request, drawn):
    return conversion.convert(drawn(Convolutional(request.param), temperature=0.75)).model


def integers(model: onnx.ModelProto, images: np.ndarray) -> list[QuantisedStage]:
    return remove_unused(quantise_stages(to_stages(read(model)), images, 7))


def assert_computes(model: onnx.ModelProto, wanted: np.ndarray, images: np.ndarray, answers) -> None:
    """A sum that lies between two levels may be rounded either way: that moves a logit by little, and few of them."""
    found = answers(model, images)
    error = np.abs(found - wanted) / np.abs(wanted).max()
    assert error.max() < 0.01
    assert (error < 1e-5).mean() > 0.9


def test_the_graph_computes_the_integers(fp32, digits, images, in_integers, answers):
    network = integers(fp32, digits.images)
    assert_computes(blocks.write(network, fp32), in_integers(network, images), images, answers)


@pytest.mark.parametrize("forced", WIDTHS)
@pytest.mark.sampled(2)
def test_whatever_the_block_is(*, forced, drawn, digits, images, in_integers, answers):
    fp32 = conversion.convert(drawn(Convolutional(CHAINS["pooled"]))).model
    network = integers(fp32, digits.images)
    widths = {"width_of": lambda _stage, picture: forced if picture[2] == 1 else 1}
    forced_first = blocks.write(network, fp32, **widths, fp32_first=lambda _: False)
    assert_computes(forced_first, in_integers(network, images), images, answers)
    assert np.array_equal(answers(forced_first, images), answers(blocks.write(network, fp32), images)), (
        "the first product in fp32 gives the same bits"
    )


@pytest.mark.parametrize("share", [1.0, COVERED_SHARE])
@pytest.mark.parametrize("bits", [7, 8])
@pytest.mark.sampled(6)
def test_a_candidate_has_the_form_and_the_versions_of_a_bundle(share, bits, fp32, digits):
    before = fp32.SerializeToString(deterministic=True)
    model = blocks.build(fp32, digits.images, bits, share=share)
    onnx.checker.check_model(model)
    form.check_form(model, classes=10)
    assert model.ir_version == 7
    assert {entry.domain: entry.version for entry in model.opset_import} == {"": 13, "com.microsoft": 1}
    assert fp32.SerializeToString(deterministic=True) == before, "the caller's model stays as it was"
    again = blocks.build(fp32, digits.images, bits, share=share)
    assert again.SerializeToString(deterministic=True) == model.SerializeToString(deterministic=True)


@pytest.mark.parametrize("share", [1.0, COVERED_SHARE])
@pytest.mark.sampled(4)
def test_a_candidate_says_nearly_what_the_fp32_graph_says(share, fp32, digits, answers):
    found = answers(blocks.build(fp32, digits.images, 7, share=share), digits.images)
    expected = answers(fp32, digits.images, spread=1e-3)
    assert np.abs(found - expected).max() < 0.1 * np.abs(expected).max()
    assert not np.array_equal(found, expected), "int8 that changes nothing is no int8"


def test_every_product_is_one_of_integers_and_nothing_is_converted_on_the_way(fp32, digits):
    network = integers(fp32, digits.images)
    model = blocks.write(network, fp32)
    operators = Counter(node.op_type for node in model.graph.node)
    in_fp32 = int(is_faster_in_fp32(network[0]))
    assert operators["QLinearConv"] + operators["QGemm"] == len(network) - in_fp32
    assert (operators["Conv"], operators["QuantizeLinear"]) == (in_fp32, in_fp32)
    assert not operators.keys() & {"Gemm", "MatMul", "DequantizeLinear"}
    assert in_fp32 or "Cast" not in operators


def test_only_a_pooled_product_whose_sums_are_exact_is_left_to_fp32():
    pooled = QuantisedStage(np.ones((4, 1, 3, 3), np.int8), np.zeros(4, np.int32), np.ones(4, np.float32), pool=2)
    assert is_faster_in_fp32(pooled)
    assert not is_faster_in_fp32(replace(pooled, pool=1))
    assert not is_faster_in_fp32(replace(pooled, bias=np.full(4, EXACT - 9 * 255, np.int32)))
    assert is_faster_in_fp32(replace(pooled, bias=np.full(4, 1 - EXACT + 9 * 255, np.int32)))


def test_weights_are_stored_once_and_in_their_range(fp32, digits):
    model = blocks.build(fp32, digits.images, 7)
    stored = [numpy_helper.to_array(entry) for entry in model.graph.initializer]
    int8 = [array for array in stored if array.dtype == np.int8 and array.ndim > 1]
    assert sum(array.size for array in int8) == sum(stage.weight.size for stage in integers(fp32, digits.images))
    assert all(np.abs(array.astype(int)).max() <= 63 for array in int8)
    assert not [array.shape for array in stored if array.dtype == np.float32 and array.ndim > 1]
    assert int8_share(model) > 0.7


def test_what_makes_a_kernel_of_a_block_folds_when_the_session_loads(drawn, digits, tmp_path):
    fp32 = conversion.convert(drawn(Convolutional(CHAINS["pooled"]))).model
    model = blocks.write(integers(fp32, digits.images), fp32, fp32_first=lambda _: False)
    assert "Pad" in {node.op_type for node in model.graph.node}
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    options.log_severity_level = 3  # errors only
    onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    left = {node.op_type for node in onnx.load(tmp_path / "optimised.onnx").graph.node}
    assert not left & {"Pad", "Concat", "Transpose"}


def test_a_spread_kernel_computes_neighbouring_pixels(drawn):
    """By hand: a block of two columns, without pooling, is the kernel and the kernel one column further."""
    fp32 = conversion.convert(drawn(Convolutional("conv2x1 flatten linear10"))).model
    kernel = QuantisedStage(np.arange(1, 7, dtype=np.int8).reshape(1, 1, 2, 3), np.zeros(1, np.int32), np.float32([1]))
    head = QuantisedStage(np.ones((10, 27 * 26), np.int8), np.zeros(10, np.int32), np.ones(10, np.float32))
    model = blocks.write([kernel, head], fp32, width_of=lambda *_: 2)
    pads = [numpy_helper.to_array(entry) for entry in model.graph.initializer if entry.name.startswith("pads")]
    assert [list(entry) for entry in pads] == [[0, 0, 0, 0, 0, 0, 0, 1], [0, 0, 0, 1, 0, 0, 0, 0]]


# What the cost model must get right, whatever its constants are tuned to.
FEW_CHANNELS = QuantisedStage(np.ones((4, 96, 3, 3), np.int8), np.zeros(4, np.int32), np.ones(4, np.float32))
FULL_TILE = QuantisedStage(np.ones((32, 16, 3, 3), np.int8), np.zeros(32, np.int32), np.ones(32, np.float32))


def test_four_channels_fill_a_tile_with_four_columns():
    assert cheapest_width(FEW_CHANNELS, (26, 26, 96)) == 4


def test_a_full_tile_needs_no_block():
    assert cheapest_width(FULL_TILE, (12, 12, 16)) == 1


def test_a_block_divides_what_is_computed():
    for side in range(8, 30):
        assert (side - 2) % cheapest_width(FEW_CHANNELS, (side, side, 96)) == 0


class Padded(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.chain = nn.Sequential(
            nn.Conv2d(1, 6, 5, stride=2), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 4, 3, padding=1), nn.ReLU(),
            nn.MaxPool2d(2), nn.Conv2d(4, 8, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
            nn.Linear(8, 10),
        )  # fmt: skip

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.chain((image - 0.5).unsqueeze(1) * 2)


def test_somebodys_own_chain_with_padding_and_strides(digits, images, in_integers, answers):
    fp32 = exporters.convert(Padded().eval(), classes=10, temperature=0.8).model
    network = integers(fp32, digits.images)
    model = blocks.build(fp32, digits.images, 7)
    assert_computes(model, in_integers(network, images), images, answers)
    form.check_form(model, classes=10)


def test_a_graph_that_only_looks_like_a_chain_is_refused(drawn, digits):
    """An Unsqueeze moves no number; elsewhere than in front of the picture it would."""
    fp32 = conversion.convert(drawn(Convolutional("conv5x4 relu flatten linear10"))).model
    fp32.graph.initializer.remove(next(entry for entry in fp32.graph.initializer if entry.name == "chain.0.weight"))
    other = np.random.default_rng(0).normal(size=(4, 28, 5, 1)).astype(np.float32)
    fp32.graph.initializer.append(numpy_helper.from_array(other, "chain.0.weight"))
    with pytest.raises(UnsuitableError, match="do not fit the picture"):
        blocks.build(fp32, digits.images, 7)


def test_logits_of_a_convolution_are_refused(drawn, digits):
    fp32 = conversion.convert(drawn(Convolutional("conv5x4 relu conv24x10 flatten"))).model
    with pytest.raises(UnsuitableError, match="the last layer is not linear"):
        blocks.build(fp32, digits.images, 7)


def test_a_graph_that_computes_something_else_than_its_layers_is_refused(drawn, digits):
    """An Unsqueeze moves no number in front of the picture; a Cast may."""
    fp32 = conversion.convert(drawn(Convolutional("flatten linear24 relu linear10"))).model
    place = next(index for index, node in enumerate(fp32.graph.node) if node.op_type == "Relu")
    rounded = helper.make_node("Cast", [fp32.graph.node[place].output[0]], ["whole"], to=TensorProto.INT32)
    again = helper.make_node("Cast", ["whole"], ["rounded"], to=TensorProto.FLOAT)
    fp32.graph.node[place + 1].input[0] = "rounded"
    fp32.graph.node.insert(place + 1, again)
    fp32.graph.node.insert(place + 1, rounded)
    with pytest.raises(UnsuitableError, match="computes something else than its layers"):
        blocks.build(fp32, digits.images, 7)
