"""The inputs of benchmarks/hostile.py that are pictures and tables: they cost much, or lie about what they are.

Each is made here, byte by byte or with the tools that its format has; none is anybody's file.
"""

import io
import struct
import zlib
from collections.abc import Iterable
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

SEED = 14
FILL = 200  # of large pictures: pages of zeros would not be counted as memory


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:  # noqa: ANN401 - as Pillow takes them
    """The bytes of a picture file."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def digit() -> Image.Image:
    """A digit one, dark on light."""
    image = Image.new("L", (90, 70), 240)
    ImageDraw.Draw(image).line((45, 10, 45, 60), fill=20, width=5)
    return image


def blank(mode: str, width: int, height: int) -> Image.Image:
    """A picture of one tone, in which no byte is zero."""
    if mode == "F":
        return Image.new("F", (width, height), 0.7)
    if mode == "I;16":
        return Image.fromarray(np.full((height, width), FILL * 256, np.uint16))
    return Image.new(mode, (width, height), FILL if len(mode) == 1 else (FILL,) * len(mode))


def chunk(kind: bytes, content: bytes, length: int | None = None) -> bytes:
    """A chunk of a PNG, which may claim another length."""
    head = struct.pack(">I", len(content) if length is None else length)
    return head + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png_with(more: bytes, before: bytes = b"IDAT") -> bytes:
    """A small PNG with more in it."""
    content = saved(digit(), "PNG")
    at = content.index(before) - 4
    return content[:at] + more + content[at:]


def png_of(width: int, height: int, depth: int, colours: int, more: bytes = b"") -> bytes:
    """A large PNG of one tone; Pillow writes none of 16 bits a colour."""
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colours]
    packer = zlib.compressobj(9)
    row = b"\0" + bytes([FILL]) * (width * channels * depth // 8)
    packed = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colours, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + more + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


def palette_with_transparency(side: int) -> bytes:
    """A large PNG of palette colours, each with a transparency of its own."""
    return png_of(side, side, 8, 3, chunk(b"PLTE", bytes(range(256)) * 3) + chunk(b"tRNS", bytes(range(256))))


def noise(width: int, height: int, kind: str, **options: Any) -> bytes:  # noqa: ANN401 - as Pillow takes them
    """A picture that cannot be packed."""
    levels = np.random.default_rng(SEED).integers(0, 256, (height, width), np.uint8)
    return saved(Image.fromarray(levels), kind, **options)


def jpeg_with(segments: bytes) -> bytes:
    """A small JPEG with more segments."""
    content = saved(digit(), "JPEG")
    return content[:2] + segments + content[2:]


def scans(image: Image.Image, count: int) -> bytes:
    """A progressive JPEG that passes over its picture so often."""
    content = saved(image, "JPEG", progressive=True)
    last = content[content.rindex(b"\xff\xda") : -2]
    return content[:-2] + last * (count - content.count(b"\xff\xda")) + b"\xff\xd9"


def pale_colours(mode: str, width: int, height: int, kind: str, **options: Any) -> bytes:  # noqa: ANN401 - as above
    """Green on red of the same luminance, so that colours must be looked at."""
    opaque = (255,) if mode == "RGBA" else ()
    image = Image.new(mode, (width, height), (200, 0, 0, *opaque))
    image.paste((0, 101, 0, *opaque), (width // 3, height // 4, width // 2, height * 3 // 4))
    return saved(image, kind, **options)


def damaged_fax() -> bytes:
    """A page in fax coding with a line that cannot be read."""
    page = Image.new("1", (400, 400), 1)
    ImageDraw.Draw(page).line([(100, 100), (200, 300), (300, 80)], fill=0, width=20)
    content = bytearray(saved(page, "TIFF", compression="group4"))
    content[158:164] = b"\xff\x00\xaa\x55\x01\x80"
    return bytes(content)


def tiff(entries: Iterable[tuple[int, int, int, int]], data: bytes = b"") -> bytes:
    """A TIFF of a directory (tag, type, count, value) and what follows it."""
    rows = sorted(entries)
    return (
        b"II*\0"
        + struct.pack("<IH", 8, len(rows))
        + b"".join(struct.pack("<HHII", *row) for row in rows)
        + bytes(4)
        + data
    )


def tiff_directory(*more: tuple[int, int, int, int]) -> list[tuple[int, int, int, int]]:
    """The entries of a grey picture of 30 x 30 pixels, those that are given in their place."""
    known = [(256, 4, 1, 30), (257, 4, 1, 30), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1), (277, 3, 1, 1)]
    return [entry for entry in known if entry[0] not in {each[0] for each in more}] + list(more)


def tile_bomb() -> bytes:
    """A picture of 100 x 100 pixels in one tile of two thousand megapixels."""
    packer = zlib.compressobj(9)
    packed = b"".join(packer.compress(bytes(1 << 20)) for _ in range(1908)) + packer.flush()
    tile = [(256, 4, 1, 100), (257, 4, 1, 100), (259, 3, 1, 8), (322, 4, 1, 50_000), (323, 4, 1, 40_000)]
    place = 14 + 12 * 10
    return tiff(tiff_directory(*tile, (324, 4, 1, place), (325, 4, 1, len(packed))), packed)


def bmp_in_runs(width: int, height: int, runs: bytes) -> bytes:
    """A BMP whose pixels are runs."""
    head = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 1, len(runs), 0, 0, 256, 0)
    return b"BM" + struct.pack("<IHHI", 0, 0, 0, 1078) + head + bytes(1024) + runs


def webp_with_notes(size: int) -> bytes:
    """A small WebP with so many bytes of camera notes."""
    content = saved(digit(), "WEBP", exif=b"Exif\0\0II*\0\x08\0\0\0\0\0\0\0\0\0")
    content = content[: content.index(b"EXIF")] + b"EXIF" + struct.pack("<I", size) + bytes(size)
    return content[:4] + struct.pack("<I", len(content) - 8) + content[8:]


def gif_with(blocks: bytes) -> bytes:
    """A small GIF with more before its picture."""
    content = saved(digit(), "GIF")
    at = 13 + (3 << (content[10] & 7) + 1)
    return content[:at] + blocks + content[at:]


def deflated_zeros(size: int) -> bytes:
    """Zeros, packed."""
    packer = zlib.compressobj(9)
    return b"".join(packer.compress(bytes(1 << 20)) for _ in range(size >> 20)) + packer.flush()


def photograph() -> bytes:
    """A digit one on paper, of 12 megapixels."""
    paper = np.random.default_rng(SEED).normal(200, 8, (3000, 4000, 3)).clip(0, 255).astype(np.uint8)
    image = Image.fromarray(paper)
    ImageDraw.Draw(image).line((2000, 800, 2000, 2200), fill=(20, 20, 20), width=150)
    return saved(image, "JPEG", quality=80)


def table_of_zeros(size: int) -> bytes:
    """A Parquet file with one picture of so many zeros, which takes some kilobytes."""
    import pyarrow as pa
    from pyarrow import parquet

    file = io.BytesIO()
    table = pa.table({"bytes": [bytes(size)]})
    parquet.write_table(table, file, compression="zstd", use_dictionary=False, write_statistics=False)
    return file.getvalue()
