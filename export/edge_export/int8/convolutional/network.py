"""Convolutional and fully connected networks, in floating point and in integers, read off an fp32 graph as layers.

Start here. `requantisation` turns the layers into integers, `blocks` writes those as ONNX; `static_qdq` is the way of
ONNX Runtime's own quantiser, for networks of any form.

A network is a sequence of layers x -> y, from the raw pixels, bytes with one channel, to the logits:

    convolution, linear     y_o = sum_k w_ok x_k + bias_o       k over channels (and the pixels of a window)
    affine                  y_c = gain_c x_c + shift_c          a BatchNorm in evaluation, the scaling of the pixels
    ReLU, pooling           y_c = max(0, x_c)                   the largest or the mean of each window

**In integers** (`edge_export.int8.quantisation` has the equations of affine quantisation) there is one kind of layer,
a stage: product, requantisation, largest of a window. With b the bytes that it reads, q its int8 weights:

    b'_o = max over a window of clip(round(multiplier_o * (sum_k q_ok b_k + bias_o)), 0, 255)

1. A channel c of bytes has a scale of its own, x_c ~ scale_c b_c, zero point 0. The weights that read it take that
   scale before they are rounded, w_ok scale_k ~ scale'_o q_ok, so that none is left in the graph.
2. multiplier_o = scale'_o / scale_o, where scale_o is that of the output channel, and bias is in units of scale'_o.
3. An affine layer goes into the product before it, even behind a ReLU: gain * max(0, x) + shift is
   clip(gain x + shift, lower, upper). Lower limits become 0 and go into the bias of the reader; an upper limit is
   given the byte 255. So the clip to a byte is ReLU and limits at once, for nothing.
4. The last stage gives logits: no clip, no rounding.

Read are plain chains of such layers, as edge writes them and as most small networks are traced. A branch, a residual
sum, a grouped or dilated convolution is refused by name: such a network keeps another int8 form.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import onnx_ir
import torch
import torch.nn.functional as F
from onnx import ModelProto
from onnx_ir import Node, Value
from torch import Tensor

from edge.bundle.input import COLUMNS, ROWS
from edge.errors import EdgeError
from edge_export.graph.builder import IMAGE, LOGITS
from edge_export.int8.quantisation import Array

Pair = tuple[int, int]


class UnsuitableError(EdgeError):
    """A model has another form than a way to int8 is made for; another way may suit it."""


@dataclass(frozen=True, slots=True)
class Convolution:
    """A convolution.

    Attributes:
        weight: float64 (outputs, inputs, rows, columns).
        bias: float64 (outputs,).
        strides: rows and columns.
        pads: top, left, bottom, right.
    """

    weight: Array
    bias: Array
    strides: Pair = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Linear:
    """A fully connected layer.

    Attributes:
        weight: float64 (outputs, features).
        bias: float64 (outputs,).
    """

    weight: Array
    bias: Array


@dataclass(frozen=True, slots=True)
class Affine:
    """gain * x + shift, float64 for each channel; of one element where all channels share it."""

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


def read(model: ModelProto, start: str = IMAGE) -> list[Layer]:
    """The layers from a tensor to the logits, in order.

    Args:
        model: fp32.
        start: the raw pixels, 0 to 255 with one channel, or what else the chain begins with.

    Raises:
        UnsuitableError: the graph is no such chain; the message names what it has instead.
    """
    graph = onnx_ir.from_proto(model).graph
    layers: list[Layer] = []
    inside = (value for node in graph for value in node.outputs)
    tensor = next(value for value in (*graph.inputs, *inside) if value.name == start)
    while tensor.name != LOGITS:
        readers = tensor.consumers()
        if len(readers) != 1:
            raise UnsuitableError(
                f"{tensor.name} is read by {len(readers)} nodes; int8 in blocks takes a plain chain of layers"
            )
        (node,) = readers
        if node.op_type not in _READERS:
            raise UnsuitableError(f"int8 in blocks has no form for {node.op_type} ({_name(node)})")
        layer = _READERS[node.op_type](node, tensor)
        layers += [] if layer is None else [layer]
        tensor = node.outputs[0]
    return layers


# --- nodes: each reader gives a layer, or None where the node moves no number ----------------------------------------


def _name(node: Node) -> str | None:
    return node.name or node.outputs[0].name


def _weight(node: Node, position: int) -> Array:
    value = node.inputs[position] if position < len(node.inputs) else None
    tensor = None if value is None else onnx_ir.convenience.get_const_tensor(value)
    if tensor is None:
        raise UnsuitableError(f"{node.op_type} ({_name(node)}) has no constant input {position}")
    return tensor.numpy().astype(np.float64)


def _convolution(node: Node, _: Value) -> Layer:
    weight, attributes = _weight(node, 1), node.attributes
    bias = _weight(node, 2) if len(node.inputs) == 3 else np.zeros(len(weight))
    plain = attributes.get_int("group", 1) == 1 and set(attributes.get_ints("dilations", [1])) == {1}
    if weight.ndim != 4 or not plain or attributes.get_string("auto_pad", "NOTSET") != "NOTSET":
        raise UnsuitableError(f"{_name(node)} is a grouped, dilated or automatically padded convolution")
    top, left, bottom, right = attributes.get_ints("pads", [0, 0, 0, 0])
    rows, columns = attributes.get_ints("strides", [1, 1])
    return Convolution(weight, bias, (rows, columns), (top, left, bottom, right))


def _gemm(node: Node, _: Value) -> Layer:
    weight, attributes = _weight(node, 1), node.attributes
    weight = weight if attributes.get_int("transB", 0) else weight.T
    bias = _weight(node, 2).reshape(-1) if len(node.inputs) == 3 else np.zeros(1)
    if attributes.get_int("transA", 0) != 0 or {
        attributes.get_float("alpha", 1.0),
        attributes.get_float("beta", 1.0),
    } != {1}:
        raise UnsuitableError(f"{_name(node)} is a product of an unusual form")
    return Linear(weight, np.broadcast_to(bias, len(weight)).copy())


def _matmul(node: Node, _: Value) -> Layer:
    weight = _weight(node, 1)
    if weight.ndim != 2:
        raise UnsuitableError(f"{_name(node)} multiplies by {weight.ndim} axes")
    return Linear(weight.T, np.zeros(weight.shape[1]))


def _normalisation(node: Node, _: Value) -> Layer:
    scale, shift, mean, variance = (_weight(node, position) for position in (1, 2, 3, 4))
    gain = scale / np.sqrt(variance + node.attributes.get_float("epsilon", 1e-5))
    return Affine(gain, shift - mean * gain)


def _arithmetic(node: Node, tensor: Value) -> Layer:
    first = node.inputs[0] is tensor
    value = _weight(node, 1 if first else 0).reshape(-1)
    before = tensor.producer()
    flat = before is not None and before.op_type in ("Gemm", "MatMul")  # it has a number for each feature
    if (value.size != 1 and not flat) or (not first and node.op_type in ("Div", "Sub")):
        raise UnsuitableError(f"int8 in blocks has no form for this {node.op_type} ({_name(node)})")
    one, nothing = np.ones(1), np.zeros(1)
    forms: dict[str, Callable[[], Affine]] = {
        "Mul": lambda: Affine(value, nothing),
        "Div": lambda: Affine(one / value, nothing),
        "Add": lambda: Affine(one, value),
        "Sub": lambda: Affine(one, -value),
    }
    return forms[node.op_type]()


def _window(node: Node) -> int:
    attributes = node.attributes
    kernel, strides = attributes.get_ints("kernel_shape", []), attributes.get_ints("strides", [1, 1])
    plain = not any(attributes.get_ints("pads", [0])) and set(attributes.get_ints("dilations", [1])) == {1}
    if {*kernel, *strides} != {kernel[0]} or not plain or attributes.get_int("ceil_mode", 0) != 0:
        raise UnsuitableError(f"{_name(node)} pools windows that overlap or are padded")
    return kernel[0]


def _reshape(node: Node, _: Value) -> Layer | None:
    target = [int(size) for size in _weight(node, 1)]
    if len(target) == 2:
        return Flatten()
    if target[1:] == [1, ROWS, COLUMNS]:
        return None  # the picture gets its channel
    raise UnsuitableError(f"{_name(node)} reshapes to {target}")


def _flatten(node: Node, _: Value) -> Layer:
    if node.attributes.get_int("axis", 1) != 1:
        raise UnsuitableError(f"{_name(node)} flattens the batch")
    return Flatten()


_READERS: dict[str, Callable[[Node, Value], Layer | None]] = {
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
    "MaxPool": lambda node, _: MaxPool(_window(node)),
    "AveragePool": lambda node, _: AveragePool(_window(node)),
    "GlobalAveragePool": lambda *_: AveragePool(None),
    "Reshape": _reshape,
    "Flatten": _flatten,
}
