"""What the manifest says of the pre-processing, by name, is what happens."""

import json

import numpy as np

from edge.picture import preprocessing


def test_the_recipe_is_json_and_names_what_was_decided():
    assert json.loads(json.dumps(preprocessing.RECIPE)) == preprocessing.RECIPE
    assert {"version", "box", "side", "centring", "resampling", "polarity"} <= preprocessing.RECIPE.keys()
    assert (preprocessing.RECIPE["box"], preprocessing.RECIPE["side"]) == (20, 28)
    assert "mass" in str(preprocessing.RECIPE["centring"])


def test_the_recipe_names_the_kind_of_scaling_that_happens():
    wide = np.full((280, 280), 240, np.uint8)
    wide[40:240, 60:220] = 20
    assert preprocessing.RECIPE["resampling"] == "box"
    image = preprocessing.read(wide)
    # the mean of an area neither overshoots nor rings: the inside of a blot is one level
    rows, columns = np.nonzero(image)
    assert len(np.unique(image[rows.min() + 2 : rows.max() - 1, columns.min() + 2 : columns.max() - 1])) == 1
