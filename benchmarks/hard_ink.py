"""What finding the ink gets wrong: thick or porous strokes, strokes up to the picture's edge, small loops, odd colours.

Each kind aims at one step of the pre-processing, before any model: the paper's light, printed lines, the width of
strokes, the channel that parts ink from paper, and how many digits there are.
"""

from dataclasses import replace
from typing import Final

import numpy as np
from hard_scenes import (
    INKS,
    Colour,
    Drawing,
    Floats,
    Pose,
    Size,
    developed,
    inked,
    lit,
    noise,
    pen_of,
    ramp,
    sheet,
    size_of,
    writing,
)
from hard_writing import Line, drawn
from numpy.random import Generator
from PIL import Image

SMALL_SIDES: Final = (28, 28, 32, 40, 48, 64)
LUMA: Final = np.array([0.299, 0.587, 0.114])  # of ITU-R BT.601, as JPEG and Pillow have it


def thick_small(random: Generator, line: Line) -> Drawing:
    """Thick dark strokes on light in a picture of 28 to 64 pixels, however framed."""
    side = SMALL_SIDES[random.integers(len(SMALL_SIDES))]
    fine = 10 * side
    cover = writing(random, line, (fine, fine), Pose((0.55, 0.97), (0.18, 0.34), 0.05))
    image = dark_on_light(random, cover).resize((side, side), Image.Resampling.BOX)
    return Drawing(image, "PNG", {}) if random.integers(2) else Drawing(image, options={"quality": 90})


def thick_dark(random: Generator, line: Line) -> Drawing:
    """The same in pictures of 100 to 600 pixels, photographed or drawn."""
    side = int(random.integers(100, 600))
    cover = writing(random, line, (side, side), Pose((0.45, 0.95), (0.18, 0.34), 0.1))
    if random.integers(2):
        return Drawing(dark_on_light(random, cover), "PNG", {})
    page = inked(sheet(random, (side, side)), cover, (0.05, 0.05, 0.08), 0.95)
    return Drawing(developed(random, lit(random, page)))


def dark_on_light(random: Generator, cover: Floats) -> Image.Image:
    """Flat grey paper, flat ink, mode L."""
    paper, ink = random.uniform(0.85, 1.0), random.uniform(0.0, 0.2)
    return Image.fromarray(np.rint(255 * (paper + cover * (ink - paper))).astype(np.uint8))


def foot_at_the_edge(random: Generator, line: Line) -> Drawing:
    """Cut out so that the digit's foot, bar or stem reaches the picture's edges at two sides, or nearly."""
    size = (600, 600)
    cover = writing(random, line, size, Pose((0.6, 0.85), (0.04, 0.14), 0.02))
    ink, contrast = pen_of(random)
    picture = developed(random, lit(random, inked(sheet(random, size), cover, ink, contrast)))
    rows, columns = (np.flatnonzero(cover.max(axis=axis) > 0.5) for axis in (1, 0))
    beside, above = (int(random.integers(-6, 3)), int(random.integers(5, 120)))
    if line.label in "147" and random.integers(2):  # upright strokes from edge to edge
        beside, above = above, beside
    left, top = max(0, int(columns[0]) - beside), max(0, int(rows[0]) - above)
    right, bottom = min(size[0], int(columns[-1]) + 1 + beside), min(size[1], int(rows[-1]) + 1 + above)
    return Drawing(picture.crop((left, top, right, bottom)))


