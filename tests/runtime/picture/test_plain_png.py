"""The short way for plain PNG files gives Pillow's pixels, and leaves everything else alone."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from edge.picture import containers, decode


def saved(image, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", **options)
    return buffer.getvalue()


def pixels(data: bytes):
    """What the short way makes of a file, or None."""
    plain = containers.plain_rows(data)
    return None if plain is None else containers.decode_plain(plain[0], [plain[1]])[0]


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


@pytest.fixture
def plain(images) -> bytes:
    return saved(Image.fromarray(images[3]))


@pytest.mark.parametrize("shape", [(28, 28), (1, 1), (3, 200), (97, 5)])
@pytest.mark.parametrize("smooth", [False, True])
def test_the_pixels_are_pillow_s(shape, smooth):
    wanted = np.random.default_rng(3).integers(0, 256, shape, dtype=np.uint8)
    if smooth:  # other filters of the format
        wanted = wanted // 8 + np.linspace(0, 200, shape[1]).astype(np.uint8)
    data = saved(Image.fromarray(wanted))
    np.testing.assert_array_equal(np.asarray(pixels(data)), wanted)
    np.testing.assert_array_equal(decode.read_grey(data), wanted)


def test_pixels_in_several_chunks_are_joined(plain, images):
    start, content = plain[:33], plain[41:-16]
    data = start + chunk(b"IDAT", content[:50]) + chunk(b"IDAT", content[50:]) + plain[-12:]
    np.testing.assert_array_equal(np.asarray(pixels(data)), images[3])


def test_a_file_and_its_bytes_give_the_same(plain, images, tmp_path):
    (tmp_path / "a.png").write_bytes(plain)
    np.testing.assert_array_equal(decode.read_grey(tmp_path / "a.png"), images[3])
    np.testing.assert_array_equal(decode.read_grey(str(tmp_path / "a.png")), images[3])


def test_a_changed_bit_anywhere_leaves_the_file_to_the_general_way(plain):
    for at in range(len(plain)):
        changed = bytearray(plain)
        changed[at] ^= 1 << (at % 8)
        assert pixels(bytes(changed)) is None


def test_a_file_cut_anywhere_or_with_more_behind_is_left_alone(plain):
    assert all(pixels(plain[:length]) is None for length in range(len(plain)))
    assert pixels(plain + b"\0") is None


def with_note() -> PngImagePlugin.PngInfo:
    note = PngImagePlugin.PngInfo()
    note.add_text("Comment", "a note")
    return note


@pytest.mark.parametrize(
    "data",
    [
        saved(Image.new("RGB", (28, 28))),
        saved(Image.new("1", (28, 28))),
        saved(Image.new("P", (28, 28))),
        saved(Image.new("LA", (28, 28))),
        saved(Image.new("I;16", (28, 28))),
        saved(Image.new("L", (28, 28)), transparency=3),
        saved(Image.new("L", (28, 28)), pnginfo=with_note()),
        saved(Image.new("L", (1000, 1000))),
        b"",
        b"GIF89a",
    ],
    ids=["colours", "1 bit", "palette", "alpha", "16 bits", "transparency", "a note", "large", "nothing", "a GIF"],
)
def test_every_other_kind_is_left_alone(data):
    assert pixels(data) is None


@pytest.mark.parametrize("count", [0, 1, 29 * 27, 29 * 27 + 5, 29 * 28, 29 * 29])
def test_too_few_or_too_many_pixels_are_taken_as_pillow_takes_them(plain, count):
    rows = (b"\0" + bytes(range(28))) * 29
    data = plain[:33] + chunk(b"IDAT", zlib.compress(rows[:count])) + plain[-12:]
    short = pixels(data)
    try:
        usual = np.asarray(Image.open(io.BytesIO(data)))
    except (OSError, SyntaxError):
        assert short is None
    else:
        assert short is None or np.array_equal(np.asarray(short), usual)


def test_a_compressed_stream_that_ends_early_is_left_alone(plain):
    content = plain[41:-16]
    for length in range(len(content) - 5):
        assert pixels(plain[:33] + chunk(b"IDAT", content[:length]) + plain[-12:]) is None
