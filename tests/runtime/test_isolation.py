"""Verification in a child process: whatever a bundle does to it, the outcome is a table."""

import sys
from hashlib import sha256

import numpy as np
import pytest

from edge.bundle.graph import encode_bytes, encode_integer, encode_metadata
from edge.errors import InputError
from edge.isolation import ChildLimits, verify_apart
from edge.session import runtime
from edge.verification import verify


def write(path, data):
    path.write_bytes(data)
    return path


@pytest.mark.counted_children
def test_a_child_tells_the_same_as_this_process(bundle_path, tmp_path, packed):
    assert verify_apart(bundle_path, "cpu") == verify(bundle_path, "cpu")
    cut = write(tmp_path / "cut.onnx", packed[:-1])
    assert verify_apart(cut, "cpu") == verify(cut, "cpu")


def test_a_provider_and_its_settings_reach_the_child(bundle_path):
    if "openvino" in runtime.built_in():
        pytest.skip("this ONNX Runtime has OpenVINO")
    outcome = verify_apart(bundle_path, "openvino", provider_options={"device_type": "GPU"})
    assert outcome == verify(bundle_path, "openvino", provider_options={"device_type": "GPU"})
    assert "built without OpenVINO" in outcome.failed.detail
    for wrong in ("tpu", "auto"):
        with pytest.raises(InputError):
            verify_apart(bundle_path, wrong, provider_options={"device_type": "GPU"})


def test_a_child_that_takes_too_long_or_too_much_is_a_step_that_failed(bundle_path):
    slow = verify_apart(bundle_path, "cpu", ChildLimits(2 << 30, 0.001))
    assert [step.passed for step in slow.steps] == [False]
    assert "it did not end within 0.001 s; do not use this bundle" in slow.steps[0].detail
    if sys.platform.startswith("linux"):
        assert not verify_apart(bundle_path, "cpu", ChildLimits(30_000_000, 60)).passed


@pytest.mark.skipif(sys.platform == "win32", reason="a process ends otherwise there")
def test_a_child_that_crashes_is_a_step_that_failed(bundle_path, tmp_path, monkeypatch):
    crash = tmp_path / "python"
    crash.write_text("#!/bin/sh\nkill -SEGV $$\n")
    crash.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(crash))
    outcome = verify_apart(bundle_path, "cpu")
    assert [step.passed for step in outcome.steps] == [False]
    assert outcome.steps[0].detail.startswith("it was ended by Segmentation fault; ")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
def test_a_runtime_that_crashes_is_blamed_and_not_the_bundle(bundle_path, tmp_path, monkeypatch, installed):
    installed(onnxruntime="1.21.0")
    (tmp_path / "deadly" / "onnxruntime").mkdir(parents=True)
    (tmp_path / "deadly" / "onnxruntime" / "__init__.py").write_text("import os\nos.kill(os.getpid(), 4)\n")
    # A child finds edge first, and beside the installed one is the real onnxruntime: Python puts this before both.
    (tmp_path / "deadly" / "sitecustomize.py").write_text(
        f"import sys\nsys.path.insert(0, {str(tmp_path / 'deadly')!r})\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "deadly"))
    outcome = verify_apart(bundle_path, "cpu")
    assert [(step.name, step.passed) for step in outcome.steps] == [("digest", True), ("load", False)]
    assert outcome.steps[1].detail.startswith("onnxruntime 1.21.0 does not run on this processor: ")
    assert "pip install 'onnxruntime!=1.21.0'" in outcome.steps[1].detail


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux holds a process to its memory")
def test_a_graph_that_asks_for_terabytes_ends_in_a_table(tmp_path, packed):
    sizes = b"".join(
        (
            encode_integer(1, 1),
            encode_integer(2, 7),
            encode_bytes(8, "many"),
            encode_bytes(9, np.int64([2**40]).tobytes()),
        )
    )
    node = b"".join((encode_bytes(1, "many"), encode_bytes(2, "much"), encode_bytes(4, "ConstantOfShape")))
    axis = encode_bytes(2, encode_bytes(1, encode_integer(1, 1) + encode_bytes(2, encode_bytes(1, b""))))
    output = encode_bytes(1, "much") + axis
    piece = encode_bytes(7, encode_bytes(1, node) + encode_bytes(5, sizes) + encode_bytes(12, output))
    body = packed[:-81] + piece
    path = write(tmp_path / "large.onnx", body + encode_metadata("edge.digest", sha256(body).hexdigest()))
    outcome = verify_apart(path, "cpu")
    assert outcome.steps[0].passed
    assert not outcome.passed
