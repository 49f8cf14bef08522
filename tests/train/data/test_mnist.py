"""MNIST: found in every layout, packed or unpacked, never used when a checksum is wrong, always split the same way."""

import gzip
import hashlib
import struct
from dataclasses import replace
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import torchvision

from edge_train.data import published, splits
from edge_train.data.published import PUBLISHED, IdxFile
from edge_train.data.splits import DataError

IMAGES = {"train": 40, "t10k": 12}
VALIDATION = 8


@pytest.fixture(scope="module")
def contents() -> dict[str, bytes]:
    """Four IDX files of a few random pictures, by name."""
    random = np.random.default_rng(1)
    files = {}
    for part, count in IMAGES.items():
        pixels = random.integers(0, 256, (count, 28, 28), np.uint8)
        labels = np.arange(count, dtype=np.uint8) % 10
        files[f"{part}-images-idx3-ubyte"] = struct.pack(">IIII", 2051, count, 28, 28) + pixels.tobytes()
        files[f"{part}-labels-idx1-ubyte"] = struct.pack(">II", 2049, count) + labels.tobytes()
    return files


@pytest.fixture
def packed(monkeypatch, contents) -> dict[str, bytes]:
    """The little files pass for the published ones; their packed form is the value."""
    files = {name: gzip.compress(content, mtime=0) for name, content in contents.items()}
    known = {name: IdxFile(name, _md5(files[name]), _md5(content)) for name, content in contents.items()}
    training, test = tuple(known.values())[:2], tuple(known.values())[2:]
    monkeypatch.setitem(PUBLISHED, "mnist", replace(PUBLISHED["mnist"], training=training, test=test))
    monkeypatch.setattr(splits, "VALIDATION_IMAGES", VALIDATION)
    return files


@pytest.fixture(autouse=True)
def downloads(monkeypatch) -> list[str]:
    """torchvision's MNIST without a network: every attempt is noted and fails as it does there."""
    attempts: list[str] = []

    class Unreachable:
        def __init__(self, root: str, **_: object) -> None:
            attempts.append(root)
            raise URLError("[Errno -2] Name or service not known")

    monkeypatch.setattr(torchvision.datasets, "MNIST", Unreachable)
    return attempts


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def put(folder: Path, files: dict[str, bytes], suffix: str = "") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / f"{name}{suffix}").write_bytes(content)
    return folder


@pytest.mark.parametrize("below", ["", "raw", "MNIST/raw"])
@pytest.mark.parametrize("form", ["packed", "unpacked", "both"])
def test_files_are_found_in_every_layout(tmp_path, below, form, *, packed, contents, downloads):
    if form in ("packed", "both"):
        put(tmp_path / below, packed, ".gz")
    if form in ("unpacked", "both"):
        put(tmp_path / below, contents)
    training, validation = published.load("mnist", tmp_path)
    assert len(training) + len(validation) == IMAGES["train"]
    assert len(published.load_test("mnist", tmp_path)) == IMAGES["t10k"]
    assert not downloads


def test_some_files_may_be_packed_and_others_not(tmp_path, packed, contents):
    put(tmp_path, {name: content for name, content in contents.items() if "images" in name})
    put(tmp_path, {name: content for name, content in packed.items() if "labels" in name}, ".gz")
    assert len(published.load_test("mnist", tmp_path)) == IMAGES["t10k"]


def test_packed_and_unpacked_files_hold_the_same_pictures(tmp_path, packed, contents):
    first, second = put(tmp_path / "a", packed, ".gz"), put(tmp_path / "b", contents)
    found = [published.load_test("mnist", folder).images for folder in (first, second)]
    np.testing.assert_array_equal(*found)


def test_types_shapes_and_names_are_as_documented(tmp_path, packed):
    parts = (*published.load("mnist", put(tmp_path, packed, ".gz")), published.load_test("mnist", tmp_path))
    assert [split.name for split in parts] == ["mnist-training", "mnist-validation", "mnist-test"]
    for split in parts:
        assert (split.images.dtype, split.images.shape) == (np.uint8, (len(split), 28, 28))
        assert (split.labels.dtype, split.labels.shape) == (np.int64, (len(split),))


def test_pictures_keep_their_labels_and_no_picture_is_in_both_splits(tmp_path, packed, contents):
    pixels = np.frombuffer(contents["train-images-idx3-ubyte"], np.uint8, offset=16).reshape(-1, 28, 28)
    place = {pixels[index].tobytes(): index for index in range(len(pixels))}
    training, validation = published.load("mnist", put(tmp_path, packed, ".gz"))
    found = {}
    for split in (training, validation):
        found[split.name] = {place[image.tobytes()] for image in split.images}
        labels = [place[image.tobytes()] % 10 for image in split.images]
        assert labels == split.labels.tolist()
    assert len(found["mnist-validation"]) == VALIDATION
    assert found["mnist-training"] | found["mnist-validation"] == set(range(IMAGES["train"]))
    assert not found["mnist-training"] & found["mnist-validation"]


