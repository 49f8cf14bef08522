"""What else is in the picture beside the digit: lines, frames, other writing, scanner edges, desks."""

from dataclasses import replace

import numpy as np
from hard_scenes import (
    INKS,
    Drawing,
    Pose,
    desk,
    developed,
    inked,
    lit,
    pen_of,
    quadrangle,
    ruling,
    sheet,
    size_of,
    text,
    writing,
)
from hard_writing import Line, drawn
from numpy.random import Generator
from PIL import Image, ImageDraw, ImageFilter


def lined(
    random: Generator,
    line: Line,
    columns: bool,
    strength: tuple[float, float],
    thick: tuple[float, float] = (0.03, 0.08),
) -> Drawing:
    """Ruled or squared paper."""
    size = size_of(random)
    spacing = min(size) * random.uniform(0.05, 0.25)
    width = max(1.0, spacing * random.uniform(*thick))
    cover, _ = ruling(random, size, columns=columns, spacing=spacing, width=width, strength=random.uniform(*strength))
    takes = np.array([(1.0, 0.8, 0.5), (1, 1, 1), (0.5, 1, 1), (1, 0.6, 1)][random.integers(4)])
    page = sheet(random, size) * (1 - cover[..., None] * takes)
    ink, contrast = pen_of(random)
    page = inked(page, writing(random, line, size, Pose((0.3, 0.7), (0.03, 0.1))), ink, contrast)
    return Drawing(developed(random, lit(random, page, shadow=("", "", "edge")[random.integers(3)])))


def grid(random: Generator, line: Line) -> Drawing:
    """Squared paper of any spacing."""
    return lined(random, line, columns=True, strength=(0.1, 0.4))


def dark_grid(random: Generator, line: Line) -> Drawing:
    """Squared paper with lines nearly as dark as ink."""
    return lined(random, line, columns=True, strength=(0.45, 0.75), thick=(0.05, 0.1))


def ruled(random: Generator, line: Line) -> Drawing:
    """Ruled paper of any spacing."""
    return lined(random, line, columns=False, strength=(0.1, 0.4))


def dark_ruled(random: Generator, line: Line) -> Drawing:
    """Ruled paper with lines nearly as dark as ink."""
    return lined(random, line, columns=False, strength=(0.45, 0.75), thick=(0.04, 0.1))


def on_the_line(random: Generator, line: Line) -> Drawing:
    """The digit stands on a ruled line, as high as the space between two, or two of them."""
    size = size_of(random)
    spacing = min(size) * random.uniform(0.15, 0.4)
    cover, rows = ruling(
        random,
        size,
        columns=False,
        spacing=spacing,
        width=max(1.0, min(size) * 0.006),
        strength=random.uniform(0.2, 0.6),
    )
    inside = rows[(rows > 0.4 * size[1]) & (rows < 0.9 * size[1])]
    foot = float(inside[0]) if len(inside) else 0.7 * size[1]
    high = line.extent[1]
    tall = min(spacing * random.choice([1, 2]) / high, 0.8 * size[0], foot / high * 0.95)
    pen = max(2.0, tall * random.uniform(0.03, 0.09))
    middle = (random.uniform(0.4, 0.6), (foot - tall * high / 2) / size[1])
    ink, contrast = pen_of(random)
    page = sheet(random, size) * (1 - cover[..., None] * np.array((1, 0.8, 0.5)))
    page = inked(page, drawn(line, size, tall=tall, pen=pen, middle=middle), ink, contrast)
    return Drawing(developed(random, lit(random, page)))


def notebook(random: Generator, line: Line) -> Drawing:
    """Ruled or squared, with a red margin line and punched holes."""
    size = size_of(random)
    cover, _ = ruling(
        random,
        size,
        columns=bool(random.integers(2)),
        spacing=min(size) * random.uniform(0.06, 0.12),
        width=max(1.0, 0.004 * min(size)),
        strength=random.uniform(0.1, 0.4),
    )
    page = sheet(random, size) * (1 - cover[..., None] * np.array((1, 0.8, 0.5)))
    y, x = np.mgrid[: size[1], : size[0]]
    margin = size[0] * random.uniform(0.1, 0.22) + (y - size[1] / 2) * random.uniform(-0.04, 0.04)
    red = np.clip(0.004 * min(size) + 0.5 - np.abs(x - margin), 0, 1)
    page = page * (1 - red[..., None] * np.array((0.15, 0.6, 0.6)))
    for _ in range(random.integers(1, 4)):
        centre = margin * 0.5, random.uniform(0, 1) * size[1]
        hole = np.clip(0.02 * min(size) - np.hypot(x - centre[0], y - centre[1]) + 0.5, 0, 1)
        page = page * (1 - hole[..., None] * random.uniform(0.4, 0.8))
    ink, contrast = pen_of(random)
    page = inked(page, writing(random, line, size, Pose((0.25, 0.6), (0.03, 0.1))), ink, contrast)
    return Drawing(developed(random, lit(random, page)))


