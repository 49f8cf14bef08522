"""Verification: every step tells its outcome, and the first that fails ends it."""

import json
import math
import sys
import tempfile
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from edge import isolation, verification
from edge.bundle.graph import encode_metadata
from edge.errors import BundleError, VerificationError
from edge.verification import verify


def write(path, data):
    path.write_bytes(data)
    return path


def outcome_of(path):
    outcome = verify(path, "cpu")
    return [(step.name, step.passed) for step in outcome.steps], outcome


def test_a_good_bundle_passes_all_steps(bundle_path):
    steps, outcome = outcome_of(bundle_path)
    assert steps == [("digest", True), ("load", True), ("placement", True), ("evidence", True)]
    assert outcome.passed
    assert outcome.provider == "cpu"
    outcome.raise_if_failed()
    figures = outcome.steps[-1].figures
    assert figures["images"] == 5
    assert figures["flips"] == 0
    assert 0 <= figures["mean_logit_error"] <= figures["max_logit_error"] < 1e-4


def test_a_damaged_bundle_fails_at_the_digest(tmp_path, packed, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)  # no session is asked for
    steps, outcome = outcome_of(write(tmp_path / "cut.onnx", packed[:-1]))
    assert steps == [("digest", False)]
    assert not outcome.passed
    with pytest.raises(VerificationError, match=r"cut\.onnx fails at digest: .*damaged"):
        outcome.raise_if_failed()


def test_a_missing_file_fails_at_the_digest(tmp_path):
    assert outcome_of(tmp_path / "missing.onnx")[0] == [("digest", False)]


def test_a_graph_that_does_not_load_fails_at_the_load(tmp_path, repack, make_model, linear):
    for model in (make_model(linear, opset=40), make_model(linear, input_name="pixels")):
        steps, outcome = outcome_of(write(tmp_path / "new.onnx", repack(model=model)))
        assert steps == [("digest", True), ("load", False)]
        assert outcome.provider is None


def test_a_refused_provider_fails_at_the_load(tmp_path, repack):
    outcome = verify(write(tmp_path / "int8.onnx", repack(providers=("cpu",))), "cuda")
    assert [step.passed for step in outcome.steps] == [True, False]
    assert "CPU only" in outcome.steps[-1].detail


def test_a_node_that_ran_elsewhere_fails_at_the_placement(bundle_path, monkeypatch):
    class Elsewhere(onnxruntime.InferenceSession):
        """Its profile says that the softmax ran on CUDA."""

        def end_profiling(self):
            path = Path(super().end_profiling())
            events = json.loads(path.read_text())
            for event in events:
                arguments = event.get("args", {})
                if arguments.get("op_name") == "Softmax" and arguments.get("provider"):  # fences have none
                    arguments["provider"] = "CUDAExecutionProvider"
            path.write_text(json.dumps(events))
            return str(path)

    monkeypatch.setattr(onnxruntime, "InferenceSession", Elsewhere)
    steps, outcome = outcome_of(bundle_path)
    assert steps[2:] == [("placement", False), ("evidence", True)]
    assert "nodes ran elsewhere (Softmax the Softmax)" in outcome.steps[2].detail


def test_another_model_than_the_evidence_was_made_of_fails_with_the_tolerance_that_would_have_passed(
    tmp_path, repack, evidence, linear, make_model
):
    other = replace(linear, bias=linear.bias + np.float32(0.01))
    steps, outcome = outcome_of(write(tmp_path / "other.onnx", repack(model=make_model(other))))
    assert steps[-1] == ("evidence", False)
    figures = outcome.steps[-1].figures
    assert figures["max_logit_error"] == pytest.approx(0.01, abs=1e-4)
    assert figures["flips"] == 0
    assert "a tolerance of 1.1e-02 would have passed" in outcome.steps[-1].detail
    wider = replace(evidence, max_logit_error=1.1e-2)
    assert verify(write(tmp_path / "wider.onnx", repack(model=make_model(other), evidence=wider)), "cpu").passed


