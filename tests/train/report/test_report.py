"""The report of a run: that its page stands alone, and that it tells what `metrics.json` tells."""

import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from edge import charts
from edge_train.models.specification import Convolutional, Recurrent
from edge_train.report import architecture, figures, metrics, writing
from edge_train.report import page as report_page
from edge_train.report.figures import RenderedFigure
from edge_train.training import checkpoint, trainer
from edge_train.training.callbacks import TENSORBOARD_FOLDER
from edge_train.training.trainer import TrainingRequest


class ParsedPage(HTMLParser):
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
def run(tmp_path_factory, tiny_strokes):
    """A tanh RNN after one epoch on a few strokes, with its event files."""
    settings = {"epochs": 1, "batch_size": 2, "augmentation": "none", "strokes": 0.0, "teacher": ""}
    sizes, out = {"hidden": 8}, tmp_path_factory.mktemp("runs")
    request = TrainingRequest("rnn", hyperparameters=settings, sizes=sizes, out=out, threads=1, tensorboard=True)
    return trainer.train(request, source=tiny_strokes)


@pytest.fixture(scope="module")
def path(run):
    """The page of its report."""
    return writing.attempt(run)


@pytest.fixture
def folder(path):
    return path.parent


@pytest.fixture
def found(folder):
    return metrics.read(folder)


@pytest.fixture
def page(path):
    return path.read_text(encoding="utf-8")


@pytest.fixture
def parsed(page):
    parser = ParsedPage()
    parser.feed(page)
    return parser


def test_a_run_ends_with_a_page_its_pictures_and_all_figures(path, run, folder):
    assert path == run.path.parent / "report.html"
    drawn = {path.name for path in (folder / "pictures").iterdir()}
    assert drawn == {f"{name}{suffix}" for name in figures.NAMES for suffix in (".png", ".svg")}


def test_the_page_needs_nothing_outside_itself(page, parsed):
    assert parsed.pictures == len(figures.NAMES)
    assert parsed.scripts == 0
    assert all(reference.startswith(("#", "data:image/png;base64,")) for reference in parsed.references)
    assert "http" not in page
    assert "@import" not in page
    inside = re.findall(r"url\((?!#)[^)]*\)", page)
    assert not inside


def test_no_two_parts_of_the_page_have_one_name_and_every_reference_has_its_part(parsed, page):
    assert len(set(parsed.identifiers)) == len(parsed.identifiers)
    wanted = {reference[1:] for reference in parsed.references if reference.startswith("#")}
    wanted |= set(re.findall(r"url\(#([^)]*)\)", page))
    assert wanted
    assert wanted <= set(parsed.identifiers)


def test_the_figures_of_the_page_are_those_of_the_metrics(parsed, found, run):
    test = found["test"]
    rows = {row[0]: row[1:] for row in parsed.rows}
    for row in test["classes"]:
        shown = [f"{row[figure]:.4f}" for figure in ("precision", "recall", "f1")]
        assert rows[row["label"]] == [*shown, str(row["support"])]
    for kind in ("macro", "weighted"):
        assert rows[f"{kind} average"][2] == f"{test['averages'][kind]['f1']:.4f}"
    errors = [f"{test['calibration'][moment]['expected_error']:.2%}" for moment in ("before", "after")]
    assert rows["strokes-test"] == ["40", str(test["wrong"]), f"{test['accuracy']:.2%}", f"{test['loss']:.4f}", *errors]
    assert rows["total"][2:] == [f"{found['parameters']:,}", f"{found['macs']:,}"]
    assert rows["recurrent"][-1] == f"{28 * 8 * (28 + 8):,}"
    assert f"{run.test.accuracy:.2%}" in parsed.text


def test_the_metrics_agree_with_the_checkpoint_and_with_each_other(found, run):
    stored = checkpoint.load(run.path)
    test = found["test"]
    assert found["schema"] == "edge.metrics/1"
    assert found["complete"] is True
    assert found["accuracy"] == list(stored.accuracy)
    assert found["temperature"] == stored.temperature
    assert found["best_epoch"] == stored.training["best_epoch"]
    assert found["settings"]["recipe"] == stored.training["recipe"]
    assert test["accuracy"] == pytest.approx(run.test.accuracy)
    assert found["validation"]["accuracy"] == pytest.approx(run.best.validation_accuracy)
    counts = np.array(test["confusion"])
    assert counts.sum() == test["images"] == 40
    assert test["wrong"] == counts.sum() - np.trace(counts)
    for place, row in enumerate(test["classes"]):
        assert row["support"] == counts[place].sum()
        assert row["recall"] == pytest.approx(counts[place][place] / max(1, counts[place].sum()), abs=1e-6)


def test_the_mistakes_are_the_most_confident_ones(found):
    mistakes = found["test"]["mistakes"]
    confidences = [one["confidence"] for one in mistakes]
    assert len(mistakes) == min(25, found["test"]["wrong"])
    assert confidences == sorted(confidences, reverse=True)
    assert all(one["label"] != one["prediction"] for one in mistakes)


