"""The report of a run: that its page stands alone, and that it tells what `metrics.json` tells."""

import json
import re
import sys
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from edge.errors import MissingExtraError
from edge_train import (
    report,
)
from edge_train.data import (
    datasets,
)
from edge_train.report import document, writing
from edge_train.report.figures import gallery
from edge_train.training import (
    checkpoint,
    events,
    trainer,
)
from edge_train.training.trainer import TrainingRequest

TINY = {"training": 160, "validation": 80, "test": 40}


class Found(HTMLParser):
    """What a page refers to, its identifiers, its text and the tables in it."""

    def __init__(self):
        super().__init__()
        self.references, self.identifiers, self.text, self.pictures, self.scripts = [], [], [], 0, 0
        self.rows = []

    def handle_starttag(self, tag, attrs):
        self.scripts += tag == "script"
        self.pictures += tag == "svg"
        if tag == "tr":
            self.rows.append([])
        if tag in {"td", "th"}:
            self.rows[-1].append("")
        for name, value in attrs:
            if name in {"href", "src", "xlink:href", "srcset", "data", "action"}:
                self.references.append(value)
            if name == "id":
                self.identifiers.append(value)

    def handle_data(self, data):
        self.text.append(data)
        if self.rows and self.rows[-1] and self.lasttag in {"td", "th"}:
            self.rows[-1][-1] += data.strip()


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A tanh RNN after one epoch on a few strokes, with its report and event files."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(datasets, "STROKE_IMAGES", TINY)
        dials = {"epochs": 1, "batch_size": 2, "augmentation": "none", "strokes": 0.0, "teacher": ""}
        sizes, out = {"hidden": 8}, tmp_path_factory.mktemp("runs")
        request = TrainingRequest("rnn", data="strokes", dials=dials, sizes=sizes, out=out, threads=1, tensorboard=True)
        return trainer.train(request)


@pytest.fixture
def folder(run):
    return run.path.parent


@pytest.fixture
def metrics(folder):
    return json.loads((folder / "metrics.json").read_text())


@pytest.fixture
def page(run):
    return run.report.read_text(encoding="utf-8")


@pytest.fixture
def found(page):
    parser = Found()
    parser.feed(page)
    return parser


def test_a_run_ends_with_a_page_its_pictures_and_all_figures(run, folder):
    assert run.report == folder / "report.html"
    drawn = {path.name for path in (folder / "pictures").iterdir()}
    assert drawn == {f"{name}{suffix}" for name in gallery.NAMES for suffix in (".png", ".svg")}


def test_the_page_needs_nothing_outside_itself(page, found):
    assert found.pictures == len(gallery.NAMES)
    assert found.scripts == 0
    assert all(reference.startswith(("#", "data:image/png;base64,")) for reference in found.references)
    assert "http" not in page
    assert "@import" not in page
    inside = re.findall(r"url\((?!#)[^)]*\)", page)
    assert not inside


def test_no_two_parts_of_the_page_have_one_name_and_every_reference_has_its_part(found, page):
    assert len(set(found.identifiers)) == len(found.identifiers)
    wanted = {reference[1:] for reference in found.references if reference.startswith("#")}
    wanted |= set(re.findall(r"url\(#([^)]*)\)", page))
    assert wanted
    assert wanted <= set(found.identifiers)


def test_the_figures_of_the_page_are_those_of_the_metrics(found, metrics, run):
    test = metrics["test"]
    rows = {row[0]: row[1:] for row in found.rows}
    for row in test["classes"]:
        shown = [f"{row[figure]:.4f}" for figure in ("precision", "recall", "f1")]
        assert rows[row["label"]] == [*shown, str(row["support"])]
    for kind in ("macro", "weighted"):
        assert rows[f"{kind} average"][2] == f"{test['averages'][kind]['f1']:.4f}"
    errors = [f"{test['calibration'][moment]['expected_error']:.2%}" for moment in ("before", "after")]
    assert rows["strokes-test"] == ["40", str(test["wrong"]), f"{test['accuracy']:.2%}", f"{test['loss']:.4f}", *errors]
    assert rows["total"][2:] == [f"{metrics['parameters']:,}", f"{metrics['macs']:,}"]
    assert rows["recurrent"][-1] == f"{28 * 8 * (28 + 8):,}"
    assert f"{run.test['accuracy']:.2%}" in found.text


def test_the_metrics_agree_with_the_checkpoint_and_with_each_other(metrics, run):
    stored = checkpoint.load(run.path)
    test = metrics["test"]
    assert metrics["schema"] == "edge.metrics/1"
    assert metrics["complete"] is True
    assert metrics["accuracy"] == list(stored.accuracy)
    assert metrics["temperature"] == stored.temperature
    assert metrics["best_epoch"] == stored.training["best_epoch"]
    assert metrics["settings"]["recipe"] == stored.training["recipe"]
    assert test["accuracy"] == pytest.approx(run.test["accuracy"])
    assert metrics["validation"]["accuracy"] == pytest.approx(run.best.validation_accuracy)
    counts = np.array(test["confusion"])
    assert counts.sum() == test["images"] == 40
    assert test["wrong"] == counts.sum() - np.trace(counts)
    for place, row in enumerate(test["classes"]):
        assert row["support"] == counts[place].sum()
        assert row["recall"] == pytest.approx(counts[place][place] / max(1, counts[place].sum()), abs=1e-6)


