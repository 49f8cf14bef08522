"""The belief after each row, and the entry of the bundle that it is computed with."""

from dataclasses import replace

import numpy as np
import pytest

from edge import load
from edge.bundle import bundle, shipped
from edge.bundle.graph import encode_metadata, metadata
from edge.classifier.classifier import Classifier
from edge.errors import BundleError, InputError
from edge.explanation import belief
from edge.session.session import create


def first_rows(image: np.ndarray) -> np.ndarray:
    """28 copies, each with one row more of the image than the one before."""
    return image * np.tril(np.ones((28, 28), np.uint8))[:, :, None]


def of(found: bundle.Bundle) -> Classifier:
    return Classifier(found, create(found.data, provider="cpu", manifest=found.manifest))


def test_each_row_is_the_calibrated_belief_of_the_rows_so_far(recurrent_path, linear, images):
    beliefs = belief.rows(load(recurrent_path, provider="cpu"), images[2])
    assert beliefs.dtype == np.float32
    np.testing.assert_allclose(beliefs, linear.probabilities(first_rows(images[2])), atol=1e-6)


def test_the_temperature_of_the_bundle_counts(recurrent_path, linear, images):
    found = bundle.read(recurrent_path)
    beliefs = belief.rows(of(replace(found, manifest=replace(found.manifest, temperature=2.0))), images[3])
    powers = np.exp(linear.logits(first_rows(images[3])).astype(np.float64) / 2)
    np.testing.assert_allclose(beliefs, powers / powers.sum(1, keepdims=True), atol=1e-6)


def test_one_image_at_a_time(recurrent_path, images):
    classifier = load(recurrent_path, provider="cpu")
    np.testing.assert_array_equal(belief.rows(classifier, images[:1]), belief.rows(classifier, images[0]))
    with pytest.raises(InputError, match="5 images cannot be explained at once; give one"):
        belief.rows(classifier, images)
    with pytest.raises(InputError, match="expected uint8"):
        belief.rows(classifier, images[0].astype(np.float32))


@pytest.mark.parametrize(
    ("leaders", "row"),
    [([3] * 28, 1), ([1] * 27 + [3], 28), ([3] * 10 + [1] + [3] * 17, 12), ([3] * 27 + [1], None)],
    ids=["from the first", "at the last", "after a change of mind", "another one leads at the end"],
)
def test_an_answer_is_settled_after_the_last_row_that_gives_it_the_lead_for_good(leaders, row):
    beliefs = np.full((28, 10), 0.05, np.float32)
    beliefs[np.arange(28), leaders] = 0.55
    assert belief.settled_row(beliefs, 3) == row


@pytest.mark.parametrize(
    ("precision", "command"), [("fp32", "--model lstm`"), ("int8", "--model lstm --precision int8`")]
)
def test_a_bundle_without_rows_says_how_to_get_them(precision, command, packed, images):
    found = bundle.read(packed)
    facts = replace(found.manifest, name="old", model="lstm", precision=precision, architecture={"kind": "recurrent"})
    with pytest.raises(BundleError, match=f"old was packed without its rows, .*; export it again .*{command}"):
        belief.rows(of(replace(found, manifest=facts)), images[0])


def test_a_model_that_does_not_read_row_by_row_has_none(packed, images):
    with pytest.raises(BundleError, match="linear-fp32 does not read row by row"):
        belief.rows(of(bundle.read(packed)), images[0])


def test_the_rows_stand_between_the_evidence_and_the_digest(model, manifest, evidence, rows_piece):
    packed = bundle.pack(model, manifest, evidence, rows_piece)
    assert [key for key, _ in metadata(packed)] == ["edge.manifest", "edge.evidence", "edge.rows", "edge.digest"]
    found = bundle.read(packed)
    assert found.data_with_rows == packed + rows_piece
    assert found.data == packed


def test_a_bundle_that_only_classifies_is_packed_as_before(packed):
    assert [key for key, _ in metadata(packed)] == ["edge.manifest", "edge.evidence", "edge.digest"]
    assert bundle.read(packed).data_with_rows is None


def test_rows_that_are_no_base64_are_refused_when_they_are_asked_for(recurrent_path):
    found = replace(bundle.read(recurrent_path), rows_base64=b"???")
    with pytest.raises(BundleError, match=r"edge\.rows is no base64: .*; re-export"):
        _ = found.data_with_rows


def test_a_model_that_has_rows_already_is_not_packed_again(model, manifest, evidence):
    with pytest.raises(BundleError, match=r"carries edge\.rows already"):
        bundle.pack(model + encode_metadata("edge.rows", ""), manifest, evidence)


@pytest.mark.parametrize("name", [name for name in shipped.names() if not name.startswith("cnn")])
@pytest.mark.sampled(3)
def test_the_rows_of_a_shipped_bundle_end_where_its_answer_is(name, golden):
    classifier = load(name, provider="cpu")
    for _, image in golden[:5]:
        beliefs = belief.rows(classifier, image)
        np.testing.assert_allclose(beliefs.sum(axis=1), 1, atol=1e-5)
        np.testing.assert_allclose(beliefs[-1], classifier.classify(image)[0], atol=0.05)
        assert beliefs[0].max() < 0.5, "the first row of a digit says little"
