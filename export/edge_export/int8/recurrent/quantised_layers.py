"""Recurrent layers in integers: one matrix for inputs and state together, which every form of the layer shares.

1. The calibration images run through the fp32 graph, and every state is kept (`observe`).
2. Rectified units are scaled to 255 (`equalise_states`).
3. The weights are rounded so that the errors make up for each other over what was observed (`quantise_layers`).

The equations are in `cells`, those of rounding in `edge_export.int8.quantisation`.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, ValueInfoProto

from edge_export.graph.builder import IMAGE
from edge_export.graph.recurrent_graph import RecurrentLayer
from edge_export.graph.session import open_session
from edge_export.int8 import operators
from edge_export.int8.quantisation import (
    LARGEST,
    Array,
    Bits,
    QuantisationParameters,
    compensate_rounding,
    quantise_rows,
)
from edge_export.int8.recurrent import cells
from edge_export.int8.recurrent.cells import RecurrentStack

CALIBRATION_BATCH = 100
FULL = 255
# Where one scale serves a whole layer, letting its largest weights saturate rounds all others more finely, and what the
# largest lose goes into others. These shares of the largest are tried, and the one with the least error is taken: for
# the shipped LSTMs, with 7 bits, mean errors of the logits of 0.034 at 1 become 0.030, and 0.033 become 0.025.
SHARES = (1.0, 0.85, 0.7, 0.55)
# A unit that calibration hardly wakes is scaled as if it reached this share of the layer's largest value.
QUIET = 1e-3

PIXEL = QuantisationParameters(1.0, 0)  # the graph's weights are per pixel value already
BOUNDED = QuantisationParameters(1 / 127, 128)
RECTIFIED = QuantisationParameters(1.0, 0)


@dataclass(frozen=True, slots=True, eq=False)
class ObservedStates:
    """What layers see and say on calibration images.

    Attributes:
        images: uint8 (N, 28, 28).
        sequences: for each layer the states after each row, float32 (28, D, N, H).
    """

    images: NDArray[np.uint8]
    sequences: tuple[NDArray[np.float32], ...]


@dataclass(frozen=True, slots=True, eq=False)
class CalibratedStack:
    """The recurrent layers of a model that is a stack of them, ready to be quantised.

    Attributes:
        stack: the layers, rectified states scaled to 255.
        observed: the states on calibration images.
        gain: what the features must be multiplied by, float64 (features,); `None` where they are as they were.
        rest: the model with int8 weights in what follows the layers.
    """

    stack: RecurrentStack
    observed: ObservedStates
    gain: Array | None
    rest: ModelProto


@dataclass(frozen=True, slots=True, eq=False)
class QuantisedLayer:
    """A layer with integer weights. K = I + H rows, first those of the inputs.

    A weight is `weights * scale / parameters.scale` of its row. Where the two scales are the same, one product serves
    both parts.

    Attributes:
        layer: as it was.
        weights: int8 (D, K, G * H).
        input_scale: float32 (D, G * H), of the rows of the inputs; (D,) where one serves the layer.
        state_scale: the same, of the rows of the state.
        input: how a byte of what enters stands for a number.
        state: how a byte of its own state does.
    """

    layer: RecurrentLayer
    weights: NDArray[np.int8]
    input_scale: NDArray[np.float32]
    state_scale: NDArray[np.float32]
    input: QuantisationParameters
    state: QuantisationParameters

    @property
    def joint(self) -> bool:
        """Whether inputs and state share their scales."""
        return self.input_scale is self.state_scale

    @property
    def per_row(self) -> bool:
        """Whether each gate row has a scale of its own."""
        return self.input_scale.ndim == 2

    def offsets(self) -> tuple[Array, Array]:
        """What the zero points add to each product, float64 (D, G * H): through the inputs, and through the state."""
        split = self.layer.inputs
        rows = [self.weights[:, :split].sum(1), self.weights[:, split:].sum(1)]
        scales = [scale if self.per_row else scale[:, None] for scale in (self.input_scale, self.state_scale)]
        return rows[0] * self.input.zero_point * scales[0], rows[1] * self.state.zero_point * scales[1]


def calibrate_stack(model: ModelProto, images: NDArray[np.uint8]) -> CalibratedStack | None:
    """The recurrent layers of a model with what calibration shows of them; `None` where it is no stack of layers.

    Args:
        model: fp32, as converted; stays as it is.
        images: uint8 (N, 28, 28), ink 255 on background 0: training data.
    """
    rest = operators.quantise_weights(model, operators.PRODUCTS)
    if (found := cells.read(rest)) is None:
        return None
    return CalibratedStack(*equalise_states(found, observe(model, found, images)), rest)


def observe(model: ModelProto, stack: RecurrentStack, images: NDArray[np.uint8]) -> ObservedStates:
    """Runs the images through the fp32 graph and keeps every state.

    Args:
        model: fp32, with the stack in it.
        stack: its layers.
        images: uint8 (N, 28, 28), ink 255 on background 0: training data.
    """
    names = [layer.sequence for layer in stack.layers]
    tapped = copy.deepcopy(model)
    tapped.graph.output.extend(ValueInfoProto(name=name) for name in names)
    running = open_session(tapped)
    batches = [
        running.run(names, {IMAGE: images[start : start + CALIBRATION_BATCH]})
        for start in range(0, len(images), CALIBRATION_BATCH)
    ]
    return ObservedStates(images, tuple(np.concatenate(parts, axis=2) for parts in zip(*batches, strict=True)))


def equalise_states(
    stack: RecurrentStack, observed: ObservedStates
) -> tuple[RecurrentStack, ObservedStates, Array | None]:
    """The stack with every rectified unit scaled so that its largest value in calibration is 255.

    A state that relu leaves unbounded has no natural scale, and its units differ in size by an order of magnitude. relu
    commutes with a positive factor, so a unit may be scaled where it is written, and scaled back where it is read: by
    the layer itself at the next step, by the next layer, and by what follows the last one. In fp32 nothing changes.

    Args:
        stack: the layers.
        observed: their states.

    Returns:
        The stack, its states, and what its features must be multiplied by: float64 (directions * hidden,), or `None`
        where they are as they were.
    """
    layers, sequences = [], []
    entering: Array | None = None
    for layer, sequence in zip(stack.layers, observed.sequences, strict=True):
        weights = layer.weights.copy()
        if entering is not None:
            weights[..., : layer.inputs] *= entering
        if not layer.relu:
            layers.append(replace(layer, weights=weights))
            sequences.append(sequence)
            entering = None
            continue
        unit = rectified_units(sequence.max(axis=(0, 2)))
        layers.append(scale_states(replace(layer, weights=weights), unit))
        sequences.append((sequence / unit[:, None, :]).astype(np.float32))
        entering = unit.reshape(-1)
    return replace(stack, layers=tuple(layers)), replace(observed, sequences=tuple(sequences)), entering


def rectified_units(largest: NDArray[np.floating[Any]]) -> Array:
    """What a step of each rectified unit stands for, float64 (D, H), by its largest value in calibration."""
    largest = largest.astype(np.float64)
    return np.asarray(np.maximum(largest, max(QUIET * largest.max(), 1e-6)) / FULL)


def scale_states(layer: RecurrentLayer, unit: Array) -> RecurrentLayer:
    """The rectified layer whose states are those of `layer` divided by `unit`, float64 (D, H)."""
    weights = layer.weights.copy()
    weights[..., layer.inputs :] *= unit[:, None, :]
    return replace(
        layer,
        weights=weights / unit[..., None],  # an RNN has one gate: its rows are its units
        input_bias=layer.input_bias / unit,
        state_bias=layer.state_bias / unit,
        sequence=f"{layer.sequence}.equalised",  # no longer what PyTorch computes there
    )


def moments(observed: ObservedStates, position: int, direction: int) -> Array:
    """How inputs and state of a layer occur together: the mean of a a^T over all rows a = (inputs, state before).

    Args:
        observed: states of the stack.
        position: of the layer.
        direction: 0 reads the rows downwards, 1 upwards.

    Returns:
        float64 (I + H, I + H).
    """
    if position == 0:
        inputs = observed.images.transpose(1, 0, 2).astype(np.float32)  # (28, N, I)
    else:
        below = observed.sequences[position - 1]
        inputs = np.concatenate(list(below.transpose(1, 0, 2, 3)), axis=2)
    states = observed.sequences[position][:, direction]
    return sum_of_products(inputs, states, direction) / (len(inputs) * len(observed.images))


def sum_of_products(
    inputs: NDArray[np.float32], states: NDArray[np.float32], direction: int, first: NDArray[np.float32] | None = None
) -> Array:
    """The sum of a a^T over all rows a = (inputs, state before) of a direction of a layer, float64 (I + H, I + H).

    Args:
        inputs: float32 (T, N, I).
        states: float32 (T, N, H), after each row.
        direction: 0 reads the rows downwards, 1 upwards.
        first: the states that it begins with, float32 (N, H); None is zeros.
    """
    before = np.zeros_like(states)
    if direction == 0:
        before[1:] = states[:-1]
    else:
        before[:-1] = states[1:]
    if first is not None:
        before[-direction] = first
    size = inputs.shape[2] + states.shape[2]
    total = np.zeros((size, size))
    for row, state in zip(inputs, before, strict=True):
        both = np.concatenate([row, state], axis=1).astype(np.float64)
        total += both.T @ both
    return total


def quantise_layers(calibrated: CalibratedStack, bits: Bits, *, per_row: bool = True) -> tuple[QuantisedLayer, ...]:
    """Every layer in integers.

    Args:
        calibrated: the layers, and what they see and say.
        bits: of the weights.
        per_row: whether each gate row has a scale of its own, or one serves the layer: a little less precise, and 15 %
            of the time of `DynamicQuantizeLSTM` for a single picture.
    """
    quantised: list[QuantisedLayer] = []
    entering = PIXEL
    for position, layer in enumerate(calibrated.stack.layers):
        occurring = [moments(calibrated.observed, position, direction) for direction in range(layer.directions)]
        quantised.append(quantise_layer(layer, occurring, entering, bits, per_row=per_row))
        entering = quantised[-1].state
    return tuple(quantised)


def quantise_layer(
    layer: RecurrentLayer,
    occurring: Sequence[Array],
    entering: QuantisationParameters,
    bits: Bits,
    *,
    per_row: bool = True,
) -> QuantisedLayer:
    """A layer in integers.

    Args:
        layer: rectified states scaled to 255.
        occurring: for each direction, what `moments` gives.
        entering: how a byte of what enters stands for a number.
        bits: of the weights.
        per_row: as for `quantise_layers`.
    """
    state = RECTIFIED if layer.relu else BOUNDED
    steps = np.repeat([entering.scale, state.scale], [layer.inputs, layer.hidden])
    values, of_inputs, of_state = [], [], []
    for weights, moment in zip(layer.weights * steps, occurring, strict=True):  # (G * H, K)
        of_bytes = moment / np.outer(steps, steps)
        if layer.relu:
            # The state's values are as large as pixels but mostly far below their largest: its weights would take
            # nearly all integers of a scale that both share.
            scales = [quantise_rows(part, bits)[1] for part in np.split(weights, [layer.inputs], axis=1)]
        elif per_row:
            scales = [quantise_rows(weights, bits)[1]] * 2
        else:
            scales = [_best_scale(weights, of_bytes, bits)] * 2
        by_column = np.repeat(np.concatenate(scales, axis=1), [layer.inputs, layer.hidden], axis=1)
        values.append(compensate_rounding(weights, by_column.astype(np.float64), of_bytes, bits).T)
        of_inputs.append(scales[0])
        of_state.append(scales[1])
    input_scale = _of_directions(of_inputs)
    state_scale = _of_directions(of_state) if layer.relu else input_scale
    return QuantisedLayer(layer, np.stack(values), input_scale, state_scale, entering, state)


def _best_scale(weights: Array, moments: Array, bits: Bits) -> NDArray[np.float32]:
    """The scale for all rows whose integers have products closest to those of the weights, float32 (1, 1)."""
    largest = float(np.abs(weights).max()) or 1.0

    def error(scale: NDArray[np.float32]) -> float:
        integers = compensate_rounding(weights, scale.astype(np.float64), moments, bits)
        left = weights - integers * scale
        return float(((left @ moments) * left).sum())

    return min((np.full((1, 1), share * largest / LARGEST[bits], np.float32) for share in SHARES), key=error)


def _of_directions(scales: list[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Scales (rows, 1) of each direction as float32 (D, G * H), or (D,) where there is one for all rows."""
    stacked = np.stack(scales)[..., 0]
    return stacked[:, 0] if stacked.shape[1] == 1 else stacked
