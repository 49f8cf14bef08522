"""A loss that is no number ends a run at once, and what was good before stays."""

import math

import pytest

from edge_train.training import checkpoint, loop, trainer
from edge_train.training.loop import DivergedError

WILD = {"optimiser": "sgd", "schedule": "constant", "gradient_norm": 0.0, "augmentation": "none"}


def test_a_run_that_diverges_says_where_and_what_to_change(tiny_run):
    with pytest.raises(DivergedError, match=r"in batch \d+ of epoch 1, .*; use a lower --learning-rate"):
        tiny_run(model="rnn-relu", dials={**WILD, "learning_rate": 100.0})


def test_the_best_epoch_before_it_is_kept(tiny_run, tmp_path, monkeypatch):
    real = loop._steps

    def steps(*arguments: object, epoch: int, **settings: object) -> object:
        for loss, hits, size in real(*arguments, epoch=epoch, **settings):
            yield (math.inf if epoch == 2 else loss), hits, size

    monkeypatch.setattr(loop, "_steps", steps)
    with pytest.raises(DivergedError, match="the loss is inf in batch 1 of epoch 2"):
        tiny_run(dials={"epochs": 3})
    stored = checkpoint.load(tmp_path / "lstm-8" / "lstm-8.safetensors")
    assert stored.training["best_epoch"] == 1


def test_a_run_that_is_chosen_among_others_leaves_the_test_set_closed(tiny_run, monkeypatch):
    def refuse(*_: object) -> None:
        raise AssertionError("the test set was opened")

    with monkeypatch.context() as closed:
        closed.setattr(trainer, "test_split", refuse)
        result = tiny_run(test=False)
    assert result.test is None
    assert [figure["split"] for figure in checkpoint.load(result.path).accuracy] == ["validation"]
    opened = tiny_run(resume=True)
    assert opened.test is not None
    assert [figure["split"] for figure in checkpoint.load(result.path).accuracy] == ["validation", "test"]


def test_a_part_of_something_leaves_no_lines_of_its_own(tiny_run, capsys):
    tiny_run(part_of="run 1/6")
    assert capsys.readouterr().err == ""
