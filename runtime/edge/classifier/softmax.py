"""The softmax, in float64: large logits do not overflow, and sums are 1 to fifteen digits."""

import numpy as np
from numpy.typing import NDArray


def softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Probabilities along the last axis.

    Args:
        logits: float64 (..., classes), divided by the temperature already.
    """
    powers: NDArray[np.float64] = np.exp(logits - logits.max(-1, keepdims=True))
    powers /= powers.sum(-1, keepdims=True)
    return powers
