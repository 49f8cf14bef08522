"""The ways to int8 that are made for convolutional networks, in order of promise: each a name and a function.

| candidate           | what it does                                                                              |
|---------------------|-------------------------------------------------------------------------------------------|
| `blocks`            | every product in integers, convolutions in blocks of pixels, ranges up to the largest value |
| `blocks-percentile` | the same; a value in ten thousand of each channel saturates, for finer levels of the others |

Both take plain chains of layers (`edge_export.layers`), edge's own and most traced ones.
"""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from onnx import ModelProto

from edge_export import blocks, channels, layers, levels, stages
from edge_export.draft import INPUT, LOGITS
from edge_export.layers import UnsuitableError
from edge_export.session import open_session

Build = Callable[[ModelProto, NDArray[np.uint8], int], ModelProto]

COVERED_SHARE = 0.9999

# That the chain was read as it is computed: float32 sums of the largest layers differ by less.
CHECKED_IMAGES = 16
READING_TOLERANCE = 1e-3


def build_blocks(
    model: ModelProto, calibration: NDArray[np.uint8], weight_bits: int, *, share: float = 1.0
) -> ModelProto:
    """The model in int8, its convolutions in blocks.

    Args:
        model: fp32, as converted or traced.
        calibration: uint8 (N, 28, 28), ink 255 on background 0: training data, for the ranges of activations.
        weight_bits: 7 is exact on every processor: a sum of two products, 2 * 255 * 63, fits 16 bits, in which x86
            without VNNI adds them. 8 is for those that add in 32 bits.
        share: how much of a channel's values its range covers.

    Raises:
        UnsuitableError: the model is no plain chain of layers that this is exact for.
    """
    chain = _chain(model, calibration[:CHECKED_IMAGES])
    return blocks.write(channels.remove_unused(levels.quantise(chain, calibration, weight_bits, share=share)), model)


def build_blocks_percentile(model: ModelProto, calibration: NDArray[np.uint8], weight_bits: int) -> ModelProto:
    """`build_blocks`, its ranges without the largest ten-thousandth of a channel's values."""
    return build_blocks(model, calibration, weight_bits, share=COVERED_SHARE)


CANDIDATES: dict[str, Build] = {"blocks": build_blocks, "blocks-percentile": build_blocks_percentile}


def _chain(model: ModelProto, images: NDArray[np.uint8]) -> list[stages.Stage]:
    """The stages of a model, which compute what its graph computes, before anything is rounded."""
    try:
        chain = stages.form(layers.read(model))
        tensor = torch.from_numpy(images).float().unsqueeze(1)
        for stage in chain:
            tensor = stage(tensor)
    except (RuntimeError, ValueError) as error:  # torch's and numpy's own, when shapes do not fit
        if isinstance(error, UnsuitableError):
            raise
        raise UnsuitableError(f"the layers do not fit the picture one after another: {error}") from error
    expected = open_session(model).run([LOGITS], {INPUT: images})[0]
    found = tensor.numpy()
    if found.shape != expected.shape or np.abs(found - expected).max() > READING_TOLERANCE * np.abs(expected).max():
        raise UnsuitableError("the graph computes something else than its layers one after another")
    return chain
