"""What lies around the pixels of a picture file: walked through before Pillow reads it.

Readers of headers keep whatever stands before the pixels, camera notes, colour profiles and comments, and look at each
part in Python. So a file of ten megabytes may hold a million parts, or one part half a gigabyte: it takes minutes, or
all memory, before anybody knows how large the picture is. Real files have a few dozen parts and some hundred kilobytes.
Whatever is malformed is left to Pillow, which words it.

A PNG that has nothing around its pixels, 8-bit grey and not interlaced, is what most datasets of digits are made of.
It is read without Pillow's file classes. Pillow's own decoder still makes the pixels, so they are Pillow's bit for bit;
what is saved is the Python around it, which takes most of the time of a small picture, above all where many are decoded
in one call. Whatever is not exactly such a file, in any bit, is left to the general way, which also words the errors.

Source: "Portable Network Graphics (PNG) Specification", third edition: chunks (5), filters (9), compression (10); ITU-T
T.81, annex B; "GIF89a"; TIFF 6.0, section 2; BigTIFF as libtiff reads it; "WebP Container Specification".
"""

import os
import re
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edge.errors import UnreadablePictureError

MOST_NOTES: Final = 512  # a colour profile of JPEG comes in up to 255 parts; joining parts takes their number squared
MOST_NOTE_BYTES: Final = 16_000_000  # a depth map of a telephone has some
MOST_PARTS: Final = 100_000  # pixels come in parts of 8 KB or more
MOST_VALUES: Final = 200_000  # of a directory of TIFF: two for each row of the longest picture
MOST_WEBP_BYTES: Final = 64_000_000  # is read as a whole; 12 megapixels without compression have 50

_PNG: Final = b"\x89PNG\r\n\x1a\n"
_JPEG: Final = b"\xff\xd8\xff"
_GIF: Final = (b"GIF87a", b"GIF89a")
_TIFF: Final = {b"II*\0": "<", b"MM\0*": ">"}
_BIG_TIFF: Final = {b"II+\0": "<", b"MM\0+": ">"}
_EXIF: Final = b"Exif\0\0"

_PNG_CHANNELS: Final = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_START_OF_SCAN: Final = 0xDA
_END_OF_IMAGE: Final = 0xD9
_MARKER: Final = re.compile(rb"\xff[^\x00\x01\xd0-\xd8\xff]")
_WINDOW_BYTES: Final = 1 << 20
# Markers of JPEG without a length behind them, as Pillow reads them.
_BARE: Final = frozenset({0xC8, *range(0xD0, 0xDA), *range(0xF0, 0xFE)})

_BYTES_OF_TYPE: Final = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8}
_PLAIN_TYPES: Final = frozenset({1, 2, 6, 7})  # kept as bytes, not taken apart to numbers


@dataclass(slots=True)
class _Counted:
    """What was found so far.

    Attributes:
        parts: of all kinds.
        notes: those of them that are no pixels.
        note_bytes: in them.
    """

    parts: int = 0
    notes: int = 0
    note_bytes: int = 0

    @property
    def is_too_much(self) -> bool:
        return self.parts > MOST_PARTS or self.notes > MOST_NOTES or self.note_bytes > MOST_NOTE_BYTES


def refuse_parts(stream: BinaryIO, name: str) -> None:
    """Refuses a file with more around its pixels than any real one.

    Args:
        stream: of a picture file, which can be rewound; it is left at its beginning.
        name: how error messages call the picture.

    Raises:
        UnreadablePictureError: too many parts, or too many bytes in them.
        OSError: it cannot be read.
    """
    stream.seek(0)
    head = stream.read(16)
    counted = _Counted()
    try:
        for size, is_pixels in _parts(head, stream):
            counted.parts += 1
            if not is_pixels:
                counted.notes += 1
                counted.note_bytes += size
            if counted.is_too_much:
                raise UnreadablePictureError(
                    f"{name} holds more beside its pixels than a picture has (at most {MOST_NOTES} notes, "
                    f"{MOST_NOTE_BYTES // 1_000_000} MB, {MOST_PARTS} parts); save it again without that"
                )
    except (struct.error, IndexError):
        pass  # cut off
    finally:
        stream.seek(0)


def is_heavy(exif: bytes) -> bool:
    """Whether the directory of camera notes names more bytes than any real one: entries may all name the same."""
    content = exif.removeprefix(_EXIF)
    try:
        return _directory_bytes(content, _TIFF[content[:4]]) > len(content)
    except (KeyError, struct.error):
        return False


