"""The bundle: whole and ours, or refused with a reason before anything interprets it."""

import hashlib
import os
import re
import sys
from pathlib import Path

import numpy as np
import pytest

from edge.bundle import bundle
from edge.bundle.graph import encode_bytes, encode_integer, encode_metadata
from edge.classifier import classifier
from edge.errors import (
    BundleDamagedError,
    BundleError,
    BundleNotFoundError,
    NotABundleError,
    ProtocolError,
    WriteError,
)

DIGEST_BYTES = 81
FLIP_STEP = 29  # a prime: the positions fall on every kind of byte


@pytest.fixture
def no_session(monkeypatch):
    """Whatever asks for a session fails otherwise than the test expects."""
    monkeypatch.setitem(sys.modules, "onnxruntime", None)


def signed(body: bytes) -> bytes:
    """Appends a digest that holds."""
    return body + encode_metadata("edge.digest", hashlib.sha256(body).hexdigest())


def test_a_bundle_comes_back_as_it_was_packed(bundle_path, packed, model, manifest, evidence):
    found = bundle.read(bundle_path)
    assert found.path == bundle_path
    assert found.data == packed
    assert found.data.startswith(model)
    assert found.size == len(packed)
    assert found.sha256 == hashlib.sha256(packed).hexdigest()
    assert found.manifest == manifest
    np.testing.assert_array_equal(found.evidence.logits, evidence.logits)


def test_bytes_are_read_like_a_file(packed, manifest):
    found = bundle.read(packed)
    assert found.path is None
    assert found.manifest == manifest


def test_the_same_parts_give_the_same_bytes(model, manifest, evidence, packed):
    assert bundle.pack(model, manifest, evidence) == packed


def test_a_bundle_is_still_valid_onnx_for_everybody_else(packed, images, linear):
    import onnxruntime

    running = onnxruntime.InferenceSession(packed, providers=["CPUExecutionProvider"])
    assert set(running.get_modelmeta().custom_metadata_map) == {"edge.manifest", "edge.evidence", "edge.digest"}
    logits = running.run(["logits"], {"image": images})[0]
    np.testing.assert_allclose(logits, linear.logits(images), atol=1e-4)


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def regions(packed: bytes, model: bytes) -> dict[str, int]:
    """First byte of every region of the file, and the last byte of all."""
    return {
        "ir version": 0,
        "graph": model.index(b"the Cast"),
        "weights": model.index(b"weights", model.index(b"linear")),
        "model's last byte": len(model) - 1,
        "manifest's field": len(model),
        "manifest's key": packed.index(b"edge.manifest"),
        "manifest": packed.index(b'{"accuracy"'),
        "evidence's key": packed.index(b"edge.evidence"),
        "evidence": packed.index(b'{"classes"'),
        "evidence's last byte": len(packed) - DIGEST_BYTES - 1,
        "digest's field": len(packed) - DIGEST_BYTES,
        "digest's key": packed.index(b"edge.digest"),
        "digest's first digit": len(packed) - 64,
        "digest's last digit": len(packed) - 1,
    }


def test_a_flipped_bit_in_any_region_is_found_before_a_session_is_made(tmp_path, packed, model, no_session):
    starts = regions(packed, model).values()
    positions = {p for start in starts for p in (start - 1, start, start + 1) if 0 <= p < len(packed)}
    positions |= set(range(0, len(packed), FLIP_STEP))
    # All of the short regions: the framing, both keys, and the digest to its last digit.
    positions |= set(range(len(model), len(model) + 24)) | set(range(len(packed) - DIGEST_BYTES, len(packed)))
    path = tmp_path / "flipped.onnx"
    for position in sorted(positions):
        damaged = bytearray(packed)
        damaged[position] ^= 1 << (position % 8)
        with pytest.raises(BundleDamagedError, match="damaged"):
            bundle.read(bytes(damaged))
        if position in starts:
            path.write_bytes(damaged)
            with pytest.raises(BundleDamagedError, match=re.escape(str(path))):
                classifier.load(path)


