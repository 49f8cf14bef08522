"""What a training run shows: a bar on a terminal, plain lines elsewhere, a line per epoch that stays."""

import sys
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Column

from edge_train.training.loop import Epoch, Step

# What the whole line takes with a bar of four columns. A narrower terminal does without bar and rate: otherwise it is
# the batches and the time left that are cut.
FULL_COLUMNS = 80


class Display:
    """Shows a run on stderr; a context manager, so that the terminal is left in order after an interruption.

    Args:
        epochs: how many the run has in all.
        part_of: what the run is a part of, such as "run 2/6"; its bar says so, and its epochs leave no lines.
    """

    def __init__(self, epochs: int, part_of: str = "") -> None:
        self.epochs = epochs
        self.part_of = part_of
        console = Console(stderr=True)
        self.bar: Progress | None = None
        self.task: TaskID | None = None
        self.narrow = console.width < FULL_COLUMNS + len(part_of)
        if console.is_terminal:
            self.bar = Progress(
                TextColumn("{task.description}"),
                *(() if self.narrow else (BarColumn(),)),
                MofNCompleteColumn(table_column=Column(no_wrap=True)),
                TextColumn("{task.fields[figures]}"),
                TimeRemainingColumn(table_column=Column(no_wrap=True)),
                console=console,
                transient=True,
            )

    def __enter__(self) -> Self:
        if self.bar is not None:
            self.bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self.bar is not None:
            self.bar.stop()

    def step(self, step: Step) -> None:
        """Moves the bar of the running epoch."""
        if self.bar is None:
            return
        figures = f"loss {step.loss:.4f}  accuracy {step.accuracy:.2%}"
        if not self.narrow:
            figures += f"  {step.images_per_second:,.0f} images/s"
        description = f"{self.part_of}  epoch {step.epoch:>3}/{self.epochs}".lstrip()
        if self.task is None:
            self.task = self.bar.add_task(description, total=step.batches, figures=figures)
        elif self.bar.finished:  # the epoch before filled it, and its time left would stay 0
            self.bar.reset(self.task)
        self.bar.update(self.task, description=description, total=step.batches, completed=step.batch, figures=figures)

    def epoch(self, epoch: Epoch, *, best: bool) -> None:
        """Prints the line of a finished epoch."""
        if self.part_of:
            return
        line = (
            f"epoch {epoch.number:>3}/{self.epochs}  loss {epoch.training_loss:.4f}  "
            f"accuracy {epoch.training_accuracy:.2%}  validation loss {epoch.validation_loss:.4f}  "
            f"accuracy {epoch.validation_accuracy:.2%}  {epoch.seconds:.0f} s{'  *' if best else ''}"
        )
        if self.bar is not None:
            self.bar.console.print(line, highlight=False)
        else:
            print(line, file=sys.stderr, flush=True)  # noqa: T201
