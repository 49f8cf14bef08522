"""A chain of layers as stages of an integer graph: product, largest of a window, limits. Nothing else is left.

Rewritten, exactly:

1. What is linear after an average pooling, up to the logits, becomes one linear layer.
2. An affine step before a product is folded into it, one after it too, even behind a ReLU: of `gain * relu(x) + shift`
   remains `clip(gain * x + shift, lower, upper)`, with limits of each channel. Max pooling commutes with those.
3. The lower limit becomes zero: it is taken from the bias, and what is left of it goes into the bias of the reader.

So each output lies in [0, largest], which is what an unsigned byte holds: rounding to a byte does the ReLU for nothing.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from edge.bundle.input import COLUMNS, ROWS
from edge_export.int8.convolutional.chain import (
    Affine,
    Array,
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

# A linear tail with more weights than this costs more as one product than its average pooling does.
LARGEST_TAIL = 1 << 16


@dataclass(frozen=True, slots=True)
class Stage:
    """clip(maxpool(product(x)), lower, upper): a channel's limits may be infinite.

    `product`: its weights. `pool`: side of the max pooling, 1 is none. `flat`: whether the input is flattened first.
    `lower`, `upper`: (outputs,).
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


def form(layers: list[Layer]) -> list[Stage]:
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


def zero_based(stages: list[Stage], lowest: list[Array]) -> list[Stage]:
    """The same function with every lower limit at zero: rule 3.

    Args:
        stages: of `form`.
        lowest: for each stage, what a channel without a lower limit starts at: its smallest value, measured.

    Raises:
        UnsuitableError: the reader is padded, and zero would stand for another number there.
    """
    result = list(stages)
    for index, stage in enumerate(stages[:-1]):
        lower = np.where(np.isfinite(stage.lower), stage.lower, lowest[index])
        reader = result[index + 1]
        if lower.any() and isinstance(reader.product, Convolution) and any(reader.product.pads):
            raise UnsuitableError("a padded convolution reads a tensor that does not start at zero")
        own = result[index].product
        result[index] = replace(
            stage, product=replace(own, bias=own.bias - lower), lower=np.zeros_like(lower), upper=stage.upper - lower
        )
        weight = by_channel(reader, len(lower))
        moved = replace(reader.product, bias=reader.product.bias + np.einsum("ock,c->o", weight, lower))
        result[index + 1] = replace(reader, product=moved)
    return result


def by_channel(stage: Stage, channels: int) -> Array:
    """The weights of a stage as (outputs, channels of its input, the rest)."""
    return stage.product.weight.reshape(len(stage.product.bias), channels, -1)


def _merge_tail(layers: list[Layer]) -> list[Layer]:
    """Rule 1: from the first average pooling, and a 1x1 convolution right before it, to the end."""
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
    responses = torch.cat([torch.zeros(1, features), torch.eye(features)]).to(tensor.dtype)
    responses = responses.reshape(-1, *tensor.shape[1:])
    for layer in tail:
        responses = apply(layer, responses)
    table = responses.flatten(1).numpy()  # (1 + features, outputs): the constant, then the answer to each feature
    if features * table.shape[1] > LARGEST_TAIL:
        raise UnsuitableError(
            f"the layers from the average pooling on are {features} x {table.shape[1]} weights as one"
        )
    return [*layers[:start], Flatten(), Linear((table[1:] - table[0]).T.copy(), table[0].copy())]
