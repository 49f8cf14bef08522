"""What the epochs of a run show: the training split, drawn digits, pictures that show none, and a teacher's answers."""

from pathlib import Path

import torch
from torch import nn

from edge.bundle.input import DIGITS
from edge_train import strokes
from edge_train.data.datasets import Dataset
from edge_train.data.splits import Split
from edge_train.training import checkpoint
from edge_train.training.loop import TrainingData
from edge_train.training.recipes import Recipe, RecipeError

MIXED_SEED = 1_004  # beside those of the stroke splits
OUTLIER_SEED = 2_004
MIXED_POOL = 4  # times as many drawn digits as an epoch mixes in, so that epochs differ


def training_data(recipe: Recipe, source: Dataset, device: torch.device) -> TrainingData:
    """The splits of a data set, with what a recipe draws beside them and the teacher that it names.

    Args:
        recipe: of the run.
        source: the data set; drawn pictures go with the ten digits only.
        device: where the teacher is asked.

    Raises:
        RecipeError: what the recipe draws, or its teacher, does not go with the classes of the data.
        DataError: the data cannot be read.
    """
    if recipe.strokes and source.labels != DIGITS:
        raise RecipeError(f"{source.name} has other classes than drawn digits; leave --strokes out")
    if recipe.outliers and source.labels != DIGITS:
        raise RecipeError(f"what is drawn as no digit may be of {source.name}; leave --outliers out")
    teacher = _teacher(recipe.teacher, source, device) if recipe.teacher else None
    training, validation = source.splits()
    drawn = None
    if recipe.strokes:
        images, labels = strokes.sample(
            round(recipe.strokes * len(training) * MIXED_POOL),
            seed=MIXED_SEED + recipe.seed * 10,
            writers=recipe.writers,
        )
        drawn = Split("strokes-mixed", images, labels)
    outliers = None
    if recipe.outliers:
        count = round(recipe.outliers * len(training) * MIXED_POOL)
        outliers = strokes.sample_outliers(count, seed=OUTLIER_SEED + recipe.seed * 10)
    return TrainingData(training, validation, drawn, teacher, outliers)


def _teacher(name: str, source: Dataset, device: torch.device) -> nn.Module:
    """The model of a shipped checkpoint, or of a file, ready to be asked.

    Raises:
        RecipeError: there is no such checkpoint, or it has other classes than the data.
    """
    path = checkpoint.shipped(name) or Path(name)
    if not path.is_file():
        raise RecipeError(
            f"no teacher {name!r}; name a shipped checkpoint or a file with --teacher, or leave it out: ''"
        )
    stored = checkpoint.load(path)
    if stored.labels != source.labels:
        raise RecipeError(f"the teacher {name} has other classes than {source.name}; leave it out: --teacher ''")
    return stored.model().to(device)
