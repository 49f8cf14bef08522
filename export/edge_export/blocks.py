"""The integer graph of a convolutional classifier: several pixels of a convolution's output are one row of a product.

ONNX Runtime multiplies bytes in tiles of sixteen columns, after copying the window of every pixel. A convolution with
four channels leaves three quarters of a tile unused, and one with one input channel spends its time on copying five
bytes at a time. So a block of neighbouring pixels becomes the channels of one: the kernel grows by the block's side, is
filled up with zeros, and moves by the block. More is multiplied, by zeros, and it takes less time.

    3x3, 128 -> 4                        is  4x4, 128 -> 16 with strides of 2
    5x5, 1 -> 16, then pooling of 2x2    is  6x8, 1 -> 128 with strides of (2, 4), then the largest of four slices

The picture goes in as it is: a pixel is a byte, channels come last, nothing is converted or transposed.
"""

import itertools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto, helper

from edge_export.draft import INPUT, LOGITS, Draft
from edge_export.layers import Convolution
from edge_export.levels import Integers

MICROSOFT = "com.microsoft"

# What a block costs, in nanoseconds, fitted to 40 shapes on an x86 core with AVX2: a product of two bytes, copying a
# row of a window, rounding an output. Inner sizes are padded to 4 bytes, outputs to 16 columns.
PRODUCT_NS = 0.0135
COPY_NS = 10.0
ROUND_NS = 0.3
SIDES = (1, 2, 3, 4, 6, 8)

BYTES = 255


@dataclass(frozen=True, slots=True)
class Block:
    """Pixels of a convolution's output that are computed as channels of one."""

    rows: int
    columns: int


def write(stages: list[Integers], model: ModelProto) -> ModelProto:
    """The integer graph, with what follows the logits, and the names and versions, of the fp32 model.

    Args:
        stages: of `edge_export.levels.quantise`.
        model: the fp32 model that they come from.
    """
    draft = Draft()
    draft.weight("one_scale", np.array(1.0, np.float32))
    draft.weight("byte_zero_point", np.array(0, np.uint8))
    shape: tuple[int, ...] = (28, 28, 1)
    tensor, written = INPUT, (28, 28)  # what the tensor's axes are at this point, without the batch
    for index, stage in enumerate(stages):
        name, last = f"stage.{index}", index == len(stages) - 1
        if isinstance(stage.stage.product, Convolution):
            tensor = _reshaped(draft, tensor, written, shape, f"{name}.input")
            tensor, written, shape = _convolution(draft, stage, tensor, shape, name)
        else:
            features = math.prod(shape)
            tensor = _reshaped(draft, tensor, written, (features,), f"{name}.input")
            tensor = _linear(draft, stage, tensor, shape, LOGITS if last else f"{name}.output")
            written = shape = (len(stage.bias),)
    if tensor != LOGITS:
        raise AssertionError("the last stage is linear")  # edge_export.stages sees to it
    return _finished(draft, model)


