"""int8 for convolutional models through ONNX Runtime's own static quantiser, after cross-layer equalisation."""

import math
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto

from edge_export.graph.builder import IMAGE
from edge_export.int8.convolutional.equalise import equalise
from edge_export.int8.rounding import Bits, copy_of, opset

CALIBRATION_BATCH = 100

# A last layer that holds more of the weights than this is quantised too: int8 without it would be int8 by name.
LAST_LAYER_SHARE = 0.1


def static(model: ModelProto, calibration: NDArray[np.uint8], bits: Bits) -> ModelProto:
    """QDQ after cross-layer equalisation; a small last layer stays fp32.

    The logits are what labels are decided by: rounding them to 8 bits costs as much as everything before together, and
    the last layer usually holds a hundredth of the weights.

    Args:
        model: fp32; stays as it is.
        calibration: uint8 (N, 28, 28), ink 255 on background 0: training data, for the ranges of activations.
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
                np.array_split(calibration, max(1, len(calibration) // CALIBRATION_BATCH))
            )

        def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
            batch = next(self.batches, None)
            return None if batch is None else {IMAGE: batch}

    marked = copy_of(equalise(model, calibration))
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
    assert opset(quantised) == opset(model), "the stock quantiser raised the opset"
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
