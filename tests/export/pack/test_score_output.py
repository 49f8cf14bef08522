"""The output `score`: what the runtime computes from the logits, as nodes of the graph."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper

from edge.bundle.input import SCORE
from edge.bundle.manifest import Rejection
from edge.classifier.prediction import Scorer
from edge_export.graph.session import open_session
from edge_export.pack.score_output import add_score


def rejection(classes: int, seed: int = 0) -> Rejection:
    random = np.random.default_rng(seed)
    factor = np.linalg.cholesky(np.cov(random.normal(size=(classes, 20 * classes))) + 0.1 * np.eye(classes))
    return Rejection(
        threshold=-2.0,
        energy=(14.2, 4.1),
        distance=(3.0, 1.7),
        centres=tuple(map(tuple, (12 * np.eye(classes) + random.normal(size=(classes, classes))).tolist())),
        whitening=tuple(tuple(row[: place + 1]) for place, row in enumerate(factor.tolist())),
        data="mnist-validation",
        images=5000,
        rejected=0.01,
    )


def passes_logits_on(classes: int, opset: int) -> onnx.ModelProto:
    """A graph whose logits are its input."""
    values = [
        helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["batch", classes]) for name in ("x", "logits")
    ]
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["logits"])], "g", values[:1], values[1:])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


@pytest.mark.parametrize("opset", [13, 17, 20])
@pytest.mark.parametrize("classes", [2, 10, 32])
@pytest.mark.parametrize("batch", [1, 7])
@pytest.mark.sampled(6)
def test_the_graph_gives_what_the_runtime_computes(opset, classes, batch):
    facts = rejection(classes)
    random = np.random.default_rng(1)
    logits = np.concatenate(
        [
            (12 * np.eye(classes)[random.integers(0, classes, 50)] + random.normal(size=(50, classes))),
            random.normal(scale=5, size=(50, classes)),
            np.zeros((1, classes)),
            np.full((1, classes), 500.0),  # of an unbounded state on a page that is all ink: exp would be infinite
            np.full((1, classes), -500.0),
        ]
    ).astype(np.float32)
    session = open_session(add_score(passes_logits_on(classes, opset), facts))
    found = np.concatenate(
        [session.run([SCORE], {"x": part})[0] for part in np.array_split(logits, len(logits) // batch)]
    )
    assert found.dtype == np.float32
    assert found.shape == (len(logits),)
    np.testing.assert_allclose(found, Scorer.of(facts).scores(logits), rtol=1e-5, atol=1e-5)


def test_the_model_itself_stays_as_it_is_and_the_same_model_gives_the_same_bytes():
    model = passes_logits_on(10, 13)
    before = model.SerializeToString(deterministic=True)
    first, second = (add_score(model, rejection(10)).SerializeToString(deterministic=True) for _ in range(2))
    assert model.SerializeToString(deterministic=True) == before
    assert first == second


def test_it_costs_eight_kernels_and_two_small_matrices(tmp_path):
    plain = passes_logits_on(10, 13)
    scored = add_score(plain, rejection(10))
    assert scored.ByteSize() - plain.ByteSize() < 2000
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    options.log_severity_level = 3  # errors only
    onnxruntime.InferenceSession(scored.SerializeToString(), options, providers=["CPUExecutionProvider"])
    left = [node.op_type for node in onnx.load(tmp_path / "optimised.onnx").graph.node if node.op_type != "Identity"]
    assert len(left) == 8, left