def test_the_schedule_is_that_of_the_recipe(found):
    assert found["learning_rate"]["steps"] == 80
    assert [step for step, _ in found["learning_rate"]["points"]] == list(range(80))


def test_pictures_can_be_opened_and_tell_no_date(folder):
    for path in (folder / "pictures").iterdir():
        if path.suffix == ".png":
            with Image.open(path) as opened:
                assert min(opened.size) > 100
        else:
            assert "<dc:date>" not in path.read_text(encoding="utf-8")


def test_a_report_made_again_is_the_same(folder, edge_command, few_strokes):
    files = [folder / "report.html", folder / "metrics.json", *sorted((folder / "pictures").iterdir())]
    before = [path.read_bytes() for path in files]
    ended = edge_command("report", folder)
    assert ended.code == 0, ended.err
    assert "drawing the report" in ended.err
    assert ended.out == f"report: {folder / 'report.html'}\n"
    assert [path.read_bytes() for path in files] == before


def test_event_files_are_written_where_they_were_asked_for(folder, found):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    read = EventAccumulator(str(folder / TENSORBOARD_FOLDER))
    read.Reload()
    epoch = found["epochs"][0]
    expected = {f"{figure}/{part}" for figure in ("loss", "accuracy") for part in ("training", "validation")}
    assert set(read.Tags()["scalars"]) == {*expected, "learning_rate", "loss/step"}
    (accuracy,) = read.Scalars("accuracy/validation")
    assert (accuracy.step, accuracy.value) == (80, pytest.approx(epoch["validation_accuracy"]))
    assert [point.step for point in read.Scalars("loss/step")] == [50]
    assert read.Scalars("learning_rate")[0].value == pytest.approx(found["learning_rate"]["points"][-1][1])


def test_an_interrupted_run_has_no_test_figures_and_says_so(folder, tmp_path):
    """The pictures of an earlier report that it cannot have are gone."""
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "confusion.png").write_bytes(b"of an earlier run")
    facts = metrics.read(folder)
    facts |= {"test": None, "complete": False}
    facts["settings"]["recipe"]["epochs"] = 5
    text = writing.write_metrics(tmp_path, facts, None).read_text(encoding="utf-8")
    assert "interrupted after 1 of 5 epochs" in text
    assert "the test split was not opened" in text
    assert "test accuracy" not in text
    assert "strokes-test" not in text
    drawn = {path.stem for path in (tmp_path / "pictures").iterdir()}
    assert drawn == {"course", "learning-rate", "reliability", "architecture"}


def test_ctrl_c_leaves_metrics_that_tell_of_no_test(tiny_run, pressed):
    found = metrics.of(tiny_run(callbacks=pressed(2, 1)))
    assert (found["complete"], found["test"], len(found["epochs"])) == (False, None, 1)
    assert [record["split"] for record in found["accuracy"]] == ["validation"]


def test_a_report_that_fails_loses_no_run_and_a_bug_keeps_its_traceback(run, tmp_path, capsys):
    lost = replace(run, path=tmp_path / run.path.name)
    assert writing.attempt(replace(lost, epochs=())) is None
    told = capsys.readouterr().err
    assert "Traceback" in told
    assert told.splitlines()[-1].endswith(f"`edge report {tmp_path}` tries again")


def test_a_report_that_cannot_be_written_is_told_in_one_line(run, tmp_path, capsys):
    (tmp_path / "metrics.json").mkdir()
    assert writing.attempt(replace(run, path=tmp_path / run.path.name)) is None
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"edge: the report failed (the metrics {tmp_path / 'metrics.json'} cannot be written")
    assert line.endswith("tries again")


@pytest.mark.parametrize(
    ("sizes", "words"),
    [
        (Recurrent("gru", hidden=16, layers=6, bidirectional=True), ["layer 6: GRU 16 ←", "28 rows of 28 pixels"]),
        (Convolutional("conv5x4 bn relu pool flatten linear10"), ["conv 5x5", "max 2x2", "BN", "4×24×24"]),
    ],
    ids=["recurrent", "convolutional"],
)
def test_the_picture_of_a_network_names_its_layers(sizes, words):
    with charts.style():
        drawn = charts.svg(architecture.picture(sizes, metrics.layers_of(sizes), list("0123456789")))
    assert all(word in drawn for word in words)


def test_labels_may_be_anything(found):
    labels = ["$x", "<b>", "あ", "a_b", "&", '"', "7", "eight", "$", "%"]
    found["labels"] = labels
    for row, label in zip(found["test"]["classes"], labels, strict=True):
        row["label"] = label
    images = np.zeros((40, 28, 28), np.uint8)
    drawn = dict.fromkeys(figures.NAMES, RenderedFigure("<svg></svg>", b""))
    with charts.style():
        for name, figure in (
            ("confusion", figures.confusion_matrix(found)),
            ("mistakes", figures.mistakes(found, images)),
        ):
            drawn[name] = RenderedFigure(charts.svg(figure), b"")
    text = report_page.of(found, drawn)
    assert "<td>&lt;b&gt;</td>" in text
    assert "<td><b>" not in text
