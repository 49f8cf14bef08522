"""A loss that is no number ends a run at once, and what was good before stays."""

import re

import pytest

from edge_train.training import checkpoint
from edge_train.training.loop import DivergedError

WILD = {"optimiser": "sgd", "schedule": "constant", "gradient_norm": 0.0, "augmentation": "none"}


def test_a_run_that_diverges_says_where_and_what_to_change(tiny_run):
    with pytest.raises(DivergedError, match=r"in batch \d+ of epoch 1, .*; use a lower --learning-rate"):
        tiny_run(model="rnn-relu", hyperparameters={**WILD, "learning_rate": 100.0})


def test_the_best_epoch_before_it_is_kept(tiny_run, tmp_path):
    """The rate rises over the first ten of fifty epochs, to one that no weights survive."""
    rising = {**WILD, "schedule": "one-cycle", "epochs": 50, "learning_rate": 100.0, "teacher": "", "strokes": 0.0}
    with pytest.raises(DivergedError) as ended:
        tiny_run(model="rnn-relu", hyperparameters=rising)
    epoch = int(re.search(r"of epoch (\d+),", str(ended.value)).group(1))
    stored = checkpoint.load(tmp_path / "rnn-relu-8" / "rnn-relu-8.safetensors")
    assert 1 <= stored.training["best_epoch"] < epoch


def test_a_part_of_something_leaves_no_lines_of_its_own(tiny_run, capsys):
    tiny_run(part_of="run 1/6")
    assert capsys.readouterr().err == ""