def test_the_split_is_the_same_every_time(tmp_path, packed):
    put(tmp_path, packed, ".gz")
    for first, second in zip(published.load("mnist", tmp_path), published.load("mnist", tmp_path), strict=True):
        np.testing.assert_array_equal(first.images, second.images)


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("name", ["train-images-idx3-ubyte", "train-labels-idx1-ubyte"])
@pytest.mark.parametrize("damage", ["flipped", "truncated", "empty"])
def test_a_damaged_file_is_named_and_not_used(tmp_path, packed, contents, *, suffix, name, damage):
    files = packed if suffix else contents
    put(tmp_path, files, suffix)
    content = bytearray(files[name])
    content[len(content) // 2] ^= 1
    damaged = {"flipped": content, "truncated": files[name][:-1], "empty": b""}[damage]
    (tmp_path / f"{name}{suffix}").write_bytes(bytes(damaged))
    with pytest.raises(DataError, match="wrong MD5") as refusal:
        published.load("mnist", tmp_path)
    assert f"{name}{suffix}" in str(refusal.value)
    assert "remove it" in str(refusal.value)


def test_a_damaged_file_is_not_replaced_behind_the_users_back(tmp_path, packed, downloads):
    put(tmp_path, packed, ".gz")
    (tmp_path / "t10k-labels-idx1-ubyte.gz").write_bytes(b"something else")
    with pytest.raises(DataError, match="wrong MD5"):
        published.load_test("mnist", tmp_path)
    assert not downloads


def test_one_missing_file_means_that_mnist_is_not_there(tmp_path, packed):
    put(tmp_path, packed, ".gz")
    (tmp_path / "t10k-labels-idx1-ubyte.gz").unlink()
    assert published.find("mnist", tmp_path) is None


def test_nothing_is_downloaded_unless_it_may_be(tmp_path, downloads):
    with pytest.raises(DataError, match=r"--data-dir or \$EDGE_DATA"):
        published.load("mnist", tmp_path / "nowhere", fetch=False)
    assert not downloads
    assert not (tmp_path / "nowhere").exists()


def test_without_a_network_the_user_is_told_what_to_do(tmp_path, downloads):
    with pytest.raises(DataError, match="Name or service not known") as refusal:
        published.load("mnist", tmp_path)
    assert downloads == [str(tmp_path)]
    for advice in ("--data-dir", "$EDGE_DATA", "--data strokes"):
        assert advice in str(refusal.value)


@pytest.mark.parametrize("error", [RuntimeError("Error downloading t10k"), OSError("No space left"), RuntimeError()])
def test_every_way_a_download_fails_is_an_expected_failure(tmp_path, monkeypatch, error):
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(torchvision.datasets, "MNIST", fail)
    with pytest.raises(DataError, match="could not be downloaded"):
        published.load("mnist", tmp_path)


def test_what_was_downloaded_is_checked_like_any_other_file(tmp_path, monkeypatch, packed):
    def fetch(root: str, **_: object) -> None:
        put(Path(root) / "MNIST" / "raw", dict.fromkeys(packed, b"captive portal"), ".gz")

    monkeypatch.setattr(torchvision.datasets, "MNIST", fetch)
    with pytest.raises(DataError, match="wrong MD5"):
        published.load("mnist", tmp_path)


def test_a_download_into_place_is_found(tmp_path, monkeypatch, packed):
    def fetch(root: str, **_: object) -> None:
        put(Path(root) / "MNIST" / "raw", packed, ".gz")

    monkeypatch.setattr(torchvision.datasets, "MNIST", fetch)
    assert len(published.load_test("mnist", tmp_path)) == IMAGES["t10k"]


def test_a_download_that_leaves_nothing_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(torchvision.datasets, "MNIST", lambda *_, **__: None)
    with pytest.raises(DataError, match="left no files of mnist"):
        published.load("mnist", tmp_path)


def test_the_environment_names_the_folder(tmp_path, monkeypatch, packed):
    monkeypatch.setenv("EDGE_DATA", str(put(tmp_path, packed, ".gz")))
    assert len(published.load_test("mnist")) == IMAGES["t10k"]


def test_without_the_environment_a_cache_of_the_user_is_taken(monkeypatch, tmp_path):
    monkeypatch.delenv("EDGE_DATA")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert published.default_folder().is_relative_to(tmp_path)


def test_the_real_files_split_into_55000_and_5000_and_10000(mnist_folder):
    training, validation = published.load("mnist", mnist_folder, fetch=False)
    assert (len(training), len(validation)) == (55_000, 5_000)
    test = published.load_test("mnist", mnist_folder, fetch=False)
    assert len(test) == 10_000
    everything = np.concatenate([training.labels, validation.labels])
    # Source: the counts of MNIST's training digits, which every description of it lists.
    assert np.bincount(everything).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    # Every digit is judged by about as many pictures as it has a share of.
    assert np.bincount(validation.labels).min() > 400
