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

from edge_export.block import Axes, Block, choose, merged
from edge_export.channels import MULTIPLE
from edge_export.draft import COLUMNS, INPUT, LOGITS, ROWS, Draft
from edge_export.layers import UnsuitableError
from edge_export.levels import Integers

MICROSOFT = "com.microsoft"


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
        UnsuitableError: the last stage is a convolution.
    """
    if stages[-1].weight.ndim != 2:
        raise UnsuitableError("the logits come from a convolution; int8 in blocks needs a linear layer at the end")
    graph = _Graph()
    tensor = Tensor(INPUT, (ROWS, COLUMNS), (ROWS, COLUMNS, 1))
    for index, stage in enumerate(stages):
        if stage.weight.ndim == 4:
            tensor = _convolution(graph, stage, tensor, f"stage.{index}")
        else:
            tensor = _linear(graph, stage, tensor, f"stage.{index}", last=index == len(stages) - 1)
    return _finished(graph.draft, model)


def _convolution(graph: _Graph, stage: Integers, tensor: Tensor, name: str) -> Tensor:
    """Convolution and pooling."""
    block, pool, outputs = choose(stage, tensor.picture), stage.pool, len(stage.bias)
    together = MULTIPLE if merged(stage, tensor.picture, block) else 1  # columns that are read as one
    height, width, channels = tensor.picture[0], tensor.picture[1] // together, tensor.picture[2] * together
    kernel = (
        stage.weight.shape[2] + block.rows - 1,
        math.ceil((stage.weight.shape[3] + block.columns - 1) / together),
    )
    strides = stage.strides if block.pixels == 1 else (block.rows, block.columns // together)
    top, left, bottom, right = stage.pads
    rows = (height + top + bottom - kernel[0]) // strides[0] + 1
    columns = (width + left + right - kernel[1]) // strides[1] + 1
    product = graph.draft.node(
        "QLinearConv",
        [
            graph.reshaped(tensor, (height, width, channels), f"{name}.input"),
            *(graph.one(), graph.zero(np.uint8)),
            _spread(graph, stage, block, together, name),
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
    places, values = pool * pool, block.columns // pool * outputs
    slices = graph.reshaped(computed, (rows * columns * places, 1, values), f"{name}.slices")
    pooled = _pooled(graph, slices, [places, 1], f"{name}.output")
    return Tensor(pooled, (rows * columns, 1, values), (rows, columns * block.columns // pool, outputs))


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


def _spread(graph: _Graph, stage: Integers, block: Block, together: int, name: str) -> str:
    """The kernel of a block, made of the weights by nodes that fold.

    Output channels are in the order: place within the pooling window, pixel, output. So the windows' places are slices,
    and pooling is the largest of them.
    """
    weight = graph.draft.weight(f"{name}.weight", stage.weight)
    if block.pixels == 1:
        return weight
    side = block.rows  # of the windows that a block consists of
    rows = stage.weight.shape[2] + block.rows - 1
    columns = math.ceil((stage.weight.shape[3] + block.columns - 1) / together) * together
    parts = []
    for row, column, window in itertools.product(range(side), range(side), range(block.columns // side)):
        left = window * side + column
        below, right = rows - stage.weight.shape[2] - row, columns - stage.weight.shape[3] - left
        pads = [0, 0, row, left, 0, 0, below, right]
        size = graph.constant(f"pads_{'_'.join(map(str, (*pads[2:4], *pads[6:8])))}", np.array(pads, np.int64))
        zero = graph.zero(np.int8)
        parts.append(graph.draft.node("Pad", [weight, size, zero], f"{name}.weight_{row}_{left}"))
    kernel = graph.draft.node("Concat", parts, f"{name}.kernel", axis=0)
    if together == 1:
        return kernel
    axes = np.array([-1, rows, columns // together, together], np.int64)
    split = graph.draft.node("Reshape", [kernel, graph.draft.weight(f"{name}.kernel_axes", axes)], f"{name}.split")
    return graph.draft.node("Transpose", [split], f"{name}.merged", perm=[0, 3, 1, 2])


def _repeated(graph: _Graph, array: NDArray[Any], block: Block, name: str) -> str:
    once = graph.draft.weight(name, array)
    if block.pixels == 1:
        return once
    return graph.draft.node("Concat", [once] * block.pixels, f"{name}_of_block", axis=0)


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