def long_foot(random: Generator, line: Line) -> Drawing:
    """A 2 with a straight foot, cut out so that the foot runs from edge to edge as a printed line does."""
    size = (600, 600)
    wide, high = line.extent
    lowest = line.points[line.points[:, 1] > 0.9 * high]
    level = float(lowest[:, 1].mean())
    ends = np.array(
        [[min(0.0, float(lowest[:, 0].min())) - 0.1, level], [wide + 0.1, level + random.uniform(-0.03, 0.03)]]
    )
    count = len(line.points)
    inner = int(np.argmax(line.points[:, 1]))
    joins = np.concatenate([line.joins, [[count, inner], [inner, count + 1]]])
    footed = replace(line, points=np.concatenate([line.points, ends]), joins=joins)
    tall = float(random.uniform(250, 400))
    pen = tall * random.uniform(0.03, 0.09)
    cover = drawn(footed, size, tall=tall, pen=pen, middle=(0.5, 0.5))
    ink, contrast = pen_of(random)
    picture = developed(random, lit(random, inked(sheet(random, size), cover, ink, contrast)))
    rows, columns = (np.flatnonzero(cover.max(axis=axis) > 0.5) for axis in (1, 0))
    above, below, beside = int(random.integers(5, 120)), int(random.integers(2, 60)), int(random.integers(0, 25))
    left, right = max(0, int(columns[0]) + beside), min(size[0], int(columns[-1]) - beside)
    return Drawing(picture.crop((left, max(0, int(rows[0]) - above), right, min(size[1], int(rows[-1]) + 1 + below))))


def small_loop(random: Generator, line: Line) -> Drawing:
    """A thin pen in a small picture: the loops are a few pixels wide."""
    side = int(random.integers(48, 200))
    fine = 4 * side
    cover = writing(random, line, (fine, fine), Pose((0.3, 0.8), (0.02, 0.06)))
    ink, contrast = pen_of(random)
    image = developed(random, lit(random, inked(sheet(random, (fine, fine)), cover, ink, contrast)))
    return Drawing(image.resize((side, side), Image.Resampling.BOX), options={"quality": 90})


def equal_lightness(random: Generator, line: Line) -> Drawing:
    """Ink and ground of the same luma: nothing is left of the digit in grey."""
    size = ((300, 300), (640, 480), (480, 640), (128, 128))[random.integers(4)]
    ground, ink = two_colours(random)
    cover = writing(random, line, size, Pose((0.3, 0.9), (0.04, 0.14)))
    if random.integers(2):
        page = np.array(ground) + cover[..., None] * (np.array(ink) - ground)
        image = Image.fromarray(np.rint(page * 255).astype(np.uint8))
        return Drawing(image, "PNG", {}) if random.integers(2) else Drawing(image, options={"quality": 85})
    page = sheet(random, size, ground)
    page = page + cover[..., None] * (np.array(ink) - page)
    return Drawing(developed(random, lit(random, page, vignette=0.1), grain=(0.002, 0.008)))


def two_colours(random: Generator) -> tuple[Colour, Colour]:
    """Colours of nearly one luma, clearly apart otherwise."""
    while True:
        ground, ink = random.uniform(0.05, 0.95, 3), random.uniform(0.05, 0.95, 3)
        ink = ink + (ground - ink) @ LUMA + random.uniform(-0.012, 0.012)
        if ink.min() >= 0 and ink.max() <= 1 and np.linalg.norm(ground - ink) > 0.4:
            return tuple(ground.tolist()), tuple(ink.tolist())


def shadow_along_an_edge(random: Generator, line: Line) -> Drawing:
    """A deep shadow, or the desk, along one side of the picture; the digit lies clear of it."""
    size = size_of(random)
    ink, contrast = pen_of(random)
    cover = writing(random, line, size, Pose((0.25, 0.5), (0.03, 0.1), 0.08))
    page = lit(random, inked(sheet(random, size), cover, ink, contrast))
    return Drawing(developed(random, page * dark_side(random, size)[..., None]))


def dark_side(random: Generator, size: Size) -> Floats:
    """Light from 1 down to nearly nothing along one edge, mostly the lower one, float64 (H, W)."""
    y, x = np.mgrid[0 : 1 : size[1] * 1j, 0 : 1 : size[0] * 1j]
    distance = (1 - y, 1 - y, 1 - y, y, x, 1 - x)[random.integers(6)]
    wide, soft = random.uniform(0.04, 0.22), random.uniform(0.01, 0.12)
    wave = random.uniform(0, 0.03) * np.sin((x + y) * random.uniform(3, 9))
    return 1 - random.uniform(0.55, 0.95) * ramp((wide + wave - distance) / soft)


