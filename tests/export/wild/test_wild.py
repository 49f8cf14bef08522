"""Anybody's model, right the first time: from its own class and its own checkpoint, with options alone."""

import shlex
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from wild_collection import FUSED, LSTM, MODULES, WILD, made  # conftest.py has loaded it

from edge import verification
from edge.bundle import bundle
from edge.classifier import classifier
from edge_export.graph.cleaning import FIRST_STATES
from edge_export.int8 import candidates
from edge_export.int8.processors import PROFILES

SCORE_NODES = 10  # of the output `score`, which every bundle of a model that reads digits has
SHAPE_ARITHMETIC = {"Shape", "Size", "ConstantOfShape", "Expand", "Range", "Loop", "Scan", "If"}
# What needs the size of the batch when it runs: a class token, a length or a state that is there once for each picture;
# and what takes one picture after the other.
OF_THE_BATCH = {
    "row transformer, class token", "ViT by Unfold", "wants lengths", "one picture at a time",
    "a loop over the pictures, a loss", "a row at a call", "branches",
}  # fmt: skip

DOCUMENT = Path(__file__).parents[3] / "docs" / "models.md"
# What the models of the worked examples of docs/models.md begin with.
DOCUMENTED = {
    "a script that trains": "tutorial.py",
    "the usual example": "cnn.py:Example",
    "two layers of their own": "recurrent.py",
    "row transformer, class token": "attention.py",
    "LeNet": "cnn.py:LeNet",
}
# One for each way by which a model becomes a graph, or says what it takes and gives; those of the docs are others.
REPRESENTATIVES = (
    "wants its states",
    "cnn-16k, ends in squeeze()",
    "ResNet of three colours",
    "Lightning that is not installed",
    "14x14",
    # what is mended in a forward
    "packed sequences",
    ".cuda() in forward",
    "a dropout that is always on",
    "rows backwards, random states",
    # what ONNX has no operator for, and weights in parts
    "running sums of logarithms",
)


def worked_examples() -> list[str]:
    """The commands of that section of the docs."""
    section = DOCUMENT.read_text(encoding="utf-8").split("## Five worked examples")[1].split("\n## ")[0]
    return [line for line in section.splitlines() if line.startswith("edge export")]


def check_export(name, ended, net, path, images) -> None:
    """Asserts that an export says what the model's author sees, at every size of the batch, in a lean graph."""
    wild = WILD[name]
    assert ended.code == 0, ended.err
    assert f"takes [{wild.layout}]" in ended.err

    with torch.no_grad():
        expected = wild.answers(net, images).numpy()
    loaded = classifier.load(path, provider="cpu")
    for count in (1, 2, 33, len(images)):
        found = wild.said(torch.from_numpy(loaded.logits(images[:count]))).numpy()
        np.testing.assert_allclose(found, expected[:count], atol=1e-5 * max(1.0, np.abs(expected).max()))

    facts = bundle.read(path).manifest
    assert facts.preparation.layout == wild.layout
    assert facts.labels == tuple("abcdefghij" if name == "LeNet" else "0123456789")
    assert facts.warning is None
    nodes = [node.op_type for node in onnx.load(path).graph.node]
    assert len(nodes) <= wild.nodes + SCORE_NODES
    assert sum(node in FIRST_STATES for node in nodes) == wild.recurrent
    assert name in OF_THE_BATCH or not SHAPE_ARITHMETIC & set(nodes)
    assert verification.verify(path, provider="cpu").passed


@pytest.mark.represented(name=REPRESENTATIVES)
@pytest.mark.parametrize("name", [name for name in WILD if name not in DOCUMENTED])
def test_a_model_is_right_from_its_own_class_and_checkpoint(name, export_wild, digits):
    ended, net, path = export_wild(name)
    check_export(name, ended, net, path, digits.images)
    wild = WILD[name]
    model = onnx.load(path)
    wanted = wild.candidates or ()
    if wild.recurrent:
        wanted += LSTM if "LSTM" in {node.op_type for node in model.graph.node} else FUSED
    if wanted:
        del model.metadata_props[:]
        assert set(wanted) <= set(candidates.build(model, digits.images, PROFILES["any"]))


@pytest.mark.usefixtures("few_digits", "fresh_modules", "in_folder")
@pytest.mark.parametrize("line", worked_examples())
@pytest.mark.sampled(2)
def test_a_worked_example_of_the_docs_works(line, edge_command, digits):
    """Each as it stands there, with the collection's model of that form under the names of the example."""
    words = shlex.split(line)[1:]
    model, checkpoint = words[words.index("--model") + 1], words[words.index("--checkpoint") + 1]
    name = next(name for name, begins in DOCUMENTED.items() if model.startswith(begins))
    net = made(name)
    shutil.copy(MODULES / WILD[name].model.partition(":")[0], model.partition(":")[0])
    torch.save(WILD[name].save(net.state_dict()), checkpoint)
    Path("letters.txt").write_text("\n".join("abcdefghij"))
    ended = edge_command(*words, "--data", "strokes")
    check_export(name, ended, net, next(iter(Path("bundles").glob("*.onnx")), None), digits.images)
    assert "next: edge verify bundles/" in ended.out


def test_there_are_five_worked_examples():
    assert len(worked_examples()) == len(DOCUMENTED)
