"""Draws what is no digit for the second opinion, `benchmarks/opinion_weights.py`: ink alone, without paper.

Drawn by other means than the kinds that `rejection_asked.py` judges by, and letters are of other fonts: what a network
has learned by heart says nothing of what it has not seen. Outlines stand for whatever leaves a bent ring (heads, fruit,
leaves), frames for boxes and houses, combs for scales, spokes for dials.
"""

from collections.abc import Callable
from functools import cache
from math import cos, pi, sin
from pathlib import Path

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageFont
from rejection_kinds import LIKE_A_DIGIT

from edge.picture.ink.normalisation import BOX, FINENESS, adjust_stroke_width, fit_frame

SIDE = 240  # pixels of a drawing
SIGN = 150  # of a letter
PENS = (5, 22)  # pixels
TURN = 12.0  # degrees
LEAST_INK = 60  # pixels: a space or a hair is no drawing

GREEK_LIKE_A_DIGIT = "OoΙιΘθΦφσβδεξτρ"
CYRILLIC_LIKE_A_DIGIT = "ОоЗзБбэЭчЧ"
LATIN = [chr(code) for code in (*range(65, 91), *range(97, 123))]
GREEK = [chr(code) for code in (*range(0x391, 0x3A2), *range(0x3A3, 0x3AA), *range(0x3B1, 0x3CA))]
CYRILLIC = [chr(code) for code in range(0x410, 0x450)]
ARMENIAN = [chr(code) for code in (*range(0x531, 0x557), *range(0x561, 0x588))]
HEBREW = [chr(code) for code in range(0x5D0, 0x5EB)]
OTHERS = list("!?#$%&*+<>=@{}~§¶±÷√∞≈≠←↑→↓♠♣♥♦☎✓✗★☺✈✂")
# Greek and Latin twice: they are what a reader of digits meets most.
SIGNS = [
    sign
    for sign in LATIN * 3 + GREEK * 2 + CYRILLIC + ARMENIAN + HEBREW + OTHERS
    if sign not in LIKE_A_DIGIT + GREEK_LIKE_A_DIGIT + CYRILLIC_LIKE_A_DIGIT
]

Bytes = NDArray[np.uint8]
Canvas = tuple[Image.Image, ImageDraw.ImageDraw, int]  # the drawing, its pencil, and the width of the pen
Points = list[tuple[float, float]]


def sign(random: Generator, faces: list[Path]) -> Image.Image:
    """A letter or a sign of a font, and by half of them bolder or finer than the font has it."""
    page = Image.new("L", (SIDE, SIDE), 0)
    while page.getbbox() is None:
        face = _font(str(random.choice(np.array(faces, object))))
        chosen = SIGNS[int(random.integers(len(SIGNS)))]
        if bytes(face.getmask(chosen)) != bytes(face.getmask("\uffff")):  # what a font lacks
            ImageDraw.Draw(page).text((SIDE / 2, SIDE / 2), chosen, fill=255, font=face, anchor="mm")
    if random.random() < 0.5:
        page = page.filter(ImageFilter.MaxFilter(int(random.choice([3, 5, 7, 9]))))
    return page


