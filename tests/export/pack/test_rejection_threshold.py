"""The threshold is fitted on validation digits, rejects next to none of them, and what is no digit more often."""

import numpy as np
import pytest

import edge
from edge.classifier.prediction import Scorer
from edge_export.pack import rejection_threshold
from edge_train import strokes
from edge_train.data.splits import Split

MODELS = ("lstm", "cnn")


@pytest.fixture(scope="module")
def split():
    images, labels = strokes.sample(1000, seed=31)
    return Split("strokes-parity", images, labels)


@pytest.fixture(scope="module", params=MODELS)
def fitted(request, split):
    classifier = edge.load(request.param, provider="cpu", threads=1)
    return classifier, rejection_threshold.fit(classifier.logits(split.images), split)


def share(classifier, facts, images):
    return float((Scorer.of(facts).scores(classifier.logits(images)) < facts.threshold).mean())


def test_at_most_a_hundredth_of_the_validation_digits_is_rejected(fitted, split):
    classifier, facts = fitted
    assert 0.005 <= share(classifier, facts, split.images) <= rejection_threshold.MOST_REJECTED
    assert facts.rejected == share(classifier, facts, split.images)
    assert (facts.data, facts.images) == ("strokes-parity", 1000)


def test_digits_that_it_has_not_seen_are_rejected_about_as_rarely(fitted):
    classifier, facts = fitted
    images, _ = strokes.sample(1000, seed=32)
    assert share(classifier, facts, images) <= 0.03


def test_smooth_noise_is_rejected(fitted):
    classifier, facts = fitted
    coarse = np.random.default_rng(1).random((300, 7, 7)) < 0.5
    blots = (coarse.repeat(4, axis=1).repeat(4, axis=2) * 255).astype(np.uint8)
    assert share(classifier, facts, blots) > 0.8


def test_the_same_logits_give_the_same_numbers_and_few_digits(fitted, split):
    classifier, facts = fitted
    assert rejection_threshold.fit(classifier.logits(split.images), split) == facts
    assert all(len(f"{abs(value):.4e}") <= 10 and float(f"{value:.4e}") == value for value in facts.centres[0])


def test_a_model_that_says_the_same_of_everything_can_be_fitted(split):
    facts = rejection_threshold.fit(np.zeros((len(split), 10), np.float32), split)
    assert facts.rejected == 0
    assert np.isfinite(Scorer.of(facts).scores(np.ones((3, 10), np.float32))).all()


def test_what_cannot_be_told_is_not_fitted(monkeypatch):
    random = np.random.default_rng(5)
    labels = np.arange(400) % 4
    logits = random.normal(size=(400, 4)).astype(np.float32) + 5 * np.eye(4, dtype=np.float32)[labels]

    def fitted(chosen) -> bool:
        split = Split("signs-validation", np.zeros((len(labels[chosen]), 28, 28), np.uint8), labels[chosen])
        return rejection_threshold.fit(logits[chosen], split) is not None

    assert fitted(slice(400))
    assert not fitted(slice(rejection_threshold.LEAST_IMAGES - 1)), "one good picture in a hundred would be rejected"
    assert not fitted(labels != 2), "a class without pictures has no centre"
    monkeypatch.setattr(rejection_threshold, "MOST_CLASSES", 3)
    assert not fitted(slice(400)), "the manifest would grow with the square"
