"""A convolutional classifier read back from its fp32 graph, as a chain of layers from the raw pixels to the logits.

Whatever rewrites arithmetic (int8 in blocks, say) needs layers with their weights, not nodes. Read are chains, as edge
writes them and as most small networks are traced: convolutions, linear layers, ReLU, max and average pooling, affine
steps (a BatchNorm, the scaling of the pixels) and a flattening. A branch, a residual sum, a grouped or dilated
convolution is refused by name: such a network keeps another int8 form.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, helper, numpy_helper
from torch import Tensor

from edge.errors import EdgeError
from edge_export.graph.builder import IMAGE, LOGITS

Array = NDArray[np.float64]
Pair = tuple[int, int]


class UnsuitableError(EdgeError):
    """A model has another form than a way to int8 is made for; another way may suit it."""


@dataclass(frozen=True, slots=True)
class Convolution:
    """`weight` (outputs, inputs, rows, columns), `bias` (outputs,), `strides` (2,), `pads` top, left, bottom, right."""

    weight: Array
    bias: Array
    strides: Pair = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Linear:
    """`weight` (outputs, features), `bias` (outputs,)."""

    weight: Array
    bias: Array


@dataclass(frozen=True, slots=True)
class Affine:
    """gain * x + shift, for each channel; of one element where all channels share it."""

    gain: Array
    shift: Array


@dataclass(frozen=True, slots=True)
class Relu:
    """max(x, 0)."""


@dataclass(frozen=True, slots=True)
class MaxPool:
    """The largest of each window of `side` x `side`; windows do not overlap, and what is left at the edge goes."""

    side: int


@dataclass(frozen=True, slots=True)
class AveragePool:
    """The mean of each window; `None` is one window over the whole picture."""

    side: int | None


@dataclass(frozen=True, slots=True)
class Flatten:
    """[batch, channels, rows, columns] -> [batch, features]."""


Layer = Convolution | Linear | Affine | Relu | MaxPool | AveragePool | Flatten


def read(model: ModelProto) -> list[Layer]:
    """The layers from the raw pixels, 0 to 255 with one channel, to the logits, in order.

    Raises:
        UnsuitableError: the graph is no such chain; the message names what it has instead.
    """
    arrays = {weight.name: numpy_helper.to_array(weight) for weight in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            arrays[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
    layers: list[Layer] = []
    tensor = IMAGE
    while tensor != LOGITS:
        readers = [node for node in model.graph.node if tensor in node.input]
        if len(readers) != 1:
            raise UnsuitableError(
                f"{tensor} is read by {len(readers)} nodes; int8 in blocks takes a plain chain of layers"
            )
        (node,) = readers
        if node.op_type not in _READERS:
            raise UnsuitableError(f"int8 in blocks has no form for {node.op_type} ({node.name or node.output[0]})")
        layer = _READERS[node.op_type](node, tensor, arrays)
        layers += [] if layer is None else [layer]
        tensor = node.output[0]
    return layers


def apply(layer: Layer, tensor: Tensor) -> Tensor:
    """What the layer makes of a tensor [batch, channels, rows, columns], or [batch, features] once it is flat."""
    if isinstance(layer, Convolution):
        top, left, bottom, right = layer.pads
        padded = F.pad(tensor, (left, right, top, bottom))
        return F.conv2d(padded, _as(layer.weight, tensor), _as(layer.bias, tensor), layer.strides)
    if isinstance(layer, Linear):
        return F.linear(tensor, _as(layer.weight, tensor), _as(layer.bias, tensor))
    if isinstance(layer, Affine):
        axes = (1, -1) + (1,) * (tensor.ndim - 2)
        return tensor * _as(layer.gain, tensor).reshape(axes) + _as(layer.shift, tensor).reshape(axes)
    return _without_numbers(layer, tensor)


def _without_numbers(layer: Relu | MaxPool | AveragePool | Flatten, tensor: Tensor) -> Tensor:
    if isinstance(layer, Relu):
        return F.relu(tensor)
    if isinstance(layer, MaxPool):
        return F.max_pool2d(tensor, layer.side)
    if isinstance(layer, AveragePool):
        return F.avg_pool2d(tensor, layer.side or tuple(tensor.shape[2:]))
    return tensor.flatten(1)


def _as(array: Array, tensor: Tensor) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array)).to(tensor.dtype)


# --- nodes: each reader gives a layer, or None where the node moves no number ----------------------------------------

Arrays = dict[str, NDArray[Any]]


def _attribute(node: NodeProto, name: str, default: Any) -> Any:  # noqa: ANN401 - onnx's attributes are anything
    found = [attribute for attribute in node.attribute if attribute.name == name]
    return helper.get_attribute_value(found[0]) if found else default


def _weight(node: NodeProto, position: int, arrays: Arrays) -> Array:
    if len(node.input) <= position or node.input[position] not in arrays:
        raise UnsuitableError(f"{node.op_type} ({node.name or node.output[0]}) has no constant input {position}")
    return arrays[node.input[position]].astype(np.float64)


def _convolution(node: NodeProto, _: str, arrays: Arrays) -> Layer:
    weight = _weight(node, 1, arrays)
    bias = _weight(node, 2, arrays) if len(node.input) == 3 else np.zeros(len(weight))
    plain = _attribute(node, "group", 1) == 1 and set(_attribute(node, "dilations", [1])) == {1}
    if weight.ndim != 4 or not plain or _attribute(node, "auto_pad", b"NOTSET") != b"NOTSET":
        raise UnsuitableError(
            f"{node.name or node.output[0]} is a grouped, dilated or automatically padded convolution"
        )
    top, left, bottom, right = _attribute(node, "pads", [0, 0, 0, 0])
    rows, columns = _attribute(node, "strides", [1, 1])
    return Convolution(weight, bias, (rows, columns), (top, left, bottom, right))


def _gemm(node: NodeProto, _: str, arrays: Arrays) -> Layer:
    weight = _weight(node, 1, arrays)
    weight = weight if _attribute(node, "transB", 0) else weight.T
    bias = _weight(node, 2, arrays).reshape(-1) if len(node.input) == 3 else np.zeros(1)
    if _attribute(node, "transA", 0) or _attribute(node, "alpha", 1.0) != 1 or _attribute(node, "beta", 1.0) != 1:
        raise UnsuitableError(f"{node.name or node.output[0]} is a product of an unusual form")
    return Linear(weight, np.broadcast_to(bias, len(weight)).copy())


def _matmul(node: NodeProto, _: str, arrays: Arrays) -> Layer:
    weight = _weight(node, 1, arrays)
    if weight.ndim != 2:
        raise UnsuitableError(f"{node.name or node.output[0]} multiplies by {weight.ndim} axes")
    return Linear(weight.T, np.zeros(weight.shape[1]))


def _normalisation(node: NodeProto, _: str, arrays: Arrays) -> Layer:
    scale, shift, mean, variance = (_weight(node, position, arrays) for position in (1, 2, 3, 4))
    gain = scale / np.sqrt(variance + _attribute(node, "epsilon", 1e-5))
    return Affine(gain, shift - mean * gain)


def _arithmetic(node: NodeProto, tensor: str, arrays: Arrays) -> Layer:
    first = node.input[0] == tensor
    value = _weight(node, 1 if first else 0, arrays).reshape(-1)
    if value.size != 1 or (not first and node.op_type in ("Div", "Sub")):
        raise UnsuitableError(f"int8 in blocks has no form for this {node.op_type} ({node.name or node.output[0]})")
    one, nothing = np.ones(1), np.zeros(1)
    forms: dict[str, Callable[[], Affine]] = {
        "Mul": lambda: Affine(value, nothing),
        "Div": lambda: Affine(one / value, nothing),
        "Add": lambda: Affine(one, value),
        "Sub": lambda: Affine(one, -value),
    }
    return forms[node.op_type]()


def _max_pool(node: NodeProto, _: str, __: Arrays) -> Layer:
    return MaxPool(_window(node))


def _average_pool(node: NodeProto, _: str, __: Arrays) -> Layer:
    return AveragePool(_window(node))


def _window(node: NodeProto) -> int:
    kernel = _attribute(node, "kernel_shape", [])
    strides = _attribute(node, "strides", [1, 1])
    plain = not any(_attribute(node, "pads", [0])) and set(_attribute(node, "dilations", [1])) == {1}
    if {*kernel, *strides} != {kernel[0]} or not plain or _attribute(node, "ceil_mode", 0):
        raise UnsuitableError(f"{node.name or node.output[0]} pools windows that overlap or are padded")
    side: int = kernel[0]
    return side


def _reshape(node: NodeProto, _: str, arrays: Arrays) -> Layer | None:
    target = [int(size) for size in _weight(node, 1, arrays)]
    if len(target) == 2:
        return Flatten()
    if target[1:] == [1, 28, 28]:
        return None  # the picture gets its channel
    raise UnsuitableError(f"{node.name or node.output[0]} reshapes to {target}")


def _flatten(node: NodeProto, _: str, __: Arrays) -> Layer:
    if _attribute(node, "axis", 1) != 1:
        raise UnsuitableError(f"{node.name or node.output[0]} flattens the batch")
    return Flatten()


_READERS: dict[str, Callable[[NodeProto, str, Arrays], Layer | None]] = {
    "Cast": lambda *_: None,
    "Identity": lambda *_: None,
    "Unsqueeze": lambda *_: None,
    "Conv": _convolution,
    "Gemm": _gemm,
    "MatMul": _matmul,
    "BatchNormalization": _normalisation,
    "Mul": _arithmetic,
    "Div": _arithmetic,
    "Add": _arithmetic,
    "Sub": _arithmetic,
    "Relu": lambda *_: Relu(),
    "MaxPool": _max_pool,
    "AveragePool": _average_pool,
    "GlobalAveragePool": lambda *_: AveragePool(None),
    "Reshape": _reshape,
    "Flatten": _flatten,
}
