"""The int8 candidates, simplest first: what suits a model is built, measured, and one of them packed.

| candidate      | suits                          | arithmetic of the products        | what is gained              |
|----------------|--------------------------------|-----------------------------------|-----------------------------|
| `weight-only`  | recurrent models               | fp32                              | bytes                       |
| `dynamic-lstm` | models with an LSTM            | int8 in the LSTM, fused           | bytes, single pictures      |
| `stepped`      | stacks of LSTM, GRU or RNN     | int8, row by row                  | bytes, many pictures        |
| `branched`     | the same                       | fused for a few, stepped for many | bytes, and both             |
| `static-qdq`   | convolutions, fully connected  | int8, ranges calibrated           | bytes, larger models' speed |

ONNX Runtime has no fused int8 kernel for GRU and RNN: where only their weights are int8, the name says so.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, helper

from edge_export.draft import Draft
from edge_export.int8 import branched, fused, layers, rewrite, stepped
from edge_export.int8.layers import Stack
from edge_export.int8.rewrite import DYNAMIC_LSTM_OPERATOR, MICROSOFT, PRODUCTS, RECURRENT
from edge_export.int8.rounded import round_layers
from edge_export.int8.rounding import QuantisationError, Quantised, copy_of, int8_share
from edge_export.int8.states import Observed, equalise_states, observe
from edge_export.int8.static import static
from edge_export.int8.target import Profile


@dataclass(frozen=True, slots=True, eq=False)
class Recurrences:
    """The recurrent layers of a model that is a stack of them.

    Attributes:
        stack: the layers, rectified states scaled to 255.
        observed: the states on calibration images.
        gain: what the features must be multiplied by, float64 (features,); `None` where they are as they were.
        rest: the model with int8 weights in what follows the layers.
    """

    stack: Stack
    observed: Observed
    gain: NDArray[np.float64] | None
    rest: ModelProto


@dataclass(frozen=True, slots=True, eq=False)
class Material:
    """What candidates are made of.

    Attributes:
        model: fp32, as converted.
        calibration: uint8 (N, 28, 28), ink 255 on background 0: training data.
        profile: how weights are rounded for the target.
        recurrences: the recurrent layers; `None` where the model is no stack of them.
    """

    model: ModelProto
    calibration: NDArray[np.uint8]
    profile: Profile
    recurrences: Recurrences | None

    @property
    def operators(self) -> set[str]:
        """The operators of the fp32 graph."""
        return {node.op_type for node in self.model.graph.node}


# An int8 model, or `None` where the way to make it does not suit the model.
Build = Callable[[Material], Quantised | None]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A way to make a model int8.

    Attributes:
        arithmetic: what is int8 in it, in words that promise nothing more.
        build: makes it.
    """

    arithmetic: str
    build: Build


def _weight_only(material: Material) -> Quantised | None:
    operators = material.operators
    if not operators & RECURRENT or "Conv" in operators:
        return None

    def write(draft: Draft, recurrences: Recurrences, features: str) -> None:
        # Its products are fp32, so that 8 bits are right on every processor.
        fused.write(draft, draft, round_layers(recurrences.stack, recurrences.observed, 8), features, dynamic=False)

    return _rewritten(material, write) or Quantised(rewrite.weight_only(material.model))


def _dynamic_lstm(material: Material) -> Quantised | None:
    operators = material.operators
    if "LSTM" not in operators or "Conv" in operators:
        return None

    def write(draft: Draft, recurrences: Recurrences, features: str) -> None:
        fused.write(
            draft,
            draft,
            round_layers(recurrences.stack, recurrences.observed, material.profile.bits),
            features,
            dynamic=True,
        )

    as_stack = _rewritten(material, write)
    return as_stack or Quantised(rewrite.dynamic(material.model, material.profile.bits), (DYNAMIC_LSTM_OPERATOR,))


def _stepped(material: Material) -> Quantised | None:
    def write(draft: Draft, recurrences: Recurrences, features: str) -> None:
        stepped.write_batch_size(draft)
        stepped.write(
            draft,
            draft,
            round_layers(recurrences.stack, recurrences.observed, 8),
            features,
            unsigned=material.profile.unsigned,
        )

    return _rewritten(material, write)


