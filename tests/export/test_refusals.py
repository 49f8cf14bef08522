"""Where a promise breaks: what is told, and that nothing is written."""

import itertools
from pathlib import Path

import numpy as np
import pytest
from onnx import numpy_helper
from PIL import Image

from edge.classifier import classifier
from edge.errors import EdgeError, WriteError
from edge_export import pipeline
from edge_export.graph import fp16, recurrent_graph
from edge_export.int8 import candidates
from edge_export.int8.quantisation import QuantisationError
from edge_export.int8.recurrent import quantised_layers
from edge_export.int8.selection import NotWorthwhileError
from edge_export.parity import round_trip
from edge_export.parity.comparison import ParityError
from edge_train.models.specification import Recurrent
from edge_train.training import checkpoint
from edge_train.training.checkpoint import CheckpointError

PRECISIONS = ["fp32", "int8", "fp16"]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()} if folder.exists() else {}


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
    monkeypatch.setitem(recurrent_graph._GATE_ORDER, "lstm", (0, 1, 2, 3))


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
    real = quantised_layers.compensate_rounding
    monkeypatch.setattr(quantised_layers, "compensate_rounding", lambda *arguments: -real(*arguments))
    close = undecided(drawn(Recurrent("lstm", hidden=10), name="lstm"))
    with pytest.raises(ParityError, match=r"differs .* of 60 labels flip, 0\.20% may; .* would pass.*int8 is not safe"):
        export(close, precision="int8", candidate=None)


def test_force_does_not_buy_accuracy(drawn, undecided, export, old_export, monkeypatch):
    real = quantised_layers.compensate_rounding
    monkeypatch.setattr(quantised_layers, "compensate_rounding", lambda *arguments: -real(*arguments))
    with pytest.raises(ParityError, match="branched differs"):
        export(undecided(drawn(Recurrent("lstm", hidden=10), name="lstm")), precision="int8", force=True)


def test_int8_that_breaks_is_located(drawn, undecided, export, monkeypatch):
    real = quantised_layers.compensate_rounding

    def without_recurrent_products(*arguments):
        values = real(*arguments)
        values[:, 28:] = 0
        return values

    monkeypatch.setattr(quantised_layers, "compensate_rounding", without_recurrent_products)
    with pytest.raises(ParityError, match=r"weight-only differs .*; first at recurrent layer 0, step 1: error"):
        export(undecided(drawn(Recurrent("gru", hidden=10), name="gru")), precision="int8", candidate="weight-only")


def test_fp16_beyond_its_tolerance_is_refused(stored, export, old_export, monkeypatch):
    real = fp16.to_fp16

    def wrong(model):
        copy = real(model)
        bias = next(one for one in copy.graph.initializer if one.name == "head.bias")
        bias.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(bias) + np.float16(1), "head.bias"))
        return copy

    monkeypatch.setattr(fp16, "to_fp16", wrong)
    with pytest.raises(ParityError, match=r"onnx fp16 differs .*first at head.*export it in fp32, fp16 is not safe"):
        export(stored["lstm"], precision="fp16")


def test_a_difference_that_shows_only_in_the_runtime_is_refused(stored, export, old_export, monkeypatch):
    real = classifier.Classifier.logits
    monkeypatch.setattr(classifier.Classifier, "logits", lambda self, images: real(self, images) + np.float32(1e-3))
    with pytest.raises(ParityError, match="runtime differs from PyTorch on strokes-parity at batch 256"):
        export(stored["lstm"])


def test_a_picture_that_does_not_come_back_as_it_was_written_is_refused(stored, export, old_export, monkeypatch):
    monkeypatch.setattr(round_trip.preprocessing, "read", lambda path: 255 - np.asarray(Image.open(path)))
    with pytest.raises(ParityError, match="a 28x28 PNG does not come back as it was written"):
        export(stored["lstm"])