def test_a_cut_off_file_is_found_at_any_length(packed, model, no_session):
    lengths = {*range(2, len(packed), FLIP_STEP), *range(len(packed) - DIGEST_BYTES - 30, len(packed))}
    lengths -= {len(model)}  # cut exactly there, it is a whole ONNX file that nobody packed
    for length in sorted(lengths):
        with pytest.raises(BundleError) as caught:
            bundle.read(packed[:length])
        # The first few fields of an ONNX file alone are not recognisably the beginning of one.
        expected = BundleDamagedError if length > 40 else (BundleDamagedError, NotABundleError)
        assert isinstance(caught.value, expected), length


def test_a_file_cut_off_exactly_behind_the_model_is_a_foreign_model(packed, model):
    with pytest.raises(NotABundleError, match=r"without edge\.manifest"):
        bundle.read(packed[: len(model)])


def test_the_damage_is_described(packed):
    with pytest.raises(BundleDamagedError, match="its last 3 bytes are missing"):
        bundle.read(packed[:-3])
    with pytest.raises(BundleDamagedError, match="5 bytes follow its digest"):
        bundle.read(packed + b"\x00" * 5)
    with pytest.raises(BundleDamagedError, match="do not match its digest"):
        bundle.read(packed.replace(b'"cpu"', b'"gpu"'))


def test_appended_metadata_is_found_although_it_is_valid_onnx(packed, no_session):
    with pytest.raises(BundleDamagedError, match="follow its digest"):
        bundle.read(packed + encode_metadata("comment", "harmless"))


def test_a_second_digest_does_not_cover_a_second_manifest(packed, manifest):
    with pytest.raises(NotABundleError, match="packed twice"):
        bundle.read(signed(packed + encode_metadata("edge.manifest", manifest.to_json())))


def test_an_unknown_protocol_is_refused(model, manifest, evidence, no_session):
    for protocol, advice in ((2, "pip install -U edge-toolkit"), (0, "edge export")):
        text = manifest.to_json().replace('"protocol":1', f'"protocol":{protocol}')
        body = model + encode_metadata("edge.manifest", text) + encode_metadata("edge.evidence", evidence.to_json())
        with pytest.raises(ProtocolError, match=advice):
            bundle.read(signed(body))


def test_a_digest_without_manifest_or_evidence_is_not_enough(model, manifest):
    with pytest.raises(NotABundleError, match=r"no edge\.manifest"):
        bundle.read(signed(model))
    with pytest.raises(NotABundleError, match=r"no edge\.evidence"):
        bundle.read(signed(model + encode_metadata("edge.manifest", manifest.to_json())))


def test_a_signed_file_that_is_no_onnx_is_refused():
    with pytest.raises(NotABundleError, match="no ONNX"):
        bundle.read(signed(b"\xff\xff\xff"))


def test_a_foreign_onnx_file_is_told_what_is_missing(tmp_path, model, no_session):
    path = tmp_path / "foreign.onnx"
    path.write_bytes(model)
    with pytest.raises(NotABundleError, match=r"without edge\.manifest: labels.*edge export"):
        bundle.read(path)


def test_weights_in_other_files_are_told(make_model, linear):
    with pytest.raises(NotABundleError, match="weights in other files"):
        bundle.read(make_model(linear, external=True))


def test_weights_in_other_files_are_found_in_the_branches_of_an_if(make_graph, linear):
    def model_with(branch: bytes) -> bytes:
        attribute = encode_bytes(1, "then_branch") + encode_bytes(6, branch)
        decision = encode_bytes(4, "If") + encode_bytes(5, attribute)
        return encode_integer(1, 7) + encode_bytes(7, encode_bytes(1, decision))

    with pytest.raises(NotABundleError, match="weights in other files"):
        bundle.read(model_with(make_graph(linear, external=True)))
    with pytest.raises(NotABundleError, match="labels, pre-processing"):
        bundle.read(model_with(make_graph(linear)))


