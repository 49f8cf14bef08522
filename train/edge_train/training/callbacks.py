"""Who is told of a run while it goes on: the terminal, TensorBoard, and whoever else asks."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

from edge.errors import MissingExtraError, WriteError
from edge.text.terminal import ProgressBar, to_stderr
from edge_train.training import recipes
from edge_train.training.loop import Epoch, TrainingStep
from edge_train.training.recipes import Recipe

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

TENSORBOARD_FOLDER = "tensorboard"
STEPS_BETWEEN = 50  # points of the loss within an epoch: enough to see it fall, few enough to cost nothing


class Callback(Protocol):
    """Is told of every step and of every epoch; what it raises ends the run, `KeyboardInterrupt` as Ctrl-C does."""

    def on_step(self, step: TrainingStep) -> None:
        """Is called after each step of the optimiser."""

    def on_epoch(self, epoch: Epoch, *, best: bool) -> None:
        """Is called after each epoch, when its files are written; `best` says whether it is the best one so far."""


class RunProgress:
    """Shows a run: on a terminal a bar for the running epoch, and everywhere a line for each epoch, which stays.

    A context manager, so that the terminal is left in order after an interruption.

    Args:
        epochs: how many the run has in all.
        part_of: what the run is a part of, such as "run 2/6"; its bar says so, and its epochs leave no lines.
        bar: where to; None draws on the standard error stream.
    """

    def __init__(self, epochs: int, part_of: str = "", bar: ProgressBar | None = None) -> None:
        self.epochs = epochs
        self.part_of = part_of
        self.bar = ProgressBar() if bar is None else bar

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.bar.clear()

    def on_step(self, step: TrainingStep) -> None:
        """Moves the bar of the running epoch."""
        if step.batch == 1:
            self.bar.begin(step.batches, f"{self.part_of} epoch {step.epoch}/{self.epochs}:")
        figures = f"loss {step.loss:.4f}", f"accuracy {step.accuracy:.2%}", f"{step.images_per_second:,.0f} images/s"
        self.bar.show(step.batch, figures)

    def on_epoch(self, epoch: Epoch, *, best: bool) -> None:
        """Prints the line of a finished epoch."""
        self.bar.clear()
        if self.part_of:
            return
        to_stderr(
            f"epoch {epoch.number:>3}/{self.epochs}  loss {epoch.training_loss:.4f}  "
            f"accuracy {epoch.training_accuracy:.2%}  validation loss {epoch.validation_loss:.4f}  "
            f"accuracy {epoch.validation_accuracy:.2%}  {epoch.seconds:.0f} s{'  *' if best else ''}"
        )


class TensorBoard:
    """Writes loss, accuracy and learning rate against the step; a context manager, so that the files are complete.

    Args:
        folder: of the event files.
        recipe: of the run.
        batches: steps of an epoch.
        done: epochs that are complete already, of a run that goes on; what was written after them is not shown.

    Raises:
        MissingExtraError: tensorboard is not installed.
        WriteError: the folder cannot be written.
    """

    def __init__(self, folder: Path, recipe: Recipe, batches: int, done: int = 0) -> None:
        self.recipe = recipe
        self.batches = batches
        self.before = (0, 0.0)  # batch and mean loss at the last point of the epoch
        try:
            from torch.utils import tensorboard
        except ModuleNotFoundError as error:
            raise MissingExtraError("train --tensorboard", "tensorboard", error.name or "tensorboard") from error
        try:
            if not done:  # a new run: the curves of the old one would be drawn into the same picture
                for old in folder.glob("events.out.tfevents.*"):
                    old.unlink()
            self.writer: SummaryWriter = tensorboard.SummaryWriter(str(folder), purge_step=done * self.batches + 1)
        except OSError as error:
            raise WriteError(f"{folder} cannot be written: {error.strerror}; check the folder and its space") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.writer.close()

    def on_step(self, step: TrainingStep) -> None:
        """Writes the mean loss since the last point, every `STEPS_BETWEEN` steps.

        The step has the mean over the epoch so far. Batches are of one size, but for the last one of an epoch, which
        counts as a whole one here.
        """
        if step.batch % STEPS_BETWEEN:
            return
        batch, loss = self.before if self.before[0] < step.batch else (0, 0.0)
        mean = (step.loss * step.batch - loss * batch) / (step.batch - batch)
        self.before = (step.batch, step.loss)
        self.writer.add_scalar("loss/step", mean, (step.epoch - 1) * self.batches + step.batch)

    def on_epoch(self, epoch: Epoch, *, best: bool) -> None:
        """Writes the figures of a finished epoch."""
        step = epoch.number * self.batches
        rate = recipes.learning_rate(self.recipe, step - 1, self.recipe.epochs * self.batches)
        self.writer.add_scalar("learning_rate", rate, step)
        for figure in ("loss", "accuracy"):
            for part in ("training", "validation"):
                self.writer.add_scalar(f"{figure}/{part}", getattr(epoch, f"{part}_{figure}"), step)
        self.writer.flush()
