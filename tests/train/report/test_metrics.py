"""What a model's answers are worth, against cases that were calculated by hand."""

import numpy as np
import pytest

from edge_train.data.splits import Split
from edge_train.report import metrics
from edge_train.training.evaluation import Answers


def logits_of(confidences, classes=2):
    """Logits whose first class has these probabilities, the others sharing the rest."""
    first = np.array(confidences)
    rest = np.repeat(((1 - first) / (classes - 1))[:, None], classes - 1, axis=1)
    return np.log(np.column_stack([first, rest])).astype(np.float32)


def test_the_error_is_the_distance_of_confidence_and_accuracy_weighted_by_images():
    # Three answers of 0.9 with two right, one of 0.6 that is wrong: 3/4 * |0.9 - 2/3| + 1/4 * |0.6 - 0|.
    measured = metrics.calibration(logits_of([0.9, 0.9, 0.9, 0.6]), np.array([0, 0, 1, 1]))
    assert measured.expected_error == pytest.approx(0.75 * (0.9 - 2 / 3) + 0.25 * 0.6, abs=1e-6)


def test_each_answer_is_in_the_bin_of_its_confidence_and_empty_bins_have_no_figures():
    measured = metrics.calibration(logits_of([0.9, 0.9, 0.9, 0.62]), np.array([0, 0, 1, 1]))
    assert len(measured.images) == metrics.BINS == 15
    filled = {place: images for place, images in enumerate(measured.images) if images}
    assert filled == {13: 3, 9: 1}  # 0.9 lies in (13/15, 14/15], 0.62 in (9/15, 10/15]
    assert measured.accuracy[13] == pytest.approx(2 / 3, abs=1e-6)
    assert measured.confidence[9] == pytest.approx(0.62, abs=1e-6)
    assert measured.accuracy[0] is measured.confidence[0] is None


def test_answers_that_are_as_often_right_as_they_say_have_no_error():
    measured = metrics.calibration(logits_of([0.75] * 4), np.array([0, 0, 0, 1]))
    assert measured.expected_error == pytest.approx(0, abs=1e-6)


def test_a_temperature_changes_the_confidence_and_no_answer():
    logits, labels = logits_of([0.9, 0.9, 0.8, 0.7], classes=3), np.array([0, 1, 0, 2])
    cold, hot = metrics.calibration(logits, labels), metrics.calibration(logits, labels, 3.0)
    assert hot.temperature == 3.0
    assert sum(hot.images) == sum(cold.images) == 4
    filled = [max(place for place, images in enumerate(one.images) if images) for one in (cold, hot)]
    assert filled[1] < filled[0]
    right = [
        sum(round(images * (share or 0)) for images, share in zip(one.images, one.accuracy, strict=True))
        for one in (cold, hot)
    ]
    assert right == [2, 2]


def test_a_certain_answer_is_in_the_last_bin():
    measured = metrics.calibration(np.array([[1000.0, 0.0]], np.float32), np.array([0]))
    assert measured.images[-1] == 1
    assert measured.expected_error == 0


def test_precision_recall_and_f1_of_each_class_and_their_means():
    """Six pictures: one `a` is taken for `b`, nothing is taken for `c`, and `d` has no picture."""
    truth, answers = np.array([0, 0, 0, 1, 2, 2]), np.array([0, 0, 1, 1, 0, 1])
    split = Split("signs-test", np.zeros((6, 28, 28), np.uint8), truth)
    found = metrics.details(Answers(split, np.eye(4, dtype=np.float32)[answers]), ("a", "b", "c", "d"), 1.0)
    assert found["confusion"] == [[2, 1, 0, 0], [0, 1, 0, 0], [1, 1, 0, 0], [0, 0, 0, 0]]
    assert (found["images"], found["wrong"], found["accuracy"]) == (6, 3, 0.5)
    assert found["classes"] == [
        {"label": "a", "precision": 0.666667, "recall": 0.666667, "f1": 0.666667, "support": 3},
        {"label": "b", "precision": 0.333333, "recall": 1.0, "f1": 0.5, "support": 1},
        {"label": "c", "precision": 0.0, "recall": 0.0, "f1": 0.0, "support": 2},
        {"label": "d", "precision": 0.0, "recall": 0.0, "f1": 0.0, "support": 0},
    ]
    assert found["averages"]["macro"] == {"precision": 0.25, "recall": 0.416667, "f1": 0.291667, "support": 6}
    assert found["averages"]["weighted"] == {"precision": 0.388889, "recall": 0.5, "f1": 0.416667, "support": 6}
    assert [one["image"] for one in found["mistakes"]] == [2, 4, 5]
