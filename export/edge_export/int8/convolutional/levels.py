"""From stages in floating point to stages in levels of a byte: how far a level goes in each channel, and the integers.

A stage's output is a byte for each channel, 0 to 255 levels. What a level is worth differs from channel to channel: its
worth goes into the weights that read it, so no scale of an activation is left in the graph, and one multiplier of
each output channel takes a sum of products to levels of the next stage.

The worth of a channel balances the range of its activation against the range of the weights that read it, as
`edge_export.int8.convolutional.equalise` does; an upper limit is given exactly 255 levels, so that the byte saturates
where it lies.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from edge_export.int8.convolutional.chain import Array, Convolution, UnsuitableError
from edge_export.int8.convolutional.equalise import DEAD
from edge_export.int8.convolutional.stages import Stage, by_channel, zero_based

LEVELS = 255
BATCH = 250  # images at once while ranges are measured: activations stay in the cache


@dataclass(frozen=True, slots=True)
class Integers:
    """A stage in integers: levels out = clip(round(multiplier * (weight . levels in + bias)), 0, 255), then pooled.

    `weight`: int8, (outputs, inputs, rows, columns) of a convolution with its `strides` and `pads`, or (outputs,
    features). `bias`: int32 (outputs,). `multiplier`: float32 (outputs,). `pool`: side of the max pooling, 1 is none.
    The last stage gives logits, multiplier * (weight . levels in + bias), in floating point.
    """

    weight: NDArray[np.int8]
    bias: NDArray[np.int32]
    multiplier: NDArray[np.float32]
    pool: int = 1
    strides: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)


def quantise(stages: list[Stage], images: NDArray[np.uint8], weight_bits: int, *, share: float = 1.0) -> list[Integers]:
    """The stages in integers.

    Args:
        stages: of `edge_export.int8.convolutional.stages.form`.
        images: uint8 (N, 28, 28), ink 255 on background 0: training data, for the ranges of activations.
        weight_bits: 7, for sums of two products that stay below 2**15 on every processor, or 8.
        share: how much of a channel's values its range covers: 1 is up to the largest of all images.

    Raises:
        UnsuitableError: a rewriting that is not exact, see `edge_export.int8.convolutional.stages.zero_based`.
    """
    lowest, _ = ranges(stages, images)
    stages = zero_based(stages, lowest)
    _, highest = ranges(stages, images, share=share)
    largest_weight = 2 ** (weight_bits - 1) - 1
    worth = np.ones(1)  # of a level of each input channel: the pixels are levels already
    result = []
    for index, stage in enumerate(stages):
        outputs = len(stage.product.bias)
        scaled = by_channel(stage, len(worth)) * worth.reshape(1, -1, 1)  # (outputs, channels, rest)
        scale = np.maximum(np.abs(scaled).max(axis=(1, 2)), np.finfo(np.float32).tiny) / largest_weight
        weight = np.rint(scaled / scale.reshape(-1, 1, 1)).astype(np.int8).reshape(stage.product.weight.shape)
        limit = np.iinfo(np.int32).max / 2  # a sum of products fits beside it
        bias = np.clip(np.rint(stage.product.bias / scale), -limit, limit).astype(np.int32)
        last = index == len(stages) - 1
        worth = np.ones(outputs) if last else _worth(stage, by_channel(stages[index + 1], outputs), highest[index])
        integers = Integers(weight, bias, (scale / worth).astype(np.float32), stage.pool)
        if isinstance(stage.product, Convolution):
            integers = replace(integers, strides=stage.product.strides, pads=stage.product.pads)
        result.append(integers)
    return result


def ranges(stages: list[Stage], images: NDArray[np.uint8], *, share: float = 1.0) -> tuple[list[Array], list[Array]]:
    """The smallest and the largest value of each channel of each stage but the last."""
    lows: list[list[Array]] = [[] for _ in stages[:-1]]
    highs: list[list[Array]] = [[] for _ in stages[:-1]]
    for start in range(0, len(images), BATCH):
        tensor = torch.from_numpy(images[start : start + BATCH]).float().unsqueeze(1)
        for index, stage in enumerate(stages[:-1]):
            tensor = stage(tensor)
            values = tensor.transpose(0, 1).flatten(1)
            lows[index].append(values.amin(1).double().numpy())
            highs[index].append(_highest(values, share))
    lowest = [np.min(parts, axis=0) for parts in lows]
    return lowest, [np.max(parts, axis=0) if share == 1 else np.mean(parts, axis=0) for parts in highs]


def _highest(values: torch.Tensor, share: float) -> Array:
    if share == 1:
        return np.asarray(values.amax(1).double().numpy())
    position = max(1, round((1 - share) * values.shape[1]))
    return np.asarray(values.topk(position, dim=1).values[:, -1].double().numpy())


def _worth(stage: Stage, reading: Array, highest: Array) -> Array:
    """What a level of each output channel is worth.

    Args:
        stage: with lower limits of zero.
        reading: the weights that read it, (outputs of the reader, channels, rest).
        highest: the largest value of each channel.
    """
    limited = np.isfinite(stage.upper)
    size = np.abs(reading).max(axis=(0, 2))
    size = np.maximum(size, max(DEAD * float(size.max()), np.finfo(float).tiny))
    if not highest.any():
        raise UnsuitableError("a layer gives nothing but zeros for the calibration images")
    highest = np.maximum(highest, DEAD * float(highest.max()))
    factor = np.sqrt(highest / size)
    worth = factor * float((highest / factor).max()) / LEVELS
    worth[limited] = np.maximum(stage.upper[limited], np.finfo(np.float32).tiny) / LEVELS
    return np.asarray(worth, np.float64)
