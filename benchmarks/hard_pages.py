"""Photos of a page with one digit: light and shadow, paper, boards, and pens from a needle to a marker."""

from dataclasses import replace

import numpy as np
from hard_scenes import (
    INKS,
    PENCIL,
    Drawing,
    Pose,
    developed,
    inked,
    lit,
    noise,
    pen_of,
    sheet,
    size_of,
    tilted,
    writing,
)
from hard_writing import Line, drawn
from numpy.random import Generator
from PIL import Image

USUAL = Pose()


def photo(random: Generator, line: Line, pose: Pose = USUAL, shadow: str = "", **light: float) -> Drawing:
    """A page with a digit, photographed."""
    size = size_of(random)
    ink, contrast = pen_of(random)
    page = inked(sheet(random, size), writing(random, line, size, pose), ink, contrast)
    return Drawing(developed(random, lit(random, page, shadow=shadow, **light)))


def plain(random: Generator, line: Line) -> Drawing:
    """Nothing but paper and a pen."""
    return photo(random, line)


def perspective(random: Generator, line: Line) -> Drawing:
    """Seen from the side, with what lies below the sheet."""
    size = size_of(random)
    ink, contrast = pen_of(random)
    page = inked(sheet(random, size), writing(random, line, size, Pose((0.4, 0.75))), ink, contrast)
    return Drawing(developed(random, lit(random, tilted(random, page), vignette=0.4)))


def shadow_edge(random: Generator, line: Line) -> Drawing:
    """A shadow ends somewhere in the picture."""
    return photo(random, line, shadow="edge")


def hand_shadow(random: Generator, line: Line) -> Drawing:
    """The shadow of a hand and its fingers."""
    return photo(random, line, shadow="hand")


def curled(random: Generator, line: Line) -> Drawing:
    """Paper that does not lie flat."""
    return photo(random, line, shadow="curl")


def folded(random: Generator, line: Line) -> Drawing:
    """A fold through the page."""
    return photo(random, line, shadow="fold")


def crumpled(random: Generator, line: Line) -> Drawing:
    """Paper that was crumpled."""
    size = size_of(random)
    ink, contrast = pen_of(random)
    page = inked(sheet(random, size), writing(random, line, size), ink, contrast)
    facets = sum(np.abs(noise(random, size, grain)) for grain in (30, 60, 120))
    return Drawing(developed(random, lit(random, page * (1 - random.uniform(0.03, 0.08) * facets[..., None]))))


def coloured_paper(random: Generator, line: Line) -> Drawing:
    """Paper of any colour."""
    size = size_of(random)
    colour = tuple(random.uniform(0.35, 1.0, 3).tolist())
    page = inked(sheet(random, size, colour), writing(random, line, size), INKS[random.integers(3)], 0.9)
    return Drawing(developed(random, lit(random, page, shadow=("", "edge")[random.integers(2)])))


def kraft(random: Generator, line: Line) -> Drawing:
    """A brown envelope with its flap."""
    size = size_of(random)
    page = sheet(random, size, (0.72, 0.56, 0.4))
    page = page * (1 + random.uniform(0.02, 0.05) * noise(random, size, 2)[..., None])
    y, x = np.mgrid[: size[1], : size[0]]
    flap = np.abs(y - random.uniform(0.02, 0.3) * size[1] - x * random.uniform(-0.5, 0.5)) < 1.5
    page = page * (1 - 0.25 * flap[..., None])
    page = inked(page, writing(random, line, size), INKS[random.integers(3)], 0.9)
    return Drawing(developed(random, lit(random, page)))


def whiteboard(random: Generator, line: Line) -> Drawing:
    """A whiteboard with the reflections of lamps."""
    size = size_of(random)
    page = sheet(random, size, (0.8, 0.82, 0.84)) * (1 - 0.02 * np.abs(noise(random, size, 25))[..., None])
    cover = writing(random, line, size, Pose(pen=(0.03, 0.08)))
    page = inked(page, cover * (1 - 0.15 * np.abs(noise(random, size, 3))), INKS[random.integers(5)], 0.85)
    y, x = np.mgrid[: size[1], : size[0]] / min(size)
    page = lit(random, page, vignette=0.3)
    for _ in range(random.integers(1, 4)):
        centre, wide = random.uniform(0, 1, 2), random.uniform(0.03, 0.15)
        glare = np.exp(-(((x - centre[0]) ** 2 + (y - centre[1]) ** 2) / wide**2))
        page = page + 0.4 * glare[..., None] * (1 - page)
    return Drawing(developed(random, page))


def blackboard(random: Generator, line: Line) -> Drawing:
    """Chalk on a board."""
    size = size_of(random)
    board = np.array([(0.16, 0.24, 0.2), (0.13, 0.14, 0.14), (0.2, 0.22, 0.25)][random.integers(3)])
    page = board * (1 + 0.12 * noise(random, size, 60) + 0.04 * noise(random, size, 3))[..., None]
    cover = writing(random, line, size, Pose(pen=(0.03, 0.09))) * np.clip(
        1 - 0.4 * np.abs(noise(random, size, 1.5)), 0, 1
    )
    page = page + (cover * random.uniform(0.45, 0.9))[..., None] * (1 - page)
    return Drawing(developed(random, lit(random, page, vignette=0.3)))


