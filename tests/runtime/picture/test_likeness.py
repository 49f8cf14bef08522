"""What reading knows of a picture counts: most digits lose nothing by it, and what is no digit scores lower."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from edge.picture import preprocessing
from edge.picture.ink.likeness import ALLOWANCE, MOST, Traits, cost

SIDE = 220  # pixels of a sheet
INK, PAPER = 40, 235


def likeness(picture):
    return preprocessing.read_digit(picture).likeness


def sheet(paper=PAPER):
    page = Image.new("L", (SIDE, SIDE), paper)
    return page, ImageDraw.Draw(page)


def written(image, size):
    """A digit on a sheet."""
    page, _ = sheet()
    mask = Image.fromarray(image).resize((size, size), Image.Resampling.BICUBIC)
    page.paste(INK, ((SIDE - size) // 2,) * 2, mask)
    return page


def ring():
    """A circle that a machine drew."""
    page, draw = sheet()
    draw.ellipse([40, 30, 180, 190], outline=INK, width=8)
    return page


def face():
    page, draw = sheet()
    draw.ellipse([40, 30, 180, 190], outline=INK, width=6)
    for left in (75, 125):
        draw.ellipse([left, 80, left + 20, 95], fill=INK)
    draw.arc([75, 100, 145, 160], 20, 160, fill=INK, width=6)
    return page


def gauge():
    page, draw = sheet()
    draw.ellipse([30, 30, 190, 190], outline=INK, width=5)
    for at in np.linspace(0, 2 * np.pi, 25)[:-1]:
        ends = [(110 + reach * np.cos(at), 110 + reach * np.sin(at)) for reach in (62, 80)]
        draw.line([(float(x), float(y)) for x, y in ends], fill=INK, width=3)
    draw.line([(110, 110), (150, 75)], fill=INK, width=5)
    return page


def sign():
    """A sign with something on it, which reading leaves out: the ring is the digit."""
    page, draw = sheet()
    draw.ellipse([30, 40, 180, 185], outline=INK, width=12)
    draw.line([(90, 80), (90, 140)], fill=INK, width=7)
    draw.line([(125, 80), (125, 140)], fill=INK, width=7)
    draw.line([(90, 110), (125, 110)], fill=INK, width=7)
    return page


def scale():
    """A ruler on end, whose ticks are so close that the gaps between them could be pores of a stroke."""
    page, draw = sheet()
    draw.line([(140, 20), (140, 200)], fill=INK, width=6)
    for at, y in enumerate(range(20, 201, 6)):
        draw.line([(140 - (50 if at % 10 == 0 else 25), y), (140, y)], fill=INK, width=3)
    return page


def outline(*, fill=None, paper=PAPER):
    """A closed line that is as uneven as a written 0."""
    page, draw = sheet(paper)
    at = np.linspace(0, 2 * np.pi, 60)
    reach = 70 * (1 + 0.2 * np.cos(at - 0.8) + 0.1 * np.cos(3 * at + 1))
    points = [
        (float(x), float(y)) for x, y in zip(110 + 0.75 * reach * np.cos(at), 110 + reach * np.sin(at), strict=True)
    ]
    if fill is not None:
        draw.polygon(points, fill=fill)
    draw.line(points, fill=INK, width=9, joint="curve")
    return page


def in_shadow(picture, share):
    """A shadow as dark as that lies over the right half."""
    light = np.ones(SIDE)
    light[SIDE // 2 :] = share
    return Image.fromarray((np.asarray(picture) * light).astype(np.uint8))


@pytest.mark.parametrize("size", [90, 190])
def test_a_written_digit_loses_little_and_most_lose_nothing(golden, size):
    found = [likeness(written(image, size)) for _, image in sorted(dict(golden).items())]
    assert min(found) > 0  # the 0 of this set is nearly as even as a circle
    assert sum(each == ALLOWANCE for each in found) >= 9


@pytest.mark.parametrize("drawing", [ring, face, gauge, sign, scale])
def test_what_no_pen_writes_as_a_digit_loses_much(drawing):
    assert likeness(drawing()) < ALLOWANCE - 1


def test_the_paper_is_the_same_on_both_sides_of_a_digits_strokes():
    assert likeness(outline()) == ALLOWANCE
    assert likeness(outline(fill=190)) < ALLOWANCE - 1
    assert likeness(outline(fill=PAPER, paper=180)) < ALLOWANCE - 1


def test_a_shadow_makes_no_other_paper():
    assert likeness(in_shadow(outline(), 0.7)) == ALLOWANCE


def test_light_on_dark_is_judged_as_dark_on_light(golden):
    light = Image.fromarray(255 - np.asarray(written(golden[3][1], 150)))
    assert likeness(light) == ALLOWANCE
    assert likeness(Image.fromarray(255 - np.asarray(gauge()))) == pytest.approx(likeness(gauge()), abs=0.2)


def test_an_image_that_is_ready_is_judged_by_the_model_alone(images):
    seen = preprocessing.read_digit(images[2])
    assert seen.likeness == 0
    np.testing.assert_array_equal(seen.image, images[2])


def test_no_trait_decides_alone_without_end():
    usual = Traits(0.5, 0.5, 1.2, 1.5, 0.0, 0.0, -3.0)
    assert cost(usual) == 0
    assert cost(usual._replace(enclosed=0.05)) < cost(usual._replace(enclosed=0.1)) < MOST
    assert cost(usual._replace(enclosed=1e6)) == MOST
    assert cost(Traits(*[1e6] * 7)) == 7 * MOST
