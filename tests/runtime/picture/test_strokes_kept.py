"""Strokes that the steps before the model must neither hollow, nor take for a line, nor lose in grey."""

import io

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

from edge.picture import luminance, preprocessing
from edge.picture.ink import normalisation
from edge.picture.ink.ruled_lines import remove_lines


def ring(side, outer, inner, ink=20, paper=240):
    """A thick 0."""
    image = Image.new("L", (8 * side, 8 * side), paper)
    pen, middle = ImageDraw.Draw(image), 4 * side
    for radius, level in ((8 * outer, ink), (8 * inner, paper)):
        pen.ellipse((middle - radius * 0.8, middle - radius, middle + radius * 0.8, middle + radius), fill=level)
    return np.asarray(image.resize((side, side), Image.Resampling.BOX))


@pytest.mark.parametrize(("side", "outer", "inner"), [(28, 12, 4), (40, 18, 7), (100, 44, 17), (300, 140, 50)])
@pytest.mark.parametrize("is_light", [False, True])
def test_a_thick_0_keeps_its_stroke_and_its_counter(side, outer, inner, is_light):
    grey = ring(side, outer, inner)
    image = preprocessing.normalise(255 - grey if is_light else grey)
    rows = np.flatnonzero((image > 128).any(axis=1))
    assert np.ptp(rows) >= 15
    assert image[14, 14] < 64  # the counter is paper
    # from the counter's middle outwards there is ink on all four sides
    assert min(image[:14, 14].max(), image[15:, 14].max(), image[14, :14].max(), image[14, 15:].max()) > 192


def two(foot=12, pen=12):
    """A 2 whose foot runs from edge to edge."""
    image = Image.new("L", (160, 200), 0)
    draw = ImageDraw.Draw(image)
    draw.arc((40, 20, 130, 110), 180, 400, fill=255, width=pen)
    draw.line((124, 92, 40, 170), fill=255, width=pen)
    draw.rectangle((0, 168, 160, 168 + foot), fill=255)
    return np.asarray(image)


def test_a_foot_as_thick_as_the_strokes_it_is_joined_to_is_no_printed_line():
    strength = two()
    assert np.array_equal(remove_lines(strength > 128, strength), strength > 128)


def test_a_thin_line_below_a_digit_is_printed():
    strength = two(foot=2)
    left = remove_lines(strength > 128, strength)
    assert not left[169, :30].any()
    assert left[:160].sum() == (strength[:160] > 128).sum()


def test_thicker_strokes_close_no_loop():
    image = Image.new("L", (160, 160), 0)
    draw = ImageDraw.Draw(image)
    draw.line((80, 0, 68, 136), fill=255, width=5)
    draw.ellipse((66, 130, 84, 152), outline=255, width=5)
    ink = np.asarray(image) > 0
    adjusted = normalisation.adjust_stroke_width(ink)
    assert adjusted.sum() > 1.5 * ink.sum()
    margin = (adjusted.shape[0] - 160) // 2
    assert not adjusted[141 + margin, 75 + margin]


def test_thinner_strokes_lose_no_thin_part():
    image = Image.new("L", (160, 160), 0)
    draw = ImageDraw.Draw(image)
    draw.rectangle((40, 0, 110, 120), fill=255)
    draw.rectangle((40, 120, 159, 127), fill=255)  # a foot that thinning alone would take away
    ink = np.asarray(image) > 0
    adjusted = normalisation.adjust_stroke_width(ink)
    assert adjusted[:110].sum() < ink[:110].sum()
    assert adjusted[:, 145:].any()


RED, GREEN = (214, 60, 40), (40, 143, 60)  # luma 104 both


def coloured(ink, ground, shade=0.0):
    """A 7, and its mask."""
    mask = Image.new("L", (300, 260), 0)
    ImageDraw.Draw(mask).line([(90, 50), (200, 50), (130, 210)], fill=255, width=18)
    share = np.asarray(mask, np.float64)[..., None] / 255
    light = 1 - shade * np.linspace(0, 1, 300)[None, :, None]
    page = (np.array(ground) + share * (np.array(ink) - np.array(ground, np.float64))) * light
    return Image.fromarray(np.rint(page).astype(np.uint8)), np.asarray(mask)


@pytest.mark.parametrize(("form", "options"), [("PNG", {}), ("JPEG", {"quality": 90}), ("JPEG", {"quality": 60})])
@pytest.mark.parametrize("shade", [0.0, 0.15])
def test_ink_of_the_papers_luma_is_found_by_its_colour(form, options, shade):
    picture, mask = coloured(RED, GREEN, shade)
    content = io.BytesIO()
    picture.save(content, form, **options)
    seen, wanted = preprocessing.read(content.getvalue()).astype(int), preprocessing.read(255 - mask).astype(int)
    assert np.abs(seen - wanted).sum() < 0.15 * wanted.sum()
    if form == "PNG":
        assert np.array_equal(seen, preprocessing.read(picture))
        assert np.array_equal(seen, preprocessing.read(np.asarray(picture)))
        assert np.array_equal(seen, preprocessing.read(picture.convert("RGBA")))


