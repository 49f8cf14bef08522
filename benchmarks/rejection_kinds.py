"""Draws what is no digit, for `benchmarks/rejection.py`, by other means than what models are trained with.

Printed letters instead of written ones, and things that training holds nothing of: dials, cups, phantoms, faces,
garments. Where training has a cousin (tables of marks, scribbles, noise), the drawing here is another.
"""

import string
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from edge.bundle.input import COLUMNS, ROWS

LIKE_A_DIGIT = "OoQDIlijSsZzBqgbGT"  # letters that many people would take for a digit
LATIN = "".join(letter for letter in string.ascii_letters if letter not in LIKE_A_DIGIT)
GREEK = "ΓΔΛΠΣΨΩαγζηκλμνπχψω"
SIDE = 200  # pixels of a drawn page
PAPER = 235

Bytes = NDArray[np.uint8]
Faces = list[Path]


def letter(random: Generator, sign: str, faces: Faces) -> Image.Image:
    """A printed letter, a little turned and blurred."""
    size = int(random.integers(80, 150))
    face = ImageFont.truetype(str(random.choice(faces)), size) if faces else ImageFont.load_default(size)
    page = Image.new("L", (SIDE, SIDE), 240)
    ImageDraw.Draw(page).text((SIDE / 2, SIDE / 2), sign, fill=int(random.integers(0, 90)), font=face, anchor="mm")
    turned = page.rotate(random.uniform(-8, 8), fillcolor=240, resample=Image.Resampling.BICUBIC)
    return turned.filter(ImageFilter.GaussianBlur(random.uniform(0, 1.5)))


def scribble(random: Generator) -> Image.Image:
    """A curve through some points, with a pen of some width."""
    corners = random.uniform(30, 170, (int(random.integers(6, 16)), 2))
    place = np.linspace(0, len(corners) - 1, 400)
    curve = np.stack([np.interp(place, range(len(corners)), corners[:, axis]) for axis in (0, 1)], axis=1)
    soft = np.stack(
        [np.convolve(np.pad(curve[:, axis], 12, mode="edge"), np.ones(25) / 25, "valid") for axis in (0, 1)]
    )
    page = Image.new("L", (SIDE, SIDE), PAPER)
    points = [(float(x), float(y)) for x, y in soft.T]
    ImageDraw.Draw(page).line(points, fill=40, width=int(random.integers(3, 12)), joint="curve")
    return page.filter(ImageFilter.GaussianBlur(1))


def dial(random: Generator) -> Image.Image:
    """A gauge: part of a rim, ticks of two lengths, a needle."""
    page, draw, pen = _page(random)
    radius, start = random.uniform(50, 85), random.uniform(120, 170)
    end, middle = 540 - start, (random.uniform(90, 110), random.uniform(95, 115))
    box = [*(one - radius for one in middle), *(one + radius for one in middle)]
    draw.arc(box, 0 if random.random() < 0.4 else start, 360 if random.random() < 0.4 else end, fill=40, width=pen)
    count, every = int(random.integers(8, 26)), int(random.integers(2, 6))
    for at in range(count + 1):
        long = at % every == 0
        ends = _ray(middle, start + (end - start) * at / count, (0.75 if long else 0.87) * radius, radius)
        draw.line(ends, fill=40, width=pen)
    draw.line(_ray(middle, random.uniform(start, end), -0.15 * radius, 0.7 * radius), fill=40, width=pen + 1)
    return _blurred(page, random)


def scale(random: Generator) -> Image.Image:
    """A ruler: ticks of three lengths at an edge, across or down."""
    page, draw, pen = _page(random)
    count, reach = int(random.integers(12, 30)), random.uniform(20, 60)
    draw.line([(20, 130), (180, 130)], fill=40, width=pen)
    for at in range(count + 1):
        x, long = 20 + 160 * at / count, 1.0 if at % 10 == 0 else 0.7 if at % 5 == 0 else 0.4
        draw.line([(x, 130), (x, 130 - long * reach)], fill=40, width=max(pen - 1, 1))
    turned = page.rotate(random.choice([0, 90]) + random.uniform(-5, 5), fillcolor=PAPER)
    return _blurred(turned, random)


