"""What is written as C: layers or stages as matrices, int8 or fp32, filled up to whole vectors, their ranges proved.

int8 of recurrent layers are those of `edge_export.int8.recurrent` with 8 bits; the products are exact, so that no
processor needs a seventh bit to spare. A sum of products gets its bias as an integer, stays below 2^24, where every
integer is a float, and becomes Q12 by one float product. The gates pass polynomials of tanh to Q15, the cell of an LSTM
is Q11, a state is Q15 with a copy as byte for the next product, and the head takes the state as it is. The stages of a
convolutional network are those of the `blocks` bundle, in the same arithmetic.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, helper, numpy_helper

from edge.bundle.input import COLUMNS, ROWS
from edge_export.graph.builder import LOGITS
from edge_export.graph.recurrent_graph import RecurrentLayer
from edge_export.int8.convolutional import requantisation
from edge_export.int8.convolutional.network import Convolution
from edge_export.int8.convolutional.network import read as read_chain
from edge_export.int8.quantisation import quantise_rows
from edge_export.int8.recurrent import cells, quantised_layers
from edge_export.targets.registry import DeploymentError

Numbers = NDArray[Any]

HEIGHT = 4  # of a tile: rows that a fast path takes at once
WIDTH = {"int8": 16, "fp32": 8}  # of a vector

EXACT = 1 << 24  # below it float32 holds every integer
LARGEST = (1 << 31) - 1
Q12, ONE, STATE = 1 << 12, 1 << 15, 1 << 5  # a gate before tanh; 1 in Q15; parts of a step of a rectified byte
GATE_LIMIT, PRODUCT_LIMIT, WEIGHED_LIMIT = ONE - 1, 1 << 30, (1 << 16) - 1

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

_ALL = slice(None)
_INNER_HALF = {"LSTM": 3, "GRU": 2, "RNN": 0}  # gates that are logistic: they come first


@dataclass(frozen=True, slots=True, eq=False)
class FilledMatrix:
    """Weights with what follows their products.

    Attributes:
        weights: int8 or float32 (rows, columns), filled up.
        bias: int32 or float32 (rows,).
        scale: float32 (rows,) of int8; `None` of fp32.
        start: where in a layer's row its columns begin.
        limit: what a gate is clipped to, in Q12.
    """

    weights: Numbers
    bias: Numbers
    scale: NDArray[np.float32] | None
    start: int = 0
    limit: int = GATE_LIMIT


@dataclass(frozen=True, slots=True, eq=False)
class Direction:
    """One direction of a recurrent layer.

    Attributes:
        cell: "lstm", "gru", "rnn" or "relu".
        inputs: values that enter.
        hidden: units of the state.
        start: where in its row the state begins.
        backwards: whether it reads the rows from the last to the first.
        matrices: one; of a GRU update and reset, new from the inputs, new from the state; of "relu" two.
        shift: of a GRU in int8: what the gated part of the new state is shifted down by.
    """

    cell: str
    inputs: int
    hidden: int
    start: int
    backwards: bool
    matrices: tuple[FilledMatrix, ...]
    shift: int = 15


@dataclass(frozen=True, slots=True, eq=False)
class StreamedStage:
    """A convolution, or a linear layer as one whose kernel is the whole picture; channels last.

    Attributes:
        matrix: a row for each output, a column for each number of a window.
        kernel: outputs, rows, columns, channels.
        picture: rows, columns and channels of what it reads.
        strides: of rows and columns.
        pads: top, left, bottom, right.
        pool: side of the max pooling.
        limits: of fp32, float32 (2, outputs): lower and upper.
    """

    matrix: FilledMatrix
    kernel: tuple[int, int, int, int]
    picture: tuple[int, int, int]
    strides: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    pool: int = 1
    limits: NDArray[np.float32] | None = None

    @property
    def leaving(self) -> tuple[int, int, int]:
        """Rows, columns and channels of what it gives, after the pooling."""
        sizes = zip(self.picture, self.kernel[1:3], self.strides, self.pads[:2], self.pads[2:], strict=False)
        rows, columns = (
            ((size + one + other - kernel) // stride + 1) // self.pool for size, kernel, stride, one, other in sizes
        )
        return rows, columns, self.kernel[0]


@dataclass(frozen=True, slots=True, eq=False)
class CNetwork:
    """A recurrent network with its head, or a chain of stages.

    Attributes:
        precision: "int8" or "fp32".
        layers: the directions of each layer; empty for a chain.
        head: of a recurrent network.
        stages: of a chain; empty otherwise.
    """

    precision: str
    layers: tuple[tuple[Direction, ...], ...] = ()
    head: FilledMatrix | None = None
    stages: tuple[StreamedStage, ...] = ()


def recurrent(graph: ModelProto, precision: str, images: NDArray[np.uint8]) -> CNetwork | None:
    """The network of a graph that is a stack of recurrent layers with a linear head; `None` for any other.

    Args:
        graph: fp32.
        precision: "int8" or "fp32".
        images: uint8 (N, 28, 28), ink 255 on background 0: training data, for the rounding of int8.

    Raises:
        DeploymentError: a sum may leave the range in which it is exact.
    """
    stack = cells.read(graph)
    head = None if stack is None else _head(graph, stack)
    if stack is None or head is None:
        return None
    if precision == "fp32":
        layers = tuple(
            tuple(_float_layer(layer, direction) for direction in range(layer.directions)) for layer in stack.layers
        )
        return CNetwork(precision, layers, FilledMatrix(head[0].astype(np.float32), head[1].astype(np.float32), None))
    calibrated = quantised_layers.calibrate_stack(graph, images)
    assert calibrated is not None
    quantised = quantised_layers.quantise_layers(calibrated, 8)
    layers = tuple(tuple(_layer(one, direction) for direction in range(one.layer.directions)) for one in quantised)
    unit = 1 / STATE if quantised[-1].layer.relu else 1 / ONE
    weights = head[0] * (1 if calibrated.gain is None else calibrated.gain) * unit
    integers, scale = quantise_rows(weights, 8)
    bias = np.rint(head[1] / scale[:, 0]).astype(np.int64)
    _prove(np.abs(integers.astype(np.int64)).sum(1) * ONE + np.abs(bias), LARGEST, "the head's")
    return CNetwork(precision, layers, FilledMatrix(integers, bias.astype(np.int32), scale[:, 0]))


def chain(graph: ModelProto, precision: str) -> CNetwork:
    """The stages of a convolutional network.

    Args:
        graph: fp32, or the int8 graph that `edge_export.int8.convolutional.blocks` makes of it.
        precision: which of the two.

    Raises:
        UnsuitableError: the graph is no such chain.
        DeploymentError: a sum may leave the range of int32.
    """
    made: list[StreamedStage] = []
    stages = _integer_stages(graph) if precision == "int8" else requantisation.to_stages(read_chain(graph))
    for stage in stages:
        picture = made[-1].leaving if made else (ROWS, COLUMNS, 1)
        made.append(_float_stage(stage, picture) if isinstance(stage, requantisation.Stage) else _stage(stage, picture))
    return CNetwork(precision, stages=tuple(made))


# --- recurrent --------------------------------------------------------------------------------------------------------


def _head(graph: ModelProto, stack: cells.RecurrentStack) -> tuple[Numbers, Numbers] | None:
    """Weights (classes, features) and bias of the linear layer from the features to the logits."""
    arrays = {weight.name: numpy_helper.to_array(weight).astype(np.float64) for weight in graph.graph.initializer}
    weights, bias, name = None, np.zeros(1), stack.features
    for node in stack.rest:
        known = [arrays[operand] for operand in node.input if operand in arrays]
        if name == LOGITS or name not in node.input:
            continue
        attributes = {one.name: helper.get_attribute_value(one) for one in node.attribute}
        if node.op_type in ("Gemm", "MatMul") and weights is None and known and node.input[0] == name:
            weights = known[0] if attributes.pop("transB", 0) else known[0].T
            bias = known[1] if len(known) == 2 else bias
            if set(attributes.values()) - {1} or len(known) != len(node.input) - 1:
                return None
        elif node.op_type == "Add" and weights is not None and len(known) == 1:
            bias = bias + known[0]
        elif node.op_type != "Identity":
            return None
        name = node.output[0]
    if weights is None or name != LOGITS:
        return None
    return weights, np.broadcast_to(bias.reshape(-1), len(weights)).copy()


def _halved(layer: RecurrentLayer) -> Numbers:
    """What rows of gates are multiplied by, so that tanh alone is left: (1 + tanh(x / 2)) / 2 is the logistic."""
    rows = len(layer.input_bias[0])
    return np.where(np.arange(rows) < _INNER_HALF[layer.cell] * layer.hidden, 0.5, 1.0)


def _float_layer(layer: RecurrentLayer, direction: int) -> Direction:
    start = _up(layer.inputs, WIDTH["fp32"]) if layer.cell == "GRU" or layer.relu else layer.inputs
    half = _halved(layer)
    weights = _spread(layer.weights[direction] * half[:, None], layer.inputs, start)

    def matrix(rows: slice, columns: slice, bias: Numbers) -> FilledMatrix:
        filled = _filled(weights[rows, columns].astype(np.float32), "fp32")
        return FilledMatrix(filled, _longer((bias * half)[rows].astype(np.float32), filled), None, columns.start or 0)

    return _direction(layer, direction, start, matrix)


def _layer(one: quantised_layers.QuantisedLayer, direction: int) -> Direction:
    layer = one.layer
    split, hidden = layer.inputs, layer.hidden
    gated = layer.cell == "GRU"
    start = _up(split, WIDTH["int8"]) if gated or layer.relu else split
    weights = _spread(one.weights[direction].T.astype(np.int64), split, start)
    zeros = np.zeros(start + hidden, np.int64)
    zeros[:split], zeros[start:] = one.input.zero_point, one.state.zero_point
    scales = one.input_scale[direction].astype(np.float64), one.state_scale[direction].astype(np.float64)
    unit = (STATE if layer.relu else Q12) * _halved(layer)
    shift = 0
    if gated:
        # Q12 of what the reset gate weighs, or less where that would not fit beside Q15: its state is within 127 steps.
        new, bias = slice(2 * hidden, None), layer.state_bias[direction]
        of_state = np.abs(weights[new, start:]).sum(1) * 127 * scales[1][new] + np.abs(bias[new])
        shift = max(0, int(np.ceil(np.log2((of_state.max() * Q12 + 1) / WEIGHED_LIMIT))))

    def matrix(rows: slice, columns: slice, bias: Numbers) -> FilledMatrix:
        of_state = columns.start is not None
        scale, part = scales[of_state], weights[rows, columns]
        total = np.rint(bias[rows] / scale[rows]).astype(np.int64) - part @ zeros[columns]
        factor = (scale * unit)[rows].astype(np.float32) / np.float32(1 << (shift if of_state else 0))
        reach = np.abs(part).sum(1) * 255 + np.abs(total)
        _prove(reach, EXACT, "a gate's")
        _prove(reach * factor.astype(np.float64), PRODUCT_LIMIT, "a gate's scaled")
        filled = _filled(part.astype(np.int8), "int8")
        limit = GATE_LIMIT if columns == _ALL else WEIGHED_LIMIT if of_state and gated else PRODUCT_LIMIT
        bias, factor = _longer(total.astype(np.int32), filled), _longer(factor, filled)
        return FilledMatrix(filled, bias, factor, columns.start or 0, limit)

    return _direction(layer, direction, start, matrix, 15 - shift)


def _spread(weights: Numbers, split: int, start: int) -> Numbers:
    """The weights with columns of zeros between those of the inputs and those of the state, which begin at `start`."""
    return np.insert(weights, [split] * (start - split), 0, axis=1)


def _direction(
    layer: RecurrentLayer,
    direction: int,
    start: int,
    matrix: Callable[[slice, slice, Numbers], FilledMatrix],
    shift: int = 15,
) -> Direction:
    """A direction in the parts that its cell computes apart; `matrix` makes one of rows, columns and a bias."""
    inputs, state = slice(start), slice(start, None)
    of_inputs, of_state = layer.input_bias[direction], layer.state_bias[direction]
    if layer.cell == "GRU":
        both, new = slice(2 * layer.hidden), slice(2 * layer.hidden, None)
        parts = [matrix(both, _ALL, of_inputs + of_state), matrix(new, inputs, of_inputs), matrix(new, state, of_state)]
    elif start != layer.inputs:
        parts = [matrix(_ALL, inputs, of_inputs + of_state), matrix(_ALL, state, np.zeros_like(of_state))]
    else:
        parts = [matrix(_ALL, _ALL, of_inputs + of_state)]
    cell = "relu" if layer.relu else layer.cell.lower()
    return Direction(cell, layer.inputs, layer.hidden, start, direction == 1, tuple(parts), shift)


# --- convolutional ----------------------------------------------------------------------------------------------------


def _integer_stages(graph: ModelProto) -> list[requantisation.QuantisedStage]:
    """The stages of an integer graph, as `blocks` names them; a linear one has its features in its own order."""
    arrays = {weight.name: numpy_helper.to_array(weight) for weight in graph.graph.initializer}
    nodes = {node.output[0]: node for node in graph.graph.node}
    result: list[requantisation.QuantisedStage] = []
    while f"stage.{(index := len(result))}.weight" in arrays:
        weight, bias, multiplier = (arrays[f"stage.{index}.{part}"] for part in ("weight", "bias", "weight_scale"))
        if weight.ndim == 2:
            result.append(requantisation.QuantisedStage(weight.T, bias, multiplier))
            continue
        product = {one.name: helper.get_attribute_value(one) for one in nodes[f"stage.{index}.product"].attribute}
        rows, columns = (1, 1) if f"stage.{index}.kernel" in nodes else product["strides"]  # of a block
        pooled = nodes.get(f"stage.{index}.output")
        windows = [] if pooled is None else [one.ints[0] for one in pooled.attribute if one.name == "kernel_shape"]
        top, left, bottom, right = product["pads"]
        pool, moves = (windows or [1])[0], ((rows, columns), (top, left, bottom, right))
        result.append(requantisation.QuantisedStage(weight, bias, multiplier, pool, *moves))
    return result


def _stage(one: requantisation.QuantisedStage, picture: tuple[int, int, int]) -> StreamedStage:
    kernel = one.weight.transpose(0, 2, 3, 1) if one.weight.ndim == 4 else one.weight.reshape(-1, *picture)
    flat, bias = kernel.reshape(len(kernel), -1), one.bias
    _prove(np.abs(flat.astype(np.int64)).sum(1) * 256 + np.abs(bias.astype(np.int64)), LARGEST, "a stage's")
    matrix = FilledMatrix(_filled(flat, "int8"), bias, one.multiplier)
    return StreamedStage(matrix, kernel.shape, picture, one.strides, one.pads, one.pool)


def _float_stage(one: requantisation.Stage, picture: tuple[int, int, int]) -> StreamedStage:
    product, (rows, columns, channels) = one.product, picture
    kernel = product.weight.reshape(-1, channels, *product.weight.shape[2:] or (rows, columns)).transpose(0, 2, 3, 1)
    most = np.finfo(np.float32).max
    limits = np.clip(np.stack([one.lower, one.upper]), -most, most).astype(np.float32)
    flat = kernel.reshape(len(kernel), -1).astype(np.float32)
    matrix = FilledMatrix(_filled(flat, "fp32"), product.bias.astype(np.float32), None)
    moves = (product.strides, product.pads) if isinstance(product, Convolution) else ((1, 1), (0, 0, 0, 0))
    return StreamedStage(matrix, kernel.shape, picture, *moves, one.pool, limits)


# --- both -------------------------------------------------------------------------------------------------------------


def _prove(reach: Numbers, limit: int, what: str) -> None:
    """What inputs can make of a sum at most lies within the range in which it is exact."""
    if not reach.max() < limit:
        raise DeploymentError(
            f"{what} sum may reach {reach.max():.3g}, and is exact below {limit:.3g} only: "
            "the model is too large for int8 in C; take --precision fp32"
        )


def _up(number: int, step: int) -> int:
    return -(-number // step) * step


def _filled(matrix: Numbers, precision: str) -> Numbers:
    """The matrix with zeros up to whole tiles."""
    rows, columns = matrix.shape
    return np.pad(matrix, [(0, _up(rows, HEIGHT) - rows), (0, _up(columns, WIDTH[precision]) - columns)])


def _longer(numbers: Numbers, matrix: Numbers) -> Numbers:
    """A number for each row of the filled matrix."""
    return np.pad(numbers, (0, len(matrix) - len(numbers)))
