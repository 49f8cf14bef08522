"""The output `score` of a bundle's graph: how much an image looks like any label, for every client in every language.

What `edge.classifier.prediction` says in numpy, as nodes behind the logits x, with the numbers of the manifest:

    energy     = log(sum(exp(x)))                                   ReduceLogSumExp
    distances  = |L^T (x - c_k)|, for each label k                  Gemm, Reshape, ReduceL2
    score      = min((energy - m) / s, 0) + (m' - min_k distances) / s'
               = m'/s' - min_k (max((m - energy) / s, 0) + distances / s')
                                                                    Gemm with Relu, Add, ReduceMin, Sub

L, c_k, m, s, m' and s' are the whitening, the centres, and the medians and spreads of energy and distance. Constants
are folded: L by s' and L^T c_k beforehand. Each node costs a small model a fiftieth of its time; ONNX Runtime makes one
of a Gemm and the Relu behind it.
"""

import numpy as np
import onnx
from onnx import ModelProto, TensorProto, helper

from edge.bundle.input import SCORE
from edge.bundle.manifest import Rejection
from edge.classifier.prediction import Scorer
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

    def reduced(operator: str, tensor: str, name: str, axis: int, keepdims: int = 0) -> str:
        if opset >= _AXES_AS_INPUT:
            axes = weight(f"axis{axis}", np.array([axis]))
            return node(operator, [tensor, axes], name, keepdims=keepdims)
        made = node(operator, [tensor], name, keepdims=keepdims)
        builder.nodes[-1].attribute.append(helper.make_attribute("axes", [axis]))
        return made

    classes = len(whitening)
    once = weight("whitening", whitening)
    everywhere = node("Concat", [once] * classes, "whitenings", axis=1)  # for every label; folds when a session loads
    from_centres = weight("centres", -(scorer.centres @ whitening).reshape(-1))
    flat = node("Gemm", [LOGITS, everywhere, from_centres], "apart")  # (batch, labels * classes)
    shape = weight("shape", np.array([-1, classes, classes], np.int64))
    distances = reduced("ReduceL2", node("Reshape", [flat, shape], "by_label"), "distances", axis=2)
    energy = reduced("ReduceLogSumExp", LOGITS, "energy", axis=1, keepdims=1)
    scaling = weight("scale", np.array([[-1 / spread]])), weight("shift", np.array([middle / spread]))
    lacking = node("Relu", [node("Gemm", [energy, *scaling], "below_usual")], "lacking")  # (batch, 1)
    least = reduced("ReduceMin", node("Add", [lacking, distances], "unlikeness"), "least", axis=1)
    node("Sub", [weight("usual", np.array(distance / distance_spread)), least], SCORE)
    result.graph.node.extend(builder.nodes)
    result.graph.initializer.extend(builder.weights)
    result.graph.output.append(helper.make_tensor_value_info(SCORE, TensorProto.FLOAT, ["batch"]))
    onnx.checker.check_model(result, full_check=True)
    return result
