"""How a model is trained: the dials, as data."""

import dataclasses
import math
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, Literal, get_args

from edge.errors import EdgeError

Optimiser = Literal["adamw", "adam", "sgd", "rmsprop"]
Schedule = Literal["one-cycle", "constant", "steps"]
Augmentation = Literal["none", "digits", "pictures"]
Initialisation = Literal["edge", "torch"]

SHARED = "*"  # the table of the dials that all models of a recipe share

# Share of the steps in which the learning rate rises; it falls along a cosine afterwards.
WARM_UP_SHARE = 0.2

# The learning rate of the schedule `steps` falls to a tenth at each third of the run.
FALLS = 3
FALL = 0.1


class RecipeError(EdgeError, ValueError):
    """A dial of a recipe is out of its range, or there is no recipe of that name."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """The dials of one training run."""

    epochs: int = 20
    batch_size: int = 128
    learning_rate: float = 3e-3  # of the schedule: its peak, its constant or its start
    schedule: Schedule = "one-cycle"
    optimiser: Optimiser = "adamw"
    momentum: float = 0.0  # of sgd and rmsprop
    weight_decay: float = 1e-2
    gradient_norm: float = 1.0  # gradients are clipped to this norm; 0 leaves them as they are
    label_smoothing: float = 0.0
    averaging: float = 0.0  # share of the old weights in the averaged ones after a step; 0: the last weights count
    augmentation: Augmentation = "digits"  # `pictures` adds what the pre-processing leaves of a real picture
    strokes: float = 0.0  # drawn digits mixed in, as a share of the training images
    teacher: str = ""  # a model whose probabilities are learned beside the labels; empty: none
    distillation: float = 0.5  # share of the teacher in the loss
    initialisation: Initialisation = "edge"  # `torch` leaves the weights as torch draws them
    seed: int = 0

    def __post_init__(self) -> None:
        limits = {
            "--epochs": (1, 10_000, self.epochs),
            "--batch-size": (1, 65_536, self.batch_size),
            "--learning-rate": (1e-8, 100.0, self.learning_rate),
            "--momentum": (0, 0.9999, self.momentum),
            "--weight-decay": (0, 10, self.weight_decay),
            "--gradient-norm": (0, 1e6, self.gradient_norm),
            "--label-smoothing": (0, 0.9, self.label_smoothing),
            "--averaging": (0, 0.99999, self.averaging),
            "--strokes": (0, 10, self.strokes),
            "--distillation": (0, 1, self.distillation),
            "--seed": (0, 2**31 - 1, self.seed),
        }
        for option, (low, high, setting) in limits.items():
            if not low <= setting <= high:
                raise RecipeError(f"{option} {setting} is out of range; use a value from {low} to {high}")
        choices: dict[str, tuple[str, Any]] = {
            "--schedule": (self.schedule, Schedule),
            "--optimiser": (self.optimiser, Optimiser),
            "--augmentation": (self.augmentation, Augmentation),
            "--initialisation": (self.initialisation, Initialisation),
        }
        for option, (chosen, kind) in choices.items():
            if chosen not in get_args(kind):
                raise RecipeError(f"{option} {chosen!r} is unknown; use one of {', '.join(get_args(kind))}")


@cache
def tables() -> dict[str, dict[str, Recipe]]:
    """All recipes by their name and their model, as `recipes.toml` has them."""
    written = tomllib.loads((resources.files("edge_train.training") / "recipes.toml").read_text(encoding="utf-8"))
    return {
        name: {model: Recipe(**{**entries[SHARED], **dials}) for model, dials in entries.items() if model != SHARED}
        for name, entries in written.items()
    }


def named(recipe: str, model: str) -> Recipe:
    """The recipe of that name for a model.

    Raises:
        RecipeError: there is none; the message says what there is.
    """
    if recipe not in tables():
        raise RecipeError(f"no recipe {recipe!r}; use one of {', '.join(tables())}")
    of_models = tables()[recipe]
    if model not in of_models:
        raise RecipeError(
            f"{model} has no published run, and so no recipe {recipe!r}; "
            f"use --recipe best, or one of the models {', '.join(of_models)}"
        )
    return of_models[model]


def for_other_classes(recipe: Recipe) -> Recipe:
    """The recipe for pictures of something else than digits: without drawn digits and a teacher that knows digits."""
    return dataclasses.replace(recipe, strokes=0.0, teacher="")


def to_json(recipe: Recipe) -> dict[str, Any]:
    """The dials as plain values; `from_json` reads them back."""
    return dataclasses.asdict(recipe)


def from_json(values: dict[str, Any]) -> Recipe:
    """The recipe that `to_json` wrote.

    Raises:
        RecipeError: a dial is unknown, of another type or out of its range.
    """
    try:
        return Recipe(**values)
    except TypeError as error:
        raise RecipeError(f"the dials of the run do not fit this version: {error}; train the model again") from error


def learning_rate(recipe: Recipe, step: int, steps: int) -> float:
    """The learning rate of a step, counted from 0.

    A function of the step alone, so that a resumed run goes on with the same rates.

    Source: Smith and Topin, 2018, Super-Convergence, for the one cycle; its rise is linear, its fall a cosine to zero.
    """
    if recipe.schedule == "constant":
        return recipe.learning_rate
    if recipe.schedule == "steps":
        return recipe.learning_rate * FALL ** min(FALLS * step // steps, FALLS - 1)
    warm_up = max(1, round(WARM_UP_SHARE * steps))
    if step < warm_up:
        return recipe.learning_rate * (step + 1) / warm_up
    progress = (step - warm_up) / max(1, steps - warm_up)
    return recipe.learning_rate * 0.5 * (1 + math.cos(math.pi * progress))
