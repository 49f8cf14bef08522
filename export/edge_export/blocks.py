"""The integer graph of a convolutional classifier: several pixels of a convolution's output are one row of a product.

ONNX Runtime multiplies bytes in tiles of sixteen columns, after copying the window of every pixel. A convolution with
four channels leaves three quarters of a tile unused, and one with one input channel spends its time on copying five
bytes at a time. So a block of neighbouring pixels becomes the channels of one: the kernel grows by the block's side, is
filled up with zeros, and moves by the block. More is multiplied, by zeros, and it takes less time.

    3x3, 128 -> 4                        is  3x6, 128 -> 16 with strides of (1, 4)
    5x5, 1 -> 16, then pooling of 2x2    is  6x8, 1 -> 128 with strides of (2, 4), then the largest of four slices

The file holds the weights once: they are padded and put side by side by nodes that fold when the session loads. The
picture goes in as it is: a pixel is a byte, channels come last, nothing is converted or transposed.
"""

import itertools
import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto, helper

from edge_export.draft import COLUMNS, INPUT, LOGITS, ROWS, Draft
from edge_export.layers import Unsuitable
from edge_export.levels import Integers

MICROSOFT = "com.microsoft"

# What a block costs, in nanoseconds, fitted to 40 shapes on an x86 core with AVX2: a product of two bytes, copying a
# row of a window, rounding an output, pooling a window of all its channels. Inner sizes are padded to 4 bytes, outputs
# to 16 columns.
PRODUCT_NS = 0.0135
COPY_NS = 10.0
ROUND_NS = 0.3
POOL_NS = 25.0
INNER, COLUMN_TILE = 4, 16
WIDTHS = (1, 2, 3, 4, 6, 8)

