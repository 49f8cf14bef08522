"""Saturation: what a processor makes of the largest products is measured, and is one of two things."""

import sys

import pytest

from edge.errors import RuntimeMissingError
from edge.session import cpu, probes

EXACT = probes.PIXEL * probes.WEIGHT * probes.TERMS
SATURATED = (2**15 - 1) * probes.TERMS // 2  # each pair of products stops at the largest number of 16 bits


def test_the_largest_products_are_summed_exactly_or_in_pairs_that_saturate():
    assert probes.measured_sum(probes.WEIGHT) in {EXACT, SATURATED}
    assert probes.int8_is_exact() == (probes.measured_sum(probes.WEIGHT) == EXACT)


@pytest.mark.parametrize("weight", [0, 1, 63, 64])
def test_weights_of_seven_bits_are_exact_everywhere(weight):
    assert probes.measured_sum(weight) == probes.PIXEL * weight * probes.TERMS


@pytest.mark.parametrize(("lost", "exact"), [(0, True), (1, False)])
def test_any_loss_counts(monkeypatch, lost, exact):
    monkeypatch.setattr(probes, "measured_sum", lambda weight: EXACT - lost)
    assert probes.int8_is_exact() is exact


def test_vnni_is_exact():
    found = cpu.instruction_sets()
    if not found or not found & {"avx512_vnni", "avx_vnni"}:
        pytest.skip("this processor has no VNNI")
    assert probes.int8_is_exact()


def test_without_a_runtime_nothing_is_measured(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert probes.int8_is_exact() is None
    with pytest.raises(RuntimeMissingError):
        probes.measured_sum(1)
