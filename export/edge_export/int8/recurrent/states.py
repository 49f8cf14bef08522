"""The states of recurrent layers on calibration images: their ranges, and how they occur together."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, ValueInfoProto

from edge_export.graph.builder import IMAGE
from edge_export.graph.session import open_session
from edge_export.int8.recurrent.layers import Array, Stack
from edge_export.int8.rounding import copy_of

CALIBRATION_BATCH = 100
FULL = 255
# A unit that calibration hardly wakes is scaled as if it reached this share of the layer's largest value.
QUIET = 1e-3


@dataclass(frozen=True, slots=True, eq=False)
class Observed:
    """What layers see and say on calibration images.

    Attributes:
        images: uint8 (N, 28, 28).
        sequences: for each layer the states after each row, float32 (28, D, N, H).
    """

    images: NDArray[np.uint8]
    sequences: tuple[NDArray[np.float32], ...]


def observe(model: ModelProto, stack: Stack, images: NDArray[np.uint8]) -> Observed:
    """Runs the images through the fp32 graph and keeps every state.

    Args:
        model: fp32, with the stack in it.
        stack: its layers.
        images: uint8 (N, 28, 28), ink 255 on background 0: training data.
    """
    names = [layer.sequence for layer in stack.layers]
    tapped = copy_of(model)
    tapped.graph.output.extend(ValueInfoProto(name=name) for name in names)
    running = open_session(tapped)
    batches = [
        running.run(names, {IMAGE: images[start : start + CALIBRATION_BATCH]})
        for start in range(0, len(images), CALIBRATION_BATCH)
    ]
    return Observed(images, tuple(np.concatenate(parts, axis=2) for parts in zip(*batches, strict=True)))


def equalise_states(stack: Stack, observed: Observed) -> tuple[Stack, Observed, Array | None]:
    """The stack with every rectified unit scaled so that its largest value in calibration is 255.

    A state that relu leaves unbounded has no natural step, and its units differ in size by an order of magnitude. relu
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
        largest = sequence.max(axis=(0, 2)).astype(np.float64)  # (D, H)
        unit = np.maximum(largest, max(QUIET * largest.max(), 1e-6)) / FULL
        gates = unit[..., None]  # an RNN has one gate: its rows are its units
        weights[..., layer.inputs :] *= unit[:, None, :]
        layers.append(
            replace(
                layer,
                weights=weights / gates,
                input_bias=layer.input_bias / unit,
                state_bias=layer.state_bias / unit,
                sequence=f"{layer.sequence}.equalised",  # no longer what PyTorch computes there
            )
        )
        sequences.append((sequence / unit[:, None, :]).astype(np.float32))
        entering = unit.reshape(-1)
    return replace(stack, layers=tuple(layers)), replace(observed, sequences=tuple(sequences)), entering


def moments(observed: Observed, position: int, direction: int) -> Array:
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
    states = observed.sequences[position][:, direction]  # (28, N, H)
    before = np.zeros_like(states)
    if direction == 0:
        before[1:] = states[:-1]
    else:
        before[:-1] = states[1:]
    size = inputs.shape[2] + states.shape[2]
    total = np.zeros((size, size))
    for row, state in zip(inputs, before, strict=True):
        both = np.concatenate([row, state], axis=1).astype(np.float64)
        total += both.T @ both
    return total / (len(inputs) * len(observed.images))
