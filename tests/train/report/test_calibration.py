"""The expected calibration error, against cases that were calculated by hand."""

import numpy as np
import pytest

from edge_train.report import calibration


def logits_of(confidences, classes=2):
    """Logits whose first class has these probabilities, the others sharing the rest."""
    first = np.array(confidences)
    rest = np.repeat(((1 - first) / (classes - 1))[:, None], classes - 1, axis=1)
    return np.log(np.column_stack([first, rest])).astype(np.float32)


def test_the_error_is_the_distance_of_confidence_and_accuracy_weighted_by_images():
    # Three answers of 0.9 with two right, one of 0.6 that is wrong: 3/4 * |0.9 - 2/3| + 1/4 * |0.6 - 0|.
    measured = calibration.measure(logits_of([0.9, 0.9, 0.9, 0.6]), np.array([0, 0, 1, 1]))
    assert measured.expected_error == pytest.approx(0.75 * (0.9 - 2 / 3) + 0.25 * 0.6, abs=1e-6)


def test_each_answer_is_in_the_bin_of_its_confidence_and_empty_bins_have_no_figures():
    measured = calibration.measure(logits_of([0.9, 0.9, 0.9, 0.62]), np.array([0, 0, 1, 1]))
    assert len(measured.images) == calibration.BINS == 15
    filled = {place: images for place, images in enumerate(measured.images) if images}
    assert filled == {13: 3, 9: 1}  # 0.9 lies in (13/15, 14/15], 0.62 in (9/15, 10/15]
    assert measured.accuracy[13] == pytest.approx(2 / 3, abs=1e-6)
    assert measured.confidence[9] == pytest.approx(0.62, abs=1e-6)
    assert measured.accuracy[0] is measured.confidence[0] is None


def test_answers_that_are_as_often_right_as_they_say_have_no_error():
    measured = calibration.measure(logits_of([0.75] * 4), np.array([0, 0, 0, 1]))
    assert measured.expected_error == pytest.approx(0, abs=1e-6)


def test_a_temperature_changes_the_confidence_and_no_answer():
    logits, labels = logits_of([0.9, 0.9, 0.8, 0.7], classes=3), np.array([0, 1, 0, 2])
    cold, hot = calibration.measure(logits, labels), calibration.measure(logits, labels, 3.0)
    assert hot.temperature == 3.0
    assert sum(hot.images) == sum(cold.images) == 4
    probabilities = calibration.softmax(logits, 3.0)
    assert np.array_equal(probabilities.argmax(1), logits.argmax(1))
    assert np.all(probabilities.max(1) < calibration.softmax(logits).max(1))


def test_a_certain_answer_is_in_the_last_bin():
    measured = calibration.measure(np.array([[1000.0, 0.0]], np.float32), np.array([0]))
    assert measured.images[-1] == 1
    assert measured.expected_error == 0
