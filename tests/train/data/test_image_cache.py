"""The pictures of a folder: what the model sees of them, and what is kept from one time to the next."""

import numpy as np
import pytest
from PIL import Image

from edge.picture import preprocessing
from edge_train import strokes
from edge_train.data import image_cache


@pytest.fixture
def files(tmp_path):
    """Twenty images, and two photographs."""
    paths = []
    for index, image in enumerate(strokes.sample(20, seed=43)[0]):
        paths.append(tmp_path / f"{index}.png")
        Image.fromarray(image).save(paths[-1])
    for digit in (4, 8):
        paths.append(tmp_path / f"photo {digit}.jpg")
        Image.fromarray(strokes.draw_page(digit, seed=digit, size=(200, 150))).save(paths[-1])
    return paths


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache" / "kept.npz"


@pytest.fixture
def decoded(monkeypatch) -> list:
    """Every file that is read as a picture, not from what was kept."""
    seen, real = [], preprocessing.read_digits
    monkeypatch.setattr(preprocessing, "read_digits", lambda sources: seen.extend(sources) or real(sources))
    return seen


def test_a_file_is_what_the_runtime_would_show_the_model(files, cache):
    found = image_cache.read(files, cache)
    assert not found.problems
    for path, image in zip(files, found.images, strict=True):
        np.testing.assert_array_equal(image, preprocessing.read_digit(path).image)


def test_the_second_time_nothing_is_decoded_and_everything_is_the_same(files, cache, decoded):
    first = image_cache.read(files, cache)
    assert sorted(decoded) == sorted(files)
    decoded.clear()
    again = image_cache.read(files, cache)
    assert not decoded
    assert again.digests == first.digests
    np.testing.assert_array_equal(again.images, first.images)


def test_a_picture_is_known_by_its_content_whatever_its_name(files, cache, decoded, tmp_path):
    image_cache.read(files, cache)
    decoded.clear()
    moved = files[3].rename(tmp_path / "moved.png")
    Image.fromarray(strokes.sample(1, seed=44)[0][0]).save(files[5])
    found = image_cache.read([*files[:3], moved, *files[4:]], cache)
    assert decoded == [files[5]]
    np.testing.assert_array_equal(found.images[5], strokes.sample(1, seed=44)[0][0])


def test_another_version_of_the_pre_processing_has_a_cache_of_its_own(tmp_path, monkeypatch):
    before = image_cache.cache_of(tmp_path)
    assert before == image_cache.cache_of(tmp_path / "." / "")
    assert before != image_cache.cache_of(tmp_path / "other")
    monkeypatch.setitem(preprocessing.RECIPE, "version", 99)
    assert before != image_cache.cache_of(tmp_path)
    assert tmp_path not in before.parents, "nothing is written beside the pictures"


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: b"no archive",
        lambda content: content[:200],
        lambda content: content[: len(content) // 2] + b"x" * 40 + content[len(content) // 2 + 40 :],
    ],
)
@pytest.mark.sampled(2)
def test_a_damaged_cache_is_passed_over_and_made_anew(files, cache, damage, decoded):
    first = image_cache.read(files, cache)
    whole = cache.read_bytes()
    cache.write_bytes(damage(whole))
    decoded.clear()
    np.testing.assert_array_equal(image_cache.read(files, cache).images, first.images)
    assert sorted(decoded) == sorted(files)
    decoded.clear()
    image_cache.read(files, cache)
    assert not decoded


@pytest.mark.parametrize("arrays", [{"digests": np.zeros(3)}, {"images": np.zeros((2, 5))}, {"digests": None}])
def test_a_cache_of_another_form_is_passed_over(files, cache, arrays):
    cache.parent.mkdir()
    usual = {"digests": np.zeros((2, 32), np.uint8), "images": np.zeros((2, 28, 28), np.uint8)}
    np.savez(cache, **{name: array for name, array in {**usual, **arrays}.items() if array is not None})
    assert not image_cache.read(files[:2], cache).problems


def test_a_cache_that_cannot_be_written_costs_time_only(files, tmp_path):
    (tmp_path / "in the way").write_text("a file")
    found = image_cache.read(files[:2], tmp_path / "in the way" / "kept.npz")
    assert len(found.images) == 2


def test_a_file_that_is_gone_is_a_problem_of_its_own(files, cache, tmp_path):
    found = image_cache.read([files[0], tmp_path / "gone.png", files[1]], cache)
    assert list(found.problems) == [1]
    assert str(tmp_path / "gone.png") in found.problems[1]
    assert found.digests[1] == ""
    assert not found.images[1].any()
    again = image_cache.read([files[0], tmp_path / "gone.png", files[1]], cache)
    assert again.problems == found.problems


def test_what_could_not_be_read_is_tried_again(files, cache):
    content = files[0].read_bytes()
    files[0].write_bytes(b"still being copied")
    assert list(image_cache.read(files, cache).problems) == [0]
    files[0].write_bytes(content)
    assert not image_cache.read(files, cache).problems
