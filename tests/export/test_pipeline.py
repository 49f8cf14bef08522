"""An export as a whole: the same bytes each time, a bundle that verifies, and a report of everything compared."""

import hashlib
import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from edge import verification
from edge.bundle import bundle
from edge_export import pipeline
from edge_export.graph import form
from edge_export.int8.quantisation import LARGEST
from edge_export.int8.selection import NotWorthwhileError
from edge_export.pack import packing
from edge_export.parity import evaluation_data
from edge_export.parity.comparison import ParityError
from edge_train import strokes
from edge_train.models.specification import Recurrent, to_json
from edge_train.training import checkpoint
from edge_train.training.evaluation import logits_of

PRECISIONS = ["fp32", "int8", "fp16"]
NAMES = ["lstm", "gru", "cnn"]


@pytest.mark.represented(name=("lstm",))
@pytest.mark.parametrize(
    ("name", "precision"), [("lstm", "int8"), ("gru", "int8"), ("cnn", "int8"), ("lstm", "fp16"), ("cnn", "fp32")]
)
def test_two_exports_give_the_same_bytes(name, precision, stored, export, exported):
    first, again = exported(name, precision), export(stored[name], precision=precision)
    assert first.path.name == again.path.name == (name if precision == "fp32" else f"{name}-{precision}") + ".onnx"
    assert first.path.read_bytes() == again.path.read_bytes()


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.represented(name=("lstm", "cnn"))
def test_a_bundle_reads_back_and_verifies(name, precision, exported):
    done = exported(name, precision)
    assert bundle.read(done.path).manifest == done.manifest
    checked = verification.verify(done.path, provider="cpu")
    assert checked.passed, checked.steps[-1].detail
    model = onnx.load(done.path)
    onnx.checker.check_model(model, full_check=precision != "int8")
    form.check_form(model, classes=10, lean=precision != "int8")


@pytest.mark.parametrize("name", NAMES)
def test_the_manifest_says_what_the_bundle_is(name, stored, exported):
    facts = exported(name, "int8").manifest
    assert (facts.name, facts.model, facts.precision) == (f"{name}-int8", name, "int8")
    assert facts.architecture == to_json(stored[name].specification)
    assert facts.labels == tuple("0123456789")
    assert facts.temperature == 0.75
    assert facts.checkpoint_sha256 == hashlib.sha256(checkpoint.to_bytes(stored[name])).hexdigest()
    assert (facts.opset, facts.ir_version, facts.minimum_onnxruntime) == (13, 7, "1.19")
    assert facts.method == {"lstm": "branched", "gru": "stepped", "cnn": "static-qdq"}[name]
    assert facts.int8_target == "any"
    assert facts.providers == (("cpu", "cuda") if name == "cnn" else ("cpu",))
    assert set(facts.versions) == {"edge-toolkit", "torch", "onnx", "onnxruntime"}
    assert (facts.input.shape, facts.input.dtype) == (("batch", 28, 28), "uint8")
    assert (facts.input.ink, facts.input.background) == (255, 0)


@pytest.mark.parametrize("name", NAMES)
def test_the_share_of_int8_in_the_manifest_is_that_of_the_graph(name, exported):
    done = exported(name, "int8")
    sizes = {1: 0, 3: 0, 6: 0}
    for weight in onnx.load(done.path).graph.initializer:
        if weight.name.startswith("score."):  # what judges the answer is no weight of the model
            continue
        array = numpy_helper.to_array(weight)
        if array.size > 1 and weight.data_type in sizes and not weight.name.endswith(("_scale", "_zero_point")):
            sizes[weight.data_type] += array.nbytes
    assert done.manifest.int8_weight_share == pytest.approx(sizes[3] / sum(sizes.values()), abs=1e-4)
    assert done.manifest.int8_weight_share > 0.5
    assert f"{done.manifest.int8_weight_share:.0%} of the weight bytes are int8" in done.manifest.int8_verdict
    assert "0 of 60 strokes-parity labels change, accuracy +0.00 points" in done.manifest.int8_verdict


