"""A recurrent layer in integers: one matrix for inputs and state together, which every form of the layer shares.

Between two steps the state is a uint8. A state that tanh bounds, or that a GRU or LSTM keeps in (-1, 1), has the step
1/127 around 128, without calibration; a rectified one was scaled to 255 (`states`). A pixel is a uint8 already. So
a step is a product of the row (inputs, state) with an int8 matrix: the units of the row are folded into the matrix
before it is rounded, and what the offset of 128 adds goes into the bias.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_export.graph.builder import GraphBuilder
from edge_export.int8.recurrent.compensated import compensated
from edge_export.int8.recurrent.layers import Array, Layer, Stack
from edge_export.int8.recurrent.states import Observed, moments
from edge_export.int8.rounding import Bits, per_row


@dataclass(frozen=True, slots=True)
class Unit:
    """How a uint8 stands for a number: (value - zero) * step."""

    step: float
    zero: int


PIXEL = Unit(1.0, 0)  # the graph's weights are per pixel value already
BOUNDED = Unit(1 / 127, 128)
RECTIFIED = Unit(1.0, 0)


@dataclass(frozen=True, slots=True, eq=False)
class Rounded:
    """A layer with integer weights. K = I + H rows, first those of the inputs.

    A weight is `weights * scale / step` of its row. Where the two scales are the same, one product serves both parts.

    Attributes:
        layer: as it was.
        weights: int8 (D, K, G * H).
        input_scale: float32 (D, G * H), of the rows of the inputs.
        state_scale: float32 (D, G * H), of the rows of the state.
        input: unit of what enters.
        state: unit of its own state.
    """

    layer: Layer
    weights: NDArray[np.int8]
    input_scale: NDArray[np.float32]
    state_scale: NDArray[np.float32]
    input: Unit
    state: Unit

    @property
    def joint(self) -> bool:
        """Whether inputs and state share their scales."""
        return self.input_scale is self.state_scale

    def offsets(self) -> tuple[Array, Array]:
        """What the zeros of the uint8 add to each product, float64 (D, G * H): through the inputs, and the state."""
        split = self.layer.inputs
        of_inputs, of_state = self.weights[:, :split].sum(1), self.weights[:, split:].sum(1)
        return of_inputs * self.input.zero * self.input_scale, of_state * self.state.zero * self.state_scale


def round_layers(stack: Stack, observed: Observed, bits: Bits) -> tuple[Rounded, ...]:
    """Every layer in integers.

    Args:
        stack: the layers, rectified ones scaled to 255.
        observed: its states on calibration images.
        bits: of the weights.
    """
    rounded: list[Rounded] = []
    entering = PIXEL
    for position, layer in enumerate(stack.layers):
        state = RECTIFIED if layer.relu else BOUNDED
        steps = np.repeat([entering.step, state.step], [layer.inputs, layer.hidden])
        weights = layer.weights * steps  # (D, G * H, K)
        scales = _scales(layer, weights, bits)
        by_column = np.concatenate(
            [
                np.repeat(scale[..., None], count, 2)
                for scale, count in zip(scales, (layer.inputs, layer.hidden), strict=True)
            ],
            axis=2,
        )
        values = np.stack(
            [
                compensated(
                    weights[direction],
                    by_column[direction].astype(np.float64),
                    moments(observed, position, direction) / np.outer(steps, steps),
                    bits,
                )
                for direction in range(layer.directions)
            ]
        )
        rounded.append(Rounded(layer, np.ascontiguousarray(values.swapaxes(1, 2)), *scales, entering, state))
        entering = state
    return tuple(rounded)


def _scales(layer: Layer, weights: Array, bits: Bits) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The scales of inputs and state, float32 (D, G * H)."""
    if layer.relu:
        # The state's values are as large as pixels but mostly far below their largest: its weights would take nearly
        # all levels of a scale that both share.
        parts = weights[..., : layer.inputs], weights[..., layer.inputs :]
        of_inputs, of_state = (per_row(part, bits)[1][..., 0] for part in parts)
        return of_inputs, of_state
    scale = per_row(weights, bits)[1][..., 0]
    return scale, scale


def store_weights(constants: GraphBuilder, one: Rounded) -> str:
    """Stores the weights, int8 [directions, inputs + hidden, gates * hidden], once for all forms; their name."""
    return constants.weight(f"{one.layer.name}.weights", one.weights)


def store_scales(constants: GraphBuilder, one: Rounded) -> tuple[str, str]:
    """Stores the scales of inputs and state, float32 [directions, gates * hidden], once for all forms; their names."""
    name = one.layer.name
    if one.joint:
        scale = constants.weight(f"{name}.weights_scale", one.input_scale)
        return scale, scale
    return (
        constants.weight(f"{name}.input_scale", one.input_scale),
        constants.weight(f"{name}.state_scale", one.state_scale),
    )
