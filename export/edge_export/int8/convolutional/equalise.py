"""Cross-layer equalisation: what makes a convolutional network fit for int8 without changing what it computes.

Between two convolutions with nothing but ReLU and pooling in between, a channel may be scaled down after the first and
up again before the second: both commute with a positive factor. One scale serves all channels of an activation in int8,
so a channel that is a hundred times smaller than the largest keeps two or three of its 256 levels. The factor of each
channel balances the range of its activation against the range of the weights that read it.

Source: Nagel, van Baalen, Blankevoort and Welling, 2019, Data-Free Quantization Through Weight Equalization and Bias
Correction; here with the measured range of the activation in place of the first weights' range.
"""

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, numpy_helper

from edge_export.graph.builder import IMAGE
from edge_export.graph.session import open_session

_COMMUTE = frozenset({"Relu", "MaxPool", "AveragePool"})

# A channel, or a weight, this much smaller than the largest one is dead: it is not scaled up any further.
DEAD = 1e-4

Arrays = dict[str, NDArray[Any]]


def equalise(model: ModelProto, images: NDArray[np.uint8]) -> ModelProto:
    """The same function with balanced channels between consecutive convolutions.

    Tensors whose channels are scaled get another name, because they are no longer what PyTorch computes there.

    Args:
        model: fp32, with biases on its convolutions.
        images: uint8 (N, 28, 28), ink 255 on background 0: training data, for the ranges of activations.
    """
    pairs = _pairs(model)
    if not pairs:
        return model
    result = onnx.ModelProto()
    result.CopyFrom(model)
    arrays = {weight.name: numpy_helper.to_array(weight) for weight in model.graph.initializer}
    ranges = _ranges(model, [path[-1] for _, path, _ in pairs], images)
    for first, path, second in pairs:
        weights, bias, reading = first.input[1], first.input[2], second.input[1]
        factor = _factor(ranges[path[-1]], np.abs(arrays[reading]).max(axis=(0, 2, 3)))
        arrays[weights] = arrays[weights] / factor.reshape(-1, 1, 1, 1)
        arrays[bias] = arrays[bias] / factor
        arrays[reading] = arrays[reading] * factor.reshape(1, -1, 1, 1)
    _rename(result, {tensor for _, path, _ in pairs for tensor in path})
    for weight in result.graph.initializer:
        original = numpy_helper.to_array(weight)
        weight.CopyFrom(numpy_helper.from_array(arrays[weight.name].astype(original.dtype), weight.name))
    return result


def _pairs(model: ModelProto) -> list[tuple[NodeProto, list[str], NodeProto]]:
    """Consecutive convolutions and the tensors between them, where everything between commutes with a scale."""
    readers: dict[str, list[NodeProto]] = {}
    for node in model.graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    # A weight that two nodes read cannot be scaled for one of them.
    constants = {weight.name for weight in model.graph.initializer if len(readers.get(weight.name, [])) == 1}
    pairs = []
    for node in model.graph.node:
        if not _is_plain(node, constants):
            continue
        path, following = [node.output[0]], readers.get(node.output[0], [])
        while len(following) == 1 and following[0].op_type in _COMMUTE:
            path.append(following[0].output[0])
            following = readers.get(path[-1], [])
        if len(following) == 1 and _is_plain(following[0], constants) and following[0].input[0] == path[-1]:
            pairs.append((node, path, following[0]))
    return pairs


def _is_plain(node: NodeProto, constants: set[str]) -> bool:
    """Whether a node is a convolution with weights and bias of its own, all of whose channels read all inputs."""
    grouped = any(attribute.name == "group" and attribute.i != 1 for attribute in node.attribute)
    return node.op_type == "Conv" and len(node.input) == 3 and set(node.input[1:]) <= constants and not grouped


def _ranges(model: ModelProto, tensors: list[str], images: NDArray[np.uint8]) -> Arrays:
    """The largest magnitude of each channel of those tensors."""
    tapped = onnx.ModelProto()
    tapped.CopyFrom(model)
    tapped.graph.output.extend(onnx.ValueInfoProto(name=name) for name in tensors)
    values = open_session(tapped).run(tensors, {IMAGE: images})
    return {name: np.abs(values[index]).max(axis=(0, 2, 3)) for index, name in enumerate(tensors)}


def _factor(activation: NDArray[Any], reading: NDArray[Any]) -> NDArray[np.float64]:
    """What each channel is divided by, so that its activation and its reader's weights share the imbalance."""
    activation = np.maximum(activation.astype(np.float64), max(DEAD * float(activation.max()), np.finfo(float).tiny))
    reading = np.maximum(reading.astype(np.float64), max(DEAD * float(reading.max()), np.finfo(float).tiny))
    factor = np.sqrt(activation / reading)
    return np.asarray(factor / np.exp(np.log(factor).mean()), np.float64)  # the geometric mean stays


def _rename(model: ModelProto, tensors: set[str]) -> None:
    def new(name: str) -> str:
        return f"{name}.equalised" if name in tensors else name

    for node in model.graph.node:
        node.input[:] = [new(name) for name in node.input]
        node.output[:] = [new(name) for name in node.output]
