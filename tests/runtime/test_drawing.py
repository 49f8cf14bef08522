"""The pen, its letters, and sheets of small pictures, with FreeType and without."""

import numpy as np
import pytest
from PIL import Image, ImageFont

from edge import drawing
from edge.errors import InputError


@pytest.fixture(params=["FreeType", "bitmap letters"])
def letters(request, monkeypatch):
    """Runs a test with Pillow's usual letters, and with a Pillow that was built without FreeType."""
    drawing.font.cache_clear()
    if request.param == "bitmap letters":

        def without(*_arguments, **_settings):
            raise ImportError("The _imagingft C module is not installed")

        with monkeypatch.context() as patch:
            patch.setattr(ImageFont, "core", None)  # in place of the module that is built with FreeType
            bitmap = ImageFont.load_default()
        assert type(bitmap) is ImageFont.ImageFont
        monkeypatch.setattr(ImageFont, "truetype", without)
        monkeypatch.setattr(ImageFont, "load_default", lambda size=None: bitmap if size is None else without())
    yield request.param
    drawing.font.cache_clear()


def ink_of(picture: Image.Image) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of what is not white."""
    rows, columns = np.nonzero(np.asarray(picture.convert("L")) < 200)
    return int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1


def written(words: str, anchor: drawing.Anchor, **settings) -> tuple[int, int, int, int]:
    pen = drawing.Pen(200, 150)
    pen.text(100, 50, words, anchor=anchor, **settings)
    return ink_of(pen.finished())


def test_letters_stand_where_their_anchor_says(letters):
    left, top, right, bottom = written("label", "lm", size=20)
    assert 99 <= left <= 103
    assert top < 50 < bottom
    assert abs((top + bottom) / 2 - 50) < 5
    assert 97 <= written("label", "rm", size=20)[2] <= 101
    middle = written("label", "mm", size=20)
    assert abs((middle[0] + middle[2]) / 2 - 100) <= 2
    assert right - left == pytest.approx(drawing.length("label", 20), rel=0.15)
    assert written("label", "la", size=20)[1] >= 50
    assert written("label", "mb", size=20)[3] <= 51


def test_letters_grow_with_their_size(letters):
    small, large = written("1234", "lm", size=12), written("1234", "lm", size=24)
    assert large[3] - large[1] == pytest.approx(2 * (small[3] - small[1]), abs=2)
    assert large[2] - large[0] == pytest.approx(2 * (small[2] - small[0]), abs=3)


def test_several_lines_stand_below_each_other(letters):
    one, three = written("label", "la", size=16), written("label\nlabel\nlabel", "la", size=16)
    assert three[3] - one[3] == pytest.approx(2 * drawing.line_height(16), abs=1)
    assert three[2] == one[2]


def test_signs_that_the_letters_do_not_have_are_no_error(letters):
    assert written("é 中 \N{GRINNING FACE}", "lm")[2] > 100


def test_words_are_cut_or_wrapped_to_a_width(letters):
    assert drawing.fitting("short", 200, 12) == "short"
    cut = drawing.fitting("a rather long name of a class", 60, 12)
    assert cut.endswith("...")
    assert drawing.length(cut, 12) <= 60
    wrapped = drawing.wrapped("a rather long sentence about what is seen", 80, 12).split("\n")
    assert len(wrapped) > 2
    assert all(drawing.length(line, 12) <= 80 for line in wrapped)
    assert " ".join(wrapped) == "a rather long sentence about what is seen"


def test_a_canvas_has_its_pixels_a_point_and_smooth_edges_only_when_it_is_drawn_finer():
    colours = {}
    for oversampling in (1, 2):
        pen = drawing.Pen(40, 30, pixels=3, oversampling=oversampling)
        pen.dot(20, 15, 8, drawing.INK)
        picture = pen.finished()
        assert picture.size == (120, 90)
        colours[oversampling] = len(picture.getcolors())
    assert colours[1] == 2 < colours[2]


def test_a_box_fills_its_points_and_a_frame_goes_around_them():
    pen = drawing.Pen(20, 20, oversampling=1)
    pen.box(5, 6, 10, 12, "#000000")
    assert ink_of(pen.finished()) == (5, 6, 10, 12)
    pen.frame(5, 6, 10, 12, drawing.RED, width=2)
    assert ink_of(pen.finished()) == (3, 4, 12, 14)


def test_a_sheet_shows_every_picture_with_its_caption(letters):
    images = np.zeros((5, 28, 28), np.uint8)
    images[:, 10:18, 10:18] = 255
    plain = drawing.contact_sheet(images, columns=3, scale=2)
    assert plain.size == (3 * (56 + drawing.GAP_PIXELS) + drawing.GAP_PIXELS, 2 * 62 + drawing.GAP_PIXELS)
    pixels = np.asarray(plain)
    for index in range(5):
        row, column = divmod(index, 3)
        top, left = drawing.GAP_PIXELS + 62 * row, drawing.GAP_PIXELS + 62 * column
        np.testing.assert_array_equal(
            pixels[top : top + 56, left : left + 56], 255 - np.repeat(np.repeat(images[0], 2, 0), 2, 1)
        )
    captioned = drawing.contact_sheet(images, ["7", "7 as 9\n0.93", "", "x", "y"], columns=3, scale=2)
    assert captioned.height == plain.height + 2 * 2 * drawing.line_height(drawing.CAPTION_PIXELS)
    assert np.count_nonzero(np.asarray(captioned) < 128) > np.count_nonzero(pixels < 128)


@pytest.mark.parametrize(
    ("images", "settings"),
    [
        (np.zeros((0, 28, 28), np.uint8), {}),
        (np.zeros((2, 28, 28), np.float32), {}),
        (np.zeros((28, 28), np.uint8), {}),
        (np.zeros((2, 28, 28), np.uint8), {"captions": ["one"]}),
        (np.zeros((2, 28, 28), np.uint8), {"columns": 0}),
        (np.zeros((2, 28, 28), np.uint8), {"scale": 0}),
    ],
)
def test_a_sheet_that_cannot_be_drawn_is_refused(images, settings):
    with pytest.raises(InputError):
        drawing.contact_sheet(images, **settings)


def test_pictures_of_different_widths_stand_below_each_other():
    whole = drawing.stacked([Image.new("RGB", (30, 10), "black"), Image.new("RGB", (20, 5), "black")])
    assert whole.size == (30, 15)
    assert whole.getpixel((25, 12)) == (255, 255, 255)
    assert whole.getpixel((19, 14)) == (0, 0, 0)
