"""MNIST from a folder or the network, its checksums enforced, split once and for all into training and validation."""

import gzip
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.errors import EdgeError

# The validation split is a fact of the project, not a setting: parity and calibration of an export rely on the same
# one that training chose its best epoch by.
VALIDATION_IMAGES = 5000
SPLIT_SEED = 28

# MD5 of the four published .gz files, and of the same files unpacked. Source: torchvision.datasets.MNIST.resources.
FILES: dict[str, tuple[str, str]] = {
    "train-images-idx3-ubyte": ("f68b3c2dcbeaaa9fbdd348bbdeb94873", "6bbc9ace898e44ae57da46a324031adb"),
    "train-labels-idx1-ubyte": ("d53e105ee54ea40749a09fcbcd1e9432", "a25bea736e30d166cdddb491f175f624"),
    "t10k-images-idx3-ubyte": ("9fb629c4189551a2d022fa330f9573f3", "2646ac647ad5339dbf082846283269ea"),
    "t10k-labels-idx1-ubyte": ("ec29112dd5afa0611ce80d1b7f02629c", "27ae3e4e09519cfbb04c329615203637"),
}


class DataError(EdgeError):
    """A data set is missing, damaged or cannot be fetched."""


@dataclass(frozen=True, slots=True)
class Split:
    """Pictures and their labels.

    `images`: uint8 (N, 28, 28), ink 255 on background 0. `labels`: int64 (N,), 0 to classes - 1.
    """

    name: str  # as it stands in reports: "mnist-validation"
    images: NDArray[np.uint8]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)


def default_folder() -> Path:
    """Where data is looked for and downloaded to: `$EDGE_DATA`, otherwise a cache folder of the user."""
    chosen = os.environ.get("EDGE_DATA")
    return Path(chosen) if chosen else Path.home() / ".cache" / "edge-toolkit" / "data"


def find(folder: Path) -> Path | None:
    """The folder, in or below the one given, that holds all four MNIST files, packed or unpacked."""
    for candidate in (folder / "MNIST" / "raw", folder / "raw", folder):
        if all((candidate / f"{name}.gz").is_file() or (candidate / name).is_file() for name in FILES):
            return candidate
    return None


def download(folder: Path) -> Path:
    """Fetches MNIST through torchvision into `folder` and returns where its files are.

    Raises:
        DataError: the network or the servers cannot be reached.
    """
    from torchvision.datasets import MNIST

    try:
        folder.mkdir(parents=True, exist_ok=True)
        MNIST(str(folder), train=True, download=True)
    except (OSError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0].rstrip(":") if str(error).strip() else type(error).__name__
        raise DataError(
            f"MNIST is not in {folder} and could not be downloaded ({reason}); put its four .gz files there, "
            "name their folder with --data-dir or $EDGE_DATA, or use --data strokes"
        ) from error
    found = find(folder)
    if found is None:
        raise DataError(f"the download left no MNIST files in {folder}; remove the folder and try again")
    return found


def load(folder: Path | None = None, *, fetch: bool = True) -> tuple[Split, Split]:
    """MNIST's 60 000 training images as (training, validation): 55 000 and 5 000, always the same ones.

    Args:
        folder: where the files are or shall be; `None` is `default_folder()`.
        fetch: download what is not there.

    Raises:
        DataError: not there and not to be fetched, or a file whose checksum is wrong.
    """
    return divided("mnist", *_pair(_located(folder, fetch=fetch), "train"))


def divided(name: str, images: NDArray[np.uint8], labels: NDArray[np.int64]) -> tuple[Split, Split]:
    """The training part of a data set as (training, validation): the same 5 000 pictures are always set aside."""
    order = np.random.Generator(np.random.PCG64(SPLIT_SEED)).permutation(len(labels))
    training, validation = np.sort(order[VALIDATION_IMAGES:]), np.sort(order[:VALIDATION_IMAGES])
    return (
        Split(f"{name}-training", images[training], labels[training]),
        Split(f"{name}-validation", images[validation], labels[validation]),
    )


def load_test(folder: Path | None = None, *, fetch: bool = True) -> Split:
    """MNIST's 10 000 test images: for the final report only, never to choose anything by.

    Raises:
        DataError: as for `load`.
    """
    return Split("mnist-test", *_pair(_located(folder, fetch=fetch), "t10k"))


def _located(folder: Path | None, *, fetch: bool) -> Path:
    folder = folder or default_folder()
    found = find(folder)
    if found is not None:
        return found
    if not fetch:
        raise DataError(f"MNIST is not in {folder}; name its folder with --data-dir or $EDGE_DATA")
    return download(folder)


def _pair(raw: Path, part: str) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    images = np.frombuffer(_content(raw, f"{part}-images-idx3-ubyte"), np.uint8, offset=16).reshape(-1, 28, 28)
    labels = np.frombuffer(_content(raw, f"{part}-labels-idx1-ubyte"), np.uint8, offset=8)
    return images, labels.astype(np.int64)


def _content(raw: Path, name: str) -> bytes:
    packed_md5, unpacked_md5 = FILES[name]
    path, expected = raw / name, unpacked_md5
    if not path.is_file():
        path, expected = raw / f"{name}.gz", packed_md5
    content = path.read_bytes()
    if hashlib.md5(content, usedforsecurity=False).hexdigest() != expected:
        raise DataError(f"{path} is not the published MNIST file (wrong MD5); remove it and fetch it again")
    return gzip.decompress(content) if path.suffix == ".gz" else content
