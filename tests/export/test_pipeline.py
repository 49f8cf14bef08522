"""An export as a whole: the same bytes each time, a bundle that verifies, nothing written where a promise breaks."""

import io
import itertools
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from PIL import Image

from edge import bundle, classifier, verify
from edge.errors import EdgeError
from edge_export import (
    convert,
    deployed,
    golden,
    half,
    judging,
    latency,
    outcome,
    parity,
    pipeline,
    quantise,
    recurrent,
    session,
)
from edge_export.parity import ParityError
from edge_export.quantise import QuantisationError
from edge_export.tolerances import TOLERANCES, Tolerance
from edge_train import checkpoint, mnist, strokes
from edge_train.loop import logits_of
from edge_train.mnist import DataError
from edge_train.specification import Convolutional, Recurrent, to_json

PRECISIONS = ["fp32", "int8", "fp16"]
SIZES = {
    "lstm": Recurrent("lstm", hidden=10),
    "gru": Recurrent("gru", hidden=10, layers=2, bidirectional=True),
    "cnn": Convolutional("conv5x4 relu bn pool conv3x6 relu flatten linear10"),
}


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()} if folder.exists() else {}


@pytest.fixture
def stored(drawn, decided):
    return {
        name: decided(
            drawn(
                sizes,
                name=name,
                temperature=0.75,
                accuracy=({"data": "mnist", "split": "test", "images": 10_000, "accuracy": 0.5},),
            )
        )
        for name, sizes in SIZES.items()
    }


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("name", SIZES)
def test_two_exports_give_the_same_bytes(name, precision, stored, export, tmp_path):
    first = export(stored[name], precision=precision)
    again = export(stored[name], precision=precision, out=tmp_path / "again")
    assert first.path.name == again.path.name == (name if precision == "fp32" else f"{name}-{precision}") + ".onnx"
    assert first.path.read_bytes() == again.path.read_bytes()


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("name", SIZES)
def test_a_bundle_reads_back_and_verifies(name, precision, stored, export):
    done = export(stored[name], precision=precision)
    assert bundle.read(done.path).manifest == done.manifest
    checked = verify.verify(done.path, provider="cpu")
    assert checked.passed, checked.steps[-1].detail
    model = onnx.load(done.path)
    onnx.checker.check_model(model, full_check=precision != "int8")
    convert.check_form(model, classes=10)


@pytest.mark.parametrize("name", SIZES)
def test_the_manifest_says_what_the_bundle_is(name, stored, export, tmp_path):
    facts = export(stored[name], precision="int8").manifest
    assert (facts.name, facts.model, facts.precision) == (f"{name}-int8", name, "int8")
    assert facts.architecture == to_json(SIZES[name])
    assert facts.labels == tuple("0123456789")
    assert facts.temperature == 0.75
    assert facts.checkpoint_sha256 == checkpoint.load(tmp_path / f"{name}.safetensors").sha256
    assert (facts.opset, facts.ir_version, facts.minimum_onnxruntime) == (13, 7, "1.19")
    assert facts.method == {"lstm": "dynamic-lstm", "gru": "weight-only", "cnn": "static-qdq"}[name]
    assert facts.providers == (("cpu",) if name == "lstm" else ("cpu", "cuda"))
    assert set(facts.versions) == {"edge-toolkit", "torch", "onnx", "onnxruntime"}
    assert (facts.input.shape, facts.input.dtype) == (("batch", 28, 28), "uint8")
    assert (facts.input.ink, facts.input.background) == (255, 0)


@pytest.mark.parametrize("name", SIZES)
def test_the_share_of_int8_in_the_manifest_is_that_of_the_graph(name, stored, export):
    done = export(stored[name], precision="int8")
    sizes = {1: 0, 3: 0, 6: 0}
    for weight in onnx.load(done.path).graph.initializer:
        array = numpy_helper.to_array(weight)
        if array.size > 1 and weight.data_type in sizes and not weight.name.endswith(("_scale", "_zero_point")):
            sizes[weight.data_type] += array.nbytes
    assert done.manifest.int8_weight_share == pytest.approx(sizes[3] / sum(sizes.values()), abs=1e-4)
    assert done.manifest.int8_weight_share > 0.5
    assert f"{done.manifest.int8_weight_share:.0%} of the weight bytes are int8" in done.manifest.int8_verdict
    assert "0 of 60 strokes-parity labels change, accuracy +0.00 points" in done.manifest.int8_verdict


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_other_precisions_claim_no_int8(precision, stored, export):
    facts = export(stored["lstm"], precision=precision).manifest
    assert (facts.method, facts.int8_weight_share, facts.int8_verdict) == ("none", 0.0, None)
    assert facts.providers == ("cpu", "cuda")