@pytest.mark.represented(name=("lstm",))
@pytest.mark.parametrize(
    ("name", "candidate", "providers"),
    [
        ("lstm", "weight-only", ("cpu", "cuda")),
        ("lstm", "dynamic-lstm", ("cpu",)),
        ("lstm", "stepped", ("cpu",)),
        ("gru", "weight-only", ("cpu", "cuda")),
        ("gru", "branched", ("cpu",)),
    ],
)
@pytest.mark.sampled(3)
def test_a_bundle_names_the_providers_that_have_all_its_operators(name, candidate, providers, stored, export):
    facts = export(stored[name], precision="int8", candidate=candidate).manifest
    assert (facts.method, facts.providers) == (candidate, providers)


@pytest.mark.parametrize(("candidate", "target"), [("weight-only", None), ("stepped", "vnni")])
def test_only_integer_products_are_for_some_processors(candidate, target, stored, export, monkeypatch):
    monkeypatch.setattr("edge.session.cpu.int8_is_exact", lambda: True)
    facts = export(stored["rnn"], precision="int8", candidate=candidate, target="vnni").manifest
    assert facts.int8_target == target
    assert ("VNNI" in facts.int8_verdict) == (target is not None)


@pytest.mark.exhaustive  # what wins is said of the choice, what is packed of a candidate by name
def test_the_winner_for_the_goal_is_packed(stored, export, speeds):
    speeds((1.0, 1.0), dynamic_lstm=(3.0, 1.0), stepped=(0.5, 4.0), branched=(2.9, 3.9))
    packed = {
        goal: export(stored["lstm"], precision="int8", candidate=None, goal=goal).manifest.method
        for goal in ("latency", "throughput", "balanced")
    }
    assert packed == {"latency": "dynamic-lstm", "throughput": "stepped", "balanced": "branched"}


@pytest.mark.exhaustive  # two choices among all candidates
def test_the_same_speeds_give_the_same_choice_and_bytes(stored, export, speeds, tmp_path):
    speeds((1.2, 1.5), stepped=(1.21, 1.52))
    done = [
        export(stored["lstm"], precision="int8", candidate=None, goal="latency", out=tmp_path / out) for out in "ab"
    ]
    assert [one.manifest.method for one in done] == ["weight-only"] * 2, "the simplest of those that are alike"
    assert done[0].path.read_bytes() == done[1].path.read_bytes()


@pytest.mark.exhaustive  # two choices among all candidates
def test_a_candidate_that_is_named_gives_the_bytes_that_the_choice_gave(stored, export, speeds, tmp_path):
    speeds((1.0, 1.0), stepped=(3.0, 3.0))
    chosen = export(stored["lstm"], precision="int8", candidate=None, goal="latency")
    speeds((1.0, 1.0))
    named = export(stored["lstm"], precision="int8", candidate="stepped", out=tmp_path / "named")
    assert chosen.path.read_bytes() == named.path.read_bytes()


def test_force_changes_nothing_where_int8_pays(stored, export, speeds):
    speeds((2.0, 2.0))
    done = export(stored["lstm"], precision="int8", candidate=None, goal="latency", force=True)
    assert "--force" not in done.manifest.int8_verdict


@pytest.mark.exhaustive  # test_export_command.py asks the command the same
def test_force_packs_what_does_not_pay_and_the_bundle_says_so(stored, export, speeds):
    speeds((0.9, 0.9))
    with pytest.raises(NotWorthwhileError):
        export(stored["gru"], precision="int8", candidate=None, goal="throughput")
    done = export(stored["gru"], precision="int8", candidate=None, goal="throughput", force=True)
    assert done.manifest.int8_verdict.endswith(
        "packed by --force: no gain in throughput over fp32 where it was exported"
    )
    assert verification.verify(done.path, provider="cpu").passed


