"""Whatever a file of labels holds, it is labels that a person can see and tell apart, or it is one `ModelError`.

`EDGE_FUZZ_EXAMPLES` says how many examples each test tries; `python3 dev.py fuzz MINUTES` sets it for a long run.
"""

import os

import pytest

pytest.importorskip("hypothesis", reason="the extra dev is not installed")

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_export.model import trained_model
from edge_export.model.errors import ModelError

thorough = settings(
    max_examples=int(os.environ.get("EDGE_FUZZ_EXAMPLES", "60")),
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)

VISIBLE = st.text(min_size=1, max_size=6).filter(lambda text: text.isprintable() and text == text.strip())
# What editors and other systems leave in files: marks, ends of lines of all kinds, spaces, control codes.
LINES = st.lists(
    st.sampled_from(["one", "two", "\ufeff", "\n", "\r\n", "\r", "\x0c", "\u2028", "\x1b[2J", " ", "\0", "é"])
)
FORMS = st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "latin-1"])


@thorough
@given(
    content=st.binary(max_size=60) | st.builds(lambda parts, form: "".join(parts).encode(form, "ignore"), LINES, FORMS)
)
def test_any_file_is_labels_that_can_be_seen_or_refused(content, tmp_path):
    path = tmp_path / "labels.txt"
    path.write_bytes(content)
    for classes in range(1, 5):
        try:
            labels = trained_model.read_labels(path, classes)
        except ModelError:
            continue
        assert len(set(labels)) == len(labels) == classes
        assert all(label and label.isprintable() and label == label.strip(" \t\r") for label in labels)


@thorough
@given(
    labels=st.lists(VISIBLE, min_size=1, max_size=12, unique=True),
    end=st.sampled_from(["\n", "\r\n", "\n\n"]),
    form=st.sampled_from(["utf-8", "utf-8-sig"]),
)
def test_labels_come_back_as_they_were_written(labels, end, form, tmp_path):
    path = tmp_path / "labels.txt"
    path.write_bytes(end.join(labels).encode(form))
    assert trained_model.read_labels(path, len(labels)) == tuple(labels)
