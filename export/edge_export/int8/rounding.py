"""Weights as small integers with a scale for each row, and how much of a model is really stored that way."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, numpy_helper

from edge.errors import EdgeError

Bits = Literal[7, 8]

# The largest integer of each width. With 7 bits the sum of two products of a uint8 and a weight, 2 * 255 * 63 = 32130,
# stays below 2**15: x86 processors without VNNI add such pairs in 16 bits and saturate (onnxruntime#5849, #6004).
LARGEST: dict[Bits, int] = {7: 63, 8: 127}


class QuantisationError(EdgeError):
    """A model has nothing that can be quantised honestly."""


@dataclass(frozen=True, slots=True)
class Quantised:
    """An int8 model, and what decides where it runs.

    Attributes:
        model: the graph.
        cpu_only: the operators in it that exist for the CPU only.
        calibrated: whether the calibration images decided anything.
        twin: the same integer weights in ONNX's own recurrent operators, as floats, with the same names; `None` where
            the model is no stack of recurrent layers.
    """

    model: ModelProto
    cpu_only: tuple[str, ...] = ()
    calibrated: bool = False
    twin: ModelProto | None = None


def per_row(array: NDArray[Any], bits: Bits) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Integers and scales of the rows (last axis), symmetric: value * scale is the row again.

    Args:
        array: floating point (..., columns).
        bits: 8, or 7 for products that must be exact on every processor.

    Returns:
        int8 of the same shape, and float32 (..., 1), above 0.
    """
    limit = LARGEST[bits]
    largest = np.abs(array).max(axis=-1, keepdims=True)
    scale = (np.where(largest > 0, largest, 1) / limit).astype(np.float32)
    return np.clip(np.rint(array / scale), -limit, limit).astype(np.int8), scale


def int8_share(model: ModelProto) -> float:
    """The share of the bytes of all weights that are stored as int8, in [0, 1].

    Scales, zero points and shapes are no weights; biases are (stored as int32 or float32).
    """
    int8_bytes = other_bytes = 0
    for weight in model.graph.initializer:
        array = numpy_helper.to_array(weight)
        if array.size <= 1 or weight.name.endswith(("_scale", "_zero_point")) or weight.data_type == TensorProto.INT64:
            continue
        if weight.data_type in (TensorProto.INT8, TensorProto.UINT8):
            int8_bytes += array.nbytes
        else:
            other_bytes += array.nbytes
    return int8_bytes / max(1, int8_bytes + other_bytes)


def copy_of(model: ModelProto) -> ModelProto:
    """A model that can be changed without changing the caller's."""
    copied = onnx.ModelProto()
    copied.CopyFrom(model)
    return copied


def opset(model: ModelProto) -> int:
    """The version of ONNX's own operators."""
    version: int = next(entry.version for entry in model.opset_import if entry.domain == "")
    return version
