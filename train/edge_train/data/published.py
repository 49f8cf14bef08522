"""MNIST and the data sets of its form: their IDX files found, fetched through torchvision, checked and read.

An IDX file is a plain array, packed with gzip or not: two zero bytes, a byte for the type, a byte for the number of
axes, each axis as a big-endian int32, then the values.
"""

import gzip
import hashlib
import math
import os
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from edge.bundle.input import COLUMNS, DIGITS, ROWS
from edge.errors import MissingExtraError
from edge_train.data import splits
from edge_train.data.splits import DataError, Split


@dataclass(frozen=True, slots=True)
class IdxFile:
    """A file of a data set.

    Attributes:
        name: without `.gz`.
        packed_md5: of the file with `.gz`, where it is published.
        unpacked_md5: of the file without, where it is published.
    """

    name: str
    packed_md5: str | None = None
    unpacked_md5: str | None = None


@dataclass(frozen=True, slots=True)
class Published:
    """A published data set.

    Attributes:
        loader: the class of torchvision.datasets that fetches it, and the folder that it fetches it to.
        labels: names of the classes.
        training: pictures and labels of the training part.
        test: pictures and labels of the test part.
        places: folders below the one that the user names, where its files are looked for.
        downloads: settings of the loader, one for each call that is needed.
        transposed: whether rows and columns of its pictures are swapped in the files.
    """

    loader: str
    labels: tuple[str, ...]
    training: tuple[IdxFile, IdxFile]
    test: tuple[IdxFile, IdxFile]
    places: tuple[str, ...]
    downloads: tuple[dict[str, Any], ...] = ({"train": True},)
    transposed: bool = False


# Names of files, checksums and classes. Source: torchvision.datasets, `resources` and `classes` of each loader.
PUBLISHED: Final[dict[str, Published]] = {
    "mnist": Published(
        "MNIST",
        DIGITS,
        (
            IdxFile("train-images-idx3-ubyte", "f68b3c2dcbeaaa9fbdd348bbdeb94873", "6bbc9ace898e44ae57da46a324031adb"),
            IdxFile("train-labels-idx1-ubyte", "d53e105ee54ea40749a09fcbcd1e9432", "a25bea736e30d166cdddb491f175f624"),
        ),
        (
            IdxFile("t10k-images-idx3-ubyte", "9fb629c4189551a2d022fa330f9573f3", "2646ac647ad5339dbf082846283269ea"),
            IdxFile("t10k-labels-idx1-ubyte", "ec29112dd5afa0611ce80d1b7f02629c", "27ae3e4e09519cfbb04c329615203637"),
        ),
        ("MNIST/raw", "raw", "."),
    ),
    "fashion-mnist": Published(
        "FashionMNIST",
        ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
        (
            IdxFile("train-images-idx3-ubyte", "8d4fb7e6c68d591d4c3dfef9ec88bf0d"),
            IdxFile("train-labels-idx1-ubyte", "25c81989df183df01b3e8a0aad5dffbe"),
        ),
        (
            IdxFile("t10k-images-idx3-ubyte", "bef4ecab320f06d8554ea6380940ec79"),
            IdxFile("t10k-labels-idx1-ubyte", "bb300cfdad3c16e7a12a480ee83cd310"),
        ),
        ("FashionMNIST/raw", "fashion-mnist"),
    ),
    "kmnist": Published(
        "KMNIST",
        ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"),
        (
            IdxFile("train-images-idx3-ubyte", "bdb82020997e1d708af4cf47b453dcf7"),
            IdxFile("train-labels-idx1-ubyte", "e144d726b3acfaa3e44228e80efcd344"),
        ),
        (
            IdxFile("t10k-images-idx3-ubyte", "5c965bf0a639b31b8f53240b1b52f4d7"),
            IdxFile("t10k-labels-idx1-ubyte", "7320c461ea6c1c855c0b718fb2a4b134"),
        ),
        ("KMNIST/raw", "kmnist"),
    ),
    "qmnist": Published(
        "QMNIST",
        DIGITS,
        (
            IdxFile("qmnist-train-images-idx3-ubyte", "ed72d4157d28c017586c42bc6afe6370"),
            IdxFile("qmnist-train-labels-idx2-int", "0058f8dd561b90ffdd0f734c6a30e5e4"),
        ),
        (
            IdxFile("qmnist-test-images-idx3-ubyte", "1394631089c404de565df7b7aeaf9412"),
            IdxFile("qmnist-test-labels-idx2-int", "5b5b05890a5e13444e108efe57b788aa"),
        ),
        ("QMNIST/raw", "qmnist"),
        downloads=({"what": "train"}, {"what": "test"}),
    ),
    # It is published as one archive of all its sets, whose checksum torchvision holds it to.
    "emnist-digits": Published(
        "EMNIST",
        DIGITS,
        (IdxFile("emnist-digits-train-images-idx3-ubyte"), IdxFile("emnist-digits-train-labels-idx1-ubyte")),
        (IdxFile("emnist-digits-test-images-idx3-ubyte"), IdxFile("emnist-digits-test-labels-idx1-ubyte")),
        ("EMNIST/raw", "emnist-digits"),
        downloads=({"split": "digits", "train": True},),
        transposed=True,
    ),
}

# The types that data sets of pictures and labels use.
_TYPES: Final[dict[int, np.dtype[Any]]] = {0x08: np.dtype(np.uint8), 0x0C: np.dtype(">i4")}


