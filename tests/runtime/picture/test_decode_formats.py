"""Whatever way a picture was stored, the same grey levels come out; what cannot be read is told in one line."""

import io
import os

import numpy as np
import pytest
from PIL import Image, ImageDraw

from edge.picture import decode, preprocessing

LOSSLESS = ("PNG", "BMP", "GIF", "TIFF", "WEBP")


def drawn(*, ink=20, paper=240, size=(90, 70)):
    """An F, which looks different after each turn, as a grey picture."""
    image = Image.new("L", size, paper)
    draw = ImageDraw.Draw(image)
    width, height = size
    draw.line((0.4 * width, 0.15 * height, 0.4 * width, 0.85 * height), fill=ink, width=5)
    draw.line((0.4 * width, 0.15 * height, 0.7 * width, 0.15 * height), fill=ink, width=5)
    draw.line((0.4 * width, 0.45 * height, 0.6 * width, 0.45 * height), fill=ink, width=5)
    return image


def saved(image, kind="PNG", **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def difference(one, other):
    """The largest difference of two grey pictures, levels."""
    one, other = np.asarray(one), np.asarray(other)
    assert one.shape == other.shape
    return int(np.abs(one.astype(int) - other.astype(int)).max())


class Pipe(io.RawIOBase):
    """A stream that cannot be rewound."""

    def __init__(self, content):
        self.content = io.BytesIO(content)

    def readable(self):
        return True

    def readinto(self, buffer):
        return self.content.readinto(buffer)


# formats


@pytest.mark.parametrize("kind", LOSSLESS)
def test_lossless_formats_keep_every_level(kind):
    options = {"lossless": True} if kind == "WEBP" else {}
    assert difference(decode.read_grey(saved(drawn(), kind, **options)), drawn()) == 0


@pytest.mark.parametrize("kind", ["JPEG", "WEBP"])
def test_lossy_formats_stay_near(kind):
    assert difference(decode.read_grey(saved(drawn(), kind, quality=95)), drawn()) < 16


def test_the_contents_decide_and_not_the_name_of_the_file(tmp_path):
    path = tmp_path / "picture.txt"
    path.write_bytes(saved(drawn(), "BMP"))
    assert difference(decode.read_grey(path), drawn()) == 0


@pytest.mark.parametrize("kind", ["GIF", "TIFF", "WEBP", "PNG"])
def test_the_first_of_several_frames_counts(kind):
    options = {"lossless": True} if kind == "WEBP" else {}
    later = [drawn(ink=240, paper=20), drawn().transpose(Image.Transpose.ROTATE_180)]
    content = saved(drawn(), kind, save_all=True, append_images=later, **options)
    assert difference(decode.read_grey(content), drawn()) == 0


def test_a_large_jpeg_is_decoded_smaller_but_not_too_small():
    grey = decode.read_grey(saved(drawn(size=(3000, 2000)), "JPEG"))
    assert decode.ENOUGH_PIXELS <= min(grey.shape) < 2000
    assert max(grey.shape) / min(grey.shape) == pytest.approx(1.5, abs=0.01)


# modes


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "P"])
@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_every_mode_of_the_same_picture_reads_the_same(kind, mode):
    assert difference(decode.read_grey(saved(drawn().convert(mode), kind)), drawn()) == 0


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF"])
def test_a_bitonal_picture_becomes_black_and_white(kind):
    bitonal = drawn().point(lambda level: 255 * (level > 128)).convert("1")
    grey = decode.read_grey(saved(bitonal, kind))
    assert np.array_equal(grey, np.asarray(bitonal) * np.uint8(255))


def test_colours_become_their_luminance():
    colours = np.zeros((1, 3, 3), np.uint8)
    colours[0, 0, 0] = colours[0, 1, 1] = colours[0, 2, 2] = 255
    red, green, blue = decode.read_grey(saved(Image.fromarray(colours)))[0].tolist()
    assert blue < red < green


def test_a_cmyk_jpeg_keeps_dark_ink_dark():
    assert difference(decode.read_grey(saved(drawn().convert("RGB").convert("CMYK"), "JPEG", quality=95)), drawn()) < 16


@pytest.mark.parametrize("white", [255, 4095, 65535])
@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_16_bits_are_scaled_by_the_white_that_their_sensor_has(kind, white):
    levels = np.round(np.asarray(drawn(paper=255)) / 255 * white).astype(np.uint16)
    assert difference(decode.read_grey(saved(Image.fromarray(levels), kind)), drawn(paper=255)) <= 1


@pytest.mark.parametrize("white", [255, 65535])
def test_32_bit_integers_are_scaled(white):
    levels = np.round(np.asarray(drawn(paper=255)) / 255 * white).astype(np.int32)
    assert difference(decode.read_grey(saved(Image.fromarray(levels), "TIFF")), drawn(paper=255)) <= 1


