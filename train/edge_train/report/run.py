"""What a report is made of."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_train.data.splits import Split
from edge_train.training.checkpoint import Checkpoint
from edge_train.training.loop import Epoch
from edge_train.training.recipes import Recipe


@dataclass(frozen=True, slots=True)
class Answers:
    """A split and what the best epoch says of it.

    `logits`: float32 (N, classes), in the order of the split.
    """

    split: Split
    logits: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Course:
    """What a run was started with, and its epochs."""

    recipe: Recipe
    data: str
    training_images: int
    epochs: tuple[Epoch, ...]  # those that are complete, at least one


@dataclass(frozen=True, slots=True)
class Run:
    """A training run when it is over, or was interrupted.

    `checkpoint` is that of the best epoch; its temperature was fitted on the validation split. `test` is None for an
    interrupted run: the test split is opened once, by training, when the last epoch is done.
    """

    checkpoint: Checkpoint
    course: Course
    validation: Answers
    test: Answers | None = None
    environment: dict[str, Any] = field(default_factory=dict)  # see `environment.here`
