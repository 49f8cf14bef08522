"""Recipes: the learning rate is a function of the step, and every hyperparameter has a range."""

import pytest

from edge_train.models.specification import MODELS
from edge_train.training import recipes
from edge_train.training.recipes import Recipe, RecipeError

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
    ("settings", "option"),
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
def test_a_setting_out_of_range_is_told_with_its_option_and_range(settings, option):
    with pytest.raises(RecipeError, match=f"{option} is out of range; use a value from"):
        Recipe(**settings)


@pytest.mark.parametrize("settings", [{"epochs": 1}, {"batch_size": 1}, {"seed": 0}, {"seed": 2**31 - 1}])
def test_the_ends_of_a_range_are_in_it(settings):
    Recipe(**settings)


@pytest.mark.parametrize("name", ["schedule", "optimiser", "augmentation", "initialisation", "writers"])
def test_an_unknown_choice_is_told_with_the_known_ones(name):
    with pytest.raises(RecipeError, match=f"--{name} 'other' is unknown; use one of "):
        Recipe(**{name: "other"})


@pytest.mark.parametrize("name", MODELS)
def test_every_model_has_a_best_recipe_that_json_gives_back(name):
    recipe = recipes.named("best", name)
    assert Recipe(**recipes.to_json(recipe)) == recipe


def test_every_published_run_has_a_recipe():
    published = {name for name, model in MODELS.items() if model.origin != "edge size"}
    assert set(recipes.tables()["origin"]) == published


def test_a_recipe_shares_what_its_models_have_in_common():
    assert recipes.named("origin", "gru-256x2") == recipes.named("origin", "lstm-256x2")
    assert recipes.named("origin", "lstm").augmentation == recipes.named("origin", "cnn").augmentation == "none"


def test_a_constant_learning_rate_stays_and_steps_fall_to_a_tenth_at_each_third():
    constant = Recipe(learning_rate=0.01, schedule="constant")
    assert {recipes.learning_rate(constant, step, 90) for step in range(90)} == {0.01}
    steps = Recipe(learning_rate=0.01, schedule="steps")
    course = [recipes.learning_rate(steps, step, 90) for step in range(90)]
    assert course == pytest.approx([0.01] * 30 + [0.001] * 30 + [0.0001] * 30)


def test_pictures_of_something_else_get_no_drawn_digits_and_no_teacher_of_digits():
    recipe = recipes.for_other_classes(recipes.named("best", "lstm"))
    assert (recipe.strokes, recipe.teacher) == (0.0, "")


def test_recipes_of_the_usual_writers_are_written_as_they_were_before_there_were_others():
    assert "writers" not in recipes.to_json(Recipe())
    assert recipes.from_json(recipes.to_json(Recipe(writers="all"))) == Recipe(writers="all")