@pytest.mark.parametrize("white", [1, 255, 65535])
def test_floating_point_is_scaled(white):
    levels = (np.asarray(drawn(paper=255)) / np.float32(255) * np.float32(white)).astype(np.float32)
    assert difference(decode.read_grey(saved(Image.fromarray(levels), "TIFF")), drawn(paper=255)) <= 1


def test_floating_point_below_zero_or_not_a_number_keeps_the_ink():
    levels = np.asarray(drawn()).astype(np.float32) - 100
    levels[0, 0] = np.nan
    grey = decode.read_grey(saved(Image.fromarray(levels), "TIFF"))
    ink = np.asarray(drawn()) < 128
    assert grey[ink].max() < grey[~ink].min()


# transparency


def ink_on_nothing(level):
    """Ink of one level; where there is none, the picture is transparent and its hidden colour is the ink's."""
    alpha = 255 - np.asarray(drawn(ink=0, paper=255))
    return Image.fromarray(np.dstack([np.full_like(alpha, level)] * 3 + [alpha]))


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize(("level", "ground"), [(0, 255), (40, 255), (255, 0), (220, 0)])
def test_ink_on_a_transparent_ground_stays_visible(kind, level, ground):
    options = {"lossless": True} if kind == "WEBP" else {}
    grey = decode.read_grey(saved(ink_on_nothing(level), kind, **options))
    assert difference(grey, drawn(ink=level, paper=ground)) == 0


@pytest.mark.parametrize("level", [0, 255])
def test_grey_with_alpha_reads_as_colours_with_alpha(level):
    image = ink_on_nothing(level)
    assert difference(decode.read_grey(saved(image.convert("LA"))), decode.read_grey(saved(image))) == 0


@pytest.mark.parametrize("kind", ["PNG", "GIF"])
@pytest.mark.parametrize(("level", "ground"), [(10, 255), (250, 0)])
def test_a_transparent_palette_entry_is_ground(kind, level, ground):
    indices = (np.asarray(drawn()) < 128).astype(np.uint8)
    image = Image.fromarray(indices)
    image.putpalette([level] * 6)  # the hidden colour of the ground is the ink's own
    grey = decode.read_grey(saved(image, kind, transparency=0))
    assert difference(grey, drawn(ink=level, paper=ground)) == 0


def test_a_wholly_transparent_picture_is_blank():
    grey = decode.read_grey(saved(Image.new("RGBA", (40, 30))))
    assert len(np.unique(grey)) == 1


# orientation

UNTURNED = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


@pytest.mark.parametrize("orientation", UNTURNED)
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_a_camera_held_sideways_gives_an_upright_picture(kind, orientation):
    turn = UNTURNED[orientation]
    as_stored = drawn() if turn is None else drawn().transpose(turn)
    note = Image.Exif()
    note[0x0112] = orientation
    grey = decode.read_grey(saved(as_stored, kind, exif=note, quality=95))
    assert difference(grey, drawn()) < 16


@pytest.mark.parametrize("note", [b"Exif\0\0nonsense", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0"])
def test_a_damaged_camera_note_does_not_cost_the_picture(note):
    assert difference(decode.read_grey(saved(drawn(), "JPEG", exif=note, quality=95)), drawn()) < 16


# sources


def test_path_text_bytes_stream_pipe_and_image_give_the_same(tmp_path):
    content = saved(drawn())
    path = tmp_path / "f.png"
    path.write_bytes(content)
    sources = [path, str(path), content, bytearray(content), memoryview(content), io.BytesIO(content), Pipe(content)]
    for source in sources:
        assert difference(decode.read_grey(source), drawn()) == 0
    with path.open("rb") as file:
        assert difference(decode.read_grey(file), drawn()) == 0
        assert not file.closed
    assert difference(decode.as_array(decode.luminance_of(Image.open(io.BytesIO(content)))), drawn()) == 0
    with Image.open(path) as opened:
        expected = preprocessing.read(opened)
    for source in (path, content, Pipe(content), np.asarray(drawn())):
        assert np.array_equal(preprocessing.read(source), expected)


def test_a_pipe_of_the_system_is_read_to_its_end():
    reading, writing = os.pipe()
    content = saved(drawn())
    with os.fdopen(writing, "wb") as end:
        end.write(content)
    with os.fdopen(reading, "rb") as pipe:
        assert difference(decode.read_grey(pipe), drawn()) == 0


class Dripping(Pipe):
    """A stream that hands over 100 bytes at a time, as unbuffered pipes and sockets may."""

    def readinto(self, buffer):
        return self.content.readinto(memoryview(buffer)[:100])


def test_an_unbuffered_pipe_that_drips_is_read_to_its_end():
    assert difference(decode.read_grey(Dripping(saved(drawn(), "BMP"))), drawn()) == 0


def test_an_opened_image_is_left_as_it_was():
    image = ink_on_nothing(30)
    before = image.tobytes()
    decode.luminance_of(image)
    assert image.mode == "RGBA"
    assert image.tobytes() == before


def test_the_grey_levels_cannot_be_written_to_by_accident():
    assert not decode.read_grey(saved(drawn())).flags.writeable
