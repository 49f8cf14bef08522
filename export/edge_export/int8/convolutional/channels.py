"""Channels that nothing can come of, taken out of an integer network without changing a single output.

1. A channel that is read by zeros only: its reader's weights are less than half a step each.
2. A channel that rounds to zero for every picture: even with 255 wherever its weights are positive, and 0 elsewhere,
   nothing positive comes out. Training leaves such channels behind a ReLU, which then gives them no gradient any more:
   32 of the 128 of `cnn-16k`'s first convolution.
"""

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from edge_export.int8.convolutional.levels import LEVELS, Integers

# ONNX Runtime's convolution without copying needs a multiple of four input channels: 96 take 0.75 of the time of 94.
MULTIPLE = 4


def remove_unused(stages: list[Integers]) -> list[Integers]:
    """The same network without them; from the last stage to the first, since what is taken out reads others."""
    result = list(stages)
    for index in reversed(range(len(result) - 1)):
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


def always_zero(stage: Integers) -> NDArray[np.bool_]:
    """Whether each output of a stage, bool (outputs,), is zero for every input of bytes."""
    positive = np.maximum(stage.weight.reshape(len(stage.bias), -1).astype(np.int64), 0)
    largest = LEVELS * positive.sum(axis=1) + stage.bias
    return np.asarray(stage.multiplier * largest.astype(np.float64) < 0.5)