def table(random: Generator) -> Image.Image:
    """A ruled table, with ticks and crosses in some of its cells."""
    page, draw, pen = _page(random)
    columns, rows = (int(random.integers(2, 6)) for _ in range(2))
    wide, high = 160 / columns, 150 / rows
    for column in range(columns + 1):
        draw.line([(20 + column * wide, 25), (20 + column * wide, 175)], fill=60, width=pen)
    for row in range(rows + 1):
        draw.line([(20, 25 + row * high), (180, 25 + row * high)], fill=60, width=pen)
    for column in range(columns):
        for row in range(rows):
            x, y, kind = 20 + (column + 0.5) * wide, 25 + (row + 0.5) * high, random.integers(4)
            right, down = wide * 0.28, high * 0.28
            if kind == 0:
                draw.line([(x - right, y), (x, y + down), (x + right, y - down)], fill=30, width=pen + 1)
            if kind == 1:
                draw.line([(x - right, y - down), (x + right, y + down)], fill=30, width=pen + 1)
                draw.line([(x - right, y + down), (x + right, y - down)], fill=30, width=pen + 1)
    return _blurred(page.rotate(random.uniform(-4, 4), fillcolor=PAPER), random)


def tallies(random: Generator) -> Image.Image:
    """Rows of tally marks, some groups crossed."""
    page, draw, pen = _page(random)
    rows, groups = int(random.integers(1, 4)), int(random.integers(1, 4))
    high = 120 / rows
    for row in range(rows):
        for group in range(groups):
            left, top, step = 30 + group * 50, 40 + row * high, 9
            for mark in range(int(random.integers(2, 5))):
                x = left + mark * step + random.normal(0, 1)
                draw.line([(x, top), (x + random.normal(0, 2), top + high * 0.7)], fill=40, width=pen)
            if random.random() < 0.7:
                draw.line([(left - 5, top + high * 0.6), (left + 4 * step, top + high * 0.1)], fill=40, width=pen)
    return _blurred(page, random)


def cup(random: Generator) -> Image.Image:
    """A cup with a handle, in outline or as a shaded silhouette."""
    page, draw, pen = _page(random)
    wide, high, narrow = random.uniform(35, 60), random.uniform(35, 60), random.uniform(0.5, 1)
    body = [(95 - wide, 100 - high), (95 + wide, 100 - high), (95 + wide * narrow, 100 + high)]
    body.append((95 - wide * narrow, 100 + high))
    handle = [95 + wide * 0.6, 100 - high * 0.6, 95 + wide * 1.5, 100 + high * 0.5]
    width = int(random.integers(5, 14))
    if random.random() < 0.5:
        draw.arc(handle, -100, 100, fill=40, width=pen + 1)
        draw.polygon(body, outline=40, width=pen)
        draw.ellipse([95 - wide, 92 - high, 95 + wide, 108 - high], outline=40, width=pen)
        if random.random() < 0.5:
            draw.arc([60, 175 - high * 0.3, 130, 190 - high * 0.3], 20, 160, fill=40, width=pen)
        return _blurred(page, random)
    draw.arc(handle, -100, 100, fill=60, width=width)
    draw.polygon(body, fill=int(random.integers(20, 120)))
    draw.ellipse([95 - wide, 90 - high, 95 + wide, 110 - high], fill=int(random.integers(100, 200)))
    return _blurred(page, random)


def phantom(random: Generator) -> Image.Image:
    """Ellipses in an ellipse, of grey levels, as the phantoms that test tomography."""
    page = Image.new("L", (SIDE, SIDE), 0)
    draw = ImageDraw.Draw(page)
    half = random.uniform(50, 70), random.uniform(70, 90)
    draw.ellipse([100 - half[0], 100 - half[1], 100 + half[0], 100 + half[1]], fill=255)
    draw.ellipse([106 - half[0], 107 - half[1], 94 + half[0], 93 + half[1]], fill=int(random.integers(40, 90)))
    for _ in range(int(random.integers(4, 9))):
        x, y = 100 + random.uniform(-0.5, 0.5) * half[0], 100 + random.uniform(-0.6, 0.6) * half[1]
        across, down = random.uniform(4, 0.4 * half[0]), random.uniform(4, 0.35 * half[1])
        draw.ellipse([x - across, y - down, x + across, y + down], fill=int(random.integers(0, 160)))
    return page.rotate(random.uniform(-25, 25)).filter(ImageFilter.GaussianBlur(random.uniform(0, 2)))


def face(random: Generator) -> Image.Image:
    """A face in lines: a head, eyes, nose and mouth, hair with some."""
    page, draw, pen = _page(random)
    half = random.uniform(50, 70), random.uniform(60, 85)
    draw.ellipse([100 - half[0], 100 - half[1], 100 + half[0], 100 + half[1]], outline=40, width=pen)
    eye, size = random.uniform(0.3, 0.45) * half[0], random.uniform(3, 10)
    for x in (100 - eye, 100 + eye):
        box = [x - size, 85 - size * 0.7, x + size, 85 + size * 0.7]
        draw.ellipse(box, fill=40 if random.random() < 0.5 else None, outline=40, width=pen)
    draw.line([(100, 90), (100 + random.uniform(-8, 8), 115), (100, 115)], fill=40, width=pen)
    smile = random.uniform(0.3, 0.6) * half[0]
    draw.arc([100 - smile, 115, 100 + smile, 115 + half[1] * 0.4], 15, 165, fill=40, width=pen)
    if random.random() < 0.5:
        box = [100 - half[0], 100 - half[1], 100 + half[0], 100 + half[1] * 0.6]
        draw.chord(box, 190, 350, fill=int(random.integers(30, 120)))
    return _blurred(page, random)


