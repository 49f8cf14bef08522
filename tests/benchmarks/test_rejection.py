"""`benchmarks/rejection.py`: what it draws depends on its seed alone, and its figures are what they say."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
import rejection
import rejection_asked
import rejection_chosen
import rejection_held

ASKED = {f"asked {name}": second for name, (_, second) in rejection_asked.THINGS.items()}
KINDS = rejection_chosen.KINDS | rejection_held.KINDS | ASKED


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.sampled(6)
def test_a_kind_draws_the_same_for_the_same_seed_and_something_on_paper(kind):
    one, again, other = (np.asarray(KINDS[kind](np.random.default_rng(seed))) for seed in (3, 3, 4))
    np.testing.assert_array_equal(one, again)
    assert one.shape != other.shape or (one != other).any()
    assert np.ptp(one.astype(int)) > 40


def test_no_kind_is_chosen_and_held():
    assert not rejection_chosen.KINDS.keys() & rejection_held.KINDS.keys()


def test_auroc_is_the_chance_of_the_right_order():
    assert rejection.auroc(np.array([1.0, 2.0]), np.array([0.0, 0.5])) == 1
    assert rejection.auroc(np.array([0.0]), np.array([1.0])) == 0
    assert rejection.auroc(np.array([0.0]), np.array([0.0])) == 0.5


def test_what_reading_refuses_is_counted_and_gets_no_image():
    blank, arrow = np.full((60, 60), 235, np.uint8), KINDS["arrows"](np.random.default_rng(3))
    found = rejection.read([arrow, blank], digits=True)
    assert (found.count, found.refused, len(found.images), len(found.likeness)) == (2, 1, 1, 1)
