"""What an export says about speed: never less than what was measured."""

import pytest

from edge_export.latency import Latency
from edge_export.report import latency_line


def latency(batch: int, fp32_us: float, candidate_us: float) -> Latency:
    return Latency(batch, fp32_us, candidate_us, fp32_us / candidate_us, 0.0)


@pytest.mark.parametrize(
    ("single_us", "bulk_us", "slower"), [(120, 55, True), (120, 40, False), (60, 55, False), (101, 51, False)]
)
def test_int8_that_is_slower_at_every_batch_size_is_called_slower(single_us, bulk_us, slower):
    line = latency_line([latency(1, 100, single_us), latency(256, 50, bulk_us)], "int8")
    assert ("slower than fp32" in line) == slower
    assert f"batch 1: {single_us} us" in line
    assert f"batch 256: {bulk_us} us" in line
