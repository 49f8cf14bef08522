"""What is shown of a run while it goes on: a bar on a terminal, and event files for TensorBoard."""

import io
import sys

import pytest
from rich.console import Console

from edge.errors import MissingExtraError
from edge_train.training import callbacks
from edge_train.training.callbacks import ProgressBar, TensorBoard
from edge_train.training.loop import Epoch, Step
from edge_train.training.recipes import Recipe


def terminal(columns: int) -> Console:
    return Console(file=io.StringIO(), force_terminal=True, width=columns)


def step(epoch: int, batch: int) -> Step:
    return Step(epoch, batch, batches=430, loss=0.1, accuracy=0.9, images_per_second=12_345.0)


def line(shown: ProgressBar, columns: int) -> str:
    paper = Console(file=io.StringIO(), width=columns)
    paper.print(shown.bar.get_renderable())
    return paper.file.getvalue().strip()


def test_the_time_left_is_told_in_every_epoch():
    with ProgressBar(epochs=2, console=terminal(100)) as shown:
        for epoch in (1, 2):
            for batch in (1, 200, 215):
                shown.on_step(step(epoch, batch))
            (task,) = shown.bar.tasks
            assert task.time_remaining > 0
            assert (task.completed, task.total) == (215, 430)
            shown.on_step(step(epoch, 430))


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_no_width_cuts_the_batches_the_figures_or_the_time_left(columns):
    with ProgressBar(epochs=20, console=terminal(columns)) as shown:
        for batch in (1, 200, 215):
            shown.on_step(step(1, batch))
        text = line(shown, columns)
    assert "\n" not in text
    assert text.startswith("epoch   1/20 ")
    assert " 215/430 loss 0.1000  accuracy 90.00% " in text
    assert text.endswith(("0:00:00", "0:00:01"))
    assert ("12,345 images/s" in text) == (columns >= callbacks.FULL_COLUMNS)


def test_a_run_of_a_sweep_has_its_number_in_the_bar():
    with ProgressBar(epochs=20, part_of="run 2/6", console=terminal(100)) as shown:
        shown.on_step(step(1, 215))
        assert line(shown, 100).startswith("run 2/6  epoch   1/20 ")


def test_a_stream_that_is_no_terminal_gets_a_line_for_each_epoch_and_nothing_else(capsys):
    with ProgressBar(epochs=20) as shown:
        shown.on_step(step(1, 215))
        shown.on_epoch(Epoch(1, 0.5, 0.8, 0.25, 0.9, 3.2), best=True)
    assert capsys.readouterr().err == (
        "epoch   1/20  loss 0.5000  accuracy 80.00%  validation loss 0.2500  accuracy 90.00%  3 s  *\n"
    )


def test_event_files_without_tensorboard_name_the_extra_that_brings_it(monkeypatch, tmp_path):
    monkeypatch.delattr("torch.utils.tensorboard", raising=False)
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(MissingExtraError, match=r"edge-toolkit\[tensorboard\]"):
        TensorBoard(tmp_path, Recipe(), batches=430)
