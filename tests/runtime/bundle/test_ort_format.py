"""Bundles in ORT format: their metadata without a library, their digest beside them, and the same answers."""

import hashlib
from contextlib import suppress

import numpy as np
import pytest

from edge import verification
from edge.bundle import bundle, graph, ort_format, shipped
from edge.bundle.ort_format import OrtFormatError
from edge.classifier import classifier
from edge.errors import BundleDamagedError, BundleError, NotABundleError
from edge.explanation import belief
from edge.session import runtime

NAME = "lstm-20"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A shipped bundle as ONNX Runtime itself writes it in ORT format."""
    return converted(shipped.info(NAME).data, tmp_path_factory.mktemp("ort"))


def converted(model, folder):
    native = runtime.load()
    settings = native.SessionOptions()
    settings.optimized_model_filepath = str(folder / "model.ort")
    settings.add_session_config_entry("session.save_model_format", "ORT")
    native.InferenceSession(model, settings, providers=["CPUExecutionProvider"])
    return (folder / "model.ort").read_bytes()


@pytest.fixture
def put(tmp_path):
    """Writes a file, and its digest beside it unless told otherwise."""

    def write(content, digest=None):
        path = tmp_path / "model.ort"
        path.write_bytes(content)
        stated = hashlib.sha256(content).hexdigest() if digest is None else digest
        (tmp_path / "model.ort.sha256").write_text(f"{stated}  model.ort\n")
        return path

    return write


def test_the_metadata_are_those_of_the_bundle(data):
    assert ort_format.is_ort(data)
    assert dict(ort_format.metadata(data)) == dict(graph.metadata(shipped.info(NAME).data))


def test_a_bundle_is_in_no_ort_format():
    assert not ort_format.is_ort(shipped.info(NAME).data)
    assert not ort_format.is_ort(b"")


def test_whatever_is_cut_off_or_changed_is_an_error_of_the_format_or_another_model(data):
    random = np.random.default_rng(7)
    cuts = [data[:length] for length in range(0, len(data), 200)]
    for _ in range(500):
        damaged = bytearray(data)
        for place in random.integers(0, len(damaged) if random.random() < 0.5 else 5000, random.integers(1, 5)):
            damaged[place] = random.integers(256)
        cuts.append(bytes(damaged))
    for content in cuts:
        for walk in (ort_format.metadata, ort_format.contents):
            with suppress(OrtFormatError):
                walk(content)


def test_it_reads_verifies_and_answers_as_the_bundle_does(data, put):
    path = put(data)
    found = bundle.read(path)
    assert found.manifest == shipped.info(NAME).manifest
    assert found.sha256 == hashlib.sha256(data).hexdigest()
    checked = verification.verify(path, provider="cpu")
    assert checked.passed, checked.steps[-1].detail
    images = found.evidence.images
    expected = classifier.load(NAME, provider="cpu").logits(images)
    np.testing.assert_allclose(classifier.load(path, provider="cpu").logits(images), expected, atol=1e-5)


def test_a_byte_that_differs_is_found_before_anything_is_loaded(data, put):
    damaged = bytearray(data)
    damaged[len(damaged) // 2] ^= 1
    path = put(bytes(damaged), hashlib.sha256(data).hexdigest())
    with pytest.raises(BundleDamagedError, match=r"its bytes do not match model\.ort\.sha256; copy both files again"):
        bundle.read(path)


@pytest.mark.parametrize("digest", ["", "no digest"])
def test_a_digest_that_is_none_is_a_damage(data, put, digest):
    with pytest.raises(BundleDamagedError):
        bundle.read(put(data, digest))


def test_without_its_digest_it_is_refused(data, put):
    path = put(data)
    path.with_name("model.ort.sha256").unlink()
    with pytest.raises(BundleError, match=r"has no digest: .*model\.ort\.sha256 cannot be read; copy both files"):
        bundle.read(path)
    with pytest.raises(BundleError, match=r"name the file, beside which its \.sha256 lies"):
        bundle.read(data)


def test_a_model_in_ort_format_that_edge_did_not_pack_is_no_bundle(put, tmp_path):
    packed = shipped.info(NAME).data
    manifest = graph.encode_metadata("edge.manifest", dict(graph.metadata(packed))["edge.manifest"].decode())
    bare = packed[: packed.index(manifest)]
    with pytest.raises(NotABundleError, match=r"has a digest but no edge\.manifest"):
        bundle.read(put(converted(bare, tmp_path)))


def test_what_only_says_that_it_is_in_ort_format_is_no_bundle(put):
    with pytest.raises(NotABundleError, match="is no model in ORT format: an offset leads out of the file"):
        bundle.read(put(b"\xff\xff\xff\x7fORTM" + bytes(20)))


def test_the_graph_holds_what_the_bundle_s_holds(data):
    found = ort_format.contents(data)
    packed = graph.contents(shipped.info(NAME).data)
    folded = 2  # the whitening beside itself is a constant, and a Relu goes into the Gemm before it
    assert (found.nodes, found.is_external, found.strange) == (packed.nodes - folded, False, [])


def test_what_no_bundle_holds_is_refused_before_anything_is_loaded(put, tmp_path):
    """A node and an output, appended to the bundle: protobuf merges a graph that comes twice."""
    node = b"".join(
        (graph.encode_bytes(1, "logits"), graph.encode_bytes(2, "noise"), graph.encode_bytes(4, "RandomNormalLike"))
    )
    output = graph.encode_bytes(1, "noise") + graph.encode_bytes(2, graph.encode_bytes(1, graph.encode_integer(1, 1)))
    piece = graph.encode_bytes(7, graph.encode_bytes(1, node) + graph.encode_bytes(12, output))
    path = put(converted(shipped.info(NAME).data + piece, tmp_path))
    with pytest.raises(BundleError, match="holds the operator RandomNormalLike, which no bundle holds"):
        bundle.read(path)
    assert not verification.verify(path).passed


def test_its_rows_are_the_bundle_s_to_explain(data, put):
    loaded = classifier.load(put(data), provider="cpu")
    with pytest.raises(BundleError, match="cannot be read row by row; explain the bundle that it was made from"):
        belief.rows(loaded, loaded.bundle.evidence.images[0])
