"""What is drawn as no digit: the same from the same seed, of every kind, in MNIST's frame."""

import numpy as np
import pytest

from edge.errors import InputError
from edge_train import strokes
from edge_train.strokes import outliers
from edge_train.strokes.glyphs import signs


@pytest.fixture(scope="module")
def drawn():
    return strokes.sample_outliers(400, seed=11)


@pytest.mark.parametrize("count", [0, 1, 7, 65])
def test_a_picture_depends_on_its_seed_and_number_alone(count, drawn):
    images = strokes.sample_outliers(count, seed=11)
    assert (images.dtype, images.shape) == (np.uint8, (count, 28, 28))
    np.testing.assert_array_equal(images, drawn[:count])


def test_another_seed_draws_others(drawn):
    assert not np.array_equal(strokes.sample_outliers(20, seed=12), drawn[:20])


def test_none_is_blank_and_no_two_are_alike(drawn):
    assert (drawn.max(axis=(1, 2)) > 60).all()
    assert len({image.tobytes() for image in drawn}) == len(drawn)


def test_the_shares_of_the_kinds_are_those_of_all_that_is_drawn():
    assert sum(outliers.SHARES.values()) == pytest.approx(1)
    assert set(outliers.SHARES) == set(outliers.KINDS)


@pytest.mark.parametrize("kind", ["sign", "turned", "pair", "scribble", "figure"])
def test_what_a_pen_draws_is_in_the_frame_of_mnist(kind):
    random = [np.random.Generator(np.random.PCG64([3, number])) for number in range(60)]
    images = outliers.KINDS[kind](random).astype(np.float64)
    mass = images.sum(axis=(1, 2))
    x = (images.sum(axis=1) * np.arange(28)).sum(axis=1) / mass
    y = (images.sum(axis=2) * np.arange(28)).sum(axis=1) / mass
    assert np.abs(np.stack([x, y]) - 14).max() < 1
    inked = images >= 60
    longer = np.maximum(inked.any(axis=2).sum(axis=1), inked.any(axis=1).sum(axis=1))
    assert longer.max() <= 22
    assert np.median(longer) >= 18


def test_two_digits_are_as_wide_as_they_are_together():
    random = [np.random.Generator(np.random.PCG64([4, number])) for number in range(60)]
    images = outliers.KINDS["pair"](random) >= 60
    assert np.median(images.any(axis=1).sum(axis=1)) > np.median(images.any(axis=2).sum(axis=1))


def test_no_sign_is_named_after_a_digit_or_a_letter_like_one():
    names = {form.name for form in signs()}
    assert len(names) == len(signs())
    assert not names & set("0123456789OoQDIlijSsZzBqgbGTtYyu")


def test_what_cannot_be_drawn_is_told():
    with pytest.raises(InputError, match="give 0 or more"):
        strokes.sample_outliers(-1, seed=0)
