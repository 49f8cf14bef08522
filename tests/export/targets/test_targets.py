"""Other forms of a bundle: each replays the evidence before it is written, and says what it is."""

import hashlib
import importlib
import inspect
import json
import os
import re
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge import verification
from edge.bundle import bundle, shipped
from edge_export.targets import registry, web_runtime
from edge_export.targets.registry import TARGETS, DeploymentError

# The page needs onnxruntime-web, which is fetched once: tests/export/targets/test_html.py says how.
RUNTIME = os.environ.get(web_runtime.VARIABLE, "")


@pytest.fixture(autouse=True)
def with_web_runtime(request, monkeypatch):
    """The target of a page finds its runtime where the environment of the tests has one."""
    if "name" in request.fixturenames and request.node.callspec.params.get("name") == "html":
        if not RUNTIME:
            pytest.skip(f"${web_runtime.VARIABLE} names no folder with onnxruntime-web; run: python3 dev.py web")
        monkeypatch.setenv(web_runtime.VARIABLE, RUNTIME)


PAGE = Path(__file__).parents[3] / "docs" / "targets.md"
BUNDLES = ["lstm-int8", "lstm", "gru-int8", "cnn-16k", "cnn-16k-int8"]


def repacked(shipped_name, **changes):
    """A shipped bundle with something else in its manifest or evidence, whole all the same."""
    found = shipped.info(shipped_name)
    model = found.data[: found.data.index(b"edge.manifest")]
    model = model[: model.rindex(b"\x72")]  # the entry's field: number 14, length-delimited
    evidence = changes.pop("evidence", found.evidence)
    return bundle.read(bundle.pack(model, replace(found.manifest, **changes), evidence))


