"""Recipes: the learning rate is a function of the step, and every dial has a range."""

import pytest

from edge_train import recipes
from edge_train.recipes import Recipe, RecipeError
from edge_train.specification import MODELS

RECIPE = Recipe(learning_rate=0.01)


def rates(steps: int) -> list[float]:
    return [recipes.learning_rate(RECIPE, step, steps) for step in range(steps)]


def test_the_learning_rate_rises_to_its_peak_and_falls_to_nothing():
    course = rates(1000)
    peak = course.index(max(course))
    assert course[:peak] == sorted(course[:peak])
    assert course[peak:] == sorted(course[peak:], reverse=True)
    assert course[peak] == pytest.approx(0.01)
    assert course[0] < 0.01 / 100
    assert course[-1] < 0.01 / 1000


def test_the_rise_takes_a_fifth_of_the_steps():
    course = rates(1000)
    assert course[99] == pytest.approx(0.005)
    assert course[199] == pytest.approx(0.01)
    assert course[600] == pytest.approx(0.005, rel=0.01)  # half of the cosine


@pytest.mark.parametrize("steps", [1, 2, 3, 7, 50])
def test_the_learning_rate_is_positive_and_never_above_its_peak(steps):
    assert all(0 < rate <= 0.01 for rate in rates(steps))


@pytest.mark.parametrize(
    ("dials", "option"),
    [
        ({"epochs": 0}, "--epochs 0"),
        ({"epochs": 10_001}, "--epochs 10001"),
        ({"batch_size": 0}, "--batch-size 0"),
        ({"batch_size": 65_537}, "--batch-size 65537"),
        ({"learning_rate": 0.0}, "--learning-rate 0.0"),
        ({"learning_rate": -1.0}, "--learning-rate -1.0"),
        ({"learning_rate": 101.0}, "--learning-rate 101.0"),
        ({"learning_rate": float("nan")}, "--learning-rate nan"),
        ({"seed": -1}, "--seed -1"),
        ({"seed": 2**31}, f"--seed {2**31}"),
    ],
)
def test_a_dial_out_of_range_is_told_with_its_option_and_range(dials, option):
    with pytest.raises(RecipeError, match=f"{option} is out of range; use a value from"):
        Recipe(**dials)


@pytest.mark.parametrize("dials", [{"epochs": 1}, {"batch_size": 1}, {"seed": 0}, {"seed": 2**31 - 1}])
def test_the_ends_of_a_range_are_in_it(dials):
    Recipe(**dials)


@pytest.mark.parametrize("name", [*MODELS, "something else"])
def test_every_model_has_a_recipe_that_json_gives_back(name):
    recipe = recipes.default(name)
    assert Recipe(**recipes.to_json(recipe)) == recipe
