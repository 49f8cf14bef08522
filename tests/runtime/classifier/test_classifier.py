"""The classifier: arrays of any length in, probabilities out, and what does not fit is told."""

import threading
from functools import partial

import numpy as np
import pytest
from PIL import Image

import edge
from edge.bundle.input import PICTURE_RECIPE
from edge.classifier import classifier
from edge.errors import BundleError, BundleNotFoundError, InputError
from edge.session import batching


@pytest.fixture
def loaded(bundle_path):
    return edge.load(bundle_path, provider="cpu")


def test_it_knows_its_bundle(loaded, manifest):
    assert loaded.manifest == manifest
    assert loaded.labels == manifest.labels
    assert (loaded.provider, loaded.provider_reason, loaded.threads) == ("cpu", "as asked for", 1)


def test_probabilities_and_logits_are_the_model_s(loaded, images, linear):
    probabilities = loaded.classify(images)
    assert probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities, linear.probabilities(images), atol=1e-4)
    np.testing.assert_allclose(loaded.logits(images), linear.logits(images), atol=1e-4)


def test_one_image_is_a_batch_of_one(loaded, images):
    np.testing.assert_array_equal(loaded.classify(images[2]), loaded.classify(images[2:3]))


def test_no_images_give_no_rows(loaded):
    assert loaded.classify(np.zeros((0, 28, 28), np.uint8)).shape == (0, 10)
    assert loaded.logits(np.zeros((0, 28, 28), np.uint8)).shape == (0, 10)


@pytest.mark.parametrize("count", [1, batching.CHUNK_IMAGES, batching.CHUNK_IMAGES + 1, 1000])
def test_any_number_of_images_is_run_in_bounded_chunks(loaded, linear, count, monkeypatch):
    sizes = []
    run = loaded._session.run

    class Counting:
        def run(self, batch):
            sizes.append(len(batch))
            return run(batch)

    monkeypatch.setattr(loaded, "_session", Counting())
    many = np.random.default_rng(0).integers(0, 256, (count, 28, 28), dtype=np.uint8)
    np.testing.assert_allclose(loaded.logits(many), linear.logits(many), atol=1e-4)
    assert sum(sizes) == count
    assert max(sizes) <= batching.CHUNK_IMAGES


def test_images_may_lie_in_memory_in_any_way(loaded, images):
    mirrored = images[:, :, ::-1]
    np.testing.assert_array_equal(loaded.logits(mirrored), loaded.logits(mirrored.copy()))
    np.testing.assert_array_equal(loaded.logits(np.asfortranarray(images)), loaded.logits(images))


@pytest.mark.parametrize(
    ("wrong", "advice"),
    [
        (np.zeros((2, 28, 28), np.float32), r"float32.*multiply by 255 and cast"),
        (np.zeros((28, 28), np.float64), r"float64.*multiply by 255"),
        (np.zeros((28, 28), np.int64), r"int64.*astype\(numpy\.uint8\)"),
        (np.zeros((28, 28), bool), r"bool.*\* 255"),
        (np.zeros((28, 27), np.uint8), r"shape \(28, 27\), expected uint8 \(N, 28, 28\)"),
        (np.zeros((2, 1, 28, 28), np.uint8), r"shape \(2, 1, 28, 28\)"),
        (np.zeros(784, np.uint8), r"shape \(784,\)"),
        (np.uint8(3), r"shape \(\)"),
        ([[1, 2], [3]], "no common shape"),
        ("digit.png", "expected uint8"),
        (None, "expected uint8"),
    ],
)
def test_what_is_no_image_is_told_with_what_was_expected(loaded, wrong, advice):
    with pytest.raises(InputError, match=advice):
        loaded.classify(wrong)


def test_a_prediction_names_label_confidence_model_and_provider(loaded, images, linear):
    prediction = loaded.predict_image(images[3])
    row = linear.probabilities(images[3:4])[0]
    assert prediction.label == str(row.argmax())
    assert prediction.confidence == pytest.approx(row.max(), abs=1e-4)
    assert list(prediction.probabilities) == list("0123456789")
    assert sum(prediction.probabilities.values()) == pytest.approx(1, abs=1e-5)
    assert (prediction.model, prediction.provider) == ("linear-fp32", "cpu")


def test_top_is_sorted_and_as_long_as_asked():
    prediction = classifier.Prediction("b", 0.5, {"a": 0.25, "b": 0.5, "c": 0.25}, "m", "cpu")
    assert prediction.top(2) == [("b", 0.5), ("a", 0.25)]
    assert prediction.top(9) == [("b", 0.5), ("a", 0.25), ("c", 0.25)]
    assert prediction.top(0) == []


def test_a_classifier_serves_several_threads_at_once(loaded, linear):
    problems = []

    def work(seed):
        many = np.random.default_rng(seed).integers(0, 256, (300, 28, 28), dtype=np.uint8)
        expected = linear.logits(many)
        problems.extend(seed for _ in range(5) if not np.allclose(loaded.logits(many), expected, atol=1e-4))

    workers = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert problems == []


def test_a_shipped_bundle_is_loaded_by_its_name(shelf, images):
    assert edge.load("linear-fp32", provider="cpu").classify(images).shape == (5, 10)


def test_an_unknown_name_lists_what_there_is(shelf):
    with pytest.raises(BundleNotFoundError, match="did you mean linear-fp32"):
        edge.load("linear-fp23")
    with pytest.raises(BundleNotFoundError, match="the shipped ones are: linear-fp32"):
        edge.load("zzz")


def test_a_model_of_a_later_picture_recipe_classifies_arrays_and_refuses_pictures(
    bundle_path, repack, images, tmp_path, edge_command
):
    bundle_path.write_bytes(repack(picture={"version": PICTURE_RECIPE + 1}))
    classifier = edge.load(bundle_path, provider="cpu")
    assert classifier.classify(images).shape == (5, 10)
    assert classifier.predict_image(images[2]).label
    path = tmp_path / "digit.png"
    Image.fromarray(images[2]).save(path)
    for read in (
        classifier.predict,
        partial(edge.read_page, model=classifier),
        partial(edge.explain, model=classifier),
    ):
        with pytest.raises(BundleError, match="linear-fp32 was made with version 4 of the picture recipe"):
            read(path)
    for command in ("predict", "read", "explain"):
        ended = edge_command(command, path, "--model", bundle_path)
        assert (ended.code, ended.out) == (1, "")
        assert "was made with version 4 of the picture recipe, this edge reads pictures by version 3" in ended.err
    assert "made with version 4 of the picture recipe" in edge_command("info", bundle_path).out
    assert "made with version 4 of the picture recipe" in edge_command("verify", bundle_path).out