def choose(stage: Convolution, pool: int, height: int, width: int) -> Block:
    """The block that costs least by the constants above; it divides what is computed, in whole pooling windows."""
    _, channels, kernel_rows, kernel_columns = stage.weight.shape
    if stage.strides != (1, 1):
        return Block(1, 1)
    outputs = len(stage.bias)
    rows, columns = (
        (side + before + after - kernel + 1) // pool * pool
        for side, before, after, kernel in (
            (height, stage.pads[0], stage.pads[2], kernel_rows),
            (width, stage.pads[1], stage.pads[3], kernel_columns),
        )
    )
    best, cheapest = Block(1, 1), math.inf
    for high, wide in itertools.product(SIDES, SIDES):
        # Without pooling, rows of a block would have to be put in order by a transposition.
        if rows % high or columns % wide or (high != pool if pool == 1 else high != pool or wide % pool):
            continue
        blocks = (rows // high) * (columns // wide)
        inner = (kernel_rows + high - 1) * (kernel_columns + wide - 1) * channels
        padded = blocks * (math.ceil(inner / 4) * 4) * (math.ceil(outputs * high * wide / 16) * 16)
        cost = padded * PRODUCT_NS + blocks * (kernel_rows + high - 1) * COPY_NS + rows * columns * outputs * ROUND_NS
        if cost < cheapest:
            best, cheapest = Block(high, wide), cost
    return best


def spread(weight: NDArray[Any], block: Block, pool: int) -> NDArray[Any]:
    """The kernel of a block: (windows' places * pooled pixels * outputs, inputs, rows, columns).

    Output channels are in the order: place within the pooling window, pixel, output. So the windows' places are slices,
    and pooling is the largest of them.
    """
    outputs, inputs, rows, columns = weight.shape
    kernel = np.zeros(
        (pool, pool, block.rows // pool, block.columns // pool, outputs, inputs, rows + block.rows - 1, columns + block.columns - 1),
        weight.dtype,
    )
    for row, column in np.ndindex(block.rows, block.columns):
        place = row % pool, column % pool, row // pool, column // pool
        kernel[(*place, slice(None), slice(None), slice(row, row + rows), slice(column, column + columns))] = weight
    return kernel.reshape(-1, *kernel.shape[5:])


def _convolution(
    draft: Draft, stage: Integers, tensor: str, shape: tuple[int, ...], name: str
) -> tuple[str, tuple[int, ...], tuple[int, ...]]:
    """Writes convolution and pooling; returns the tensor, its axes as they are, and as the picture that they mean."""
    product, pool = stage.stage.product, stage.stage.pool
    assert isinstance(product, Convolution)
    height, width, _ = shape
    block = choose(product, pool, height, width)
    outputs = len(stage.bias)
    blocked = block != Block(1, 1)
    weight = spread(stage.weight, block, pool if blocked else 1)
    copies = block.rows * block.columns
    strides = (block.rows, block.columns) if blocked else product.strides
    top, left, bottom, right = product.pads
    kernel = weight.shape[2:]
    rows = (height + top + bottom - kernel[0]) // strides[0] + 1
    columns = (width + left + right - kernel[1]) // strides[1] + 1
    tensor = draft.node(
        "QLinearConv",
        _operands(draft, tensor, weight, np.tile(stage.multiplier, copies), np.tile(stage.bias, copies), name),
        f"{name}.product",
        domain=MICROSOFT,
        channels_last=1,
        kernel_shape=list(kernel),
        strides=list(strides),
        pads=list(product.pads),
    )
    if pool == 1:
        picture = rows * block.rows, columns * block.columns, outputs
        return tensor, (rows, columns, copies * outputs), picture
    if not blocked:
        tensor = _pooled(draft, tensor, [pool, pool], f"{name}.output")
        picture = rows // pool, columns // pool, outputs
        return tensor, picture, picture
    windows, together = rows * columns, copies // pool**2 * outputs
    slices = _reshaped(draft, tensor, (rows, columns, copies * outputs), (windows * pool**2, 1, together), f"{name}.slices")
    tensor = _pooled(draft, slices, [pool**2, 1], f"{name}.output")
    return tensor, (windows, 1, together), (rows * block.rows // pool, columns * block.columns // pool, outputs)


def _linear(draft: Draft, stage: Integers, tensor: str, shape: tuple[int, ...], output: str) -> str:
    """A product of rows: features come in the order rows, columns, channels, which PyTorch has channels first."""
    weight = stage.weight
    if len(shape) == 3:
        rows, columns, channels = shape
        weight = weight.reshape(-1, channels, rows, columns).transpose(0, 2, 3, 1).reshape(len(weight), -1)
    name = output if output == LOGITS else output.rpartition(".")[0]
    operands = [
        tensor,
        "one_scale",
        "byte_zero_point",
        draft.weight(f"{name}.weight", np.ascontiguousarray(weight.T)),
        draft.weight(f"{name}.weight_scale", stage.multiplier),
        draft.weight(f"{name}.weight_zero_point", np.zeros(len(stage.multiplier), np.int8)),
        draft.weight(f"{name}.bias", stage.bias),
    ]
    if output != LOGITS:  # logits stay in floating point
        operands += ["one_scale", "byte_zero_point"]
    return draft.node("QGemm", operands, output, domain=MICROSOFT)


def _operands(
    draft: Draft, tensor: str, weight: NDArray[Any], multiplier: NDArray[Any], bias: NDArray[Any], name: str
) -> list[str]:
    return [
        tensor,
        "one_scale",
        "byte_zero_point",
        draft.weight(f"{name}.weight", weight),
        draft.weight(f"{name}.weight_scale", multiplier),
        draft.weight(f"{name}.weight_zero_point", np.zeros(len(multiplier), np.int8)),
        "one_scale",
        "byte_zero_point",
        draft.weight(f"{name}.bias", bias),
    ]


def _pooled(draft: Draft, tensor: str, kernel: list[int], output: str) -> str:
    return draft.node("NhwcMaxPool", [tensor], output, domain=MICROSOFT, kernel_shape=kernel, strides=kernel)


def _reshaped(draft: Draft, tensor: str, axes: tuple[int, ...], wanted: tuple[int, ...], output: str) -> str:
    """The tensor with other axes behind the batch; itself where they are those already."""
    if axes == wanted:
        return tensor
    target = draft.weight(f"{output}_shape", np.array([-1, *wanted], np.int64))
    return draft.node("Reshape", [tensor, target], output)


def _finished(draft: Draft, model: ModelProto) -> ModelProto:
    """The model with its graph up to the logits replaced by the draft's."""
    result = onnx.ModelProto()
    result.CopyFrom(model)
    known, tail = {LOGITS}, []
    for node in model.graph.node:
        if known & set(node.input):
            tail.append(node)
            known |= set(node.output)
    used = {name for node in tail for name in node.input}
    constants = [node for node in model.graph.node if node.op_type == "Constant" and used & set(node.output)]
    kept = [weight for weight in model.graph.initializer if weight.name in used]
    del result.graph.node[:], result.graph.initializer[:], result.graph.value_info[:]
    result.graph.node.extend([*draft.nodes, *constants, *tail])
    result.graph.initializer.extend([*draft.weights, *kept])
    if MICROSOFT not in {entry.domain for entry in result.opset_import}:
        result.opset_import.append(helper.make_opsetid(MICROSOFT, 1))
    return result
