"""The int8 candidates, simplest first: what suits a model is built, measured, and one of them packed.

| candidate      | suits                          | arithmetic of the products        | what is gained              |
|----------------|--------------------------------|-----------------------------------|-----------------------------|
| `weight-only`  | all models                     | fp32                              | bytes                       |
| `dynamic-lstm` | models with an LSTM            | int8 in the LSTM, fused           | bytes, single pictures      |
| `stepped`      | LSTM, GRU and RNN              | int8, row by row                  | bytes, many pictures        |
| `branched`     | the same                       | fused for a few, stepped for many | bytes, and both             |
| `static-qdq`   | convolutions, fully connected  | int8, ranges calibrated           | bytes, larger models' speed |
| `blocks`       | plain chains of those          | int8 throughout, blocks of pixels | bytes, and speed            |
| `blocks-percentile` | the same                  | the same, rare values saturated   | the same                    |

ONNX Runtime has no fused int8 kernel for GRU and RNN: where only their weights are int8, the name says so.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto

from edge_export.int8.calibration import CalibratedModel, calibrate
from edge_export.int8.convolutional import blocks, static_qdq
from edge_export.int8.processors import ProcessorProfile
from edge_export.int8.quantisation import QuantisationError, QuantisedModel, int8_share
from edge_export.int8.recurrent import forms, node_forms

# An int8 model, or `None` where the way to make it does not suit the model.
Build = Callable[[CalibratedModel], QuantisedModel | None]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A way to make a model int8.

    Attributes:
        arithmetic: what is int8 in it, in words that promise nothing more.
        build: makes it.
        integer_products: whether products are of integers, which only the processors of a target compute exactly.
    """

    arithmetic: str
    build: Build
    integer_products: bool = True


def _either(of_a_stack: Build, of_nodes: Build) -> Build:
    """Recurrent layers are read as a stack where they are one, and node by node elsewhere."""
    return lambda source: of_a_stack(source) or of_nodes(source)


CANDIDATES: dict[str, Candidate] = {
    "weight-only": Candidate(
        "int8 weights, fp32 arithmetic: smaller, not faster",
        _either(forms.weight_only, node_forms.weight_only),
        integer_products=False,
    ),
    "dynamic-lstm": Candidate(
        "int8 weights and int8 products in the LSTM", _either(forms.dynamic_lstm, node_forms.dynamic_lstm)
    ),
    "stepped": Candidate("int8 weights and int8 products, row by row", _either(forms.stepped, node_forms.stepped)),
    "branched": Candidate(
        "int8 weights; int8 products, row by row, for many pictures at once",
        _either(forms.branched, node_forms.branched),
    ),
    "static-qdq": Candidate("int8 weights and int8 products, a small last layer in fp32", static_qdq.static_qdq),
    "blocks": Candidate("int8 weights and int8 products throughout, in blocks of pixels", blocks.in_blocks),
    "blocks-percentile": Candidate(
        "int8 weights and int8 products throughout, in blocks of pixels, rare values saturated",
        blocks.in_blocks_percentile,
    ),
}


def build(
    model: ModelProto, images: NDArray[np.uint8], profile: ProcessorProfile, name: str | None = None
) -> dict[str, QuantisedModel]:
    """Every candidate that suits a model, by name, simplest first.

    Args:
        model: fp32, as converted; stays as it is.
        images: uint8 (N, 28, 28), ink 255 on background 0: training data, for the ranges of activations.
        profile: of the processors that the candidates are for.
        name: only this candidate.

    Raises:
        QuantisationError: nothing suits, there is no candidate of that name, or it does not suit.
    """
    if name is not None and name not in CANDIDATES:
        raise QuantisationError(f"there is no candidate {name!r}; use one of {', '.join(CANDIDATES)}")
    source = calibrate(model, images, profile)
    found = {
        key: quantised
        for key, candidate in CANDIDATES.items()
        if name in (None, key)
        and (quantised := candidate.build(source)) is not None
        and int8_share(quantised.model) > 0
    }
    if not found and name is not None:
        raise QuantisationError(f"the candidate {name} does not suit this model; leave --candidate out to see which do")
    if not found:
        operators = ", ".join(sorted(source.operators))
        raise QuantisationError(f"no weight of this model ({operators}) can be int8; export it without --quantize")
    return found