def test_a_picture_with_contrast_is_read_by_its_luma():
    picture, _ = coloured((20, 30, 90), (235, 230, 220))
    assert not luminance.lacks_contrast(picture.convert("L"))
    assert np.array_equal(preprocessing.luminance(picture), np.asarray(picture.convert("L")))


def test_a_grey_page_has_no_better_mixture():
    faint, _ = coloured((200, 200, 200), (214, 214, 214))
    assert luminance.lacks_contrast(faint.convert("L"))
    assert luminance.strongest_mixture(faint) is None
    assert np.array_equal(preprocessing.luminance(faint), np.asarray(faint.convert("L")))
    blank = Image.new("RGB", (40, 40), (9, 200, 30))
    assert luminance.strongest_mixture(blank) is None


def seven(size=320, pen=8, ink=30, paper=230):
    """A 7 in the middle of a sheet, mode L."""
    image = Image.new("L", (size, size), paper)
    unit = size // 16
    ImageDraw.Draw(image).line(
        [(5 * unit, 4 * unit), (11 * unit, 4 * unit), (7 * unit, 12 * unit)], fill=ink, width=pen, joint="curve"
    )
    return image


def shared(image, other):
    """How much of the ink of two images is the same, 0 to 1, wherever within a pixel the middle of each was found."""
    one, two = image.astype(int), other.astype(int)
    moved = [np.roll(two, (down, across), (0, 1)) for down in (-1, 0, 1) for across in (-1, 0, 1)]
    return max(np.minimum(one, each).sum() / np.maximum(one, each).sum() for each in moved)


def test_pores_of_a_stroke_are_ink():
    solid = np.asarray(seven(pen=30))
    skips = np.random.default_rng(3).random((160, 160)).repeat(2, axis=0).repeat(2, axis=1) < 0.3
    seen = preprocessing.read_digit(np.where(skips, 230, solid).astype(np.uint8))
    whole = preprocessing.read_digit(solid)
    assert shared(seen.image, whole.image) > 0.85
    assert seen.likeness > 0  # nothing is said against the picture


def test_a_shadow_as_dark_as_ink_and_much_wider_than_the_line_is_left_out():
    shade = Image.new("L", (320, 320), 0)
    ImageDraw.Draw(shade).line([(330, 200), (150, 160)], fill=255, width=50)
    light = 1 - 0.6 * np.asarray(shade.filter(ImageFilter.GaussianBlur(2)), float) / 255
    image = preprocessing.normalise((np.asarray(seven()) * light).astype(np.uint8))
    assert shared(image, preprocessing.normalise(np.asarray(seven()))) > 0.75


def test_a_digit_in_a_plot_is_not_the_plot():
    small = Image.eval(seven(pen=30).resize((28, 28), Image.Resampling.BOX), lambda level: 250 - level)
    plot = Image.new("L", (420, 420), 255)
    plot.paste(small.resize((300, 300), Image.Resampling.NEAREST), (60, 50))
    draw = ImageDraw.Draw(plot)
    for tick in range(5):
        draw.line((54, 80 + 60 * tick, 60, 80 + 60 * tick), fill=0, width=2)
        draw.rectangle((44, 76 + 60 * tick, 52, 84 + 60 * tick), outline=0)
        draw.line((90 + 60 * tick, 350, 90 + 60 * tick, 356), fill=0, width=2)
        draw.rectangle((86 + 60 * tick, 358, 94 + 60 * tick, 366), outline=0)
    image = preprocessing.normalise(np.asarray(plot))
    assert shared(image, preprocessing.normalise(np.asarray(seven(pen=30)))) > 0.75


@pytest.mark.parametrize("sides", ["all", "two"])
def test_a_printed_box_that_the_digit_touches_is_left_out(sides):
    page = seven(pen=14)
    draw = ImageDraw.Draw(page)
    if sides == "all":
        draw.rectangle((88, 74, 226, 250), outline=90, width=2)
    else:  # lines of a table, on into the page
        draw.line((90, 20, 90, 250), fill=90, width=2)
        draw.line((20, 246, 300, 246), fill=90, width=2)
    image = preprocessing.normalise(np.asarray(page))
    assert shared(image, preprocessing.normalise(np.asarray(seven(pen=14)))) > 0.75


def test_a_bar_and_a_stem_at_the_sides_of_the_box_stay():
    image = Image.new("L", (320, 320), 235)
    ImageDraw.Draw(image).line([(100, 90), (210, 90), (210, 250)], fill=30, width=6)
    found = preprocessing.normalise(np.asarray(image))
    assert np.ptp(np.flatnonzero((found > 128).any(axis=0))) >= 11
    assert np.ptp(np.flatnonzero((found > 128).any(axis=1))) >= 17
