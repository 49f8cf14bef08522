"""What is written as C: recurrent layers with a head, or stages, as matrices in int8 or fp32, their ranges proved.

int8 of recurrent layers are those of `edge_export.int8.recurrent` with 8 bits; the products are exact, so that no
processor needs a seventh bit to spare. A sum of products gets its bias as an integer, stays below 2^24, where every
integer is a float, and becomes Q12 by one float product. The gates pass polynomials of tanh to Q15, the cell of an LSTM
is Q11, a state is Q15 with a copy as byte for the next product, and the head takes the state as it is. The stages of a
convolutional network are those of the `blocks` bundle, in the same arithmetic. A byte enters products less 128.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto

from edge.bundle.input import COLUMNS, ROWS
from edge_export.graph.recurrent_graph import RecurrentLayer
from edge_export.int8.convolutional import blocks
from edge_export.int8.convolutional.network import Linear, UnsuitableError, read
from edge_export.int8.convolutional.requantisation import QuantisedStage, to_stages
from edge_export.int8.quantisation import quantise_rows
from edge_export.int8.recurrent import cells, quantised_layers
from edge_export.int8.recurrent.quantised_layers import QuantisedLayer
from edge_export.targets.registry import DeploymentError

Numbers = NDArray[Any]

EXACT, LARGEST, PRODUCTS = 1 << 24, (1 << 31) - 1, 1 << 29  # below: every integer is a float; int32; two are int32
Q12, ONE, STATE = 1 << 12, 1 << 15, 1 << 5  # a gate before tanh; 1 in Q15; parts of a step of a rectified byte
WEIGHED = (1 << 16) - 1  # what a gate in Q15 may weigh
NOTHING = np.empty(0, np.float32)

# tanh from 0 to 1/2, 1/2 to 1, ..., 15/2 to 8: the factors of a polynomial in Q15, the highest power first. Fitted,
# rounded and changed for as long as the largest error fell: 1.01e-4, and no step of the evaluation leaves 16 bits.
POLYNOMIALS = np.array(
    [
        [-1047, 146, 436, 261, 110, 43, 17, 8, 4, 1, 0, 0, 0, 0, 0, 0],
        [-241, -3273, -2610, -1280, -523, -199, -77, -31, -12, -3, 0, 0, 0, 0, 0, 0],
        [16428, 12940, 6878, 2949, 1153, 432, 162, 61, 22, 7, 2, 1, 0, 0, 0, 0],
        [0, 15141, 24956, 29660, 31589, 32330, 32606, 32708, 32746, 32760, 32765, 32766, 32767, 32767, 32767, 32767],
    ],
    np.int16,
)
# x P(x^2) / Q(x^2) of degrees 9 and 8 is tanh within 4e-7 up to 9: the largest error fitted to be the smallest, by
# weighted least squares.
OVER = (0.99999994, 0.13376692, 0.0034905968, 2.053286e-05, 1.32597835e-08)
UNDER = (1.0, 0.4671, 0.025857598, 0.000327773, 7.735472e-07)
RATIONAL = np.array([*OVER, *UNDER], np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class Matrix:
    """Weights with what follows their products, filled up with zeros to whole tiles.

    Attributes:
        weights: int8 or float32 (rows, columns).
        bias: int32 or float32 (rows,).
        scale: float32 (rows,) of int8; of a stage in fp32 (2, rows), what it is clipped to; empty otherwise.
    """

    weights: Numbers
    bias: Numbers
    scale: NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """A direction of a recurrent layer; or a convolution, or a linear layer as one over the whole picture.

    Attributes:
        matrices: a recurrent one's for each part that its cell needs apart, the last of several for the state alone.
        sizes: the other fields of its struct in the template, by name.
    """

    matrices: tuple[Matrix, ...]
    sizes: dict[str, int]


@dataclass(frozen=True, slots=True, eq=False)
class CNetwork:
    """A recurrent network with its head, or a chain of convolutions and linear layers.

    Attributes:
        precision: "int8" or "fp32".
        cell: "lstm", "gru", "rnn", "relu", or "chain".
        layers: in order; of a recurrent network every direction.
        head: of a recurrent network.
        sizes: the constants of the template, by name.
    """

    precision: str
    cell: str
    layers: tuple[Layer, ...]
    head: Matrix | None
    sizes: dict[str, int]


def recurrent(graph: ModelProto, precision: str, images: NDArray[np.uint8]) -> CNetwork | None:
    """The network of a graph that is a stack of recurrent layers with a linear head; `None` for any other.

    Args:
        graph: fp32.
        precision: "int8" or "fp32".
        images: uint8 (N, 28, 28), ink 255 on background 0: training data, for the rounding of int8.

    Raises:
        UnsuitableError: more than a linear layer follows.
        DeploymentError: a sum may leave the range in which it is exact.
    """
    if (stack := cells.read(graph)) is None:
        return None
    after, *more = to_stages(read(graph, stack.features))
    if more:
        raise UnsuitableError(f"{1 + len(more)} linear layers follow the recurrent ones, and C takes one")
    weights: Numbers = after.product.weight
    bias: Numbers = after.product.bias
    if precision == "fp32":
        layers = [one for layer in stack.layers for one in _directions(layer, None)]
        head = Matrix(weights.astype(np.float32), bias.astype(np.float32), NOTHING)
    else:
        calibrated = quantised_layers.calibrate_stack(graph, images)
        assert calibrated is not None
        quantised = quantised_layers.quantise_layers(calibrated, 8)
        layers = [one for each in quantised for one in _directions(each.layer, each)]
        unit = 1 / STATE if quantised[-1].layer.relu else 1 / ONE
        weights, scale = quantise_rows(weights * (1 if calibrated.gain is None else calibrated.gain) * unit, 8)
        bias = np.rint(bias / scale[:, 0]).astype(np.int64)
        _prove(np.abs(weights.astype(np.int64)).sum(1) * ONE + np.abs(bias), LARGEST, "the head's")
        head = Matrix(weights, bias.astype(np.int32), scale[:, 0])
    directions, first = stack.layers[0].directions, stack.layers[0]
    hidden, cell = max(layer.hidden for layer in stack.layers), "relu" if first.relu else first.cell.lower()
    sizes = {"LAYERS": len(layers), "DIRECTIONS": directions, "MATRICES": len(layers[0].matrices)}
    sizes["TOTALS"] = max(sum(len(matrix.bias) for matrix in layer.matrices) for layer in layers)
    sizes["ROW"] = max(layer.sizes["start"] + layer.sizes["hidden"] for layer in layers) + 32
    sizes |= {"CELLS": hidden if cell == "lstm" else 1, "STATES": directions * hidden}
    sizes["SEQUENCE"] = 28 * directions * hidden if len(layers) > directions else 1
    return CNetwork(precision, cell, tuple(layers), head, sizes)


def _directions(layer: RecurrentLayer, quantised: QuantisedLayer | None) -> list[Layer]:
    """The directions of a layer, in integers where it has them."""
    hidden, gated, made = layer.hidden, layer.cell == "GRU", []
    # Where products with the state stand apart, those with the inputs end before it, with the longest vector.
    start = -(-layer.inputs // 32) * 32 if gated or layer.relu else layer.inputs
    gates = np.arange(len(layer.input_bias[0])) // hidden
    half = np.where(gates < {"LSTM": 3, "GRU": 2, "RNN": 0}[layer.cell], 0.5, 1.0)  # inside tanh, of logistic gates
    every, inputs, state, new = slice(None), slice(start), slice(start, None), slice(2 * hidden, None)
    for direction in range(layer.directions):
        weights = layer.weights[direction] * half[:, None] if quantised is None else quantised.weights[direction].T
        weights = np.insert(weights, [layer.inputs] * (start - layer.inputs), 0, axis=1)
        of_inputs, of_state = layer.input_bias[direction], layer.state_bias[direction]
        parts = [(every, every, of_inputs + of_state)]
        if gated:
            parts = [(slice(2 * hidden), *parts[0][1:]), (new, inputs, of_inputs), (new, state, of_state)]
        elif layer.relu:
            parts = [(every, inputs, of_inputs + of_state), (every, state, 0 * of_state)]
        matrices, shift = [], 0
        for rows, columns, bias in parts:
            part = weights[rows, columns]
            if quantised is None:
                matrices.append(_filled(part.astype(np.float32), (bias * half)[rows].astype(np.float32), NOTHING))
                continue
            part, scales = part.astype(np.int64), quantised.state_scale if columns == state else quantised.input_scale
            scale, unit = scales[direction][rows].astype(np.float64), ((STATE if layer.relu else Q12) * half)[rows]
            zeros = np.repeat([quantised.input.zero_point, quantised.state.zero_point], [start, hidden])[columns]
            total = np.rint(bias[rows] / scale).astype(np.int64) + part @ (128 - zeros)
            size = np.abs(part).sum(1)
            reach = size * 128 + np.abs(total)
            if gated and columns == state:  # bytes of 127 at most; Q12, or less where what a gate weighs would not fit
                shift = max(0, int(np.ceil(np.log2((((reach - size) * scale * unit).max() + 1) / WEIGHED))))
            factor = (scale * unit).astype(np.float32) / np.float32(1 << shift)
            _prove(reach, EXACT, "a gate's")
            _prove(reach * factor.astype(np.float64), PRODUCTS, "a gate's scaled")
            matrices.append(_filled(part.astype(np.int8), total.astype(np.int32), factor))
        sizes = {"inputs": layer.inputs, "hidden": hidden, "start": start, "backwards": direction, "shift": 15 - shift}
        made.append(Layer(tuple(matrices), sizes))
    return made


def chain(graph: ModelProto, precision: str) -> CNetwork:
    """The stages of a convolutional network.

    Args:
        graph: fp32, or the int8 graph that `edge_export.int8.convolutional.blocks` makes of it.
        precision: which of the two.

    Raises:
        UnsuitableError: the graph is no such chain.
        DeploymentError: a sum may leave the range of int32.
    """
    layers: list[Layer] = []
    rows, columns, channels, lines = ROWS, COLUMNS, 1, 0
    for one in blocks.read_stages(graph) if precision == "int8" else to_stages(read(graph)):
        product = one if isinstance(one, QuantisedStage) else one.product
        kernel, outputs = product.weight, len(product.bias)
        if product is one and kernel.ndim == 2:  # of integers, it has its features in the picture's order
            kernel = kernel.reshape(outputs, rows, columns, channels).transpose(0, 3, 1, 2)
        kernel = kernel.reshape(outputs, channels, *kernel.shape[2:] or (rows, columns)).transpose(0, 2, 3, 1)
        flat, (height, width) = kernel.reshape(outputs, -1), kernel.shape[1:3]
        if isinstance(one, QuantisedStage):
            bias = one.bias + 128 * flat.astype(np.int64).sum(1)
            _prove(np.abs(flat.astype(np.int64)).sum(1) * 128 + np.abs(bias), LARGEST, "a stage's")
            matrix = _filled(flat, bias.astype(np.int32), one.multiplier)
        else:
            most = np.finfo(np.float32).max
            limits = np.clip([one.lower, one.upper], -most, most).astype(np.float32)
            matrix = _filled(flat.astype(np.float32), product.bias.astype(np.float32), limits)
        strides, pads = ((1, 1), (0, 0, 0, 0)) if isinstance(product, Linear) else (product.strides, product.pads)
        sizes = {"rows": rows, "columns": columns, "channels": channels, "outputs": outputs, "lines": lines}
        sizes |= {"kernel_rows": height, "kernel_columns": width, "row_stride": strides[0], "column_stride": strides[1]}
        sizes |= {"top": pads[0], "left": pads[1], "bottom": pads[2], "right": pads[3], "pool": one.pool}
        layers.append(Layer((matrix,), sizes))
        lines += height * (columns + pads[1] + pads[3]) * channels
        rows = ((rows + pads[0] + pads[2] - height) // strides[0] + 1) // one.pool
        columns = ((columns + pads[1] + pads[3] - width) // strides[1] + 1) // one.pool
        channels = outputs
    sizes = {"LAYERS": len(layers), "MATRICES": 1, "LINES": lines}
    sizes["TOTALS"] = max(len(layer.matrices[0].bias) for layer in layers)
    sizes["ROW"] = max(layer.matrices[0].weights.shape[1] for layer in layers) + 16
    return CNetwork(precision, "chain", tuple(layers), None, sizes)


def _prove(reach: Numbers, limit: int, what: str) -> None:
    """What inputs can make of a sum at most lies within the range in which it is exact."""
    if not reach.max() < limit:
        raise DeploymentError(
            f"{what} sum may reach {reach.max():.3g}, and is exact below {limit:.3g} only: "
            "the model is too large for int8 in C; take --precision fp32"
        )


def _filled(weights: Numbers, bias: Numbers, scale: NDArray[np.float32]) -> Matrix:
    """A matrix with zeros up to whole tiles of four rows and half a vector."""
    more, width = -len(weights) % 4, 16 if weights.dtype == np.int8 else 8
    scale = np.pad(scale, [(0, 0)] * (scale.ndim - 1) + [(0, more if scale.size else 0)])
    return Matrix(np.pad(weights, [(0, more), (0, -weights.shape[1] % width)]), np.pad(bias, (0, more)), scale)
