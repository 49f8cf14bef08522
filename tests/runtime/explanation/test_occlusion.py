"""The occlusion map: the answers with a patch of background at every place."""

import numpy as np
import pytest

from edge import load
from edge.errors import InputError
from edge.explanation import occlusion


@pytest.fixture
def classifier(bundle_path):
    return load(bundle_path, provider="cpu")


@pytest.mark.parametrize(
    ("row", "column", "hidden"),
    [
        (10, 14, np.s_[8:13, 12:17]),
        (0, 0, np.s_[:3, :3]),
        (27, 13, np.s_[25:, 11:16]),
    ],
    ids=["inside", "in the corner", "at the edge"],
)
def test_each_place_has_the_answer_with_the_patch_around_it_hidden(classifier, images, row, column, hidden):
    covered = images[3].copy()
    covered[hidden] = 0
    found = occlusion.measure(classifier, images[3], patch=5)
    np.testing.assert_allclose(found.hidden[row, column], classifier.classify(covered)[0], atol=1e-6)


def test_the_drop_is_what_the_answer_loses(classifier, images):
    found = occlusion.measure(classifier, images[3])
    whole = classifier.classify(images[3])[0]
    assert (found.answer, found.confidence) == (whole.argmax(), pytest.approx(whole.max()))
    np.testing.assert_allclose(found.drop, whole.max() - found.hidden[:, :, whole.argmax()], atol=1e-6)
    assert found.drop[found.most] == found.drop.max()


def test_where_nothing_is_hidden_but_background_nothing_changes(classifier, images):
    found = occlusion.measure(classifier, images[2])  # ink in rows 4 to 23 and columns 12 to 15
    touched = np.zeros((28, 28), np.bool_)
    touched[2:26, 10:18] = True
    assert not found.drop[~touched].any()
    assert np.count_nonzero(found.drop[touched]) == touched.sum()
    assert not occlusion.measure(classifier, images[0]).drop.any()


def test_a_patch_needs_a_middle_inside_the_image(classifier, images):
    for patch in (0, 4, 29, -1):
        with pytest.raises(InputError, match="give an odd number from 1 to 27"):
            occlusion.measure(classifier, images[2], patch=patch)


def test_one_image_at_a_time(classifier, images):
    with pytest.raises(InputError, match="5 images cannot be explained at once"):
        occlusion.measure(classifier, images)


def test_it_works_for_recurrent_models_too(golden):
    label, image = golden[0]
    found = occlusion.measure(load("lstm-int8", provider="cpu"), image)
    assert str(found.answer) == label
    assert found.drop.max() > 0
