"""`edge predict`: a line per picture, an error line per bad one, and exit code 1 if there was any."""

import io
import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

import edge
from edge.picture import preprocessing
from edge.text.terminal import image_as_text


@pytest.fixture
def drawn(tmp_path, images):
    """Three pictures of 28x28 pixels, which reach the model untouched."""
    folder = tmp_path / "drawn"
    folder.mkdir()
    for name, image in zip(("a.png", "b.png", "c.png"), images[2:5], strict=True):
        Image.fromarray(np.pad(image[1:-1, 1:-1], 1)).save(folder / name)
    return folder


@pytest.fixture
def labels(drawn, bundle_path):
    classifier = edge.load(bundle_path, provider="cpu")
    return [classifier.predict(path).label for path in sorted(drawn.iterdir())]


def test_every_picture_gets_a_line(edge_command, bundle_path, drawn, labels):
    ended = edge_command("predict", drawn, "--model", bundle_path)
    assert ended.code == 0
    rows = [line.split() for line in ended.out.splitlines()]
    assert [row[0] for row in rows] == [str(drawn / name) for name in ("a.png", "b.png", "c.png")]
    assert [row[1] for row in rows] == labels
    assert all(0 <= float(row[2]) <= 1 for row in rows)


def test_auto_says_which_provider_it_took(edge_command, bundle_path, drawn):
    assert edge_command("predict", drawn, "--model", bundle_path).err.startswith("linear-fp32 on ")
    assert edge_command("predict", drawn, "--model", bundle_path, "--provider", "cpu").err == ""


def test_json_is_one_object_a_line_exactly_as_documented(edge_command, bundle_path, drawn, labels):
    ended = edge_command("predict", drawn / "a.png", drawn / "missing.png", "--model", bundle_path, "--json")
    assert ended.code == 1
    assert ended.err == ""
    good, bad = map(json.loads, ended.out.splitlines())
    assert list(good) == ["path", "label", "confidence", "probabilities", "model", "provider", "rejected", "score"]
    assert good["path"] == str(drawn / "a.png")
    assert good["label"] == labels[0]
    assert good["confidence"] == max(good["probabilities"].values())
    assert list(good["probabilities"]) == list("0123456789")
    assert (good["model"], good["provider"]) == ("linear-fp32", "cpu")
    assert list(bad) == ["path", "error"]
    assert bad["path"] == str(drawn / "missing.png")


def test_bad_pictures_are_told_and_the_others_still_classified(edge_command, bundle_path, drawn, labels):
    (drawn / "text.png").write_text("no picture")
    (drawn / "empty.png").touch()
    (drawn / "cut.png").write_bytes((drawn / "a.png").read_bytes()[:60])
    ended = edge_command("predict", drawn, "missing.png", "*.nothing", "--model", bundle_path, "--provider", "cpu")
    assert ended.code == 1
    assert [line.split()[1] for line in ended.out.splitlines()] == labels
    errors = ended.err.splitlines()
    assert len(errors) == 5
    assert all(line.startswith("edge: ") and "; " in line for line in errors)


def test_top_shows_the_most_probable_labels_in_order(edge_command, bundle_path, drawn):
    line = edge_command("predict", drawn / "a.png", "--model", bundle_path, "--top", "3").out
    shares = [float(share) for share in line.split()[2::2]]
    assert len(shares) == 3
    assert shares == sorted(shares, reverse=True)
    record = json.loads(edge_command("predict", drawn / "a.png", "--model", bundle_path, "--top", "3", "--json").out)
    assert list(record["probabilities"]) == line.split()[1::2]


def test_show_draws_what_the_model_sees(edge_command, bundle_path, drawn):
    ended = edge_command("predict", drawn / "a.png", "--model", bundle_path, "--show")
    first, _, rest = ended.out.partition("\n")
    assert first.startswith(str(drawn / "a.png"))
    assert rest == image_as_text(preprocessing.read(drawn / "a.png")) + "\n"
    assert edge_command("predict", drawn / "a.png", "--model", bundle_path, "--show", "--json").code == 2


def test_show_draws_in_ascii_where_nothing_else_can_be_encoded(edge_command, bundle_path, drawn, monkeypatch):
    monkeypatch.setattr("edge.cli.predict.shows_blocks", lambda: False)
    assert edge_command("predict", drawn / "a.png", "--model", bundle_path, "--show").out.isascii()


def test_a_picture_comes_through_the_standard_input(edge_command, bundle_path, drawn, labels):
    ended = edge_command("predict", "-", "--model", bundle_path, stdin=(drawn / "b.png").read_bytes())
    assert ended.code == 0
    assert ended.out.split()[:2] == ["-", labels[1]]
    assert edge_command("predict", "-", "--model", bundle_path, stdin=b"").code == 1


def test_an_unknown_model_is_one_line(edge_command, shelf, drawn):
    ended = edge_command("predict", drawn, "--model", "linear-fp23")
    assert (ended.code, ended.out) == (1, "")
    assert "did you mean linear-fp32?" in ended.err


def test_the_file_path_loses_nothing_against_the_tensor_path(bundle_path, images, tmp_path):
    classifier = edge.load(bundle_path, provider="cpu")
    buffer = io.BytesIO()
    Image.fromarray(images[2]).save(buffer, "PNG")
    np.testing.assert_array_equal(preprocessing.read(buffer.getvalue()), images[2])
    expected = classifier.classify(images[2])[0]
    got = classifier.predict(buffer.getvalue()).probabilities
    np.testing.assert_array_equal(np.array(list(got.values()), np.float32), expected)


def test_a_name_with_control_codes_is_shown_quoted(edge_command, bundle_path, drawn):
    path = drawn / "a\x1b[31m.png"
    (drawn / "a.png").rename(path)
    ended = edge_command("predict", path, drawn / "no\x1b.png", "--model", bundle_path)
    assert "\x1b" not in ended.out + ended.err


def test_the_whole_command_in_a_process_of_its_own(bundle_path, drawn, labels):
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "from edge.cli.main import main; main()",
            "predict",
            "-",
            "--model",
            str(bundle_path),
            "--json",
        ],
        input=(drawn / "c.png").read_bytes(),
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert json.loads(done.stdout)["label"] == labels[2]
