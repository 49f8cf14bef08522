"""What every candidate is made from: the fp32 graph, calibration images, and what was observed on them, once."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto

from edge_export.int8.processors import ProcessorProfile
from edge_export.int8.recurrent import nodes, quantised_layers
from edge_export.int8.recurrent.nodes import CalibratedNodes
from edge_export.int8.recurrent.quantised_layers import CalibratedStack


@dataclass(frozen=True, slots=True, eq=False)
class CalibratedModel:
    """A model that is to be quantised.

    Attributes:
        model: fp32, as converted.
        images: uint8 (N, 28, 28), ink 255 on background 0: training data, for the ranges of activations.
        profile: of the processors that it is for.
        stack: its recurrent layers, calibrated; `None` where the model is no stack of them.
        nodes: its recurrent nodes where it is no stack of layers; `None` where none of them can be integers.
    """

    model: ModelProto
    images: NDArray[np.uint8]
    profile: ProcessorProfile
    stack: CalibratedStack | None
    nodes: CalibratedNodes | None = None

    @property
    def operators(self) -> set[str]:
        """The operators of the fp32 graph."""
        return {node.op_type for node in self.model.graph.node}


def calibrate(model: ModelProto, images: NDArray[np.uint8], profile: ProcessorProfile) -> CalibratedModel:
    """Runs the calibration images where a candidate needs to know what they do.

    Args:
        model: fp32, as converted; stays as it is.
        images: uint8 (N, 28, 28), ink 255 on background 0: training data.
        profile: of the processors that the candidates are for.
    """
    stack = quantised_layers.calibrate_stack(model, images)
    return CalibratedModel(model, images, profile, stack, None if stack else nodes.calibrate(model, images))
