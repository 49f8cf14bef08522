"""The integer graph of a convolutional network: several pixels of a convolution's output are one row of a product.

ONNX Runtime multiplies bytes in tiles of sixteen columns, after copying the window of every pixel. A convolution with
four channels leaves three quarters of a tile unused, and one with one input channel spends its time on copying five
bytes at a time. So a few neighbouring pixels of a row become the channels of one: the kernel grows by the width of the
block, is filled up with zeros, and moves by the block. More is multiplied, by zeros, and it takes less time; in memory
the result is the same picture.

    3x3, 128 -> 4    is  3x6, 128 -> 16 with strides of (1, 4)
    5x5, 1 -> 16     is  5x8, 1 -> 64 with strides of (1, 4)

The file holds the weights once: they are padded and put side by side by nodes that fold when the session loads. The
picture goes in as it is: a pixel is a byte, channels come last, nothing is converted or transposed.

One product is left to fp32: the first, where a pooling follows it. With one input channel the fp32 kernel wastes
nothing, and after the pooling a quarter of the numbers is left to be rounded. The numbers are the same integers, below
2^24 and therefore exact in fp32, and so are the bytes that come out.

| candidate           | ranges of the activations                                                                   |
|---------------------|---------------------------------------------------------------------------------------------|
| `blocks`            | up to the largest value                                                                     |
| `blocks-percentile` | a value in ten thousand of each channel saturates, for finer steps of the others            |

Source: com.microsoft.QLinearConv, QGemm and NhwcMaxPool in ONNX Runtime's ContribOperators.md.
"""

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper, numpy_helper

from edge.bundle.input import COLUMNS, ROWS
from edge_export.graph.builder import IMAGE, LOGITS, GraphBuilder
from edge_export.graph.session import open_session
from edge_export.int8.calibration import CalibratedModel
from edge_export.int8.convolutional.network import UnsuitableError, read
from edge_export.int8.convolutional.requantisation import (
    LARGEST_BYTE,
    MULTIPLE,
    QuantisedStage,
    Stage,
    quantise_stages,
    remove_unused,
    to_stages,
)
from edge_export.int8.operators import MICROSOFT, PRODUCTS, RECURRENT, beyond_onnx
from edge_export.int8.quantisation import Bits, QuantisedModel

COVERED_SHARE = 0.9999

# That the chain was read as it is computed: float32 sums of the largest layers differ by less.
CHECKED_IMAGES = 16
READING_TOLERANCE = 1e-3

# What a block costs, in nanoseconds, fitted to 40 shapes on an x86 core with AVX2: a product of two bytes, copying a
# row of a window (of merged columns, see `_is_merged`). Inner sizes are padded to 4 bytes, outputs to 16 columns.
PRODUCT_NS = 0.0135
COPY_NS = 10.0
MERGED_COPY_NS = 7.5
INNER, COLUMN_TILE = 4, 16
WIDTHS = (1, 2, 3, 4, 6, 8)

EXACT = 1 << 24  # integers below it, and their sums, are exact in fp32

Axes = tuple[int, ...]


# --- candidates -------------------------------------------------------------------------------------------------------


def in_blocks(source: CalibratedModel) -> QuantisedModel | None:
    """Every product in integers, convolutions in blocks of pixels."""
    return _as_candidate(source, share=1.0)


def in_blocks_percentile(source: CalibratedModel) -> QuantisedModel | None:
    """The same, its ranges without the largest ten-thousandth of a channel's values."""
    return _as_candidate(source, share=COVERED_SHARE)


def _as_candidate(source: CalibratedModel, *, share: float) -> QuantisedModel | None:
    if not source.operators & {"Conv", *PRODUCTS} or source.operators & RECURRENT:
        return None
    try:
        model = build(source.model, source.images, source.profile.bits, share=share)
    except UnsuitableError:
        return None
    return QuantisedModel(model, beyond_onnx(model), calibrated=True)


def build(model: ModelProto, images: NDArray[np.uint8], bits: Bits, *, share: float = 1.0) -> ModelProto:
    """The model in int8, its convolutions in blocks.

    Args:
        model: fp32, as converted or traced.
        images: uint8 (N, 28, 28), ink 255 on background 0: training data, for the ranges of activations.
        bits: of the weights; 7 are exact on every processor.
        share: how much of a channel's values its range covers.

    Raises:
        UnsuitableError: the model is no plain chain of layers that this is exact for.
    """
    stages = _checked_stages(model, images[:CHECKED_IMAGES])
    return write(remove_unused(quantise_stages(stages, images, bits, share=share)), model)