def test_hostile_nesting_is_refused():
    graph = b""
    for _ in range(500):
        graph = encode_bytes(1, encode_bytes(5, encode_bytes(6, graph)))
    with pytest.raises(BundleError):
        bundle.read(encode_integer(1, 7) + encode_bytes(7, graph))


@pytest.mark.parametrize("content", [b"\x89PNG\r\n\x1a\n" + bytes(100), b"# text\n" * 50, b"PK\x03\x04" + bytes(50)])
def test_another_kind_of_file_is_no_bundle(content):
    with pytest.raises(NotABundleError):
        bundle.read(content)


def test_text_that_only_mentions_our_keys_is_not_called_damaged():
    with pytest.raises(NotABundleError, match="no ONNX file"):
        bundle.read(b"read edge.manifest and edge.digest")


def test_a_page_is_told_where_it_verifies_itself():
    with pytest.raises(NotABundleError, match=r"is a page, .*: open it in a browser and press Verify"):
        bundle.read(b'<!DOCTYPE html>\n<html lang="en"> edge.manifest')


def test_an_empty_file_is_told(tmp_path):
    path = tmp_path / "empty.onnx"
    path.touch()
    with pytest.raises(NotABundleError, match="is empty"):
        bundle.read(path)


def test_a_folder_is_told(tmp_path):
    with pytest.raises(NotABundleError, match="is a folder"):
        bundle.read(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes are a thing of Unix")
def test_a_pipe_is_refused_without_waiting_for_it(tmp_path):
    os.mkfifo(tmp_path / "pipe.onnx")
    with pytest.raises(NotABundleError, match="no regular file"):
        bundle.read(tmp_path / "pipe.onnx")


@pytest.mark.parametrize("name", ["missing.onnx", "missing/deeper.onnx"])
def test_a_missing_file_is_told(tmp_path, name):
    with pytest.raises(BundleNotFoundError, match="does not exist") as caught:
        bundle.read(tmp_path / name)
    assert isinstance(caught.value, FileNotFoundError)


def test_a_path_below_a_file_and_an_impossible_name_are_told(bundle_path):
    with pytest.raises(BundleNotFoundError):
        bundle.read(bundle_path / "inside.onnx")
    for name in ("null\0byte", "x" * 5000):
        with pytest.raises(BundleError, match=r"cannot be read|does not exist"):
            bundle.read(name)


def test_a_model_is_not_packed_twice(packed, manifest, evidence):
    with pytest.raises(BundleError, match=r"carries edge\.manifest"):
        bundle.pack(packed, manifest, evidence)


def test_a_model_that_is_not_self_contained_is_not_packed(make_model, linear, manifest, evidence):
    with pytest.raises(BundleError, match="other files"):
        bundle.pack(make_model(linear, external=True), manifest, evidence)
    with pytest.raises(BundleError, match="no serialised ONNX"):
        bundle.pack(b"\xff\xff", manifest, evidence)


def test_a_file_is_replaced_in_one_step(tmp_path):
    path = tmp_path / "model.onnx"
    bundle.write(path, b"old")
    bundle.write(path, b"new")
    assert path.read_bytes() == b"new"
    assert names(tmp_path) == ["model.onnx"]


@pytest.mark.parametrize("failing", ["os.fsync", "pathlib.Path.replace"])
def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, failing):
    path = tmp_path / "model.onnx"
    bundle.write(path, b"old")

    def fail(*_args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(failing, fail)
    with pytest.raises(WriteError, match="No space left on device"):
        bundle.write(path, b"new")
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["model.onnx"]


def test_an_interrupted_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "model.onnx"
    bundle.write(path, b"old")

    def interrupt(*_args):
        raise KeyboardInterrupt

    monkeypatch.setattr("os.fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        bundle.write(path, b"new")
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["model.onnx"]


def test_writing_into_a_missing_folder_is_told(tmp_path):
    with pytest.raises(WriteError, match="make its folder first"):
        bundle.write(Path(tmp_path / "missing" / "model.onnx"), b"new")
