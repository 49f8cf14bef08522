"""What devices do to pictures: paint programs, screens, shaking hands, darkness, compression, few pixels."""

import numpy as np
from hard_pages import photo
from hard_scenes import (
    PHOTO_SIZES,
    Drawing,
    Pose,
    developed,
    inked,
    lit,
    pen_of,
    quadrangle,
    sheet,
    size_of,
    writing,
)
from hard_writing import Line
from numpy.random import Generator
from PIL import Image, ImageDraw, ImageFont

from edge.bundle.input import COLUMNS, ROWS


def paint(random: Generator, line: Line) -> Drawing:
    """A paint program's canvas: any two colours that differ, anti-aliased or not."""
    size = ((300, 300), (640, 480), (1000, 800), (128, 128))[random.integers(4)]
    while True:
        ground, ink = random.uniform(0, 1, 3), random.uniform(0, 1, 3)
        if random.uniform() < 0.5:
            ground = np.ones(3) * random.integers(0, 2)
        if abs((ground - ink) @ np.array([0.299, 0.587, 0.114])) > 0.25:
            break
    cover = writing(random, line, size, Pose((0.3, 0.9), (0.02, 0.15)))
    if random.integers(2):
        cover = np.rint(cover)
    page = ground + cover[..., None] * (ink - ground)
    image = Image.fromarray(np.rint(page * 255).astype(np.uint8))
    return Drawing(image, "PNG", {}) if random.integers(2) else Drawing(image, options={"quality": 75})


def coloured_only(random: Generator, line: Line) -> Drawing:
    """Ink and ground of other hues but nearly the same lightness: red on green, yellow on white."""
    size = ((300, 300), (640, 480))[random.integers(2)]
    pairs = (
        ((1, 1, 1), (1, 0.95, 0.2)),
        ((0.2, 0.6, 0.2), (0.9, 0.3, 0.2)),
        ((0.4, 0.5, 0.9), (0.9, 0.4, 0.4)),
        ((0.95, 0.85, 0.2), (0.5, 0.95, 0.8)),
    )
    ground, ink = (np.array(colour) for colour in pairs[random.integers(len(pairs))])
    cover = writing(random, line, size, Pose((0.3, 0.9), (0.03, 0.12)))
    return Drawing(
        Image.fromarray(np.rint((ground + cover[..., None] * (ink - ground)) * 255).astype(np.uint8)), "PNG", {}
    )


def screenshot(random: Generator, line: Line) -> Drawing:
    """A canvas with round corners on a grey window, with a title bar, a button or two and their words."""
    size = ((700, 800), (1080, 1400), (900, 700))[random.integers(3)]
    dark = bool(random.integers(2))
    window, ground = ((0.18, 0.2) if dark else (0.93, 0.88)), (0.0 if random.uniform() < 0.3 else 1.0)
    picture = Image.new("RGB", size, (int(255 * window[0]),) * 3)
    pen = ImageDraw.Draw(picture)
    pen.rectangle((0, 0, size[0], int(0.07 * size[1])), fill=(int(255 * window[1]),) * 3)
    pen.text(
        (20, 0.02 * size[1]), "Draw a digit", fill=(230,) * 3 if dark else (40,) * 3, font_size=int(0.028 * size[1])
    )
    for button in range(random.integers(1, 4)):
        left = 0.08 * size[0] + button * 0.28 * size[0]
        pen.rounded_rectangle((left, 0.9 * size[1], left + 0.24 * size[0], 0.96 * size[1]), 12, fill=(60, 120, 220))
        pen.text(
            (left + 20, 0.912 * size[1]),
            ("Clear", "Predict", "Undo")[button],
            fill="white",
            font_size=int(0.026 * size[1]),
        )
    side = int(min(0.85 * size[0], 0.75 * size[1]))
    left, top = (size[0] - side) // 2, int(0.1 * size[1])
    pen.rounded_rectangle((left, top, left + side, top + side), int(0.05 * side), fill=(int(255 * ground),) * 3)
    cover = writing(random, line, (side, side), Pose((0.35, 0.8), (0.03, 0.12)))
    page = np.asarray(picture, np.float64) / 255
    at = np.s_[top : top + side, left : left + side]
    ink = 1 - ground
    page[at] = page[at] + cover[..., None] * (ink - page[at])
    return Drawing(Image.fromarray(np.rint(page * 255).astype(np.uint8)), "PNG", {})


def transparent(random: Generator, line: Line) -> Drawing:
    """Ink on nothing."""
    size = ((300, 300), (640, 480))[random.integers(2)]
    cover = writing(random, line, size, Pose((0.3, 0.9), (0.03, 0.12)))
    colour = random.uniform(0, 1, 3) if random.integers(2) else np.ones(3) * random.integers(0, 2)
    pixels = np.concatenate([np.broadcast_to(colour, (*cover.shape, 3)), cover[..., None]], axis=2)
    return Drawing(Image.fromarray(np.rint(pixels * 255).astype(np.uint8)), "PNG", {})


