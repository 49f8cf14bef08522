"""Augmentation: pictures stay pictures, and the generator is the only source of variation."""

import pytest
import torch

from edge_train import strokes
from edge_train.augmentation import variation
from edge_train.augmentation.variation import vary


@pytest.fixture(scope="module")
def pictures() -> torch.Tensor:
    images, _ = strokes.sample(600, seed=21)
    return torch.from_numpy(images).float() / 255


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_pictures_stay_pictures(pictures):
    varied = vary(pictures, seeded(0))
    assert varied.shape == pictures.shape
    assert varied.dtype == torch.float32
    assert torch.isfinite(varied).all()
    assert varied.min() >= 0
    assert varied.max() <= 1


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_empty_and_full_pictures_give_no_nan(value):
    varied = vary(torch.full((64, 28, 28), value), seeded(1))
    assert torch.isfinite(varied).all()
    assert varied.min() >= 0
    assert varied.max() <= 1


def test_an_empty_picture_stays_empty():
    # The exponent is taken of at least 1e-6, so that its gradient is finite: what is left is far below one grey level.
    assert vary(torch.zeros(64, 28, 28), seeded(2)).max() < 1 / 255 / 10


def test_the_same_generator_gives_the_same_pictures(pictures):
    assert torch.equal(vary(pictures, seeded(5)), vary(pictures, seeded(5)))


def test_another_generator_gives_other_pictures(pictures):
    assert not torch.equal(vary(pictures, seeded(5)), vary(pictures, seeded(6)))


def test_the_global_generator_decides_nothing(pictures):
    torch.manual_seed(1)
    first = vary(pictures, seeded(5))
    torch.manual_seed(2)
    assert torch.equal(vary(pictures, seeded(5)), first)


def test_the_global_generator_is_left_alone(pictures):
    torch.manual_seed(1)
    before = torch.get_rng_state()
    vary(pictures, seeded(5))
    assert torch.equal(torch.get_rng_state(), before)


def test_the_callers_pictures_are_left_alone(pictures):
    before = pictures.clone()
    vary(pictures, seeded(5))
    assert torch.equal(pictures, before)


def test_about_a_tenth_of_the_pictures_stays_as_it_is(pictures):
    same = (vary(pictures, seeded(7)) == pictures).flatten(1).all(1).float().mean().item()
    # Five standard deviations of a share of 600 pictures.
    spread = 5 * (variation.PLAIN_SHARE * (1 - variation.PLAIN_SHARE) / len(pictures)) ** 0.5
    assert abs(same - variation.PLAIN_SHARE) < spread


def test_the_others_really_change(pictures):
    varied = vary(pictures, seeded(8))
    change = (varied - pictures).abs().flatten(1).mean(1)
    assert (change > 0.01).float().mean() > 0.85


def test_digits_stay_near_the_middle(pictures):
    rows = torch.arange(28.0)
    varied = vary(pictures, seeded(9))
    mass = varied.sum((1, 2))
    middle = (varied.sum(2) * rows).sum(1) / mass
    # At most two pixels of shift, and what stretching and bending add.
    assert (middle - 14).abs().max() < 5


def test_ink_neither_vanishes_nor_floods(pictures):
    ink = vary(pictures, seeded(10)).mean((1, 2)) / pictures.mean((1, 2))
    assert ink.min() > 0.3
    assert ink.max() < 3.5
    assert 0.8 < ink.median() < 1.25


def test_a_single_picture_can_be_varied(pictures):
    assert vary(pictures[:1], seeded(0)).shape == (1, 28, 28)