def _checked_stages(model: ModelProto, images: NDArray[np.uint8]) -> list[Stage]:
    """The stages of a model, which compute what its graph computes, before anything is rounded."""
    try:
        stages = to_stages(read(model))
        tensor = torch.from_numpy(images).float().unsqueeze(1)
        for stage in stages:
            tensor = stage(tensor)
    except (RuntimeError, ValueError) as error:  # torch's and numpy's own, when shapes do not fit
        raise UnsuitableError(f"the layers do not fit the picture one after another: {error}") from error
    expected = open_session(model).run([LOGITS], {IMAGE: images})[0]
    found = tensor.numpy()
    if found.shape != expected.shape or np.abs(found - expected).max() > READING_TOLERANCE * np.abs(expected).max():
        raise UnsuitableError("the graph computes something else than its layers one after another")
    return stages


# --- the width of a block ---------------------------------------------------------------------------------------------


def cheapest_width(stage: QuantisedStage, picture: Axes) -> int:
    """How many neighbouring pixels of a convolution's output cost least as channels of one, by the constants above.

    Args:
        stage: a convolution.
        picture: rows, columns and channels of what it reads.
    """
    if stage.strides != (1, 1):
        return 1
    outputs, channels, kernel_rows, kernel_columns = stage.weight.shape
    rows, columns = _windows(stage, picture, (kernel_rows, kernel_columns), (1, 1))

    def cost(width: int) -> float:
        blocks = rows * columns // width
        inner = kernel_rows * (kernel_columns + width - 1) * channels
        tiles = math.ceil(inner / INNER) * INNER * math.ceil(outputs * width / COLUMN_TILE) * COLUMN_TILE
        copy_ns = MERGED_COPY_NS if _is_merged(stage, picture, width) else COPY_NS
        return float(blocks * (tiles * PRODUCT_NS + kernel_rows * copy_ns))

    return min((width for width in WIDTHS if columns % width == 0), key=cost)


def _is_merged(stage: QuantisedStage, picture: Axes, width: int) -> bool:
    """Whether four neighbouring columns of a picture with one channel are read as four channels of one column.

    ONNX Runtime convolves without copying windows when the channels are a multiple of four.
    """
    return picture[2] == 1 and not any(stage.pads) and picture[1] % MULTIPLE == 0 and width % MULTIPLE == 0


# --- the graph --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Tensor:
    """A tensor of the graph: its axes as they are, without the batch, and the picture that they mean, channels last."""

    name: str
    axes: Axes
    picture: Axes


def write(
    stages: list[QuantisedStage],
    model: ModelProto,
    *,
    width_of: Callable[[QuantisedStage, Axes], int] = cheapest_width,
    fp32_first: Callable[[QuantisedStage], bool] | None = None,
) -> ModelProto:
    """The integer graph, with what follows the logits, and the names and versions, of the fp32 model.

    Args:
        stages: of `quantise_stages`; the last one is linear.
        model: the fp32 model that they come from.
        width_of: gives the width of the blocks of a convolution that reads a picture of these axes.
        fp32_first: whether the first product is computed in fp32; `is_faster_in_fp32` by default.
    """
    builder = GraphBuilder()
    fp32_first = is_faster_in_fp32 if fp32_first is None else fp32_first
    tensor = _Tensor(IMAGE, (ROWS, COLUMNS), (ROWS, COLUMNS, 1))
    for index, stage in enumerate(stages):
        if index == 0 and fp32_first(stage):
            tensor = _first_in_fp32(builder, stage, tensor, "stage.0")
        elif stage.weight.ndim == 4:
            tensor = _convolution(builder, stage, tensor, f"stage.{index}", width_of(stage, tensor.picture))
        else:
            tensor = _linear(builder, stage, tensor, f"stage.{index}", last=index == len(stages) - 1)
    return _finished(builder, model)


def read_stages(model: ModelProto) -> list[QuantisedStage]:
    """The stages of a graph that `write` made; a linear one has its features in the order rows, columns, channels.

    Args:
        model: int8; of another graph no stage is found.
    """
    arrays = {weight.name: numpy_helper.to_array(weight) for weight in model.graph.initializer}
    nodes = {node.output[0]: node for node in model.graph.node}
    result: list[QuantisedStage] = []
    while f"stage.{(index := len(result))}.weight" in arrays:
        weight, bias, multiplier = (arrays[f"stage.{index}.{part}"] for part in ("weight", "bias", "weight_scale"))
        if weight.ndim == 2:
            result.append(QuantisedStage(weight.T, bias, multiplier))
            continue
        product = {one.name: helper.get_attribute_value(one) for one in nodes[f"stage.{index}.product"].attribute}
        rows, columns = (1, 1) if f"stage.{index}.kernel" in nodes else product["strides"]  # of a block
        pooled = nodes.get(f"stage.{index}.output")
        windows = [] if pooled is None else [one.ints[0] for one in pooled.attribute if one.name == "kernel_shape"]
        top, left, bottom, right = product["pads"]
        pool, moves = (windows or [1])[0], ((rows, columns), (top, left, bottom, right))
        result.append(QuantisedStage(weight, bias, multiplier, pool, *moves))
    return result


