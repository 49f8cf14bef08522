"""Files, bytes and streams of every kind become grey levels; whatever cannot is refused in one clear line."""

import io
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edge.errors import InputError, UnreadablePictureError
from edge.picture import decode


def saved(image: Image.Image, path: Path, **options) -> Path:
    image.save(path, **options)
    return path


def grey(image: Image.Image) -> np.ndarray:
    return np.asarray(image.convert("L"))


def close(found: np.ndarray, expected: np.ndarray, tolerance: int) -> bool:
    return found.shape == expected.shape and int(np.abs(found.astype(int) - expected.astype(int)).max()) <= tolerance


def fully_seen(error: Exception) -> str:
    message = str(error)
    assert "\n" not in message
    assert "; " in message, "what happened; what to do next"
    return message


# Formats and modes


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif", "gif"])
def test_lossless_formats_keep_every_level(tmp_path, seven, suffix):
    found = decode.read_grey(saved(seven, tmp_path / f"seven.{suffix}"))
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, grey(seven))


def test_webp_keeps_every_level_if_saved_so_and_jpeg_comes_close(tmp_path, seven):
    np.testing.assert_array_equal(decode.read_grey(saved(seven, tmp_path / "a.webp", lossless=True)), grey(seven))
    assert close(decode.read_grey(saved(seven, tmp_path / "a.jpg", quality=95)), grey(seven), 40)


@pytest.mark.parametrize(
    ("suffix", "modes"),
    [
        ("tif", ["1", "L", "P", "RGB", "CMYK", "LA", "RGBA"]),
        ("png", ["1", "L", "P", "RGB", "LA", "RGBA"]),
        ("webp", ["RGB", "RGBA"]),
        ("bmp", ["1", "L", "P", "RGB"]),
        ("jpg", ["L", "RGB", "CMYK"]),
    ],
)
def test_every_mode_gives_the_same_picture(tmp_path, seven, suffix, modes):
    for mode in modes:
        options = {"quality": 95} if suffix == "jpg" else {"lossless": True} if suffix == "webp" else {}
        path = saved(seven.convert("RGB").convert(mode), tmp_path / f"{mode}.{suffix}", **options)
        expected = np.where(grey(seven) < 128, 0, 255) if mode == "1" else grey(seven)
        assert close(decode.read_grey(path), expected, 40 if suffix == "jpg" else 2), mode


def test_the_first_frame_or_page_counts(tmp_path, seven):
    others = [Image.new("L", seven.size, 128)] * 2
    for suffix in ("gif", "tif", "png", "webp"):
        options = {"lossless": True} if suffix == "webp" else {}
        path = saved(seven, tmp_path / f"a.{suffix}", save_all=True, append_images=others, **options)
        np.testing.assert_array_equal(decode.read_grey(path), grey(seven))


def drawn_on_nothing(seven: Image.Image, level: int) -> Image.Image:
    """Ink of one level on a transparent ground whose hidden colour is the same."""
    return Image.merge("LA", [Image.new("L", seven.size, level), seven.point(lambda value: 255 - value)])


# Size


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_a_large_jpeg_is_decoded_at_a_fraction_of_its_size(tmp_path, seven, mode):
    large = seven.resize((900, 1200)).convert("RGB").convert(mode)
    path = saved(large, tmp_path / "a.jpg", quality=95)
    assert decode.read_grey(path).shape == (1200, 900)
    half = decode.read_grey(path, enough_pixels=400)
    assert half.shape == (600, 450)
    expected = np.asarray(large.convert("RGB").convert("L").resize((450, 600), Image.Resampling.BOX))
    assert float(np.abs(half.astype(int) - expected.astype(int)).mean()) < 2


def test_a_jpeg_stored_as_red_green_and_blue_has_the_same_luminance(tmp_path):
    image = Image.new("RGB", (64, 64), (250, 40, 10))
    found = decode.read_grey(saved(image, tmp_path / "a.jpg", keep_rgb=True, quality=95))
    assert close(found, grey(image), 3)


# Where from


def test_a_path_bytes_and_a_stream_give_the_same(tmp_path, seven):
    path = saved(seven, tmp_path / "a.png")
    content = path.read_bytes()
    with path.open("rb") as file:
        file.seek(3)
        from_file = decode.read_grey(file)
    for found in (
        decode.read_grey(str(path)),
        decode.read_grey(content),
        decode.read_grey(io.BytesIO(content)),
        from_file,
    ):
        np.testing.assert_array_equal(found, grey(seven))


def test_a_pipe_is_read_to_its_end(seven):
    content = io.BytesIO()
    seven.save(content, "PNG")
    outlet, inlet = os.pipe()
    with os.fdopen(outlet, "rb") as source:
        with os.fdopen(inlet, "wb") as sink:
            sink.write(content.getvalue())
        np.testing.assert_array_equal(decode.read_grey(source), grey(seven))


def test_an_endless_pipe_is_cut_off(monkeypatch):
    class Endless(io.RawIOBase):
        def readable(self):
            return True

        def read(self, size=-1):
            assert size >= 0, "an unbounded read would never end"
            return b"\0" * size

    monkeypatch.setattr(decode, "MOST_STREAM_BYTES", 1000)
    with pytest.raises(UnreadablePictureError, match="too large") as caught:
        decode.read_grey(Endless())
    fully_seen(caught.value)


def test_a_pillow_image_is_left_as_it_is(seven):
    image = drawn_on_nothing(seven, 255)
    before = image.tobytes()
    np.testing.assert_array_equal(decode.as_array(decode.luminance_of(image)), 255 - grey(seven))
    assert image.mode == "LA"
    assert image.tobytes() == before


def test_what_is_no_source_is_refused():
    for source in (3, None, ["a.png"]):
        with pytest.raises(InputError) as caught:
            decode.read_grey(source)
        fully_seen(caught.value)
