"""edge.hpp: bundles opened, checked, replayed and asked in C++, by the program that comes with it."""

import base64
import hashlib
import json
import os
import shutil
import struct
import subprocess
from dataclasses import replace
from importlib import resources
from pathlib import Path

import numpy as np
import pytest

from edge.bundle import bundle, shipped
from edge.bundle.graph import encode_metadata
from edge.classifier.classifier import load
from edge_export.targets import cpp, cpp_toolchain, registry
from edge_export.targets.registry import DeploymentError

FOLDER = os.environ.get(cpp_toolchain.VARIABLE)  # read before a test changes the environment
SOURCES = resources.files("edge_export.targets") / "cplusplus"
DIGEST = encode_metadata("edge.digest", "0" * 64)


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """replay.cpp, compiled with warnings as errors."""
    folder = tmp_path_factory.mktemp("cpp")
    for name in cpp.SOURCES:
        (folder / name).write_bytes((SOURCES / name).read_bytes())
    with pytest.MonkeyPatch.context() as patch:
        if FOLDER:
            patch.setenv(cpp_toolchain.VARIABLE, FOLDER)
        try:
            return cpp_toolchain.build(folder, "replay")
        except DeploymentError as error:
            if "error:" in str(error):  # of the compiler, about our code
                raise
            pytest.skip(f"{error}")


@pytest.fixture(scope="module")
def replays(program, parameters):
    """The replay of the shipped bundles that are asked for, by their names."""
    tests = ("test_every_shipped_bundle_holds_its_evidence_in_cpp", "test_answers_are_those_of_python")
    names = sorted({name for test in tests for name in parameters(test, "name")})
    words = [program, "--json", *(shipped.locate(name) for name in names)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return {line["name"]: line for line in map(json.loads, done.stdout.splitlines())}


@pytest.fixture
def refusal(program, tmp_path):
    """Why a file is refused, or its table where it is not."""

    def ask(data, *options):
        path = tmp_path / "bundle.onnx"
        path.write_bytes(data)
        words = [program, *options, path]
        done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
        if done.returncode == 0:
            return done.stdout
        assert done.returncode == 1
        return (done.stdout + done.stderr).replace(str(path), "FILE")

    return ask


def redigested(data):
    """The bytes with a digest that holds again."""
    body = data[: -len(DIGEST)]
    return body + encode_metadata("edge.digest", hashlib.sha256(body).hexdigest())


def model_of(found):
    model = found.data[: found.data.index(b"edge.manifest")]
    return model[: model.rindex(b"\x72")]


@pytest.mark.represented(name=("bilstm-int8", "cnn-16k"))
@pytest.mark.parametrize("name", shipped.names())
def test_every_shipped_bundle_holds_its_evidence_in_cpp(replays, name):
    report, evidence = replays[name], shipped.info(name).evidence
    assert report["passed"], report["steps"]
    assert [step["name"] for step in report["steps"]] == ["digest", "load", "placement", "evidence"]
    logits = np.array(report["logits"], np.float32).reshape(evidence.logits.shape)
    errors = np.abs(logits - evidence.logits).max(axis=1)
    limits = np.array([evidence.limit(at) for at in range(len(errors))])
    assert (errors <= limits).all()
    assert errors[(errors / limits).argmax()] <= report["max_logit_error"] * (1 + 1e-6)
    assert report["digit_flips"] == 0
    if not name.endswith("-int8"):
        assert report["flips"] == 0
        assert errors.max() < 1e-4


@pytest.mark.parametrize("name", ["lstm", "gru-int8", "cnn-16k"])
def test_answers_are_those_of_python(replays, name):
    classifier = load(name, provider="cpu")
    expected = classifier.predictions(classifier.bundle.evidence.images)
    for ours, theirs in zip(replays[name]["predictions"], expected, strict=True):
        assert (ours["label"], ours["rejected"]) == (theirs.label, theirs.rejected)
        assert ours["confidence"] == pytest.approx(theirs.confidence, abs=2e-2)
        assert ours["score"] == pytest.approx(theirs.score, abs=0.5 if "int8" in name else 1e-3)


def test_bundles_of_an_older_edge_get_their_scores_from_the_logits(program, tmp_path):
    import onnx

    found = shipped.info("lstm-20")
    model = onnx.load_from_string(model_of(found))
    model.graph.output.pop()
    manifest = replace(found.manifest, outputs=("logits", "probabilities"))
    path = tmp_path / "older.onnx"
    path.write_bytes(bundle.pack(model.SerializeToString(), manifest, found.evidence))
    done = subprocess.run([program, "--json", path], capture_output=True, text=True, timeout=60, check=True)
    expected = load("lstm-20", provider="cpu").predictions(found.evidence.images)
    scores = [each["score"] for each in json.loads(done.stdout)["predictions"]]
    assert scores == pytest.approx([each.score for each in expected], abs=1e-3)


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda data: data[:1000] + bytes([data[1000] ^ 1]) + data[1001:], "do not match its digest; copy it again"),
        (lambda data: data[:-1] + bytes([data[-1] ^ 1]), "do not match its digest"),
        (lambda data: data[:-10], "does not end in a digest"),
        (lambda data: data[: len(data) // 2], "does not end in a digest"),
        (lambda data: data + b"\n", "does not end in a digest"),
        (lambda data: b"", "does not end in a digest"),
        (lambda data: redigested(b"\x0a\xff\xff\x7f" + data), "is cut off or no ONNX file"),
        (lambda data: redigested(data.replace(b"edge.evidence", b"edge.evidense")), "has no edge.manifest or edge.evi"),
        (lambda data: redigested(data.replace(b'"protocol":1', b'"protocol":9')), "speaks protocol 9, this header 1"),
        (lambda data: redigested(data.replace(b'"protocol":1', b'"protocol" 1')), "the manifest or the evidence is"),
        (lambda data: redigested(data.replace(b'"uint8"', b'"int16"')), "this header serves 28x28 images"),
        (lambda data: redigested(data.replace(b'"images":"eN', b'"images":"eM')), "another size than the evidence"),
        (lambda data: redigested(data.replace(b'"images":"eN', b'"images":"#N')), "is no base64"),
        (lambda data: redigested(data.replace(b"Softmax", b"Softmix")), "the runtime cannot load the graph"),
        (lambda data: redigested(data[: -len(DIGEST)] + data[data.index(b"edge.manifest") - 5 :]), "was packed twice"),
    ],
    ids=[
        "flipped byte", "flipped digest", "cut at the end", "cut in half", "appended", "empty", "no protobuf",
        "no evidence", "another protocol", "no JSON", "another input", "images that do not inflate", "no base64",
        "another graph", "packed twice",
    ],
)  # fmt: skip
def test_a_damaged_bundle_is_refused_in_one_line(refusal, damage, told):
    message = refusal(damage(shipped.info("lstm-20").data))
    assert message.startswith("edge: FILE: ")
    assert told in message
    assert message.count("\n") == 1


