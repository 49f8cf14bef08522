"""`edge read` on pages where more than even digits is written: nothing is dropped, and nothing is read that is none."""

import json

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from edge.classifier.page import annotate, read_page

SIZE = 84  # pixels of the 28x28 image on the page: digits are some 60 high
INK, PAPER = 30, 240
MODEL = "cnn"


def sheet(width=620, height=200):
    return Image.new("L", (width, height), PAPER)


def put(page, image, left, foot, *, size=SIZE, stretch=1.0):
    """A digit whose ink stands on `foot` and begins at `left`."""
    rows, columns = np.flatnonzero(image.max(axis=1) > 90), np.flatnonzero(image.max(axis=0) > 90)
    tight = Image.fromarray(image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])
    scale = size / 28
    mask = tight.resize((round(tight.width * scale * stretch), round(tight.height * scale)), Image.Resampling.BICUBIC)
    page.paste(Image.new("L", mask.size, INK), (left, foot - mask.height), mask)
    return left + mask.width


def letters(page, left, foot):
    """A star and an arrow: no digits, and written with the same pen."""
    pencil = ImageDraw.Draw(page)
    for ends in ((0, 0, 50, -60), (0, -60, 50, 0), (25, 4, 25, -64), (-4, -30, 54, -30)):
        pencil.line([left + ends[0], foot + ends[1], left + ends[2], foot + ends[3]], fill=INK, width=6)
    for ends in ((80, -30, 150, -30), (150, -30, 120, -60), (150, -30, 120, 0), (80, -60, 80, 0)):
        pencil.line([left + ends[0], foot + ends[1], left + ends[2], foot + ends[3]], fill=INK, width=6)


def number(page, digits, text, left, foot, *, step=70):
    for place, label in enumerate(text):
        put(page, digits[label], left + step * place, foot)


def texts(page, classifier):
    return [line.text for line in read_page(page, classifier).lines]


def test_a_small_zero_among_larger_digits_is_read(digits, classifier):
    page = sheet()
    number(page, digits, "91", 40, 130)
    put(page, digits["0"], 172, 128, size=38)
    put(page, digits["7"], 230, 130)
    assert texts(page, classifier) == ["9107"]


def test_points_and_dashes_are_no_small_digits(digits, classifier):
    page = sheet()
    pencil = ImageDraw.Draw(page)
    number(page, digits, "35", 40, 130, step=95)
    pencil.line((96, 100, 120, 100), fill=INK, width=6)
    pencil.ellipse((192, 122, 202, 132), fill=INK)
    number(page, digits, "26", 225, 130)
    read = read_page(page, classifier)
    assert read.text == "3526"
    assert read.unread == ()


@pytest.mark.parametrize("height", [16, 26])
def test_a_short_straight_stroke_between_digits_is_no_small_one(digits, classifier, height):
    page = sheet()
    number(page, digits, "35", 40, 130, step=95)
    ImageDraw.Draw(page).line((220, 134 - height, 216, 134), fill=INK, width=6)
    number(page, digits, "26", 235, 130)
    assert texts(page, classifier) == ["3526"]


def test_a_dash_and_a_point_close_to_a_digit_are_no_part_of_it(digits, classifier):
    page = sheet()
    end = put(page, digits["3"], 40, 130)
    pencil = ImageDraw.Draw(page)
    pencil.line((end + 5, 102, end + 25, 102), fill=INK, width=6)
    stop = put(page, digits["8"], end + 60, 130)
    pencil.ellipse((stop + 4, 120, stop + 14, 130), fill=INK)
    read = read_page(page, classifier)
    assert (read.text, read.unread) == ("38", ())
    assert [digit.box[2] for digit in read.lines[0].digits] == pytest.approx([end, stop], abs=3)


def test_digits_stand_higher_and_lower_on_one_line(digits, classifier):
    page = sheet()
    for place, (label, size, foot) in enumerate((("4", 84, 120), ("2", 60, 140), ("5", 84, 150), ("3", 90, 115))):
        put(page, digits[label], 40 + 85 * place, foot, size=size)
    assert texts(page, classifier) == ["4253"]


def test_a_wide_digit_is_one_digit(digits, classifier):
    page = sheet()
    number(page, digits, "3", 40, 130)
    put(page, digits["0"], 120, 130, stretch=1.6)
    number(page, digits, "8", 270, 130)
    assert texts(page, classifier) == ["308"]


def test_a_letter_like_a_digit_belongs_to_its_word(digits, classifier):
    page = sheet(width=700)
    letters(page, 40, 130)
    put(page, digits["0"], 210, 130)
    number(page, digits, "314", 360, 130)
    read = read_page(page, classifier)
    assert read.text == "314"
    ((left, _, right, _),) = read.unread
    assert left < 40
    assert 250 < right < 300


def test_a_short_number_is_read_though_most_of_its_line_is_letters(digits, classifier):
    page = sheet(width=900)
    letters(page, 40, 130)
    letters(page, 240, 130)
    number(page, digits, "31", 560, 130)
    read = read_page(page, classifier)
    assert read.text == "31"
    assert max(box[2] for box in read.unread) < 450


def test_digits_that_stand_on_their_underline_are_read(digits, classifier):
    page = sheet()
    number(page, digits, "473", 40, 110)
    ImageDraw.Draw(page).line((30, 110, 245, 112), fill=INK, width=6)
    assert texts(page, classifier) == ["473"]


