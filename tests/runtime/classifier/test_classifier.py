"""The classifier: arrays of any length in, probabilities out, and what does not fit is told."""

import pickle
import threading
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import edge
from edge.bundle import bundle
from edge.bundle.input import PICTURE_RECIPE
from edge.classifier import classifier
from edge.errors import BundleError, BundleNotFoundError, InputError
from edge.session import batching, session


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
def test_any_number_of_images_is_run_in_bounded_chunks(bundle_path, linear, count):
    source = bundle.read(bundle_path)
    running = session.create(source.data, provider="cpu", manifest=source.manifest)
    sizes = []

    class Counting:
        provider, has_score, has_branches = running.provider, running.has_score, running.has_branches

        def fetch(self, outputs, images):
            sizes.append(len(images))
            return running.fetch(outputs, images)

    many = np.random.default_rng(0).integers(0, 256, (count, 28, 28), dtype=np.uint8)
    logits = classifier.Classifier(source, Counting()).logits(many)
    np.testing.assert_allclose(logits, linear.logits(many), atol=1e-4)
    assert sum(sizes) == count
    assert max(sizes) <= batching.CHUNK_IMAGES


def test_images_may_lie_in_memory_in_any_way(loaded, images):
    mirrored = images[:, :, ::-1]
    np.testing.assert_array_equal(loaded.logits(mirrored), loaded.logits(mirrored.copy()))
    np.testing.assert_array_equal(loaded.logits(np.asfortranarray(images)), loaded.logits(images))


class Tensor:
    """What numpy cannot read of another library's tensors: with a gradient, on a device, of a type of its own."""

    def __init__(self, error):
        self.error = error

    def detach(self):
        return self

    def __array__(self, *_arguments, **_settings):
        raise self.error


@pytest.mark.parametrize(
    ("wrong", "advice"),
    [
        (np.zeros((2, 28, 28), np.float32), r"float32.*multiply by 255 and cast"),
        (np.zeros((28, 28), np.float64), r"float64.*multiply by 255"),
        (np.zeros((28, 28), np.int64), r"int64.*astype\(numpy\.uint8\)"),
        (np.zeros((28, 28), bool), r"bool.*\* 255"),
        (np.ones((28, 28), np.uint8), r"hold 0 and 1 only, .*; multiply them by 255"),
        (np.eye(28, dtype=np.uint8)[None].repeat(3, 0), r"hold 0 and 1 only, .*; multiply them by 255"),
        (np.zeros((28, 27), np.uint8), r"shape \(28, 27\), expected uint8 \(N, 28, 28\)"),
        (np.zeros((2, 1, 28, 28), np.uint8), r"shape \(2, 1, 28, 28\).*images\.reshape\(-1, 28, 28\)"),
        (np.zeros((5, 784), np.uint8), r"shape \(5, 784\).*images\.reshape\(-1, 28, 28\)"),
        (np.zeros((5, 28, 28, 1), np.uint8), r"shape \(5, 28, 28, 1\).*images\.reshape\(-1, 28, 28\)"),
        (np.zeros((100, 120), np.uint8), r"shape \(100, 120\).*read by `predict`"),
        (np.zeros(784, np.uint8), r"shape \(784,\)"),
        (np.uint8(3), r"shape \(\)"),
        ([[1, 2], [3]], "no common shape"),
        ([], r"for no images give numpy\.zeros\(\(0, 28, 28\), numpy\.uint8\)"),
        ("digit.png", r"'digit\.png' is no array, expected uint8.*pictures are read by `predict`"),
        (Path("digit.png"), r"Path\('digit\.png'\) is no array, .*pictures are read by `predict`"),
        (None, "None is no array, expected uint8"),
        (
            Tensor(RuntimeError("Can't call numpy() on Tensor that requires grad")),
            r"images\.detach\(\)\.cpu\(\)\.numpy\(\)",
        ),
        (Tensor(TypeError("can't convert cuda:0 device type tensor to numpy")), r"Tensor that numpy cannot read"),
        (
            Tensor(TypeError("Got unsupported ScalarType BFloat16")),
            r"images\.detach\(\)\.cpu\(\)\.numpy\(\), of type uint8",
        ),
    ],
)
def test_what_is_no_image_is_told_with_what_was_expected(loaded, wrong, advice):
    for ask in (loaded.classify, loaded.logits, loaded.predictions, loaded.predict_image, loaded.scores):
        with pytest.raises(InputError, match=advice):
            ask(wrong)


