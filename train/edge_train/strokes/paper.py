"""A page and the photo of it: paper or blackboard, ink or chalk, lines, light and shadow, lens and sensor."""

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image, ImageFilter

# What full ink takes away from red, green and blue, relative to its contrast. Blue ink lets blue light through.
INKS: dict[str, tuple[float, float, float]] = {
    "blue": (1.0, 0.82, 0.35),
    "dark blue": (1.0, 0.92, 0.68),
    "black": (1.0, 1.0, 0.98),
    "grey pencil": (1.0, 0.99, 0.96),
}
CONTRASTS: dict[str, tuple[float, float]] = {
    "blue": (0.6, 0.9),
    "dark blue": (0.7, 0.95),
    "black": (0.75, 0.97),
    "grey pencil": (0.4, 0.7),
}
CHALK = (0.55, 0.9)
BOARDS: tuple[tuple[float, float, float], ...] = ((0.16, 0.24, 0.2), (0.13, 0.14, 0.14), (0.2, 0.22, 0.25))
RULED_SHARE, GRID_SHARE, SHADOW_SHARE = 0.15, 0.12, 0.25  # of the pages, where nothing is asked for


@dataclass(frozen=True, slots=True)
class PageSettings:
    """What is asked of a photo of a page; `None` leaves it to the random numbers.

    Attributes:
        inverted: light chalk on a blackboard, not dark ink on light paper.
        ruled: lines on the paper.
        grid: squares on the paper.
        shadow: something stands between the lamp and a part of the page.
        blur: standard deviation of the lens in pixels.
        ink_contrast: share of the light that full ink takes from the paper, or that chalk adds.
    """

    inverted: bool = False
    ruled: bool | None = None
    grid: bool | None = None
    shadow: bool | None = None
    blur: float | None = None
    ink_contrast: float | None = None


def photograph(cover: NDArray[np.float64], random: Generator, settings: PageSettings) -> NDArray[np.uint8]:
    """The photo of a page on which something is drawn.

    Args:
        cover: float64 (height, width), the share of each pixel that is inked.
        random: the source of everything that is not asked for. As many numbers are taken for it as without.
        settings: what the page and the photo have to be like.

    Returns:
        uint8 (height, width, 3), red, green, blue.
    """
    shape = (cover.shape[0], cover.shape[1])
    scale = min(shape) / 480  # of everything that is a length, so that large pictures show the same page
    ink = list(INKS)[random.integers(len(INKS))]
    chance = random.random(5)
    low, high = CHALK if settings.inverted else CONTRASTS[ink]
    ruled = chance[0] < RULED_SHARE if settings.ruled is None else settings.ruled
    grid = chance[1] < GRID_SHARE if settings.grid is None else settings.grid
    shadow = chance[2] < SHADOW_SHARE if settings.shadow is None else settings.shadow
    blur = (0.3 + 1.2 * chance[3] ** 2) * scale if settings.blur is None else settings.blur
    contrast = low + (high - low) * chance[4] if settings.ink_contrast is None else settings.ink_contrast
    sheet = _board(shape, random) if settings.inverted else _sheet(shape, random)
    sheet = sheet * (
        1 - _lines(shape, scale, random, rows=ruled or grid, columns=grid)[..., None] * np.array([1.0, 0.75, 0.5])
    )
    # Dry ink and chalk skip the valleys of the page, chalk and pencil most.
    skips = (0.5 if settings.inverted else 0.35 if ink == "grey pencil" else 0.08) * _noise(shape, 1.5 * scale, random)
    amount = (cover * np.clip(1 - np.abs(skips), 0.0, 1.0))[..., None] * contrast
    page = sheet + amount * (1 - sheet) if settings.inverted else sheet * (1 - amount * np.array(INKS[ink]))
    return _developed(page * _light(shape, random, shadow=shadow), float(blur), random)


def _sheet(shape: tuple[int, int], random: Generator) -> NDArray[np.float64]:
    """Paper, float64 (height, width, 3): its level, a warm or cold tint, its grain."""
    level, warmth = 0.72 + 0.25 * random.random(), random.random() * 1.4 - 0.4
    tint = level * (1 - warmth * np.array([0.0, 0.02, 0.08]))
    grain = 0.006 * _noise(shape, 1.0, random) + 0.008 * _noise(shape, 60.0, random)
    return np.asarray(tint * (1 + grain[..., None] * (0.5 + random.random())))