def test_accuracy_is_told_with_the_data_of_checkpoint_and_bundle(stored, export, digits):
    facts = export(stored["lstm"]).manifest
    assert [(one.of, one.data, one.split, one.images) for one in facts.accuracy] == [
        ("bundle", "strokes", "parity", 60),
        ("checkpoint", "mnist", "test", 10_000),
    ]
    _, labels = strokes.sample(60, seed=judging.PARITY_SEED)
    assert facts.accuracy[0].accuracy == pytest.approx((labels == 3).mean(), abs=1e-6)  # it always says 3


def test_the_evidence_is_the_golden_images_with_pytorchs_logits(stored, export):
    done = export(stored["gru"])
    evidence = bundle.read(done.path).evidence
    images, kinds = golden.golden()
    np.testing.assert_array_equal(evidence.images, images)
    assert evidence.kinds == kinds
    np.testing.assert_allclose(evidence.logits, logits_of(stored["gru"].model(), images), atol=1e-4)
    assert (evidence.max_logit_error, evidence.max_flips) == (1e-3, 0)


def test_nothing_private_is_in_a_bundle(stored, export, tmp_path):
    content = export(stored["lstm"]).path.read_bytes()
    for word in (str(tmp_path).encode(), b"/home", b".safetensors", b"seconds"):
        assert word not in content


@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_report_is_json_with_every_comparison(precision, stored, export):
    done = export(stored["cnn"], precision=precision)
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
    assert {one["batch"] for one in report["latency_us_per_image"]} == {1, 256}
    assert all(one["ratio"] == one["baseline_us"] / one["candidate_us"] for one in report["latency_us_per_image"])
    assert "onnxruntime" in " ".join(report["environment"]["packages"])
    assert report["torch_accuracy"] == report["parity"][0]["accuracy"]


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
    packages = json.loads(done.report.read_text())["environment"]["packages"]
    assert packages["onnxruntime-gpu"] == "1.30.0"
    assert "onnxruntime" not in packages
    assert done.manifest.versions["onnxruntime"]


def test_steps_are_named_while_they_run(stored, few_digits, tmp_path):
    lines = []
    checkpoint.save(tmp_path / "gru.safetensors", stored["gru"])
    request = pipeline.Request(
        "gru", tmp_path / "gru.safetensors", precision="int8", data="strokes", out=tmp_path / "out"
    )
    pipeline.export(request, lines.append)
    assert [line.split(":")[0] for line in lines] == [
        "step 1/4 convert",
        "step 2/4 quantise",
        "step 3/4 parity",
        "step 4/4 pack",
    ]
    assert "batches 1, 2, 3, 17, 256" in lines[2]


# --- the flip sheet ---------------------------------------------------------------------------------------------------


@pytest.fixture
def coarse(monkeypatch):
    """int8 that uses only seven of its steps, and a budget that lets that pass."""
    real = quantise._per_row

    def rounded(array):
        largest = np.abs(array).max(axis=-1, keepdims=True)
        scale = (np.where(largest > 0, largest, 1) / 2).astype(np.float32)
        return np.rint(array / scale).astype(np.int8), scale

    def use(*, coarsely: bool) -> None:
        monkeypatch.setattr(quantise, "_per_row", rounded if coarsely else real)

    monkeypatch.setitem(TOLERANCES, "int8", Tolerance(logit_error=None, flip_share=1.0, accuracy_drop=100.0))
    return use