def test_a_black_image_and_one_of_faint_ink_are_images(loaded):
    faint = np.zeros((28, 28), np.uint8)
    assert loaded.classify(faint).shape == (1, 10)
    faint[3, 3] = 2
    assert loaded.classify(faint).shape == (1, 10)
    faint[14, 3] = 1
    assert loaded.predict_image(faint).label


@pytest.mark.parametrize("count", [0, 3])
def test_predict_image_takes_one_image(loaded, count):
    with pytest.raises(InputError, match=rf"{count} images are not one; give uint8 \(28, 28\), or ask `predictions`"):
        loaded.predict_image(np.zeros((count, 28, 28), np.uint8))


def test_no_images_are_no_predictions(loaded):
    assert loaded.predictions(np.zeros((0, 28, 28), np.uint8)) == []
    assert loaded.scores(np.zeros((0, 28, 28), np.uint8)) == []


@pytest.fixture
def broken(bundle_path, repack, make_model, linear):
    """A model whose every answer is NaN."""
    bundle_path.write_bytes(repack(model=make_model(linear, nan=True)))
    return edge.load(bundle_path, provider="cpu")


@pytest.mark.parametrize("count", [1, 300])
def test_answers_that_are_no_numbers_are_an_error(broken, images, count):
    for ask in (broken.classify, broken.logits, broken.predictions, broken.run, broken.scores):
        with pytest.raises(BundleError, match=r"linear-fp32 answers with what is no number .*edge verify"):
            ask(np.resize(images, (count, 28, 28)))
    with pytest.raises(BundleError, match="no number"):
        broken.predict_image(images[2])


def test_answers_that_are_no_numbers_are_not_printed(broken, images, edge_command, tmp_path):
    Image.fromarray(images[2]).save(tmp_path / "digit.png")
    for command in ("predict", "read", "explain"):
        ended = edge_command(command, tmp_path / "digit.png", "--model", broken.bundle.path, "--json")
        assert (ended.code, ended.out) == (1, "")
        assert "answers with what is no number" in ended.err


def test_a_classifier_travels_to_other_processes(loaded, images, tmp_path):
    copy = pickle.loads(pickle.dumps(loaded))
    np.testing.assert_array_equal(copy.logits(images), loaded.logits(images))
    assert copy.manifest == loaded.manifest
    assert (copy.provider, copy.provider_reason, copy.threads) == ("cpu", "as asked for", 1)
    assert copy.batching == loaded.batching
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        assert pool.submit(loaded.predict_image, images[2]).result(timeout=60) == loaded.predict_image(images[2])


def test_predictions_can_be_kept_in_sets_and_travel(loaded, images):
    first, again, other = (loaded.predict_image(images[index]) for index in (2, 2, 3))
    assert first == again != other
    assert len({first, again, other}) == 2
    assert pickle.loads(pickle.dumps(first)) == first
    with pytest.raises(AttributeError):
        first.label = "9"


def test_a_prediction_names_label_confidence_model_and_provider(loaded, images, linear):
    prediction = loaded.predict_image(images[3])
    row = linear.probabilities(images[3:4])[0]
    assert prediction.label == str(row.argmax())
    assert prediction.confidence == pytest.approx(row.max(), abs=1e-4)
    assert list(prediction.probabilities) == list("0123456789")
    assert sum(prediction.probabilities.values()) == pytest.approx(1, abs=1e-5)
    assert (prediction.model, prediction.provider) == ("linear-fp32", "cpu")


def test_top_is_sorted_and_as_long_as_asked():
    prediction = classifier.Prediction("b", 0.5, ("a", "b", "c"), (0.25, 0.5, 0.25), "m", "cpu")
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
    later = PICTURE_RECIPE + 1
    bundle_path.write_bytes(repack(picture={"version": later}))
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
        with pytest.raises(BundleError, match=f"linear-fp32 was made with version {later} of the picture recipe"):
            read(path)
    for command in ("predict", "read", "explain"):
        ended = edge_command(command, path, "--model", bundle_path)
        assert (ended.code, ended.out) == (1, "")
        assert (
            f"version {later} of the picture recipe, this edge reads pictures by version {PICTURE_RECIPE}" in ended.err
        )
    assert f"made with version {later} of the picture recipe" in edge_command("info", bundle_path).out
    assert f"made with version {later} of the picture recipe" in edge_command("verify", bundle_path).out
