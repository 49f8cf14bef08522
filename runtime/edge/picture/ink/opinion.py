"""A second opinion of an image: whether it shows a digit at all, from a small network that has seen what does not.

A classifier has ten answers and takes one. This network has an eleventh, no digit, and learned it from letters of many
fonts, vessels, outlines, dials and frames (`benchmarks/opinion_weights.py`). It is the same for every bundle of digits,
so that a classifier keeps its accuracy: what it was trained with does not change.

Three convolutions and two dense layers of 30 000 weights, in numpy: for one image of 28x28 a session would cost more.
"""

from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge.bundle.input import COLUMNS
from edge.picture.luminance import Grey

# Little-endian float16: of each layer its weights, a row for each input, and then its biases.
FILE: Final = Path(__file__).with_suffix(".f16")


class Filters(NamedTuple):
    """A layer that looks at windows.

    Attributes:
        side: of what it reads, pixels.
        channels: of what it reads.
        window: side of a window, pixels.
        step: from a window to the next, pixels.
        outputs: channels of what it gives.
    """

    side: int
    channels: int
    window: int
    step: int
    outputs: int


CONVOLUTIONS: Final = (Filters(COLUMNS, 1, 5, 2, 12), Filters(12, 12, 4, 2, 32), Filters(5, 32, 3, 1, 32))
DENSE: Final = ((288, 48), (48, 11))  # inputs and outputs; the last output is no digit

# What a layer reads of what was before: positions, int64 (windows, inputs); weights, float32 (inputs, outputs); biases.
Layer = tuple[NDArray[np.int64] | None, NDArray[np.float32], NDArray[np.float32]]


def oddness(image: Grey) -> float:
    """How much an image looks like none of the digits.

    Args:
        image: uint8 (28, 28), what the model sees.

    Returns:
        The logarithm of the odds that it shows no digit: below 0 a digit is more likely.
    """
    values = image.reshape(-1) * np.float32(1 / 255)
    *hidden, (_, weights, biases) = _layers()
    for positions, inner, offsets in hidden:
        windows = values if positions is None else values.take(positions)
        values = np.maximum(windows @ inner + offsets, 0).reshape(-1)
    logits = values @ weights + biases
    logits -= logits.max()
    shares = np.exp(logits, dtype=np.float64)
    return float(logits[-1] - np.log(shares[:-1].sum()))


@cache
def _layers() -> tuple[Layer, ...]:
    """The network, read once."""
    numbers, layers, start = np.frombuffer(FILE.read_bytes(), "<f2").astype(np.float32), [], 0
    shapes = [(one.window**2 * one.channels, one.outputs) for one in CONVOLUTIONS]
    positions = [*map(_positions, CONVOLUTIONS), *[None] * len(DENSE)]
    for place, (inputs, outputs) in zip(positions, (*shapes, *DENSE), strict=True):
        middle, end = start + inputs * outputs, start + (inputs + 1) * outputs
        layers.append((place, numbers[start:middle].reshape(inputs, outputs), numbers[middle:end]))
        start = end
    return tuple(layers)


def _positions(layer: Filters) -> NDArray[np.int64]:
    """Where the values of each window lie in what was before, whose channels of a pixel lie together."""
    starts = np.arange(0, layer.side - layer.window + 1, layer.step)
    corners = (starts[:, None] * layer.side + starts).reshape(-1) * layer.channels
    inside = np.arange(layer.window)[:, None] * layer.side * layer.channels + np.arange(layer.window * layer.channels)
    return corners[:, None] + inside.reshape(-1)