def test_pictures_whose_label_changed_are_shown_and_an_old_sheet_does_not_stay(
    *, drawn, decided, undecided, export, coarse, tmp_path
):
    close = undecided(drawn(Recurrent("gru", hidden=10), name="gru"))
    coarse(coarsely=True)
    done = export(close, precision="int8")
    flips = done.rows[-2].flips
    assert done.rows[-2].stage == "runtime"
    assert flips > 0
    assert done.flip_sheet == tmp_path / "out" / "gru-int8.flips.png"
    with Image.open(done.flip_sheet) as sheet:
        sheet.load()
        assert (sheet.format, sheet.mode) == ("PNG", "L")
        assert sheet.width >= min(flips, 8) * 28 * 4
        assert sheet.height >= -(-flips // 8) * 28 * 4
    coarse(coarsely=False)
    done = export(decided(close), precision="int8")
    assert done.flip_sheet is None
    assert sorted(contents(tmp_path / "out")) == ["gru-int8.onnx", "gru-int8.report.json"]


def test_the_sheet_of_another_bundle_stays(stored, export, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "lstm-int8.flips.png").write_bytes(b"of the int8 bundle")
    export(stored["lstm"])
    assert (tmp_path / "out" / "lstm-int8.flips.png").read_bytes() == b"of the int8 bundle"


def test_a_flip_sheet_says_truth_both_answers_and_both_margins(monkeypatch, digits):
    from edge_export import flips

    captions = []

    def sheet(images, texts, **_):
        captions.extend(texts)
        return Image.new("L", (len(images), 1))

    monkeypatch.setattr(flips, "contact_sheet", sheet)
    before, after = np.zeros((60, 10), np.float32), np.zeros((60, 10), np.float32)
    before[:, 4], after[:, 4] = 1.5, 1.5
    after[7, 9] = 2.0
    reference = parity.Reference(digits, before, before, digits.images, before, before)
    labels = [f"<{digit}>" for digit in range(10)]
    png = flips.flip_sheet(reference, after, np.array([7]), labels)
    assert captions == [f"is <{digits.labels[7]}>\ntorch <4>  +1.50\nnow <9>  +0.50"]
    assert Image.open(io.BytesIO(png)).format == "PNG"
    captions.clear()
    flips.flip_sheet(replace(reference, labelled=False), after, np.array([7]), labels)
    assert captions == ["torch <4>  +1.50\nnow <9>  +0.50"], "what is true is not known of somebody's own classes"


# --- refusals: nothing is written -------------------------------------------------------------------------------------


@pytest.fixture
def old_export(tmp_path):
    """A folder in which earlier exports lie, and a check that they lie there untouched, and nothing beside them."""
    (tmp_path / "out").mkdir()
    for name, suffix in itertools.product(("lstm", "lstm-int8", "lstm-fp16"), ("onnx", "report.json", "flips.png")):
        (tmp_path / "out" / f"{name}.{suffix}").write_bytes(f"the old {name}.{suffix}".encode())
    before = contents(tmp_path / "out")
    yield
    assert contents(tmp_path / "out") == before


@pytest.fixture
def swapped_gates(monkeypatch):
    monkeypatch.setitem(recurrent._GATE_ORDER, "lstm", (0, 1, 2, 3))


@pytest.mark.parametrize("precision", PRECISIONS)
def test_swapped_gates_are_refused_with_the_tolerance_and_the_place(
    precision, stored, export, old_export, swapped_gates
):
    with pytest.raises(ParityError) as refusal:
        export(stored["lstm"], precision=precision)
    text = str(refusal.value)
    assert text.startswith("onnx fp32 differs from PyTorch on strokes-parity at batch 1: max |logit error| ")
    assert "exceeds 0.0001; " in text
    assert " would pass" in text
    assert "first at recurrent layer 0, step 0: error " in text
    assert "nothing was written" in text


def test_a_refused_export_makes_no_folder(stored, export, tmp_path, swapped_gates):
    with pytest.raises(ParityError):
        export(stored["lstm"])
    assert not (tmp_path / "out").exists()


def test_int8_beyond_its_budget_is_refused(drawn, undecided, export, old_export, monkeypatch):
    real = quantise._per_row
    monkeypatch.setattr(quantise, "_per_row", lambda array: (-real(array)[0], real(array)[1]))
    with pytest.raises(ParityError, match=r"onnx int8 differs .* of 60 labels flip, 0\.20% may; .* would pass"):
        export(undecided(drawn(Recurrent("lstm", hidden=10), name="lstm")), precision="int8")


def test_int8_that_breaks_is_located(drawn, undecided, export, monkeypatch):
    real = quantise._per_row

    def broken(array):
        values, scale = real(array)
        return values, scale * (5 if array.shape[-1] == 10 and array.ndim == 3 else 1)  # the recurrent products

    monkeypatch.setattr(quantise, "_per_row", broken)
    with pytest.raises(ParityError, match="first at recurrent layer 0, step 1: error"):
        export(undecided(drawn(Recurrent("gru", hidden=10), name="gru")), precision="int8")


def test_fp16_beyond_its_tolerance_is_refused(stored, export, old_export, monkeypatch):
    real = half.to_fp16

    def wrong(model):
        copy = real(model)
        bias = next(one for one in copy.graph.initializer if one.name == "head.bias")
        bias.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(bias) + np.float16(1), "head.bias"))
        return copy

    monkeypatch.setattr(half, "to_fp16", wrong)
    with pytest.raises(ParityError, match=r"onnx fp16 differs .*first at head.*export it in fp32, fp16 is not safe"):
        export(stored["lstm"], precision="fp16")