def contents(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", TARGETS)
def test_a_target_is_a_module_with_one_function_and_a_part_of_the_docs(name):
    write = importlib.import_module(TARGETS[name].module).write
    asked = ["request"] if "c" in TARGETS[name].engines else []
    assert list(inspect.signature(write).parameters) == ["source", "out", *asked]
    assert f"--to {name}" in PAGE.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.represented(name=("ort", "triton", "cpp", "c"))  # the other one is asked in test_html.py
def test_what_does_not_answer_as_its_evidence_says_is_not_written(name, tmp_path):
    found = shipped.info("lstm-20").evidence
    wrong = repacked("lstm-20", evidence=replace(found, logits=found.logits + np.float32(1)))
    with pytest.raises(DeploymentError, match=r"fails at evidence: .*; nothing was written; deploy the bundle itself"):
        registry.write(name, wrong, tmp_path)
    assert contents(tmp_path) == set()


@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.represented(name=("ort", "triton", "cpp"))
def test_nothing_written_tells_where_it_was_made(name, tmp_path):
    for path in registry.write(name, shipped.info("lstm-20"), tmp_path).paths:
        content = path.read_bytes()
        assert b"/tmp" not in content
        assert str(tmp_path).encode() not in content


def test_another_name_is_told_with_those_that_there_are(tmp_path):
    with pytest.raises(DeploymentError, match=rf"there is no target 'html5'; use one of {', '.join(TARGETS)}"):
        registry.write("html5", shipped.info("lstm"), tmp_path)


# --- ORT format -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", BUNDLES)
@pytest.mark.sampled(2)
def test_a_bundle_in_ort_format_verifies_and_keeps_what_it_says_of_itself(name, tmp_path):
    source = shipped.info(name)
    written = registry.write("ort", source, tmp_path)
    assert written.replay.passed
    assert contents(tmp_path) == {
        f"{name}.ort",
        f"{name}.ort.sha256",
        f"{name}.required_operators_and_types.config",
    }
    assert verification.verify(tmp_path / f"{name}.ort", provider="cpu").passed
    assert bundle.read(tmp_path / f"{name}.ort").manifest == source.manifest
    size = (tmp_path / f"{name}.ort").stat().st_size
    assert f"{size / source.size:.2f} times the bundle" in written.notes[0]


def test_its_digest_is_checked_by_sha256sum_too(tmp_path):
    registry.write("ort", shipped.info("lstm-20"), tmp_path)
    digest = hashlib.sha256((tmp_path / "lstm-20.ort").read_bytes()).hexdigest()
    assert (tmp_path / "lstm-20.ort.sha256").read_text() == f"{digest}  lstm-20.ort\n"


def test_the_operators_that_a_build_needs_are_listed_with_their_types(tmp_path):
    registry.write("ort", shipped.info("lstm-int8"), tmp_path)
    lines = (tmp_path / "lstm-int8.required_operators_and_types.config").read_text().splitlines()
    assert lines[0] == "# Operators and types of lstm-int8.ort"
    assert "com.microsoft;1;DynamicQuantizeLSTM,FusedGemm,MatMulIntegerToFloat" in lines
    assert any(re.match(r"ai\.onnx;13;.*Softmax\{", line) for line in lines)


# --- Triton -----------------------------------------------------------------------------------------------------------

CLIENTS = os.environ.get("EDGE_CLIENTS", "")

# Prints a configuration as JSON; who published the schema reads it.
READ = """
import pathlib, sys
from google.protobuf import json_format, text_format
from tritonclient.grpc import model_config_pb2
config = text_format.Parse(pathlib.Path(sys.argv[1]).read_text(), model_config_pb2.ModelConfig())
print(json_format.MessageToJson(config, preserving_proto_field_name=True))
"""


def model_config(path):
    """A configuration, read by the schema that tritonclient carries."""
    if not CLIENTS:
        pytest.skip("$EDGE_CLIENTS names no Python with tritonclient; run: python3 dev.py clients")
    words = [CLIENTS, "-c", READ, str(path)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.represented(name=("lstm",))
@pytest.mark.parametrize("name", BUNDLES)
def test_a_repository_holds_the_bundle_unchanged_and_a_configuration_of_the_published_form(name, tmp_path):
    source = shipped.info(name)
    written = registry.write("triton", source, tmp_path)
    assert written.replay.passed
    folder = tmp_path / "triton" / name
    assert contents(folder) == {"config.pbtxt", "labels.txt", "warmup/image", "1/model.onnx"}
    assert (folder / "1" / "model.onnx").read_bytes() == source.data
    config = model_config(folder / "config.pbtxt")
    assert (config["name"], config["backend"], config["max_batch_size"]) == (name, "onnxruntime", 256)
    assert config["input"] == [{"name": "image", "data_type": "TYPE_UINT8", "dims": ["28", "28"]}]
    labelled = {"data_type": "TYPE_FP32", "dims": ["10"], "label_filename": "labels.txt"}
    score = {"name": "score", "data_type": "TYPE_FP32", "dims": ["1"], "reshape": {}}
    assert config["output"] == [{"name": "logits"} | labelled, {"name": "probabilities"} | labelled, score]
    assert (folder / "labels.txt").read_text() == "".join(f"{label}\n" for label in source.manifest.labels)
    kinds = [one["kind"] for one in config.get("instance_group", [])]
    assert kinds == ([] if "cuda" in source.manifest.providers else ["KIND_CPU"])
    assert config["parameters"] == {
        "intra_op_thread_count": {"string_value": "1"},
        "inter_op_thread_count": {"string_value": "1"},
    }
    assert [one["batch_size"] for one in config["model_warmup"]] == [1, 64]
    image = {"data_type": "TYPE_UINT8", "dims": ["28", "28"], "input_data_file": "image"}
    assert all(one["inputs"] == {"image": image} for one in config["model_warmup"])
    assert (folder / "warmup" / "image").read_bytes() == source.evidence.images[0].tobytes()


def test_several_bundles_share_a_repository_and_each_is_replaced_as_a_whole(tmp_path):
    for name in ("lstm-20", "rnn", "lstm-20"):
        registry.write("triton", shipped.info(name), tmp_path)
        (tmp_path / "triton" / "lstm-20" / "stray").touch()
    assert {path.name for path in (tmp_path / "triton").iterdir()} == {"lstm-20", "rnn"}
    assert (tmp_path / "triton" / "lstm-20" / "stray").is_file()
    registry.write("triton", shipped.info("lstm-20"), tmp_path)
    assert not (tmp_path / "triton" / "lstm-20" / "stray").exists()


@pytest.mark.parametrize("label", ["two\nlines", " spaces ", "form\ffeed", ""])
def test_a_label_that_is_no_line_is_refused(label, tmp_path):
    labels = (label, *"123456789")
    with pytest.raises(DeploymentError, match=r"cannot stand on a line of labels\.txt; export the model with --labels"):
        registry.write("triton", repacked("lstm-20", labels=labels), tmp_path)
    assert contents(tmp_path) == set()


def test_quotes_in_a_name_stay_inside_it_and_older_bundles_give_no_score(tmp_path):
    older = repacked("lstm-20", name='the "small" lstm', outputs=("logits", "probabilities"))
    (tmp_path / "config.pbtxt").write_text(importlib.import_module(TARGETS["triton"].module).config(older))
    config = model_config(tmp_path / "config.pbtxt")
    assert (config["name"], config["backend"]) == ('the "small" lstm', "onnxruntime")
    assert [one["name"] for one in config["output"]] == ["logits", "probabilities"]


@pytest.mark.slow
def test_a_triton_server_answers_as_the_evidence_says(tmp_path):
    """The server of nvidia-pytriton has a Python backend only: it runs the same file with the same settings."""
    python = os.environ.get("EDGE_TRITON")
    if not python:
        pytest.skip("$EDGE_TRITON names no Python with nvidia-pytriton, tritonclient[http,grpc] and onnxruntime")
    served = ["lstm-int8", "cnn-16k"]
    for name in served:
        registry.write("triton", shipped.info(name), tmp_path)
    script = Path(__file__).with_name("triton_server.py")
    environment = {**os.environ, "PYTHONPATH": str(Path(verification.__file__).parents[1])}
    ended = subprocess.run(
        [python, script, tmp_path / "triton", *served],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
        timeout=300,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    told = [json.loads(line) for line in ended.stdout.splitlines()]
    assert [(one["name"], one["protocol"]) for one in told] == [
        (name, by) for name in served for by in ("http", "grpc")
    ]
    assert all(one["share"] <= 1 and one["digit_flips"] == 0 for one in told)
