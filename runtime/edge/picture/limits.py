"""What a picture may cost: refused by its header, before a pixel of it is decoded.

A file of some hundred bytes can claim gigabytes, or a thousand walks over a large picture. So sizes, passes and the
memory that decoding would take are computed from what the header says, and threads share one limit of memory.
"""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO, Final

from PIL import Image

from edge.errors import UnreadablePictureError

# Checked in the header, before a pixel is decoded: a file of some kilobytes can claim gigabytes.
MOST_PIXELS: Final = 100_000_000
# A picture of a row of digits is long; one that is longer than any JPEG can be is no picture.
LONGEST_SIDE: Final = 65_535
# What a picture may take while it is decoded, by what its pixels take in the decoder and behind it at the same time.
# Threads that decode at the same time share it: who finds too little left waits. Later it is one byte a pixel.
MOST_BYTES: Final = 250_000_000  # below 300 MB with Python and all libraries
FEW_BYTES: Final = 2_000_000  # nothing is counted below
# Decoders of WebP hold a picture four times, as four bytes a pixel; a progressive JPEG is held as its coefficients.
_BYTES_OF_MODE: Final = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16B": 2, "I;16L": 2, "I;16N": 2}
_BYTES_OF_OTHERS: Final = 4
_WEBP_BYTES: Final = 16
_COEFFICIENT_BYTES: Final = 2
_GREY_BYTES: Final = 1  # once more where they may have to be turned upright
# Encoders write 10 scans, careful ones 20; each is a walk over the whole picture, however few bytes it takes.
MOST_SCANS: Final = 64

_MARKER: Final = re.compile(rb"\xff[^\x00\x01\xd0-\xd8\xff]")
_START_OF_IMAGE: Final = b"\xff\xd8"
_START_OF_SCAN: Final = b"\xff\xda"
_END_OF_IMAGE: Final = b"\xff\xd9"


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
        held_bytes: what the decoder holds beside its pixels, as `coefficient_bytes` gives it.

    Returns:
        Bytes.

    Raises:
        UnreadablePictureError: more than 250 MB.
    """
    held = _WEBP_BYTES if image.format == "WEBP" else _BYTES_OF_MODE.get(image.mode, _BYTES_OF_OTHERS)
    needed = image.width * image.height * (held + _GREY_BYTES * (1 + is_turned)) + held_bytes
    if needed > MOST_BYTES:
        raise UnreadablePictureError(
            f"{name} is too large: {image.width} x {image.height} pixels of {image.format}, {image.mode}, take "
            f"{needed // 1_000_000} MB of at most {MOST_BYTES // 1_000_000}; scale it down, or save it in grey as PNG"
        )
    return needed


def coefficient_bytes(image: Image.Image, stream: BinaryIO, name: str) -> int:
    """What the decoder of a JPEG of several scans holds, which are the coefficients of its planes.

    Args:
        image: an opened picture of any format, in its full size.
        stream: the file; it stays where it was.
        name: how error messages call the picture.

    Returns:
        Bytes; 0 for all that is decoded as it is read.

    Raises:
        UnreadablePictureError: more than 250 MB, or more than 64 scans.
    """
    if not (image.info.get("progressive") or (image.format == "JPEG" and _has_plane_scans(image, stream))):
        return 0
    layers = getattr(image, "layer", [])  # of each plane its number, and how often it is sampled across and down
    shares = [across * down for _, across, down, *_ in layers] or [1]
    planes = sum(shares) / max(shares)
    needed = int(image.width * image.height * _COEFFICIENT_BYTES * planes)
    if needed > MOST_BYTES:
        raise UnreadablePictureError(
            f"{name} is too large: {image.width} x {image.height} pixels of a JPEG in several scans take "
            f"{needed // 1_000_000} MB of at most {MOST_BYTES // 1_000_000}; scale it down, or save it as a plain JPEG"
        )
    if (scans := _scans(stream)) > MOST_SCANS:
        raise UnreadablePictureError(
            f"{name} passes over its picture {scans} times, which takes too long (at most {MOST_SCANS}); save it again"
        )
    return needed


def _has_plane_scans(image: Image.Image, stream: BinaryIO) -> bool:
    """Whether the first scan of a JPEG leaves planes to others: all are held then, and passed over, as if progressive.

    True where that cannot be seen at once: between segments there may be anything.
    """
    at, place = stream.tell(), len(_START_OF_IMAGE)
    try:
        while True:
            stream.seek(place)
            head = stream.read(5)
            if head[:2] == _START_OF_SCAN and len(head) == 5:
                return head[4] < len(getattr(image, "layer", []))
            if _MARKER.match(head) is None or len(head) < 5:
                return True
            place += 2 + int.from_bytes(head[2:4], "big")
    finally:
        stream.seek(at)


def _scans(stream: BinaryIO) -> int:
    """How many times a JPEG passes over its picture. The stream stays where it was."""
    at = stream.tell()
    stream.seek(0)
    content = stream.read()
    stream.seek(at)
    scans, place = 0, 2
    while (found := _MARKER.search(content, place)) is not None and found[0] != _END_OF_IMAGE:
        scans += found[0] == _START_OF_SCAN
        # a segment says how long it is; what follows that of a scan is its data, in which no marker can be
        place = found.end() + int.from_bytes(content[found.end() : found.end() + 2], "big")
    return scans