def test_the_mistakes_are_the_most_confident_ones(metrics):
    mistakes = metrics["test"]["mistakes"]
    confidences = [one["confidence"] for one in mistakes]
    assert len(mistakes) == min(25, metrics["test"]["wrong"])
    assert confidences == sorted(confidences, reverse=True)
    assert all(one["label"] != one["prediction"] for one in mistakes)


def test_the_schedule_is_that_of_the_recipe(metrics):
    assert metrics["learning_rate"]["steps"] == 80
    assert [step for step, _ in metrics["learning_rate"]["points"]] == list(range(80))


def test_pictures_can_be_opened_and_tell_no_date(folder):
    for path in (folder / "pictures").iterdir():
        if path.suffix == ".png":
            with Image.open(path) as opened:
                assert min(opened.size) > 100
        else:
            assert "<dc:date>" not in path.read_text(encoding="utf-8")


def test_a_report_made_again_is_the_same(folder, edge_command, monkeypatch):
    monkeypatch.setattr(datasets, "STROKE_IMAGES", TINY)
    files = [folder / "report.html", folder / "metrics.json", *sorted((folder / "pictures").iterdir())]
    before = [path.read_bytes() for path in files]
    ended = edge_command("report", folder)
    assert ended.code == 0, ended.err
    assert ended.out == f"report: {folder / 'report.html'}\n"
    assert [path.read_bytes() for path in files] == before


def test_event_files_are_written_where_they_were_asked_for(folder, metrics):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    read = EventAccumulator(str(folder / events.FOLDER))
    read.Reload()
    epoch = metrics["epochs"][0]
    expected = {f"{figure}/{part}" for figure in ("loss", "accuracy") for part in ("training", "validation")}
    assert set(read.Tags()["scalars"]) == {*expected, "learning_rate", "loss/step"}
    (accuracy,) = read.Scalars("accuracy/validation")
    assert (accuracy.step, accuracy.value) == (80, pytest.approx(epoch["validation_accuracy"]))
    assert [point.step for point in read.Scalars("loss/step")] == [50]
    assert read.Scalars("learning_rate")[0].value == pytest.approx(metrics["learning_rate"]["points"][-1][1])


def test_an_interrupted_run_has_no_test_figures_and_says_so(folder, tmp_path, monkeypatch):
    """The pictures of an earlier report that it cannot have are gone."""
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "confusion.png").write_bytes(b"of an earlier run")
    facts = document.read(folder)
    facts |= {"test": None, "complete": False}
    facts["settings"]["recipe"]["epochs"] = 5
    text = writing.write_document(tmp_path, facts, None).read_text(encoding="utf-8")
    assert "interrupted after 1 of 5 epochs" in text
    assert "the test split was not opened" in text
    assert "test accuracy" not in text
    assert "strokes-test" not in text
    drawn = {path.stem for path in (tmp_path / "pictures").iterdir()}
    assert drawn == {"course", "learning-rate", "reliability", "architecture"}


def test_ctrl_c_leaves_a_report_that_tells_of_no_test(tiny_run, monkeypatch):
    def step(_display, progress):
        if progress.epoch == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr("edge_train.training.progress.Display.step", step)
    monkeypatch.setattr(trainer, "test_split", lambda *_: pytest.fail("the test split was opened"))
    result = tiny_run(report=True)
    assert result.interrupted
    facts = document.read(result.path.parent)
    assert (facts["complete"], facts["test"], len(facts["epochs"])) == (False, None, 1)
    assert [record["split"] for record in facts["accuracy"]] == ["validation"]
    assert "interrupted after 1 of 2 epochs" in result.report.read_text(encoding="utf-8")


def test_event_files_without_tensorboard_name_the_extra_before_the_first_epoch(tiny_run, monkeypatch):
    monkeypatch.delattr("torch.utils.tensorboard", raising=False)
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    monkeypatch.setattr("edge_train.training.loop.run", lambda *_, **__: pytest.fail("trained first"))
    with pytest.raises(MissingExtraError, match=r"edge-toolkit\[tensorboard\]"):
        tiny_run(tensorboard=True)


def test_a_report_that_fails_loses_no_run(tiny_run, monkeypatch, capsys):
    def fail(*_: object) -> None:
        raise ZeroDivisionError("no such picture")

    monkeypatch.setattr(report, "write", fail)
    result = tiny_run(dials={"epochs": 1}, report=True)
    assert result.report is None
    assert result.test is not None
    assert checkpoint.load(result.path).accuracy[-1]["split"] == "test"
    told = capsys.readouterr().err
    assert "ZeroDivisionError" in told
    assert told.splitlines()[-1].endswith(f"`edge report {result.path.parent}` tries again")


def test_labels_may_be_anything(folder, tmp_path):
    facts = document.read(folder)
    labels = ["$x", "<b>", "あ", "a_b", "&", '"', "7", "eight", "$", "%"]
    facts["labels"] = labels
    for row, label in zip(facts["test"]["classes"], labels, strict=True):
        row["label"] = label
    images = np.zeros((40, 28, 28), np.uint8)
    text = writing.write_document(tmp_path, facts, images).read_text(encoding="utf-8")
    assert "<td>&lt;b&gt;</td>" in text
    assert "<td><b>" not in text
