"""Draws what is no digit, on which the traits of `edge.picture.ink.likeness` were chosen: signs, clocks, charts.

Those of `rejection_kinds` were looked at as well; those of `rejection_held` were not.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import cos, pi, sin

import numpy as np
from numpy.random import Generator
from PIL import Image, ImageDraw, ImageFilter, ImageFont

Point = tuple[float, float]

SYMBOLS = "!?&@%#$*+=<>{}[]~^"  # of Pillow's built-in font


@dataclass(frozen=True, slots=True)
class Sheet:
    """Paper to draw on.

    Attributes:
        page: mode L.
        draw: on it.
        ink: grey level.
        paper: grey level.
        pen: width, pixels.
        side: the shorter one, pixels.
        middle: of the page.
    """

    page: Image.Image
    draw: ImageDraw.ImageDraw
    ink: int
    paper: int
    pen: int
    side: int
    middle: Point

    def circle(self, middle: Point, radius: float, *, width: int | None = None, fill: int | None = None) -> None:
        """A ring of the ink; filled with a level if one is given."""
        x, y = middle
        box = [x - radius, y - radius, x + radius, y + radius]
        self.draw.ellipse(box, outline=self.ink, width=self.pen if width is None else width, fill=fill)

    def line(self, points: list[Point], width: int | None = None) -> None:
        """A line of the ink."""
        self.draw.line(points, fill=self.ink, width=self.pen if width is None else width, joint="curve")

    def text(self, middle: Point, text: str, size: float) -> None:
        """Printed letters."""
        self.draw.text(middle, text, fill=self.ink, font=ImageFont.load_default(max(8, int(size))), anchor="mm")


def sheet(random: Generator) -> Sheet:
    """Blank paper of some size, mostly light."""
    wide, high = (int(random.integers(160, 420)) for _ in range(2))
    paper, ink = int(random.integers(200, 256)), int(random.integers(0, 90))
    if random.random() < 0.15:
        paper, ink = 255 - paper, 255 - ink
    page = Image.new("L", (wide, high), paper)
    side = min(wide, high)
    pen = max(1, int(side * random.uniform(0.01, 0.06)))
    return Sheet(page, ImageDraw.Draw(page), ink, paper, pen, side, (wide / 2, high / 2))


def photographed(drawn: Sheet, random: Generator, *, turn: float = 8, blur: float = 1.5) -> Image.Image:
    """The sheet a little turned and blurred, in some light, with some noise."""
    turned = drawn.page.rotate(random.uniform(-turn, turn), fillcolor=drawn.paper, resample=Image.Resampling.BICUBIC)
    levels = np.asarray(turned.filter(ImageFilter.GaussianBlur(random.uniform(0, blur))), np.float64)
    if random.random() < 0.5:
        for axis in (0, 1):
            light = np.linspace(random.uniform(0.75, 1), 1, levels.shape[axis])
            levels = levels * (light[:, None] if axis == 0 else light)
    levels = levels + random.normal(0, random.uniform(0, 4), levels.shape)
    return Image.fromarray(np.clip(levels, 0, 255).astype(np.uint8))


def away(middle: Point, reach: float, angle: float) -> Point:
    """A point at that distance and angle, radians."""
    return middle[0] + reach * cos(angle), middle[1] + reach * sin(angle)


def clock(random: Generator) -> Image.Image:
    """A clock with figures or ticks, and three hands."""
    on = sheet(random)
    middle, radius = on.middle, on.side * random.uniform(0.3, 0.46)
    on.circle(middle, radius)
    ticks = int(random.choice([4, 12, 12, 60]))
    if random.random() < 0.4:
        for hour in range(1, 13):
            on.text(away(middle, 0.8 * radius, hour * pi / 6 - pi / 2), str(hour), 0.22 * radius)
    else:
        for tick in range(ticks):
            angle, inner = tick * 2 * pi / ticks, 0.85 if tick % 5 else 0.78
            on.line([away(middle, inner * radius, angle), away(middle, 0.97 * radius, angle)], max(1, on.pen - 1))
    for reach, width in ((0.5, on.pen + 2), (0.75, on.pen), (0.8, 1)):
        on.line([middle, away(middle, reach * radius, random.uniform(0, 2 * pi))], width)
    return photographed(on, random)


def road_sign(random: Generator) -> Image.Image:
    """No entry, no stopping, attention, stop."""
    on = sheet(random)
    middle, radius, bold = on.middle, on.side * random.uniform(0.3, 0.46), on.pen + 2
    kind = int(random.integers(4))
    if kind == 0:
        on.draw.regular_polygon((*middle, radius), 3, fill=int(random.integers(60, 200)), outline=on.ink)
        on.text(middle, "!", radius)
    if kind == 1:
        on.circle(middle, radius, width=2 * bold)
        on.line([away(middle, radius, pi / 4), away(middle, -radius, pi / 4)], 2 * bold)
    if kind == 2:
        on.draw.regular_polygon((*middle, radius), 8, rotation=22, fill=int(random.integers(60, 200)), outline=on.ink)
    if kind == 3:
        on.circle(middle, radius, fill=on.ink)
    if kind >= 2:
        across, down = 0.65 * radius, 0.15 * radius
        box = [middle[0] - across, middle[1] - down, middle[0] + across, middle[1] + down]
        on.draw.rectangle(box, fill=on.paper)
    return photographed(on, random)


def arrow(random: Generator) -> Image.Image:
    """An arrow of one head or two."""
    on = sheet(random)
    angle, reach = random.uniform(0, 2 * pi), on.side * random.uniform(0.25, 0.42)
    head, spread = reach * random.uniform(0.3, 0.6), random.uniform(0.3, 0.7)
    on.line([away(on.middle, -reach, angle), away(on.middle, reach, angle)])
    for way in (1, -1) if random.random() < 0.3 else (1,):
        tip = away(on.middle, way * reach, angle)
        on.line([away(tip, -way * head, angle - spread), tip, away(tip, -way * head, angle + spread)])
    return photographed(on, random)


def symbol(random: Generator) -> Image.Image:
    """A printed sign that is no letter."""
    on = sheet(random)
    on.text(on.middle, SYMBOLS[int(random.integers(len(SYMBOLS)))], on.side * random.uniform(0.5, 0.85))
    return photographed(on, random)


def house(random: Generator) -> Image.Image:
    """A house as children draw it."""
    on = sheet(random)
    half, (x, y) = on.side * random.uniform(0.22, 0.36), on.middle
    walls = [(-1, -0.6), (-1, 1), (1, 1), (1, -0.6), (-1, -0.6), (0, -1.4), (1, -0.6)]
    shaken = random.normal(0, 0.03, (len(walls), 2))
    on.line([(x + half * (a + i), y + half * (b + j)) for (a, b), (i, j) in zip(walls, shaken.tolist(), strict=True)])
    for left, top, right, bottom in ((-0.15, 0.3, 0.25, 1), (-0.78, -0.3, -0.42, 0.1), (0.42, -0.3, 0.78, 0.1)):
        box = [x + half * left, y + half * top, x + half * right, y + half * bottom]
        on.draw.rectangle(box, outline=on.ink, width=on.pen)
    return photographed(on, random)


def tree(random: Generator) -> Image.Image:
    """A bare tree: branches of branches."""
    on = sheet(random)

    def grow(foot: Point, angle: float, length: float, order: int) -> None:
        if order == 0:
            return
        tip = away(foot, length, angle)
        on.line([foot, tip], max(1, on.pen * order // 3))
        for way in (-1, 1):
            grow(tip, angle + way * random.uniform(0.2, 0.7), length * random.uniform(0.6, 0.85), order - 1)

    grow(
        (on.middle[0], on.page.height * 0.85), -pi / 2, on.side * random.uniform(0.18, 0.28), int(random.integers(3, 6))
    )
    return photographed(on, random)


def star(random: Generator) -> Image.Image:
    """A star of five to eight points, in outline or filled."""
    on = sheet(random)
    points, inner = int(random.integers(5, 9)), random.uniform(0.35, 0.65)
    radius, start = on.side * random.uniform(0.25, 0.44), random.uniform(0, 2 * pi)
    around = [away(on.middle, radius * (inner if at % 2 else 1), start + at * pi / points) for at in range(2 * points)]
    on.draw.polygon(around, outline=on.ink, width=on.pen, fill=on.ink if random.random() < 0.4 else None)
    return photographed(on, random)


def barcode(random: Generator) -> Image.Image:
    """Bars of many widths."""
    on = sheet(random)
    (wide, high), x = on.page.size, on.page.width * 0.15
    while x < 0.85 * wide:
        bar = random.uniform(1, 0.02 * wide)
        on.draw.rectangle([x, 0.25 * high, x + bar, 0.75 * high], fill=on.ink)
        x += bar + random.uniform(1, 0.025 * wide)
    return photographed(on, random)


def chart(random: Generator) -> Image.Image:
    """Two axes, and a line or bars."""
    on = sheet(random)
    wide, high = on.page.size
    on.line([(0.15 * wide, 0.1 * high), (0.15 * wide, 0.85 * high), (0.9 * wide, 0.85 * high)])
    places = np.linspace(0.2 * wide, 0.85 * wide, int(random.integers(4, 9))).tolist()
    levels = [high * random.uniform(0.2, 0.8) for _ in places]
    if random.random() < 0.5:
        on.line(list(zip(places, levels, strict=True)))
    else:
        for x, y in zip(places, levels, strict=True):
            on.draw.rectangle([x - 0.03 * wide, y, x + 0.03 * wide, 0.85 * high], fill=on.ink)
    return photographed(on, random)


def bricks(random: Generator) -> Image.Image:
    """A wall."""
    on = sheet(random)
    wide, high = on.page.size
    long, flat = random.uniform(20, 60), random.uniform(12, 30)
    for row in range(int(high / flat) + 1):
        y = row * flat
        on.line([(0, y), (wide, y)], 2)
        for x in np.arange(-long / 2 * (row % 2), wide, long).tolist():
            on.line([(x, y), (x, y + flat)], 2)
    return photographed(on, random, turn=20)


def tomogram(random: Generator) -> Image.Image:
    """A bright rim, grey inside it, and ellipses: either polarity."""
    on = sheet(random)
    page = Image.new("L", (220, 220), int(random.integers(0, 40)))
    draw, half, rim = ImageDraw.Draw(page), (random.uniform(55, 80), random.uniform(70, 100)), random.uniform(3, 12)
    for less, level in ((0.0, int(random.integers(180, 256))), (rim, int(random.integers(50, 130)))):
        across, down = half[0] - less, half[1] - less
        draw.ellipse([110 - across, 110 - down, 110 + across, 110 + down], fill=level)
    for _ in range(int(random.integers(3, 8))):
        x, y = (110 + random.uniform(-0.5, 0.5) * one for one in half)
        across, down = random.uniform(5, 22), random.uniform(5, 30)
        draw.ellipse([x - across, y - down, x + across, y + down], fill=int(random.integers(0, 170)))
    if random.random() < 0.3:
        page = page.point([255 - level for level in range(256)])
    corner = page.getpixel((2, 2))
    assert isinstance(corner, int)
    return photographed(Sheet(page, draw, on.ink, corner, on.pen, 220, (110, 110)), random, turn=30, blur=2.5)


# Of each ellipse: what it adds to the level, half its width and height, its middle, and its turn in degrees.
# Source: L. A. Shepp and B. F. Logan, "The Fourier Reconstruction of a Head Section", 1974, with the contrasts of
# P. A. Toft, 1996, which can be seen.
SHEPP_LOGAN = (
    (1.0, 0.69, 0.92, 0.0, 0.0, 0),
    (-0.8, 0.6624, 0.874, 0.0, -0.0184, 0),
    (-0.2, 0.11, 0.31, 0.22, 0.0, -18),
    (-0.2, 0.16, 0.41, -0.22, 0.0, 18),
    (0.1, 0.21, 0.25, 0.0, 0.35, 0),
    (0.1, 0.046, 0.046, 0.0, 0.1, 0),
    (0.1, 0.046, 0.046, 0.0, -0.1, 0),
    (0.1, 0.046, 0.023, -0.08, -0.605, 0),
    (0.1, 0.023, 0.023, 0.0, -0.606, 0),
    (0.1, 0.023, 0.046, 0.06, -0.605, 0),
)


def head_phantom(random: Generator) -> Image.Image:
    """Shepp and Logan's phantom of a head, its contrasts and turns a little changed, in some exposure, with noise."""
    across, up = np.meshgrid(axis := np.linspace(-1.1, 1.1, int(random.integers(80, 300))), -axis)
    level = np.zeros_like(across)
    for adds, wide, high, x, y, turn in SHEPP_LOGAN:
        angle = np.radians(turn + random.normal(0, 4))
        right, above = across - x, up - y
        along = (right * np.cos(angle) + above * np.sin(angle)) / wide
        beside = (above * np.cos(angle) - right * np.sin(angle)) / high
        level += adds * random.uniform(0.8, 1.2) * (along**2 + beside**2 <= 1)
    exposed = 255 * np.clip(level, 0, 1) ** random.uniform(0.5, 1.5)
    noisy = exposed + random.normal(0, random.uniform(0, 5), exposed.shape)
    page = Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8)).rotate(random.uniform(-12, 12))
    return page.filter(ImageFilter.GaussianBlur(random.uniform(0, 1.5)))


KINDS: dict[str, Callable[[Generator], Image.Image]] = {
    "clocks": clock,
    "road signs": road_sign,
    "arrows": arrow,
    "symbols": symbol,
    "houses": house,
    "trees": tree,
    "stars": star,
    "bar codes": barcode,
    "charts": chart,
    "bricks": bricks,
    "tomograms": tomogram,
    "head phantoms": head_phantom,
}