def test_the_digits_of_a_close_column_are_not_joined(digits, classifier):
    page = sheet(300, 1100)
    for place, label in enumerate("94772"):
        put(page, digits[label], 80, 100 + 65 * place)
    assert texts(page, classifier) == list("94772")


def test_an_underline_is_no_part_of_the_digits(digits, classifier):
    page = sheet()
    number(page, digits, "47", 40, 110)
    ImageDraw.Draw(page).line((30, 122, 175, 124), fill=INK, width=5)
    read = read_page(page, classifier)
    assert read.text == "47"
    assert read.unread == ()
    assert max(digit.box[3] for digit in read.lines[0].digits) < 120


@pytest.mark.parametrize("apart", [0, 24])
def test_printed_boxes_are_no_zeros_empty_or_not(digits, classifier, apart):
    page = sheet(760)
    for place in range(5):
        left = 40 + place * (110 + apart)
        ImageDraw.Draw(page).rectangle((left, 30, left + 110, 140), outline=INK, width=3)
        if place < 3:
            put(page, digits["526"[place]], left + 30, 118)
    read = read_page(page, classifier)
    assert read.text == "526"
    assert read.unread == ()


def test_a_digit_that_touches_its_box_is_read(digits, classifier):
    page = sheet()
    for left in (40, 150):
        ImageDraw.Draw(page).rectangle((left, 30, left + 110, 140), outline=INK, width=3)
    put(page, digits["5"], 70, 118)
    put(page, digits["2"], 180, 143)
    assert texts(page, classifier) == ["52"]


def test_other_writing_above_the_digits_is_told_and_not_read(digits, classifier):
    page = sheet(height=300)
    letters(page, 60, 90)
    number(page, digits, "2085", 40, 230)
    read = read_page(page, classifier)
    assert read.text == "2085"
    (box,) = read.unread
    assert np.abs(np.subtract(box, (56, 26, 214, 94))).max() <= 12


def test_other_writing_beside_a_number_is_told_and_not_read(digits, classifier):
    page = sheet()
    number(page, digits, "603", 40, 130)
    letters(page, 300, 130)
    read = read_page(page, classifier)
    assert read.text == "603"
    assert len(read.unread) == 1
    assert "1 mark is not read, at " in read.warning


def test_what_is_not_read_is_told_in_terminal_json_and_picture(edge_command, digits, tmp_path):
    page = sheet()
    number(page, digits, "603", 40, 130)
    letters(page, 300, 130)
    page.save(tmp_path / "form.png")
    ended = edge_command("read", tmp_path / "form.png", "--model", MODEL)
    assert (ended.code, ended.out.split()[1]) == (0, "603")
    assert "form.png: 1 mark is not read, at 2" in ended.err
    quiet = edge_command("read", tmp_path / "form.png", "--model", MODEL, "--json")
    (mark,) = json.loads(quiet.out)["unread"]
    assert quiet.err == ""
    assert len(mark["box"]) == 4
    drawn = np.asarray(annotate(np.asarray(page), read_page(page, MODEL)))
    head = drawn.shape[0] - page.height
    left, top, _, bottom = mark["box"]
    red = drawn[..., 0].astype(int) - drawn[..., 1] > 60
    assert red[(top + bottom) // 2 + head, left - 4 : left + 1].any()


def test_a_page_of_other_writing_alone_shows_no_digit(edge_command, tmp_path):
    page = sheet()
    letters(page, 60, 120)
    letters(page, 330, 120)
    page.save(tmp_path / "sketch.png")
    ended = edge_command("read", tmp_path / "sketch.png", "--model", MODEL)
    assert ended.code == 1
    assert "shows no digit, what is written there looks like none" in ended.err


def printed(page, text, left, foot, size):
    face = ImageFont.load_default(size)
    ImageDraw.Draw(page).text((left, foot), text, fill=INK, font=face, anchor="ls")


@pytest.mark.parametrize("size", [34, 60])
def test_a_printed_word_above_the_digits_is_told_and_not_read(size, digits, classifier):
    page = sheet(height=300)
    printed(page, "Telephone", 60, 90, size)
    number(page, digits, "2085", 40, 230)
    read = read_page(page, classifier)
    assert read.text == "2085"
    assert read.unread
    assert max(box[3] for box in read.unread) < 120


def test_a_printed_word_before_a_number_is_told_and_not_read(digits, classifier):
    page = sheet()
    printed(page, "Total", 40, 130, 50)
    number(page, digits, "603", 260, 130)
    read = read_page(page, classifier)
    assert read.text == "603"
    assert read.unread
    assert max(box[2] for box in read.unread) < 230


def test_small_print_does_not_make_the_digits_a_drawing(digits, classifier):
    page = sheet(700, 300)
    number(page, digits, "2085", 40, 130)
    printed(page, "Counter reading, cubic metres", 40, 220, 28)
    assert texts(page, classifier) == ["2085"]


def test_a_ring_around_a_number_is_no_zero(digits, classifier):
    page = sheet(height=300)
    number(page, digits, "47", 110, 180)
    ImageDraw.Draw(page).ellipse((60, 85, 270, 215), outline=INK, width=6)
    read = read_page(page, classifier)
    assert (read.text, read.unread) == ("47", ())