@pytest.mark.exhaustive  # said of the tolerances alone
def test_a_larger_budget_of_accuracy_takes_what_the_usual_one_refuses(drawn, undecided, export, monkeypatch):
    close = undecided(drawn(Recurrent("gru", hidden=10), name="gru"))
    monkeypatch.setitem(LARGEST, 8, 1)  # three levels: so coarse that labels change
    with pytest.raises(ParityError, match=r"labels flip, 0\.20% may"):
        export(close, precision="int8", max_drop=0.1)
    done = export(close, precision="int8", max_drop=60.0)
    report = json.loads(done.report.read_text())
    assert report["tolerances"]["int8"] == {"logit_error": None, "flip_share": 1.2, "accuracy_drop": 60.0}
    assert report["tolerances"]["fp32"]["accuracy_drop"] == 0
    assert done.rows[-2].flips > 0


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_other_precisions_claim_no_int8(precision, exported):
    facts = exported("lstm", precision).manifest
    assert (facts.method, facts.int8_weight_share, facts.int8_verdict) == ("none", 0.0, None)
    assert facts.int8_target is None
    assert facts.providers == ("cpu", "cuda")


def test_accuracy_is_told_with_the_data_of_checkpoint_and_bundle(exported):
    facts = exported("lstm").manifest
    assert [(one.of, one.data, one.split, one.images) for one in facts.accuracy] == [
        ("bundle", "strokes", "parity", 60),
        ("checkpoint", "mnist", "test", 10_000),
    ]
    _, labels = strokes.sample(60, seed=evaluation_data.PARITY_SEED)
    assert facts.accuracy[0].accuracy == pytest.approx((labels == 3).mean(), abs=1e-6)  # it always says 3


def test_the_evidence_is_the_golden_images_with_pytorchs_logits(stored, exported):
    evidence = bundle.read(exported("gru").path).evidence
    images, kinds = packing.golden_images()
    np.testing.assert_array_equal(evidence.images, images)
    assert evidence.kinds == kinds
    np.testing.assert_allclose(evidence.logits, logits_of(stored["gru"].model(), images), atol=1e-4)
    assert (evidence.max_logit_error, evidence.max_flips) == (1e-3, 0)


def test_nothing_private_is_in_a_bundle(exported):
    path = exported("lstm").path
    content = path.read_bytes()
    for word in (str(path.parent.parent).encode(), b"/home", b".safetensors", b"seconds"):
        assert word not in content


@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_report_is_json_with_every_comparison(precision, exported):
    done = exported("cnn", precision)
    report = json.loads(done.report.read_text())
    assert report["schema"] == "edge.export-report/1"
    assert report["bundle"] == done.manifest.name
    assert report["sha256"] == bundle.read(done.path).sha256
    assert report["size_bytes"] == done.path.stat().st_size == done.size_bytes
    assert report["manifest"] == json.loads(done.manifest.to_json())
    assert report["decided_on"] == "strokes-parity"
    assert report["reported_only"] is None
    assert report["calibration"] == ("strokes-calibration" if precision == "int8" else None)
    assert set(report["tolerances"]) == {"fp32", "fp16", "int8"}
    stages = ["onnx fp32"] * 6 + [f"onnx {precision}"] * 6 * (precision != "fp32") + ["runtime", "PNG file"]
    assert [row["stage"] for row in report["parity"]] == stages
    assert [row["batch"] for row in report["parity"][:6]] == [1, 2, 3, 17, 256, 1]
    assert all(row["passed"] and row["failures"] == [] for row in report["parity"])
    assert {row["data"] for row in report["parity"]} == {"strokes-parity", "extremes"}
    numbers = {"logits_max_error", "logits_mean_error", "probabilities_max_error", "probabilities_mean_error", "flips"}
    assert all(isinstance(row[number], int | float) for row in report["parity"] for number in numbers)
    timed = set() if precision == "fp32" else {1, 256}  # fp32 has nothing to be held against
    assert {one["batch"] for one in report["latency_us_per_image"]} == timed
    assert all(one["ratio"] > 0 and one["noise"] >= 0 for one in report["latency_us_per_image"])
    assert report["optimized_for"] == ("balanced" if precision == "int8" else None)
    assert [one["name"] for one in report["candidates"]] == ["static-qdq"] * (precision == "int8")
    assert {"torch", "onnx"} <= set(report["environment"]["distributions"])
    assert report["environment"]["cpu"]
    assert report["torch_accuracy"] == report["parity"][0]["accuracy"]