def test_a_difference_that_shows_only_in_the_runtime_is_refused(stored, export, old_export, monkeypatch):
    real = classifier.Classifier.logits
    monkeypatch.setattr(classifier.Classifier, "logits", lambda self, images: real(self, images) + np.float32(1e-3))
    with pytest.raises(ParityError, match="runtime differs from PyTorch on strokes-parity at batch 256"):
        export(stored["lstm"])


def test_a_picture_that_does_not_come_back_as_it_was_written_is_refused(stored, export, old_export, monkeypatch):
    monkeypatch.setattr(deployed.picture, "read", lambda path: 255 - np.asarray(Image.open(path)))
    with pytest.raises(ParityError, match="a 28x28 PNG does not come back as it was written"):
        export(stored["lstm"])


def test_weights_that_are_not_finite_are_refused(stored, export, old_export):
    stored["lstm"].weights["head.bias"][0] = float("nan")
    with pytest.raises(ParityError, match="a logit is not finite"):
        export(stored["lstm"])


def test_int8_that_is_slower_by_far_is_refused(stored, export, old_export, monkeypatch):
    monkeypatch.setattr(
        latency, "measure", lambda *_: [latency.Latency(1, 10.0, 51.0), latency.Latency(256, 10.0, 60.0)]
    )
    with pytest.raises(
        ParityError, match=r"batch 1: 5\.1 times slower; batch 256: 6\.0 times slower.*without --quantize"
    ):
        export(stored["lstm"], precision="int8")


def test_int8_that_pays_at_one_batch_size_is_not_refused(stored, export, monkeypatch):
    monkeypatch.setattr(
        latency, "measure", lambda *_: [latency.Latency(1, 10.0, 90.0), latency.Latency(256, 10.0, 9.0)]
    )
    assert export(stored["lstm"], precision="int8").path.is_file()


def test_fp16_may_be_slow_on_the_cpu_it_is_for_cuda(stored, export, monkeypatch):
    monkeypatch.setattr(latency, "measure", lambda *_: [latency.Latency(1, 10.0, 900.0)])
    assert export(stored["lstm"], precision="fp16").path.is_file()


def test_nothing_to_quantise_is_refused(stored, export, old_export, monkeypatch):
    def nothing(*_):
        raise QuantisationError("nothing to quantise; export it without --quantize")

    monkeypatch.setattr(quantise, "quantise", nothing)
    with pytest.raises(QuantisationError):
        export(stored["lstm"], precision="int8")


