"""Somebody's own classes, the whole way: a folder of pictures, a trained model, a bundle that knows their names."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from edge.bundle import bundle
from edge_export.parity import evaluation_data
from edge_train import strokes
from edge_train.data import datasets
from edge_train.data.splits import DataError
from edge_train.training import checkpoint

# Lines of each sign, in a square of 1 x 1.
SIGNS = {
    "arrow": [[(0, 0.5), (1, 0.5)], [(0.6, 0.1), (1, 0.5), (0.6, 0.9)]],
    "cross": [[(0, 0), (1, 1)], [(1, 0), (0, 1)]],
    "zigzag": [[(0, 0.2), (0.33, 0.9), (0.66, 0.1), (1, 0.8)]],
}
SEVEN = "no 7"  # digits on photographed paper, beside the drawn signs
LABELS = ("arrow", "cross", "no 7", "zigzag")


def draw(sign: str, seed: int) -> Image.Image:
    """A sign in pen on paper, or a photographed seven."""
    if sign == SEVEN:
        return Image.fromarray(strokes.draw_page(7, seed=seed, size=(160, 120)))
    random = np.random.default_rng([len(sign), seed])
    side = int(random.integers(60, 120))
    cosine, sine = np.cos(angle := random.uniform(-0.25, 0.25)), np.sin(angle)
    turn = np.array([[cosine, sine], [-sine, cosine]]) * side * random.uniform(0.4, 0.7)
    page = Image.new("L", (side, side), int(random.integers(215, 256)))
    pen = ImageDraw.Draw(page)
    ink, width = int(random.integers(0, 70)), max(int(side * random.uniform(0.05, 0.09)), 3)
    for line in SIGNS[sign]:
        points = (np.array(line) - 0.5 + random.normal(0, 0.03, (len(line), 2))) @ turn + side / 2
        pen.line([tuple(point) for point in points.tolist()], fill=ink, width=width, joint="curve")
    return page


def put(folder: Path, count: int, *, first: int = 0) -> Path:
    for sign in LABELS:
        (folder / sign).mkdir(parents=True)
        for seed in range(first, first + count):
            draw(sign, seed).save(folder / sign / f"{seed}.{'jpg' if seed % 3 else 'png'}")
    return folder


@pytest.mark.slow
def test_a_folder_becomes_a_bundle_that_names_its_classes(edge_command, few_digits, tmp_path):
    signs = put(tmp_path / "signs", 40)
    (signs / "cross" / "broken.png").write_bytes(b"no picture")
    runs, bundles = tmp_path / "runs", tmp_path / "bundles"
    trained = edge_command(
        *("train", "--model", "rnn", "--data", signs, "--epochs", "5", "--batch-size", "16"),
        *("--threads", "1", "--no-report", "--out", runs),
    )
    assert trained.code == 0, trained.err
    assert f"left out: {signs / 'cross' / 'broken.png'} is not a picture" in trained.err
    assert "signs test, " in trained.out
    weights = runs / "rnn-signs" / "rnn-signs.safetensors"
    assert checkpoint.load(weights).labels == LABELS

    exported = edge_command(
        *("export", "--checkpoint", weights, "--quantize", "--candidate", "stepped", "--max-drop", "10"),
        *("--out", bundles),
    )
    assert exported.code == 0, exported.err
    assert "signs-validation" in exported.out
    assert "accuracy of the bundle on signs test: " in exported.out
    path = bundles / "rnn-signs-int8.onnx"
    manifest = bundle.read(path.read_bytes()).manifest
    assert manifest.labels == LABELS
    assert manifest.architecture["classes"] == 4
    assert all(one.accuracy > 0.7 for one in manifest.accuracy)
    assert str(tmp_path).encode() not in path.read_bytes(), "a bundle names no folder of anybody's machine"

    verified = edge_command("verify", path)
    assert verified.code == 0, verified.err

    unseen = put(tmp_path / "unseen", 5, first=1000)
    files = [unseen / sign / f"{seed}.{'jpg' if seed % 3 else 'png'}" for sign in LABELS for seed in range(1000, 1005)]
    said = edge_command("predict", *files, "--model", path, "--json")
    answers = [json.loads(line) for line in said.out.splitlines()]
    assert [Path(answer["path"]) for answer in answers] == files
    assert all(tuple(answer["probabilities"]) == LABELS for answer in answers)
    right = [answer["label"] == file.parent.name for answer, file in zip(answers, files, strict=True)]
    assert np.mean(right) > 0.7


@pytest.fixture
def signs(tmp_path) -> Path:
    """Four classes of images that pass through bit for bit."""
    images = strokes.sample(80, seed=47)[0]
    for index, image in enumerate(images):
        folder = tmp_path / "signs" / LABELS[index % 4]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / f"{index}.png")
    return tmp_path / "signs"


def test_an_export_is_judged_on_the_validation_pictures_that_training_set_aside(signs):
    _, validation = datasets.find(str(signs)).splits()
    data = evaluation_data.find("auto", None, trained_on=str(signs), labels=LABELS)
    np.testing.assert_array_equal(data.parity.images, validation.images)
    assert (data.parity.name, data.calibration_name, data.test.name) == (
        "signs-validation",
        "signs-training",
        "signs-test",
    )
    assert data.labels == LABELS
    training = {image.tobytes() for image in data.calibration}
    assert len(training) == len(data.calibration), "a small folder is calibrated on once over"
    assert not training & {image.tobytes() for image in [*data.parity.images, *data.test.images]}


def test_another_folder_can_be_named_when_the_first_has_moved(signs, tmp_path):
    moved = signs.rename(tmp_path / "moved")
    data = evaluation_data.find(str(moved), None, trained_on=str(signs), labels=LABELS)
    assert data.parity.name == "moved-validation"


def test_a_folder_that_has_gone_is_told_and_nothing_is_taken_in_its_place(signs):
    shutil.rmtree(signs)
    with pytest.raises(DataError, match=r"was trained on .*signs, which is not here; name its folder with --data"):
        evaluation_data.find("auto", None, trained_on=str(signs), labels=LABELS)


def test_a_folder_of_other_classes_is_refused_with_both(signs):
    (signs / "cross").rename(signs / "plus")
    with pytest.raises(DataError, match=r"has the classes arrow, no 7, plus, zigzag, and the model arrow, cross"):
        evaluation_data.find(str(signs), None, labels=LABELS)


def test_a_published_set_that_has_gone_is_not_replaced_and_not_fetched(tmp_path):
    with pytest.raises(DataError, match=r"kmnist is not in .*--data-dir"):
        evaluation_data.find("auto", tmp_path, trained_on="kmnist", labels=datasets.find("kmnist").labels)


def test_what_was_trained_on_digits_is_judged_on_digits_as_before(tmp_path):
    for trained_on in (None, "mnist", "strokes"):
        assert evaluation_data.find("auto", tmp_path, trained_on=trained_on).parity.name == "strokes-parity"
