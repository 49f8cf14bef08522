"""The device's environment: the built wheel, ONNX Runtime, and nothing of the trainer or the exporter.

`dev.py test` makes such environments and names them in $EDGE_THIN; elsewhere only what holds everywhere is asked.
"""

import importlib.util
import os
from pathlib import Path

import pytest

from edge.bundle import bundle, shipped
from edge.picture import preprocessing
from edge.verification import verify

DEVICE = os.environ.get("EDGE_THIN")
HEAVY = ["torch", "torchvision", "onnx", "onnxscript", "safetensors"]
MOST_MEGABYTES = 200

on_a_device = pytest.mark.skipif(not DEVICE, reason="not in an environment like a device's: EDGE_THIN is not set")


@on_a_device
@pytest.mark.parametrize("module", HEAVY)
def test_nothing_heavy_is_installed(module):
    assert importlib.util.find_spec(module) is None


@on_a_device
def test_the_runtime_under_test_is_the_wheel_and_not_the_source_tree():
    import edge

    assert Path(edge.__file__).is_relative_to(DEVICE)


@on_a_device
def test_all_of_it_is_small():
    files = {(facts.st_dev, facts.st_ino): facts.st_size for facts in _files(Path(DEVICE))}
    assert sum(files.values()) <= MOST_MEGABYTES * 10**6


@pytest.mark.parametrize("name", shipped.names())
@pytest.mark.sampled(4)
def test_a_shipped_bundle_verifies_on_this_runtime(name):
    outcome = verify(shipped.locate(name), provider="cpu")
    assert outcome.passed, outcome.steps


@pytest.mark.parametrize("name", shipped.names())
def test_a_shipped_bundle_names_the_picture_preprocessing_that_is_used(name):
    assert bundle.read(shipped.locate(name)).manifest.picture == preprocessing.RECIPE


def test_every_model_is_shipped_in_fp32_and_in_int8():
    names = set(shipped.names())
    assert names
    assert {name.removesuffix("-int8") for name in names} == {name for name in names if not name.endswith("-int8")}
    assert {f"{name}-int8" for name in names if not name.endswith("-int8")} <= names


def _files(folder):
    return [path.stat() for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
