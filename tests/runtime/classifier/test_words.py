"""Which words of a line are numbers: by how odd their signs are, how high, and what stands beside them."""

from types import SimpleNamespace

import numpy as np
import pytest

from edge.bundle.input import DIGITS
from edge.classifier import signs
from edge.classifier.prediction import Prediction
from edge.classifier.signs import MOST_OPINION, WEIGHTS, Sign, find_numbers, find_words, read_lines, word_features
from edge.picture.ink.lattice import Blob

HEIGHT = 40.0
MODEL = "cnn"


def ink(left, *, high=40, wide=24):
    """A hollow box: two strokes across and down, as in a digit."""
    mask = np.zeros((high, wide), np.bool_)
    mask[:4] = mask[-4:] = True
    mask[:, :4] = mask[:, -4:] = True
    return Blob(mask, 100 - high, left)


@pytest.fixture
def sign(classifier):
    """Gives a sign of that oddity, 1 being the threshold of rejection."""

    def make(left, oddity=0.0, *, confidence=1.0, high=40, opinion=None):
        score = oddity * classifier.manifest.rejection.threshold
        prediction = Prediction("0", confidence, (), (), MODEL, "cpu", score, oddity > 1)
        odds = 4 * (oddity - 1) if opinion is None else opinion  # of most signs both say the same
        return Sign(ink(left, high=high, wide=24 if high > 20 else 12), prediction, odds)

    return make


def lefts(word):
    return [sign.blob.left for sign in word]


def test_a_line_is_cut_where_it_is_blank():
    line = [Sign(ink(left), None, MOST_OPINION) for left in (0, 30, 80, 110)]
    assert [lefts(word) for word in find_words(line, 20)] == [[0, 30], [80, 110]]
    assert [lefts(word) for word in find_words(line, 30)] == [[0, 30, 80, 110]]
    assert find_words([], 20) == []


def test_plain_signs_are_a_number_and_odd_ones_are_none(sign, classifier):
    plain = [sign(left) for left in (0, 30, 60)]
    assert find_numbers(plain, HEIGHT, classifier) == plain
    odd = [sign(left, 1.3, confidence=0.5) for left in (0, 30, 60)]
    assert find_numbers(odd, HEIGHT, classifier) == []


def test_what_the_model_finds_somewhat_odd_is_for_the_second_opinion_to_tell(sign, classifier):
    digits, letters = (
        [sign(left, 0.7, opinion=odds) for left in (0, 30, 60)] for odds in (-MOST_OPINION, MOST_OPINION)
    )
    assert find_numbers(digits, HEIGHT, classifier) == digits
    assert find_numbers(letters, HEIGHT, classifier) == []


@pytest.mark.parametrize(("labels", "opinion"), [(DIGITS, MOST_OPINION), (("a", "b"), -MOST_OPINION)])
def test_of_labels_that_are_no_digits_there_is_no_second_opinion(labels, opinion, monkeypatch):
    monkeypatch.setattr(signs, "oddness", lambda image: 9.0)
    said = Prediction(labels[0], 1.0, (), (), MODEL, "cpu", None, rejected=False)
    manifest = SimpleNamespace(labels=labels, rejection=None)
    classifier = SimpleNamespace(manifest=manifest, predictions=lambda images: [said] * len(images))
    ((sign,),) = read_lines([[ink(0)]], HEIGHT, lambda blob: np.zeros((28, 28), np.uint8), classifier)
    assert (sign.prediction, sign.opinion) == (said, opinion)


def test_each_word_is_judged_by_itself(sign, classifier):
    line = [sign(left, 1.3, confidence=0.4) for left in (0, 30, 60)] + [sign(left) for left in (160, 190)]
    assert lefts(find_numbers(line, HEIGHT, classifier)) == [160, 190]


def test_what_is_low_and_doubtful_is_small_print(sign, classifier):
    low = [sign(left, 0.6, confidence=0.8, high=22) for left in (0, 30, 60)]
    assert find_numbers(low, HEIGHT, classifier) == []


def test_an_odd_sign_by_itself_is_a_digit_beside_a_number_and_none_beside_letters(sign, classifier):
    odd = sign(85, 0.8, confidence=0.9)
    digits, letters = [sign(0), sign(30)], [sign(left, 1.3, confidence=0.4) for left in (0, 30)]
    assert lefts(find_numbers([*digits, odd], HEIGHT, classifier)) == [0, 30, 85]
    assert find_numbers([*letters, odd], HEIGHT, classifier) == []


def test_one_like_a_digit_among_letters_is_none(sign, classifier):
    letters = [sign(0, 1.25), sign(40, 1.25), sign(80)]
    number = [sign(200), sign(230)]
    assert lefts(find_numbers(letters + number, HEIGHT, classifier)) == [200, 230]


def test_features_are_means_over_the_signs_of_a_word(sign, classifier):
    line = [sign(0, 0.5), sign(30, 1.0, confidence=0.5, high=20, opinion=1.0), Sign(ink(200), None, MOST_OPINION)]
    found = word_features(line[:2], line, HEIGHT, classifier)
    assert list(found) == list(WEIGHTS)
    assert found["oddity"] == pytest.approx(0.75)
    assert found["doubt"] == pytest.approx(np.log(2) / 2)
    assert found["lowness"] == pytest.approx(0.25)
    assert found["width"] == pytest.approx((24 / 40 + 12 / 20) / 2)
    assert found["strokes down"] == pytest.approx(((8 + 2 * 16) / 24 + (8 + 2 * 4) / 12) / 2)
    assert found["opinion"] == pytest.approx((-2.0 + 1.0) / 2)
    assert (found["alone"], found["oddity beside"]) == (0, 0)
    alone = word_features(line[2:], line, HEIGHT, classifier)
    assert alone["alone"] == 1
    assert 0.75 < alone["oddity beside"] < 1
