"""Where ordinary people's digits are found: desks, sheets, lines, light, cameras, scanners and paint programs.

A scene draws one picture of one digit, with what is here. The random numbers that it is given decide all of it.
Pages are float64 (H, W, 3), 0 to 1, until they are developed.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from hard_writing import Line, drawn
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageFont

Floats = NDArray[np.float64]
Size = tuple[int, int]  # width and height, pixels
Colour = tuple[float, float, float]

INKS: tuple[Colour, ...] = ((0.08, 0.08, 0.1), (0.1, 0.15, 0.5), (0.15, 0.2, 0.35), (0.6, 0.1, 0.12), (0.1, 0.35, 0.2))
PENCIL: Colour = (0.3, 0.3, 0.31)
PHOTO_SIZES: tuple[Size, ...] = ((480, 640), (640, 480), (600, 600), (800, 600), (900, 1200), (300, 260))


@dataclass(frozen=True, slots=True)
class Drawing:
    """A picture and how it is saved."""

    image: Image.Image
    kind: str = "JPEG"
    options: dict[str, int] = field(default_factory=lambda: {"quality": 88})

    def content(self) -> bytes:
        """The bytes of the file."""
        content = io.BytesIO()
        self.image.save(content, self.kind, **self.options)
        return content.getvalue()


@dataclass(frozen=True, slots=True)
class Pose:
    """How the digit lies in the picture; shares of the picture's shorter side, the pen of the digit's height."""

    tall: tuple[float, float] = (0.3, 0.7)
    pen: tuple[float, float] = (0.02, 0.1)
    beside: float = 0.12  # of the middle, either way
    skips: float = 0.0


def writing(random: Generator, line: Line, size: Size, pose: Pose = Pose()) -> Floats:
    """The share of ink of the digit, float64 (H, W), wholly inside the picture."""
    pen_share = pose.pen[0] * (pose.pen[1] / pose.pen[0]) ** random.uniform()
    extent = np.array(line.extent)
    tall = min(size) * random.uniform(*pose.tall)
    room = np.array(size) * 0.97
    tall = min(tall, *(room / (extent + pen_share)).tolist())
    pen = max(1.0, tall * pen_share)
    half = (extent * tall + pen) / 2 / np.array(size)
    middle = np.clip(0.5 + random.uniform(-pose.beside, pose.beside, 2), half + 0.005, 1 - half - 0.005)
    return drawn(line, size, tall=tall, pen=pen, middle=(float(middle[0]), float(middle[1])), skips=pose.skips)


def noise(random: Generator, size: Size, grain: float) -> Floats:
    """Smooth noise of standard deviation about 1, grains of that many pixels, float64 (H, W)."""
    grain = max(grain, 1.0)
    rows, columns = max(2, round(size[1] / grain)), max(2, round(size[0] / grain))
    coarse = Image.fromarray(random.standard_normal((rows, columns)).astype(np.float32))
    return np.asarray(coarse.resize(size, Image.Resampling.BICUBIC), np.float64)


def sheet(random: Generator, size: Size, colour: Colour | None = None) -> Floats:
    """Paper with its tint and grain."""
    if colour is None:
        level = random.uniform(0.75, 0.97)
        colour = (level, level * random.uniform(0.97, 1.0), level * random.uniform(0.9, 1.02))
    grain = 0.008 * noise(random, size, 1.2) + 0.01 * noise(random, size, 40)
    return np.asarray(np.array(colour) * (1 + grain[..., None]))


def desk(random: Generator, size: Size, level: tuple[float, float] = (0.1, 0.45)) -> Floats:
    """Wood or cloth, mostly brown or grey."""
    base = np.array([1.0, random.uniform(0.65, 1.0), random.uniform(0.4, 1.0)]) * random.uniform(*level)
    fibres = np.asarray(
        Image.fromarray(noise(random, (max(2, size[0] // 60), size[1]), 3).astype(np.float32)).resize(size),
        np.float64,
    )
    texture = 0.1 * fibres * random.integers(0, 2) + 0.05 * noise(random, size, 2) + 0.08 * noise(random, size, 90)
    return np.asarray(np.clip(base * (1 + texture[..., None]), 0, 1))


def inked(page: Floats, cover: Floats, ink: Colour, contrast: float) -> Floats:
    """The page with ink on it, which lets some of the paper through."""
    amount = (cover * contrast)[..., None]
    return np.asarray(page * (1 - amount) + page * np.array(ink) * amount)


def pen_of(random: Generator) -> tuple[Colour, float]:
    """An ink and how well it covers."""
    if random.uniform() < 0.25:
        return PENCIL, float(random.uniform(0.5, 0.9))
    return INKS[random.integers(len(INKS))], float(random.uniform(0.75, 1.0))


def plane(random: Generator, size: Size) -> tuple[Floats, Floats]:
    """Coordinates from -1 to 1 along and across a random direction, float64 (H, W) both."""
    y, x = np.mgrid[-1 : 1 : size[1] * 1j, -1 : 1 : size[0] * 1j]
    angle = random.uniform(0, 2 * np.pi)
    return x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)


def lit(random: Generator, page: Floats, *, shadow: str = "", vignette: float = 0.15) -> Floats:
    """The page under a lamp at one side, with dark corners and perhaps a shadow: "edge", "hand", "curl" or "fold"."""
    size = (page.shape[1], page.shape[0])
    along, across = plane(random, size)
    light = random.uniform(0.75, 1.0) * (1 - random.uniform(0, 0.25) * (0.5 + 0.5 * along))
    light = light * (1 - random.uniform(0, vignette) * (along**2 + across**2))
    depth, soft = random.uniform(0.25, 0.6), random.uniform(0.02, 0.4)
    along, across = plane(random, size)
    place = random.uniform(-0.6, 0.6)
    if shadow == "edge":
        light = light * (1 - depth * ramp((along - place - random.uniform(-0.3, 0.3) * across**2) / soft))
    elif shadow == "hand":
        fingers = np.zeros(size[::-1])
        for _ in range(random.integers(2, 5)):
            offset, wide, tip = random.uniform(-0.8, 0.8), random.uniform(0.08, 0.2), random.uniform(-0.5, 0.3)
            fingers = np.maximum(
                fingers, ramp((wide - np.abs(across - offset)) / soft / 0.5) * ramp((along - tip) / soft)
            )
        palm = ramp((along - random.uniform(0.2, 0.6)) / soft)
        light = light * (1 - depth * np.maximum(fingers, palm))
    elif shadow == "curl":
        light = light * (1 - depth * 0.6 * np.exp(-(((along - place) / random.uniform(0.15, 0.6)) ** 2)))
        light = light * (1 + 0.15 * np.sin(along * random.uniform(2, 5) + place))
    elif shadow == "fold":
        slope = np.where(along > place, along - place, 0.4 * (place - along))
        light = light * (1 - 0.3 * depth * np.exp(-slope * 6)) * np.where(along > place, 1, random.uniform(0.8, 0.95))
    return np.asarray(page * light[..., None])


def ramp(values: Floats) -> Floats:
    """0 to 1 with soft ends, steepest at 0."""
    share = np.clip(values + 0.5, 0, 1)
    return np.asarray(share**2 * (3 - 2 * share))


def developed(
    random: Generator,
    page: Floats,
    *,
    blur: tuple[float, float] = (0.3, 1.2),
    grain: tuple[float, float] = (0.002, 0.012),
) -> Image.Image:
    """What lens and sensor make of it; blur in pixels, grain in shares of white."""
    image = Image.fromarray(np.rint(np.clip(page, 0, 1) * 255).astype(np.uint8))
    image = image.filter(ImageFilter.GaussianBlur(random.uniform(*blur)))
    seen = np.asarray(image, np.float64) / 255
    deviation = random.uniform(*grain)
    seen = seen + deviation * random.standard_normal((*seen.shape[:2], 1))
    seen = seen + deviation / 2 * random.standard_normal(seen.shape)
    return Image.fromarray(np.rint(np.clip(seen, 0, 1) * 255).astype(np.uint8))


def size_of(random: Generator, sizes: tuple[Size, ...] = PHOTO_SIZES) -> Size:
    """One of the usual sizes."""
    return sizes[random.integers(len(sizes))]


def ruling(
    random: Generator, size: Size, *, columns: bool, spacing: float, width: float, strength: float
) -> tuple[Floats, Floats]:
    """The share that printed lines cover, float64 (H, W), and the rows of level lines at the left edge."""
    y, x = np.mgrid[: size[1], : size[0]].astype(np.float64)
    angle = random.uniform(-0.05, 0.05)
    phases = random.uniform(0, 1, 2)
    bend = random.uniform(0, 0.004) * size[1] * np.sin(x / size[0] * np.pi)
    cover = np.zeros(size[::-1])
    positions = [y * np.cos(angle) + x * np.sin(angle) + bend]
    if columns:
        positions.append(x * np.cos(angle) - y * np.sin(angle))
    for position, phase in zip(positions, phases, strict=False):
        turns = position / spacing + phase
        beside = np.abs(turns - np.rint(turns)) * spacing
        cover = np.maximum(cover, np.clip(width / 2 - beside + 0.5, 0, 1))
    rows = np.arange(-1, size[1] / spacing + 1) - phases[0]
    return cover * strength, rows * spacing


def text(random: Generator, size: Size, where: tuple[float, float], tall: int) -> Floats:
    """A printed word or two, the share of ink; `where` is the upper left corner in shares of the picture."""
    words = ("Name", "Date:", "Total", "Exercise 3", "page", "No.", "answer", "Figure", "Question", "see below")
    picture = Image.new("L", size)
    font = ImageFont.load_default(size=max(8, tall))
    said = " ".join(words[random.integers(len(words))] for _ in range(random.integers(1, 3)))
    ImageDraw.Draw(picture).text((where[0] * size[0], where[1] * size[1]), said, fill=255, font=font)
    return np.asarray(picture, np.float64) / 255


def quadrangle(random: Generator, size: Size, inset: tuple[float, float], soft: float = 1.5) -> Floats:
    """The share that a sheet in perspective covers, float64 (H, W)."""
    width, height = size
    corners = [
        (x + sx * random.uniform(*inset) * width, y + sy * random.uniform(*inset) * height)
        for x, y, sx, sy in ((0, 0, 1, 1), (width, 0, -1, 1), (width, height, -1, -1), (0, height, 1, -1))
    ]
    picture = Image.new("L", size)
    ImageDraw.Draw(picture).polygon(corners, fill=255)
    return np.asarray(picture.filter(ImageFilter.GaussianBlur(soft)), np.float64) / 255


def tilted(random: Generator, page: Floats, strength: float = 0.25) -> Floats:
    """The page seen from the side: a perspective that keeps all of it in the picture or nearly so."""
    height, width = page.shape[:2]
    shifts = random.uniform(0, strength, (4, 2)) * np.array([width, height])
    source = [
        (-shifts[0, 0], -shifts[0, 1]),
        (width + shifts[1, 0], -shifts[1, 1] * 0.3),
        (width + shifts[2, 0] * 0.3, height + shifts[2, 1]),
        (-shifts[3, 0] * 0.3, height + shifts[3, 1] * 0.3),
    ]
    target = [(0, 0), (width, 0), (width, height), (0, height)]
    rows: list[list[float]] = []
    right: list[float] = []
    for (x, y), (u, v) in zip(target, source, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        right += [u, v]
    turned = np.linalg.solve(np.array(rows), np.array(right)).tolist()
    image = Image.fromarray(np.rint(np.clip(page, 0, 1) * 255).astype(np.uint8))
    fill: Any = tuple(int(255 * level) for level in random.uniform(0.1, 0.5, 3))
    seen = image.transform(
        (width, height), Image.Transform.PERSPECTIVE, turned, Image.Resampling.BICUBIC, fillcolor=fill
    )
    return np.asarray(seen, np.float64) / 255


Scene = Callable[[Generator, Line], Drawing]
PairScene = Callable[[Generator, Line, Line], Drawing]
