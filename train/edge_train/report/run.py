"""What a report is made of."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_train.loop import Epoch
from edge_train.mnist import Split
from edge_train.recipes import Recipe
from edge_train.specification import Specification


@dataclass(frozen=True, slots=True)
class Answers:
    """A split and what the best epoch says of it.

    `logits`: float32 (N, classes), in the order of the split.
    """

    split: Split
    logits: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Run:
    """A training run when it is over, or was interrupted.

    `test` is None for an interrupted run: the test split is opened once, by training, when the last epoch is done.
    """

    name: str
    specification: Specification
    recipe: Recipe
    data: str
    labels: tuple[str, ...]  # of the columns of the logits
    training_images: int
    epochs: tuple[Epoch, ...]  # those that are complete, at least one
    best_epoch: int  # counted from 1; chosen by the validation split
    temperature: float  # fitted on the validation split
    accuracy: tuple[dict[str, Any], ...]  # the records of the checkpoint
    validation: Answers
    test: Answers | None
    environment: dict[str, Any] = field(default_factory=dict)  # see `environment.here`
