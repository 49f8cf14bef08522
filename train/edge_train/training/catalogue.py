"""What `edge train --list` shows: each recipe of each model, its dials, and the accuracy that it reached."""

import json
from dataclasses import fields
from functools import cache
from importlib import resources
from typing import Any

from edge.text import table
from edge_train.models.specification import MODELS
from edge_train.training import recipes
from edge_train.training.recipes import Recipe

# The dials in the order of their importance to a reader; the rest follows from `fields`.
ALWAYS = ("epochs", "batch_size", "optimiser", "learning_rate", "schedule")


def describe() -> str:
    """The table of all recipes."""
    rows = [("recipe", "model", "published", "reached", "dials")]
    for recipe, of_models in recipes.tables().items():
        for model, dials in of_models.items():
            run = reached().get(recipe, {}).get(model, {})
            rows.append((recipe, model, _published(recipe, model), _accuracy(run), text(dials)))
    return "\n".join(
        [
            *table.aligned(rows),
            "",
            "reached: accuracy on MNIST's test set, opened once at the end of a run; the mean of several seeds where",
            "their number is given. A dial that is not named is as usual:",
            f"{', '.join(_others(Recipe(), [field.name for field in fields(Recipe) if field.name not in ALWAYS]))}.",
        ]
    )


def text(recipe: Recipe) -> str:
    """The dials of a recipe in one line: the main ones, then those that are not as usual."""
    usual = Recipe()
    main = [f"{recipe.epochs} epochs of batches of {recipe.batch_size}", f"{recipe.optimiser} {recipe.learning_rate:g}"]
    unusual = [
        field.name
        for field in fields(recipe)
        if field.name not in ALWAYS and getattr(recipe, field.name) != getattr(usual, field.name)
    ]
    return ", ".join([*main, recipe.schedule, *_others(recipe, unusual)])


def _others(recipe: Recipe, names: list[str]) -> list[str]:
    settings = {name: getattr(recipe, name) for name in names}
    return [
        f"{name.replace('_', '-')} {setting if setting or name == 'seed' else 'none'}"
        for name, setting in settings.items()
    ]


@cache
def reached() -> dict[str, dict[str, dict[str, Any]]]:
    """What the recipes reached, by recipe and model: `validation` and `test` accuracies in [0, 1], one a seed."""
    content: dict[str, dict[str, dict[str, Any]]] = json.loads(
        (resources.files("edge_train.training") / "reached.json").read_text(encoding="utf-8")
    )
    return content


def _published(recipe: str, model: str) -> str:
    return (MODELS[model].published if recipe == "origin" else "") or "-"


def _accuracy(run: dict[str, Any]) -> str:
    test: list[float] = run.get("test", [])
    if not test:
        return "not measured"
    mean = sum(test) / len(test)
    return f"{mean:.2%}" + (f" ({len(test)} seeds)" if len(test) > 1 else "")
