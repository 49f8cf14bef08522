"""The plainest PNG, read without Pillow's file classes: what most datasets of digits are made of.

8-bit grey, not interlaced, nothing in the file but its header, its pixels and its end. Pillow's own decoder still makes
the pixels, so they are Pillow's bit for bit; what is saved is the Python around it, which takes most of the time of a
small picture, above all where many are decoded in one call. Whatever is not exactly such a file, in any bit, is left to
the general way, which also words the errors.

Source: "Portable Network Graphics (PNG) Specification", third edition: chunks (5), filters (9), compression (10).
"""

import struct
import zlib
from collections.abc import Sequence
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Size: TypeAlias = tuple[int, int]

# Signature and header chunk up to the two sizes; after them 8 bits, grey, deflate, adaptive filters, no interlace.
_START: Final = b"\x89PNG\r\n\x1a\n" + struct.pack(">I4s", 13, b"IHDR")
_KIND: Final = bytes((8, 0, 0, 0, 0))
_header = struct.Struct(">II5sI")
_HEADER_BYTES: Final = len(_START) + _header.size
_CHECKED_FROM: Final = 12
_END: Final = struct.pack(">I4sI", 0, b"IEND", zlib.crc32(b"IEND"))

_chunk = struct.Struct(">I4s")
_number = struct.Struct(">I")
_LAST_FILTER: Final = 4

# From here on the decoding itself takes the time, and the general way needs less memory.
MOST_BYTES: Final = 1 << 16
MOST_PIXELS: Final = 1 << 18


def rows(data: bytes) -> tuple[Size, bytes] | None:
    """The rows of a picture as the file filters them, if it is of the plainest kind and whole.

    Args:
        data: the bytes of a file.

    Returns:
        Height and width, and for each row its filter and its bytes; None for all that the general way should look at.
    """
    if not (data.startswith(_START) and data.endswith(_END) and _HEADER_BYTES < len(data) <= MOST_BYTES):
        return None
    width, height, kind, checksum = _header.unpack_from(data, len(_START))
    plain = kind == _KIND and 0 < width * height <= MOST_PIXELS
    if (
        not plain
        or zlib.crc32(data[_CHECKED_FROM : _HEADER_BYTES - 4]) != checksum
        or (stream := _stream(data)) is None
    ):
        return None
    inflater = zlib.decompressobj()
    try:
        filtered = inflater.decompress(stream, (width + 1) * height)
        more = inflater.unused_data or inflater.decompress(
            inflater.unconsumed_tail, 1
        )  # reaches the checksum at the end
    except zlib.error:
        return None
    whole = len(filtered) == (width + 1) * height and inflater.eof and not more
    return ((height, width), filtered) if whole and max(filtered[:: width + 1]) <= _LAST_FILTER else None


def decode(size: Size, pictures: Sequence[bytes]) -> NDArray[np.uint8]:
    """The pixels of pictures of one size.

    They are stacked to a single tall one. Filters look at the row above, which is zero above a picture: so an empty row
    goes before each.

    Args:
        size: height and width, in pixels.
        pictures: at least one, as `rows` gives it.

    Returns:
        uint8 (N, height, width), 0 black to 255 white; read-only.
    """
    height, width = size
    empty = bytes(width + 1)
    tall = b"".join([part for picture in pictures for part in (empty, picture)])
    image = Image.frombytes("L", (width, (height + 1) * len(pictures)), zlib.compress(tall, 0), "zip", ("L", 0))
    return np.frombuffer(image.tobytes(), np.uint8).reshape(len(pictures), height + 1, width)[:, 1:]


def _stream(data: bytes) -> bytes | None:
    """The compressed rows, or None unless nothing but whole pixel chunks lies between header and end."""
    view = memoryview(data)
    at, end, parts = _HEADER_BYTES, len(data) - len(_END), []
    while at + 12 <= end:
        size, kind = _chunk.unpack_from(data, at)
        checked = view[at + 4 : at + 8 + size]
        at += 12 + size
        if kind != b"IDAT" or at > end or zlib.crc32(checked) != _number.unpack_from(data, at - 4)[0]:
            return None
        parts.append(checked[4:])
    return b"".join(parts) if at == end else None