def portrait(random: Generator) -> Image.Image:
    """A face as a photo shows it: shaded, with shoulders, against a background."""
    page = Image.new("L", (SIDE, SIDE), int(random.integers(20, 230)))
    draw = ImageDraw.Draw(page)
    skin, dark = int(random.integers(110, 220)), int(random.integers(10, 80))
    wide, high = random.uniform(35, 50), random.uniform(50, 65)
    draw.ellipse([20, 150, 180, 300], fill=int(random.integers(20, 200)))
    draw.ellipse([92 - wide, 82 - high, 108 + wide, 110 + high], fill=dark)
    draw.ellipse([100 - wide, 95 - high, 100 + wide, 95 + high], fill=skin)
    for x in (100 - wide * 0.45, 100 + wide * 0.45):
        draw.ellipse([x - 9, 80, x + 9, 90], fill=dark)
    draw.line([(100, 88), (97, 112), (103, 112)], fill=int(skin * 0.75), width=4)
    draw.ellipse([85, 124, 115, 134], fill=int(skin * 0.55))
    light = np.linspace(random.uniform(0.5, 1), random.uniform(0.5, 1), SIDE)
    shaded = Image.fromarray((np.asarray(page) * light).astype(np.uint8))
    return shaded.filter(ImageFilter.GaussianBlur(random.uniform(1, 4)))


GARMENTS = (
    ((8, 3), (12, 4), (16, 4), (20, 3), (27, 9), (24, 13), (20, 10), (20, 25), (8, 25), (8, 10), (4, 13), (1, 9)),
    ((9, 2), (19, 2), (21, 26), (15, 26), (14, 9), (13, 26), (7, 26)),
    ((2, 12), (8, 11), (14, 16), (24, 17), (26, 22), (2, 23)),
    ((10, 2), (18, 2), (17, 9), (23, 26), (5, 26), (11, 9)),
)
"""Outlines of a shirt, trousers, a shoe and a dress in a 28x28 image: crude stand-ins for fashion pictures."""


def garment(random: Generator) -> Bytes:
    """A filled outline with uneven corners and some texture."""
    outline = GARMENTS[int(random.integers(len(GARMENTS)))]
    points = [(8 * x + float(random.normal(0, 6)), 8 * y + float(random.normal(0, 6))) for x, y in outline]
    page = Image.new("L", (8 * COLUMNS, 8 * ROWS), 0)
    ImageDraw.Draw(page).polygon(points, fill=int(random.integers(120, 255)))
    small = page.filter(ImageFilter.GaussianBlur(4)).resize((COLUMNS, ROWS), Image.Resampling.BOX)
    return np.clip(np.asarray(small) * (1 + random.normal(0, 0.15, small.size)), 0, 255).astype(np.uint8)


def smooth_noise(random: Generator) -> Bytes:
    """Blots of random form."""
    coarse = Image.fromarray(random.integers(0, 256, (ROWS, COLUMNS), dtype=np.uint8))
    soft = np.asarray(coarse.filter(ImageFilter.GaussianBlur(random.uniform(1, 3))), np.float64)
    spread = (soft - soft.min()) / max(np.ptp(soft), 1)
    return np.rint(np.clip((spread - 0.5) * 4, 0, 1) * 255).astype(np.uint8)


# What is drawn on a page and read as any picture.
PAGES: dict[str, Callable[[Generator], Image.Image]] = {
    "scribbles": scribble,
    "dials": dial,
    "scales": scale,
    "tables of marks": table,
    "tallies": tallies,
    "cups": cup,
    "phantoms": phantom,
    "faces in lines": face,
    "portraits, drawn": portrait,
}


def _page(random: Generator) -> tuple[Image.Image, ImageDraw.ImageDraw, int]:
    page = Image.new("L", (SIDE, SIDE), PAPER)
    return page, ImageDraw.Draw(page), int(random.integers(2, 7))


def _blurred(page: Image.Image, random: Generator) -> Image.Image:
    return page.filter(ImageFilter.GaussianBlur(random.uniform(0, 1.5)))


def _ray(middle: tuple[float, float], degrees: float, inner: float, outer: float) -> list[tuple[float, float]]:
    """The ends of a line that points away from the middle."""
    right, down = float(np.cos(np.radians(degrees))), float(np.sin(np.radians(degrees)))
    return [(middle[0] + reach * right, middle[1] + reach * down) for reach in (inner, outer)]
