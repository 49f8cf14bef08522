"""Specifications: what a name means, which sizes there are, and what is said about the others."""

import json

import pytest

from edge.errors import EdgeError
from edge_train.models import specification
from edge_train.models.specification import MODELS, Convolutional, Recurrent, SpecificationError, named, resized

NAMES = ["lstm", "lstm-20", "rnn-relu", "rnn", "gru", "bilstm", "cnn", "cnn-16k"]
NAMES += ["rnn-256x2", "gru-256x2", "lstm-256x2", "bilstm-256x2"]


def test_the_table_of_models_is_complete():
    assert set(MODELS) == set(NAMES)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("lstm", Recurrent("lstm", hidden=128, layers=1, bidirectional=False)),
        ("lstm-20", Recurrent("lstm", hidden=20)),
        ("rnn-relu", Recurrent("rnn-relu", hidden=128)),
        ("rnn", Recurrent("rnn-tanh", hidden=128)),
        ("gru", Recurrent("gru", hidden=128)),
        ("bilstm", Recurrent("lstm", hidden=128, bidirectional=True)),
        ("bilstm-256x2", Recurrent("lstm", hidden=256, layers=2, bidirectional=True)),
    ],
)
def test_a_name_means_one_architecture(name, expected):
    assert named(name) == expected


def test_every_model_says_where_it_comes_from():
    assert all(entry.origin for entry in MODELS.values())


def test_an_unknown_name_is_told_with_all_known_ones():
    with pytest.raises(SpecificationError, match="no model 'lstn'") as refusal:
        named("lstn")
    assert all(name in str(refusal.value) for name in NAMES)


def test_a_refusal_is_an_expected_failure_and_a_value_error():
    assert issubclass(SpecificationError, EdgeError)
    assert issubclass(SpecificationError, ValueError)


def test_sizes_that_are_not_given_stay():
    assert resized(Recurrent("gru", hidden=64, layers=2), hidden=32) == Recurrent("gru", hidden=32, layers=2)
    assert resized(named("cnn")) == named("cnn")
    assert resized(named("bilstm"), bidirectional=False) == named("lstm")


@pytest.mark.parametrize("sizes", [{"hidden": 0}, {"hidden": -1}, {"hidden": 4097}, {"layers": 0}, {"layers": 17}])
def test_a_size_out_of_range_is_told_with_the_range(sizes):
    with pytest.raises(SpecificationError, match=r"--hidden between 1 and 4096 and --layers between 1 and 16"):
        resized(named("lstm"), **sizes)


@pytest.mark.parametrize("sizes", [{"hidden": 1}, {"hidden": 4096}, {"layers": 1}, {"layers": 16}])
def test_the_ends_of_the_range_are_in_it(sizes):
    resized(named("lstm"), **sizes)


def test_an_unknown_cell_is_told_with_the_known_ones():
    with pytest.raises(SpecificationError, match="lstm, gru, rnn-tanh, rnn-relu"):
        Recurrent("rnn")


@pytest.mark.parametrize("sizes", [{"hidden": 64}, {"layers": 2}, {"bidirectional": False}])
def test_a_cnn_has_no_recurrent_sizes_and_is_told_about_chains(sizes):
    with pytest.raises(SpecificationError, match="--chain"):
        resized(named("cnn"), **sizes)


def test_a_recurrent_model_has_no_chain():
    with pytest.raises(SpecificationError, match="--model cnn"):
        resized(named("lstm"), chain="flatten linear10")


def test_a_chain_replaces_all_layers_of_a_cnn():
    assert resized(named("cnn"), chain="flatten linear10") == Convolutional("flatten linear10")


NO_LAYERS = "conv conv5 conv5x conv0x5 conv5x0 linear linear0 dropout dropout1 dropout1.0 tanh relu6 Conv5x16 conv5x16,"


@pytest.mark.parametrize("word", NO_LAYERS.split())
def test_a_word_that_is_no_layer_is_named(word):
    with pytest.raises(SpecificationError, match=f"no layer {word!r}"):
        Convolutional(f"conv5x4 {word} flatten linear10")


@pytest.mark.parametrize("chain", ["", "   "])
def test_an_empty_chain_is_no_model(chain):
    with pytest.raises(SpecificationError, match="needs layers"):
        Convolutional(chain)


@pytest.mark.parametrize("name", NAMES)
def test_a_specification_comes_back_from_json_text(name):
    text = json.dumps(specification.to_json(named(name)))
    assert specification.from_json(json.loads(text)) == named(name)


def test_reading_json_leaves_the_callers_values_alone():
    values = specification.to_json(named("lstm"))
    specification.from_json(values)
    assert values["kind"] == "recurrent"


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"kind": "transformer"},
        {"kind": ["recurrent"]},
        {"kind": "recurrent"},
        {"kind": "recurrent", "cell": "lstm", "heads": 4},
        {"kind": "recurrent", "cell": "lstm", "hidden": "128"},
        {"kind": "recurrent", "cell": "lstm", "hidden": 0},
        {"kind": "convolutional", "layers": 3},
        {"kind": "convolutional", "layers": "conv0x1"},
    ],
)
def test_json_that_describes_no_model_is_refused(values):
    with pytest.raises(SpecificationError):
        specification.from_json(values)


@pytest.mark.parametrize("name", NAMES)
def test_a_model_of_the_table_goes_by_its_own_name(name):
    assert specification.name_of(named(name)) == name


@pytest.mark.parametrize(
    ("sizes", "name"),
    [
        (Recurrent("lstm", hidden=64), "lstm-64"),
        (Recurrent("gru", hidden=64, layers=2, bidirectional=True), "bigru-64x2"),
        (Recurrent("rnn-tanh", hidden=32), "rnn-32"),
        (Recurrent("rnn-relu", hidden=32), "rnn-relu-32"),
    ],
)
def test_other_sizes_make_another_name_so_that_no_run_overwrites_another(sizes, name):
    assert specification.name_of(sizes) == name
