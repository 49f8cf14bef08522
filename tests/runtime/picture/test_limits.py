"""A picture that costs more memory or time than any real one is refused by its header, before a pixel is decoded."""

import io
import struct
import time
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext

import numpy as np
import pytest
from PIL import Image, ImageDraw

import edge
from edge.picture import containers, decode, limits


def drawn():
    """A dark stroke on light paper."""
    image = Image.new("L", (90, 70), 240)
    ImageDraw.Draw(image).line((30, 10, 60, 60), fill=20, width=5)
    return image


def saved(image, kind="PNG", **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


class Claims(Image.Image):
    """An image that only claims a size."""

    def __init__(self, width, height):
        super().__init__()
        self._size = (width, height)


def png_claiming(width, height):
    """A valid PNG header of a grey picture of that size, and next to nothing behind it."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0" * 64)) + chunk(b"IEND", b"")


def bmp_claiming(width, height):
    information = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 54, 0, 0, 54) + information


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
    with pytest.raises(edge.UnreadablePictureError, match="100 megapixels"):
        decode.read_grey(content)


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
        with pytest.raises(edge.UnreadablePictureError, match="cut off"):
            decode.read_grey(png_claiming(10_000, 9_900))
    assert not told


def tiff_of_fractions(width, height):
    """A TIFF that claims pixels in floating point and holds none."""
    entries = [(256, 4, width), (257, 4, height), (258, 3, 32), (259, 3, 1), (262, 3, 1), (273, 4, 8), (277, 3, 1)]
    entries += [(278, 4, height), (279, 4, 4), (339, 3, 3)]
    fields = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in entries)
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + fields + bytes(4)


def test_pictures_whose_pixels_take_much_are_refused_by_what_they_take():
    for content, words in (
        (tiff_of_fractions(8000, 6000), "8000 x 6000 pixels of TIFF, F, take 288 MB of at most 230"),
        (
            saved(Image.new("RGBA", (4000, 4000)), "WEBP", lossless=True, method=0, quality=0),
            "4000 x 4000 pixels of WEBP, RGBA, take 272 MB",
        ),
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
    with pytest.raises(edge.UnreadablePictureError, match=r"passes over its picture 65 times"):
        decode.read_grey(plane_by_plane(100, fill))


def test_pictures_that_are_decoded_at_the_same_time_share_the_memory(monkeypatch):
    content = saved(Image.new("RGB", (900, 600), "white"), "PNG")  # 2.7 MB while it is decoded
    monkeypatch.setattr(limits, "memory", limits.DecodingMemory(3_000_000))
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

    assert shapes == [(600, 900)] * 8
    assert most == 1


def test_the_coefficients_of_a_progressive_jpeg_count_however_small_it_is_decoded(monkeypatch):
    taken = []
    memory = limits.DecodingMemory(limits.MOST_BYTES)
    monkeypatch.setattr(memory, "taken", lambda needed: taken.append(needed) or nullcontext())
    monkeypatch.setattr(limits, "memory", memory)
    file = io.BytesIO()
    Image.new("L", (2000, 2000), 255).save(file, "JPEG", progressive=True)
    assert decode.read_grey(file.getvalue()).shape == (1000, 1000)
    assert taken[0] > 2 * 2000 * 2000


def claiming(content, width, height):
    """A JPEG that claims another size."""
    start = next(content.index(marker) for marker in (b"\xff\xc0", b"\xff\xc2") if marker in content)
    return content[: start + 5] + struct.pack(">HH", height, width) + content[start + 9 :]


def test_a_large_jpeg_may_be_passed_over_less_often_than_a_small_one():
    assert decode.read_grey(with_scans(30)).shape == (70, 90)
    with pytest.raises(edge.UnreadablePictureError, match=r"21 times or more, .* \(at most 20 times\)"):
        decode.read_grey(claiming(with_scans(30), 10_000, 10_000))


def test_scans_are_counted_across_the_windows_that_a_file_is_read_in(monkeypatch):
    content = with_scans(60)
    for size in (5, 64, 301):
        monkeypatch.setattr(containers, "_WINDOW_BYTES", size)
        assert containers.scans(io.BytesIO(content), 1000) == content.count(b"\xff\xda")


def test_markers_without_number_count_as_a_scan_too_many():
    assert containers.scans(io.BytesIO(with_scans(0)[:-2] + b"\xff\xfe\0\2" * 100_001), 64) == 65


def test_a_picture_of_several_pictures_is_a_jpeg_too():
    file = io.BytesIO()
    drawn().save(file, "MPO", save_all=True, append_images=[drawn()])
    assert decode.read_grey(file.getvalue()).shape == (70, 90)
    two = file.getvalue()
    notes = two[2 : two.index(b"\xff\xdb")]
    scanned = plane_by_plane(100)
    with pytest.raises(edge.UnreadablePictureError, match=r"passes over its picture 65 times"):
        decode.read_grey(scanned[:2] + notes + scanned[2:])


def bmp_in_runs(width, height, runs):
    palette = bytes(level for grey in range(256) for level in (grey, grey, grey, 0))
    head = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 1, len(runs), 0, 0, 256, 0)
    return b"BM" + struct.pack("<IHHI", 0, 0, 0, 54 + len(palette)) + head + palette + runs


def test_a_bmp_in_runs_may_not_be_large():
    assert decode.read_grey(bmp_in_runs(2, 2, b"\2\7\0\0\2\x09\0\1")).tolist() == [[9, 9], [7, 7]]
    for content in (bmp_in_runs(3000, 2000, b"\0\1"), bmp_in_runs(2, 2, b"\0\0" * 2_500_001)):
        with pytest.raises(edge.UnreadablePictureError, match="BMP in runs, which takes too long"):
            decode.read_grey(content)


def test_a_tile_of_a_tiff_that_is_larger_than_the_picture_counts():
    entries = [(256, 4, 100), (257, 4, 100), (258, 3, 8), (259, 3, 8), (262, 3, 1), (277, 3, 1)]
    entries += [(322, 4, 50_000), (323, 4, 40_000), (324, 4, 8), (325, 4, 8)]
    fields = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in entries)
    with pytest.raises(edge.UnreadablePictureError, match="100 x 100 pixels of TIFF, L, take 2000 MB"):
        decode.read_grey(b"II*\0" + struct.pack("<IH", 8, len(entries)) + fields + bytes(4))


def test_a_jpeg_that_samples_a_plane_nowhere_is_damaged():
    content = bytearray(saved(Image.new("L", (16, 16), 255), "JPEG", progressive=True))
    frame = content.index(b"\xff\xc2")  # of which byte 11 holds the sampling factors of its first plane
    assert content[frame + 11] == 0x11
    content[frame + 11] = 0
    with pytest.raises(edge.UnreadablePictureError):
        decode.read_grey(bytes(content))
