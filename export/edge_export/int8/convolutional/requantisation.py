"""From layers in floating point to stages in integers: the only arithmetic that is left is sum, multiplier, clip.

1. `to_stages`: layers become stages, product, largest of a window, limits. What is linear after an average pooling, up
   to the logits, becomes one linear layer; affine layers go into the product before or after them. Exactly.
2. `start_at_zero`: lower limits become zero, and go into the biases. Exactly.
3. `quantise_stages`: the scale of each channel, the integers, the multipliers. This rounds.
4. `remove_unused`: channels that nothing can come of are taken out. Exactly.

The equations are in `network`.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edge.bundle.input import COLUMNS, ROWS
from edge_export.int8.convolutional.network import (
    Affine,
    AveragePool,
    Convolution,
    Flatten,
    Layer,
    Linear,
    MaxPool,
    Relu,
    UnsuitableError,
    apply,
)
from edge_export.int8.quantisation import LARGEST, Array, Bits

# A linear tail with more weights than this costs more as one product than its average pooling does.
LARGEST_TAIL = 1 << 16

LARGEST_BYTE = 255
# A channel, or a weight, this much smaller than the largest one is dead: it is not scaled up any further.
DEAD = 1e-4
BATCH = 250  # images at once while ranges are measured: activations stay in the cache

# ONNX Runtime's convolution without copying needs a multiple of four input channels: 96 take 0.75 of the time of 94.
MULTIPLE = 4


@dataclass(frozen=True, slots=True)
class Stage:
    """A stage in floating point, clip(maxpool(product(x)), lower, upper).

    Attributes:
        product: its weights.
        lower: float64 (outputs,), of each channel; may be infinite.
        upper: the same.
        pool: side of the max pooling, 1 is none.
        flat: whether the input is flattened first.
    """

    product: Convolution | Linear
    lower: Array
    upper: Array
    pool: int = 1
    flat: bool = False

    def __call__(self, tensor: Tensor) -> Tensor:
        """The stage in floating point: [batch, channels, rows, columns] or [batch, features] in and out."""
        result = apply(self.product, tensor.flatten(1) if self.flat else tensor)
        if self.pool > 1:
            result = apply(MaxPool(self.pool), result)
        axes = (-1,) + (1,) * (result.ndim - 2)
        lower, upper = (torch.from_numpy(limit).to(result.dtype).reshape(axes) for limit in (self.lower, self.upper))
        return torch.minimum(torch.maximum(result, lower), upper)


@dataclass(frozen=True, slots=True)
class QuantisedStage:
    """A stage in integers: bytes out = clip(round(multiplier * (weight . bytes in + bias)), 0, 255), then pooled.

    The last stage gives logits, multiplier * (weight . bytes in + bias), in floating point.

    Attributes:
        weight: int8, (outputs, inputs, rows, columns) of a convolution, or (outputs, features).
        bias: int32 (outputs,).
        multiplier: float32 (outputs,).
        pool: side of the max pooling, 1 is none.
        strides: of a convolution.
        pads: of a convolution, top, left, bottom, right.
    """

    weight: NDArray[np.int8]
    bias: NDArray[np.int32]
    multiplier: NDArray[np.float32]
    pool: int = 1
    strides: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)


# --- 1: stages --------------------------------------------------------------------------------------------------------


def to_stages(layers: list[Layer]) -> list[Stage]:
    """The chain as stages; in the last one the limits are infinite, and it gives the logits.

    Raises:
        UnsuitableError: a layer stands where it cannot be rewritten exactly.
    """
    layers = _merge_tail(layers)
    stages: list[Stage] = []
    gain, shift = np.ones(1), np.zeros(1)  # of the pixels, until the first product
    flat = False
    for layer in layers:
        if isinstance(layer, Convolution | Linear):
            product = layer if stages else _after_affine(layer, gain, shift)
            outputs = len(product.bias)
            stages.append(Stage(product, np.full(outputs, -np.inf), np.full(outputs, np.inf), flat=flat))
            flat = False
        elif isinstance(layer, Flatten):
            flat = not (stages and isinstance(stages[-1].product, Linear))
        elif not stages:
            if not isinstance(layer, Affine) or layer.gain.size != 1:
                raise UnsuitableError(f"int8 in blocks has no form for {type(layer).__name__} on the raw pixels")
            gain, shift = gain * layer.gain, shift * layer.gain + layer.shift
        else:
            stages[-1] = _extended(stages[-1], layer)
    if not stages or flat or np.isfinite(stages[-1].lower).any() or np.isfinite(stages[-1].upper).any():
        raise UnsuitableError("the last layer is not linear; int8 in blocks needs logits from a product")
    return stages


def _extended(stage: Stage, layer: Layer) -> Stage:
    """The stage with one more layer after it."""
    if isinstance(layer, Relu):
        return replace(stage, lower=np.maximum(stage.lower, 0), upper=np.maximum(stage.upper, 0))
    if isinstance(layer, MaxPool) and stage.pool == 1:
        return replace(stage, pool=layer.side)
    if isinstance(layer, Affine):
        gain, shift = (np.broadcast_to(part, stage.lower.shape) for part in (layer.gain, layer.shift))
        if stage.pool > 1 and (gain < 0).any():
            raise UnsuitableError("a negative scale after a max pooling makes it a min pooling")
        if (gain == 0).any():
            raise UnsuitableError("a channel is scaled by zero")
        ends = stage.lower * gain + shift, stage.upper * gain + shift
        axes = (-1,) + (1,) * (stage.product.weight.ndim - 1)
        product = replace(
            stage.product,
            weight=stage.product.weight * gain.reshape(axes),
            bias=stage.product.bias * gain + shift,
        )
        return replace(stage, product=product, lower=np.minimum(*ends), upper=np.maximum(*ends))
    raise UnsuitableError(f"int8 in blocks has no form for {type(layer).__name__} after a product")


def _after_affine(product: Convolution | Linear, gain: Array, shift: Array) -> Convolution | Linear:
    """The product that takes x where it took gain * x + shift; one gain and one shift for all channels."""
    if isinstance(product, Convolution) and any(product.pads) and shift.any():
        raise UnsuitableError("the pixels are shifted before a padded convolution, whose padding is then no pixel")
    sums = product.weight.reshape(len(product.bias), -1).sum(1)
    return replace(product, weight=product.weight * gain, bias=product.bias + sums * shift)


def _merge_tail(layers: list[Layer]) -> list[Layer]:
    """From the first average pooling, and a 1x1 convolution right before it, to the end: one linear layer."""
    start = next((index for index, layer in enumerate(layers) if isinstance(layer, AveragePool)), None)
    if start is None:
        return layers
    before = layers[start - 1] if start else None
    if isinstance(before, Convolution) and before.weight.shape[2:] == (1, 1):
        start -= 1
    tail = layers[start:]
    if not all(isinstance(layer, Convolution | Linear | Affine | AveragePool | Flatten) for layer in tail):
        raise UnsuitableError("int8 in blocks has no form for an average pooling with more than linear layers after it")
    tensor = torch.zeros(1, 1, ROWS, COLUMNS, dtype=torch.float64)
    for layer in layers[:start]:
        tensor = apply(layer, tensor)
    features = math.prod(tensor.shape[1:])
    outputs = _through(tail, torch.zeros_like(tensor)).shape[1]
    if features * outputs > LARGEST_TAIL:
        raise UnsuitableError(f"the layers from the average pooling on are {features} x {outputs} weights as one")
    responses = torch.cat([torch.zeros(1, features), torch.eye(features)]).to(tensor.dtype)
    responses = _through(tail, responses.reshape(-1, *tensor.shape[1:]))
    table = responses.numpy()  # (1 + features, outputs): the constant, then the answer to each feature
    return [*layers[:start], Flatten(), Linear((table[1:] - table[0]).T.copy(), table[0].copy())]


def _through(layers: list[Layer], values: Tensor) -> Tensor:
    """What layers that end in logits make of tensors (N, ...), float64 (N, outputs)."""
    for layer in layers:
        values = apply(layer, values)
    return values.flatten(1)


# --- 2: limits --------------------------------------------------------------------------------------------------------


def start_at_zero(stages: list[Stage], lowest: list[Array]) -> list[Stage]:
    """The same function with every lower limit at zero.

    Args:
        stages: of `to_stages`.
        lowest: for each stage, what a channel without a lower limit starts at: its smallest value, measured.

    Raises:
        UnsuitableError: the reader is padded, and zero would stand for another number there.
    """
    result = list(stages)
    for index, stage in enumerate(stages[:-1]):
        lower = _start(stage, lowest[index])
        reader = result[index + 1]
        if lower.any() and isinstance(reader.product, Convolution) and any(reader.product.pads):
            raise UnsuitableError("a padded convolution reads a tensor that does not start at zero")
        own = result[index].product
        result[index] = replace(
            stage, product=replace(own, bias=own.bias - lower), lower=np.zeros_like(lower), upper=stage.upper - lower
        )
        weight = _by_channel(reader, len(lower))
        moved = replace(reader.product, bias=reader.product.bias + np.einsum("ock,c->o", weight, lower))
        result[index + 1] = replace(reader, product=moved)
    return result


def _start(stage: Stage, lowest: Array) -> Array:
    """What becomes zero: the lower limit of each channel, or its smallest value where it has none."""
    return np.where(np.isfinite(stage.lower), stage.lower, lowest)


def _by_channel(stage: Stage, channels: int) -> Array:
    """The weights of a stage as (outputs, channels of its input, the rest)."""
    return stage.product.weight.reshape(len(stage.product.bias), channels, -1)


# --- 3: integers ------------------------------------------------------------------------------------------------------


def quantise_stages(
    stages: list[Stage], images: NDArray[np.uint8], bits: Bits, *, share: float = 1.0
) -> list[QuantisedStage]:
    """The stages in integers.

    Args:
        stages: of `to_stages`.
        images: uint8 (N, 28, 28), ink 255 on background 0: training data, for the ranges of activations.
        bits: of the weights.
        share: how much of a channel's values its range covers: 1 is up to the largest of all images.

    Raises:
        UnsuitableError: a rewriting that is not exact, see `start_at_zero`.
    """
    lowest, highest = _ranges(stages, images, share)
    highest = [high - _start(stage, low) for stage, low, high in zip(stages[:-1], lowest, highest, strict=True)]
    stages = start_at_zero(stages, lowest)
    entering = np.ones(1)  # scale of each input channel: the pixels are bytes already
    result = []
    for index, stage in enumerate(stages):
        outputs = len(stage.product.bias)
        scaled = _by_channel(stage, len(entering)) * entering.reshape(1, -1, 1)  # (outputs, channels, rest)
        scale = np.maximum(np.abs(scaled).max(axis=(1, 2)), np.finfo(np.float32).tiny) / LARGEST[bits]
        weight = np.rint(scaled / scale.reshape(-1, 1, 1)).astype(np.int8).reshape(stage.product.weight.shape)
        limit = np.iinfo(np.int32).max / 2  # a sum of products fits beside it
        bias = np.clip(np.rint(stage.product.bias / scale), -limit, limit).astype(np.int32)
        last = index == len(stages) - 1
        leaving = np.ones(outputs) if last else _scale(stage, _by_channel(stages[index + 1], outputs), highest[index])
        quantised = QuantisedStage(weight, bias, (scale / leaving).astype(np.float32), stage.pool)
        if isinstance(stage.product, Convolution):
            quantised = replace(quantised, strides=stage.product.strides, pads=stage.product.pads)
        result.append(quantised)
        entering = leaving
    return result


def _scale(stage: Stage, reading: Array, highest: Array) -> Array:
    """The scale of each output channel: it balances the range of the channel against that of the weights that read it.

    An upper limit is given exactly the byte 255, so that the byte saturates where it lies.

    Args:
        stage: with lower limits of zero.
        reading: the weights that read it, (outputs of the reader, channels, rest).
        highest: the largest value of each channel.

    Source: as `edge_export.int8.convolutional.static_qdq.equalise`.
    """
    limited = np.isfinite(stage.upper)
    size = np.abs(reading).max(axis=(0, 2))
    size = np.maximum(size, max(DEAD * float(size.max()), np.finfo(float).tiny))
    if not highest.any():
        raise UnsuitableError("a layer gives nothing but zeros for the calibration images")
    highest = np.maximum(highest, DEAD * float(highest.max()))
    factor = np.sqrt(highest / size)
    scale = factor * float((highest / factor).max()) / LARGEST_BYTE
    scale[limited] = np.maximum(stage.upper[limited], np.finfo(np.float32).tiny) / LARGEST_BYTE
    return np.asarray(scale, np.float64)


def _ranges(stages: list[Stage], images: NDArray[np.uint8], share: float) -> tuple[list[Array], list[Array]]:
    """The smallest value of each channel of each stage but the last, and the largest of that share of its values."""
    lows: list[list[Array]] = [[] for _ in stages[:-1]]
    highs: list[list[Array]] = [[] for _ in stages[:-1]]
    for start in range(0, len(images), BATCH):
        # In float64, so that the ranges, rounded once, are the same whatever instructions this processor has.
        tensor = torch.from_numpy(images[start : start + BATCH]).double().unsqueeze(1)
        for index, stage in enumerate(stages[:-1]):
            tensor = stage(tensor)
            values = tensor.transpose(0, 1).flatten(1)
            lows[index].append(values.amin(1).double().numpy())
            highs[index].append(_highest(values, share))
    lowest = [np.min(parts, axis=0) for parts in lows]
    return lowest, [np.max(parts, axis=0) if share == 1 else np.mean(parts, axis=0) for parts in highs]


def _highest(values: Tensor, share: float) -> Array:
    if share == 1:
        return np.asarray(values.amax(1).double().numpy())
    position = max(1, round((1 - share) * values.shape[1]))
    return np.asarray(values.topk(position, dim=1).values[:, -1].double().numpy())


# --- 4: channels ------------------------------------------------------------------------------------------------------


def remove_unused(stages: list[QuantisedStage]) -> list[QuantisedStage]:
    """The same network without the channels that nothing can come of; not a single output changes.

    1. A channel that is read by zeros only: its reader's weights are less than half a step each.
    2. A channel that rounds to zero for every picture (`always_zero`). Training leaves such channels behind a ReLU,
       which then gives them no gradient any more: 32 of the 128 of `cnn-16k`'s first convolution.
    """
    result = list(stages)
    for index in reversed(range(len(result) - 1)):  # from last to first: what is taken out reads others
        stage, reader = result[index], result[index + 1]
        outputs = len(stage.bias)
        read = reader.weight.reshape(len(reader.bias), outputs, -1).any(axis=(0, 2))
        # Used ones first; some of the others stay where that makes the number one that kernels like.
        order = np.argsort(~(read & ~always_zero(stage)), kind="stable")
        used = int((read & ~always_zero(stage)).sum())
        kept = np.sort(order[: max(1, math.ceil(used / MULTIPLE)) * MULTIPLE])
        result[index] = replace(
            stage, weight=stage.weight[kept], bias=stage.bias[kept], multiplier=stage.multiplier[kept]
        )
        weight = reader.weight.reshape(len(reader.bias), outputs, -1)[:, kept]
        result[index + 1] = replace(reader, weight=weight.reshape(len(weight), -1, *reader.weight.shape[2:]))
    return result


def always_zero(stage: QuantisedStage) -> NDArray[np.bool_]:
    """Whether each output of a stage, bool (outputs,), is zero for every input of bytes.

    The largest sum has 255 wherever a weight is positive, and 0 elsewhere.
    """
    positive = np.maximum(stage.weight.reshape(len(stage.bias), -1).astype(np.int64), 0)
    largest = LARGEST_BYTE * positive.sum(axis=1) + stage.bias
    return np.asarray(stage.multiplier * largest.astype(np.float64) < 0.5)