def test_an_image_is_held_to_its_own_limit(tmp_path, repack, evidence, linear, make_model):
    other = make_model(replace(linear, bias=linear.bias + np.float32(0.01)))
    own = replace(evidence, max_logit_error=1.0, limits=(1.0, 1.0, 1.0, 0.5e-2, 1.0))
    outcome = verify(write(tmp_path / "strict.onnx", repack(model=other, evidence=own)), "cpu")
    assert not outcome.passed
    assert outcome.steps[-1].figures["max_logit_error_image"] == evidence.kinds[3]
    assert f"{evidence.kinds[3]}: a tolerance of 1.1e-02 would have passed" in outcome.steps[-1].detail
    wider = replace(own, limits=(1.0, 1.0, 1.0, 1.1e-2, 1.0))
    assert verify(write(tmp_path / "wider.onnx", repack(model=other, evidence=wider)), "cpu").passed


@pytest.mark.parametrize(
    ("target", "exact", "told"),
    [("vnni", False, True), ("vnni", True, False), ("vnni", None, False), ("any", False, False), (None, False, False)],
)
def test_a_failure_on_a_processor_that_saturates_says_so(
    *, target, exact, told, tmp_path, repack, linear, make_model, monkeypatch
):
    monkeypatch.setattr("edge.session.cpu.int8_is_exact", lambda: exact)
    other = make_model(replace(linear, bias=linear.bias + np.float32(0.01)))
    outcome = verify(write(tmp_path / "other.onnx", repack(model=other, int8_target=target)), "cpu")
    assert not outcome.passed
    assert ("export it with --target any" in outcome.steps[-1].detail) == told


def test_an_extreme_may_flip_as_often_as_allowed_and_a_digit_never(tmp_path, repack, evidence):
    extremes = np.array([-1, -1, 1, -1, -1], np.float32)[:, None]  # all but the stroke
    loose = replace(evidence, logits=evidence.logits * extremes, max_logit_error=1e3)
    outcome = verify(write(tmp_path / "flipped.onnx", repack(evidence=loose)), "cpu")
    assert "4 flips of extremes allowed would have passed" in outcome.steps[-1].detail
    allowed = replace(loose, max_flips=5)
    outcome = verify(write(tmp_path / "allowed.onnx", repack(evidence=allowed)), "cpu")
    assert outcome.passed
    assert "0 of 1 digits flip (allowed 0), 4 of 4 extremes (allowed 4)" in outcome.steps[-1].detail
    digits = replace(allowed, logits=-evidence.logits)
    outcome = verify(write(tmp_path / "digits.onnx", repack(evidence=digits)), "cpu")
    assert "1 digits get another label than PyTorch gave" in outcome.steps[-1].detail
    assert (outcome.steps[-1].figures["digit_flips"], outcome.passed) == (1, False)


def test_what_fails_only_when_it_runs_is_told_by_every_step_that_runs_it(tmp_path, repack, make_model, linear):
    path = write(tmp_path / "picky.onnx", repack(model=make_model(linear, picky=True)))
    for outcome in (verify(path, "cpu"), isolation.verify_apart(path, "cpu")):
        assert [step.passed for step in outcome.steps] == [True, True, False, False]
        assert "onnxruntime failed on " in outcome.steps[2].detail
        assert "onnxruntime failed on a batch of 5 images" in outcome.steps[3].detail


@pytest.mark.represented(shape=((1, 28, 28),))  # a child starts for each
@pytest.mark.parametrize("shape", [(1, 28, 28), ("batch", 32, 32), ("batch", 784), ("batch", 1, 28, 28)])
def test_a_graph_of_another_shape_ends_in_a_table(tmp_path, repack, make_signature, shape, edge_command):
    path = write(tmp_path / "wrong.onnx", repack(model=make_signature(shape, ("batch", 10))))
    ended = edge_command("verify", path, "--provider", "cpu")
    assert ended.code == 1
    lines = ended.out.splitlines()
    assert [line.split()[:2] for line in lines[1:3]] == [["digest", "ok"], ["load", "FAILED"]]
    assert "the graph maps image uint8" in lines[2]


