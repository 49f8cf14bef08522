"""What is written as C: recurrent layers with a head, or stages, as matrices in int8 or fp32, their ranges proved.

int8 of recurrent layers are those of `edge_export.int8.recurrent` with 8 bits; the products are exact, so that no
processor needs a seventh bit to spare. A sum of products gets its bias as an integer, stays within int32, and becomes
Q12 by one float product. The gates pass polynomials of tanh to Q15, the cell of an LSTM is Q11, and a state is a byte
for the next product and for the head; a GRU keeps it in Q15 as well. The stages of a convolutional network are those of
the `blocks` bundle, in the same arithmetic. A byte enters products less 128.
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

LARGEST, SCALED = (1 << 31) - 1, 1 << 29  # a sum, and what is made of it, of which two are int32
Q12, ONE, STATE = 1 << 12, 1 << 15, 1 << 5  # a gate before tanh; 1 in Q15; parts of a step of a rectified byte
TILE, VECTOR, GATES = 4, 64, 16  # rows that are multiplied at once; values of the longest vector; gates in one
NOTHING = np.zeros(1, np.float32)  # there is no empty array in C

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
    """Weights with what follows their products.

    Attributes:
        weights: int8 (rows, columns), filled up with zeros to whole tiles; or float32 (columns, rows).
        bias: int32 or float32 (rows,).
        scale: float32 (rows,) of int8; of a stage in fp32 (2, rows), what it is clipped to; otherwise a 0.
    """

    weights: Numbers
    bias: Numbers
    scale: NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """A direction of a recurrent layer, the head of a recurrent network, or a convolution, linear layers included.

    Attributes:
        matrices: a recurrent one's for each part that its cell needs apart, the state's columns first.
        sizes: the other fields of its struct in the template, by name.
    """

    matrices: tuple[Matrix, ...]
    sizes: dict[str, int]


@dataclass(frozen=True, slots=True, eq=False)
class CNetwork:
    """A recurrent network, or a chain of convolutions and linear layers.

    Attributes:
        precision: "int8" or "fp32".
        cell: "lstm", "gru", "rnn", "relu", or "chain".
        layers: in order; of a recurrent network every direction, then the head.
        sizes: the constants of the template, by name.
    """

    precision: str
    cell: str
    layers: tuple[Layer, ...]
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
    head, *more = (stage.product for stage in to_stages(read(graph, stack.features)))
    if more:
        raise UnsuitableError(f"{1 + len(more)} linear layers follow the recurrent ones, and C takes one")
    last, integers = _floats(head.weight, head.bias), None
    if precision == "int8":
        calibrated = quantised_layers.calibrate_stack(graph, images)
        assert calibrated is not None
        integers = quantised_layers.quantise_layers(calibrated, 8)
        gain, state = 1 if calibrated.gain is None else calibrated.gain, integers[-1].state
        weights, scale = quantise_rows(head.weight * gain * state.scale, 8)
        last = _integers(weights, head.bias / scale[:, 0], scale[:, 0], state.zero_point)
    pairs = [(each.layer, each) for each in integers] if integers else [(layer, None) for layer in stack.layers]
    layers = [*(one for pair in pairs for one in _directions(*pair)), Layer((last,), {})]
    first, hidden = stack.layers[0], max(layer.hidden for layer in stack.layers)
    sizes = {"LAYERS": len(layers) - 1, "DIRECTIONS": first.directions, "MATRICES": len(layers[0].matrices)}
    sizes["MEMORY"] = hidden if first.cell in ("LSTM", "GRU") else 1
    sizes["TOTALS"] = max(sum(len(one.bias) for one in layer.matrices) for layer in layers) + GATES
    sizes["ROW"] = max(first.directions * hidden, *(layer.inputs + hidden for layer in stack.layers)) + VECTOR
    sizes["SEQUENCE"] = 28 * first.directions * hidden if len(stack.layers) > 1 else 1
    return CNetwork(precision, _cell(first).lower(), tuple(layers), sizes)


def _cell(layer: RecurrentLayer) -> str:
    return "ReLU" if layer.relu else layer.cell


def _directions(layer: RecurrentLayer, integers: QuantisedLayer | None) -> list[Layer]:
    """The directions of a layer, in integers where it has them."""
    cell, hidden, made = _cell(layer), layer.hidden, []
    every, inputs, state = slice(None), slice(hidden, None), slice(hidden)
    entering, again, gates, new = layer.input_bias, layer.state_bias, slice(2 * hidden), slice(2 * hidden, None)
    parts = {
        "GRU": [(new, inputs, entering), (new, state, again), (gates, every, entering + again)],
        "ReLU": [(every, inputs, entering), (every, state, again)],
    }.get(cell, [(every, every, entering + again)])
    logistic = {"LSTM": 3 * hidden, "GRU": 2 * hidden}.get(cell, 0)
    half = np.where(np.arange(len(entering[0])) < logistic, 0.5, 1.0)  # inside tanh
    unit = half * (STATE if layer.relu else Q12)
    for direction, whole in enumerate(layer.weights if integers is None else integers.weights.transpose(0, 2, 1)):
        weights, matrices = np.roll(whole, hidden, 1), []  # the state first
        for rows, columns, biases in parts:
            own, bias = weights[rows, columns], biases[direction, rows]
            if integers is None:
                matrices.append(_floats(own * half[rows, None], bias * half[rows]))
                continue
            scale = (integers.state_scale if columns == state else integers.input_scale)[direction, rows]
            zeros = np.repeat([integers.state.zero_point, integers.input.zero_point], [hidden, layer.inputs])[columns]
            exact = scale.astype(np.float64)
            fill = VECTOR if columns == state else 16  # what a vector takes of the inputs behind a state meets zeros
            matrices.append(_integers(own, bias / exact, exact * unit[rows], zeros, fill))
        made.append(Layer(tuple(matrices), {"width": layer.inputs, "hidden": hidden, "backwards": direction}))
    return made


def _floats(weights: Numbers, bias: Numbers, limits: Numbers = NOTHING) -> Matrix:
    return Matrix(weights.T.astype(np.float32), bias.astype(np.float32), limits.astype(np.float32))


def _integers(weights: Numbers, bias: Numbers, scale: Numbers, zeros: Numbers | int, fill: int = 16) -> Matrix:
    """A matrix for bytes less 128 whose range is proved; the bias is in steps, and rows are filled up with zeros."""
    exact = weights.astype(np.int64)
    total = np.rint(bias).astype(np.int64) + (exact * (128 - zeros)).sum(1)
    reach = 128 * np.abs(exact).sum(1) + np.abs(total)
    if not (reach.max() < LARGEST and (reach * scale).max() < SCALED):
        raise DeploymentError(
            f"a sum may reach {reach.max():.3g}, and {(reach * scale).max():.3g} when it is scaled; it has to be below "
            f"{LARGEST:.3g} and {SCALED:.3g}: the model is too large for int8 in C; take --precision fp32"
        )
    tiles = np.pad(weights, [(0, -len(weights) % TILE), (0, -weights.shape[1] % fill)])
    return Matrix(tiles, total.astype(np.int32), scale.astype(np.float32))


def chain(graph: ModelProto, precision: str) -> CNetwork:
    """The stages of a convolutional network.

    Args:
        graph: fp32, or the int8 graph that `edge_export.int8.convolutional.blocks` makes of it.
        precision: which of the two.

    Raises:
        UnsuitableError: the graph is no such chain.
        DeploymentError: a sum may leave its range.
    """
    layers: list[Layer] = []
    rows, columns, channels, lines = ROWS, COLUMNS, 1, 0
    for one in blocks.read_stages(graph) if precision == "int8" else to_stages(read(graph)):
        product = one if isinstance(one, QuantisedStage) else one.product
        kernel, outputs = product.weight, len(product.bias)
        if product is one and kernel.ndim == 2:  # of integers, it has its features in the picture's order
            kernel = kernel.reshape(outputs, rows, columns, channels)
        else:
            kernel = kernel.reshape(outputs, channels, *kernel.shape[2:] or (rows, columns)).transpose(0, 2, 3, 1)
        flat, (height, width) = kernel.reshape(outputs, -1), kernel.shape[1:3]
        if isinstance(one, QuantisedStage):
            matrix = _integers(flat, one.bias, one.multiplier, 0)
        else:
            most = np.finfo(np.float32).max
            matrix = _floats(flat, product.bias, np.clip([one.lower, one.upper], -most, most))
        strides, pads = ((1, 1), (0, 0, 0, 0)) if isinstance(product, Linear) else (product.strides, product.pads)
        top, left, bottom, right = pads
        line, pool = left + columns + right, one.pool
        across = ((line - width) // strides[1] + 1) // pool
        sizes = {"rows": rows, "width": line * channels, "left": left * channels, "top": top, "kernel_rows": height}
        sizes |= {"part": width * channels, "row_stride": strides[0], "step": strides[1] * channels}
        layers.append(Layer((matrix,), sizes | {"pool": pool, "across": across, "lines": lines}))
        lines += height * line * channels
        rows, columns, channels = ((rows + top + bottom - height) // strides[0] + 1) // pool, across, outputs
    sizes = {"LAYERS": len(layers), "MATRICES": 1, "LINES": lines}
    sizes["TOTALS"] = max(len(layer.matrices[0].bias) for layer in layers) + TILE
    sizes["WINDOW"] = max(layer.sizes["kernel_rows"] * layer.sizes["part"] for layer in layers) + VECTOR
    return CNetwork(precision, "chain", tuple(layers), sizes)
