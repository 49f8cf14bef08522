"""A picture has the same luminance in every mode; transparent parts and turned cameras are seen through."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edge.picture import decode, luminance


def saved(image: Image.Image, path: Path, **options) -> Path:
    image.save(path, **options)
    return path


def grey(image: Image.Image) -> np.ndarray:
    return np.asarray(image.convert("L"))


def close(found: np.ndarray, expected: np.ndarray, tolerance: int) -> bool:
    return found.shape == expected.shape and int(np.abs(found.astype(int) - expected.astype(int)).max()) <= tolerance


def test_colours_become_luminance(tmp_path):
    image = Image.new("RGB", (4, 1))
    for column, colour in enumerate([(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)]):
        image.putpixel((column, 0), colour)
    assert decode.read_grey(saved(image, tmp_path / "a.png")).tolist() == [[76, 150, 29, 255]]


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_sixteen_bits_are_scaled_not_cut(tmp_path, seven, suffix):
    levels = np.asarray(seven).astype(np.uint16) * 257
    levels[0, 0], levels[0, 1] = 257 * 100 + 128, 257 * 100 + 129
    found = decode.read_grey(saved(Image.fromarray(levels), tmp_path / f"a.{suffix}"))
    assert found[0, :2].tolist() == [100, 101]
    np.testing.assert_array_equal(found[1:], grey(seven)[1:])


@pytest.mark.parametrize(
    ("white", "dtype"), [(4095, np.uint16), (255, np.uint16), (1.0, np.float32), (65535, np.int32)]
)
def test_white_is_the_smallest_full_scale_that_holds_all_levels(tmp_path, white, dtype):
    levels = np.array([[0, white, white / 2]]).astype(dtype)
    found = decode.read_grey(saved(Image.fromarray(levels), tmp_path / "a.tif"))
    assert found[0, :2].tolist() == [0, 255]
    assert abs(int(found[0, 2]) - 127.5) <= 1


def test_levels_beyond_every_scale_are_spread_and_missing_ones_are_black(tmp_path):
    levels = np.array([[-10.0, 0.0, 90000.0, np.nan]], np.float32)
    assert decode.read_grey(saved(Image.fromarray(levels), tmp_path / "a.tif")).tolist() == [[0, 0, 255, 0]]


def drawn_on_nothing(seven: Image.Image, level: int) -> Image.Image:
    """Ink of one level on a transparent ground whose hidden colour is the same."""
    return Image.merge("LA", [Image.new("L", seven.size, level), seven.point(lambda value: 255 - value)])


def test_dark_ink_on_nothing_stands_on_white(tmp_path, seven):
    path = saved(drawn_on_nothing(seven, 0).convert("RGBA"), tmp_path / "a.png")
    np.testing.assert_array_equal(decode.read_grey(path), grey(seven))


def test_light_ink_on_nothing_stands_on_black(tmp_path, seven):
    path = saved(drawn_on_nothing(seven, 255), tmp_path / "a.png")
    np.testing.assert_array_equal(decode.read_grey(path), 255 - grey(seven))


def test_the_hidden_colour_of_transparent_points_does_not_count(tmp_path, seven):
    hidden = Image.merge("RGBA", [*[Image.new("L", seven.size, 0)] * 3, seven.point(lambda value: 255 - value)])
    np.testing.assert_array_equal(decode.read_grey(saved(hidden, tmp_path / "a.webp", lossless=True)), grey(seven))


def test_a_sheet_with_transparent_corners_goes_on_as_paper(tmp_path, seven):
    sheet = seven.convert("RGBA")
    for corner in ((0, 0), (59, 0), (0, 79), (59, 79)):
        sheet.putpixel(corner, (0, 0, 0, 0))
    wide = sheet.resize((300, 400), Image.Resampling.NEAREST)
    assert (decode.read_grey(saved(wide, tmp_path / "a.png"))[:4, :4] == 255).all()


@pytest.mark.parametrize("ink", [0, 255])
def test_a_transparent_palette_colour_leaves_the_ink_visible(tmp_path, seven, ink):
    indexed = seven.point(lambda value: 1 if value < 128 else 0).convert("L")
    palette = Image.frombytes("P", seven.size, indexed.tobytes())
    palette.putpalette([128, 128, 128, ink, ink, ink])
    found = decode.read_grey(saved(palette, tmp_path / "a.png", transparency=0))
    assert set(np.unique(found).tolist()) == {0, 255}
    np.testing.assert_array_equal(found == ink, np.asarray(seven) < 128)


def test_palette_with_many_alphas_and_colour_keys_are_read_without_a_warning(tmp_path, seven):
    palette = seven.convert("P")
    path = saved(palette, tmp_path / "a.png", transparency=bytes(range(256)))
    assert decode.read_grey(path).shape == (80, 60)
    key = saved(seven.convert("RGB"), tmp_path / "b.png", transparency=(255, 255, 255))
    np.testing.assert_array_equal(decode.read_grey(key), grey(seven))


def test_nothing_but_transparency_is_blank_and_opaque_pictures_stay_as_they_are(tmp_path, seven):
    assert (decode.read_grey(saved(Image.new("RGBA", (9, 9), (0, 0, 0, 0)), tmp_path / "a.png")) == 255).all()
    np.testing.assert_array_equal(decode.read_grey(saved(seven.convert("RGBA"), tmp_path / "b.png")), grey(seven))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp"])
def test_pictures_stand_upright_however_the_camera_was_held(tmp_path, seven, orientation, suffix):
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    held = seven if orientation == 1 else seven.transpose(undo[orientation])
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"jpg": {"quality": 95}, "webp": {"lossless": True}}.get(suffix, {})
    path = saved(held.convert("RGB"), tmp_path / f"a.{suffix}", exif=exif, **options)
    assert close(decode.read_grey(path), grey(seven), 40)


def test_a_damaged_camera_note_does_not_matter(tmp_path, seven):
    path = saved(seven, tmp_path / "a.jpg", exif=b"Exif\x00\x00II*\x00\xff\xff\xff\xff garbage", quality=95)
    assert close(decode.read_grey(path), grey(seven), 40)


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
        monkeypatch.setattr(luminance, "_STRIP_PIXELS", pixels)
        np.testing.assert_array_equal(decode.luminance_of(image), whole)
