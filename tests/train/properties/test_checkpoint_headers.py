"""Whatever a checkpoint says of itself, it is read, or it is one `CheckpointError`."""

import json
import os
import struct
from pathlib import Path

import pytest

pytest.importorskip("hypothesis", reason="the extra dev is not installed")

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_train.training import checkpoint

SHIPPED = Path(checkpoint.shipped("lstm"))
VALUES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
JSON = st.recursive(
    VALUES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
)


def with_entry(content: bytes, key: str, text: str) -> bytes:
    """The file with another text in its description."""
    (size,) = struct.unpack_from("<Q", content)
    header = json.loads(content[8 : 8 + size])
    header["__metadata__"][key] = text
    encoded = json.dumps(header).encode()
    return struct.pack("<Q", len(encoded)) + encoded + content[8 + size :]


@settings(
    max_examples=int(os.environ.get("EDGE_FUZZ_EXAMPLES", "40")),
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_a_description_with_anything_in_it_is_read_or_refused(data, tmp_path):
    content = SHIPPED.read_bytes()
    described = checkpoint.header_of(content)
    key = data.draw(st.sampled_from(sorted(described)))
    try:
        record = json.loads(described[key])
    except ValueError:
        record = described[key]
    if isinstance(record, dict) and record and data.draw(st.booleans()):
        record[data.draw(st.sampled_from(sorted(record)))] = data.draw(JSON)
    else:
        record = data.draw(JSON)
    path = tmp_path / "described.safetensors"
    path.write_bytes(with_entry(content, key, data.draw(st.just(json.dumps(record)) | st.text(max_size=20))))
    try:
        found = checkpoint.load(path)
    except checkpoint.CheckpointError:
        return
    assert found.weights