Axes = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Block:
    """Pixels of a convolution's output that are computed as channels of one: `rows` is 1, or those of a pooling."""

    rows: int
    columns: int

    @property
    def pixels(self) -> int:
        """How many they are."""
        return self.rows * self.columns


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor of the graph: its axes as they are, without the batch, and the picture that they mean, channels last."""

    name: str
    axes: Axes
    picture: Axes


@dataclass(slots=True)
class _Graph:
    """The draft, and the weights that several nodes share."""

    draft: Draft = field(default_factory=Draft)
    shared: dict[str, str] = field(default_factory=dict)

    def constant(self, name: str, array: NDArray[Any]) -> str:
        if name not in self.shared:
            self.shared[name] = self.draft.weight(name, array)
        return name

    def one(self) -> str:
        return self.constant("one_scale", np.array(1.0, np.float32))

    def zero(self, kind: type[np.int8 | np.uint8]) -> str:
        return self.constant(f"{kind.__name__}_zero_point", np.array(0, kind))

    def reshaped(self, tensor: Tensor, axes: Axes, name: str) -> str:
        if tensor.axes == axes:
            return tensor.name
        target = self.draft.weight(f"{name}_shape", np.array([-1, *axes], np.int64))
        return self.draft.node("Reshape", [tensor.name, target], name)


def write(stages: list[Integers], model: ModelProto) -> ModelProto:
    """The integer graph, with what follows the logits, and the names and versions, of the fp32 model.

    Args:
        stages: of `edge_export.levels.quantise`; the last one is linear.
        model: the fp32 model that they come from.

    Raises:
        Unsuitable: the last stage is a convolution.
    """
    if stages[-1].weight.ndim != 2:
        raise Unsuitable("the logits come from a convolution; int8 in blocks needs a linear layer at the end")
    graph = _Graph()
    tensor = Tensor(INPUT, (ROWS, COLUMNS), (ROWS, COLUMNS, 1))
    for index, stage in enumerate(stages):
        if stage.weight.ndim == 4:
            tensor = _convolution(graph, stage, tensor, f"stage.{index}")
        else:
            tensor = _linear(graph, stage, tensor, f"stage.{index}", last=index == len(stages) - 1)
    return _finished(graph.draft, model)


def choose(stage: Integers, picture: Axes) -> Block:
    """The block that costs least by the constants above, among those that divide what is computed.

    Args:
        stage: a convolution.
        picture: rows, columns and channels of what it reads.
    """
    if stage.strides != (1, 1):
        return Block(1, 1)
    outputs, channels, kernel_rows, kernel_columns = stage.weight.shape
    top, left, bottom, right = stage.pads
    rows = picture[0] + top + bottom - kernel_rows + 1
    columns = picture[1] + left + right - kernel_columns + 1
    best, cheapest = Block(1, 1), math.inf
    # Blocks of several rows would have to be put in order by a transposition, unless a pooling takes them together.
    for block in itertools.starmap(Block, itertools.product({1, stage.pool}, WIDTHS)):
        high, wide = rows, columns
        if block.rows > 1:  # then what the pooling leaves out at the edges is never computed
            high, wide = rows // stage.pool * stage.pool, columns // stage.pool * stage.pool
        if wide % block.columns or block.columns % block.rows:
            continue
        blocks = high // block.rows * (wide // block.columns)
        inner = (kernel_rows + block.rows - 1) * (kernel_columns + block.columns - 1) * channels
        tiles = math.ceil(inner / INNER) * INNER * math.ceil(outputs * block.pixels / COLUMN_TILE) * COLUMN_TILE
        pooled = 0 if stage.pool == 1 else blocks if block.rows > 1 else (rows // stage.pool) * (columns // stage.pool)
        cost = (
            blocks * tiles * PRODUCT_NS
            + blocks * (kernel_rows + block.rows - 1) * COPY_NS
            + high * wide * outputs * ROUND_NS
            + pooled * POOL_NS
        )
        if cost < cheapest:
            best, cheapest = block, cost
    return best


def _convolution(graph: _Graph, stage: Integers, tensor: Tensor, name: str) -> Tensor:
    """Convolution and pooling."""
    block, pool, outputs = choose(stage, tensor.picture), stage.pool, len(stage.bias)
    kernel = stage.weight.shape[2] + block.rows - 1, stage.weight.shape[3] + block.columns - 1
    strides = stage.strides if block.pixels == 1 else (block.rows, block.columns)
    top, left, bottom, right = stage.pads
    rows = (tensor.picture[0] + top + bottom - kernel[0]) // strides[0] + 1
    columns = (tensor.picture[1] + left + right - kernel[1]) // strides[1] + 1
    product = graph.draft.node(
        "QLinearConv",
        [
            graph.reshaped(tensor, tensor.picture, f"{name}.input"),
            *(graph.one(), graph.zero(np.uint8)),
            _spread(graph, stage, block, name),
            *(_repeated(graph, stage.multiplier, block, f"{name}.weight_scale"), graph.zero(np.int8)),
            *(graph.one(), graph.zero(np.uint8)),
            _repeated(graph, stage.bias, block, f"{name}.bias"),
        ],
        f"{name}.product",
        domain=MICROSOFT,
        channels_last=1,
        kernel_shape=list(kernel),
        strides=list(strides),
        pads=list(stage.pads),
    )
    computed = Tensor(product, (rows, columns, block.pixels * outputs), (rows, columns * block.columns, outputs))
    if pool == 1:
        return computed
    if block.rows == 1:
        pixels = graph.reshaped(computed, computed.picture, f"{name}.pixels")
        picture = (rows // pool, columns * block.columns // pool, outputs)
        return Tensor(_pooled(graph, pixels, [pool, pool], f"{name}.output"), picture, picture)
    places, together = pool * pool, block.columns // pool * outputs
    slices = graph.reshaped(computed, (rows * columns * places, 1, together), f"{name}.slices")
    pooled = _pooled(graph, slices, [places, 1], f"{name}.output")
    return Tensor(pooled, (rows * columns, 1, together), (rows, columns * block.columns // pool, outputs))


def _linear(graph: _Graph, stage: Integers, tensor: Tensor, name: str, *, last: bool) -> Tensor:
    """A linear layer; its features come in the order rows, columns, channels, where PyTorch has channels first."""
    weight, features = stage.weight, stage.weight.shape[1]
    if len(tensor.picture) == 3:
        rows, columns, channels = tensor.picture
        weight = weight.reshape(-1, channels, rows, columns).transpose(0, 2, 3, 1).reshape(-1, features)
    operands = [
        graph.reshaped(tensor, (features,), f"{name}.input"),
        *(graph.one(), graph.zero(np.uint8)),
        graph.draft.weight(f"{name}.weight", weight.T),
        graph.draft.weight(f"{name}.weight_scale", stage.multiplier),
        graph.draft.weight(f"{name}.weight_zero_point", np.zeros(len(weight), np.int8)),  # QGemm takes no shared one
        graph.draft.weight(f"{name}.bias", stage.bias),
    ]
    if not last:  # logits stay in floating point
        operands += [graph.one(), graph.zero(np.uint8)]
    output = graph.draft.node("QGemm", operands, LOGITS if last else f"{name}.output", domain=MICROSOFT)
    return Tensor(output, (len(weight),), (len(weight),))


def _spread(graph: _Graph, stage: Integers, block: Block, name: str) -> str:
    """The kernel of a block, made of the weights by nodes that fold.

    Output channels are in the order: place within the pooling window, pixel, output. So the windows' places are slices,
    and pooling is the largest of them.
    """
    weight = graph.draft.weight(f"{name}.weight", stage.weight)
    if block.pixels == 1:
        return weight
    side = block.rows  # of the windows that a block consists of
    parts = []
    for row, column, window in itertools.product(range(side), range(side), range(block.columns // side)):
        left = window * side + column
        pads = [0, 0, row, left, 0, 0, block.rows - 1 - row, block.columns - 1 - left]
        size = graph.constant(f"pads_{'_'.join(map(str, (*pads[2:4], *pads[6:8])))}", np.array(pads, np.int64))
        zero = graph.zero(np.int8)
        parts.append(graph.draft.node("Pad", [weight, size, zero], f"{name}.weight_{row}_{left}"))
    return graph.draft.node("Concat", parts, f"{name}.kernel", axis=0)


def _repeated(graph: _Graph, array: NDArray[Any], block: Block, name: str) -> str:
    once = graph.draft.weight(name, array)
    if block.pixels == 1:
        return once
    return graph.draft.node("Concat", [once] * block.pixels, f"{name}s", axis=0)


def _pooled(graph: _Graph, tensor: str, kernel: list[int], output: str) -> str:
    return graph.draft.node("NhwcMaxPool", [tensor], output, domain=MICROSOFT, kernel_shape=kernel, strides=kernel)


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