def test_a_folder_that_cannot_be_made_is_told(stored, export, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(EdgeError, match="choose another --out"):
        export(stored["lstm"], out=tmp_path / "file")
    assert (tmp_path / "file").read_text() == "in the way"


def test_a_failed_write_leaves_the_old_bundle(stored, export, monkeypatch, tmp_path):
    done = export(stored["lstm"])
    before = contents(tmp_path)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("edge.bundle.os.fsync", full)
    request = pipeline.Request("lstm", tmp_path / "lstm.safetensors", data="strokes", out=tmp_path / "out")
    with pytest.raises(EdgeError):
        pipeline.export(request, lambda _: None)
    assert contents(tmp_path) == before
    assert done.path.is_file()


def test_everything_is_written_in_one_step_each(stored, export, monkeypatch):
    """A reader never sees a part of a file: `edge.bundle.write` replaces, and nothing else writes."""
    written = []
    real = bundle.write
    monkeypatch.setattr(outcome.bundle, "write", lambda path, data: (written.append(Path(path).name), real(path, data)))
    export(stored["lstm"])
    assert [name for name in written if name != "packed.onnx"] == ["lstm.onnx", "lstm.report.json"]


# --- what it is judged on ---------------------------------------------------------------------------------------------


def test_strokes_are_judged_on_where_there_is_no_mnist(few_digits, tmp_path):
    data = judging.find("auto", tmp_path)
    assert (data.parity.name, data.calibration_name, data.test) == ("strokes-parity", "strokes-calibration", None)
    assert (len(data.parity), len(data.calibration)) == (60, 40)


def test_mnist_that_is_asked_for_must_be_there(tmp_path, monkeypatch):
    def download(folder: Path) -> Path:
        raise DataError(f"MNIST is not in {folder} and could not be downloaded")

    monkeypatch.setattr(mnist, "download", download)
    with pytest.raises(DataError, match="could not be downloaded"):
        judging.find("mnist", tmp_path)


def test_mnist_that_is_damaged_is_told_and_not_replaced_by_strokes(tmp_path):
    for name in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"):
        (tmp_path / f"{name}-ubyte.gz").write_bytes(b"damaged")
    with pytest.raises(EdgeError, match="wrong MD5"):
        judging.find("auto", tmp_path)


def test_no_picture_is_both_judged_on_and_calibrated_on():
    data = judging.find("strokes", None)
    assert not {image.tobytes() for image in data.parity.images} & {image.tobytes() for image in data.calibration}
    assert (len(data.parity), len(data.calibration)) == (2000, 1000)


def test_golden_images_are_the_same_ones_every_time_and_hold_every_digit_and_the_extremes():
    images, kinds = golden.golden()
    again, _ = golden.golden()
    np.testing.assert_array_equal(images, again)
    assert (images.dtype, images.shape) == (np.uint8, (25, 28, 28))
    assert sorted(kinds[:20]) == sorted([f"stroke {digit}" for digit in range(10)] * 2)
    assert kinds[20:] == ("all-zero", "all-255", "noise", "noise", "noise")
    assert not images[20].any()
    assert (images[21] == 255).all()
    assert len(np.unique(images[22])) > 200
    assert len({image.tobytes() for image in images}) == 25


def test_latencies_are_medians_of_both_in_microseconds_an_image(monkeypatch):
    clock = [0.0]

    class Timed:
        def __init__(self, *seconds: float) -> None:
            self.seconds, self.batches = itertools.cycle(seconds), []

        def run(self, _names, feed):
            self.batches.append(len(feed["image"]))
            clock[0] += next(self.seconds)

    monkeypatch.setattr(latency.time, "perf_counter", lambda: clock[0])
    slow, fast = Timed(0.002), Timed(0.001, 0.001, 5.0)  # every third run meets something else on the machine
    measured = latency.measure(slow, fast, np.zeros((3, 28, 28), np.uint8))
    assert [one.batch for one in measured] == [1, 256]
    assert set(fast.batches) == set(slow.batches) == {1, 256}
    assert measured[0].baseline_us == pytest.approx(2000)
    assert measured[1].baseline_us == pytest.approx(2000 / 256)
    assert [one.ratio for one in measured] == pytest.approx([2.0, 2.0])


def test_sessions_run_on_one_thread(lstm):
    running = session.open_session(convert.convert(lstm).model)
    options = running.get_session_options()
    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (1, 1)
    assert running.get_providers() == ["CPUExecutionProvider"]