def screen(random: Generator, line: Line) -> Drawing:
    """A photo of a screen: pixels, moire, a dark rim."""
    size = PHOTO_SIZES[random.integers(3)]
    light_ground = bool(random.integers(2))
    cover = writing(random, line, size, Pose((0.3, 0.55), (0.04, 0.1), 0.06))
    level = cover * 0.85 + 0.05 if not light_ground else 0.9 - cover * 0.8
    y, x = np.mgrid[: size[1], : size[0]]
    moire = 1 + 0.06 * np.sin(x * random.uniform(0.05, 0.5) + y * random.uniform(0.05, 0.5)) * np.sin(y * 1.9)
    page = np.repeat((level * moire)[..., None], 3, axis=2)
    if random.integers(2):
        page = page * quadrangle(random, size, (0.01, 0.08))[..., None] + 0.03
    return Drawing(developed(random, lit(random, page, vignette=0.3), grain=(0.004, 0.015)))


def low_resolution(random: Generator, line: Line) -> Drawing:
    """Pictures of 32 to 72 pixels."""
    shown = photo(random, line)
    side = int(random.integers(32, 72))
    image = shown.image.convert("L").resize((side, side), Image.Resampling.BOX)
    return Drawing(image, options={"quality": int(random.integers(60, 95))})


def as_small_as_mnist(random: Generator, line: Line) -> Drawing:
    """28x28 pixels, framed in any way, dark on light mostly."""
    size = (280, 280)
    cover = writing(random, line, size, Pose((0.4, 0.95), (0.06, 0.16), 0.2))
    page = inked(sheet(random, size), cover, *pen_of(random))
    page = page if random.integers(2) else np.broadcast_to((1 - cover)[..., None], page.shape)
    image = developed(random, page, grain=(0, 0.01)).convert("L").resize((COLUMNS, ROWS), Image.Resampling.BOX)
    if random.uniform() < 0.25:
        image = Image.eval(image, lambda level: 255 - level)
    return Drawing(image, "PNG", {})


def jpeg_artefacts(random: Generator, line: Line) -> Drawing:
    """JPEG at qualities from 10 to 30."""
    shown = photo(random, line)
    size = (int(random.integers(120, 400)),) * 2
    return Drawing(
        shown.image.resize(size, Image.Resampling.BICUBIC), options={"quality": int(random.integers(10, 31))}
    )


def shaken(random: Generator, line: Line) -> Drawing:
    """Blurred by a moving hand."""
    shown = photo(random, line, Pose((0.35, 0.7), (0.03, 0.1)))
    pixels = np.asarray(shown.image, np.float64)
    reach = int(min(shown.image.size) * random.uniform(0.01, 0.03))
    step = random.integers(-1, 2, 2)
    moved = sum(np.roll(pixels, (int(step[0]) * by, int(step[1] or 1) * by), (0, 1)) for by in range(-reach, reach + 1))
    return Drawing(Image.fromarray(np.rint(np.asarray(moved) / (2 * reach + 1)).astype(np.uint8)))


def dim(random: Generator, line: Line) -> Drawing:
    """Taken in the dark."""
    size = size_of(random)
    page = lit(random, inked(sheet(random, size), writing(random, line, size), *pen_of(random)), vignette=0.3)
    return Drawing(developed(random, page * random.uniform(0.12, 0.35), grain=(0.01, 0.03)))


def plot(random: Generator, line: Line) -> Drawing:
    """A small image of a digit as a program plots it: large squares for pixels, axes with ticks and numbers."""
    cover = writing(random, line, (8 * COLUMNS, 8 * ROWS), Pose((0.65, 0.72), (0.09, 0.16), 0.02))
    small = Image.fromarray(np.rint(255 * cover).astype(np.uint8)).resize((COLUMNS, ROWS), Image.Resampling.BOX)
    side = int(random.integers(200, 420))
    grey = np.asarray(small.resize((side, side), Image.Resampling.NEAREST))
    margin = int(0.14 * side)
    image = Image.new("L", (side + 2 * margin, side + 2 * margin), 255)
    image.paste(Image.fromarray(grey if random.integers(2) else 255 - grey), (margin, margin))
    brush, font = ImageDraw.Draw(image), ImageFont.load_default(size=max(9, side // 28))
    brush.rectangle((margin - 1, margin - 1, margin + side, margin + side), outline=0)
    for pixel in range(0, COLUMNS, 5):
        place = margin + int((pixel + 0.5) * side / COLUMNS)
        brush.line((place, margin + side, place, margin + side + 4), fill=0)
        brush.line((margin - 4, place, margin, place), fill=0)
        brush.text((place - 5, margin + side + 6), str(pixel), fill=0, font=font)
        brush.text((margin - 22, place - 6), str(pixel), fill=0, font=font)
    return Drawing(image, "PNG", {})
