"""Anybody's model, right the first time: from its own class and its own checkpoint, with options alone."""

import numpy as np
import onnx
import pytest
import torch
from wild_collection import WILD  # conftest.py has loaded it

from edge import verification
from edge.bundle import bundle
from edge.classifier import classifier
from edge_export.graph.cleaning import FIRST_STATES
from edge_export.int8 import candidates
from edge_export.int8.processors import PROFILES

SCORE_NODES = 10  # of the output `score`, which every bundle of a model that reads digits has
SHAPE_ARITHMETIC = {"Shape", "Size", "ConstantOfShape", "Expand", "Range", "Loop", "Scan", "If"}
# What needs the size of the batch when it runs: a class token, or a length, that is there once for each picture.
OF_THE_BATCH = {"row transformer, class token", "ViT by Unfold", "wants lengths"}


@pytest.mark.parametrize("name", WILD)
def test_a_model_is_right_from_its_own_class_and_checkpoint(name, export_wild, digits):
    wild = WILD[name]
    ended, net, path = export_wild(name)
    assert ended.code == 0, ended.err
    assert f"takes [{wild.layout}]" in ended.err

    with torch.no_grad():
        expected = wild.answers(net, digits.images).numpy()
    loaded = classifier.load(path, provider="cpu")
    for count in (1, 2, 33, len(digits.images)):
        found = wild.said(torch.from_numpy(loaded.logits(digits.images[:count]))).numpy()
        np.testing.assert_allclose(found, expected[:count], atol=1e-5 * max(1.0, np.abs(expected).max()))

    facts = bundle.read(path).manifest
    assert facts.preparation.layout == wild.layout
    assert facts.labels == tuple("0123456789")
    assert facts.warning is None
    nodes = [node.op_type for node in onnx.load(path).graph.node]
    assert len(nodes) <= wild.nodes + SCORE_NODES
    assert sum(node in FIRST_STATES for node in nodes) == wild.recurrent
    assert name in OF_THE_BATCH or not SHAPE_ARITHMETIC & set(nodes)
    assert verification.verify(path, provider="cpu").passed


@pytest.mark.parametrize("name", [name for name, wild in WILD.items() if wild.candidates])
def test_a_model_gets_the_int8_candidates_of_edge_s_own(name, export_wild, digits):
    wild = WILD[name]
    _, _, path = export_wild(name)
    model = onnx.load(path)
    del model.metadata_props[:]
    built = candidates.build(model, digits.images, PROFILES["any"])
    assert set(wild.candidates) <= set(built)
