"""What an export says about speed: never less than what was measured."""

import dataclasses

import onnx
import pytest

from edge_export.int8.latency import Latency
from edge_export.int8.quantisation import QuantisedModel
from edge_export.int8.selection import Measured
from edge_export.pack.tables import candidate_table, latency_line
from edge_export.parity.comparison import ParityRow

ROW = ParityRow("made", "int8", "made-parity", 100, 1, 0.0, 0.0, 0.0, 0.0, 0, 0.97, 0.0, ())


def latency(batch: int, fp32_us: float, candidate_us: float) -> Latency:
    return Latency(batch, fp32_us, candidate_us, fp32_us / candidate_us, 0.0)


@pytest.fixture
def candidates() -> list[Measured]:
    """A candidate that is twice as fast in bulk, and one that loses 2 labels of 100 there."""
    worse = dataclasses.replace(ROW, batch=256, flips=2, accuracy=0.95, accuracy_drop=2.0, failures=("2 labels flip",))
    model = QuantisedModel(onnx.ModelProto())
    times = (latency(1, 100, 125), latency(256, 50, 25))
    return [
        Measured("stepped", model, 12_345, 40_000, 1.25, times, (ROW, ROW)),
        Measured("branched", model, 20_000, 40_000, 31.0, (latency(1, 100, 50), latency(256, 50, 5)), (ROW, worse)),
    ]


@pytest.mark.parametrize(
    ("single_us", "bulk_us", "slower"), [(120, 55, True), (120, 40, False), (60, 55, False), (101, 51, False)]
)
def test_what_is_slower_at_every_batch_size_is_called_slower(single_us, bulk_us, slower):
    line = latency_line([latency(1, 100, single_us), latency(256, 50, bulk_us)], "fp16")
    assert ("slower than fp32" in line) == slower
    assert f"batch 1: {single_us} us" in line
    assert f"batch 256: {bulk_us} us" in line


def test_a_candidate_is_a_row_of_its_figures(candidates):
    header, first, second, legend, hole = candidate_table(candidates, "throughput", "stepped").splitlines()
    assert header.split() == ["candidate", "accuracy", "flips", "bytes", "load", "batch", "1", "bulk", "gain"]
    slower = " ".join(first.split())
    assert slower == "stepped 97.00% 0 12,345 1.2 ms 125 us (0.80x) 25 us (2.00x) 2.00 <- packed"
    wrong = " ".join(second.split())
    assert wrong == "branched 95.00% 2 20,000 31.0 ms 50 us (2.00x) 5 us (10.00x) 10.00 loses too much"
    assert legend.endswith("against our fp32; gain for throughput: time for pictures in bulk")
    assert hole == "slower than fp32 here: stepped at batch 1 (0.80x)"


def test_the_columns_stand_below_each_other(candidates):
    _, *rows = candidate_table(candidates, "size", None).splitlines()[:-2]
    assert len({row.index(" ms ") for row in rows}) == 1
    assert len({row.index("x)") for row in rows}) == 1


def test_nothing_is_marked_where_nothing_is_packed(candidates):
    assert "<- packed" not in candidate_table(candidates, "balanced", None)


def test_accuracy_is_left_out_where_labels_mean_nothing(candidates):
    rows = tuple(dataclasses.replace(row, accuracy=None) for row in candidates[0].rows)
    text = candidate_table([dataclasses.replace(candidates[0], rows=rows)], "size", None)
    assert "%" not in text