def test_wrong_evidence_fails_and_says_by_how_much(refusal):
    found = shipped.info("lstm-20")
    evidence = replace(found.evidence, logits=found.evidence.logits + np.float32(1))
    told = refusal(bundle.pack(model_of(found), found.manifest, evidence))
    assert "evidence   FAILED  25 images, max |logit error| 1.00e+00 (allowed 1.00e-03)" in told


def test_evidence_that_is_no_number_never_holds(refusal):
    found = shipped.info("lstm-20")
    text = found.evidence_json
    at = text.index(b'"logits":"') + len(b'"logits":"')
    packed = struct.pack("<3f", *[np.nan] * 3)

    changed = text[:at] + base64.b64encode(packed) + text[at + 16 :]
    assert "holds what is no number" in refusal(redigested(found.data.replace(text, changed)))


@pytest.fixture(scope="module")
def keys():
    """Two private keys, the public one of the first in digits and as a file's text, and that of the second."""
    ed25519 = pytest.importorskip("cryptography.hazmat.primitives.asymmetric.ed25519")
    serialization = pytest.importorskip("cryptography.hazmat.primitives.serialization")
    ours, others = (ed25519.Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32) for seed in (1, 2))
    form = (serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    pem = ours.public_key().public_bytes(*form).decode()
    digits = [one.public_key().public_bytes_raw().hex() for one in (ours, others)]
    return ours, others, digits[0], pem, digits[1]


def test_a_bundle_signed_by_a_trusted_key_is_opened_and_says_by_whom(refusal, keys, tmp_path):
    ours, _, key, pem, other = keys
    (tmp_path / "key.pub").write_text(pem)
    data = bundle.signed(shipped.info("lstm-20"), ours).data
    for options in (["--key", key.upper()], ["--key", other, "--key", tmp_path / "key.pub"]):
        assert f"signed by {key[:12]}..." in refusal(data, *options)
    assert "signed by" not in refusal(data)


def test_what_no_trusted_key_signed_is_refused(refusal, keys):
    ours, others, key, _, other = keys
    unsigned = shipped.info("lstm-20")
    data = bundle.signed(unsigned, ours).data
    at = data.index(b"ed25519 ") + len(b"ed25519 ") + 65
    forged = data[:at] + (b"1" if data[at : at + 1] == b"0" else b"0") + data[at + 1 :]
    between = data[: -len(DIGEST)] + encode_metadata("a", "b") + DIGEST
    expected = {
        "is not signed, and only signed ones are trusted here": unsigned.data,
        f"signed by {other}, which is no key that is trusted here": bundle.signed(unsigned, others).data,
        f"was changed after it was signed by {key}, or never was": redigested(forged),
        f"was changed after it was signed by {key}": redigested(data.replace(b'"lstm-20"', b'"lstm-21"')),
        "has a signature that `edge sign` did not write": redigested(between),
        "do not match its digest": forged,
    }
    for told, damaged in expected.items():
        assert told in refusal(damaged, "--key", key)
    assert "a trusted key is no Ed25519 key" in refusal(data, "--key", "release.key.pub")
    for nobodys in ("0" * 64, "ee" + "f" * 62):
        assert "is nobody's: anybody can sign for it" in refusal(data, "--key", nobodys)


def test_a_wrong_use_is_told(program):
    done = subprocess.run([program, "--json"], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("usage: replay")


# What compiles


@pytest.fixture
def sources(tmp_path):
    folder = tmp_path / "sources"
    folder.mkdir()
    (folder / "main.cpp").write_text("int main() { return 0 }\n")
    return folder


def test_without_headers_the_evidence_is_replayed_in_python_and_the_way_out_is_told(tmp_path, monkeypatch):
    monkeypatch.setenv(cpp_toolchain.VARIABLE, str(tmp_path))
    monkeypatch.setenv("CXX", "c++")
    written = registry.write("cpp", shipped.info("lstm-20"), tmp_path / "out")
    assert written.replay.passed
    assert "replayed in Python only" in written.notes[0]
    assert "holds no headers of ONNX Runtime; on Debian: apt install g++" in written.notes[0]
    assert {path.name for path in written.paths} == {"lstm-20.onnx", *cpp.SOURCES}
    assert (tmp_path / "out" / "cpp" / "lstm-20.onnx").read_bytes() == shipped.info("lstm-20").data


def test_with_a_compiler_the_target_replays_in_cpp(program, tmp_path, monkeypatch):
    if FOLDER:
        monkeypatch.setenv(cpp_toolchain.VARIABLE, FOLDER)
    written = registry.write("cpp", shipped.info("cnn-16k-int8"), tmp_path)
    assert written.replay.passed
    assert written.notes[0].startswith("replayed in C++ with onnxruntime 1.")
    assert "build/replay cnn-16k-int8.onnx" in written.notes[-1]


def test_without_a_compiler_the_way_out_is_told(sources, monkeypatch, tmp_path):
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DeploymentError, match=r"there is no C\+\+ compiler; on Debian: apt install g\+\+"):
        cpp_toolchain.build(sources, "main")


def test_headers_that_pkg_config_does_not_know_are_told(sources, monkeypatch, tmp_path):
    monkeypatch.delenv(cpp_toolchain.VARIABLE, raising=False)
    monkeypatch.setenv("CXX", "c++")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DeploymentError, match=r"the headers of ONNX Runtime are not installed; on Debian"):
        cpp_toolchain.build(sources, "main")


