"""One digit was expected: a blank page and several digits are told, and everything else gets its label."""

import json

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

import edge
from edge.picture import preprocessing

SIDE = 240  # pixels of a sheet
DIGIT = 150  # pixels of the 28x28 image on it


@pytest.fixture(scope="module")
def digits(golden):
    """One of each label, in the order of the labels."""
    return [image for _, image in sorted(dict(golden).items())]


def page(images, *, size=DIGIT, step=None, ink=30, paper=240):
    """Digits side by side on a sheet."""
    step = size if step is None else step
    sheet = Image.new("L", (SIDE - DIGIT + size + step * (len(images) - 1), SIDE), paper)
    for place, image in enumerate(images):
        mask = Image.fromarray(image).resize((size, size), Image.Resampling.BICUBIC)
        at = (SIDE - DIGIT) // 2 + place * step, (SIDE - size) // 2
        sheet.paste(Image.new("L", mask.size, ink), at, mask)
    return sheet


@pytest.mark.parametrize("pixels", [np.zeros((28, 28), np.uint8), np.full((200, 300), 235, np.uint8)])
def test_a_blank_page_says_so(pixels):
    with pytest.raises(edge.NoDigitError, match="the page is blank") as caught:
        preprocessing.read_digit(pixels)
    assert caught.value.digits == 0


@pytest.mark.parametrize("count", [2, 3, 6])
def test_several_digits_say_how_many_and_point_to_read(digits, count):
    with pytest.raises(edge.SeveralDigitsError, match=f"the picture shows {count} digits.* `edge read`") as caught:
        preprocessing.read_digit(page(digits[2 : 2 + count]))
    assert caught.value.digits == count


def test_light_digits_on_dark_and_digits_in_two_lines_are_several_too(digits):
    with pytest.raises(edge.SeveralDigitsError):
        preprocessing.read_digit(page(digits[3:6], ink=235, paper=20))
    two_lines = np.concatenate([np.asarray(page([digits[7]])), np.asarray(page([digits[8]]))])
    with pytest.raises(edge.SeveralDigitsError):
        preprocessing.read_digit(two_lines)


def test_neighbours_that_nearly_touch_are_several(digits):
    with pytest.raises(edge.SeveralDigitsError):
        preprocessing.read_digit(page([digits[label] for label in (2, 3, 6, 8)], step=round(DIGIT * 0.62)))


@pytest.mark.parametrize("pair", ["24", "53", "86"])
@pytest.mark.sampled(1)
def test_two_digits_that_overlap_a_little_are_refused_where_a_model_tells(digits, pair, edge_command, tmp_path):
    sheet = overlapping(*(digits[int(label)] for label in pair))
    with pytest.raises(edge.SeveralDigitsError) as caught:
        edge.load("cnn", provider="cpu").predict(sheet)
    assert caught.value.digits == 2
    sheet.save(tmp_path / "pair.png")
    ended = edge_command("predict", tmp_path / "pair.png", "--json", "--model", "cnn", "--provider", "cpu")
    assert json.loads(ended.out)["digits"] == 2
    assert ended.code == 1


def overlapping(one, other):
    """Two digits whose ink overlaps by 3 pixels where they are nearest."""
    masks = [
        np.asarray(Image.fromarray(image).resize((DIGIT, DIGIT), Image.Resampling.BICUBIC)) for image in (one, other)
    ]
    first, second = (mask > 127 for mask in masks)
    both = first.any(axis=1) & second.any(axis=1)
    right = DIGIT - np.argmax(first[:, ::-1], axis=1)
    gaps = DIGIT + np.argmax(second, axis=1) - right
    step = DIGIT - int(gaps[both].min()) - 3
    ink = np.zeros((SIDE, SIDE + DIGIT), np.uint8)
    for left, mask in zip((30, 30 + step), masks, strict=True):
        here = ink[45 : 45 + DIGIT, left : left + DIGIT]
        np.maximum(here, mask, out=here)
    return Image.fromarray((240 - ink * (210 / 255)).astype(np.uint8))


def test_every_single_digit_is_one(digits):
    for image in digits:
        for size in (60, 110, 190):
            sheet = page([image], size=size)
            assert np.array_equal(preprocessing.read_digit(sheet).image, preprocessing.read(sheet))


def underlined(sheet):
    ImageDraw.Draw(sheet).line((40, 225, 200, 222), fill=40, width=4)


def among_specks(sheet):
    for left, top in np.random.default_rng(3).integers(0, SIDE - 6, (40, 2)).tolist():
        ImageDraw.Draw(sheet).ellipse((left, top, left + 5, top + 4), fill=40)


def on_grid(sheet):
    for line in range(10, SIDE, 24):
        ImageDraw.Draw(sheet).line((0, line, SIDE, line), fill=150)
        ImageDraw.Draw(sheet).line((line, 0, line, SIDE), fill=150)


def in_pieces(sheet):
    for line in (95, 150):
        ImageDraw.Draw(sheet).line((0, line, SIDE, line + 9), fill=240, width=4)


def beside_faint_writing(sheet):
    for row in range(20, SIDE, 12):
        ImageDraw.Draw(sheet).line((6, row, 32, row + 5), fill=205, width=2)


def in_a_box(sheet):
    ImageDraw.Draw(sheet).rectangle((12, 12, SIDE - 13, SIDE - 13), outline=40, width=3)


@pytest.mark.represented(spoil=(underlined, among_specks, in_pieces, beside_faint_writing))
@pytest.mark.parametrize("spoil", [underlined, among_specks, on_grid, in_pieces, beside_faint_writing, in_a_box])
def test_nothing_beside_a_single_digit_is_counted(digits, spoil):
    for image in digits:
        sheet = page([image], size=SIDE - 60, step=0)
        sheet = sheet.resize((SIDE, SIDE))
        spoil(sheet)
        preprocessing.read_digit(sheet.filter(ImageFilter.GaussianBlur(0.6)))


def test_the_command_tells_blank_pages_and_several_digits_and_still_classifies_the_rest(edge_command, digits, tmp_path):
    Image.new("L", (90, 90), 240).save(tmp_path / "blank.png")
    page(digits[4:6]).save(tmp_path / "two.png")
    page([digits[6]]).save(tmp_path / "six.png")
    ended = edge_command("predict", tmp_path, "--json", "--model", "cnn", "--provider", "cpu")
    assert ended.code == 1
    blank, six, two = map(json.loads, ended.out.splitlines())
    assert list(blank) == list(two) == ["path", "error", "digits"]
    assert (blank["digits"], two["digits"], six["label"]) == (0, 2, "6")
    assert two["error"].startswith(f"{tmp_path / 'two.png'} shows 2 digits")


def test_the_library_refuses_as_the_command_does(digits):
    classifier = edge.load("cnn", provider="cpu")
    with pytest.raises(edge.NoDigitError):
        classifier.predict(np.full((90, 90), 240, np.uint8))
    with pytest.raises(edge.SeveralDigitsError):
        classifier.predict(page(digits[1:4]))