def neighbours(random: Generator, line: Line) -> Drawing:
    """Other writing reaches into the picture from its edges."""
    size = size_of(random)
    pose = Pose((0.4, 0.6), (0.03, 0.1), 0.06)
    cover = writing(random, line, size, pose)
    for side in random.permutation(4)[: random.integers(1, 3)].tolist():
        out = random.uniform(-0.02, 0.03)
        middle = [(out, 0.5), (0.5, out), (1 - out, 0.5), (0.5, 1 - out)][side]
        turned = replace(line, points=1 - line.points)
        cover = np.maximum(cover, drawn(turned, size, tall=0.3 * min(size), pen=0.02 * min(size), middle=middle))
    ink, contrast = pen_of(random)
    return Drawing(developed(random, lit(random, inked(sheet(random, size), cover, ink, contrast))))


def printed_text(random: Generator, line: Line) -> Drawing:
    """A printed word above or below."""
    size = size_of(random)
    cover = writing(random, line, size, Pose((0.35, 0.6), (0.03, 0.09), 0.06))
    tall = int(min(size) * random.uniform(0.03, 0.08))
    words = text(random, size, (random.uniform(0.02, 0.4), random.choice([0.03, 0.88])), tall)
    page = sheet(random, size) * (1 - 0.85 * words[..., None])
    return Drawing(developed(random, lit(random, inked(page, cover, *pen_of(random)))))


def in_a_box(random: Generator, line: Line) -> Drawing:
    """A form's field around the digit."""
    size = size_of(random)
    side = min(size) * random.uniform(0.6, 0.9)
    picture = Image.new("L", size)
    middle = np.array(size) / 2 + random.uniform(-0.03, 0.03, 2) * min(size)
    corners = [*(middle - side / 2).tolist(), *(middle + side / 2).tolist()]
    ImageDraw.Draw(picture).rectangle(corners, outline=255, width=max(1, int(min(size) * random.uniform(0.003, 0.012))))
    frame = np.asarray(picture.rotate(random.uniform(-4, 4), Image.Resampling.BICUBIC), np.float64) / 255
    page = sheet(random, size) * (1 - random.uniform(0.4, 0.9) * frame[..., None])
    cover = writing(random, line, size, Pose((0.25, 0.5), (0.03, 0.1), 0.04))
    return Drawing(developed(random, lit(random, inked(page, cover, *pen_of(random)))))


def touching_a_box(random: Generator, line: Line) -> Drawing:
    """The lines of a field or of a table, thinner than the pen, that the digit touches; some go on into the page."""
    size = size_of(random)
    tall = min(size) * random.uniform(0.4, 0.6)
    pen = tall * random.uniform(0.04, 0.07)
    half = np.array(line.extent) * tall / 2
    half = np.maximum(half, 0.3 * tall) + tall * random.uniform(-0.02, 0.09, 2)
    left, top, right, bottom = (*(np.array(size) / 2 - half).tolist(), *(np.array(size) / 2 + half).tolist())
    picture = Image.new("L", size)
    brush, width = ImageDraw.Draw(picture), max(1, int(0.012 * tall))
    longer = random.uniform(size=8) < 0.4
    for at, x in enumerate((left, right)):
        brush.line((x, 0 if longer[at] else top, x, size[1] if longer[at + 2] else bottom), fill=255, width=width)
    for at, y in enumerate((top, bottom), 4):
        brush.line((0 if longer[at] else left, y, size[0] if longer[at + 2] else right, y), fill=255, width=width)
    box = np.asarray(picture.rotate(random.uniform(-2, 2), Image.Resampling.BICUBIC), np.float64) / 255
    page = sheet(random, size) * (1 - random.uniform(0.4, 0.75) * box[..., None])
    cover = drawn(line, size, tall=tall, pen=pen, middle=(0.5, 0.5))
    return Drawing(developed(random, lit(random, inked(page, cover, *pen_of(random)))))


def finger_shadow(random: Generator, line: Line) -> Drawing:
    """Shadows of one to three fingers that point at the digit: sharp, dark, a few times as wide as the pen's line."""
    size = size_of(random)
    shorter = min(size)
    cover = writing(random, line, size, Pose((0.35, 0.65), (0.025, 0.06)))
    hand = np.array(((0, 0.5), (1, 0.5), (0.5, 1))[random.integers(3)]) * size
    picture = Image.new("L", size)
    brush = ImageDraw.Draw(picture)
    for _ in range(random.integers(1, 4)):
        start = hand + random.uniform(-0.3, 0.3, 2) * shorter
        tip = np.array(size) / 2 + random.uniform(-0.25, 0.25, 2) * shorter
        radius = shorter * random.uniform(0.04, 0.1)
        brush.line([*start.tolist(), *tip.tolist()], fill=255, width=int(2 * radius))
        brush.ellipse([*(tip - radius).tolist(), *(tip + radius).tolist()], fill=255)
    soft = picture.filter(ImageFilter.GaussianBlur(shorter * random.uniform(0.004, 0.03)))
    shadow = np.asarray(soft, np.float64)[..., None] / 255
    page = inked(sheet(random, size), cover, *pen_of(random))
    return Drawing(developed(random, lit(random, page * (1 - random.uniform(0.3, 0.6) * shadow))))