@pytest.mark.skipif(shutil.which("c++") is None, reason="there is no C++ compiler; on Debian: apt install g++")
def test_what_does_not_compile_is_told_and_what_does_is_kept(sources, monkeypatch, tmp_path):
    folder = tmp_path / "headers"
    (folder / "include" / "onnxruntime").mkdir(parents=True)
    (folder / "include" / "onnxruntime" / "onnxruntime_cxx_api.h").touch()
    monkeypatch.setenv(cpp_toolchain.VARIABLE, str(folder))
    monkeypatch.setenv("CXX", shutil.which("c++"))
    with pytest.raises(DeploymentError, match=r"cannot compile main.cpp: .*expected .;. before"):
        cpp_toolchain.build(sources, "main")
    (sources / "main.cpp").write_text("int main() { return 0; }\n")
    first = cpp_toolchain.build(sources, "main")
    assert subprocess.run([first], check=False).returncode == 0
    made = first.stat().st_mtime_ns
    assert cpp_toolchain.build(sources, "main") == first
    assert first.stat().st_mtime_ns == made
    assert {path.name for path in folder.glob("main*")} == {first.name}
    monkeypatch.setenv("CXXFLAGS", "-O0 -DOTHERWISE")
    assert cpp_toolchain.build(sources, "main") != first


def test_packages_are_fetched_on_debian_only(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DeploymentError, match=r"only Debian's packages can be unpacked here"):
        cpp_toolchain.fetch(tmp_path / "headers")


@pytest.mark.skipif(not Path("/etc/apt").is_dir() or not shutil.which("dpkg"), reason="this is no Debian")
@pytest.mark.parametrize(("code", "told"), [("exit 100", "apt-get failed: E: no network"), ("sleep 0", "dpkg failed")])
def test_what_apt_and_dpkg_complain_about_is_told(monkeypatch, tmp_path, code, told):
    apt = tmp_path / "apt-get"
    apt.write_text(f"#!/bin/sh\necho 'E: no network' >&2\ntouch broken.deb\n{code}\n")
    apt.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    with pytest.raises(DeploymentError, match=told):
        cpp_toolchain.fetch(tmp_path / "headers")
    assert not (tmp_path / "headers").exists()
