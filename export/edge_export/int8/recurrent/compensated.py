"""Rounding in which each weight makes up for the error of those before it.

A row of weights w meets inputs a, and what matters is (w - q) . a over the inputs that really occur, not w - q. So the
columns are rounded one after the other, and what is lost in one is put into those that are still to come, as far as
their inputs go together. Neighbouring pixels and the units of a state go together closely: 7 bits rounded this way are
closer to PyTorch than 8 bits rounded each by itself.

Source: Frantar, Ashkboos, Hoefler and Alistarh, 2023, GPTQ: Accurate Post-Training Quantization for Generative
Pre-trained Transformers; with the columns in order of falling activation, and each row's scale from its largest weight.
"""

import numpy as np
from numpy.typing import NDArray

from edge_export.int8.rounding import LARGEST, Bits

Array = NDArray[np.float64]

# Added to the diagonal of the moments, as a share of its mean: inputs that never occur would make them singular.
DAMPING = 0.01


def compensated(weights: Array, scale: Array, moments: Array, bits: Bits) -> NDArray[np.int8]:
    """The integers whose products with the inputs are closest to those of the weights.

    Args:
        weights: float64 (rows, K).
        scale: float64, broadcastable to (rows, K): value of one integer step.
        moments: float64 (K, K), mean of a a^T over the inputs a.
        bits: of the integers.

    Returns:
        int8 (rows, K).
    """
    limit = LARGEST[bits]
    order = np.argsort(-np.diag(moments), kind="stable")
    left = weights[:, order]
    steps = np.broadcast_to(scale, weights.shape)[:, order]
    mean = np.trace(moments) / len(moments)
    damped = moments[np.ix_(order, order)] + np.eye(len(moments)) * (DAMPING * mean if mean > 0 else 1.0)
    spread = np.linalg.cholesky(np.linalg.inv(damped)).T  # upper: row k tells what column k's error asks of later ones
    rounded = np.empty(left.shape, np.int8)
    for column in range(left.shape[1]):
        values = np.clip(np.rint(left[:, column] / steps[:, column]), -limit, limit)
        rounded[:, column] = values
        error = (left[:, column] - values * steps[:, column]) / spread[column, column]
        left[:, column + 1 :] -= error[:, None] * spread[column, column + 1 :]
    restored = np.empty_like(rounded)
    restored[:, order] = rounded
    return restored