def _board(shape: tuple[int, int], random: Generator) -> NDArray[np.float64]:
    """A blackboard, float64 (height, width, 3): its colour and the clouds that the sponge left."""
    colour = np.array(BOARDS[random.integers(len(BOARDS))])
    clouds = 0.02 * _noise(shape, 3.0, random) + 0.06 * _noise(shape, 80.0, random)
    return np.asarray(np.clip(colour * (1 + clouds[..., None] * (0.5 + random.random())), 0.02, 1.0))


def _lines(
    shape: tuple[int, int], scale: float, random: Generator, *, rows: bool, columns: bool
) -> NDArray[np.float64]:
    """Share of the light that printed lines take, float64 (height, width)."""
    spacing, angle = scale * (26 + 26 * random.random()), (random.random() - 0.5) * 0.12
    strength, width, phases = 0.12 + 0.2 * random.random(), scale * (1 + 0.8 * random.random()), random.random(2)
    taken = np.zeros(shape)
    y, x = np.ogrid[: shape[0], : shape[1]]
    down, across = y * np.cos(angle) + x * np.sin(angle), x * np.cos(angle) - y * np.sin(angle)
    for wanted, position, phase in (
        (rows, down, phases[0]),
        (columns, across, phases[1]),
    ):
        if wanted:
            turns = position / spacing + phase
            beside = np.abs(turns - np.rint(turns)) * spacing
            taken = np.maximum(taken, np.clip((width - beside * 2) / 2 + 0.5, 0.0, 1.0))
    return taken * strength


def _light(shape: tuple[int, int], random: Generator, *, shadow: bool) -> NDArray[np.float64]:
    """Light on the page, float64 (height, width, 1): a lamp at one side, dark corners, the edge of a shadow."""
    y, x = np.ogrid[: shape[0], : shape[1]]
    x, y = x / shape[1] * 2 - 1, y / shape[0] * 2 - 1
    side = random.random() * 2 * np.pi
    falloff, corners, exposure = 0.22 * random.random() ** 1.5, 0.12 * random.random(), 0.82 + 0.22 * random.random()
    light = exposure * (1 - falloff * (0.5 + 0.5 * (x * np.cos(side) + y * np.sin(side))))
    light = light * (1 - corners * (x**2 + y**2))
    edge, soft, depth = random.random() * 1.2 - 0.6, 0.05 + 0.4 * random.random(), 0.15 + 0.3 * random.random()
    bend, side = (random.random() - 0.5) * 0.8, random.random() * 2 * np.pi
    if shadow:
        across, along = x * np.cos(side) + y * np.sin(side), y * np.cos(side) - x * np.sin(side)
        share = np.clip((across - edge - bend * along**2) / soft + 0.5, 0.0, 1.0)
        light = light * (1 - depth * share**2 * (3 - 2 * share))
    return np.asarray(light[..., None])


def _developed(page: NDArray[np.float64], blur: float, random: Generator) -> NDArray[np.uint8]:
    """The picture that lens and sensor make of light, uint8 (height, width, 3)."""
    picture = Image.fromarray(np.rint(np.clip(page, 0.0, 1.0) * 255).astype(np.uint8))
    seen = np.asarray(picture.filter(ImageFilter.GaussianBlur(blur)), np.float64)
    shape = (page.shape[0], page.shape[1])
    grey, colour = 0.4 + 2.2 * random.random(), 0.3 + 0.9 * random.random()  # standard deviations in grey levels
    seen += grey * random.standard_normal((*shape, 1)) + colour * random.standard_normal((*shape, 3))
    return np.rint(np.clip(seen, 0.0, 255.0)).astype(np.uint8)


def _noise(shape: tuple[int, int], grain: float, random: Generator) -> NDArray[np.float64]:
    """Smooth noise with standard deviation of about 1 and grains of `grain` pixels, float64 (height, width)."""
    grain = max(grain, 1.0)
    rows, columns = max(int(shape[0] / grain), 2), max(int(shape[1] / grain), 2)
    coarse = Image.fromarray(random.standard_normal((rows, columns)).astype(np.float32))
    return np.asarray(coarse.resize((shape[1], shape[0]), Image.Resampling.BICUBIC), np.float64)