def _branched(material: Material) -> Quantised | None:
    def write(draft: Draft, recurrences: Recurrences, features: str) -> None:
        # Both branches share the weights: the fused LSTM decides their bits.
        bits = material.profile.bits if any(layer.cell == "LSTM" for layer in recurrences.stack.layers) else 8
        unsigned = material.profile.unsigned and bits == 8
        branched.write(draft, round_layers(recurrences.stack, recurrences.observed, bits), features, unsigned=unsigned)

    return _rewritten(material, write)


def _static_qdq(material: Material) -> Quantised | None:
    operators = material.operators
    if "Conv" not in operators and (not operators & PRODUCTS or operators & RECURRENT):
        return None
    return Quantised(static(material.model, material.calibration, material.profile.bits), calibrated=True)


CANDIDATES: dict[str, Candidate] = {
    "weight-only": Candidate("int8 weights, fp32 arithmetic: smaller, not faster", _weight_only),
    "dynamic-lstm": Candidate("int8 weights and int8 products in the LSTM", _dynamic_lstm),
    "stepped": Candidate("int8 weights and int8 products, row by row", _stepped),
    "branched": Candidate("int8 weights; int8 products, row by row, for many pictures at once", _branched),
    "static-qdq": Candidate("int8 weights and int8 products, a small last layer in fp32", _static_qdq),
}


def build(
    model: ModelProto, calibration: Calibration, profile: Profile, name: str | None = None
) -> dict[str, Quantised]:
    """Every candidate that suits a model, by name, simplest first.

    Args:
        model: fp32, as converted; stays as it is.
        calibration: uint8 (N, 28, 28), ink 255 on background 0: training data, for the ranges of activations.
        profile: how weights are rounded for the target.
        name: only this candidate.

    Raises:
        QuantisationError: nothing suits, there is no candidate of that name, or it does not suit.
    """
    if name is not None and name not in CANDIDATES:
        raise QuantisationError(f"there is no candidate {name!r}; use one of {', '.join(CANDIDATES)}")
    material = Material(model, calibration, profile, _recurrences(model, calibration))
    found = {
        key: quantised
        for key, candidate in CANDIDATES.items()
        if name in (None, key)
        and (quantised := candidate.build(material)) is not None
        and int8_share(quantised.model) > 0
    }
    if not found and name is not None:
        raise QuantisationError(f"the candidate {name} does not suit this model; leave --candidate out to see which do")
    if not found:
        operators = ", ".join(sorted(material.operators))
        raise QuantisationError(f"no weight of this model ({operators}) can be int8; export it without --quantize")
    return found


def _recurrences(model: ModelProto, calibration: NDArray[np.uint8]) -> Recurrences | None:
    rest = rewrite.weight_only(model, PRODUCTS)
    if (found := layers.read(rest)) is None:
        return None
    stack, observed, gain = equalise_states(found, observe(model, found, calibration))
    return Recurrences(stack, observed, gain, rest)


def _rewritten(material: Material, write: Callable[[Draft, Recurrences, str], None]) -> Quantised | None:
    """The model with its recurrent layers written anew; `None` if it is no stack of them."""
    if (found := material.recurrences) is None:
        return None
    stack = found.stack
    draft = Draft()
    if found.gain is None:
        write(draft, found, stack.features)
    else:
        write(draft, found, f"{stack.features}_equalised")
        gain = draft.weight("features_gain", found.gain)
        draft.node("Mul", [f"{stack.features}_equalised", gain], stack.features)
    draft.nodes.extend(stack.rest)
    used = {name for node in stack.rest for name in node.input}
    draft.weights.extend(weight for weight in found.rest.graph.initializer if weight.name in used)
    own = _microsofts(draft.nodes)
    written = copy_of(found.rest)
    del written.graph.node[:], written.graph.initializer[:]
    written.graph.node.extend(draft.nodes)
    written.graph.initializer.extend(draft.weights)
    if own:
        written.opset_import.append(helper.make_opsetid(MICROSOFT, 1))
    return Quantised(written, tuple(sorted(own)), calibrated=True)


def _microsofts(nodes: Iterable[NodeProto]) -> set[str]:
    """The operators that ONNX Runtime has beyond ONNX, in the nodes and in their branches and bodies."""
    found: set[str] = set()
    for node in nodes:
        if node.domain == MICROSOFT:
            found.add(node.op_type)
        for attribute in node.attribute:
            found |= _microsofts(attribute.g.node)
    return found