def _convolution(builder: GraphBuilder, stage: QuantisedStage, tensor: _Tensor, name: str, width: int) -> _Tensor:
    """Convolution and pooling."""
    pool, outputs = stage.pool, len(stage.bias)
    together = MULTIPLE if _is_merged(stage, tensor.picture, width) else 1  # columns that are read as one
    read = tensor.picture[0], tensor.picture[1] // together, tensor.picture[2] * together
    kernel = stage.weight.shape[2], math.ceil((stage.weight.shape[3] + width - 1) / together)
    strides = stage.strides if width == 1 else (1, width // together)
    rows, columns = _windows(stage, read, kernel, strides)
    product = builder.node(
        "QLinearConv",
        [
            _reshaped(builder, tensor, read, f"{name}.input"),
            *_as_bytes(builder),
            _spread(builder, stage, width, together, name),
            *(_repeated(builder, stage.multiplier, width, f"{name}.weight_scale"), _zero(builder, np.int8)),
            *_as_bytes(builder),
            _repeated(builder, stage.bias, width, f"{name}.bias"),
        ],
        f"{name}.product",
        domain=MICROSOFT,
        channels_last=1,
        kernel_shape=list(kernel),
        strides=list(strides),
        pads=list(stage.pads),
    )
    computed = _Tensor(product, (rows, columns, width * outputs), (rows, columns * width, outputs))
    if pool == 1:
        return computed
    pixels = _reshaped(builder, computed, computed.picture, f"{name}.pixels")
    window = [pool, pool]
    pooled = builder.node(
        "NhwcMaxPool", [pixels], f"{name}.output", domain=MICROSOFT, kernel_shape=window, strides=window
    )
    picture = rows // pool, columns * width // pool, outputs
    return _Tensor(pooled, picture, picture)


def _windows(stage: QuantisedStage, read: Axes, kernel: Axes, strides: Axes) -> Axes:
    """How often a kernel fits into what it reads, down and across."""
    top, left, bottom, right = stage.pads
    sides = read[0] + top + bottom, read[1] + left + right
    down, across = ((side - size) // by + 1 for side, size, by in zip(sides, kernel, strides, strict=True))
    return down, across


def is_faster_in_fp32(stage: QuantisedStage) -> bool:
    """Whether a convolution of the raw pixels is computed in fp32: it is pooled, and its sums are exact there."""
    weights = np.abs(stage.weight.reshape(len(stage.bias), -1).astype(np.int64)).sum(1)
    largest = LARGEST_BYTE * weights + np.abs(stage.bias.astype(np.int64))
    return stage.weight.ndim == 4 and stage.pool > 1 and bool(largest.max() < EXACT)


def _first_in_fp32(builder: GraphBuilder, stage: QuantisedStage, tensor: _Tensor, name: str) -> _Tensor:
    """Convolution and pooling of the raw pixels in fp32, then bytes with channels last.

    ONNX Runtime multiplies by a number for each of a few channels slowly, and moves a QuantizeLinear in front of a
    pooling: so the multipliers are repeated for a whole row, and stand between the two.
    """
    floats = builder.node("Cast", [tensor.name], f"{name}.pixels", to=TensorProto.FLOAT)
    axis = builder.weight("channel_axis", np.array([1], np.int64))
    weight = builder.weight(f"{name}.weight", stage.weight)
    bias = builder.weight(f"{name}.bias", stage.bias)
    product = builder.node(
        "Conv",
        [
            builder.node("Unsqueeze", [floats, axis], f"{name}.input"),
            builder.node("Cast", [weight], f"{name}.weight_float", to=TensorProto.FLOAT),
            builder.node("Cast", [bias], f"{name}.bias_float", to=TensorProto.FLOAT),
        ],
        f"{name}.product",
        kernel_shape=list(stage.weight.shape[2:]),
        strides=list(stage.strides),
        pads=list(stage.pads),
    )
    window = [stage.pool, stage.pool]
    pooled = builder.node("MaxPool", [product], f"{name}.output", kernel_shape=window, strides=window)
    last = builder.node("Transpose", [pooled], f"{name}.channels_last", perm=[0, 2, 3, 1])
    windows = _windows(stage, tensor.picture, stage.weight.shape[2:], stage.strides)
    rows, columns = (count // stage.pool for count in windows)
    picture = rows, columns, len(stage.bias)
    in_rows = _reshaped(builder, _Tensor(last, picture, picture), (rows, columns * len(stage.bias)), f"{name}.rows")
    multiplier = _repeated(builder, stage.multiplier, columns, f"{name}.weight_scale")
    scaled = builder.node("Mul", [in_rows, multiplier], f"{name}.scaled")
    rounded = builder.node("QuantizeLinear", [scaled, *_as_bytes(builder)], f"{name}.bytes")
    return _Tensor(rounded, (rows, columns * len(stage.bias)), picture)


def _linear(builder: GraphBuilder, stage: QuantisedStage, tensor: _Tensor, name: str, *, last: bool) -> _Tensor:
    """A linear layer; its features come in the order rows, columns, channels, where PyTorch has channels first."""
    weight, features = stage.weight, stage.weight.shape[1]
    if len(tensor.picture) == 3:
        rows, columns, channels = tensor.picture
        weight = weight.reshape(-1, channels, rows, columns).transpose(0, 2, 3, 1).reshape(-1, features)
    operands = [
        _reshaped(builder, tensor, (features,), f"{name}.input"),
        *_as_bytes(builder),
        builder.weight(f"{name}.weight", weight.T),
        builder.weight(f"{name}.weight_scale", stage.multiplier),
        builder.weight(f"{name}.weight_zero_point", np.zeros(len(weight), np.int8)),  # QGemm takes no shared one
        builder.weight(f"{name}.bias", stage.bias),
    ]
    if not last:  # logits stay in floating point
        operands += _as_bytes(builder)
    output = builder.node("QGemm", operands, LOGITS if last else f"{name}.output", domain=MICROSOFT)
    return _Tensor(output, (len(weight),), (len(weight),))


def _as_bytes(builder: GraphBuilder) -> list[str]:
    """Scale and zero point of every activation: the scales of the channels are in weights and multipliers."""
    return [builder.weight("one_scale", np.array(1.0, np.float32)), _zero(builder, np.uint8)]


def _zero(builder: GraphBuilder, kind: type[np.int8 | np.uint8]) -> str:
    return builder.weight(f"{kind.__name__}_zero_point", np.array(0, kind))


def _reshaped(builder: GraphBuilder, tensor: _Tensor, axes: Axes, name: str) -> str:
    if tensor.axes == axes:
        return tensor.name
    return builder.node(
        "Reshape", [tensor.name, builder.weight(f"{name}_shape", np.array([-1, *axes], np.int64))], name
    )


def _spread(builder: GraphBuilder, stage: QuantisedStage, width: int, together: int, name: str) -> str:
    """The kernel of a block, made of the weights by nodes that fold; its outputs are ordered by pixel, then channel."""
    weight = builder.weight(f"{name}.weight", stage.weight)
    if width == 1:
        return weight
    columns = math.ceil((stage.weight.shape[3] + width - 1) / together) * together
    parts = []
    for left in range(width):
        right = columns - stage.weight.shape[3] - left
        size = builder.weight(f"pads_{left}_{right}", np.array([0, 0, 0, left, 0, 0, 0, right], np.int64))
        parts.append(builder.node("Pad", [weight, size, _zero(builder, np.int8)], f"{name}.weight_{left}"))
    kernel = builder.node("Concat", parts, f"{name}.kernel", axis=0)
    if together == 1:
        return kernel
    axes = np.array([-1, stage.weight.shape[2], columns // together, together], np.int64)
    split = builder.node("Reshape", [kernel, builder.weight(f"{name}.kernel_axes", axes)], f"{name}.split")
    return builder.node("Transpose", [split], f"{name}.merged", perm=[0, 3, 1, 2])


def _repeated(builder: GraphBuilder, array: NDArray[Any], width: int, name: str) -> str:
    once = builder.weight(name, array)
    return once if width == 1 else builder.node("Concat", [once] * width, f"{name}_of_block", axis=0)


def _finished(builder: GraphBuilder, model: ModelProto) -> ModelProto:
    """The model with its graph up to the logits replaced by the builder's."""
    result = copy.deepcopy(model)
    known, tail = {LOGITS}, []
    for node in model.graph.node:
        if known & set(node.input):
            tail.append(node)
            known |= set(node.output)
    used = {name for node in tail for name in node.input}
    constants = [node for node in model.graph.node if node.op_type == "Constant" and used & set(node.output)]
    kept = [weight for weight in model.graph.initializer if weight.name in used]
    del result.graph.node[:], result.graph.initializer[:], result.graph.value_info[:]
    result.graph.node.extend([*builder.nodes, *constants, *tail])
    result.graph.initializer.extend([*builder.weights, *kept])
    if MICROSOFT not in {entry.domain for entry in result.opset_import}:
        result.opset_import.append(helper.make_opsetid(MICROSOFT, 1))
    return result
