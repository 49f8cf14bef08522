"""The evidence: exact to write and read, and no small text becomes a large array."""

import base64
import json
import zlib
from dataclasses import replace

import numpy as np
import pytest

from edge.bundle import evidence as evidence_format
from edge.errors import BundleError


@pytest.fixture
def record(evidence):
    return json.loads(evidence.to_json())


def packed_zeros(count: int) -> str:
    return base64.b64encode(zlib.compress(bytes(count))).decode()


def test_evidence_comes_back_exactly(evidence):
    again = evidence_format.from_json(evidence.to_json())
    assert again.images.dtype == np.uint8
    assert again.logits.dtype == np.float32
    np.testing.assert_array_equal(again.images, evidence.images)
    np.testing.assert_array_equal(again.logits, evidence.logits)
    assert (again.kinds, again.max_logit_error, again.max_flips) == (evidence.kinds, 1e-4, 0)


def test_limits_for_each_image_come_back(evidence):
    limits = (1e-4, 1e-5, 1e-5, 1e-5, 1e-4)
    again = evidence_format.from_json(replace(evidence, limits=limits).to_json())
    assert again.limits == limits
    assert [again.limit(index) for index in range(5)] == list(limits)
    assert evidence.limit(3) == evidence.max_logit_error, "without limits of their own, all have the same"


def test_the_text_is_deterministic(evidence):
    assert evidence.to_json() == evidence_format.from_json(evidence.to_json()).to_json()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("kinds", "stroke"),
        ("kinds", []),
        ("kinds", ["x"] * 5000),
        ("kinds", ["one fewer"] * 4),
        ("classes", 0),
        ("classes", 11),
        ("classes", "10"),
        ("classes", 10**9),
        ("images", None),
        ("images", "not base64!"),
        ("images", base64.b64encode(b"not zlib").decode()),
        ("images", packed_zeros(5 * 784 - 1)),
        ("images", packed_zeros(5 * 784 + 1)),
        ("images", packed_zeros(10_000_000)),
        ("logits", base64.b64encode(bytes(4)).decode()),
        ("logits", base64.b64encode(np.full((5, 10), np.nan, "<f4").tobytes()).decode()),
        ("max_logit_error", 0),
        ("max_logit_error", True),
        ("max_logit_error", "small"),
        ("limits", [1e-5] * 4),
        ("limits", [1e-5] * 4 + [0]),
        ("limits", [1e-5] * 4 + [1.0]),
        ("limits", "small"),
        ("max_flips", -1),
        ("max_flips", 0.5),
    ],
)
def test_what_does_not_fit_is_refused(record, key, value):
    record[key] = value
    with pytest.raises(BundleError, match="evidence cannot be used"):
        evidence_format.from_json(json.dumps(record))


@pytest.mark.parametrize("key", ["kinds", "classes", "images", "logits", "max_logit_error", "max_flips"])
def test_a_missing_part_is_refused(record, key):
    del record[key]
    with pytest.raises(BundleError, match="evidence cannot be used"):
        evidence_format.from_json(json.dumps(record))


def test_a_cut_off_stream_of_images_is_refused(record):
    whole = base64.b64decode(record["images"])
    record["images"] = base64.b64encode(whole[:-2]).decode()
    with pytest.raises(BundleError, match="do not inflate to exactly"):
        evidence_format.from_json(json.dumps(record))


def test_arrays_of_another_type_or_shape_are_not_written(evidence):
    for change in (
        {"images": evidence.images.astype(np.float32)},
        {"images": evidence.images[:3]},
        {"logits": evidence.logits.astype(np.float64)},
        {"logits": evidence.logits[:2]},
        {"max_logit_error": float("nan")},
    ):
        with pytest.raises(BundleError):
            replace(evidence, **change).to_json()
