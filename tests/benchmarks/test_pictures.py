"""`benchmarks/pictures.py` on a folder of its form: what it counts, what it draws, what it refuses."""

import json

import pytest
from PIL import Image

from edge.bundle import bundle, shipped
from edge.picture import steps

MODEL = "cnn"


@pytest.fixture
def folder(tmp_path):
    """Three digits as the model sees them, one of them with a wrong label, and a file that is no picture."""
    evidence = bundle.read(shipped.locate(MODEL)).evidence
    lines = ["file\tlabel\tkind"]
    strokes = [index for index, kind in enumerate(evidence.kinds) if kind.startswith("stroke ")][:3]
    for number, index in enumerate(strokes):
        Image.fromarray(evidence.images[index]).save(tmp_path / f"{number}.png")
        label = evidence.kinds[index].split()[1]
        lines.append(f"{number}.png\t{label if number else (int(label) + 1) % 10}\tdrawn")
    (tmp_path / "text.png").write_text("no picture")
    lines.append("text.png\t4\tbroken")
    (tmp_path / "labels.tsv").write_text("\n".join(lines) + "\n")
    return tmp_path


def test_right_labels_are_counted_by_kind_and_mistakes_drawn(benchmark_program, folder):
    code, printed, told = benchmark_program("pictures", folder, "--model", MODEL, "--out", folder / "out")
    assert (code, told) == (0, "")
    document = json.loads(printed.splitlines()[-1])
    (model,) = document["models"]
    assert model["model"] == MODEL
    assert model["accuracy"] == {
        "drawn": {"right": 2, "pictures": 3},
        "broken": {"right": 0, "pictures": 1},
        "all": {"right": 2, "pictures": 4},
    }
    wrong, broken = model["mistakes"]
    assert (wrong["case"]["path"], broken["said"]) == ("0.png", None)
    assert "not a picture" in broken["problem"]
    with Image.open(folder / "out" / f"mistakes-{MODEL}.png") as sheet:
        assert sheet.height == 2 * steps.HEIGHT


def test_a_folder_without_labels_is_refused_in_a_line(benchmark_program, tmp_path):
    code, _, told = benchmark_program("pictures", tmp_path, "--model", MODEL)
    assert code == 1
    assert "labels.tsv cannot be read" in told
    (tmp_path / "labels.tsv").write_text("name,digit\na,1\n")
    assert "needs a header" in benchmark_program("pictures", tmp_path)[2]
