"""What the manifest says of the pre-processing, by name, is what happens."""

import json

import numpy as np

from edge.picture import picture


def test_the_recipe_is_json_and_names_what_was_decided():
    assert json.loads(json.dumps(picture.RECIPE)) == picture.RECIPE
    assert {"version", "box", "side", "centring", "resampling", "polarity"} <= picture.RECIPE.keys()
    assert (picture.RECIPE["box"], picture.RECIPE["side"]) == (20, 28)
    assert "mass" in str(picture.RECIPE["centring"])


def test_the_recipe_names_the_kind_of_scaling_that_happens():
    wide = np.full((280, 280), 240, np.uint8)
    wide[40:240, 60:220] = 20
    assert picture.RECIPE["resampling"] == "box"
    image = picture.read(wide)
    # the mean of an area neither overshoots nor rings: the inside of a blot is one level
    rows, columns = np.nonzero(image)
    assert len(np.unique(image[rows.min() + 2 : rows.max() - 1, columns.min() + 2 : columns.max() - 1])) == 1
