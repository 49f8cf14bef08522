"""Recurrent nodes among any others: read one by one, watched on the calibration images, and turned into integers.

A network whose every state is read (attention, pooling), or that has other layers before or between its recurrent
ones, is no stack that `cells.read` knows. Each of its nodes that computes the equations of `cells` is then a layer by
itself: it takes a sequence, gives a sequence and its last states, and whatever stands around it stays as it is.

What enters it is a byte:

    pixels, only moved           scale 1, zero point 0: nothing is lost
    states of tanh, LSTM, GRU,   scale 1/127, zero point 128, without calibration
    only moved
    anything else                the range that it has in calibration, with 0 in it

Its own state is a byte as in `cells`: bounded, or rectified and scaled unit by unit.
"""

import copy
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from onnx import AttributeProto, ModelProto, NodeProto, ValueInfoProto, numpy_helper

from edge_export.graph.builder import IMAGE
from edge_export.graph.recurrent_graph import GATES, RecurrentLayer
from edge_export.graph.session import open_session
from edge_export.int8 import operators
from edge_export.int8.quantisation import Array, QuantisationParameters
from edge_export.int8.recurrent import cells, quantised_layers
from edge_export.int8.recurrent.quantised_layers import BOUNDED, CALIBRATION_BATCH, FULL, PIXEL

# They move numbers, and change none.
_MOVES = frozenset({"Transpose", "Reshape", "Squeeze", "Unsqueeze", "Flatten", "Slice"})
_LEAST_SCALE = 1e-6  # of what calibration shows to be always 0


@dataclass(frozen=True, slots=True, eq=False)
class RecurrentNode:
    """A recurrent node of a graph.

    Attributes:
        node: as it is.
        layer: what it computes; rectified states are scaled to 255.
        entering: how a byte of what enters stands for a number.
        occurring: for each direction, how inputs and state occur together, as `quantised_layers.moments` gives it.
        unit: what its states must be multiplied by, float64 (D, H); None where they are as they were.
        moves: the nodes between the picture's floats and its input, where nothing else lies between.
    """

    node: NodeProto
    layer: RecurrentLayer
    entering: QuantisationParameters
    occurring: tuple[Array, ...]
    unit: Array | None
    moves: tuple[NodeProto, ...] | None


@dataclass(frozen=True, slots=True, eq=False)
class CalibratedNodes:
    """A model's recurrent nodes, ready to be quantised.

    Attributes:
        rest: the model with int8 weights in its other products; no name in it is one that a layer's own tensors have.
        nodes: those that can be integers, by their place among the nodes of the graph.
    """

    rest: ModelProto
    nodes: dict[int, RecurrentNode]


def calibrate(model: ModelProto, images: NDArray[np.uint8]) -> CalibratedNodes | None:
    """The recurrent nodes of a model with what calibration shows of them; `None` where none can be integers.

    Args:
        model: fp32, as converted; stays as it is.
        images: uint8 (N, 28, 28), ink 255 on background 0: training data.
    """
    if any(one.type == AttributeProto.GRAPH for node in model.graph.node for one in node.attribute):
        return None  # bodies read the tensors around them by their names
    rest = operators.quantise_weights(_with_long_names(model), operators.PRODUCTS)
    arrays = {weight.name: numpy_helper.to_array(weight) for weight in rest.graph.initializer}
    layers: dict[int, RecurrentLayer] = {}
    for place, node in enumerate(rest.graph.node):
        if node.op_type not in GATES:
            continue
        layer = cells.read_layer(node, arrays, name=f"recurrent.{len(layers)}", anywhere=True)
        if layer is not None and not (layer.relu and any(node.input[cells.INITIAL_H :])):
            layers[place] = layer
    if not layers:
        return None
    observed = _observe(rest, layers, images)
    producers = {name: node for node in rest.graph.node for name in node.output}
    bounded = {name for place, layer in layers.items() if not layer.relu for name in rest.graph.node[place].output[:2]}
    return CalibratedNodes(
        rest,
        {
            place: _calibrated(rest.graph.node[place], layer, observed[place], producers, bounded)
            for place, layer in layers.items()
        },
    )


@dataclass(slots=True, eq=False)
class _Observed:
    """What a node sees and says on calibration images, added up."""

    lowest: float
    highest: float
    largest: NDArray[np.float32]  # (D, H), of the states
    products: list[Array]  # of each direction
    rows: int


