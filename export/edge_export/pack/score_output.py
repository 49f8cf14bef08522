"""The output `score` of a bundle's graph: how much an image looks like any label, for every client in every language.

What `edge.classifier.rejection` says in numpy, as nodes behind the logits x, with the numbers of the manifest:

    energy     = log(sum(exp(x)))                                   ReduceLogSumExp
    distance   = min over the labels k of |L^T (x - c_k)|           MatMul, Unsqueeze, Sub, ReduceL2, ReduceMin
    score      = min((energy - m) / s, 0) + (m' - distance) / s'    Mul, Add, Min, Sub

L, c_k, m, s, m' and s' are the whitening, the centres, and the medians and spreads of energy and distance. Constants
are folded: L by s' and L^T c_k beforehand, so that ten nodes and two small matrices are left.
"""

import numpy as np
import onnx
from onnx import ModelProto, TensorProto, helper

from edge.bundle.input import SCORE
from edge.bundle.manifest import Rejection
from edge.classifier.rejection import Scorer
from edge_export.graph.builder import LOGITS, GraphBuilder

# From this opset on, reductions take their axes as an input.
_AXES_AS_INPUT = 18
_PREFIX = "score."


def add_score(model: ModelProto, facts: Rejection) -> ModelProto:
    """The graph with a further output `score`, float32 [batch].

    Args:
        model: a graph that gives `logits`; it stays as it is.
        facts: what the manifest says of rejection.
    """
    scorer, result = Scorer.of(facts), ModelProto()
    result.CopyFrom(model)
    middle, spread = scorer.energy
    distance, distance_spread = scorer.distance
    whitening = scorer.whitening / distance_spread
    builder = GraphBuilder()
    opset = next(entry.version for entry in model.opset_import if entry.domain == "")

    def weight(name: str, array: np.ndarray) -> str:
        return builder.weight(_PREFIX + name, array)

    def node(operator: str, inputs: list[str], name: str, **attributes: int) -> str:
        return builder.node(operator, inputs, name if name == SCORE else _PREFIX + name, **attributes)

    def reduced(operator: str, tensor: str, name: str, axis: int) -> str:
        if opset >= _AXES_AS_INPUT:
            return node(operator, [tensor, weight(f"axis{axis}", np.array([axis]))], name, keepdims=0)
        made = node(operator, [tensor], name, keepdims=0)
        builder.nodes[-1].attribute.append(helper.make_attribute("axes", [axis]))
        return made

    whitened = node("MatMul", [LOGITS, weight("whitening", whitening)], "whitened")
    rows = node("Unsqueeze", [whitened, weight("axis1", np.array([1]))], "rows")  # (batch, 1, classes)
    apart = node("Sub", [rows, weight("centres", scorer.centres @ whitening)], "apart")  # (batch, labels, classes)
    nearest = reduced("ReduceMin", reduced("ReduceL2", apart, "distances", axis=2), "nearest", axis=1)
    energy = reduced("ReduceLogSumExp", LOGITS, "energy", axis=1)
    shared = distance / distance_spread  # added before the minimum, which has it then on both sides
    scaled = node("Mul", [energy, weight("scale", np.array(1 / spread))], "scaled")
    shifted = node("Add", [scaled, weight("shift", np.array(shared - middle / spread))], "shifted")
    lower = node("Min", [shifted, weight("most", np.array(shared))], "lower")
    node("Sub", [lower, nearest], SCORE)
    result.graph.node.extend(builder.nodes)
    result.graph.initializer.extend(builder.weights)
    result.graph.output.append(helper.make_tensor_value_info(SCORE, TensorProto.FLOAT, ["batch"]))
    onnx.checker.check_model(result, full_check=True)
    return result
