"""MNIST and its successors: their IDX files in the form they are published in, fetched through torchvision only."""

import gzip
import hashlib
import struct
from dataclasses import replace
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import torchvision

from edge_train.data import datasets, published, splits
from edge_train.data.published import PUBLISHED, IdxFile
from edge_train.data.splits import DataError

COUNTS = {"training": 40, "test": 12}
VALIDATION = 8
NAMES = tuple(PUBLISHED)


def pixels(part: str) -> np.ndarray:
    """The pictures of a part as they are meant to be seen: no two alike, and none its own transpose."""
    return np.random.default_rng(len(part)).integers(0, 256, (COUNTS[part], 28, 28), np.uint8)


def classes(part: str) -> np.ndarray:
    return np.arange(COUNTS[part]) % 10


def contents(name: str) -> dict[str, bytes]:
    """The four files of a set, unpacked, by name: with the layout that each is published in."""
    found, files = PUBLISHED[name], {}
    for part, (images, answers) in (("training", found.training), ("test", found.test)):
        count, stored, labels = COUNTS[part], pixels(part), classes(part)
        if name == "emnist-digits":
            stored = stored.transpose(0, 2, 1)
        files[images.name] = struct.pack(">IIII", 0x0803, count, 28, 28) + stored.tobytes()
        if name == "qmnist":
            facts = np.zeros((count, 8), ">i4")
            facts[:, 0], facts[:, 2:] = labels, 70_000  # writers, partitions: more than a byte holds
            files[answers.name] = struct.pack(">III", 0x0C02, count, 8) + facts.tobytes()
        else:
            files[answers.name] = struct.pack(">II", 0x0801, count) + labels.astype(np.uint8).tobytes()
    return files


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """The little files pass for the published ones."""
    monkeypatch.setattr(splits, "VALIDATION_IMAGES", VALIDATION)
    for name, found in PUBLISHED.items():
        files = contents(name)

        def known(file: IdxFile, files: dict[str, bytes] = files) -> IdxFile:
            content = files[file.name]
            packed = file.packed_md5 and _md5(gzip.compress(content, mtime=0))
            return IdxFile(file.name, packed, file.unpacked_md5 and _md5(content))

        parts = {part: tuple(map(known, getattr(found, part))) for part in ("training", "test")}
        monkeypatch.setitem(PUBLISHED, name, replace(found, **parts))


@pytest.fixture(autouse=True)
def downloads(monkeypatch) -> list[str]:
    """torchvision without a network: every attempt is noted and fails as it does there."""
    attempts: list[str] = []

    def unreachable(loader: str) -> type:
        class Unreachable:
            def __init__(self, root: str, **settings: object) -> None:
                attempts.append(loader)
                raise RuntimeError(f"Error downloading x.gz:\nTried http://mirror/x.gz, got:\n{URLError('no route')}\n")

        return Unreachable

    for found in PUBLISHED.values():
        monkeypatch.setattr(torchvision.datasets, found.loader, unreachable(found.loader))
    return attempts


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def put(folder: Path, name: str, *, packed: bool = True) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for file, content in contents(name).items():
        path = folder / (f"{file}.gz" if packed else file)
        path.write_bytes(gzip.compress(content, mtime=0) if packed else content)
    return folder


def home(root: Path, name: str) -> Path:
    return root / PUBLISHED[name].loader / "raw"


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("name", NAMES)
def test_every_picture_has_its_own_label_and_stands_upright(tmp_path, name, packed, downloads):
    put(home(tmp_path, name), name, packed=packed)
    source = datasets.find(name, tmp_path)
    training, validation = source.splits()
    parts = {"training": (training, validation), "test": (source.test(),)}
    for part, found in parts.items():
        place = {image.tobytes(): index for index, image in enumerate(pixels(part))}
        seen = [place[image.tobytes()] for split in found for image in split.images]
        labels = [label for split in found for label in split.labels]
        assert labels == [classes(part)[index] for index in seen]
        assert sorted(seen) == list(range(COUNTS[part]))
    assert [split.name for split in (training, validation)] == [f"{name}-training", f"{name}-validation"]
    assert len(validation) == VALIDATION
    for split in (training, validation, source.test()):
        assert (split.images.dtype, split.labels.dtype) == (np.uint8, np.int64)
        assert split.images.flags["C_CONTIGUOUS"]
    assert not downloads


@pytest.mark.parametrize("name", NAMES)
def test_the_validation_pictures_are_those_that_mnist_would_set_aside(tmp_path, name):
    put(home(tmp_path, name), name)
    _, validation = published.load(name, tmp_path)
    order = np.random.Generator(np.random.PCG64(splits.SPLIT_SEED)).permutation(COUNTS["training"])
    np.testing.assert_array_equal(validation.images, pixels("training")[np.sort(order[:VALIDATION])])


