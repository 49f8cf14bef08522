"""What real pictures leave: pictures stay pictures, most stay as they are, and every kind does what it says."""

import pytest
import torch

from edge_train import strokes
from edge_train.augmentation import corruption
from edge_train.augmentation.corruption import KINDS, SHARES, corrupt


@pytest.fixture(scope="module")
def pictures() -> torch.Tensor:
    images, _ = strokes.sample(600, seed=22)
    return torch.from_numpy(images).float() / 255


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_every_kind_has_its_share_and_its_function():
    assert list(SHARES) == list(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_pictures_stay_pictures(pictures, kind):
    changed = KINDS[kind](pictures.clone(), seeded(0))
    assert changed.shape == pictures.shape
    assert changed.dtype == torch.float32
    assert torch.isfinite(changed).all()
    assert changed.min() >= 0
    assert changed.max() <= 1


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("value", [0.0, 1.0])
def test_empty_and_full_pictures_give_no_nan(kind, value):
    changed = KINDS[kind](torch.full((32, 28, 28), value), seeded(1))
    assert torch.isfinite(changed).all()
    assert changed.min() >= 0
    assert changed.max() <= 1


@pytest.mark.parametrize("kind", ["specks", "line"])
def test_remains_add_ink_and_take_none(pictures, kind):
    changed = KINDS[kind](pictures, seeded(2))
    assert (changed >= pictures).all()
    assert ((changed - pictures).sum((1, 2)) > 0.2).float().mean() > 0.6  # some fall on ink or beside the picture


@pytest.mark.parametrize("kind", ["cut", "gap", "pale"])
def test_losses_take_ink_and_add_none(pictures, kind):
    changed = KINDS[kind](pictures, seeded(3))
    assert (changed <= pictures).all()
    assert (changed.sum((1, 2)) < pictures.sum((1, 2))).float().mean() > 0.8


def test_a_cut_leaves_most_of_the_digit_even_of_a_thin_stick():
    stick = torch.zeros(200, 28, 28)
    stick[:, 4:24, 13:15] = 1
    kept = corruption._cut(stick, seeded(4)).sum((1, 2)) / stick.sum((1, 2))
    assert kept.min() > 0.33  # across a stick a quarter of its width goes, and the soft edge of the cut


def test_a_small_digit_keeps_its_form_and_covers_less(pictures):
    ink = corruption._small(pictures, seeded(5)).sum((1, 2)) / pictures.sum((1, 2))
    assert ink.min() > 0.35
    assert ink.max() < 1


def test_a_threshold_leaves_fewer_grey_levels(pictures):
    def grey(images: torch.Tensor) -> float:
        return ((images > 0.1) & (images < 0.9)).float().mean().item()

    assert grey(corruption._hard(pictures, seeded(6))) < grey(pictures) / 1.3


def test_most_pictures_come_out_clean(pictures):
    same = (corrupt(pictures, seeded(7)) == pictures).flatten(1).all(1).float().mean().item()
    expected = torch.tensor([1 - share for share in SHARES.values()]).prod().item()
    # Some remains fall where nothing changes; the spread of a share of 600 pictures is 0.02.
    assert expected - 0.1 < same < expected + 0.15


def test_the_generator_is_the_only_source_and_the_callers_pictures_are_left_alone(pictures):
    before = pictures.clone()
    torch.manual_seed(1)
    first = corrupt(pictures, seeded(8))
    torch.manual_seed(2)
    assert torch.equal(corrupt(pictures, seeded(8)), first)
    assert not torch.equal(corrupt(pictures, seeded(9)), first)
    assert torch.equal(pictures, before)


def test_no_picture_at_all_is_no_problem():
    assert corrupt(torch.zeros(0, 28, 28), seeded(0)).shape == (0, 28, 28)
