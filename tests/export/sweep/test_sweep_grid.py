"""What comma lists become: axes, points, and a random share of them."""

import dataclasses

import pytest

from edge_export.sweep import grid
from edge_export.sweep.grid import Axis, SweepError
from edge_train.training.recipes import Recipe


def test_every_dial_of_a_recipe_can_vary_but_what_only_a_start_has():
    assert {field.name for field in dataclasses.fields(Recipe)} - set(grid.KINDS) == {"interpolation"}


def test_comma_lists_become_values_of_the_kind_of_their_setting():
    lists = {"model": "gru", "learning_rate": "0.01, 3e-3", "batch_size": "256,512", "bidirectional": "yes,no"}
    assert grid.axes(lists) == (
        Axis("model", ("gru",)),
        Axis("bidirectional", (True, False)),
        Axis("batch_size", (256, 512)),
        Axis("learning_rate", (0.01, 0.003)),
    )


def test_what_is_not_given_is_left_to_the_recipe():
    assert grid.axes({"model": "gru", "epochs": None}) == (Axis("model", ("gru",)),)


def test_an_empty_value_is_a_value_and_means_none_of_it():
    assert grid.axes({"teacher": "cnn,"}) == (Axis("teacher", ("cnn", "")),)
    assert grid.text("") == "-"


@pytest.mark.parametrize(
    ("lists", "words"),
    [
        ({"learning_rate": "0.01,fast"}, "--learning-rate takes values that are each a number, and 'fast' is none"),
        ({"hidden": "64,12.5"}, "--hidden takes values that are each a whole number, and '12.5' is none"),
        ({"hidden": "64,,128"}, "a whole number, and '' is none"),
        ({"bidirectional": "maybe"}, "yes or no"),
        ({"learning_rate": "0.01,0.010"}, "--learning-rate 0.01,0.010 names a value twice"),
    ],
)
def test_a_value_of_another_kind_is_told(lists, words):
    with pytest.raises(SweepError, match=words):
        grid.axes(lists)


def test_the_grid_is_every_combination_once_and_the_last_axis_varies_fastest():
    found = grid.points(grid.axes({"model": "gru", "hidden": "8,16", "learning_rate": "0.1,0.2,0.3"}))
    assert [point.number for point in found] == [1, 2, 3, 4, 5, 6]
    assert [(point.sizes["hidden"], point.hyperparameters["learning_rate"]) for point in found] == [
        *((8, rate) for rate in (0.1, 0.2, 0.3)),
        *((16, rate) for rate in (0.1, 0.2, 0.3)),
    ]
    assert {point.model for point in found} == {"gru"}


def test_a_limit_draws_different_points_of_the_grid_and_the_same_ones_again():
    axes = grid.axes({"model": "gru", "hidden": "1,2,3,4,5", "batch_size": "1,2,3,4,5"})
    every = [point.settings for point in grid.points(axes)]
    drawn = [point.settings for point in grid.points(axes, limit=7, draw_seed=3)]
    assert len(drawn) == 7
    assert all(one in every for one in drawn)
    assert len({tuple(one.items()) for one in drawn}) == 7
    assert [point.settings for point in grid.points(axes, limit=7, draw_seed=3)] == drawn
    assert [point.settings for point in grid.points(axes, limit=7, draw_seed=4)] != drawn


def test_a_limit_above_the_grid_is_the_grid():
    axes = grid.axes({"model": "gru", "hidden": "8,16"})
    assert grid.points(axes, limit=10) == grid.points(axes)


def test_a_grid_of_millions_is_refused_and_can_be_drawn_from():
    many = ",".join(str(size) for size in range(1, 301))
    axes = grid.axes({"model": "gru", "hidden": many, "batch_size": many, "epochs": many})
    with pytest.raises(SweepError, match=r"27,000,000 runs, more than 1,000; draw some of them with --limit"):
        grid.points(axes)
    assert len(grid.points(axes, limit=20)) == 20


def test_what_varies_is_what_takes_more_than_one_value():
    assert grid.varying(grid.axes({"model": "gru", "hidden": "8,16", "epochs": "1"})) == ("hidden",)
