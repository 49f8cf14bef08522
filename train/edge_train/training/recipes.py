"""How a model is trained: the hyperparameters, as data, and what each recipe reached."""

import dataclasses
import json
import math
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, Literal, get_args

from edge.errors import EdgeError
from edge.text import table
from edge_train.models.specification import MODELS

Optimiser = Literal["adamw", "adam", "sgd", "rmsprop"]
Schedule = Literal["one-cycle", "constant", "steps"]
Augmentation = Literal["none", "digits", "pictures"]
Initialisation = Literal["edge", "torch"]
Writers = Literal["usual", "all"]

SHARED = "*"  # the table of what all models of a recipe share
FINE_TUNED = "fine-tuned"  # the recipe that goes on from a checkpoint

# Share of the steps in which the learning rate rises; it falls along a cosine afterwards.
WARM_UP_SHARE = 0.2

# The learning rate of the schedule `steps` falls to a tenth at each third of the run.
FALLS = 3
FALL = 0.1

# The first of them in a line about a recipe; the rest follows where it is not as usual.
_MAIN = ("epochs", "batch_size", "optimiser", "learning_rate", "schedule")


class RecipeError(EdgeError, ValueError):
    """A hyperparameter is out of its range, or there is no recipe of that name."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """The hyperparameters of one training run.

    Attributes:
        epochs: how often every picture is seen.
        batch_size: pictures a step.
        learning_rate: of the schedule: its peak, its constant or its start.
        schedule: how the learning rate runs; see `learning_rate`.
        optimiser: what steps.
        momentum: of sgd and rmsprop.
        weight_decay: how strongly weights are pulled to zero.
        gradient_norm: gradients are clipped to this norm; 0 leaves them as they are.
        label_smoothing: share of a label that all classes divide.
        averaging: share of the old weights in the averaged ones after a step; with 0 the last weights count.
        augmentation: what is varied; `pictures` adds what the pre-processing leaves of a real picture.
        strokes: drawn digits mixed in, as a share of the training images.
        writers: who draws them: `all` writes rare forms as often as the usual ones, and with rare pens.
        outliers: drawn pictures of what is no digit, mixed in as a share of the training images.
        teacher: a model whose probabilities are learned beside the labels; empty for none.
        distillation: share of the teacher in the loss.
        interpolation: of a run that starts from a checkpoint: what is kept, between the weights of the start (0) and
            those of the last epoch (1).
        initialisation: `torch` leaves the first weights as torch draws them.
        seed: of weights, order and variation.
    """

    epochs: int = 20
    batch_size: int = 128
    learning_rate: float = 3e-3
    schedule: Schedule = "one-cycle"
    optimiser: Optimiser = "adamw"
    momentum: float = 0.0
    weight_decay: float = 1e-2
    gradient_norm: float = 1.0
    label_smoothing: float = 0.0
    averaging: float = 0.0
    augmentation: Augmentation = "digits"
    strokes: float = 0.0
    writers: Writers = "usual"
    outliers: float = 0.0
    teacher: str = ""
    distillation: float = 0.5
    interpolation: float = 1.0
    initialisation: Initialisation = "edge"
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
            "--outliers": (0, 10, self.outliers),
            "--distillation": (0, 1, self.distillation),
            "--interpolation": (0, 1, self.interpolation),
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
            "--writers": (self.writers, Writers),
        }
        for option, (chosen, kind) in choices.items():
            if chosen not in get_args(kind):
                raise RecipeError(f"{option} {chosen!r} is unknown; use one of {', '.join(get_args(kind))}")


@cache
def tables() -> dict[str, dict[str, Recipe]]:
    """All recipes by their name and their model, as `recipes.toml` has them."""
    written = tomllib.loads((resources.files("edge_train.training") / "recipes.toml").read_text(encoding="utf-8"))
    return {
        name: {model: Recipe(**{**entries[SHARED], **own}) for model, own in entries.items() if model != SHARED}
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
    """The recipe for pictures of something else than digits: nothing drawn, and no teacher that knows digits only."""
    return dataclasses.replace(recipe, strokes=0.0, outliers=0.0, teacher="")


def to_json(recipe: Recipe) -> dict[str, Any]:
    """The hyperparameters as plain values; `from_json` reads them back.

    What came later and is as it was before is not written down: older checkpoints keep their bytes.
    """
    values, usual = dataclasses.asdict(recipe), Recipe()
    for later in ("writers", "outliers", "interpolation"):
        if values[later] == getattr(usual, later):
            del values[later]
    return values


def from_json(values: dict[str, Any]) -> Recipe:
    """The recipe that `to_json` wrote.

    Raises:
        RecipeError: a hyperparameter is unknown, of another type or out of its range.
    """
    try:
        return Recipe(**values)
    except TypeError as error:
        raise RecipeError(
            f"the hyperparameters of the run do not fit this version: {error}; train the model again"
        ) from error


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


def describe() -> str:
    """The table of all recipes: their main hyperparameters, those that are not as usual, and what they reached."""
    rows = [("recipe", "model", "published", "reached", "hyperparameters")]
    for recipe, of_models in tables().items():
        for model, own in of_models.items():
            published = (MODELS[model].published if recipe == "origin" else "") or "-"
            rows.append((recipe, model, published, _test_accuracy(reached().get(recipe, {}).get(model, {})), text(own)))
    usual = Recipe()
    others = [field.name for field in dataclasses.fields(Recipe) if field.name not in _MAIN]
    return "\n".join(
        [
            *table.aligned(rows),
            "",
            "reached: accuracy on MNIST's test set, opened once at the end of a run; the mean of several seeds where",
            "their number is given. A hyperparameter that is not named is as usual:",
            f"{', '.join(_settings(usual, others))}.",
        ]
    )


def text(recipe: Recipe) -> str:
    """A recipe in one line: the main hyperparameters, then those that are not as usual."""
    usual = Recipe()
    main = [f"{recipe.epochs} epochs of batches of {recipe.batch_size}", f"{recipe.optimiser} {recipe.learning_rate:g}"]
    unusual = [
        field.name
        for field in dataclasses.fields(recipe)
        if field.name not in _MAIN and getattr(recipe, field.name) != getattr(usual, field.name)
    ]
    return ", ".join([*main, recipe.schedule, *_settings(recipe, unusual)])


@cache
def reached() -> dict[str, dict[str, dict[str, Any]]]:
    """What the recipes reached, by recipe and model: `validation` and `test` accuracies in [0, 1], one a seed."""
    content: dict[str, dict[str, dict[str, Any]]] = json.loads(
        (resources.files("edge_train.training") / "reached.json").read_text(encoding="utf-8")
    )
    return content


def _settings(recipe: Recipe, names: list[str]) -> list[str]:
    settings = {name: getattr(recipe, name) for name in names}
    return [
        f"{name.replace('_', '-')} {setting if setting or name == 'seed' else 'none'}"
        for name, setting in settings.items()
    ]


def _test_accuracy(run: dict[str, Any]) -> str:
    test: list[float] = run.get("test", [])
    if not test:
        return "not measured"
    mean = sum(test) / len(test)
    return f"{mean:.2%}" + (f" ({len(test)} seeds)" if len(test) > 1 else "")
