"""The course of a run as TensorBoard event files, for `edge train --tensorboard`."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from edge.errors import MissingExtraError
from edge_train.training import recipes
from edge_train.training.checkpoint import CheckpointError
from edge_train.training.loop import Epoch, Step
from edge_train.training.recipes import Recipe

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

FOLDER = "tensorboard"
STEPS_BETWEEN = 50  # points of the loss within an epoch: enough to see it fall, few enough to cost nothing


class Events:
    """Writes loss, accuracy and learning rate against the step; a context manager, so that the files are complete.

    Without a folder it writes nothing, and nothing of TensorBoard is imported.

    Args:
        folder: of the event files, or None.
        recipe: of the run.
        batches: steps of an epoch.
        done: epochs that are complete already, of a run that goes on; what was written after them is not shown.

    Raises:
        MissingExtraError: tensorboard is not installed.
        CheckpointError: the folder cannot be written.
    """

    def __init__(self, folder: Path | None, recipe: Recipe, batches: int, done: int = 0) -> None:
        self.recipe = recipe
        self.batches = batches
        self.before = (0, 0.0)  # batch and mean loss at the last point of the epoch
        self.writer: SummaryWriter | None = None
        if folder is None:
            return
        try:
            from torch.utils import tensorboard
        except ModuleNotFoundError as error:
            raise MissingExtraError("train --tensorboard", "tensorboard", error.name or "tensorboard") from error
        try:
            if not done:  # a new run: the curves of the old one would be drawn into the same picture
                for old in folder.glob("events.out.tfevents.*"):
                    old.unlink()
            self.writer = tensorboard.SummaryWriter(str(folder), purge_step=done * self.batches + 1)
        except OSError as error:
            raise CheckpointError(f"cannot write {folder}: {error.strerror}; check the folder and its space") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self.writer is not None:
            self.writer.close()

    def step(self, progress: Step) -> None:
        """Writes the mean loss since the last point, every `STEPS_BETWEEN` steps.

        The progress has the mean over the epoch so far. Batches are of one size, but for the last one of an epoch,
        which counts as a whole one here.
        """
        if self.writer is None or progress.batch % STEPS_BETWEEN:
            return
        batch, loss = self.before if self.before[0] < progress.batch else (0, 0.0)
        mean = (progress.loss * progress.batch - loss * batch) / (progress.batch - batch)
        self.before = (progress.batch, progress.loss)
        step = (progress.epoch - 1) * self.batches + progress.batch
        self.writer.add_scalar("loss/step", mean, step)

    def epoch(self, epoch: Epoch) -> None:
        """Writes the figures of a finished epoch."""
        if self.writer is None:
            return
        step = epoch.number * self.batches
        rate = recipes.learning_rate(self.recipe, step - 1, self.recipe.epochs * self.batches)
        self.writer.add_scalar("learning_rate", rate, step)
        for figure in ("loss", "accuracy"):
            for part in ("training", "validation"):
                self.writer.add_scalar(f"{figure}/{part}", getattr(epoch, f"{part}_{figure}"), step)
        self.writer.flush()