def test_the_labels_are_those_that_torchvision_names():
    for name in ("fashion-mnist", "kmnist"):
        loader = getattr(torchvision.datasets.mnist, PUBLISHED[name].loader)
        assert list(PUBLISHED[name].labels) == loader.classes
    assert PUBLISHED["qmnist"].labels == PUBLISHED["emnist-digits"].labels == tuple("0123456789")
    assert datasets.find("kmnist").labels[3] == "tsu"


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist", "kmnist", "qmnist"])
def test_the_checksums_are_those_that_torchvision_holds_downloads_to(name, monkeypatch):
    monkeypatch.undo()  # the real table
    loader = getattr(torchvision.datasets.mnist, PUBLISHED[name].loader)
    resources = loader.resources
    if name == "qmnist":
        resources = resources["train"] + resources["test"]
    expected = {url.rpartition("/")[2]: md5 for url, md5 in resources}
    ours = {f"{file.name}.gz": file.packed_md5 for file in (*PUBLISHED[name].training, *PUBLISHED[name].test)}
    assert ours == expected


@pytest.mark.parametrize("name", NAMES)
def test_a_set_that_is_not_there_and_cannot_be_fetched_is_one_line_with_the_way_out(tmp_path, name, downloads):
    with pytest.raises(DataError) as refusal:
        published.load(name, tmp_path)
    message = str(refusal.value)
    assert "\n" not in message
    assert "could not be downloaded (<urlopen error no route>)" in message
    assert str(home(tmp_path, name)) in message
    assert "--data strokes" in message
    assert downloads == [PUBLISHED[name].loader]


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_fetched_where_that_is_not_wanted(tmp_path, name, downloads):
    with pytest.raises(DataError, match=f"{name} is not in .*--data-dir"):
        datasets.find(name, tmp_path, fetch=False).splits()
    assert not downloads


@pytest.mark.parametrize("name", NAMES)
def test_what_torchvision_fetches_is_found(tmp_path, name, monkeypatch):
    calls = []

    def fetch(root: str, *, download: bool, **settings: object) -> None:
        calls.append(settings)
        assert download
        put(home(Path(root), name), name, packed=False)

    monkeypatch.setattr(torchvision.datasets, PUBLISHED[name].loader, fetch)
    assert len(published.load_test(name, tmp_path)) == COUNTS["test"]
    assert calls == list(PUBLISHED[name].downloads)


def test_the_settings_of_a_download_are_those_that_the_loaders_take(tmp_path, monkeypatch):
    fetched = []
    for name, found in PUBLISHED.items():
        loader = getattr(torchvision.datasets.mnist, found.loader)
        monkeypatch.setattr(loader, "_check_exists", lambda self: True)
        monkeypatch.setattr(loader, "_load_data", lambda self: (fetched.append(self.raw_folder), None))
        for settings in found.downloads:
            loader(str(tmp_path), download=True, **settings)
        assert fetched[-1] == str(home(tmp_path, name))


def test_files_of_mnist_are_not_taken_for_those_of_a_set_with_the_same_names(tmp_path, downloads):
    put(tmp_path / "MNIST" / "raw", "kmnist")
    put(tmp_path, "kmnist")
    with pytest.raises(DataError, match="could not be downloaded"):
        published.load("kmnist", tmp_path)
    put(tmp_path / "kmnist", "kmnist")
    assert len(published.load_test("kmnist", tmp_path)) == COUNTS["test"]


@pytest.mark.parametrize("name", ["fashion-mnist", "kmnist", "qmnist"])
def test_a_packed_file_with_another_checksum_is_refused(tmp_path, name):
    folder = put(home(tmp_path, name), name)
    path = folder / f"{PUBLISHED[name].training[1].name}.gz"
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()), mtime=1))
    with pytest.raises(DataError, match=r"wrong MD5\); remove it and fetch it again"):
        published.load(name, tmp_path)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda content: content[:-1], "bytes of values for the axes"),
        (lambda content: content + b"\0", "bytes of values for the axes"),
        (lambda content: b"", "no IDX header"),
        (lambda content: b"\x89PNG" + content, "no IDX header"),
        (lambda content: b"\0\0\x0d\x01" + content[4:], "no IDX header"),
        (lambda content: b"\0\0\x08\x00" + content[4:], "no IDX header"),
        (lambda content: b"\0\0\x08\x01\0", "cut off in its header"),
        (lambda content: b"\0\0\x08\x01\xff\xff\xff\xff", "bytes of values for the axes"),
        (lambda content: content[:-1] + b"\x0a", "do not belong together"),
        (lambda content: b"\0\0\x08\x01\0\0\0\0", "do not belong together"),
        (lambda content: struct.pack(">II", 0x0801, 3) + b"\0\1\2", "do not belong together"),
    ],
)
def test_an_unpacked_file_is_held_to_its_form(tmp_path, damage, reason):
    folder = put(home(tmp_path, "kmnist"), "kmnist", packed=False)
    path = folder / PUBLISHED["kmnist"].training[1].name
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError, match=reason) as refusal:
        published.load("kmnist", tmp_path)
    assert str(path) in str(refusal.value)


def test_a_packed_file_that_is_cut_off_is_told(tmp_path):
    path = tmp_path / "labels.gz"
    for content in (b"no gzip", gzip.compress(b"\0\0\x08\x01" + bytes(1000), mtime=0)[:-9]):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"\(gzip: "):
            published.read(path)
