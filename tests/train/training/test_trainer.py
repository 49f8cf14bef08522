"""A training run: what it leaves behind, and that the same seed leaves the same bytes."""

import ast
import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision

import edge_export
import edge_train
from edge.errors import EdgeError, MissingExtraError
from edge_train import strokes
from edge_train.data import (
    datasets,
)
from edge_train.data.datasets import Dataset
from edge_train.data.splits import DataError, Split
from edge_train.models import (
    networks,
)
from edge_train.models.specification import Recurrent, SpecificationError
from edge_train.training import (
    checkpoint,
    evaluation,
    loop,
    recipes,
    run_folder,
    trainer,
)
from edge_train.training.loop import TrainingData
from edge_train.training.trainer import DeviceError, TrainingRequest


def test_a_run_leaves_a_checkpoint_its_state_and_its_course(tiny_run, tmp_path):
    result = tiny_run()
    assert result.path == tmp_path / "lstm-8" / "lstm-8.safetensors"
    files = {path.name for path in result.path.parent.iterdir()}
    assert files == {"lstm-8.safetensors", "last.safetensors", "metrics.json"}


def test_the_checkpoint_describes_the_model_and_how_it_was_made(tiny_run):
    stored = checkpoint.load(tiny_run(hyperparameters={"epochs": 1, "seed": 5}).path)
    assert stored.name == "lstm-8"
    assert stored.specification == Recurrent("lstm", hidden=8)
    assert stored.labels == tuple("0123456789")
    assert stored.training["recipe"]["seed"] == 5
    assert stored.training["best_epoch"] == 1
    assert stored.training["versions"]["torch"] == torch.__version__
    figures = {(figure["data"], figure["split"]): figure["images"] for figure in stored.accuracy}
    assert figures == {("strokes", "validation"): 80, ("strokes", "test"): 40}


def test_the_figures_of_the_checkpoint_are_those_of_its_weights(tiny_run):
    stored = checkpoint.load(tiny_run().path)
    images, labels = strokes.sample(80, seed=datasets.STROKE_SEEDS["validation"])
    validation = next(figure for figure in stored.accuracy if figure["split"] == "validation")
    assert evaluation.score(stored.model(), Split("strokes-validation", images, labels))[1] == pytest.approx(
        validation["accuracy"], abs=1e-6
    )
    assert stored.temperature == evaluation.temperature_of(evaluation.logits_of(stored.model(), images), labels)


def test_the_best_epoch_is_kept_not_the_last(tiny_run, monkeypatch):
    accuracies = iter([0.5, 0.9, 0.2])
    weights = []

    def score(model, split, *, device=None):
        weights.append({name: tensor.clone() for name, tensor in model.state_dict().items()})
        return 1.0, next(accuracies, 0.0)

    monkeypatch.setattr(evaluation, "score", score)
    result = tiny_run(hyperparameters={"epochs": 3})
    stored = checkpoint.load(result.path)
    assert result.best.number == stored.training["best_epoch"] == 2
    assert all(torch.equal(tensor, weights[1][name]) for name, tensor in stored.weights.items())


def test_the_course_of_the_run_is_json_with_every_epoch(tiny_run):
    result = tiny_run()
    course = json.loads((result.path.parent / "metrics.json").read_text())
    assert [epoch["number"] for epoch in course["epochs"]] == [1, 2]
    assert set(course["epochs"][0]) == {
        "number",
        "training_loss",
        "training_accuracy",
        "validation_loss",
        "validation_accuracy",
        "seconds",
    }
    assert course["settings"]["name"] == "lstm-8"
    assert course["settings"]["recipe"]["epochs"] == 2
    assert course["accuracy"][-1] == result.test_record
    assert 0.25 <= course["temperature"] <= 4


def test_training_lowers_the_loss(tiny_run):
    result = tiny_run(
        hyperparameters={"epochs": 6, "learning_rate": 0.02, "augmentation": "none", "teacher": ""},
        sizes={"hidden": 16},
    )
    epochs = json.loads((result.path.parent / "metrics.json").read_text())["epochs"]
    assert epochs[-1]["training_loss"] < epochs[0]["training_loss"] - 0.1
    assert epochs[-1]["validation_loss"] < epochs[0]["validation_loss"] - 0.1