def crayon(random: Generator, line: Line) -> Drawing:
    """Wax that sticks to the grain of the paper: pores all over a broad stroke."""
    size = size_of(random)
    cover = writing(random, line, size, Pose((0.45, 0.8), (0.08, 0.15)))
    grain = random.uniform(1.2, 3)
    rough = 0.7 * noise(random, size, grain) + 0.5 * noise(random, size, 3 * grain)
    sticks = np.clip(1.1 + 1.2 * rough - random.uniform(0, 0.5), 0, 1)
    ink = INKS[random.integers(len(INKS))]
    return Drawing(developed(random, lit(random, inked(sheet(random, size), cover * sticks, ink, 0.95))))


def dry_felt(random: Generator, line: Line) -> Drawing:
    """A felt pen that runs dry: streaks of paper along the stroke."""
    size = size_of(random)
    tall = min(size) * random.uniform(0.4, 0.75)
    pen = tall * random.uniform(0.07, 0.13)
    cover = drawn(line, size, tall=tall, pen=pen, middle=(0.5, 0.5))
    patches = np.clip(0.5 + noise(random, size, 0.12 * tall), 0, 1)
    for _ in range(random.integers(3, 8)):
        aside, turn = pen * random.uniform(0.1, 0.42), random.uniform(0, 2 * np.pi)
        middle = (0.5 + aside * np.cos(turn) / size[0], 0.5 + aside * np.sin(turn) / size[1])
        streak = drawn(line, size, tall=tall, pen=pen * random.uniform(0.04, 0.1), middle=(middle[0], middle[1]))
        cover = cover * (1 - 0.95 * streak * patches)
    ink = INKS[random.integers(len(INKS))]
    return Drawing(developed(random, lit(random, inked(sheet(random, size), cover, ink, 0.95))))


def sprayed(random: Generator, line: Line) -> Drawing:
    """The spray can of a paint program: dots of a pixel."""
    side = int(random.integers(250, 500))
    cover = writing(random, line, (side, side), Pose((0.5, 0.75), (0.1, 0.16)))
    dots = random.uniform(size=(side, side)) < random.uniform(0.3, 0.6)
    return Drawing(Image.fromarray(~(dots & (cover > 0.5))), "PNG", {})


def touching(random: Generator, line: Line, other: Line) -> Drawing:
    """Two digits in a row that touch, or overlap a little."""
    size = size_of(random)
    tall = min(size) * random.uniform(0.25, 0.45)
    pen = tall * random.uniform(0.04, 0.1)
    heights = np.array([line.extent[1], other.extent[1] * random.uniform(0.85, 1.1)])
    pair = beside(line, replace(other, points=other.points * heights[1] / other.extent[1]), tall, pen, random)
    cover = drawn(pair, size, tall=tall, pen=pen, middle=(0.5, 0.5))
    ink, contrast = pen_of(random)
    return Drawing(developed(random, lit(random, inked(sheet(random, size), cover, ink, contrast))))


def beside(line: Line, other: Line, tall: float, pen: float, random: Generator) -> Line:
    """Both digits at one height, the second moved left until its ink overlaps that of the first by 0 to 4 pixels.

    The points stay in units of `tall`, so that the pair's longer side is more than 1.
    """
    one, two = line.points / line.extent[1], other.points / other.extent[1]
    two = two * random.uniform(0.9, 1.1) + np.array([0, random.uniform(-0.08, 0.08)])
    # how far the second may go left: in each band of rows, the rightmost point of the one and the leftmost of the other
    gap = np.inf
    for row in np.linspace(0, 1, 40):
        right = one[np.abs(one[:, 1] - row) < 0.04, 0]
        left = two[np.abs(two[:, 1] - row) < 0.04, 0]
        if len(right) and len(left):
            gap = min(gap, float(left.min() - right.max()))
    gap = gap if np.isfinite(gap) else float(two[:, 0].min() - one[:, 0].max())
    two = two - np.array([gap - pen / tall + random.uniform(0, 4) / tall, 0])
    points = np.concatenate([one, two])
    points -= points.min(axis=0)
    return Line(points, np.concatenate([line.joins, other.joins + len(one)]), line.label + other.label)
