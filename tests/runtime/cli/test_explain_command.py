"""`edge explain`: one picture, the reasons as text, as JSON, as a picture and as an animation."""

import json

import numpy as np
import pytest
from PIL import Image

from edge import load
from edge.explanation import belief, occlusion


@pytest.fixture
def digit(tmp_path, golden):
    path = tmp_path / "digit.png"
    Image.fromarray(golden[0][1]).save(path)
    return path


def test_a_recurrent_model_shows_its_belief_row_by_row(edge_command, digit, recurrent_path):
    ended = edge_command("explain", digit, "--model", recurrent_path)
    assert ended.code == 0
    name, *table, end = ended.out.splitlines()
    prediction = load(recurrent_path, provider="cpu").predict(digit)
    assert name == f"{digit}  {prediction.label} {prediction.confidence:.3f}"
    assert len(table) == 29
    assert "the answer no longer changes" in end or "leads from the first row on" in end


def test_another_model_shows_where_its_answer_hangs(edge_command, digit):
    ended = edge_command("explain", digit, "--model", "cnn-16k-int8")
    assert ended.code == 0
    assert len(ended.out.splitlines()) == 2
    assert " hangs " in ended.out


def test_json_is_one_object_with_the_rows(edge_command, digit, golden, recurrent_path):
    ended = edge_command("explain", digit, "--model", recurrent_path, "--json")
    record = json.loads(ended.out)
    classifier = load(recurrent_path, provider="cpu")
    beliefs = belief.rows(classifier, golden[0][1])
    np.testing.assert_allclose(record["rows"], beliefs, atol=1e-6)
    assert record["labels"] == list(classifier.labels)
    assert record["settled_row"] == belief.settled_row(beliefs, classifier.labels.index(record["label"]))
    assert (record["path"], record["model"], record["rejected"]) == (str(digit), "by-rows", False)


def test_json_of_another_model_holds_its_map(edge_command, digit, golden, bundle_path):
    record = json.loads(edge_command("explain", digit, "--model", bundle_path, "--json").out)
    found = occlusion.measure(load(bundle_path, provider="cpu"), golden[0][1])
    np.testing.assert_allclose(record["drop"], found.drop, atol=1e-6)
    row, column = found.most
    assert record["most"] == {"row": row + 1, "column": column + 1}
    assert record["patch"] == found.patch


def test_picture_and_animation_are_written(edge_command, digit, tmp_path, recurrent_path):
    out, gif = tmp_path / "why.png", tmp_path / "why.gif"
    assert edge_command("explain", digit, "--model", recurrent_path, "--out", out, "--gif", gif).code == 0
    with Image.open(out) as picture, Image.open(gif) as animation:
        assert (picture.format, animation.format, animation.n_frames) == ("PNG", "GIF", 28)


def test_the_map_is_written(edge_command, digit, tmp_path, bundle_path):
    assert edge_command("explain", digit, "--model", bundle_path, "--out", tmp_path / "map.PNG").code == 0
    with Image.open(tmp_path / "map.PNG") as picture:
        assert picture.format == "PNG"


def test_an_animation_needs_rows(edge_command, digit, tmp_path, bundle_path):
    ended = edge_command("explain", digit, "--model", bundle_path, "--gif", tmp_path / "why.gif")
    assert ended.code == 1
    assert ended.err == "edge: linear-fp32 does not read row by row; leave --gif away, --out draws its map\n"
    assert not (tmp_path / "why.gif").exists()


def test_a_recurrent_bundle_without_rows_prints_nothing_but_what_to_do(edge_command, digit, tmp_path, repack):
    path = tmp_path / "old.onnx"
    path.write_bytes(repack(name="old", architecture={"kind": "recurrent"}))
    ended = edge_command("explain", digit, "--model", path)
    assert (ended.code, ended.out) == (1, "")
    assert "export it again with `edge export --model linear`" in ended.err


def test_the_standard_input_is_a_picture_too(edge_command, digit, recurrent_path):
    ended = edge_command("explain", "-", "--model", recurrent_path, "--json", stdin=digit.read_bytes())
    assert ended.code == 0
    assert json.loads(ended.out)["path"] == "-"


@pytest.mark.parametrize("words", [("--out", "why.jpg"), ("--gif", "why.png")])
def test_a_file_of_another_kind_is_wrong_usage(edge_command, digit, words, recurrent_path):
    assert edge_command("explain", digit, "--model", recurrent_path, *words).code == 2


def test_a_blank_page_has_nothing_to_explain(edge_command, tmp_path, recurrent_path):
    Image.new("L", (100, 100), 255).save(tmp_path / "blank.png")
    ended = edge_command("explain", tmp_path / "blank.png", "--model", recurrent_path)
    assert ended.code == 1
    assert "shows no digit" in ended.err


def test_a_place_that_cannot_be_written_is_told(edge_command, digit, tmp_path, recurrent_path):
    ended = edge_command("explain", digit, "--model", recurrent_path, "--out", tmp_path / "nowhere" / "why.png")
    assert ended.code == 1
    assert ended.err.startswith("edge: ")
    assert "name another place" in ended.err
