"""`edge predict --show-steps`: a strip for each picture, every step with its name and its sentence."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edge.drawing import wrapped
from edge.picture import steps


@pytest.fixture
def sheet(tmp_path, golden):
    """A digit drawn large and dark on light paper."""
    label, image = golden[0]
    digit = Image.fromarray(255 - image).resize((168, 168), Image.Resampling.BICUBIC)
    paper = Image.new("L", (240, 240), 255)
    paper.paste(digit, (36, 36))
    path = tmp_path / f"a-{label}.png"
    paper.save(path)
    return path


def size_of(path):
    with Image.open(path) as image:
        return image.size


def width_of(count):
    return steps.GAP + (count + 1) * (steps.TILE + steps.GAP)


def test_one_picture_holds_every_step_and_the_answer(edge_command, sheet, tmp_path):
    ended = edge_command("predict", sheet, "--provider", "cpu", "--show-steps", tmp_path / "out.png")
    assert ended.code == 0
    assert size_of(tmp_path / "out.png") == (width_of(len(steps.SENTENCES)), steps.HEIGHT)


def test_several_pictures_are_rows_below_each_other(edge_command, sheet, tmp_path):
    edge_command("predict", sheet, sheet, "missing.png", "--provider", "cpu", "--show-steps", tmp_path / "out.png")
    width, height = size_of(tmp_path / "out.png")
    assert height == 2 * steps.HEIGHT
    rows = np.asarray(Image.open(tmp_path / "out.png")).reshape(2, steps.HEIGHT, width, 3)
    np.testing.assert_array_equal(rows[0], rows[1])


def test_a_folder_gets_a_file_for_each_picture(edge_command, sheet, tmp_path):
    edge_command("predict", sheet, sheet, "--provider", "cpu", "--show-steps", tmp_path / "strips")
    assert [path.name for path in sorted((tmp_path / "strips").iterdir())] == [
        f"001-{sheet.stem}.png",
        f"002-{sheet.stem}.png",
    ]


def test_the_standard_input_is_drawn_too(edge_command, sheet, tmp_path):
    ended = edge_command(
        "predict", "-", "--provider", "cpu", "--show-steps", tmp_path / "out.png", stdin=sheet.read_bytes()
    )
    assert ended.code == 0
    assert size_of(tmp_path / "out.png") == (width_of(len(steps.SENTENCES)), steps.HEIGHT)


def test_too_many_rows_point_to_a_folder(edge_command, sheet, tmp_path, monkeypatch):
    monkeypatch.setattr(steps, "MOST_ROWS", 1)
    ended = edge_command("predict", sheet, sheet, "--provider", "cpu", "--show-steps", tmp_path / "out.png")
    assert ended.code == 1
    assert f"--show-steps {tmp_path / 'out'}" in ended.err
    assert not (tmp_path / "out.png").exists()


def test_a_place_that_cannot_be_written_is_told(edge_command, sheet, tmp_path):
    (tmp_path / "file").touch()
    for out in (tmp_path / "nowhere" / "out.png", tmp_path / "file" / "strips"):
        ended = edge_command("predict", sheet, "--provider", "cpu", "--show-steps", out)
        assert ended.code == 1
        assert ended.err.startswith("edge: ")
        assert "name another place" in ended.err


def test_every_step_of_the_strip_is_the_picture_of_that_step(golden):
    image = golden[0][1]
    strip = np.asarray(steps.draw("digit", steps.trace(image), [("7", 1.0)]))
    left = steps.GAP + (steps.TILE + steps.GAP)  # the second tile, 28x28 enlarged
    tile = strip[steps.HEADER :, left:][: steps.TILE, : steps.TILE, 0]
    np.testing.assert_array_equal(tile, image.repeat(7, axis=0).repeat(7, axis=1))


def test_the_documentation_has_the_same_steps():
    page = (Path(__file__).parents[3] / "docs" / "reading.md").read_text(encoding="utf-8")
    rows = [f"| {name} | {sentence} |" for name, sentence in steps.SENTENCES.items()]
    assert "\n".join(rows) in page


def test_sentences_are_broken_where_the_tile_ends():
    lines = wrapped(" ".join(["word"] * 20), steps.TILE, steps.TEXT_PIXELS).split("\n")
    assert len(lines) > 1
    assert " ".join(lines).split() == ["word"] * 20
    for sentence in (*steps.SENTENCES.values(), steps.ANSWER_SENTENCE):
        text = wrapped(sentence, steps.TILE, steps.TEXT_PIXELS)
        assert text.count("\n") < steps.TEXT_LINES
