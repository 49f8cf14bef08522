"""The manifest: deterministic to write, strict to read."""

import json
import re
from dataclasses import fields, replace

import pytest

from edge.bundle import manifest as manifest_format
from edge.bundle.input import PICTURE_RECIPE
from edge.bundle.manifest import Manifest, Preparation
from edge.errors import BundleError, ProtocolError


@pytest.fixture
def record(manifest):
    return json.loads(manifest.to_json())


def test_a_manifest_comes_back_as_it_was_written(manifest):
    assert manifest_format.from_json(manifest.to_json()) == manifest


def test_the_text_is_deterministic_sorted_and_ascii(manifest):
    shuffled = replace(manifest, architecture=dict(reversed(manifest.architecture.items())), labels=("é", "b"))
    text = shuffled.to_json()
    assert text == replace(shuffled, architecture=manifest.architecture).to_json()
    assert text == json.dumps(json.loads(text), sort_keys=True, separators=(",", ":"))
    assert text.isascii()


# Those of newer edges.
OPTIONAL = {"int8_verdict", "int8_target", "rejection", "outputs", "preparation", "few_images_vnni", "warning"}


@pytest.mark.parametrize("name", [field.name for field in fields(Manifest) if field.name not in OPTIONAL])
def test_a_missing_field_is_named(record, name):
    del record[name]
    with pytest.raises(BundleError, match=name):
        manifest_format.from_json(json.dumps(record))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("name", 3),
        ("parameters", "many"),
        ("parameters", True),
        ("parameters", 1.5),
        ("labels", "0123456789"),
        ("labels", [0, 1]),
        ("labels", []),
        ("labels", ["1", "1"]),
        ("architecture", []),
        ("precision", 4),
        ("int8_weight_share", 1.5),
        ("int8_weight_share", None),
        ("int8_verdict", 1),
        ("few_images_vnni", "3"),
        ("few_images_vnni", 0),
        ("providers", [3]),
        ("providers", []),
        ("accuracy", [1]),
        ("accuracy", [{"data": "mnist"}]),
        ("temperature", 0),
        ("temperature", 10**400),
        ("input", {"shape": [1.5], "dtype": "uint8", "ink": 255, "background": 0}),
        ("versions", {"numpy": 2}),
        ("protocol", "1"),
    ],
)
def test_a_field_of_the_wrong_type_or_range_is_named(record, name, value):
    record[name] = value
    with pytest.raises(BundleError, match=r"edge export"):
        manifest_format.from_json(json.dumps(record))


def test_unknown_keys_are_ignored(record, manifest):
    record["colour"] = "blue"
    record["input"]["unit"] = "grey level"
    assert manifest_format.from_json(json.dumps(record)) == manifest


def test_a_missing_target_means_that_none_was_named(record):
    del record["int8_target"]
    assert manifest_format.from_json(json.dumps(record)).int8_target is None


def test_missing_outputs_are_those_of_an_older_edge(record):
    del record["outputs"]
    assert manifest_format.from_json(json.dumps(record)).outputs == ("logits", "probabilities")


def test_a_missing_verdict_means_that_none_was_given(record):
    del record["int8_verdict"]
    assert manifest_format.from_json(json.dumps(record)).int8_verdict is None


PREPARATION = Preparation("N,1,28,28", (0.1307,), (0.3081,), inverted=True, output="log-probabilities")


def test_how_somebodys_own_model_sees_its_pictures_comes_back(manifest):
    own = replace(manifest, preparation=PREPARATION, warning="reads 9 % of the digits")
    assert manifest_format.from_json(own.to_json()) == own


def test_what_is_a_few_images_with_vnni_comes_back_where_it_is_something_else(manifest):
    own = replace(manifest, few_images_vnni=3)
    assert manifest_format.from_json(own.to_json()) == own
    assert "few_images_vnni" not in manifest.to_json()


def test_a_model_without_preparation_or_warning_keeps_the_bytes_that_it_always_had(manifest):
    assert "preparation" not in manifest.to_json()
    assert "warning" not in manifest.to_json()
    assert manifest_format.from_json(manifest.to_json()).preparation is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("layout", None),
        ("mean", 0.5),
        ("mean", [0.1, 0.2]),
        ("deviation", [0.0]),
        ("deviation", ["1"]),
        ("inverted", 1),
        ("transposed", None),
        ("output", 3),
    ],
)
def test_a_preparation_that_cannot_be_right_is_named(manifest, name, value):
    record = json.loads(replace(manifest, preparation=PREPARATION).to_json())
    record["preparation"][name] = value
    with pytest.raises(BundleError, match=r"edge export"):
        manifest_format.from_json(json.dumps(record))


def test_whole_numbers_are_accepted_where_a_number_is_expected(record):
    record["temperature"] = 2
    assert manifest_format.from_json(json.dumps(record)).temperature == 2.0


def test_a_newer_protocol_asks_for_an_upgrade_before_anything_else_is_read():
    with pytest.raises(ProtocolError, match=r"pip install -U edge-toolkit"):
        manifest_format.from_json('{"protocol": 2}')


def test_an_older_protocol_asks_for_an_export():
    with pytest.raises(ProtocolError, match=r"edge export"):
        manifest_format.from_json('{"protocol": 0}')


@pytest.mark.parametrize("text", ["", "{", "[]", "7", '{"protocol": NaN}', "[" * 100_000, b"\xff\xfe"])
def test_what_is_no_json_object_is_refused(text):
    with pytest.raises(BundleError, match="manifest is no JSON"):
        manifest_format.from_json(text)


def test_what_could_not_be_read_back_is_not_written(manifest):
    for change in ({"temperature": float("nan")}, {"labels": ()}, {"architecture": {"kind": object()}}):
        with pytest.raises(BundleError):
            replace(manifest, **change).to_json()


def test_words_of_a_later_edge_are_carried(manifest):
    (figure,) = manifest.accuracy
    later = replace(
        manifest, precision="int4", providers=("cpu", "npu"), accuracy=(replace(figure, of="checkpoint on a phone"),)
    )
    assert manifest_format.from_json(later.to_json()) == later


@pytest.mark.parametrize(
    ("picture", "note", "reads"),
    [
        ({"version": PICTURE_RECIPE}, None, True),
        (
            {"version": PICTURE_RECIPE - 1},
            f"made with version {PICTURE_RECIPE - 1} of the picture recipe; pictures are read",
            True,
        ),
        ({}, "made without one; pictures are read by this", True),
        (
            {"version": PICTURE_RECIPE + 1},
            f"made with version {PICTURE_RECIPE + 1} .*arrays are classified, pictures",
            False,
        ),
        ({"version": "four"}, "made with version four .*arrays are classified, pictures are refused", False),
    ],
)
def test_a_picture_recipe_is_known_up_to_this_edge_s_own(manifest, picture, note, reads):
    made = replace(manifest, picture=picture)
    if note is None:
        assert made.picture_note is None
    else:
        assert re.match(note, made.picture_note)
    if reads:
        made.check_pictures()
    else:
        with pytest.raises(BundleError, match="upgrade it with: pip install -U edge-toolkit, or give arrays"):
            made.check_pictures()