def test_the_report_holds_every_candidate_with_its_figures(stored, export, speeds):
    speeds((1.5, 2.0), dynamic_lstm=(4.0, 0.5))
    done = export(stored["lstm"], precision="int8", candidate=None, goal="latency", max_drop=0.5)
    report = json.loads(done.report.read_text())
    assert [one["name"] for one in report["candidates"]] == ["weight-only", "dynamic-lstm", "stepped", "branched"]
    for one in report["candidates"]:
        assert one["passed"] is True
        assert [row["batch"] for row in one["parity"]] == [1, 256, 1]
        assert {row["stage"] for row in one["parity"]} == {one["name"]}
        single, bulk = (4.0, 0.5) if one["name"] == "dynamic-lstm" else (1.5, 2.0)
        assert [each["ratio"] for each in one["latency_us_per_image"]] == [single, bulk]
        size = one["fp32_size_bytes"] / one["size_bytes"]
        assert one["gain"] == pytest.approx(
            {"latency": single, "throughput": bulk, "size": size, "balanced": (single * bulk * size) ** (1 / 3)}
        )
        assert one["load_ms"] > 0
    packed = next(one for one in report["candidates"] if one["name"] == done.manifest.method == "dynamic-lstm")
    assert report["latency_us_per_image"] == packed["latency_us_per_image"]
    assert report["optimized_for"] == "latency"


def test_every_entry_of_a_report_is_in_the_docs(exported):
    report = json.loads(exported("cnn", "int8").report.read_text())
    del report["manifest"], report["environment"]["distributions"]
    page = (Path(__file__).parents[2] / "docs" / "export.md").read_text(encoding="utf-8")
    described = page[page.index("### The report") :]
    assert f"`{report['schema']}`" in described
    missing = {entry for entry in entries(report) if f"`{entry}`" not in described}
    assert not missing - {"fp32", "fp16", "int8"}


def entries(value: object) -> set[str]:
    """The keys of all objects in a JSON document."""
    if isinstance(value, list):
        return {key for one in value for key in entries(one)}
    return set(value).union(*map(entries, value.values())) if isinstance(value, dict) else set()


def test_the_report_names_the_distribution_that_is_installed(stored, export, monkeypatch):
    """Where the GPU build is installed there is no distribution called `onnxruntime`."""
    from importlib import metadata

    real = metadata.version

    def version(name: str) -> str:
        if name == "onnxruntime":
            raise metadata.PackageNotFoundError(name)
        return "1.30.0" if name == "onnxruntime-gpu" else real(name)

    monkeypatch.setattr(metadata, "version", version)
    done = export(stored["lstm"])
    packages = json.loads(done.report.read_text())["environment"]["distributions"]
    assert packages["onnxruntime-gpu"] == "1.30.0"
    assert "onnxruntime" not in packages
    assert done.manifest.versions["onnxruntime"]


def test_steps_are_named_while_they_run(stored, few_digits, tmp_path):
    lines = []
    checkpoint.save(tmp_path / "gru.safetensors", stored["gru"])
    request = pipeline.ExportRequest(
        "gru",
        tmp_path / "gru.safetensors",
        precision="int8",
        data="strokes",
        out=tmp_path / "out",
        goal="size",
    )
    pipeline.export(request, lines.append)
    assert [line.split(":")[0] for line in lines] == [
        "PyTorch reads 10.00% of 60 strokes-parity images right",
        "step 1/4 convert",
        "step 2/4 quantise",
        "  measuring weight-only, stepped, branched against fp32",
        "step 3/4 parity",
        "step 4/4 pack",
    ]
    assert "the best candidate for size" in lines[2]
    assert "batches 1, 2, 3, 17, 256" in lines[4]
