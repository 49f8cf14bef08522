"""int8 for convolutional models of any form: ONNX Runtime's own static quantiser, after cross-layer equalisation.

Between two convolutions with nothing but ReLU and pooling in between, a channel may be scaled down after the first and
up again before the second: both commute with a positive factor. One scale serves all channels of an activation in QDQ,
so a channel that is a hundred times smaller than the largest keeps two or three of its 256 steps. The factor s_c of
each channel balances the range r_c of its activation against the range w_c of the weights that read it:

    s_c = sqrt(r_c / w_c) / geometric mean over c          x_c <- x_c / s_c          w_kc <- w_kc * s_c

Source: Nagel, van Baalen, Blankevoort and Welling, 2019, Data-Free Quantization Through Weight Equalization and Bias
Correction; here with the measured range of the activation in place of the first weights' range.
"""

import copy
import math
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, numpy_helper

from edge_export.graph.builder import IMAGE
from edge_export.graph.session import open_session
from edge_export.int8.calibration import CalibratedModel
from edge_export.int8.convolutional.requantisation import DEAD
from edge_export.int8.operators import PRODUCTS, RECURRENT
from edge_export.int8.quantisation import Bits, QuantisedModel

CALIBRATION_BATCH = 100

# A last layer that holds more of the weights than this is quantised too: int8 without it would be int8 by name.
LAST_LAYER_SHARE = 0.1

_COMMUTE = frozenset({"Relu", "MaxPool", "AveragePool"})

Arrays = dict[str, NDArray[Any]]


def static_qdq(source: CalibratedModel) -> QuantisedModel | None:
    """ONNX Runtime's own static quantiser, after equalisation."""
    operators = source.operators
    if "Conv" not in operators and (not operators & PRODUCTS or operators & RECURRENT):
        return None
    return QuantisedModel(quantise_statically(source.model, source.images, source.profile.bits), calibrated=True)


def quantise_statically(model: ModelProto, images: NDArray[np.uint8], bits: Bits) -> ModelProto:
    """QDQ after cross-layer equalisation; a small last layer stays fp32.

    The logits are what labels are decided by: rounding them to 8 bits costs as much as everything before together, and
    the last layer usually holds a hundredth of the weights.

    Args:
        model: fp32; stays as it is.
        images: uint8 (N, 28, 28), ink 255 on background 0: training data, for the ranges of activations.
        bits: of the weights.
    """
    from onnxruntime.quantization import (
        CalibrationDataReader,
        CalibrationMethod,
        QuantFormat,
        QuantType,
        quantize_static,
    )
    from onnxruntime.quantization.quant_utils import add_pre_process_metadata

    class Reader(CalibrationDataReader):  # type: ignore[misc]  # the stock package has no types
        def __init__(self) -> None:
            self.batches: Iterator[NDArray[np.uint8]] = iter(
                np.array_split(images, max(1, len(images) // CALIBRATION_BATCH))
            )

        def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
            batch = next(self.batches, None)
            return None if batch is None else {IMAGE: batch}

    marked = copy.deepcopy(equalise(model, images))
    add_pre_process_metadata(marked)  # the graph is lean: the advice to simplify it first would only worry people
    with tempfile.TemporaryDirectory() as folder:
        source, path = Path(folder) / "fp32.onnx", Path(folder) / "int8.onnx"
        onnx.save(marked, source)  # given the model itself, the quantiser moves its weights to an external file
        quantize_static(
            source,
            path,
            Reader(),
            quant_format=QuantFormat.QDQ,
            nodes_to_exclude=_from_last_layer(model),
            op_types_to_quantize=["Conv", "Gemm", "MatMul", "Relu", "MaxPool", "AveragePool"],
            per_channel=True,
            reduce_range=bits == 7,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
        )
        quantised = onnx.load(path)
    quantised.ir_version = model.ir_version
    del quantised.metadata_props[:]
    assert quantised.opset_import[0] == model.opset_import[0], "the stock quantiser raised the opset"
    return quantised


def _from_last_layer(model: ModelProto) -> list[str]:
    """The names of the last node with weights and of all after it; none where too many of the weights are its own."""
    sizes = {weight.name: math.prod(weight.dims) for weight in model.graph.initializer}
    products = [
        (index, sum(sizes.get(name, 0) for name in node.input[:2]))
        for index, node in enumerate(model.graph.node)
        if node.op_type in ("Conv", "Gemm", "MatMul")
    ]
    last, size = products[-1]
    small = size <= LAST_LAYER_SHARE * sum(size for _, size in products)
    return [node.name for node in model.graph.node[last:]] if small else []


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
    result = copy.deepcopy(model)
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
    tapped = copy.deepcopy(model)
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
