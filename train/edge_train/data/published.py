"""The published data sets of MNIST's form: found, fetched through torchvision, and divided as MNIST is."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from edge.errors import MissingExtraError
from edge_train.data import idx, mnist
from edge_train.data.mnist import DataError, Split

DIGITS: Final = tuple("0123456789")
SIDE: Final = 28


@dataclass(frozen=True, slots=True)
class Part:
    """The two files of a part: their names without `.gz`, and the MD5 of the packed ones where that is published."""

    images: str
    labels: str
    images_md5: str | None = None
    labels_md5: str | None = None


@dataclass(frozen=True, slots=True)
class Published:
    """A published data set.

    `loader`: the class of torchvision.datasets that fetches it, and the folder that it fetches it to. `labels`: names
    of the classes. `downloads`: settings of the loader, one for each call that is needed. `transposed`: rows and
    columns of its pictures are swapped in the files.
    """

    loader: str
    labels: tuple[str, ...]
    training: Part
    test: Part
    downloads: tuple[dict[str, Any], ...] = ({"train": True},)
    transposed: bool = False


_USUAL = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")

# Checksums and names of the classes. Source: torchvision.datasets, `resources` and `classes` of each loader.
PUBLISHED: dict[str, Published] = {
    "fashion-mnist": Published(
        "FashionMNIST",
        ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
        Part(*_USUAL[:2], "8d4fb7e6c68d591d4c3dfef9ec88bf0d", "25c81989df183df01b3e8a0aad5dffbe"),
        Part(*_USUAL[2:], "bef4ecab320f06d8554ea6380940ec79", "bb300cfdad3c16e7a12a480ee83cd310"),
    ),
    "kmnist": Published(
        "KMNIST",
        ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"),
        Part(*_USUAL[:2], "bdb82020997e1d708af4cf47b453dcf7", "e144d726b3acfaa3e44228e80efcd344"),
        Part(*_USUAL[2:], "5c965bf0a639b31b8f53240b1b52f4d7", "7320c461ea6c1c855c0b718fb2a4b134"),
    ),
    "qmnist": Published(
        "QMNIST",
        DIGITS,
        Part(
            "qmnist-train-images-idx3-ubyte",
            "qmnist-train-labels-idx2-int",
            "ed72d4157d28c017586c42bc6afe6370",
            "0058f8dd561b90ffdd0f734c6a30e5e4",
        ),
        Part(
            "qmnist-test-images-idx3-ubyte",
            "qmnist-test-labels-idx2-int",
            "1394631089c404de565df7b7aeaf9412",
            "5b5b05890a5e13444e108efe57b788aa",
        ),
        downloads=({"what": "train"}, {"what": "test"}),
    ),
    # It is published as one archive of all its sets, whose checksum torchvision holds it to.
    "emnist-digits": Published(
        "EMNIST",
        DIGITS,
        Part("emnist-digits-train-images-idx3-ubyte", "emnist-digits-train-labels-idx1-ubyte"),
        Part("emnist-digits-test-images-idx3-ubyte", "emnist-digits-test-labels-idx1-ubyte"),
        downloads=({"split": "digits", "train": True},),
        transposed=True,
    ),
}


def find(name: str, folder: Path) -> Path | None:
    """The folder below the one given that holds all four files of a set, packed or unpacked.

    Two sets share the names of their files, so only a folder of the set's own will do: torchvision's, or its name.
    """
    published = PUBLISHED[name]
    files = [file for part in (published.training, published.test) for file in (part.images, part.labels)]
    for candidate in _places(name, folder):
        if all(idx.locate(candidate, file) is not None for file in files):
            return candidate
    return None


def load(name: str, folder: Path, *, fetch: bool = True) -> tuple[Split, Split]:
    """The training part of a set as (training, validation), divided as `mnist.load` divides MNIST.

    Args:
        name: of `PUBLISHED`.
        folder: where the set is, in a folder of its own, or shall be.
        fetch: download what is not there.

    Raises:
        DataError: not there and not to be fetched, or a file is damaged.
        MissingExtraError: it shall be fetched, and torchvision is not installed.
    """
    images, labels = _pair(name, PUBLISHED[name].training, located(name, folder, fetch=fetch))
    return mnist.divided(name, images, labels)


def load_test(name: str, folder: Path, *, fetch: bool = True) -> Split:
    """The test part of a set: for the final report only, never to choose anything by.

    Raises:
        DataError, MissingExtraError: as for `load`.
    """
    return Split(f"{name}-test", *_pair(name, PUBLISHED[name].test, located(name, folder, fetch=fetch)))


def located(name: str, folder: Path, *, fetch: bool) -> Path:
    """The folder of a set's files, which are fetched if they are not there.

    Raises:
        DataError, MissingExtraError: as for `load`.
    """
    found = find(name, folder)
    if found is None and fetch:
        _download(name, folder)
        found = find(name, folder)
    if found is None:
        home = _places(name, folder)[0]
        raise DataError(f"{name} is not in {home}; put its .gz files there, or name the folder above with --data-dir")
    return found


def _places(name: str, folder: Path) -> tuple[Path, Path]:
    return folder / PUBLISHED[name].loader / "raw", folder / name


def _download(name: str, folder: Path) -> None:
    try:
        from torchvision import datasets
    except ModuleNotFoundError as error:
        raise MissingExtraError("data", "train", "torchvision") from error
    published = PUBLISHED[name]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for settings in published.downloads:
            getattr(datasets, published.loader)(str(folder), download=True, **settings)
    except (OSError, RuntimeError) as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise DataError(
            f"{name} is not in {folder} and could not be downloaded ({lines[-1] if lines else type(error).__name__}); "
            f"put its .gz files into {_places(name, folder)[0]}, name the folder above with --data-dir or $EDGE_DATA, "
            "or use --data strokes"
        ) from error


def _pair(name: str, part: Part, raw: Path) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    published = PUBLISHED[name]
    images_path, labels_path = (idx.locate(raw, file) or raw / file for file in (part.images, part.labels))
    images = idx.read(images_path, packed_md5=part.images_md5)
    labels = idx.read(labels_path, packed_md5=part.labels_md5)
    if labels.ndim == 2:  # QMNIST: the class is the first of eight facts about a picture, the others are its origin
        labels = labels[:, 0]
    fits = images.dtype == np.uint8 and images.shape == (len(labels), SIDE, SIDE) and labels.ndim == 1
    if not fits or len(labels) == 0 or not 0 <= labels.min() <= labels.max() < len(published.labels):
        raise DataError(
            f"{images_path} and {labels_path} do not belong together as {name}: {images.dtype} {images.shape} with "
            f"labels {labels.dtype} {labels.shape}; remove both and fetch them again"
        )
    if published.transposed:
        images = np.ascontiguousarray(images.transpose(0, 2, 1))
    return images, labels.astype(np.int64)