def _observe(model: ModelProto, layers: dict[int, RecurrentLayer], images: NDArray[np.uint8]) -> dict[int, _Observed]:
    """Runs the images through the graph, a batch at a time, so that no sequence is kept for long."""
    tapped = copy.deepcopy(model)
    named: dict[int, list[str]] = {}
    for place, layer in layers.items():
        node = tapped.graph.node[place]
        node.output[0] = node.output[0] or f"{layer.name}.sequence"
        first = node.input[cells.INITIAL_H] if len(node.input) > cells.INITIAL_H else ""
        named[place] = [name for name in (node.input[0], node.output[0], first) if name]
    known = {weight.name: numpy_helper.to_array(weight) for weight in model.graph.initializer}
    computed = sorted({name for names in named.values() for name in names} - known.keys())
    tapped.graph.output.extend(ValueInfoProto(name=name) for name in computed)
    running = open_session(tapped)
    observed: dict[int, _Observed] = {}
    for start in range(0, len(images), CALIBRATION_BATCH):
        found = known | dict(
            zip(computed, running.run(computed, {IMAGE: images[start : start + CALIBRATION_BATCH]}), strict=True)
        )
        for place, names in named.items():
            _add(observed, place, *(found[name] for name in names), upwards=layers[place].upwards)
    return observed


def _add(
    observed: dict[int, _Observed],
    place: int,
    inputs: NDArray[np.float32],
    states: NDArray[np.float32],
    first: NDArray[np.float32] | None = None,
    *,
    upwards: bool,
) -> None:
    """Adds a batch: inputs (T, N, I), states (T, D, N, H), and those that it begins with (D, N, H).

    `upwards`: whether its one direction reads the rows from the last to the first.
    """
    products = [
        quantised_layers.sum_of_products(
            inputs, states[:, direction], int(upwards or direction), None if first is None else first[direction]
        )
        for direction in range(states.shape[1])
    ]
    rows = inputs.shape[0] * inputs.shape[1]
    lowest, highest, largest = float(inputs.min()), float(inputs.max()), states.max(axis=(0, 2))
    if place not in observed:
        observed[place] = _Observed(lowest, highest, largest, products, rows)
        return
    one = observed[place]
    one.lowest, one.highest = min(one.lowest, lowest), max(one.highest, highest)
    one.largest = np.maximum(one.largest, largest)
    one.products = [before + more for before, more in zip(one.products, products, strict=True)]
    one.rows += rows


def _calibrated(
    node: NodeProto,
    layer: RecurrentLayer,
    observed: _Observed,
    producers: dict[str, NodeProto],
    bounded: set[str],
) -> RecurrentNode:
    moves: list[NodeProto] = []
    origin = node.input[0]
    while origin in producers and producers[origin].op_type in _MOVES:
        moves.insert(0, producers[origin])
        origin = moves[0].input[0]
    source = producers.get(origin)
    of_pixels = source is not None and source.op_type == "Cast" and source.input[0] == IMAGE
    if of_pixels:
        entering = PIXEL
    elif origin in bounded:
        entering = BOUNDED
    else:
        low, high = min(observed.lowest, 0.0), max(observed.highest, 0.0)
        scale = float(np.float32(max((high - low) / FULL, _LEAST_SCALE)))
        entering = QuantisationParameters(scale, round(-low / scale))
    occurring = [products / observed.rows for products in observed.products]
    unit = None
    if layer.relu:
        unit = quantised_layers.rectified_units(observed.largest)
        layer = quantised_layers.scale_states(layer, unit)
        steps = [np.concatenate([np.ones(layer.inputs), one]) for one in unit]
        occurring = [moments / np.outer(step, step) for moments, step in zip(occurring, steps, strict=True)]
    return RecurrentNode(node, layer, entering, tuple(occurring), unit, tuple(moves) if of_pixels else None)


def _with_long_names(model: ModelProto) -> ModelProto:
    """The model with no name that a tensor of a step has, as `x` and `h`, or a constant of the steps, as `one`.

    Names of torch's exporters have dots, slashes or colons in them, unless a person named an output.
    """
    renamed = copy.deepcopy(model)
    graph = renamed.graph
    interface = {value.name for value in (*graph.input, *graph.output)} | {""}

    def long(name: str) -> str:
        return name if name in interface or not name.isidentifier() else f"model.{name}"

    for weight in graph.initializer:
        weight.name = long(weight.name)
    for node in graph.node:
        node.input[:] = map(long, node.input)
        node.output[:] = map(long, node.output)
    return renamed
