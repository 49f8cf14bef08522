"""`edge models`: every trainable model with its size, and one model layer by layer."""

import pytest

from edge_train.models import listing
from edge_train.models.specification import MODELS, SpecificationError


def test_the_table_names_every_model_with_its_parameters_and_origin():
    lines = {line.split()[0]: line for line in listing.describe().splitlines()[1:]}
    assert set(lines) == set(MODELS)
    assert "82,186" in lines["lstm"]
    assert "16,478" in lines["cnn-16k"]
    assert all(entry.origin in lines[name] for name, entry in MODELS.items())


def test_one_model_is_shown_layer_by_layer_and_the_layers_add_up():
    heading, _, _, *rows = listing.describe("cnn").splitlines()
    assert heading == "cnn: 147,242 parameters"
    assert sum(int(row.split()[-1].replace(",", "")) for row in rows) == 147_242
    assert "(1, 16, 24, 24)" in rows[0]
    assert "(1, 10)" in rows[-1]


def test_a_recurrent_layer_shows_its_sequence():
    (recurrent,) = [row for row in listing.describe("bilstm").splitlines() if row.startswith("recurrent")]
    assert "(1, 28, 256)" in recurrent


def test_an_unknown_model_is_told():
    with pytest.raises(SpecificationError, match="no model 'transformer'"):
        listing.describe("transformer")