def test_answers_of_another_shape_are_told(evidence):
    def run(images):
        return np.zeros((len(images), 1, 10), np.float32), np.zeros((len(images), 10), np.float32)

    with pytest.raises(BundleError, match=r"answers 5 images with an array of shape \(5, 1, 10\), not \(5, 10\)"):
        verification.replay(run, evidence)


def test_where_no_folder_can_be_written_the_placement_is_not_measured(bundle_path, monkeypatch):
    def refuse(*_arguments, **_settings):
        raise FileNotFoundError(2, "No usable temporary directory found")

    monkeypatch.setattr(tempfile, "TemporaryDirectory", refuse)
    outcome = verify(bundle_path, "cpu")
    assert outcome.passed
    assert outcome.steps[2].detail.startswith("not measured, no folder can be written (No usable temporary directory")


def test_probabilities_at_another_temperature_than_the_manifest_says_fail(tmp_path, repack):
    outcome = verify(write(tmp_path / "hot.onnx", repack(temperature=2.0)), "cpu")
    assert not outcome.passed
    assert "off the softmax of the logits" in outcome.steps[-1].detail


def test_labels_that_do_not_fit_the_graph_fail_at_the_load(tmp_path, repack):
    steps, outcome = outcome_of(write(tmp_path / "two.onnx", repack(labels=("a", "b"))))
    assert steps[-1] == ("load", False)
    assert "10 classes in logits, the manifest 2 labels" in outcome.steps[-1].detail


def test_evidence_that_does_not_fit_the_labels_fails(tmp_path, repack, evidence):
    fewer = replace(evidence, logits=np.ascontiguousarray(evidence.logits[:, :9]))
    outcome = verify(write(tmp_path / "nine.onnx", repack(evidence=fewer)), "cpu")
    assert "9 classes for 10 labels" in outcome.steps[-1].detail


def test_unusable_evidence_fails(tmp_path, packed):
    body = packed[:-81].replace(b'"max_flips":0', b'"max_flips":x')
    outcome = verify(
        write(tmp_path / "odd.onnx", body + encode_metadata("edge.digest", sha256(body).hexdigest())), "cpu"
    )
    assert outcome.steps[-1].name == "evidence"
    assert not outcome.passed


def test_the_worst_of_single_images_and_the_batches_counts(evidence, linear):
    def run(images):
        logits = linear.logits(images) + np.float32(0.5 if len(images) == 1 else 0)
        powers = np.exp(logits - logits.max(1, keepdims=True))
        return logits, powers / powers.sum(1, keepdims=True)

    result = verification.replay(run, evidence)
    assert result.max_logit_error == pytest.approx(0.5, abs=1e-5)
    assert result.mean_logit_error == pytest.approx(0.5 / 3, abs=1e-5), "one by one, all at once, and among many"
    assert result.max_probability_error < 1e-5


def test_a_way_that_only_many_images_take_is_asked_too(evidence, linear):
    def run(images):
        logits = linear.logits(images) + np.float32(0.5 if len(images) >= verification.MANY_IMAGES else 0)
        return logits, linear.probabilities(images)

    assert len(evidence.images) < verification.MANY_IMAGES
    assert verification.replay(run, evidence).max_logit_error == pytest.approx(0.5, abs=1e-5)


def test_a_result_that_is_no_number_never_passes(tmp_path, repack, make_model, linear, evidence):
    loose = replace(evidence, max_logit_error=1e30, max_flips=5)
    path = write(tmp_path / "nan.onnx", repack(model=make_model(linear, nan=True), evidence=loose))
    outcome = verify(path, "cpu")
    assert not outcome.passed
    assert math.isnan(outcome.steps[-1].figures["max_logit_error"])
    for complaint in ("a tolerance of no size would have passed", "the probabilities are nan off"):
        assert complaint in outcome.steps[-1].detail