def has_plane_scans(stream: BinaryIO, planes: int) -> bool:
    """Whether the first scan of a JPEG leaves planes to others: all are held then, and passed over, as if progressive.

    True where that cannot be seen at once: between segments there may be anything.

    Args:
        stream: of the file; it stays where it was.
        planes: how many there are.
    """
    at, place = stream.tell(), 2
    try:
        while True:
            stream.seek(place)
            head = stream.read(5)
            if len(head) < 5 or _MARKER.match(head) is None:
                return True
            if head[1] == _START_OF_SCAN:
                return head[4] < planes
            place += 2 + int.from_bytes(head[2:4], "big")
    finally:
        stream.seek(at)


def scans(stream: BinaryIO, most: int) -> int:
    """How many times a JPEG passes over its picture, counted until there are more than may be.

    Args:
        stream: of the file; it stays where it was.
        most: scans that may be; more than `MOST_PARTS` markers of any kind count as more.
    """
    begun, start, place, found, markers = stream.tell(), 2, 0, 0, 0
    stream.seek(start)
    window = stream.read(_WINDOW_BYTES)
    while found <= most:
        marker = _MARKER.search(window, place)
        if marker is None or marker.end() + 2 > len(window):
            # goes on behind the window, which may end within a marker
            start += marker.start() if marker else max(place, len(window) - 1)
            stream.seek(start)
            following = stream.read(_WINDOW_BYTES)
            if len(following) <= (len(window) - marker.start() if marker else 1):
                break
            window, place = following, 0
            continue
        kind = window[marker.start() + 1]
        markers += 1
        found = most + 1 if markers > MOST_PARTS else found + (kind == _START_OF_SCAN)
        if kind == _END_OF_IMAGE:
            break
        # a segment says how long it is; what follows that of a scan is its data, in which no marker can be
        place = marker.end() + int.from_bytes(window[marker.end() : marker.end() + 2], "big")
    stream.seek(begun)
    return found


def _parts(head: bytes, stream: BinaryIO) -> Iterator[tuple[int, bool]]:
    """The parts of a file that Pillow looks at: how many bytes each has, and whether they are pixels."""
    if head.startswith(_PNG):
        yield from _png(stream)
    elif head.startswith(_JPEG):
        yield from _jpeg(stream)
    elif head.startswith(_GIF):
        yield from _gif(stream)
    elif head[:4] in _TIFF or head[:4] in _BIG_TIFF:
        yield from _tiff(head, stream)
    elif head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        yield max(0, stream.seek(0, os.SEEK_END) - MOST_WEBP_BYTES), False


def _png(stream: BinaryIO) -> Iterator[tuple[int, bool]]:
    """All chunks, or those before the second frame; of pixels, what is more than the picture has is none."""
    place, left, frames, announced, has_pixels = len(_PNG), 0, 1, 0, False
    while True:
        stream.seek(place)
        size, kind = struct.unpack(">I4s", stream.read(8))
        if kind == b"IHDR":
            width, height, depth, colours = struct.unpack(">IIBB", stream.read(10))
            row_bytes = (width * depth * _PNG_CHANNELS.get(colours, 4) + 7) // 8 + 1
            left = int(height * row_bytes * 1.01) + 1_000_000  # what packs nothing adds a thousandth
        elif kind == b"acTL":
            announced += 1
            (frames,) = struct.unpack(">I", stream.read(4))
        elif kind == b"IDAT":
            has_pixels = True
            left -= size
        if kind == b"IEND" or (kind == b"fcTL" and has_pixels and announced == 1 and 1 < frames < 1 << 31):
            return
        yield size, kind == b"IDAT" and left >= 0
        place += 12 + size


def _jpeg(stream: BinaryIO) -> Iterator[tuple[int, bool]]:
    place = len(_JPEG) - 1
    while True:
        stream.seek(place)
        head = stream.read(4)
        if head[0] != 0xFF or head[1] in {0x00, 0xFF}:  # between segments there may be anything
            yield 1, True
            place += 1
        elif head[1] in _BARE:
            yield 2, True
            place += 2
        elif head[1] == _START_OF_SCAN:
            return
        else:
            (size,) = struct.unpack(">H", head[2:4])
            yield size, False
            place += 2 + size