def vessel(random: Generator) -> Image.Image:
    """A mug, a jug, a bottle or a glass: walls, with some a foot, a handle on either side, something above."""
    page, draw, pen = _canvas(random)
    rim, foot, high = random.uniform(20, 75), random.uniform(15, 65), random.uniform(40, 85)
    bend, top, bottom = random.uniform(-25, 25), 130 - high, 130 + high
    fall = np.linspace(0, 1, 16)
    wall = rim + (foot - rim) * fall + bend * np.sin(pi * fall)
    levels = (top + (bottom - top) * fall).tolist()
    right: Points = [(120 + wide, y) for wide, y in zip(wall.tolist(), levels, strict=True)]
    left: Points = [(240 - x, y) for x, y in right]
    closed = [left[0]] if random.random() < 0.6 else []
    outline = [*left, *reversed(right), *closed]
    if random.random() < 0.15:
        draw.polygon(outline, fill=255)
    draw.line(outline, fill=255, width=pen, joint="curve")
    if random.random() < 0.75:
        side, middle = int(random.choice([-1, 1])), top + random.uniform(0.25, 0.6) * (bottom - top)
        wide, tall, at = random.uniform(15, 40), random.uniform(15, 45), 120 + side * wall[7]
        draw.ellipse([at - wide, middle - tall, at + wide, middle + tall], outline=255, width=max(3, pen - 2))
        if random.random() < 0.8:
            inner: Points = [*left, *reversed(right)]
            draw.polygon(inner, fill=0)
            draw.line(outline, fill=255, width=pen, joint="curve")
    for _ in range(int(random.choice([0, 0, 1, 2, 3]))):
        over, rise = 120 + random.uniform(-0.6, 0.6) * rim, random.uniform(15, 45)
        waves: Points = [(over + 5 * sin(up / 5), top - pen - up) for up in np.linspace(3, rise, 12).tolist()]
        draw.line(waves, fill=255, width=max(3, pen // 2))
    if random.random() < 0.3:
        draw.line([(120 - 1.5 * foot, bottom + 8), (120 + 1.5 * foot, bottom + 8)], fill=255, width=pen)
    return page


def outline(random: Generator) -> Image.Image:
    """A ring, whole or open, that is bent in and out on a part of its way, with marks in it or along it."""
    page, draw, pen = _canvas(random)
    wide, tall, begin = random.uniform(45, 85), random.uniform(60, 100), random.uniform(0, 2 * pi)
    way = 2 * pi if random.random() < 0.6 else random.uniform(1.2, 1.9) * pi
    angles = begin + np.linspace(0, way, 90)
    bent, waves = random.uniform(0, 2 * pi), random.uniform(6, 16)
    reach = np.exp(-np.square((np.angle(np.exp(1j * (angles - bent)))) / random.uniform(0.4, 1.2)))
    radius = 1 + random.uniform(0.12, 0.3) * reach * np.sin(waves * angles + random.uniform(0, 2 * pi))
    radius += random.uniform(0, 0.08) * np.sin(3 * angles + random.uniform(0, 2 * pi))
    points: Points = [
        (120 + wide * r * cos(at), 120 + tall * r * sin(at))
        for r, at in zip(radius.tolist(), angles.tolist(), strict=True)
    ]
    draw.line(points, fill=255, width=pen, joint="curve")
    for _ in range(int(random.integers(0, 4))):
        x, y, size = (float(one) for one in random.uniform((85, 75, 4), (155, 165, 15)))
        if random.random() < 0.6:
            draw.ellipse([x - size, y - size, x + size, y + size], fill=255)
        else:
            draw.line([(x - 2 * size, y), (x + 2 * size, y + random.uniform(-1, 1) * size)], fill=255, width=pen)
    if random.random() < 0.4:
        start = int(random.integers(0, 60))
        length = random.uniform(-0.35, 0.3)
        for x, y in points[start : start + int(random.integers(6, 30)) : 2]:
            end = 120 + (1 + length) * (x - 120) + random.normal(0, 4), 120 + (1 + length) * (y - 120)
            draw.line([(x, y), end], fill=255, width=max(3, pen // 2))
    return page


def spokes(random: Generator) -> Image.Image:
    """A ring or a part of one with ticks or spokes, and a hand; with some the ring is left out."""
    page, draw, pen = _canvas(random)
    size, begin = random.uniform(60, 95), random.uniform(0, 360)
    way, thin = (360.0 if random.random() < 0.5 else random.uniform(100, 300)), max(3, pen // 2)
    if random.random() < 0.75:
        draw.arc([120 - size, 120 - size, 120 + size, 120 + size], begin, begin + way, fill=255, width=pen)
    inner = random.uniform(0, 0.8) if random.random() < 0.3 else random.uniform(0.6, 0.85)
    for at in np.linspace(begin, begin + way, int(random.integers(3, 26))).tolist():
        draw.line(_ray(at, inner * size, size), fill=255, width=thin)
    if random.random() < 0.75:
        draw.line(_ray(random.uniform(0, 360), -random.uniform(0, 0.3) * size, 0.7 * size), fill=255, width=pen)
    if random.random() < 0.4:
        draw.ellipse([120 - pen, 120 - pen, 120 + pen, 120 + pen], fill=255)
    return page


def comb(random: Generator) -> Image.Image:
    """A line with teeth of several lengths on one side, level or upright."""
    page, draw, pen = _canvas(random, most=12)
    count, every, high = int(random.integers(5, 25)), int(random.integers(1, 6)), random.uniform(12, 55)
    draw.line([(25, 120), (215, 120)], fill=255, width=pen)
    for at, x in enumerate(np.linspace(25, 215, count).tolist()):
        long = high if at % every == 0 else 0.6 * high
        draw.line([(x, 120), (x, 120 - long)], fill=255, width=max(2, pen // 2))
    return page.rotate(90 * int(random.integers(4)))


def frame(random: Generator) -> Image.Image:
    """A polygon of three to six corners, even or not, open or closed, with some a cross, a roof or a dot in it."""
    page, draw, pen = _canvas(random)
    corners, begin = int(random.integers(3, 7)), random.uniform(0, 2 * pi)
    uneven, squeeze = random.uniform(0, 0.3), random.uniform(0.5, 1)
    sizes = 90 * (1 - uneven * random.random(corners))
    points: Points = [
        (120 + squeeze * size * cos(begin + 2 * pi * at / corners), 120 + size * sin(begin + 2 * pi * at / corners))
        for at, size in enumerate(sizes.tolist())
    ]
    order = points[::2] + points[1::2] if corners % 2 and random.random() < 0.3 else points
    draw.line([*order, order[0]] if random.random() < 0.8 else order, fill=255, width=pen, joint="curve")
    for _ in range(int(random.integers(0, 3))):
        one, other = random.integers(corners, size=2).tolist()
        draw.line([points[one], points[other]], fill=255, width=pen)
    if random.random() < 0.3:
        draw.ellipse([120 - pen, 120 - pen, 120 + pen, 120 + pen], fill=255)
    return page


def rod(random: Generator) -> Image.Image:
    """A straight line in any direction with something at an end or along it: an arrow, a key, a hand of a dial."""
    page, draw, pen = _canvas(random)
    half = random.uniform(60, 100)
    draw.line([(120 - half, 120), (120 + half, 120)], fill=255, width=pen)
    for _ in range(int(random.integers(1, 4))):
        at, size = random.uniform(-half, half), random.uniform(8, 30)
        x = 120 + (at if random.random() < 0.5 else half)
        if random.random() < 0.4:
            draw.line([(x - size, 120 - size), (x, 120), (x - size, 120 + size)], fill=255, width=pen)
        elif random.random() < 0.5:
            draw.ellipse([x - size, 120 - size, x + size, 120 + size], outline=255, width=pen)
        else:
            y = 120 + random.choice([-1, 1]) * (pen + size)
            draw.rectangle([x - size / 2, y - size / 3, x + size / 2, y + size / 3], fill=255)
    return page.rotate(random.uniform(0, 360))


KINDS: dict[str, Callable[[Generator], Image.Image]] = {
    "vessel": vessel,
    "outline": outline,
    "spokes": spokes,
    "comb": comb,
    "frame": frame,
    "rod": rod,
}


def images(kind: str, count: int, random: Generator, faces: list[Path]) -> Bytes:
    """So many drawings as the model would see them.

    Args:
        kind: a key of `KINDS`, or "sign".
        count: how many.
        random: what varies them.
        faces: fonts, for signs.

    Returns:
        uint8 (count, 28, 28), ink 255 on background 0.
    """
    found: list[Bytes] = []
    while len(found) < count:
        page = sign(random, faces) if kind == "sign" else KINDS[kind](random)
        ink = np.asarray(page.rotate(random.uniform(-TURN, TURN), resample=Image.Resampling.BICUBIC)) > 127
        if np.count_nonzero(ink) > LEAST_INK:
            found.append(framed(ink))
    return np.stack(found)


def framed(ink: NDArray[np.bool_]) -> Bytes:
    """The image of a drawing's ink, bool (h, w), as reading makes it of a picture: uint8 (28, 28)."""
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    tight = Image.fromarray(ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].astype(np.uint8) * 255)
    scale = BOX * FINENESS / max(tight.size)
    width, height = (max(1, round(scale * one)) for one in tight.size)
    return fit_frame(adjust_stroke_width(np.asarray(tight.resize((width, height), Image.Resampling.BILINEAR)) > 127))


@cache
def _font(face: str) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(face, SIGN)


def _canvas(random: Generator, most: int = PENS[1]) -> Canvas:
    page = Image.new("L", (SIDE, SIDE), 0)
    return page, ImageDraw.Draw(page), int(random.integers(PENS[0], most + 1))


def _ray(degrees: float, inner: float, outer: float) -> Points:
    angle = degrees * pi / 180
    return [(120 + reach * cos(angle), 120 + reach * sin(angle)) for reach in (inner, outer)]