def test_a_file_that_changes_an_answer_is_refused_however_little(stored, export, old_export, monkeypatch):
    """int8 may differ from PyTorch; a picture as a file may not differ from itself as a tensor."""
    real = classifier.Classifier.logits
    seen = []

    def drifting(self, images):
        alone = np.ndim(images) == 2
        seen.append(alone)
        return real(self, images) + np.float32(1e-6) * (alone and sum(seen) == 1)  # the first file alone

    monkeypatch.setattr(classifier.Classifier, "logits", drifting)
    with pytest.raises(ParityError, match=r"PNG file differs .*: 1 of 12 pictures give other logits as files"):
        export(stored["cnn"], precision="int8")


def test_weights_that_are_not_finite_are_refused(stored, export, old_export):
    stored["lstm"].weights["head.bias"][0] = float("nan")
    with pytest.raises(CheckpointError, match=r"head\.bias in .* has 1 NaN"):
        export(stored["lstm"])


def test_int8_that_does_not_pay_is_refused(stored, export, old_export, speeds):
    speeds((0.9, 0.8))
    with pytest.raises(
        NotWorthwhileError,
        match=r"int8 does not pay here for throughput \(time for pictures in bulk\): the best candidate, \S+, is 0\.80 "
        r"times as good as fp32.*nothing was written; export it in fp32, choose another --optimize, or .* --force",
    ):
        export(stored["lstm"], precision="int8", candidate=None, goal="throughput")


def test_a_refusal_shows_what_was_measured(stored, few_digits, speeds, tmp_path):
    speeds((0.9, 0.8))
    checkpoint.save(tmp_path / "gru.safetensors", stored["gru"])
    request = pipeline.ExportRequest(
        "gru", tmp_path / "gru.safetensors", precision="int8", goal="latency", data="strokes", out=tmp_path / "out"
    )
    lines = []
    with pytest.raises(NotWorthwhileError):
        pipeline.export(request, lines.append)
    assert [line.split()[0] for line in lines[-1].splitlines()[1:4]] == ["weight-only", "stepped", "branched"]
    assert "slower than fp32 here: stepped at batch 1 (0.90x), 256 (0.80x)" in lines[-1]
    assert "(0.90x)" in lines[-1]
    assert "packed" not in lines[-1]
    assert not (tmp_path / "out").exists()


def test_fp16_may_be_slow_on_the_cpu_it_is_for_cuda(stored, export, speeds):
    speeds((0.01, 0.01))
    assert export(stored["lstm"], precision="fp16").path.is_file()


def test_nothing_to_quantise_is_refused(stored, export, old_export, monkeypatch):
    def nothing(*_):
        raise QuantisationError("nothing to quantise; export it without --quantize")

    monkeypatch.setattr(candidates, "build", nothing)
    with pytest.raises(QuantisationError):
        export(stored["lstm"], precision="int8")


@pytest.mark.parametrize(
    ("candidate", "words"),
    [("static-qdq", "the candidate static-qdq does not suit this model"), ("int4", "there is no candidate 'int4'")],
)
def test_a_candidate_that_does_not_exist_or_suit_is_refused(candidate, words, stored, export, old_export):
    with pytest.raises(QuantisationError, match=words):
        export(stored["gru"], precision="int8", candidate=candidate)


def test_a_folder_that_cannot_be_made_is_told(stored, export, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(EdgeError, match="choose another --out"):
        export(stored["lstm"], out=tmp_path / "file")
    assert (tmp_path / "file").read_text() == "in the way"


@pytest.mark.parametrize("last", ["report.json", "flips.png"])
def test_where_one_of_its_files_cannot_be_written_an_export_leaves_the_others_as_they_were(
    last, stored, export, tmp_path
):
    done = export(stored["lstm"])
    in_the_way = done.path.with_name(f"lstm.{last}")
    in_the_way.unlink(missing_ok=True)
    in_the_way.mkdir()
    before = contents(tmp_path / "out")
    stored["lstm"].weights["head.bias"][0] += 1
    with pytest.raises(WriteError, match=rf"lstm\.{last} cannot be written: .*; choose another --out"):
        export(stored["lstm"])
    assert contents(tmp_path / "out") == before
