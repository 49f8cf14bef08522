"""What a terminal shows while a model is trained."""

import io
from collections.abc import Callable

import pytest
from rich.console import Console

from edge_train.training import progress
from edge_train.training.loop import Step


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Makes the standard error stream a terminal of so many columns."""

    def of(columns: int) -> None:
        console = Console(file=io.StringIO(), force_terminal=True, width=columns)
        monkeypatch.setattr(progress, "Console", lambda **_: console)

    return of


def step(epoch: int, batch: int) -> Step:
    return Step(epoch, batch, batches=430, loss=0.1, accuracy=0.9, images_per_second=12_345.0)


def line(display: progress.Display, columns: int) -> str:
    paper = Console(file=io.StringIO(), width=columns)
    paper.print(display.bar.get_renderable())
    return paper.file.getvalue().strip()


def test_the_time_left_is_told_in_every_epoch(terminal):
    terminal(100)
    with progress.Display(epochs=2) as display:
        for epoch in (1, 2):
            for batch in (1, 200, 215):
                display.step(step(epoch, batch))
            (task,) = display.bar.tasks
            assert task.time_remaining > 0
            assert (task.completed, task.total) == (215, 430)
            display.step(step(epoch, 430))


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_no_width_cuts_the_batches_the_figures_or_the_time_left(terminal, columns):
    terminal(columns)
    with progress.Display(epochs=20) as display:
        for batch in (1, 200, 215):
            display.step(step(1, batch))
        shown = line(display, columns)
    assert "\n" not in shown
    assert shown.startswith("epoch   1/20 ")
    assert " 215/430 loss 0.1000  accuracy 90.00% " in shown
    assert shown.endswith(("0:00:00", "0:00:01"))
    assert ("12,345 images/s" in shown) == (columns >= progress.FULL_COLUMNS)


def test_a_run_of_a_sweep_has_its_number_in_the_bar(terminal):
    terminal(100)
    with progress.Display(epochs=20, part_of="run 2/6") as display:
        display.step(step(1, 215))
        assert line(display, 100).startswith("run 2/6  epoch   1/20 ")
