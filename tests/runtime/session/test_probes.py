"""Saturation: what a processor makes of the largest products is measured, and is one of two things."""

import sys

import pytest

from edge.errors import RuntimeMissingError
from edge.session import cpu

EXACT = cpu.PIXEL * cpu.WEIGHT * cpu.TERMS
SATURATED = (2**15 - 1) * cpu.TERMS // 2  # each pair of products stops at the largest number of 16 bits


def test_the_largest_products_are_summed_exactly_or_in_pairs_that_saturate():
    assert cpu.measured_sum(cpu.WEIGHT) in {EXACT, SATURATED}
    assert cpu.int8_is_exact() == (cpu.measured_sum(cpu.WEIGHT) == EXACT)


@pytest.mark.parametrize("weight", [0, 1, 63, 64])
def test_weights_of_seven_bits_are_exact_everywhere(weight):
    assert cpu.measured_sum(weight) == cpu.PIXEL * weight * cpu.TERMS


@pytest.mark.parametrize(("lost", "exact"), [(0, True), (1, False)])
def test_any_loss_counts(monkeypatch, lost, exact):
    monkeypatch.setattr(cpu, "measured_sum", lambda weight: EXACT - lost)
    assert cpu.int8_is_exact() is exact


def test_vnni_is_exact():
    found = cpu.instruction_sets()
    if not found or not found & {"avx512_vnni", "avx_vnni"}:
        pytest.skip("this processor has no VNNI")
    assert cpu.int8_is_exact()


def test_without_a_runtime_nothing_is_measured(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert cpu.int8_is_exact() is None
    with pytest.raises(RuntimeMissingError):
        cpu.measured_sum(1)
