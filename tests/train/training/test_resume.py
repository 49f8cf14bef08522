"""Interruption: what Ctrl-C leaves is usable, and going on gives the bytes of a run that was never interrupted."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from edge.errors import EdgeError
from edge_train.training import checkpoint, evaluation, trainer
from edge_train.training.checkpoint import CheckpointError
from edge_train.training.recipes import RecipeError
from edge_train.training.trainer import TrainingRequest

CNN = {"model": "cnn", "sizes": {"chain": "conv5x4 bn relu pool conv3x6 relu dropout0.2 flatten linear10"}}


class Epochs:
    """Notes the epochs in which steps are taken."""

    def __init__(self) -> None:
        self.seen: list[int] = []

    def on_step(self, step):
        self.seen.append(step.epoch)

    def on_epoch(self, epoch, *, best):
        pass


def test_ctrl_c_leaves_a_usable_checkpoint(tiny_run, pressed, tmp_path):
    result = tiny_run(callbacks=pressed(2, 1), hyperparameters={"epochs": 3})
    assert result.interrupted
    assert result.test is None
    assert result.best.number == 1
    stored = checkpoint.load(result.path)
    with torch.no_grad():
        assert stored.model()(torch.zeros(1, 28, 28)).shape == (1, 10)
    course = json.loads((tmp_path / "lstm-8" / "metrics.json").read_text())
    assert [epoch["number"] for epoch in course["epochs"]] == [1]


def test_an_interrupted_run_says_how_to_go_on(tiny_run, pressed):
    assert "--resume goes on" in trainer.summary(tiny_run(callbacks=pressed(2, 1)))


@pytest.mark.represented(batch=(3,))
@pytest.mark.parametrize("fields", [{}, pytest.param(CNN, marks=pytest.mark.exhaustive)], ids=["lstm", "cnn"])
@pytest.mark.parametrize("batch", [1, 3])
def test_going_on_gives_the_bytes_of_an_uninterrupted_run(tiny_run, tmp_path, pressed, fields, batch):
    whole = tiny_run(out=tmp_path / "whole", hyperparameters={"epochs": 3}, **fields)
    tiny_run(callbacks=pressed(2, batch), out=tmp_path / "parts", hyperparameters={"epochs": 3}, **fields)
    resumed = tiny_run(out=tmp_path / "parts", hyperparameters={"epochs": 3}, resume=True, **fields)
    assert not resumed.interrupted
    assert resumed.path.read_bytes() == whole.path.read_bytes()
    assert resumed.test_record == whole.test_record


def test_it_goes_on_where_it_stopped(tiny_run, pressed):
    tiny_run(callbacks=pressed(3, 2), hyperparameters={"epochs": 4})
    resumed = Epochs()
    tiny_run(callbacks=(resumed,), hyperparameters={"epochs": 4}, resume=True)
    assert sorted(set(resumed.seen)) == [3, 4]


@pytest.mark.exhaustive  # what differs would not give the same bytes above
def test_the_settings_of_the_run_are_used_again(tiny_run, tiny_strokes, pressed, tmp_path):
    tiny_run(callbacks=pressed(2, 1), hyperparameters={"epochs": 3, "seed": 7})
    bare = TrainingRequest(sizes={"hidden": 8}, out=tmp_path, resume=True, threads=1)
    stored = checkpoint.load(trainer.train(bare, source=tiny_strokes).path)
    assert stored.training["recipe"]["seed"] == 7
    assert stored.training["recipe"]["epochs"] == 3
    assert stored.accuracy[0]["data"] == "strokes"


def test_other_hyperparameters_cannot_be_slipped_into_a_running_run(tiny_run, pressed):
    tiny_run(callbacks=pressed(2, 1), hyperparameters={"epochs": 3})
    with pytest.raises(RecipeError, match="--epochs 3, and --resume goes on with it"):
        tiny_run(hyperparameters={"epochs": 30}, resume=True)


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"sizes": {"hidden": 16}}, "started as lstm-8, .* leave --model, --hidden out"),
        ({"sizes": {"hidden": 16}, "model": None}, "started as lstm-8, .* leave --hidden out"),
        ({"model": "gru"}, "started as lstm-8, .* leave --model, --hidden out"),
        ({"model": "cnn", "sizes": {}}, "started as lstm-8, .* leave --model out"),
        ({"data": "mnist"}, "started with --data strokes, .* leave --data out"),
    ],
)
@pytest.mark.sampled(3)
def test_nothing_else_can_be_slipped_into_a_running_run_by_its_name(tiny_run, fields, complaint):
    done = tiny_run(name="mine")
    with pytest.raises(EdgeError, match=complaint):
        tiny_run(name="mine", **fields, resume=True)
    for same in ({}, {"model": None, "data": None, "sizes": {}}):
        assert tiny_run(name="mine", **same, resume=True).path == done.path


def test_ctrl_c_before_the_first_epoch_is_over_keeps_nothing_and_says_so(tiny_run, pressed, tmp_path):
    with pytest.raises(EdgeError, match="nothing was kept; start again"):
        tiny_run(callbacks=pressed(1, 2))
    assert not list(tmp_path.rglob("*.safetensors"))


@pytest.mark.represented(epoch=(1,))
@pytest.mark.parametrize("epoch", [1, 2])
def test_ctrl_c_while_an_epoch_is_being_kept_does_not_lose_it(tiny_run, tmp_path, monkeypatch, epoch):
    whole = tiny_run(out=tmp_path / "whole", hyperparameters={"epochs": 3, "augmentation": "none"})
    real, calls = evaluation.temperature_of, []

    def pressed(logits, labels):
        calls.append(1)
        if len(calls) == epoch:
            raise KeyboardInterrupt
        return real(logits, labels)

    monkeypatch.setattr(evaluation, "temperature_of", pressed)
    result = tiny_run(out=tmp_path / "parts", hyperparameters={"epochs": 3, "augmentation": "none"})
    assert result.interrupted
    assert result.best.number == epoch
    assert checkpoint.load(result.path).training["best_epoch"] == epoch
    monkeypatch.setattr(evaluation, "temperature_of", real)
    resumed = tiny_run(out=tmp_path / "parts", hyperparameters={"epochs": 3, "augmentation": "none"}, resume=True)
    assert resumed.path.read_bytes() == whole.path.read_bytes()


def test_a_finished_run_can_be_resumed_without_changing_anything(tiny_run):
    done = tiny_run()
    before = done.path.read_bytes()
    assert tiny_run(resume=True).path.read_bytes() == before


def test_nothing_to_resume_is_told(tiny_run):
    with pytest.raises(CheckpointError, match=r"no run to resume in .*lstm-8; start one without --resume"):
        tiny_run(resume=True)


@pytest.mark.parametrize("damage", ["truncated", "empty", "foreign"])
@pytest.mark.sampled(1)
def test_a_damaged_state_is_told(tiny_run, tmp_path, damage):
    path = tiny_run().path.parent / "last.safetensors"
    content = path.read_bytes()
    path.write_bytes({"truncated": content[:-1], "empty": b"", "foreign": b"PK\x03\x04 something else"}[damage])
    with pytest.raises(CheckpointError, match="is damaged"):
        tiny_run(resume=True)


@pytest.mark.parametrize("damage", ["hyperparameter", "sizes", "tensor"])
def test_a_state_whose_parts_do_not_fit_is_told(tiny_run, damage):
    path = tiny_run(name="mine").path.parent / "last.safetensors"
    content = path.read_bytes()
    header, tensors = json.loads(checkpoint.header_of(content)[checkpoint.HEADER]), load_tensors(content)
    if damage == "hyperparameter":
        header["settings"]["recipe"]["of_another_version"] = 1
    elif damage == "sizes":
        header["settings"]["specification"]["hidden"] = 9
    else:
        del tensors[next(name for name in tensors if name.startswith("model."))]
    path.write_bytes(save_tensors(tensors, metadata={checkpoint.HEADER: json.dumps(header)}))
    with pytest.raises(EdgeError, match=r"; (start the run|train the model) again"):
        tiny_run(name="mine", sizes={}, resume=True)


def test_a_checkpoint_is_no_state_to_go_on_from(tiny_run):
    path = tiny_run().path
    shutil.copy(path, path.parent / "last.safetensors")
    with pytest.raises(CheckpointError, match="start the run again without --resume"):
        tiny_run(resume=True)


@pytest.fixture
def started(tiny_run, tmp_path):
    """A run that goes on from a trained model: its options and where the model is."""
    start = tiny_run(out=tmp_path / "start", hyperparameters={"epochs": 1}).path
    return {"start": str(start), "hyperparameters": {"epochs": 3, "interpolation": 0.5, "outliers": 0.2}}


def test_a_run_from_a_checkpoint_goes_on_to_the_same_bytes_and_says_where_it_started(
    tiny_run, tmp_path, pressed, started
):
    whole = tiny_run(out=tmp_path / "whole", **started)
    tiny_run(callbacks=pressed(2, 1), out=tmp_path / "parts", **started)
    resumed = tiny_run(out=tmp_path / "parts", resume=True, **started)
    assert resumed.path.read_bytes() == whole.path.read_bytes()
    first = checkpoint.load(tmp_path / "start" / "lstm-8" / "lstm-8.safetensors")
    assert checkpoint.load(whole.path).training["start"] == {"name": "lstm-8", "sha256": first.sha256}


def test_a_start_cannot_be_slipped_into_a_run_that_had_none(tiny_run, pressed, tmp_path, started):
    tiny_run(callbacks=pressed(2, 1), out=tmp_path / "parts", hyperparameters={"epochs": 3})
    with pytest.raises(CheckpointError, match="without --start"):
        tiny_run(out=tmp_path / "parts", resume=True, hyperparameters={"epochs": 3}, start=started["start"])


def test_a_start_of_another_model_or_none_at_all_is_told(tiny_run, tmp_path, started):
    with pytest.raises(CheckpointError, match=r"lstm-8, and lstm-12 is to be trained.*--start"):
        tiny_run(out=tmp_path / "other", sizes={"hidden": 12}, start=started["start"])
    with pytest.raises(CheckpointError, match="name a file or a shipped model with --start"):
        tiny_run(out=tmp_path / "other", start="nobody")
    assert not (tmp_path / "other").exists()


def test_fine_tuning_without_a_start_is_told(tiny_run):
    with pytest.raises(RecipeError, match="name its checkpoint with --start"):
        tiny_run(recipe="fine-tuned")
