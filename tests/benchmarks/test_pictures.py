"""`benchmarks/pictures.py` on a folder of its form: what it counts, what it draws, what it refuses."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from edge.bundle import bundle, shipped
from edge.picture import steps

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "pictures.py"
MODEL = "cnn"


def run(*arguments):
    return subprocess.run(
        [sys.executable, str(SCRIPT), *map(str, arguments)], capture_output=True, text=True, check=False, timeout=120
    )


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


def test_right_labels_are_counted_by_kind_and_mistakes_drawn(folder):
    done = run(folder, "--model", MODEL, "--out", folder / "out")
    assert (done.returncode, done.stderr) == (0, "")
    document = json.loads(done.stdout.splitlines()[-1])
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


def test_a_folder_without_labels_is_refused_in_a_line(tmp_path):
    done = run(tmp_path, "--model", MODEL)
    assert done.returncode == 1
    assert "labels.tsv cannot be read" in done.stderr
    (tmp_path / "labels.tsv").write_text("name,digit\na,1\n")
    assert "needs a header" in run(tmp_path).stderr
