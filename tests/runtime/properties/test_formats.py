"""Whatever bytes a file holds, its readers end in what they promise: a value, or the one error that they name.

`EDGE_FUZZ_EXAMPLES` says how many examples each test tries; `python3 dev.py fuzz MINUTES` sets it for a long run.
"""

import io
import json
import os
from contextlib import suppress

import numpy as np
import pytest

pytest.importorskip("hypothesis", reason="the extra dev is not installed")

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from edge.bundle import bundle, evidence, graph, manifest
from edge.errors import BundleError, UnreadablePictureError
from edge.picture import containers, decode

thorough = settings(
    max_examples=int(os.environ.get("EDGE_FUZZ_EXAMPLES", "60")),
    deadline=None,  # a machine that is busy is no fault
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

NUMBERS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
JSON = st.recursive(
    NUMBERS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4)
)


def mutations(content: bytes) -> st.SearchStrategy[bytes]:
    """The bytes with some of them changed, cut out or put in."""

    def changed(edits: list[tuple[int, int, bytes]]) -> bytes:
        mutated = bytearray(content)
        for at, taken, put in edits:
            mutated[at : at + taken] = put
        return bytes(mutated)

    edit = st.tuples(st.integers(0, len(content)), st.integers(0, 4), st.binary(max_size=4))
    return st.lists(edit, min_size=1, max_size=4).map(changed)


@thorough
@given(st.binary(max_size=200))
def test_any_bytes_are_fields_or_a_wire_error(content):
    try:
        found = list(graph.fields(content))
    except graph.WireError:
        return
    assert len(found) <= len(content)


@thorough
@given(st.integers(1, 2**29 - 1), st.integers(0, 2**64 - 1), st.binary(max_size=50))
def test_fields_come_back_as_they_were_encoded(number, value, content):
    encoded = graph.encode_integer(number, value) + graph.encode_bytes(number, content)
    (_, _, first), (_, _, second) = graph.fields(encoded)
    assert (first, bytes(second)) == (value, content)


@thorough
@given(data=st.data())
def test_a_mutated_graph_is_looked_through_or_a_wire_error(data, model):
    content = data.draw(mutations(model))
    with suppress(graph.WireError):
        graph.contents(content)


@thorough
@given(data=st.data())
def test_a_mutated_bundle_is_a_bundle_error_or_the_same_bytes(data, packed):
    content = data.draw(mutations(packed))
    try:
        found = bundle.read(content)
    except BundleError:
        return
    assert found.data == packed


@thorough
@given(data=st.data())
def test_a_manifest_with_anything_in_a_field_is_read_the_same_again_or_refused(data, packed):
    record = json.loads(bundle.read(packed).manifest.to_json())
    record[data.draw(st.sampled_from(sorted(record)))] = data.draw(JSON)
    try:
        found = manifest.from_json(json.dumps(record))
    except BundleError:
        return
    assert manifest.from_json(found.to_json()) == found


@thorough
@given(st.binary(max_size=100) | JSON.map(json.dumps))
def test_anything_else_is_no_manifest_and_no_evidence(text):
    for read in (manifest.from_json, evidence.from_json):
        with pytest.raises(BundleError):
            read(text)


@thorough
@given(data=st.data())
def test_evidence_with_anything_in_a_field_is_checked_or_refused(data, packed):
    record = json.loads(bundle.read(packed).evidence_json)
    record[data.draw(st.sampled_from(sorted(record)))] = data.draw(JSON)
    try:
        found = evidence.from_json(json.dumps(record))
    except BundleError:
        return
    assert len(found.images) == len(found.logits) == len(found.kinds)


def png(levels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(levels).save(file, "PNG")
    return file.getvalue()


@thorough
@given(st.integers(1, 40), st.integers(1, 40), st.randoms(use_true_random=False))
def test_a_plain_png_is_read_as_it_was_written(height, width, random):
    levels = np.frombuffer(random.randbytes(height * width), np.uint8).reshape(height, width)
    np.testing.assert_array_equal(decode.read_grey(png(levels)), levels)


@thorough
@given(mutations(png(np.arange(400, dtype=np.uint8).reshape(20, 20))))
def test_a_mutated_png_is_pillow_s_picture_or_unreadable(content):
    if (plain := containers.plain_rows(content)) is not None:
        expected = np.asarray(Image.open(io.BytesIO(content)))
        np.testing.assert_array_equal(containers.decode_plain(plain[0], [plain[1]])[0], expected)
    with suppress(UnreadablePictureError):
        assert decode.read_grey(content).dtype == np.uint8


def saved(kind: str) -> bytes:
    file = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    options = {"exif": exif} if kind in ("JPEG", "TIFF", "WEBP") else {}
    Image.fromarray(np.arange(400, dtype=np.uint8).reshape(20, 20)).save(file, kind, **options)
    return file.getvalue()


@thorough
@given(st.sampled_from(["JPEG", "GIF", "TIFF", "WEBP", "BMP"]).map(saved).flatmap(mutations))
def test_a_mutated_picture_is_grey_levels_or_unreadable(content):
    with suppress(UnreadablePictureError):
        assert decode.read_grey(content).dtype == np.uint8
