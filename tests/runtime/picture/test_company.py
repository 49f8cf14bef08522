"""What lies beside, around and over a digit does not become part of it."""

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from edge.picture import preprocessing
from edge.picture.ink.ruled_lines import remove_lines

SIZE = (420, 420)
PAPER, INK = 220, 40
FIVE = [(255, 120), (180, 120), (172, 195), (225, 190), (250, 225), (240, 275), (205, 292), (165, 280)]
ALIKE = 15  # grey levels, the mean difference of two images: moved by a pixel, no further stroke


def page(width=14, ink=INK):
    """A 5 on a sheet."""
    image = Image.new("L", SIZE, PAPER)
    ImageDraw.Draw(image).line(FIVE, fill=ink, width=width, joint="curve")
    return image


def blurred(image, radius=0.8):
    return np.asarray(image.filter(ImageFilter.GaussianBlur(radius)))


def difference(one, other):
    return np.abs(one.astype(int) - other.astype(int)).mean()


@pytest.fixture(scope="module")
def alone():
    image = preprocessing.read(blurred(page()))
    assert image.any()
    return image


@pytest.mark.parametrize("turns", range(4))
def test_the_end_of_a_neighbour_that_the_edge_cuts_off_is_left_out(turns, alone):
    image = page()
    ends = Image.new("L", SIZE, 255)
    ImageDraw.Draw(ends).line([(210, -5), (200, 60), (215, 95)], fill=INK, width=14)
    near = np.minimum(np.asarray(image), np.asarray(ends.rotate(90 * turns)))
    assert (how := difference(preprocessing.read(blurred(Image.fromarray(near))), alone)) < ALIKE, how


def test_a_word_above_the_digit_is_no_part_of_it(alone):
    image = page()
    font = ImageFont.load_default(size=26)
    ImageDraw.Draw(image).text((140, 45), "Question", fill=INK, font=font)
    assert (how := difference(preprocessing.read(blurred(image)), alone)) < ALIKE, how


def test_the_bar_of_a_five_may_float_above_it():
    image = Image.new("L", SIZE, PAPER)
    pen = ImageDraw.Draw(image)
    pen.line([(185, 100), (265, 94)], fill=INK, width=14)
    pen.line(FIVE[2:], fill=INK, width=14, joint="curve")
    ink = preprocessing.read(blurred(image)) > 96
    assert ink[:9].any(axis=0).sum() >= 6  # columns that the bar takes, in the upper third
    assert not ink.any(axis=1)[4:24].all()  # and the gap below it


@pytest.mark.parametrize("shadows", [[(150, 235, 260, 330)], [(120, 90, 200, 200)], [(60, 140, 360, 190)]])
def test_a_shadow_that_is_narrower_than_the_digit_is_left_out(shadows, alone):
    light = Image.new("L", SIZE, 255)
    for shadow in shadows:
        ImageDraw.Draw(light).rectangle(shadow, fill=150)
    shaded = np.asarray(page(), float) * blurred(light, 5) / 255
    assert (how := difference(preprocessing.read(blurred(Image.fromarray(shaded.astype(np.uint8)))), alone)) < ALIKE, (
        how
    )


@pytest.mark.parametrize(("width", "level"), [(22, 150), (30, 110)])
def test_the_shadows_of_fingers_twice_as_wide_as_a_broad_pen_are_left_out(width, level):
    light, written = Image.new("L", SIZE, 255), page(width=width)
    for top in (100, 190, 280):
        ImageDraw.Draw(light).rectangle((0, top, 300, top + 40), fill=level)
    shaded = np.asarray(written, float) * blurred(light, 3) / 255
    seen = preprocessing.read(blurred(Image.fromarray(shaded.astype(np.uint8))))
    assert (how := difference(seen, preprocessing.read(blurred(written)))) < ALIKE, how


@pytest.mark.parametrize("light_ink", [False, True])
@pytest.mark.parametrize("margin", [0, 3, 8])
def test_a_thick_digit_cut_out_closely_is_read_as_a_whole(margin, light_ink):
    """Not the hole of a 9, which looks as much like writing, nor the paper around it."""
    image = Image.new("L", (600, 620), PAPER)
    pen = ImageDraw.Draw(image)
    pen.line(
        [(350, 260), (250, 300), (190, 230), (250, 150), (350, 180), (340, 480)], fill=INK, width=110, joint="curve"
    )
    rows, columns = np.nonzero(np.asarray(image) == INK)
    seen = (blurred(image, 1.5) * np.linspace(1, 0.8, 600)).astype(np.uint8)
    whole = preprocessing.read(seen)
    cut = seen[rows.min() - margin : rows.max() + 1 + margin, columns.min() - margin : columns.max() + 1 + margin]
    assert difference(preprocessing.read(255 - cut if light_ink else cut), whole) < ALIKE


def test_a_stem_between_dark_edges_is_no_printed_line():
    """As where a page is photographed with the desk above and below it."""
    ink = np.zeros((300, 300), np.bool_)
    ink[:50] = ink[258:] = True
    ink[80:240, 148:154] = ink[80:86, 80:154] = True  # a 7
    assert remove_lines(ink, ink * np.uint8(120))[80:240, 148:154].all()


def test_printed_lines_are_taken_out_whatever_crosses_them():
    ink = np.zeros((300, 300), np.bool_)
    ink[60:240, 148:156] = True
    digit = ink.copy()
    ink[40:280:40] = ink[41:281:40] = True
    left = remove_lines(ink, ink * np.uint8(120))
    assert left[digit].all()
    assert np.count_nonzero(left & ~digit) < 0.1 * np.count_nonzero(ink & ~digit)
