"""What a picture may cost: refused by its header, before a pixel of it is decoded.

A file of some hundred bytes can claim gigabytes, or a thousand walks over a large picture. So sizes, passes and the
memory that decoding would take are computed from what the header says, and threads share one limit of memory.
"""

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, BinaryIO, Final

from PIL import Image

from edge.errors import UnreadablePictureError
from edge.picture import containers
from edge.picture.paths import stop_if_asked

# Checked in the header, before a pixel is decoded: a file of some kilobytes can claim gigabytes.
MOST_PIXELS: Final = 100_000_000
# A picture of a row of digits is long; one that is longer than any JPEG can be is no picture.
LONGEST_SIDE: Final = 65_535
# What a picture may take while it is decoded, by what its pixels take in the decoder and behind it at the same time.
# Threads that decode at the same time share it: who finds too little left waits. Later it is one byte a pixel.
MOST_BYTES: Final = 230_000_000  # below 300 MB with Python and all libraries
FEW_BYTES: Final = 2_000_000  # nothing is counted below
# Decoders of WebP hold a picture four times, as four bytes a pixel; a progressive JPEG is held as its coefficients.
# Planes of a picture with transparency are looked at one by one, beside it.
_BYTES_OF_MODE: Final = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16B": 2, "I;16L": 2, "I;16N": 2, "RGBA": 5}
_BYTES_OF_OTHERS: Final = 4
_WEBP_BYTES: Final = 16
_COEFFICIENT_BYTES: Final = 2
_GREY_BYTES: Final = 1  # once more where they may have to be turned upright
# Encoders write 10 scans, careful ones 20; each is a walk over the whole picture, however few bytes it takes: 60 ms for
# 100 megapixels.
MOST_SCANS: Final = 64
MOST_SCANNED_PIXELS: Final = 2_000_000_000
# Pillow unpacks the runs of a BMP in Python, byte by byte.
MOST_RUN_PIXELS: Final = 5_000_000
MOST_RUN_BYTES: Final = 5_000_000
_BMP_RUNS: Final = (1, 2)

# Tags of TIFF.
_BITS_PER_SAMPLE: Final = 258
_ROWS_PER_STRIP: Final = 278
_STRIP_BYTE_COUNTS: Final = 279
_TILE_WIDTH: Final = 322
_TILE_LENGTH: Final = 323
_TILE_BYTE_COUNTS: Final = 325


class DecodingMemory:
    """What the pictures that are decoded at the same time may take together.

    Args:
        most_bytes: for all of them.
    """

    def __init__(self, most_bytes: int) -> None:
        self._free = most_bytes
        self._changed = threading.Condition()
        self._turnstile = threading.Lock()  # a large picture is not overtaken for ever by small ones

    @contextmanager
    def taken(self, needed: int) -> Iterator[None]:
        """Waits until so much is left, and holds it."""
        if needed < FEW_BYTES:
            yield
            return
        with self._turnstile, self._changed:
            self._changed.wait_for(lambda: self._free >= needed)
            self._free -= needed
        try:
            stop_if_asked()  # waiting may have taken long
            yield
        finally:
            with self._changed:
                self._free += needed
                self._changed.notify_all()


memory = DecodingMemory(MOST_BYTES)
"""What all threads of this process share."""


def too_large(name: str, size: str = "") -> str:
    """Words for a picture of more than 100 megapixels; `size` ends with a comma."""
    return f"{name} is too large ({size}more than {MOST_PIXELS // 1_000_000} megapixels); scale it down or crop it"


def refuse_size(image: Image.Image, name: str) -> None:
    """Refuses a picture by its sides.

    Args:
        image: an opened picture; its header is enough.
        name: how error messages call the picture.

    Raises:
        UnreadablePictureError: more than 100 megapixels, a side of more than 65,535 pixels, or no pixels.
    """
    if image.width * image.height > MOST_PIXELS:
        raise UnreadablePictureError(too_large(name, f"{image.width} x {image.height} pixels, "))
    if max(image.size) > LONGEST_SIDE:
        raise UnreadablePictureError(
            f"{name} has {image.width} x {image.height} pixels, and no side may have more than {LONGEST_SIDE}; crop it"
        )
    if image.width * image.height == 0:
        raise UnreadablePictureError(f"{name} has no pixels; save it again")


