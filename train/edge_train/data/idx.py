"""IDX files: the plain arrays that MNIST and its successors are published in, packed with gzip or not.

Two zero bytes, a byte for the type, a byte for the number of axes, each axis as a big-endian int32, then the values.
"""

import gzip
import hashlib
import math
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_train.data.mnist import DataError

# The types that data sets of pictures and labels use.
_TYPES: dict[int, np.dtype[Any]] = {0x08: np.dtype(np.uint8), 0x0C: np.dtype(">i4")}


def locate(folder: Path, name: str) -> Path | None:
    """The IDX file of that name in a folder: as it is, otherwise packed with gzip; `None` where neither is."""
    for path in (folder / name, folder / f"{name}.gz"):
        if path.is_file():
            return path
    return None


def read(path: Path, *, packed_md5: str | None = None) -> NDArray[Any]:
    """The array in an IDX file.

    Args:
        path: packed if it ends in `.gz`.
        packed_md5: of the packed file, if that is published; an unpacked one is held to its form alone.

    Returns:
        uint8 or int32 in the order of this machine, read-only, with the axes that the file names.

    Raises:
        DataError: another checksum, not an IDX file, cut off, or a type that no data set of pictures has.
    """
    content = path.read_bytes()
    if path.suffix == ".gz":
        if packed_md5 is not None and hashlib.md5(content, usedforsecurity=False).hexdigest() != packed_md5:
            raise _wrong(path, "wrong MD5")
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


def _wrong(path: Path, reason: str) -> DataError:
    return DataError(f"{path} is not the published file ({reason}); remove it and fetch it again")
