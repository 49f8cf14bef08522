"""An ONNX graph while it is being written: nodes, weights, and the points where it can be compared with PyTorch."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

from edge.bundle.input import COLUMNS, NAME, ROWS
from edge.errors import EdgeError

# The lowest that carry these graphs: opset 13 has Squeeze with its axes as an input and per-axis DequantizeLinear,
# IR 7 belongs to it. Every ONNX Runtime since 1.7 reads them.
OPSET = 13
IR_VERSION = 7
PRODUCER = "edge-toolkit"

IMAGE = NAME
LOGITS = "logits"
PROBABILITIES = "probabilities"

# Folded into the first weights, so that the graph takes the raw pixels: networks are trained on [0, 1].
PIXEL_SCALE = 1 / 255


class ConversionError(EdgeError):
    """A model cannot be written as an ONNX graph of the form that a bundle needs."""


def bodies_of(node: NodeProto) -> list[GraphProto]:
    """The graphs inside a node: the branches of an If, the body of a Loop or Scan."""
    return [graph for one in node.attribute for graph in ([one.g] if one.HasField("g") else one.graphs)]


@dataclass(frozen=True, slots=True)
class Tap:
    """A point that PyTorch and the graph share.

    `layer`: what a person calls it. `tensor`: its name in the graph. `steps`: whether axis 0 of the tensor is time.
    """

    layer: str
    tensor: str
    steps: bool = False


@dataclass(frozen=True, slots=True)
class Converted:
    """A model as an ONNX graph, in fp32.

    Attributes:
        model: the graph.
        taps: the points to compare it at, from the input to the logits.
        exporter: which of torch's exporters it comes from; None where it was written from the weights.
    """

    model: ModelProto
    taps: tuple[Tap, ...]
    exporter: str | None = None


@dataclass(slots=True)
class GraphBuilder:
    """Collects nodes and weights in order of computation."""

    nodes: list[NodeProto] = field(default_factory=list)
    weights: list[TensorProto] = field(default_factory=list)
    taps: list[Tap] = field(default_factory=list)

    def node(self, operator: str, inputs: list[str], output: str, **attributes: Any) -> str:  # noqa: ANN401
        """Adds a node with one output and returns the name of it."""
        self.nodes.append(helper.make_node(operator, inputs, [output], name=output, **attributes))
        return output

    def split(self, tensor: str, sizes: list[int] | None, outputs: list[str], *, axis: int) -> list[str]:
        """Adds a node that cuts a tensor along an axis, into parts of those sizes or of one size; their names."""
        inputs = [tensor] if sizes is None else [tensor, self.weight(f"{outputs[0]}_sizes", np.array(sizes, np.int64))]
        self.node("Split", inputs, outputs[0], axis=axis)
        self.nodes[-1].output.extend(outputs[1:])
        return outputs

    def weight(self, name: str, array: NDArray[Any]) -> str:
        """Adds a constant, once, and returns its name; floating point is stored as float32."""
        stored = array.astype(np.float32) if array.dtype.kind == "f" else array
        if name not in {weight.name for weight in self.weights}:
            self.weights.append(numpy_helper.from_array(np.asarray(stored, order="C"), name))
        return name

    def tap(self, layer: str, tensor: str, *, steps: bool = False) -> None:
        """Notes that a tensor of the graph is the output of a layer of the PyTorch model."""
        self.taps.append(Tap(layer, tensor, steps))


def finish(builder: GraphBuilder, *, classes: int, temperature: float) -> Converted:
    """Closes a graph whose last tensor is `logits`: probabilities, declared inputs and outputs, checked by onnx.

    Args:
        builder: holds a graph that ends in a float32 tensor `logits` [batch, classes].
        classes: number of labels.
        temperature: `probabilities` is softmax(logits / temperature).

    Raises:
        ConversionError: onnx's checker refuses the graph.
    """
    scores = LOGITS
    if temperature != 1.0:
        builder.weight("inverse_temperature", np.array(1 / temperature, np.float32))
        scores = builder.node("Mul", [LOGITS, "inverse_temperature"], "tempered")
    builder.node("Softmax", [scores], PROBABILITIES, axis=1)
    graph = helper.make_graph(
        builder.nodes,
        "classifier",
        inputs=[helper.make_tensor_value_info(IMAGE, TensorProto.UINT8, ["batch", ROWS, COLUMNS])],
        outputs=[
            helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", classes])
            for name in (LOGITS, PROBABILITIES)
        ],
        initializer=builder.weights,
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION, producer_name=PRODUCER
    )
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ConversionError(f"the graph is not valid ONNX: {error}") from error
    return Converted(model, tuple(builder.taps))
