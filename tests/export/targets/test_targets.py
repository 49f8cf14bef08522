"""Other forms of a bundle: each replays the evidence before it is written, and says what it is."""

import hashlib
import importlib
import inspect
import os
import re
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format

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
    assert list(inspect.signature(write).parameters) == ["source", "out"]
    assert f"--to {name}" in PAGE.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", TARGETS)
def test_what_does_not_answer_as_its_evidence_says_is_not_written(name, tmp_path):
    found = shipped.info("lstm").evidence
    wrong = repacked("lstm", evidence=replace(found, logits=found.logits + np.float32(1)))
    with pytest.raises(DeploymentError, match=r"fails at evidence: .*; nothing was written; deploy the bundle itself"):
        registry.write(name, wrong, tmp_path)
    assert contents(tmp_path) == set()


@pytest.mark.parametrize("name", TARGETS)
def test_nothing_written_tells_where_it_was_made(name, tmp_path):
    for path in registry.write(name, shipped.info("lstm-20"), tmp_path).paths:
        content = path.read_bytes()
        assert b"/tmp" not in content
        assert str(tmp_path).encode() not in content


def test_another_name_is_told_with_those_that_there_are(tmp_path):
    with pytest.raises(DeploymentError, match=r"there is no target 'html5'; use one of html, ort, triton"):
        registry.write("html5", shipped.info("lstm"), tmp_path)


# --- ORT format -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", BUNDLES)
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
    assert "com.microsoft;1;DynamicQuantizeLSTM,MatMulIntegerToFloat" in lines
    assert any(re.match(r"ai\.onnx;13;.*Softmax\{", line) for line in lines)


# --- Triton -----------------------------------------------------------------------------------------------------------

# The part of triton-inference-server/common, protobuf/model_config.proto that a repository of ours uses: fields by
# message, with their numbers, and the types of those that are no strings.
SCHEMA = {
    "ModelInput": {"name": 1, "data_type": (2, "DataType"), "dims": (4, "int64*")},
    "ModelOutput": {"name": 1, "data_type": (2, "DataType"), "dims": (3, "int64*"), "label_filename": 4},
    "ModelInstanceGroup": {"name": 1, "kind": (4, "Kind"), "count": (2, "int32")},
    "ModelDynamicBatching": {"preferred_batch_size": (1, "int32*"), "max_queue_delay_microseconds": (2, "uint64")},
    "ModelParameter": {"string_value": 1},
    "Parameters": {"key": 1, "value": (2, "ModelParameter")},
    "WarmupInput": {"data_type": (1, "DataType"), "dims": (2, "int64*"), "input_data_file": 5},
    "Inputs": {"key": 1, "value": (2, "WarmupInput")},
    "ModelWarmup": {"name": 1, "batch_size": (2, "uint32"), "inputs": (3, "Inputs*"), "count": (4, "uint32")},
    "ModelConfig": {
        "name": 1,
        "max_batch_size": (4, "int32"),
        "input": (5, "ModelInput*"),
        "output": (6, "ModelOutput*"),
        "instance_group": (7, "ModelInstanceGroup*"),
        "dynamic_batching": (11, "ModelDynamicBatching"),
        "parameters": (14, "Parameters*"),
        "model_warmup": (16, "ModelWarmup*"),
        "backend": 17,
    },
}
ENUMS = {"DataType": {"TYPE_INVALID": 0, "TYPE_UINT8": 2, "TYPE_FP32": 11}, "Kind": {"KIND_AUTO": 0, "KIND_CPU": 2}}


def model_config(text):
    """A configuration, read by the published schema."""
    file = descriptor_pb2.FileDescriptorProto(name="model_config.proto", package="inference", syntax="proto3")
    for name, values in ENUMS.items():
        enum = file.enum_type.add(name=name)
        for value, number in values.items():
            enum.value.add(name=value, number=number)
    field = descriptor_pb2.FieldDescriptorProto
    scalars = {"int32": field.TYPE_INT32, "int64": field.TYPE_INT64, "uint32": field.TYPE_UINT32}
    scalars |= {"uint64": field.TYPE_UINT64, "string": field.TYPE_STRING}
    for message, fields in SCHEMA.items():
        made = file.message_type.add(name=message)
        for name, facts in fields.items():
            number, kind = facts if isinstance(facts, tuple) else (facts, "string")
            bare = kind.rstrip("*")
            one = made.field.add(
                name=name, number=number, label=field.LABEL_REPEATED if kind != bare else field.LABEL_OPTIONAL
            )
            one.type = scalars.get(bare, field.TYPE_ENUM if bare in ENUMS else field.TYPE_MESSAGE)
            if bare not in scalars:
                one.type_name = f".inference.{bare}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    kind = message_factory.GetMessageClass(pool.FindMessageTypeByName("inference.ModelConfig"))
    return text_format.Parse(text, kind())


@pytest.mark.parametrize("name", BUNDLES)
def test_a_repository_holds_the_bundle_unchanged_and_a_configuration_of_the_published_form(name, tmp_path):
    source = shipped.info(name)
    written = registry.write("triton", source, tmp_path)
    assert written.replay.passed
    folder = tmp_path / "triton" / name
    assert contents(folder) == {"config.pbtxt", "labels.txt", "warmup/image", "1/model.onnx"}
    assert (folder / "1" / "model.onnx").read_bytes() == source.data
    config = model_config((folder / "config.pbtxt").read_text())
    assert (config.name, config.backend, config.max_batch_size) == (name, "onnxruntime", 256)
    (image,) = config.input
    assert (image.name, image.data_type, list(image.dims)) == ("image", 2, [28, 28])
    assert [(one.name, one.data_type, list(one.dims)) for one in config.output] == [
        ("logits", 11, [10]),
        ("probabilities", 11, [10]),
    ]
    assert {one.label_filename for one in config.output} == {"labels.txt"}
    assert (folder / "labels.txt").read_text() == "".join(f"{label}\n" for label in source.manifest.labels)
    assert [one.kind for one in config.instance_group] == ([] if "cuda" in source.manifest.providers else [2])
    assert {one.key: one.value.string_value for one in config.parameters} == {
        "intra_op_thread_count": "1",
        "inter_op_thread_count": "1",
    }
    assert [one.batch_size for one in config.model_warmup] == [1, 64]
    (first,) = {(one.inputs[0].key, one.inputs[0].value.input_data_file) for one in config.model_warmup}
    assert first == ("image", "image")
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


def test_quotes_in_a_name_stay_inside_it(tmp_path):
    name = 'the "small" lstm'
    config = model_config(importlib.import_module(TARGETS["triton"].module).config(repacked("lstm-20", name=name)))
    assert (config.name, config.backend) == (name, "onnxruntime")


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
    assert ended.stdout.count("as the evidence says") == 2 * len(served)
