"""The integer graph of a convolutional classifier: several pixels of a convolution's output are one row of a product.

ONNX Runtime multiplies bytes in tiles of sixteen columns, after copying the window of every pixel. A convolution with
four channels leaves three quarters of a tile unused, and one with one input channel spends its time on copying five
bytes at a time. So a few neighbouring pixels of a row become the channels of one: the kernel grows by the width of the
block, is filled up with zeros, and moves by the block. More is multiplied, by zeros, and it takes less time; in memory
the result is the same picture.

    3x3, 128 -> 4    is  3x6, 128 -> 16 with strides of (1, 4)
    5x5, 1 -> 16     is  5x8, 1 -> 64 with strides of (1, 4)

The file holds the weights once: they are padded and put side by side by nodes that fold when the session loads. The
picture goes in as it is: a pixel is a byte, channels come last, nothing is converted or transposed.
"""

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto, helper

from edge.bundle.input import COLUMNS, ROWS
from edge_export.graph.builder import IMAGE, LOGITS, GraphBuilder
from edge_export.int8.convolutional.block import Axes, choose, merged
from edge_export.int8.convolutional.chain import UnsuitableError
from edge_export.int8.convolutional.channels import MULTIPLE
from edge_export.int8.convolutional.levels import Integers

MICROSOFT = "com.microsoft"


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor of the graph: its axes as they are, without the batch, and the picture that they mean, channels last."""

    name: str
    axes: Axes
    picture: Axes


@dataclass(slots=True)
class _Graph:
    """The builder, and the weights that several nodes share."""

    builder: GraphBuilder = field(default_factory=GraphBuilder)
    shared: dict[str, str] = field(default_factory=dict)

    def constant(self, name: str, array: NDArray[Any]) -> str:
        if name not in self.shared:
            self.shared[name] = self.builder.weight(name, array)
        return name

    def one(self) -> str:
        return self.constant("one_scale", np.array(1.0, np.float32))

    def zero(self, kind: type[np.int8 | np.uint8]) -> str:
        return self.constant(f"{kind.__name__}_zero_point", np.array(0, kind))

    def reshaped(self, tensor: Tensor, axes: Axes, name: str) -> str:
        if tensor.axes == axes:
            return tensor.name
        target = self.builder.weight(f"{name}_shape", np.array([-1, *axes], np.int64))
        return self.builder.node("Reshape", [tensor.name, target], name)


def write(stages: list[Integers], model: ModelProto) -> ModelProto:
    """The integer graph, with what follows the logits, and the names and versions, of the fp32 model.

    Args:
        stages: of `edge_export.int8.convolutional.levels.quantise`; the last one is linear.
        model: the fp32 model that they come from.

    Raises:
        UnsuitableError: the last stage is a convolution.
    """
    if stages[-1].weight.ndim != 2:
        raise UnsuitableError("the logits come from a convolution; int8 in blocks needs a linear layer at the end")
    graph = _Graph()
    tensor = Tensor(IMAGE, (ROWS, COLUMNS), (ROWS, COLUMNS, 1))
    for index, stage in enumerate(stages):
        if stage.weight.ndim == 4:
            tensor = _convolution(graph, stage, tensor, f"stage.{index}")
        else:
            tensor = _linear(graph, stage, tensor, f"stage.{index}", last=index == len(stages) - 1)
    return _finished(graph.builder, model)


def _convolution(graph: _Graph, stage: Integers, tensor: Tensor, name: str) -> Tensor:
    """Convolution and pooling."""
    width, pool, outputs = choose(stage, tensor.picture), stage.pool, len(stage.bias)
    together = MULTIPLE if merged(stage, tensor.picture, width) else 1  # columns that are read as one
    read = tensor.picture[0], tensor.picture[1] // together, tensor.picture[2] * together
    kernel = stage.weight.shape[2], math.ceil((stage.weight.shape[3] + width - 1) / together)
    strides = stage.strides if width == 1 else (1, width // together)
    top, left, bottom, right = stage.pads
    rows = (read[0] + top + bottom - kernel[0]) // strides[0] + 1
    columns = (read[1] + left + right - kernel[1]) // strides[1] + 1
    product = graph.builder.node(
        "QLinearConv",
        [
            graph.reshaped(tensor, read, f"{name}.input"),
            *(graph.one(), graph.zero(np.uint8)),
            _spread(graph, stage, width, together, name),
            *(_repeated(graph, stage.multiplier, width, f"{name}.weight_scale"), graph.zero(np.int8)),
            *(graph.one(), graph.zero(np.uint8)),
            _repeated(graph, stage.bias, width, f"{name}.bias"),
        ],
        f"{name}.product",
        domain=MICROSOFT,
        channels_last=1,
        kernel_shape=list(kernel),
        strides=list(strides),
        pads=list(stage.pads),
    )
    computed = Tensor(product, (rows, columns, width * outputs), (rows, columns * width, outputs))
    if pool == 1:
        return computed
    pixels = graph.reshaped(computed, computed.picture, f"{name}.pixels")
    window = [pool, pool]
    pooled = graph.builder.node(
        "NhwcMaxPool", [pixels], f"{name}.output", domain=MICROSOFT, kernel_shape=window, strides=window
    )
    picture = rows // pool, columns * width // pool, outputs
    return Tensor(pooled, picture, picture)


def _linear(graph: _Graph, stage: Integers, tensor: Tensor, name: str, *, last: bool) -> Tensor:
    """A linear layer; its features come in the order rows, columns, channels, where PyTorch has channels first."""
    weight, features = stage.weight, stage.weight.shape[1]
    if len(tensor.picture) == 3:
        rows, columns, channels = tensor.picture
        weight = weight.reshape(-1, channels, rows, columns).transpose(0, 2, 3, 1).reshape(-1, features)
    operands = [
        graph.reshaped(tensor, (features,), f"{name}.input"),
        *(graph.one(), graph.zero(np.uint8)),
        graph.builder.weight(f"{name}.weight", weight.T),
        graph.builder.weight(f"{name}.weight_scale", stage.multiplier),
        graph.builder.weight(f"{name}.weight_zero_point", np.zeros(len(weight), np.int8)),  # QGemm takes no shared one
        graph.builder.weight(f"{name}.bias", stage.bias),
    ]
    if not last:  # logits stay in floating point
        operands += [graph.one(), graph.zero(np.uint8)]
    output = graph.builder.node("QGemm", operands, LOGITS if last else f"{name}.output", domain=MICROSOFT)
    return Tensor(output, (len(weight),), (len(weight),))


def _spread(graph: _Graph, stage: Integers, width: int, together: int, name: str) -> str:
    """The kernel of a block, made of the weights by nodes that fold; its outputs are ordered by pixel, then channel."""
    weight = graph.builder.weight(f"{name}.weight", stage.weight)
    if width == 1:
        return weight
    columns = math.ceil((stage.weight.shape[3] + width - 1) / together) * together
    parts = []
    for left in range(width):
        right = columns - stage.weight.shape[3] - left
        size = graph.constant(f"pads_{left}_{right}", np.array([0, 0, 0, left, 0, 0, 0, right], np.int64))
        parts.append(graph.builder.node("Pad", [weight, size, graph.zero(np.int8)], f"{name}.weight_{left}"))
    kernel = graph.builder.node("Concat", parts, f"{name}.kernel", axis=0)
    if together == 1:
        return kernel
    axes = np.array([-1, stage.weight.shape[2], columns // together, together], np.int64)
    split = graph.builder.node("Reshape", [kernel, graph.builder.weight(f"{name}.kernel_axes", axes)], f"{name}.split")
    return graph.builder.node("Transpose", [split], f"{name}.merged", perm=[0, 3, 1, 2])


def _repeated(graph: _Graph, array: NDArray[Any], width: int, name: str) -> str:
    once = graph.builder.weight(name, array)
    return once if width == 1 else graph.builder.node("Concat", [once] * width, f"{name}_of_block", axis=0)


def _finished(builder: GraphBuilder, model: ModelProto) -> ModelProto:
    """The model with its graph up to the logits replaced by the builder's."""
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
    result.graph.node.extend([*builder.nodes, *constants, *tail])
    result.graph.initializer.extend([*builder.weights, *kept])
    if MICROSOFT not in {entry.domain for entry in result.opset_import}:
        result.opset_import.append(helper.make_opsetid(MICROSOFT, 1))
    return result
