"""What `edge.explain` returns: rows for recurrent models, places for others, as text and as pictures."""

import io

import numpy as np
import pytest
from PIL import Image

import edge
from edge.errors import InputError
from edge.explanation import belief, explain_image, occlusion


@pytest.fixture
def digit(tmp_path, golden):
    path = tmp_path / "digit.png"
    Image.fromarray(golden[0][1]).save(path)
    return path


def test_a_recurrent_model_is_explained_row_by_row(digit, golden, recurrent_path):
    classifier = edge.load(recurrent_path, provider="cpu")
    found = edge.explain(digit, classifier)
    np.testing.assert_array_equal(found.image, golden[0][1])
    np.testing.assert_array_equal(found.beliefs, belief.rows(classifier, golden[0][1]))
    assert found.settled_row == belief.settled_row(found.beliefs, found.labels.index(found.prediction.label))
    assert (found.name, found.prediction, found.occlusion) == ("digit.png", classifier.predict(digit), None)
    assert len(found.lines()) == 30
    assert all(line.isascii() for line in found.lines(unicode=False))
    with Image.open(io.BytesIO(found.png())) as picture, Image.open(io.BytesIO(found.gif())) as animation:
        assert (picture.format, animation.n_frames) == ("PNG", 28)


def test_another_model_is_explained_by_places(golden, bundle_path):
    classifier = edge.load(bundle_path, provider="cpu")
    found = explain_image(golden[0][1], classifier)
    np.testing.assert_array_equal(found.occlusion.drop, occlusion.measure(classifier, golden[0][1]).drop)
    assert (found.beliefs, found.settled_row) == (None, None)
    assert len(found.lines()) == 1
    assert Image.open(io.BytesIO(found.png())).format == "PNG"
    with pytest.raises(InputError, match="does not read row by row"):
        found.gif()


def test_one_image_at_a_time(bundle_path, images):
    with pytest.raises(InputError, match="5 images cannot be explained at once"):
        explain_image(images, edge.load(bundle_path, provider="cpu"))
