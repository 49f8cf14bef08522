"""The int8 candidates of convolutional and fully connected networks.

| candidate           | what it does                                                                              |
|---------------------|-------------------------------------------------------------------------------------------|
| `static-qdq`        | ONNX Runtime's static quantiser after equalisation, a small last layer in fp32            |
| `blocks`            | every product in integers, convolutions in blocks of pixels, ranges up to the largest value |
| `blocks-percentile` | the same; a value in ten thousand of each channel saturates, for finer levels of the others |

The last two take plain chains of layers (`edge_export.int8.convolutional.chain`), edge's own and most traced ones.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from onnx import ModelProto

from edge_export.graph.builder import IMAGE, LOGITS
from edge_export.graph.session import open_session
from edge_export.int8.convolutional import blocks, channels, levels, stages
from edge_export.int8.convolutional.chain import UnsuitableError, read
from edge_export.int8.convolutional.static import static
from edge_export.int8.material import Material
from edge_export.int8.rewrite import PRODUCTS, RECURRENT, beyond_onnx
from edge_export.int8.rounding import Bits, Quantised

COVERED_SHARE = 0.9999

# That the chain was read as it is computed: float32 sums of the largest layers differ by less.
CHECKED_IMAGES = 16
READING_TOLERANCE = 1e-3


def static_qdq(material: Material) -> Quantised | None:
    """ONNX Runtime's own static quantiser, after equalisation."""
    operators = material.operators
    if "Conv" not in operators and (not operators & PRODUCTS or operators & RECURRENT):
        return None
    return Quantised(static(material.model, material.calibration, material.profile.bits), calibrated=True)


def in_blocks(material: Material) -> Quantised | None:
    """Every product in integers, convolutions in blocks of pixels."""
    return _as_candidate(material, share=1.0)


def in_blocks_percentile(material: Material) -> Quantised | None:
    """The same, its ranges without the largest ten-thousandth of a channel's values."""
    return _as_candidate(material, share=COVERED_SHARE)


def build_blocks(model: ModelProto, calibration: NDArray[np.uint8], bits: Bits, *, share: float = 1.0) -> ModelProto:
    """The model in int8, its convolutions in blocks.

    Args:
        model: fp32, as converted or traced.
        calibration: uint8 (N, 28, 28), ink 255 on background 0: training data, for the ranges of activations.
        bits: of the weights; 7 are exact on every processor.
        share: how much of a channel's values its range covers.

    Raises:
        UnsuitableError: the model is no plain chain of layers that this is exact for.
    """
    chain = _chain(model, calibration[:CHECKED_IMAGES])
    return blocks.write(channels.remove_unused(levels.quantise(chain, calibration, bits, share=share)), model)


def _as_candidate(material: Material, *, share: float) -> Quantised | None:
    if not material.operators & {"Conv", *PRODUCTS} or material.operators & RECURRENT:
        return None
    try:
        model = build_blocks(material.model, material.calibration, material.profile.bits, share=share)
    except UnsuitableError:
        return None
    return Quantised(model, tuple(sorted(beyond_onnx(model.graph.node))), calibrated=True)


def _chain(model: ModelProto, images: NDArray[np.uint8]) -> list[stages.Stage]:
    """The stages of a model, which compute what its graph computes, before anything is rounded."""
    try:
        chain = stages.form(read(model))
        tensor = torch.from_numpy(images).float().unsqueeze(1)
        for stage in chain:
            tensor = stage(tensor)
    except (RuntimeError, ValueError) as error:  # torch's and numpy's own, when shapes do not fit
        if isinstance(error, UnsuitableError):
            raise
        raise UnsuitableError(f"the layers do not fit the picture one after another: {error}") from error
    expected = open_session(model).run([LOGITS], {IMAGE: images})[0]
    found = tensor.numpy()
    if found.shape != expected.shape or np.abs(found - expected).max() > READING_TOLERANCE * np.abs(expected).max():
        raise UnsuitableError("the graph computes something else than its layers one after another")
    return chain