def _gif(stream: BinaryIO) -> Iterator[tuple[int, bool]]:
    """What stands before the first frame: extensions, each of blocks."""
    stream.seek(10)
    flags = stream.read(3)[0]
    stream.seek(13 + (3 << (flags & 7) + 1 if flags & 0x80 else 0))
    while (kind := stream.read(1)) and kind not in b",;":
        yield 1, kind != b"!"
        if kind == b"!":
            stream.read(1)
            while (block := stream.read(1)) and block[0]:
                stream.seek(block[0], os.SEEK_CUR)
                yield block[0], True  # a picture may have a long comment


def _tiff(head: bytes, stream: BinaryIO) -> Iterator[tuple[int, bool]]:
    """The entries of the first directory."""
    is_big = head[:4] in _BIG_TIFF
    order = (_BIG_TIFF if is_big else _TIFF)[head[:4]]
    first, counter, entry = ("Q", "Q", "HHQ8x") if is_big else ("I", "H", "HHI4x")
    (place,) = struct.unpack(order + first, head[8:16] if is_big else head[4:8])
    end = stream.seek(0, os.SEEK_END)
    if place >= end:
        return
    stream.seek(place)
    (count,) = struct.unpack(order + counter, stream.read(struct.calcsize(order + counter)))
    form = struct.Struct(order + entry)
    values = 0
    for _ in range(count):
        _, kind, held = form.unpack(stream.read(form.size))
        unit = _BYTES_OF_TYPE.get(kind, 0)
        if kind not in _PLAIN_TYPES:
            values += held * (unit > 0)
        # too many values are too many bytes: they would be taken apart to numbers, one by one
        yield held * unit if values <= MOST_VALUES else MOST_NOTE_BYTES + 1, False


def _directory_bytes(content: bytes, order: str) -> int:
    (place,) = struct.unpack_from(order + "I", content, 4)
    (count,) = struct.unpack_from(order + "H", content, place)
    entries = struct.iter_unpack(order + "2xHI4x", content[place + 2 : place + 2 + 12 * count])
    return sum(_BYTES_OF_TYPE.get(kind, 0) * held for kind, held in entries)


Size: TypeAlias = tuple[int, int]

# Signature and header chunk up to the two sizes; after them 8 bits, grey, deflate, adaptive filters, no interlace.
_START: Final = _PNG + struct.pack(">I4s", 13, b"IHDR")
_KIND: Final = bytes((8, 0, 0, 0, 0))
_header = struct.Struct(">II5sI")
_HEADER_BYTES: Final = len(_START) + _header.size
_CHECKED_FROM: Final = 12
_END: Final = struct.pack(">I4sI", 0, b"IEND", zlib.crc32(b"IEND"))

_chunk = struct.Struct(">I4s")
_number = struct.Struct(">I")
_LAST_FILTER: Final = 4

# From here on the decoding itself takes the time, and the general way needs less memory.
MOST_PLAIN_BYTES: Final = 1 << 16
MOST_PLAIN_PIXELS: Final = 1 << 18


def plain_rows(data: bytes) -> tuple[Size, bytes] | None:
    """The rows of a picture as the file filters them, if it is of the plainest kind and whole.

    Args:
        data: the bytes of a file.

    Returns:
        Height and width, and for each row its filter and its bytes; None for all that the general way should look at.
    """
    if not (data.startswith(_START) and data.endswith(_END) and _HEADER_BYTES < len(data) <= MOST_PLAIN_BYTES):
        return None
    width, height, kind, checksum = _header.unpack_from(data, len(_START))
    plain = kind == _KIND and 0 < width * height <= MOST_PLAIN_PIXELS
    if (
        not plain
        or zlib.crc32(data[_CHECKED_FROM : _HEADER_BYTES - 4]) != checksum
        or (stream := _stream(data)) is None
    ):
        return None
    inflater = zlib.decompressobj()
    try:
        filtered = inflater.decompress(stream, (width + 1) * height)
        # a byte more than all reaches the checksum at the end
        more = inflater.unused_data or inflater.decompress(inflater.unconsumed_tail, 1)
    except zlib.error:
        return None
    whole = len(filtered) == (width + 1) * height and inflater.eof and not more
    return ((height, width), filtered) if whole and max(filtered[:: width + 1]) <= _LAST_FILTER else None


def decode_plain(size: Size, pictures: Sequence[bytes]) -> NDArray[np.uint8]:
    """The pixels of pictures of one size.

    They are stacked to a single tall one. Filters look at the row above, which is zero above a picture: so an empty row
    goes before each.

    Args:
        size: height and width, in pixels.
        pictures: at least one, as `plain_rows` gives it.

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
