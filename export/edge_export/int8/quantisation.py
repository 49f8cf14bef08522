"""The arithmetic of int8, and weights as integers. Everything else in this room is about where these equations stand.

**Affine quantisation** stands for a real number x by an integer q:

    q = clip(round(x / scale) + zero_point, lowest, highest)            x ~ scale * (q - zero_point)

Weights are symmetric, zero_point 0, with a scale for each row w_o of the matrix, which is an output channel:

    w_ok ~ scale_o * q_ok          q in [-127, 127], or in [-63, 63] where 7 bits are asked for

Activations are unsigned bytes, a_k ~ scale_a * (b_k - zero_a). The product of the two is then a sum of integers, which
is exact in int32, and a correction that is known beforehand and goes into the bias:

    y_o = sum_k w_ok a_k + bias_o ~ scale_o * scale_a * (sum_k q_ok b_k - zero_a * sum_k q_ok) + bias_o

**Requantisation** takes that sum to the byte which the next layer reads, with one multiplier for each channel. Where
the zero point of the result is 0, the clip is a ReLU that costs nothing:

    b_o = clip(round(multiplier_o * sum_o) + zero_y, 0, 255)            multiplier_o = scale_o * scale_a / scale_y

**Compensated rounding.** A row of weights w meets inputs a, and what matters is (w - scale q) . a over the inputs that
really occur, not w - scale q. So the columns are rounded one after the other, and what is lost in one is put into those
that are still to come, as far as their inputs go together. With H the mean of a a^T, and U the upper triangular factor
of its inverse, H^-1 = U^T U, for k = 0, 1, ...:

    q_k = clip(round(w_k / scale))          w_j <- w_j - (w_k - scale q_k) / U_kk * U_kj          for every j > k

Neighbouring pixels and the units of a state go together closely: 7 bits rounded this way are closer to PyTorch than 8
bits rounded each by itself.

Sources: Jacob et al., 2018, Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only
Inference. Frantar, Ashkboos, Hoefler and Alistarh, 2023, GPTQ: Accurate Post-Training Quantization for Generative
Pre-trained Transformers; here with the columns in order of falling activation, and each row's scale from its largest
weight.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, numpy_helper

from edge.errors import EdgeError

Array = NDArray[np.float64]
Bits = Literal[7, 8]

# The largest integer of each width. With 7 bits the sum of two products of a uint8 and a weight, 2 * 255 * 63 = 32130,
# stays below 2**15: x86 processors without VNNI add such pairs in 16 bits and saturate (onnxruntime#5849, #6004).
LARGEST: dict[Bits, int] = {7: 63, 8: 127}

# Added to the diagonal of the moments, as a share of its mean: inputs that never occur would make them singular.
DAMPING = 0.01


class QuantisationError(EdgeError):
    """A model has nothing that can be quantised honestly."""


@dataclass(frozen=True, slots=True)
class QuantisationParameters:
    """How a byte stands for a real number: scale * (byte - zero_point)."""

    scale: float
    zero_point: int


@dataclass(frozen=True, slots=True)
class QuantisedModel:
    """An int8 model, and what decides where it runs.

    Attributes:
        model: the graph.
        cpu_only: the operators in it that exist for the CPU only.
        calibrated: whether the calibration images decided anything.
        dequantised: the same integer weights in ONNX's own recurrent operators, as floats, with the same names; `None`
            where the model is no stack of recurrent layers.
        few_images_vnni: the images from which on the way for many is the faster one on x86 with VNNI; `None` where the
            graph's own limit is right there too.
    """

    model: ModelProto
    cpu_only: tuple[str, ...] = ()
    calibrated: bool = False
    dequantised: ModelProto | None = None
    few_images_vnni: int | None = None


def quantise_rows(array: NDArray[Any], bits: Bits) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Integers and scales of the rows (last axis), symmetric: integer * scale is the row again, within half a step.

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


def compensate_rounding(weights: Array, scale: Array, moments: Array, bits: Bits) -> NDArray[np.int8]:
    """The integers whose products with the inputs are closest to those of the weights.

    Args:
        weights: float64 (rows, K).
        scale: float64, broadcastable to (rows, K): value of one integer step.
        moments: float64 (K, K), mean of a a^T over the inputs a.
        bits: of the integers.

    Returns:
        int8 (rows, K).
    """
    limit = LARGEST[bits]
    order = np.argsort(-np.diag(moments), kind="stable")
    # A column of the weights is a row of these: what is read and written for each lies together in memory.
    left = np.ascontiguousarray(weights.T[order])
    steps = np.ascontiguousarray(np.broadcast_to(scale, weights.shape).T[order])
    mean = np.trace(moments) / len(moments)
    damped = moments[np.ix_(order, order)] + np.eye(len(moments)) * (DAMPING * mean if mean > 0 else 1.0)
    spread = np.linalg.cholesky(np.linalg.inv(damped)).T  # U: row k tells what column k's error asks of later ones
    rounded = np.empty(left.shape, np.int8)
    for column, (values, step) in enumerate(zip(left, steps, strict=True)):
        whole = np.clip(np.rint(values / step), -limit, limit)
        rounded[order[column]] = whole
        error = (values - whole * step) / spread[column, column]
        left[column + 1 :] -= spread[column, column + 1 :, None] * error
    return np.ascontiguousarray(rounded.T)


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
