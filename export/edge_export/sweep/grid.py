"""What a sweep tries: comma lists become axes, axes a grid, and a grid points, all of them or some drawn. No torch."""

import dataclasses
import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edge.errors import EdgeError
from edge_train.training.recipes import Recipe

Setting = str | int | float | bool

SIZES: dict[str, type] = {"hidden": int, "layers": int, "bidirectional": bool, "chain": str}
_OF_A_START = ("interpolation",)  # a sweep's runs all start from weights that are drawn
HYPERPARAMETERS: dict[str, type] = {
    field.name: type(field.default) for field in dataclasses.fields(Recipe) if field.name not in _OF_A_START
}
KINDS: dict[str, type] = {"model": str, **SIZES, **HYPERPARAMETERS}
"""What can vary, and what its values are; in the order of the points, of which the last varies fastest."""

_WORDS = {"yes": True, "no": False}
_EXPECTED = {int: "a whole number", float: "a number", bool: "yes or no"}

# More are a slip of the keyboard, or weeks: --limit draws some of them.
MOST_RUNS = 1000


class SweepError(EdgeError, ValueError):
    """A sweep cannot be made, or cannot go on."""


@dataclass(frozen=True, slots=True)
class Axis:
    """A setting and the values that it takes.

    Attributes:
        name: a key of `KINDS`.
        values: each different.
    """

    name: str
    values: tuple[Setting, ...]


@dataclass(frozen=True, slots=True)
class GridPoint:
    """One point of the grid: the settings of a run.

    Attributes:
        number: of the run, from 1.
        settings: by the names of `KINDS`; what is not named is the recipe's.
    """

    number: int
    settings: dict[str, Setting]

    @property
    def model(self) -> str:
        """The name of the model before its sizes are changed."""
        return str(self.settings["model"])

    @property
    def sizes(self) -> dict[str, Any]:
        """As `edge_train.models.specification.resized` takes them."""
        return {name: setting for name, setting in self.settings.items() if name in SIZES}

    @property
    def hyperparameters(self) -> dict[str, Any]:
        """The fields of the recipe that are overridden."""
        return {name: setting for name, setting in self.settings.items() if name in HYPERPARAMETERS}


def axes(lists: Mapping[str, str | None]) -> tuple[Axis, ...]:
    """The axes of comma lists, in the order of `KINDS`.

    Args:
        lists: comma-separated values by the name of the setting; None is left to the recipe.

    Raises:
        SweepError: a value of another kind than the setting, or one that is named twice.
    """
    return tuple(Axis(name, _values(name, text)) for name in KINDS if (text := lists.get(name)) is not None)


def points(grid: Sequence[Axis], *, limit: int | None = None, draw_seed: int = 0) -> tuple[GridPoint, ...]:
    """The points of the grid, in its order.

    Args:
        grid: the axes.
        limit: draw so many of them, all different; None, or as many as there are, takes all.
        draw_seed: another number draws others.

    Raises:
        SweepError: there are more than `MOST_RUNS`.
    """
    total = math.prod(len(axis.values) for axis in grid)
    count = total if limit is None else min(limit, total)
    if count > MOST_RUNS:
        raise SweepError(f"that is {count:,} runs, more than {MOST_RUNS:,}; draw some of them with --limit 50")
    drawn = range(total) if count == total else sorted(random.Random(draw_seed).sample(range(total), count))  # noqa: S311 - no secret
    return tuple(GridPoint(number, _settings(grid, place)) for number, place in enumerate(drawn, start=1))


def varying(grid: Sequence[Axis]) -> tuple[str, ...]:
    """The names of the settings that take more than one value."""
    return tuple(axis.name for axis in grid if len(axis.values) > 1)


def option(name: str) -> str:
    """What the setting is called on the command line."""
    return f"--{name.replace('_', '-')}"


def text(setting: object) -> str:
    """A value as it is typed; an empty one, which says `none of it`, as a dash."""
    if isinstance(setting, bool):
        return "yes" if setting else "no"
    return f"{setting:g}" if isinstance(setting, float) else str(setting) or "-"


def _settings(grid: Sequence[Axis], place: int) -> dict[str, Setting]:
    chosen: dict[str, Setting] = {}
    for axis in reversed(grid):
        place, index = divmod(place, len(axis.values))
        chosen[axis.name] = axis.values[index]
    return {axis.name: chosen[axis.name] for axis in grid}


def _values(name: str, text: str) -> tuple[Setting, ...]:
    values = tuple(_value(name, word.strip()) for word in text.split(","))
    if len(set(values)) < len(values):
        raise SweepError(f"{option(name)} {text} names a value twice; name each once")
    return values


def _value(name: str, word: str) -> Setting:
    kind = KINDS[name]
    try:
        return _WORDS[word.lower()] if kind is bool else kind(word)
    except (KeyError, ValueError) as error:
        raise SweepError(
            f"{option(name)} takes values that are each {_EXPECTED[kind]}, and {word!r} is none; "
            "separate them with commas and no spaces"
        ) from error
