"""A file with more around its pixels than any real picture is refused before Pillow looks at it, part by part."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

import edge
from edge.picture import containers, decode

TOO_MUCH = "holds more beside its pixels than a picture has"


def saved(kind="PNG", **options):
    file = io.BytesIO()
    Image.fromarray(np.arange(900, dtype=np.uint8).reshape(30, 30)).save(file, kind, **options)
    return file.getvalue()


def png_with(*chunks, before=b"IDAT"):
    """A PNG with more chunks: kind, content, and the length that the chunk claims."""
    content = saved()
    at = content.index(before) - 4
    more = [
        struct.pack(">I", length) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data, length in chunks
    ]
    return content[:at] + b"".join(more) + content[at:]


def text(count):
    return [(b"tEXt", b"k\0v", 3)] * count


def jpeg_with(segments):
    content = saved("JPEG")
    return content[:2] + segments + content[2:]


def gif_with(blocks):
    content = saved("GIF")
    at = 13 + (3 << (content[10] & 7) + 1)
    return content[:at] + blocks + content[at:]


def tiff_with(*entries, first=8):
    """A grey TIFF of 30 x 30 pixels with more entries in its directory: tag, type, count, value."""
    known = [(256, 4, 1, 30), (257, 4, 1, 30), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1), (277, 3, 1, 1)]
    count = len(known) + len(entries) + 3
    known += [(278, 4, 1, 30), (273, 4, 1, 14 + 12 * count), (279, 4, 1, 900)]
    named = {entry[0]: entry for entry in [*known, *entries]}
    fields = b"".join(struct.pack("<HHII", *named[tag]) for tag in sorted(named))
    pad = b"".join(struct.pack("<HHII", 60_000, 1, 1, 0) for _ in range(count - len(named)))
    return b"II*\0" + struct.pack("<IH", first, count) + fields + pad + bytes(4) + bytes(range(225)) * 4


def big_tiff():
    entries = struct.pack("<HHQQ", 256, 4, 1, 30) + struct.pack("<HHQQ", 65_000, 7, 1 << 62, 100)
    return b"II+\0\x08\0\0\0" + struct.pack("<QQ", 16, 2) + entries + bytes(8)


@pytest.mark.parametrize(
    "content",
    [
        png_with(*text(600)),
        png_with((b"abCd", b"", 17_000_000)),
        png_with((b"eXIf", b"", 2**31 - 1)),
        png_with((b"IDAT", b"", 18_000_000), before=b"IEND"),
        png_with((b"acTL", struct.pack(">II", 2, 0), 8), (b"acTL", struct.pack(">II", 2, 0), 8), *text(600)),
        jpeg_with(b"\xff\xe1\0\x08Exif\0\0" * 600),
        jpeg_with(b"\xff\xfe\0\2" * 600),
        jpeg_with(b"\xff\xe2\xff\xff" + bytes(65_533)),
        gif_with(b"!\xfe\x01x\0" * 600),
        gif_with(b"!\xf9\x04\0\0\0\0\0" * 600),
        tiff_with(*((1000 + tag, 7, 1_000_000, 8) for tag in range(17))),
        tiff_with((273, 4, 25_000_000, 8), (279, 4, 25_000_000, 8)),
        tiff_with((330, 4, 300_000, 8)),
        big_tiff(),
    ],
    ids=[
        "text",
        "unknown",
        "exif",
        "pixels",
        "animation",
        "notes",
        "comments",
        "one",
        "gif",
        "control",
        "same",
        "strips",
        "directories",
        "big",
    ],
)
def test_more_than_a_picture_has_is_refused(content, request, monkeypatch):
    if "one" in request.node.callspec.id:
        monkeypatch.setattr(containers, "MOST_NOTE_BYTES", 60_000)
    with pytest.raises(edge.UnreadablePictureError, match=TOO_MUCH):
        decode.read_grey(content)


@pytest.mark.parametrize(
    "content",
    [
        png_with(*text(1), *[(b"IDAT", b"", 0)] * 1001),
        jpeg_with(b"\xff" * 1001),
        jpeg_with(b"\xff\xd0" * 1001),
        gif_with(b"!\xfe" + b"\1x" * 1001 + b"\0"),
    ],
)
def test_parts_without_number_are_refused(content, monkeypatch):
    decode.read_grey(content)
    monkeypatch.setattr(containers, "MOST_PARTS", 1000)
    with pytest.raises(edge.UnreadablePictureError, match=TOO_MUCH):
        decode.read_grey(content)


def test_a_webp_is_read_as_a_whole_and_may_not_be_too_large(monkeypatch):
    content = saved("WEBP", lossless=True)
    assert decode.read_grey(content).shape == (30, 30)
    monkeypatch.setattr(containers, "MOST_WEBP_BYTES", 10)
    monkeypatch.setattr(containers, "MOST_NOTE_BYTES", 10)
    with pytest.raises(edge.UnreadablePictureError, match=TOO_MUCH):
        decode.read_grey(content)


def test_of_an_animation_the_first_frame_is_read_however_many_follow():
    frames = [Image.new("L", (30, 30), level) for level in range(256)] * 2
    file = io.BytesIO()
    frames[0].save(file, "PNG", save_all=True, append_images=frames[1:])
    assert decode.read_grey(file.getvalue()).shape == (30, 30)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "TIFF", "WEBP", "BMP"])
def test_what_real_files_hold_is_no_reason(kind):
    exif = Image.Exif()
    exif[0x010E] = "somebody's camera" * 1000
    options = {"exif": exif} if kind not in ("GIF", "BMP") else {}
    if kind in ("PNG", "JPEG", "TIFF"):
        options["icc_profile"] = bytes(500_000)
    assert decode.read_grey(saved(kind, **options)).shape == (30, 30)


def exif_of(*entries):
    fields = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + fields + bytes(4) + bytes(1000)


def test_camera_notes_that_name_more_than_they_hold_do_not_turn_the_picture():
    upside_down = (0x0112, 3, 1, 3)
    turned = decode.read_grey(saved(exif=exif_of(upside_down)))
    as_it_is = decode.read_grey(saved())
    np.testing.assert_array_equal(turned, as_it_is[::-1, ::-1])
    bomb = exif_of(upside_down, *((1000 + tag, 7, 1000, 8) for tag in range(50)))
    np.testing.assert_array_equal(decode.read_grey(saved(exif=bomb)), as_it_is)


def test_a_directory_that_is_cut_off_is_told_as_damage():
    for content in (tiff_with(first=10_000), tiff_with()[:60], b"II+\0" + bytes(4)):
        with pytest.raises(edge.UnreadablePictureError, match=r"is not a picture that can be read|cut off"):
            decode.read_grey(content)


def test_what_pillow_logs_of_a_file_is_not_printed(capfd):
    with pytest.raises(edge.UnreadablePictureError):
        decode.read_grey(tiff_with((277, 3, 1, 65_535)))
    assert capfd.readouterr().err == ""
