"""Trees of small pictures, and what `edge predict` says of them."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


@pytest.fixture(scope="session")
def picture_bytes(tmp_path_factory):
    """Files of 28x28 pixels by number, each with another label or score."""
    random = np.random.default_rng(19)
    path = tmp_path_factory.mktemp("one") / "one.png"

    def make(number):
        image = np.zeros((28, 28), np.uint8)
        image[4:24, 4:24] = random.integers(0, 256, (20, 20), dtype=np.uint8)
        image[5, 5] = number % 256
        Image.fromarray(image).save(path)
        return path.read_bytes()

    return [make(number) for number in range(60)]


@pytest.fixture
def tree(tmp_path, picture_bytes, monkeypatch):
    """Sixty pictures in folders of folders, and one file that is none: 61 rows."""
    monkeypatch.chdir(tmp_path)
    for number, content in enumerate(picture_bytes):
        path = Path("tree") / str(number % 3) / str(number % 5) / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    Path("tree/1/text.png").write_text("no picture")
    return Path("tree")


def rows_in(folder, pattern="part-*.jsonl"):
    """The rows of all parts, in their order."""
    return [json.loads(line) for path in sorted(Path(folder).glob(pattern)) for line in path.read_text().splitlines()]


def paths_of(rows):
    return Counter(row["path"] for row in rows)


@pytest.fixture
def printed(edge_command, bundle_path):
    """What `edge predict --json` prints, as rows."""

    def run(*arguments, **options):
        out = edge_command("predict", *arguments, "--model", bundle_path, "--json", **options).out
        return [json.loads(line) for line in out.splitlines()]

    return run


def rounded(row):
    """A row without the last digits of its figures: they show which pictures were computed together."""
    return {
        key: round(value, 4) if isinstance(value, float) else value
        for key, value in row.items()
        if key != "probabilities"
    }


@pytest.fixture
def helpers():
    """The functions above: test files of this folder cannot import it."""

    class Helpers:
        rows_in = staticmethod(rows_in)
        paths_of = staticmethod(paths_of)
        rounded = staticmethod(rounded)

    return Helpers