def scanned(random: Generator, line: Line, uneven: bool) -> Image.Image:
    """A page reduced to black and white by one threshold."""
    size = ((600, 800), (850, 1100), (500, 500))[random.integers(3)]
    ink, contrast = pen_of(random)
    page = inked(sheet(random, size), writing(random, line, size, Pose((0.15, 0.6), (0.02, 0.08))), ink, contrast)
    page = lit(random, page, shadow="edge") if uneven else page
    grey = np.asarray(developed(random, page).convert("L"))
    return Image.fromarray(grey > random.uniform(0.55, 0.85) * np.median(grey))


def black_and_white(random: Generator, line: Line) -> Drawing:
    """A page reduced to black and white."""
    return Drawing(scanned(random, line, uneven=False), "PNG", {})


def black_and_white_uneven(random: Generator, line: Line) -> Drawing:
    """The same with a shadow, which becomes black."""
    return Drawing(scanned(random, line, uneven=True), "PNG", {})


def grey_scan(random: Generator, line: Line) -> Drawing:
    """A scan in grey with dark borders and dirt on the glass."""
    size = ((600, 800), (850, 1100), (1240, 900))[random.integers(3)]
    ink, contrast = pen_of(random)
    page = inked(sheet(random, size), writing(random, line, size, Pose((0.15, 0.6), (0.01, 0.06))), ink, contrast)
    y, x = np.mgrid[: size[1], : size[0]]
    for side in random.permutation(4)[: random.integers(1, 4)].tolist():
        distance = (x, y, size[0] - 1 - x, size[1] - 1 - y)[side] + random.uniform(-0.02, 0.02) * (y, x, y, x)[side]
        wide = random.uniform(0.005, 0.06) * min(size)
        dark = np.clip((wide - distance) / 3 + 0.5, 0, 1) * random.uniform(0.4, 0.98)
        fading = 0.25 * np.exp(-np.maximum(distance - wide, 0) / (0.03 * min(size)))
        page = page * (1 - np.maximum(dark, fading))[..., None]
    specks = (random.random(size[::-1]) < 2e-5).astype(np.uint8) * 255
    dirt = np.asarray(Image.fromarray(specks).filter(ImageFilter.MaxFilter(3)), np.float64) / 255
    page = page * (1 - 0.6 * dirt[..., None])
    return Drawing(developed(random, page, blur=(0.3, 0.7)).convert("L"))


def on_a_desk(
    random: Generator, line: Line, colour: tuple[float, float, float] | None, inset: tuple[float, float]
) -> Drawing:
    """A sheet that lies on something dark."""
    size = size_of(random)
    covered = quadrangle(random, size, inset)
    y, x = np.nonzero(covered > 0.95)
    width, height = int(np.ptp(x)), int(np.ptp(y))
    tall = min(width, height) * random.uniform(0.35, 0.6)
    pen = max(1.5, tall * random.uniform(0.03, 0.1))
    cover = drawn(line, size, tall=tall, pen=pen, middle=(float(x.mean()) / size[0], float(y.mean()) / size[1]))
    page = inked(sheet(random, size, colour), cover, *pen_of(random))
    below = desk(random, size)
    shade = (
        np.asarray(
            Image.fromarray(np.rint(covered * 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(8)), np.float64
        )
        / 255
    )
    below = below * (1 - 0.4 * shade[..., None])
    page = below + covered[..., None] * (page - below)
    return Drawing(developed(random, lit(random, page, shadow=("", "edge")[random.integers(2)])))


def dark_desk(random: Generator, line: Line) -> Drawing:
    """A whole sheet on a dark desk."""
    return on_a_desk(random, line, None, (0.03, 0.22))


def sheet_corner(random: Generator, line: Line) -> Drawing:
    """The sheet leaves the picture at some sides."""
    return on_a_desk(random, line, None, (-0.15, 0.1))


def sticky_note(random: Generator, line: Line) -> Drawing:
    """A coloured note on a desk."""
    colour = ((0.98, 0.92, 0.4), (0.98, 0.6, 0.7), (0.6, 0.9, 0.6), (0.5, 0.8, 0.95))[random.integers(4)]
    return on_a_desk(random, line, colour, (0.1, 0.25))


def textured(random: Generator, line: Line) -> Drawing:
    """Tissue, canvas, a light wooden board."""
    size = size_of(random)
    page = desk(random, size, (0.6, 0.9))
    cover = writing(random, line, size, Pose(pen=(0.05, 0.12)))
    return Drawing(developed(random, lit(random, inked(page, cover, INKS[random.integers(3)], 0.95))))
