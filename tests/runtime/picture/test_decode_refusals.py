"""What is no picture that can be read safely is refused in one line, before a pixel of it is decoded."""

import io
import os
import struct
import threading
import time
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import numpy as np
import pytest
from PIL import Image, ImageDraw

import edge
from edge.picture import decode, libtiff


def drawn():
    """A dark stroke on light paper."""
    image = Image.new("L", (90, 70), 240)
    ImageDraw.Draw(image).line((30, 10, 60, 60), fill=20, width=5)
    return image


def saved(image, kind="PNG"):
    file = io.BytesIO()
    image.save(file, kind)
    return file.getvalue()


class Pipe(io.BytesIO):
    """A stream that cannot be rewound."""

    def seekable(self):
        return False


class Claims(Image.Image):
    """An image that only claims a size."""

    def __init__(self, width, height):
        super().__init__()
        self._size = (width, height)


def chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png_claiming(width, height):
    """A valid PNG header of a grey picture of that size, and next to nothing behind it."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0" * 64)) + chunk(b"IEND", b"")


def bmp_claiming(width, height):
    information = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 54, 0, 0, 54) + information


def refusal(source, kind=edge.UnreadablePictureError):
    """The message that refuses a source: one line, what happened and what to do next."""
    with pytest.raises(edge.PictureError) as caught:
        decode.read_grey(source)
    assert type(caught.value) is kind
    message = str(caught.value)
    assert message.isprintable()
    happened, advice = message.split("; ", 1)
    assert happened
    assert advice
    return message, caught.value.__cause__


@pytest.mark.parametrize("name", ["missing.png", "missing/missing.png"])
def test_a_missing_file_is_told(tmp_path, name):
    path = tmp_path / name
    message, cause = refusal(path, edge.PictureNotFoundError)
    assert str(path) in message
    assert isinstance(cause, FileNotFoundError)
    with pytest.raises(FileNotFoundError):
        decode.read_grey(path)


def test_a_file_below_a_file_is_missing(tmp_path):
    (tmp_path / "file").touch()
    _, cause = refusal(tmp_path / "file" / "inner.png", edge.PictureNotFoundError)
    assert isinstance(cause, OSError)


def test_a_directory_is_told(tmp_path):
    message, _ = refusal(tmp_path)
    assert "directory" in message


@pytest.mark.parametrize("wrap", [bytes, io.BytesIO, Pipe])
def test_an_empty_source_is_told(wrap):
    message, cause = refusal(wrap(b""))
    assert "empty" in message
    assert cause is not None


def test_an_empty_file_is_told(tmp_path):
    path = tmp_path / "empty.png"
    path.touch()
    message, cause = refusal(path)
    assert "empty" in message
    assert str(path) in message
    assert cause is not None


@pytest.mark.parametrize(
    "content",
    [
        b"Buy milk.\n" * 100,
        b"\x89PNG\r\n\x1a\n",
        b"\xff\xd8\xff",
        b"GIF89a",
        b"BM",
        b"RIFF\0\0\0\0WEBP",
        b"II*\0",
        b"\0" * 99,
    ],
)
def test_what_calls_itself_a_picture_and_is_none_is_told(tmp_path, content):
    path = tmp_path / "notes.png"
    path.write_bytes(content)
    message, cause = refusal(path)
    assert str(path) in message
    assert cause is not None


@pytest.mark.parametrize("kind", ["PPM", "ICO", "TGA", "PCX", "PDF"])
def test_formats_that_nobody_needs_are_not_decoded(kind):
    message, cause = refusal(saved(drawn(), kind))
    assert all(known in message for known in decode.FORMATS)
    assert cause is not None


@pytest.mark.parametrize("share", [0.3, 0.5, 0.6, 0.9])
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "WEBP", "GIF", "TIFF"])
def test_a_picture_that_was_cut_off_anywhere_is_told(tmp_path, kind, share):
    grain = np.random.default_rng(1).integers(0, 256, (120, 160), dtype=np.uint8)
    content = saved(Image.fromarray(grain), kind)
    path = tmp_path / "part"
    path.write_bytes(content[: int(len(content) * share)])
    message, cause = refusal(path)
    assert str(path) in message
    assert cause is not None


@pytest.mark.parametrize(
    "content",
    [
        png_claiming(10_001, 10_000),
        png_claiming(20_000, 20_000),
        png_claiming(2**31 - 1, 2**31 - 1),
        bmp_claiming(11_000, 10_000),
        bmp_claiming(60_000, 60_000),
    ],
    ids=["png-100.01", "png-400", "png-most", "bmp-110", "bmp-3600"],
)
def test_a_picture_of_more_than_100_megapixels_is_refused_by_its_header(content, monkeypatch):
    def decoded(*_):
        pytest.fail("pixels were decoded")

    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", decoded)
    message, _ = refusal(content)
    assert "100 megapixels" in message


def test_an_opened_image_that_is_too_large_is_refused_before_it_is_decoded(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)  # somebody may have switched Pillow's own limit off
    with (
        Image.open(io.BytesIO(png_claiming(20_000, 20_000))) as image,
        pytest.raises(edge.UnreadablePictureError, match="20000 x 20000"),
    ):
        decode.luminance_of(image)


def test_a_claimed_size_of_a_pillow_image_is_refused_too():
    with pytest.raises(edge.UnreadablePictureError, match="100 megapixels"):
        decode.luminance_of(Claims(10_001, 10_000))


def test_large_but_allowed_sizes_raise_no_warning():
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        message, _ = refusal(png_claiming(10_000, 9_900))
    assert "cut off" in message
    assert not told


def test_a_file_that_may_not_be_read_is_told(tmp_path, monkeypatch):
    path = tmp_path / "secret.png"
    path.write_bytes(saved(drawn()))

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    for place in ("os.open", "pathlib.Path.open"):  # root may read every file
        monkeypatch.setattr(place, refuse)
    message, cause = refusal(path)
    assert "may not be read" in message
    assert str(path) in message
    assert isinstance(cause, PermissionError)


@pytest.mark.parametrize("exists", [False, True])
def test_a_name_with_a_line_break_still_gives_one_line(tmp_path, exists):
    path = tmp_path / "two\nlines.png"
    if exists:
        path.write_bytes(b"no picture")
    refusal(path, edge.UnreadablePictureError if exists else edge.PictureNotFoundError)


@pytest.mark.parametrize("name", ["zero\0byte.png", "a" * 5000, "loop"])
def test_a_path_that_no_system_can_open_is_told(tmp_path, name):
    path = tmp_path / name
    if name == "loop":
        path.symlink_to(path)
    refusal(path)


def test_doubts_of_pillow_do_not_leak_as_warnings(monkeypatch):
    image = drawn()
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", image.width * image.height - 1)
    content = saved(image)
    with pytest.warns(Image.DecompressionBombWarning):
        Image.open(io.BytesIO(content))
    assert np.array_equal(decode.read_grey(content), image)  # a warning would be an error here


def test_the_filters_of_warnings_are_as_before_after_many_threads(tmp_path):
    path = tmp_path / "a.png"
    drawn().convert("RGBA").save(path)
    before = list(warnings.filters)
    threads = [threading.Thread(target=lambda: [decode.read_grey(path) for _ in range(30)]) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert list(warnings.filters) == before


def at_a_time(monkeypatch, pixels):
    monkeypatch.setattr(decode, "_STRIP_PIXELS", pixels)


def modes():
    """The same noise in every mode that is converted, some of it transparent."""
    levels = np.random.default_rng(0).integers(0, 256, (60, 37, 4), np.uint8)
    colours = Image.fromarray(levels)
    palette = colours.convert("RGB").quantize(32)
    palette.info["transparency"] = bytes(range(0, 256, 8))
    return {
        "1": colours.convert("L").convert("1"),
        "L": colours.convert("L"),
        "LA": colours.convert("LA"),
        "P": palette,
        "RGB": colours.convert("RGB"),
        "RGBA": colours,
        "CMYK": colours.convert("RGB").convert("CMYK"),
        "LAB": Image.frombytes("LAB", (37, 60), levels[..., :3].tobytes()),
        "I;16": Image.fromarray(levels[..., 0].astype(np.uint16) * 16),
        "I": Image.fromarray(levels[..., 0].astype(np.int32) * 1000 - 7),
        "F": Image.fromarray(levels[..., 0] / np.float32(255)),
        "F with NaN": Image.fromarray(np.where(levels[..., 0] > 250, np.nan, levels[..., 0] * 3.5).astype(np.float32)),
    }


@pytest.mark.parametrize("mode", modes())
def test_a_picture_is_the_same_whether_it_is_converted_at_once_or_strip_by_strip(mode, monkeypatch):
    image = modes()[mode]
    whole = decode.luminance_of(image)
    for pixels in (1, 37 * 7, 37 * 59):
        at_a_time(monkeypatch, pixels)
        np.testing.assert_array_equal(decode.luminance_of(image), whole)


def tiff_of_fractions(width, height):
    """A TIFF that claims pixels in floating point and holds none."""
    entries = [(256, 4, width), (257, 4, height), (258, 3, 32), (259, 3, 1), (262, 3, 1), (273, 4, 8), (277, 3, 1)]
    entries += [(278, 4, height), (279, 4, 4), (339, 3, 3)]
    fields = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in entries)
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + fields + bytes(4)


def test_pictures_whose_pixels_take_much_are_refused_by_what_they_take():
    for content, words in (
        (tiff_of_fractions(8000, 6000), "8000 x 6000 pixels of TIFF, F, take 288 MB of at most 250"),
        (saved(Image.new("RGBA", (4000, 4000)), "WEBP"), "4000 x 4000 pixels of WEBP, RGBA, take 272 MB"),
    ):
        with pytest.raises(edge.UnreadablePictureError, match=words):
            decode.read_grey(content)


def test_a_picture_longer_than_any_jpeg_is_refused():
    for size in ((800_000, 1), (1, 800_000)):
        with pytest.raises(edge.UnreadablePictureError, match="no side may have more than 65535"):
            decode.read_grey(saved(Image.new("RGB", size)))


def with_scans(count):
    """A progressive JPEG whose last scan comes more often."""
    file = io.BytesIO()
    drawn().save(file, "JPEG", progressive=True)
    content = file.getvalue()
    last = content[content.rindex(b"\xff\xda") : -2]
    return content[:-2] + last * count + b"\xff\xd9"


def test_a_jpeg_of_many_scans_is_refused_and_one_of_some_is_read():
    with pytest.raises(edge.UnreadablePictureError, match=r"passes over its picture [0-9]+ times"):
        decode.read_grey(with_scans(60))
    assert decode.read_grey(with_scans(30)).shape == (70, 90)


def test_what_follows_the_end_of_a_jpeg_is_not_counted():
    film = b"\xff\xda\x00\x08" * 1000
    np.testing.assert_array_equal(decode.read_grey(with_scans(0) + film), decode.read_grey(with_scans(0)))


def plane_by_plane(times, fill=b""):
    """A JPEG that is not progressive, each plane in a scan of its own; the last one comes so often."""
    planes = []
    for image in (drawn().convert("L"), Image.new("L", drawn().size, 128)):
        file = io.BytesIO()
        image.save(file, "JPEG")
        planes.append(file.getvalue())
    start_of_frame, start_of_scan = (planes[0].index(marker) for marker in (b"\xff\xc0", b"\xff\xda"))
    tables = planes[0][planes[0].index(b"\xff\xdb") : start_of_frame]
    frame_size = int.from_bytes(planes[0][start_of_frame + 2 : start_of_frame + 4], "big")
    codes = planes[0][start_of_frame + 2 + frame_size : start_of_scan]
    size = planes[0][start_of_frame + 5 : start_of_frame + 9]
    frame = b"\xff\xc0\x00\x11\x08" + size + b"\x03" + b"".join(bytes([plane, 0x11, 0]) for plane in (1, 2, 3))
    data = [plane[plane.index(b"\xff\xda") + 10 : -2] for plane in planes]
    scans = [b"\xff\xda\x00\x08\x01" + bytes([plane, 0, 0, 63, 0]) + data[plane > 1] for plane in (1, 2, 3)]
    return b"\xff\xd8" + tables + frame + codes + fill + b"".join(scans) + scans[-1] * times + b"\xff\xd9"


@pytest.mark.parametrize("fill", [b"", b"\xff\xff"])
def test_scans_are_counted_in_a_jpeg_that_is_not_progressive_too(fill):
    np.testing.assert_allclose(
        decode.read_grey(plane_by_plane(0, fill)), np.asarray(drawn().convert("L")).astype(float), atol=40
    )
    with pytest.raises(edge.UnreadablePictureError, match=r"passes over its picture 103 times"):
        decode.read_grey(plane_by_plane(100, fill))


def fax(damaged):
    """A page in fax coding whose lines cannot all be read; libtiff fills them and reports success."""
    page = Image.new("1", (400, 400), 1)
    ImageDraw.Draw(page).line([(100, 100), (200, 300), (300, 80)], fill=0, width=20)
    file = io.BytesIO()
    page.save(file, "TIFF", compression="group4")
    content = bytearray(file.getvalue())
    if damaged:
        content[158:164] = b"\xff\x00\xaa\x55\x01\x80"
    return bytes(content)


def test_what_libtiff_only_mentions_is_an_error_in_one_line(capfd):
    assert decode.read_grey(fax(damaged=False)).shape == (400, 400)
    with pytest.raises(edge.UnreadablePictureError, match=r"cut off or damaged \(Fax4Decode: .*\); save or"):
        decode.read_grey(fax(damaged=True))
    assert capfd.readouterr().err == ""


def test_what_others_write_meanwhile_reaches_the_standard_error(capfd):
    with libtiff.heard() as errors:
        os.write(2, b"a line of another thread\nFax4Decode: Bad code word.\n")
        os.write(2, b"TIFFReadDirectory: Warning, an unknown field.\n")
    assert errors == ["Fax4Decode: Bad code word"]
    assert capfd.readouterr().err == "a line of another thread\n"


def test_more_than_a_pipe_holds_does_not_stop_the_decoder(capfd):
    with libtiff.heard() as errors:
        for _ in range(3000):
            with suppress(BlockingIOError):
                os.write(2, b"Fax3Decode1D: Bad code word at line 11 of strip 0.\n")
    assert len(errors) > 1000
    capfd.readouterr()


def test_pictures_that_are_decoded_at_the_same_time_share_the_memory(monkeypatch):
    content = saved(Image.new("RGB", (1500, 1000), "white"), "PNG")  # 7.5 MB while it is decoded
    monkeypatch.setattr(decode, "_memory", decode._Memory(8_000_000))
    under_way, most = 0, 0
    load = decode._load

    def counted(image):
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        time.sleep(0.02)
        load(image)
        under_way -= 1

    monkeypatch.setattr(decode, "_load", counted)
    with ThreadPoolExecutor(4) as pool:
        shapes = [grey.shape for grey in pool.map(decode.read_grey, [content] * 8)]

    assert shapes == [(1000, 1500)] * 8
    assert most == 1
