"""The worked examples of docs/models.md, each run as it stands there."""

import shlex
import shutil
from pathlib import Path

import pytest
import torch

DOCUMENT = Path(__file__).parents[3] / "docs" / "models.md"

# The collection's model that each example's file and checkpoint are of.
MODELS = {
    "tutorial.py": ("script.py", "a script that trains"),
    "cnn.py:Example": ("plain.py", "the usual example"),
    "recurrent.py": ("recurrent.py", "two layers of their own"),
    "attention.py": ("attention.py", "row transformer, class token"),
    "cnn.py:LeNet": ("plain.py", "LeNet"),
}


def examples() -> list[str]:
    """The commands of the section."""
    section = DOCUMENT.read_text(encoding="utf-8").split("## Five worked examples")[1].split("\n## ")[0]
    return [line for line in section.splitlines() if line.startswith("edge export")]


def test_there_are_five():
    assert len(examples()) == len(MODELS)


@pytest.mark.usefixtures("few_digits", "fresh_modules", "in_folder")
@pytest.mark.parametrize("line", examples())
def test_a_worked_example_works(line, collection, edge_command):
    words = shlex.split(line)[1:]
    model, checkpoint = words[words.index("--model") + 1], words[words.index("--checkpoint") + 1]
    file, name = next(value for key, value in MODELS.items() if model.startswith(key))
    shutil.copy(collection.MODULES / file, model.partition(":")[0])
    torch.save(collection.WILD[name].save(collection.made(name).state_dict()), checkpoint)
    Path("letters.txt").write_text("\n".join("abcdefghij"))
    ended = edge_command(*words, "--data", "strokes")
    assert ended.code == 0, ended.err
    assert "next: edge verify bundles/" in ended.out
