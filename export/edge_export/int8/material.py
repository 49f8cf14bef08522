"""What int8 candidates are made of: the fp32 graph, calibration images, and the recurrent layers read off it, once."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto

from edge_export.int8 import rewrite
from edge_export.int8.recurrent import layers
from edge_export.int8.recurrent.layers import Array, Stack
from edge_export.int8.recurrent.states import Observed, equalise_states, observe
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
    gain: Array | None
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


def gather(model: ModelProto, calibration: NDArray[np.uint8], profile: Profile) -> Material:
    """Everything that candidates of a model need.

    Args:
        model: fp32, as converted; stays as it is.
        calibration: uint8 (N, 28, 28), ink 255 on background 0: training data.
        profile: how weights are rounded for the target.
    """
    rest = rewrite.weight_only(model, rewrite.PRODUCTS)
    if (found := layers.read(rest)) is None:
        return Material(model, calibration, profile, None)
    stack, observed, gain = equalise_states(found, observe(model, found, calibration))
    return Material(model, calibration, profile, Recurrences(stack, observed, gain, rest))