def default_folder() -> Path:
    """Where data is looked for and downloaded to: `$EDGE_DATA`, otherwise a cache folder of the user."""
    chosen = os.environ.get("EDGE_DATA")
    return Path(chosen) if chosen else Path.home() / ".cache" / "edge-toolkit" / "data"


def find(name: str, folder: Path) -> Path | None:
    """The folder, in or below the one given, that holds all four files of a set, packed or unpacked.

    Sets share the names of their files, so only MNIST is also found where no folder says what it is.
    """
    published = PUBLISHED[name]
    for place in published.places:
        if all(_locate(folder / place, file.name) is not None for file in (*published.training, *published.test)):
            return folder / place
    return None


def load(name: str, folder: Path | None = None, *, fetch: bool = True) -> tuple[Split, Split]:
    """The training part of a set as (training, validation); of MNIST's 60 000 images 55 000 and 5 000.

    Args:
        name: of `PUBLISHED`.
        folder: where the set is or shall be; `None` is `default_folder()`.
        fetch: download what is not there.

    Raises:
        DataError: not there and not to be fetched, or a file is damaged.
        MissingExtraError: it shall be fetched, and torchvision is not installed.
    """
    return splits.divided(name, *_part(name, PUBLISHED[name].training, _located(name, folder, fetch=fetch)))


def load_test(name: str, folder: Path | None = None, *, fetch: bool = True) -> Split:
    """The test part of a set: for the final report only, never to choose anything by.

    Raises:
        DataError: as for `load`.
        MissingExtraError: as for `load`.
    """
    return Split(f"{name}-test", *_part(name, PUBLISHED[name].test, _located(name, folder, fetch=fetch)))


def read(path: Path, *, md5: str | None = None) -> NDArray[Any]:
    """The array in an IDX file.

    Args:
        path: packed if it ends in `.gz`.
        md5: of the file as it is, if that is published; otherwise it is held to its form alone.

    Returns:
        uint8 or int32 in the order of this machine, read-only, with the axes that the file names.

    Raises:
        DataError: another checksum, not an IDX file, cut off, or a type that no data set of pictures has.
    """
    content = path.read_bytes()
    if md5 is not None and hashlib.md5(content, usedforsecurity=False).hexdigest() != md5:
        raise _wrong(path, "wrong MD5")
    if path.suffix == ".gz":
        try:
            content = gzip.decompress(content)
        except (OSError, EOFError, zlib.error) as error:
            raise _wrong(path, f"gzip: {error}") from error
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] not in _TYPES or content[3] == 0:
        raise _wrong(path, "no IDX header")
    kind, axes = _TYPES[content[2]], content[3]
    start = 4 + 4 * axes
    if len(content) < start:
        raise _wrong(path, "cut off in its header")
    shape = struct.unpack(f">{axes}i", content[4:start])
    if min(shape, default=0) < 0 or len(content) - start != math.prod(shape) * kind.itemsize:
        raise _wrong(path, f"{len(content) - start} bytes of values for the axes {list(shape)}")
    values = np.frombuffer(content, kind, offset=start).reshape(shape)
    return values if kind.itemsize == 1 else values.astype(np.int32)


def _locate(folder: Path, name: str) -> Path | None:
    """The IDX file of that name in a folder: as it is, otherwise packed with gzip; `None` where neither is."""
    for path in (folder / name, folder / f"{name}.gz"):
        if path.is_file():
            return path
    return None


def _located(name: str, folder: Path | None, *, fetch: bool) -> Path:
    """The folder of a set's files, which are fetched if they are not there."""
    folder = folder or default_folder()
    found = find(name, folder)
    if found is None and fetch:
        _download(name, folder)
        found = find(name, folder)
        if found is None:
            raise DataError(f"the download left no files of {name} in {folder}; remove the folder and try again")
    if found is None:
        home = folder / PUBLISHED[name].places[0]
        raise DataError(
            f"{name} is not in {home}; put its .gz files there, or name the folder above with --data-dir or $EDGE_DATA"
        )
    return found


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
            f"put its .gz files into {folder / published.places[0]}, name the folder above with --data-dir or "
            "$EDGE_DATA, or use --data strokes"
        ) from error


def _part(name: str, files: tuple[IdxFile, IdxFile], folder: Path) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    published = PUBLISHED[name]
    paths, arrays = [], []
    for file in files:
        path = _locate(folder, file.name) or folder / file.name
        paths.append(path)
        arrays.append(read(path, md5=file.packed_md5 if path.suffix == ".gz" else file.unpacked_md5))
    images, labels = arrays
    if labels.ndim == 2:  # QMNIST: the class is the first of eight facts about a picture, the others are its origin
        labels = labels[:, 0]
    fits = images.dtype == np.uint8 and images.shape == (len(labels), ROWS, COLUMNS) and labels.ndim == 1
    if not fits or len(labels) == 0 or not 0 <= labels.min() <= labels.max() < len(published.labels):
        raise DataError(
            f"{paths[0]} and {paths[1]} do not belong together as {name}: {images.dtype} {images.shape} with labels "
            f"{labels.dtype} {labels.shape}; remove both and fetch them again"
        )
    if published.transposed:
        images = np.ascontiguousarray(images.transpose(0, 2, 1))
    return images, labels.astype(np.int64)


def _wrong(path: Path, reason: str) -> DataError:
    return DataError(f"{path} is not the published file ({reason}); remove it and fetch it again")
