"""How a model is trained: the dials, as data."""

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, Literal

from edge.errors import EdgeError

# Share of the steps in which the learning rate rises; it falls along a cosine afterwards.
WARM_UP_SHARE = 0.2


class RecipeError(EdgeError, ValueError):
    """A dial of a recipe is out of its range."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """The dials of one training run."""

    epochs: int = 20
    batch_size: int = 128
    learning_rate: float = 3e-3  # the peak of the one-cycle schedule
    optimiser: Literal["adamw"] = "adamw"
    weight_decay: float = 1e-2
    gradient_norm: float = 1.0  # gradients are clipped to this norm
    label_smoothing: float = 0.0
    augment: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        limits = {
            "--epochs": (1, 10_000, self.epochs),
            "--batch-size": (1, 65_536, self.batch_size),
            "--learning-rate": (1e-8, 100.0, self.learning_rate),
            "--seed": (0, 2**31 - 1, self.seed),
        }
        for option, (low, high, setting) in limits.items():
            if not low <= setting <= high:
                raise RecipeError(f"{option} {setting} is out of range; use a value from {low} to {high}")


# A ReLU RNN has no squashing function that bounds its gradient: it needs small steps to stay stable.
DEFAULTS: dict[str, Recipe] = {
    "rnn": Recipe(learning_rate=1e-3, epochs=30),
    "rnn-relu": Recipe(learning_rate=1e-3, epochs=30),
    "rnn-256x2": Recipe(learning_rate=5e-4),
    "lstm-20": Recipe(learning_rate=1e-2, epochs=30),
    "cnn-16k": Recipe(learning_rate=1e-2, batch_size=64, epochs=12),
}


def default(model: str) -> Recipe:
    """The recipe that a model is trained by when nothing else is said."""
    return DEFAULTS.get(model, Recipe())


def to_json(recipe: Recipe) -> dict[str, Any]:
    """The dials as plain values; `Recipe(**values)` reads them back."""
    return dataclasses.asdict(recipe)


def learning_rate(recipe: Recipe, step: int, steps: int) -> float:
    """The learning rate of a step of the one-cycle schedule.

    A function of the step alone, so that a resumed run goes on with the same rates.

    Source: Smith and Topin, 2018, Super-Convergence; the rise is linear, the fall is a cosine to zero.
    """
    warm_up = max(1, round(WARM_UP_SHARE * steps))
    if step < warm_up:
        return recipe.learning_rate * (step + 1) / warm_up
    progress = (step - warm_up) / max(1, steps - warm_up)
    return recipe.learning_rate * 0.5 * (1 + math.cos(math.pi * progress))
