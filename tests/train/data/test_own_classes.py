"""Training on other classes than ten digits: the number of logits, the labels, and what digits alone may use."""

from pathlib import Path

import pytest
import torch
from PIL import Image

from edge_train import strokes
from edge_train.data.splits import DataError
from edge_train.models import (
    networks,
    specification,
)
from edge_train.models.specification import MODELS, Convolutional, Recurrent, SpecificationError, named, of_classes
from edge_train.training import (
    checkpoint,
)
from edge_train.training.recipes import RecipeError

SIGNS = ("arrow", "cross", "ring")


@pytest.fixture
def signs(tmp_path) -> Path:
    """Three classes of ten images."""
    for index, image in enumerate(strokes.sample(30, seed=51)[0]):
        folder = tmp_path / "signs" / SIGNS[index % 3]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / f"{index}.png")
    return tmp_path / "signs"


@pytest.mark.parametrize("classes", [2, 26, 1000])
@pytest.mark.parametrize("name", MODELS)
@pytest.mark.sampled(8)
def test_every_model_has_as_many_logits_as_there_are_classes(name, classes):
    model = networks.build(of_classes(named(name), classes)).eval()
    with torch.no_grad():
        assert model(torch.rand(2, 28, 28)).shape == (2, classes)


@pytest.mark.parametrize("name", MODELS)
def test_other_classes_come_back_from_json_and_ten_leave_it_as_it_was(name):
    other = of_classes(named(name), 4)
    assert specification.from_json(specification.to_json(other)) == other
    assert of_classes(other, 10) == named(name)
    assert "classes" not in specification.to_json(named(name)), "bundles of digits keep their bytes"


@pytest.mark.parametrize("classes", [1, 0, -3, 1001])
def test_a_number_of_classes_out_of_range_is_refused(classes):
    for model in ("lstm", "cnn"):
        with pytest.raises(SpecificationError, match="use data with 2 to 1,000 different labels"):
            of_classes(named(model), classes)


def test_a_chain_that_ends_in_another_width_is_told_the_right_one():
    assert of_classes(Convolutional("flatten linear10"), 4).layers == "flatten linear4"
    with pytest.raises(SpecificationError, match="end --chain in flatten linear4"):
        networks.build(of_classes(Convolutional("flatten linear7"), 4))


def test_a_model_of_other_classes_has_another_name():
    assert specification.name_of(Recurrent("lstm", hidden=64, classes=4)) == "lstm-64-4-classes"
    assert specification.name_of(of_classes(named("cnn"), 4)) == "cnn-4-classes"


@pytest.fixture
def folder_run(tiny_run, signs):
    """Trains for two epochs on the folder of signs, or as the fields say."""
    return lambda **fields: tiny_run(source=None, data=str(signs), **fields)


def test_a_run_on_a_folder_knows_its_labels_and_its_data(folder_run, signs, tmp_path):
    result = folder_run()
    assert result.path == tmp_path / "lstm-8-signs" / "lstm-8-signs.safetensors"
    stored = checkpoint.load(result.path)
    assert stored.labels == SIGNS
    assert stored.specification == Recurrent("lstm", hidden=8, classes=3)
    assert stored.training["data"] == str(signs)
    assert {(figure["data"], figure["split"]) for figure in stored.accuracy} == {
        ("signs", "validation"),
        ("signs", "test"),
    }


def test_a_run_on_a_folder_goes_on_as_if_it_had_not_stopped(folder_run, pressed, tmp_path):
    whole = folder_run(out=tmp_path / "whole").path.read_bytes()
    assert folder_run(out=tmp_path / "again", callbacks=pressed(2, 1)).interrupted
    assert folder_run(out=tmp_path / "again", resume=True).path.read_bytes() == whole


def test_a_run_does_not_go_on_with_other_classes_under_the_same_folder(folder_run, signs):
    folder_run()
    (signs / "ring").rename(signs / "anchor")
    with pytest.raises(
        DataError, match=r"started with the classes arrow, cross, ring, and .* has anchor, arrow, cross"
    ):
        folder_run(resume=True)


def test_drawn_digits_are_not_mixed_into_other_classes(folder_run):
    with pytest.raises(RecipeError, match="signs has other classes than drawn digits; leave --strokes out"):
        folder_run(hyperparameters={"strokes": 0.5})


def test_a_model_of_digits_teaches_no_other_classes(folder_run):
    with pytest.raises(RecipeError, match="the teacher lstm has other classes than signs; leave it out"):
        folder_run(hyperparameters={"teacher": "lstm", "distillation": 0.5})
