"""What is shown of a run while it goes on: a bar on a terminal, and event files for TensorBoard."""

import io
import re
import sys

import pytest

from edge.errors import MissingExtraError
from edge.text.terminal import ProgressBar
from edge_train.training.callbacks import RunProgress, TensorBoard
from edge_train.training.loop import Epoch, TrainingStep
from edge_train.training.recipes import Recipe


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    """A second passes whenever somebody looks."""

    now = 0.0

    def __call__(self) -> float:
        self.now += 1
        return self.now


def step(epoch: int, batch: int) -> TrainingStep:
    return TrainingStep(epoch, batch, batches=430, loss=0.1, accuracy=0.9, images_per_second=12_345.0)


def bars(terminal: Terminal) -> list[str]:
    return [line for line in terminal.getvalue().split("\r\x1b[K") if line]


def test_a_terminal_shows_the_running_epoch_its_figures_and_the_time_left():
    terminal = Terminal()
    with RunProgress(epochs=2, bar=ProgressBar(terminal, clock=Clock())) as progress:
        for epoch in (1, 2):
            for batch in (1, 2, 215, 430):
                progress.on_step(step(epoch, batch))
    shown = bars(terminal)
    for epoch in (1, 2):
        (line,) = [line for line in shown if f"epoch {epoch}/2: 215 of 430, " in line]
        assert re.search(r"\d+ s left  loss 0\.1000  accuracy 90\.00%  12,345 images/s$", line)
    assert len(shown) == 8
    assert terminal.getvalue().endswith("\r\x1b[K"), "the terminal is left in order"


def test_a_run_of_a_sweep_has_its_number_in_the_bar_and_leaves_no_line(capsys):
    terminal = Terminal()
    with RunProgress(epochs=20, part_of="run 2/6", bar=ProgressBar(terminal, clock=Clock())) as shown:
        shown.on_step(step(1, 1))
        shown.on_step(step(1, 215))
        shown.on_epoch(Epoch(1, 0.5, 0.8, 0.25, 0.9, 3.2), best=True)
    assert "run 2/6 epoch 1/20: 215 of 430" in bars(terminal)[-1]
    assert capsys.readouterr().err == ""


def test_a_stream_that_is_no_terminal_gets_a_line_for_each_epoch_and_nothing_else(capsys):
    with RunProgress(epochs=20) as shown:
        shown.on_step(step(1, 1))
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