def faint_pencil(random: Generator, line: Line) -> Drawing:
    """A pencil that takes 4 to 10 hundredths of the light."""
    size = size_of(random)
    cover = writing(random, line, size, Pose(pen=(0.015, 0.05)))
    page = inked(sheet(random, size), cover, (0, 0, 0), random.uniform(0.04, 0.1))
    page = lit(random, page, shadow=("", "", "edge")[random.integers(3)])
    return Drawing(developed(random, page, blur=(0.3, 0.8), grain=(0.001, 0.005)), options={"quality": 92})


def needle(random: Generator, line: Line) -> Drawing:
    """Lines of 1 to 2 pixels in a large picture."""
    size = ((2400, 1800), (1500, 2000), (1800, 1800))[random.integers(3)]
    ink, contrast = pen_of(random)
    cover = writing(random, line, size, Pose((0.3, 0.7), (0.001, 0.003)))
    page = inked(sheet(random, size), cover, ink, contrast)
    return Drawing(developed(random, lit(random, page), blur=(0.3, 0.8)))


def thick(random: Generator, line: Line) -> Drawing:
    """A marker."""
    size = size_of(random)
    ink, contrast = pen_of(random)
    cover = writing(random, line, size, Pose((0.5, 0.8), (0.15, 0.25)))
    return Drawing(developed(random, lit(random, inked(sheet(random, size), cover, ink, contrast))))


def cropped(picture: Image.Image, cover: np.ndarray, margin: int) -> Image.Image:
    """The part of a picture around its ink."""
    rows, columns = np.flatnonzero(cover.any(axis=1)), np.flatnonzero(cover.any(axis=0))
    height, width = cover.shape
    return picture.crop(
        (
            max(0, int(columns[0]) - margin),
            max(0, int(rows[0]) - margin),
            min(width, int(columns[-1]) + 1 + margin),
            min(height, int(rows[-1]) + 1 + margin),
        )
    )


def thick_cropped(random: Generator, line: Line) -> Drawing:
    """A marker, cut out closely."""
    size = (600, 600)
    cover = writing(random, line, size, Pose((0.6, 0.8), (0.1, 0.22), 0.02))
    page = lit(random, inked(sheet(random, size), cover, INKS[random.integers(3)], 0.95))
    return Drawing(cropped(developed(random, page), cover > 0.5, int(random.integers(0, 40))))


def mostly_ink(random: Generator, line: Line) -> Drawing:
    """A marker so thick that most of what is cut out is ink."""
    size = (600, 600)
    cover = writing(random, line, size, Pose((0.6, 0.8), (0.24, 0.34), 0.02))
    page = lit(random, inked(sheet(random, size), cover, INKS[random.integers(3)], 0.95))
    return Drawing(cropped(developed(random, page), cover > 0.5, int(random.integers(0, 10))))


def skipping_pen(random: Generator, line: Line) -> Drawing:
    """Short gaps along the strokes."""
    return photo(random, line, Pose(pen=(0.02, 0.06), skips=0.12))


def outlined(random: Generator, line: Line) -> Drawing:
    """Pencil shading: several thin strokes beside each other."""
    size = size_of(random)
    seed = random.integers(1 << 30)
    pose = Pose(pen=(0.008, 0.015))
    cover = np.max(
        [
            writing(np.random.default_rng(seed), replace(line, points=line.points + shift), size, pose)
            for shift in random.normal(0, 0.012, (5, 1, 2))
        ],
        axis=0,
    )
    return Drawing(developed(random, lit(random, inked(sheet(random, size), cover, PENCIL, 0.8))))


def at_the_edge(random: Generator, line: Line) -> Drawing:
    """Near the border of the picture, or cut by it a little."""
    size = size_of(random)
    tall = min(size) * random.uniform(0.35, 0.7)
    pen = max(2.0, tall * random.uniform(0.03, 0.1))
    middle = random.uniform(0.4, 0.6, 2)
    axis = random.integers(2)
    beside = (line.extent[axis] * tall / 2 + pen * random.uniform(-0.3, 2.0)) / size[axis]
    middle[axis] = (beside, 1 - beside)[random.integers(2)]
    cover = drawn(line, size, tall=tall, pen=pen, middle=(float(middle[0]), float(middle[1])))
    ink, contrast = pen_of(random)
    return Drawing(developed(random, lit(random, inked(sheet(random, size), cover, ink, contrast))))


def tiny(random: Generator, line: Line) -> Drawing:
    """A digit of 3 to 8 hundredths of a large picture."""
    size = ((2000, 1500), (1500, 2000), (1600, 1600))[random.integers(3)]
    ink, contrast = pen_of(random)
    cover = writing(random, line, size, Pose((0.03, 0.08), (0.05, 0.12), 0.25))
    return Drawing(developed(random, lit(random, inked(sheet(random, size), cover, ink, contrast))))