@pytest.mark.parametrize(
    "fields",
    [{"model": "cnn", "sizes": {"chain": "conv5x4 bn relu pool dropout0.2 flatten linear10"}}, {}],
    ids=["cnn", "lstm"],
)
@pytest.mark.sampled(1)  # an LSTM's are compared in test_resume.py
def test_the_same_seed_gives_the_same_bytes(tiny_run, tmp_path, fields):
    first, again, other = (
        tiny_run(out=tmp_path / folder, hyperparameters={"seed": seed}, **fields).path.read_bytes()
        for folder, seed in (("a", 1), ("b", 1), ("c", 2))
    )
    assert first == again
    assert first != other


@pytest.mark.exhaustive  # the same seed gives the same bytes above
def test_what_ran_before_in_the_process_decides_nothing(tiny_run, tmp_path):
    first = tiny_run(out=tmp_path / "a").path.read_bytes()
    torch.manual_seed(99)
    torch.rand(1000)
    np.random.default_rng().random(10)
    assert tiny_run(out=tmp_path / "b").path.read_bytes() == first


class Order:
    """Notes in which order epochs end and the test split is opened."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def on_step(self, step):
        pass

    def on_epoch(self, epoch, *, best):
        self.seen.append(f"epoch {epoch.number}")

    def of(self, source: Dataset) -> Dataset:
        def test() -> Split:
            self.seen.append("test")
            return source.test()

        return replace(source, test=test)


def test_the_test_split_is_opened_once_and_only_at_the_end(tiny_run, tiny_strokes):
    order = Order()
    tiny_run(source=order.of(tiny_strokes), callbacks=(order,))
    assert order.seen == ["epoch 1", "epoch 2", "test"]


def test_a_run_that_is_interrupted_or_chosen_among_others_leaves_the_test_split_closed(tiny_run, tiny_strokes, pressed):
    order = Order()
    source = order.of(tiny_strokes)
    assert tiny_run(source=source, callbacks=pressed(2, 1)).test is None
    result = tiny_run(source=source, resume=True, test=False)
    assert result.test is None
    assert [figure["split"] for figure in checkpoint.load(result.path).accuracy] == ["validation"]
    assert not order.seen
    opened = tiny_run(source=source, resume=True)
    assert order.seen == ["test"]
    assert opened.test is not None
    assert [figure["split"] for figure in checkpoint.load(result.path).accuracy] == ["validation", "test"]


def test_sizes_make_the_name_and_a_name_can_be_given(tiny_run, tmp_path):
    assert tiny_run(hyperparameters={"epochs": 1}, name="my-lstm").path == tmp_path / "my-lstm" / "my-lstm.safetensors"


@pytest.mark.parametrize("name", ["../elsewhere", "a/b", "my:model", ".hidden", "with space", "-x"])
def test_a_name_that_is_no_file_name_is_refused_before_anything_is_made(tiny_run, tmp_path, name):
    with pytest.raises(SpecificationError, match="--name"):
        tiny_run(name=name)
    assert not list(tmp_path.iterdir())


def test_what_cannot_work_is_told_before_the_first_epoch(tiny_run, tmp_path, pressed, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(EdgeError, match="choose another --out"):
        tiny_run(out=tmp_path / "file", callbacks=pressed(1, 1))
    monkeypatch.delattr("torch.utils.tensorboard", raising=False)
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(MissingExtraError, match=r"edge-toolkit\[tensorboard\]"):
        tiny_run(tensorboard=True, callbacks=pressed(1, 1))


def test_missing_data_is_told_and_leaves_no_folder(tiny_run, tmp_path, monkeypatch):
    def unreachable(*_: object, **__: object) -> None:
        raise OSError("Network is unreachable")

    monkeypatch.setattr(torchvision.datasets, "MNIST", unreachable)
    with pytest.raises(DataError, match="--data strokes"):
        tiny_run(source=None, data="mnist", data_dir=tmp_path / "data", out=tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


def test_cuda_is_refused_where_there_is_none(monkeypatch, tiny_run):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(DeviceError, match="--device cpu"):
        tiny_run(device="cuda")


def test_a_summary_ends_with_the_command_that_comes_next(tiny_run):
    result = tiny_run()
    lines = trainer.summary(result).splitlines()
    assert lines[0].startswith(f"best epoch {result.best.number}: validation accuracy ")
    assert "strokes test, 40 images" in lines[1]
    assert lines[-1] == f"next: edge export --model lstm-8 --checkpoint {result.path} --quantize"


def test_the_stroke_splits_are_three_different_ones(few_strokes):
    source = datasets.find("strokes")
    split = dict(zip(("training", "validation", "test"), (*source.splits(), source.test()), strict=True))
    pictures = [image.tobytes() for part in split.values() for image in part.images]
    assert len(set(pictures)) == len(pictures)
    assert [len(part) for part in split.values()] == [160, 80, 40]


def test_nothing_in_the_project_writes_pickle():
    for package in (edge_train, edge_export):
        for source in Path(package.__file__).parent.rglob("*.py"):
            text = source.read_text(encoding="utf-8")
            if not any(word in text for word in ("pickle", "torch.save", "torch.load")):
                continue
            tree = ast.parse(text)
            calls = {node: ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
            assert not {"torch.save", "pickle.dump"} & set(calls.values()), source
            # Reading somebody's state dict is allowed, executing what is in it is not.
            for call, name in calls.items():
                assert name != "torch.load" or "weights_only=True" in ast.unparse(call), source


def test_no_file_of_a_run_is_pickle(tiny_run):
    for path in tiny_run().path.parent.iterdir():
        content = path.read_bytes()
        assert not content.startswith((b"\x80", b"PK")), path
        if path.suffix == ".safetensors":
            header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
            assert "__metadata__" in header


def test_a_model_of_another_recipe_still_has_its_own_settings(tiny_run):
    stored = checkpoint.load(tiny_run(model="rnn", sizes={"hidden": 8}, hyperparameters={"epochs": 1}).path)
    assert stored.training["recipe"]["learning_rate"] == recipes.named("best", "rnn").learning_rate


def test_a_state_that_was_saved_has_every_slot_of_the_optimiser(tmp_path):
    recipe = recipes.Recipe(epochs=1, batch_size=8)
    state = loop.begin(networks.build(Recurrent("gru", hidden=4)), recipe, torch.device("cpu"))
    images, labels = strokes.sample(24, seed=1)
    split = Split("strokes-training", images, labels)
    loop.run(state, recipe, TrainingData(split, split), device=torch.device("cpu"))
    settings = run_folder.settings_of("gru-4", Recurrent("gru", hidden=4), recipe, "strokes")
    run_folder.save_state(tmp_path, state, settings)
    loaded = run_folder.load_state(tmp_path, torch.device("cpu"))
    assert loaded.epochs == state.epochs
    saved, found = (one.optimiser.state_dict()["state"] for one in (state, loaded))
    assert set(saved) == set(found) == set(range(6))
    for index, slots in saved.items():
        assert set(slots) == set(found[index]) == {"exp_avg", "exp_avg_sq", "step"}
        assert all(torch.equal(slots[kind], found[index][kind]) for kind in slots)


def test_a_request_has_the_documented_defaults():
    request = TrainingRequest()
    assert (trainer.DEFAULT_MODEL, trainer.DEFAULT_DATA) == ("lstm", "mnist")
    assert (request.model, request.data, request.out, request.resume, request.device) == (
        None,
        None,
        Path("runs"),
        False,
        "auto",
    )


@pytest.mark.exhaustive  # two trainings; that writers differ is said of the generator
def test_all_writers_draw_other_digits_than_the_usual_ones(tiny_run, tmp_path):
    """Everything else being the same, the weights differ; and so the writers did."""
    usual, everybody = (
        checkpoint.load(tiny_run(out=tmp_path / who, hyperparameters={"strokes": 0.5, "writers": who}).path)
        for who in ("usual", "all")
    )
    assert everybody.training["recipe"]["writers"] == "all"
    assert any(not torch.equal(usual.weights[name], everybody.weights[name]) for name in usual.weights)