def needed_memory(image: Image.Image, name: str, *, is_turned: bool, held_bytes: int) -> int:
    """What decoding takes, by what a pixel of its kind takes.

    Args:
        image: an opened picture, in the size that it will be decoded to.
        name: how error messages call the picture.
        is_turned: whether its grey levels may have to be turned upright.
        held_bytes: what the decoder holds beside its pixels, as `held_beside` gives it.

    Returns:
        Bytes.

    Raises:
        UnreadablePictureError: more than 230 MB.
    """
    held = _WEBP_BYTES if image.format == "WEBP" else _BYTES_OF_MODE.get(image.mode, _BYTES_OF_OTHERS)
    needed = image.width * image.height * (held + _GREY_BYTES * (1 + is_turned)) + held_bytes
    _refuse_memory(needed, f"of {image.format}, {image.mode}, take", image, name)
    return needed


def held_beside(image: Image.Image, stream: BinaryIO, name: str) -> int:
    """What a decoder holds beside the pixels, by its format; refuses what would take it too long.

    The decoder of a JPEG in several scans holds the coefficients of its planes, that of a WebP the file, twice, that of
    a TIFF a strip or a tile.

    Args:
        image: an opened picture of any format, in its full size.
        stream: the file; it stays where it was.
        name: how error messages call the picture.

    Returns:
        Bytes; 0 for all that is decoded as it is read.

    Raises:
        UnreadablePictureError: more than 230 MB, too many scans, or too many pixels in runs of a BMP.
    """
    if image.format in ("JPEG", "MPO"):
        return _coefficient_bytes(image, stream, name)
    if image.format == "WEBP":
        return 2 * _size_of(stream)
    if image.format == "TIFF":
        return _strip_bytes(image, stream)
    if image.format == "BMP" and image.info.get("compression") in _BMP_RUNS:
        pixels = image.width * image.height
        if pixels > MOST_RUN_PIXELS or _size_of(stream) > MOST_RUN_BYTES:
            raise UnreadablePictureError(
                f"{name} is a BMP in runs, which takes too long (at most {MOST_RUN_PIXELS // 1_000_000} megapixels); "
                "save it as PNG"
            )
        return 3 * pixels
    return 0


def _coefficient_bytes(image: Image.Image, stream: BinaryIO, name: str) -> int:
    layers = getattr(image, "layer", [])  # of each plane its number, and how often it is sampled across and down
    if not image.info.get("progressive") and not containers.has_plane_scans(stream, len(layers)):
        return 0
    shares = [max(across * down, 1) for _, across, down, *_ in layers] or [1]  # 0 where damaged: the decoder says so
    pixels = image.width * image.height
    needed = int(pixels * _COEFFICIENT_BYTES * sum(shares) / max(shares))
    _refuse_memory(needed, "of a JPEG in several scans take", image, name)
    most = min(MOST_SCANS, MOST_SCANNED_PIXELS // pixels)
    if (scans := containers.scans(stream, most)) > most:
        raise UnreadablePictureError(
            f"{name} passes over its picture {scans} times or more, which takes too long (at most {most} times); "
            "save it again"
        )
    return needed


def _strip_bytes(image: Image.Image, stream: BinaryIO) -> int:
    """What libtiff holds of the picture: a strip or a tile as it is in the file, and unpacked."""
    if any(tile[0] == "raw" for tile in getattr(image, "tile", [])):
        return 0
    tags: Any = getattr(image, "tag_v2", {})
    bits: int = sum(tags.get(_BITS_PER_SAMPLE, (8,)))
    rows: int = min(tags.get(_ROWS_PER_STRIP, image.height), image.height)
    across: int = tags.get(_TILE_WIDTH, image.width)
    down: int = tags.get(_TILE_LENGTH, rows)
    sizes: Sequence[int] = tags.get(_STRIP_BYTE_COUNTS) or tags.get(_TILE_BYTE_COUNTS) or (0,)
    return across * down * bits // 8 + min(max(sizes), _size_of(stream))


def _refuse_memory(needed: int, words: str, image: Image.Image, name: str) -> None:
    if needed > MOST_BYTES:
        raise UnreadablePictureError(
            f"{name} is too large: {image.width} x {image.height} pixels {words} {needed // 1_000_000} MB of at most "
            f"{MOST_BYTES // 1_000_000}; scale it down, or save it in grey as PNG"
        )


def _size_of(stream: BinaryIO) -> int:
    at = stream.tell()
    size = stream.seek(0, os.SEEK_END)
    stream.seek(at)
    return size
