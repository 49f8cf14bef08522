"""`edge data`: figures counted by hand on small sets, the sheet, and the command as it is typed."""

import json

import numpy as np
import pytest
from PIL import Image

from edge_train.data import exploration
from edge_train.data.datasets import Dataset
from edge_train.data.splits import Split

LABELS = ("arrow", "cross", "ring")


def split(part: str, labels: list[int], *levels: int) -> Split:
    """A picture for each label, all of one grey level."""
    images = np.stack([np.full((28, 28), level, np.uint8) for level in levels])
    return Split(f"signs-{part}", images, np.array(labels, np.int64))


@pytest.fixture
def splits() -> tuple[Split, ...]:
    training = split("training", [0, 0, 0, 0, 1, 1, 2], 0, 255, 255, 51, 102, 153, 127)
    return training, split("validation", [0, 1], 255, 200), split("test", [2], 255)


@pytest.fixture
def source(splits) -> Dataset:
    return Dataset("signs", "signs", LABELS, lambda: splits[:2], lambda: splits[2], lambda: "here")


@pytest.fixture
def found(source, splits) -> exploration.Exploration:
    return exploration.explore(source, splits)


def test_figures_are_those_of_the_pixels(found):
    training, validation, test = found.parts
    values = np.array([0, 255, 255, 51, 102, 153, 127]) / 255
    assert (training.mean, training.deviation) == pytest.approx((values.mean(), values.std()))
    assert training.ink_share == pytest.approx(3 / 7)
    assert (training.part, validation.part, test.part) == ("training", "validation", "test")
    assert [part.images for part in found.parts] == [7, 2, 1]
    assert [part.counts for part in found.parts] == [(4, 2, 1), (1, 1, 0), (0, 0, 1)]


def test_pictures_without_ink_and_pictures_that_were_there_before_are_counted(found):
    assert [part.empty for part in found.parts] == [4, 0, 0]
    assert [part.repeated for part in found.parts] == [1, 0, 0]
    assert [part.shared for part in found.parts] == [0, 1, 1]


def test_the_table_has_a_bar_for_each_class_as_long_as_its_share(found):
    lines = exploration.text(found).splitlines()
    assert lines[0] == "signs: 3 classes, 10 pictures of 28x28"
    assert lines[1] == "files: here"
    bars = {line.split()[0]: line.count("#") for line in lines if line.split() and line.split()[0] in LABELS}
    assert bars == {"arrow": 32, "cross": 16, "ring": 8}
    arrow = next(line for line in lines if line.startswith("arrow"))
    assert arrow.split()[1:5] == ["4", "1", "0", "57.1%"]
    assert lines[-1] == "the largest class has 4.00 times the pictures of the smallest"


def test_control_codes_in_a_label_do_not_reach_the_terminal(source, splits):
    named = Dataset("signs", "signs", ("\x1b[31m", "b", "c"), source.splits, source.test, source.where)
    assert "\x1b" not in exploration.text(exploration.explore(named, splits))


def test_the_sheet_has_a_row_for_each_class_with_its_own_pictures():
    labels = np.repeat(np.arange(3), (40, 4, 12))
    images = np.zeros((len(labels), 28, 28), np.uint8)
    images[:] = (60 + 60 * labels)[:, None, None]
    random = np.random.default_rng(0).permutation(len(labels))
    sheet = np.array(exploration.sample_sheet(Split("x-training", images[random], labels[random]), LABELS))
    rows = [255 - (60 + 60 * label) for label in range(3)]  # ink is dark on paper
    area = (28 * exploration.SHEET_SCALE) ** 2
    counts = [int((sheet == level).sum()) for level in rows]
    assert [round(count / area) for count in counts] == [10, 4, 10]
    assert [int(np.argmax((sheet == level).any(axis=1))) for level in rows] == sorted(
        int(np.argmax((sheet == level).any(axis=1))) for level in rows
    )


def test_a_sheet_of_very_many_classes_stays_a_picture(monkeypatch):
    monkeypatch.setattr(exploration, "MOST_ROWS", 2)
    training = split("training", [0, 1, 2], 50, 100, 150)
    of_the_third = np.array(exploration.sample_sheet(training, LABELS)) == 255 - 150
    assert of_the_third.sum() < 28 * 28  # a few pixels at the edges of letters, and no picture


@pytest.fixture
def data(edge_command, few_strokes):
    return lambda *options: edge_command("data", "--data", "strokes", *options)


def test_the_command_prints_the_table(data):
    ended = data()
    assert ended.code == 0
    assert ended.err == ""
    lines = ended.out.splitlines()
    assert lines[0] == "strokes: 10 classes, 280 pictures of 28x28"
    assert [line.split()[:2] for line in lines[4:7]] == [["training", "160"], ["validation", "80"], ["test", "40"]]


def test_json_is_one_object_with_every_figure(data):
    values = json.loads(data("--json").out)
    assert values["labels"] == list("0123456789")
    assert [part["part"] for part in values["parts"]] == ["training", "validation", "test"]
    assert values["parts"][0]["counts"] == {str(digit): 16 for digit in range(10)}
    assert 0.05 < values["parts"][0]["mean"] < 0.2


def test_the_sheet_is_written_as_png(data, tmp_path):
    ended = data("--out", tmp_path / "sheet.png")
    assert ended.out.splitlines()[-1] == f"sheet: {tmp_path / 'sheet.png'}"
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.format == "PNG"
        assert sheet.width > 10 * 28 * exploration.SHEET_SCALE


def test_a_sheet_by_a_name_of_another_format_is_refused(data, tmp_path):
    ended = data("--out", tmp_path / "sheet.jpg")
    assert ended.code == 2
    assert "name a file that ends in .png" in ended.err
    assert not list(tmp_path.glob("sheet.*"))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--data", ""], "no data set '' and no folder of that name"),
        (["--data", "cifar"], "no data set 'cifar' and no folder of that name; use one of mnist, fashion-mnist"),
        (
            ["--out", "nowhere/sheet.png"],
            "nowhere/sheet.png cannot be written: No such file or directory; choose another",
        ),
    ],
)
def test_what_cannot_be_shown_is_told_in_one_line_with_exit_1(data, tmp_path, monkeypatch, options, words):
    monkeypatch.chdir(tmp_path)
    ended = data(*options)
    assert (ended.code, ended.out) == (1, "")
    assert words in ended.err
    assert ended.err.count("\n") == 1
