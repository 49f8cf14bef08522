"""The pictures of a folder as the model sees them: read side by side, and kept, because photos take time.

What is kept is found by the content of a file and the version of the pre-processing, so a picture that was changed, or
renamed, is what it is now. It can be made again: a cache that is damaged or cannot be written is passed over.
"""

import hashlib
import io
import zipfile
import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge.bundle.input import COLUMNS, ROWS
from edge.errors import PictureError
from edge.picture import preprocessing
from edge.session import batching, cpu
from edge.text.files import write_atomically
from edge.text.terminal import ProgressBar

BLOCK: Final = 16  # pictures a worker takes at a time

_DIGEST_BYTES = 32


@dataclass(frozen=True, slots=True)
class CachedImages:
    """What became of files.

    Attributes:
        images: uint8 (28, 28) each, ink 255 on background 0; all zero where there is a problem.
        digests: the SHA-256 of each file, empty where it could not be read.
        problems: by the index of the file, why it is no picture of a class.
    """

    images: list[NDArray[np.uint8]]
    digests: list[str]
    problems: dict[int, str]


def cache_of(folder: Path) -> Path:
    """The file in which the images of a folder are kept: in the user's cache folder, never beside the pictures."""
    name = hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:32]
    return batching.profile_path().parent / "folders" / f"{name}-recipe{preprocessing.RECIPE['version']}.npz"


def read(files: Sequence[Path], cache: Path) -> CachedImages:
    """Every file through the one pre-processing, with a progress bar on a terminal.

    Args:
        files: the pictures.
        cache: where images are kept from one call to the next.

    Returns:
        An image, or a problem, for each file.
    """
    kept = _kept(cache)
    images: list[NDArray[np.uint8]] = []
    digests: list[str] = []
    problems: dict[int, str] = {}
    starts = range(0, len(files), BLOCK)
    bar = ProgressBar()
    bar.begin(len(files))
    pool = ThreadPoolExecutor(cpu.allowed(), thread_name_prefix="edge-read")
    try:
        for start, block in zip(starts, pool.map(lambda at: _block(files[at : at + BLOCK], kept), starts), strict=True):
            for index, (digest, image) in enumerate(block, start):
                digests.append(digest)
                if isinstance(image, str):
                    problems[index] = image
                images.append(np.zeros((ROWS, COLUMNS), np.uint8) if isinstance(image, str) else image)
            bar.show(len(images))
    finally:
        pool.shutdown(cancel_futures=True)
        bar.clear()
    good = {digest: images[index] for index, digest in enumerate(digests) if index not in problems}
    if good.keys() != kept.keys():
        _keep(cache, good)
    return CachedImages(images, digests, problems)


def _block(files: Sequence[Path], kept: dict[str, NDArray[np.uint8]]) -> list[tuple[str, NDArray[np.uint8] | str]]:
    """The digest of each file, and its image or what is wrong with it."""
    digests = [_digest(path) for path in files]
    unknown = [index for index, digest in enumerate(digests) if digest not in kept]
    read_now = dict(zip(unknown, preprocessing.read_digits([files[index] for index in unknown]), strict=True))
    found: list[tuple[str, NDArray[np.uint8] | str]] = []
    for index, digest in enumerate(digests):
        seen = read_now.get(index)
        if isinstance(seen, PictureError):
            found.append((digest, str(seen)))
        elif not digest:
            found.append((digest, f"{files[index]} could not be read at first; try again"))
        else:
            found.append((digest, kept[digest] if seen is None else seen.image))
    return found


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""  # reading it as a picture says why


def _kept(cache: Path) -> dict[str, NDArray[np.uint8]]:
    try:
        with np.load(io.BytesIO(cache.read_bytes()), allow_pickle=False) as stored:
            digests, images = stored["digests"], stored["images"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error):
        return {}
    if digests.dtype != np.uint8 or digests.shape[1:] != (_DIGEST_BYTES,):
        return {}
    if images.dtype != np.uint8 or images.shape != (len(digests), ROWS, COLUMNS):
        return {}
    return {digest.tobytes().hex(): image for digest, image in zip(digests, images, strict=True)}


def _keep(cache: Path, good: dict[str, NDArray[np.uint8]]) -> None:
    digests = np.frombuffer(bytes.fromhex("".join(good)), np.uint8).reshape(-1, _DIGEST_BYTES)
    content = io.BytesIO()
    np.savez_compressed(
        content, digests=digests, images=np.array(list(good.values()), np.uint8).reshape(-1, ROWS, COLUMNS)
    )
    with suppress(OSError):
        cache.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(cache, content.getvalue())
