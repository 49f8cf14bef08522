"""Drawn signs beside digits, in two halves, one to fit to and one to judge by; and digits with signs between them."""

from collections.abc import Callable
from itertools import pairwise
from typing import Final

import numpy as np
from hard_scenes import Floats
from hard_sheet import Sheet
from numpy.random import Generator
from PIL import Image

Drawing = list[Floats]  # polylines, float64 (P, 2) each: x and y, in heights of the sign

ROUND: Final = np.linspace(0, 2 * np.pi, 40)


def _lines(*paths: tuple[tuple[float, float], ...]) -> Callable[[Generator], Drawing]:
    return lambda _: [np.array(path, np.float64) for path in paths]


def _ring(size: tuple[float, float], middle: tuple[float, float], part: tuple[float, float] = (0, 1)) -> Floats:
    angle = 2 * np.pi * np.linspace(*part, 40)
    return np.asarray(np.array(middle) + np.array(size) / 2 * np.stack([np.cos(angle), np.sin(angle)], axis=1))


def _asterisk(spokes: int) -> Callable[[Generator], Drawing]:
    def draw(random: Generator) -> Drawing:
        angle = np.pi * (np.arange(spokes) / spokes + random.uniform(0, 1))
        ends = 0.5 * np.stack([np.cos(angle), np.sin(angle)], axis=1)
        return [np.stack([0.5 - end, 0.5 + end]) for end in ends]

    return draw


def _pentagram(random: Generator) -> Drawing:
    angle = -np.pi / 2 + np.arange(6) * 4 * np.pi / 5 + random.uniform(-0.15, 0.15)
    return [0.5 + 0.5 * np.stack([np.cos(angle), np.sin(angle)], axis=1)]


def _outlined_star(random: Generator) -> Drawing:
    points = int(random.integers(5, 7))
    angle = -np.pi / 2 + np.arange(2 * points + 1) * np.pi / points
    radius = np.where(np.arange(2 * points + 1) % 2, random.uniform(0.18, 0.28), 0.5)
    return [0.5 + radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)]


def _smiley(eyes: float) -> Callable[[Generator], Drawing]:
    def draw(random: Generator) -> Drawing:
        mouth = random.uniform(0.3, 0.6)
        dots = [_ring((eyes, eyes * 1.5), (x, 0.38)) for x in (0.33, 0.67)]
        return [_ring((1, 1), (0.5, 0.5)), *dots, _ring((mouth, mouth * 0.8), (0.5, 0.58), (0.03, 0.47))]

    return draw


def _arrow(back: float, side: float, *, double: bool = False) -> Callable[[Generator], Drawing]:
    def draw(random: Generator) -> Drawing:
        long = random.uniform(0.8, 1.6)
        head = np.array([[long - back, 0.5 - side], [long, 0.5], [long - back, 0.5 + side]])
        tail = np.array([[back, 0.5 - side], [0, 0.5], [back, 0.5 + side]])
        paths = [np.array([[0, 0.5], [long, 0.5]]), head, *([tail] if double else [])]
        quarter = int(random.integers(4))  # to the right, up, to the left, down
        turn = np.array([[0, -1], [1, 0]])
        return [np.asarray(path @ np.linalg.matrix_power(turn, quarter)) for path in paths]

    return draw


def _bracket(x: float, start: float, end: float) -> Callable[[Generator], Drawing]:
    return lambda _: [_ring((0.5, 1.2), (x, 0.5), (start, end))]


def _euro(_: Generator) -> Drawing:
    bars = [np.array([[0, y], [0.7, y]]) for y in (0.4, 0.6)]
    return [_ring((0.8, 0.9), (0.6, 0.5), (0.12, 0.88)), *bars]


def _dollar(_: Generator) -> Drawing:
    bows = [_ring((0.6, 0.5), (0.35, y), part) for y, part in ((0.27, (0.1, 0.75)), (0.73, (-0.25, 0.4)))]
    return [*bows, np.array([[0.35, -0.1], [0.35, 1.1]])]


def _percent(_: Generator) -> Drawing:
    return [_ring((0.4, 0.4), (0.2, 0.2)), _ring((0.4, 0.4), (0.9, 0.8)), np.array([[1.0, 0], [0.1, 1]])]


def _question(_: Generator) -> Drawing:
    point = _ring((0.05, 0.05), (0.3, 0.95))
    return [_ring((0.6, 0.5), (0.3, 0.25), (-0.5, 0.25)), np.array([[0.3, 0.5], [0.3, 0.72]]), point]


CROSS: Final = _lines(((0, 0), (0.9, 1)), ((0.9, 0), (0, 1)))
EQUALS: Final = _lines(((0, 0.35), (0.7, 0.35)), ((0, 0.7), (0.7, 0.7)))
PLUS: Final = _lines(((0.5, 0), (0.5, 1)), ((0, 0.5), (1, 0.5)))
TICK: Final = _lines(((0, 0.6), (0.3, 1), (1, 0)))
TICK_WITH_A_CORNER: Final = _lines(((0.1, 0.3), (0.4, 0.9), (0.6, 0.7), (1.1, -0.2)))
HASH: Final = _lines(((0.3, 0), (0.2, 1)), ((0.7, 0), (0.6, 1)), ((0, 0.33), (0.95, 0.33)), ((0, 0.67), (0.9, 0.67)))
YEN: Final = _lines(
    ((0, 0), (0.4, 0.5), (0.4, 1)), ((0.8, 0), (0.4, 0.5)), ((0.1, 0.55), (0.7, 0.55)), ((0.1, 0.75), (0.7, 0.75))
)
TRIANGLE: Final = _lines(((0.5, 0), (1, 1), (0, 1), (0.5, 0)))
SQUARE: Final = _lines(((0, 0), (0.9, 0), (0.9, 0.9), (0, 0.9), (0, 0)))
HOUSE: Final = _lines(((0, 0.4), (0.5, 0), (1, 0.4)), ((0.1, 0.4), (0.1, 1), (0.9, 1), (0.9, 0.4)))
HEART: Final = _lines(
    ((0.5, 1), (0.05, 0.45), (0.05, 0.15), (0.3, 0), (0.5, 0.25), (0.7, 0), (0.95, 0.15), (0.95, 0.45), (0.5, 1))
)
SQUARE_BRACKET: Final = _lines(((0.35, 0), (0, 0), (0, 1), (0.35, 1)))
CLOSING_SQUARE_BRACKET: Final = _lines(((0, 0), (0.35, 0), (0.35, 1), (0, 1)))

# To fit to, and kept from it. What is nothing else than a digit to anybody (a ring, an upright stroke) is in neither.
SIGNS: Final[tuple[tuple[Callable[[Generator], Drawing], ...], ...]] = (
    (
        *(_asterisk(3), _pentagram, _arrow(0.3, 0.25), CROSS, EQUALS, TICK, SQUARE_BRACKET, _smiley(0.06)),
        *(_euro, HASH, TRIANGLE, HOUSE, _percent, _bracket(0.6, 0.3, 0.7)),
    ),
    (
        *(_asterisk(4), _outlined_star, _arrow(0.4, 0.4), _arrow(0.25, 0.2, double=True), PLUS, TICK_WITH_A_CORNER),
        *(CLOSING_SQUARE_BRACKET, _smiley(0.1), _dollar, YEN, SQUARE, HEART, _question, _bracket(0.0, -0.2, 0.2)),
    ),
)


def sign(page: Sheet, left: float, foot: float, size: float) -> float:
    """One drawn sign, by a hand that shakes a little; where its ink ends."""
    half = SIGNS[page.is_held]
    random = page.random
    angle, wide = random.uniform(-0.15, 0.15), random.uniform(0.8, 1.2)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]) * np.array([wide, 1])
    paths = [_shaken(path, random) @ turn for path in half[int(random.integers(len(half)))](random)]
    low = np.min([path.min(axis=0) for path in paths], axis=0)
    high = np.max([path.max(axis=0) for path in paths], axis=0)
    for path in paths:
        page.path(path - low, foot - (high[1] - low[1]) * size, left, size)
    page.others = True
    return left + float(high[0] - low[0]) * size


def _shaken(path: Floats, random: Generator) -> Floats:
    """The path in short steps, a little off its way."""
    steps = np.concatenate([np.linspace(one, other, 9)[:-1] for one, other in pairwise(path)] + [path[-1:]])
    noise = random.normal(0, 0.05, (len(steps) + 8, 2))
    smooth = np.stack([np.convolve(noise[:, axis], np.ones(9) / 9, "valid") for axis in (0, 1)], axis=1)
    return np.asarray(steps + smooth)


def signs_above(page: Sheet) -> Image.Image:
    """A line of signs above the digits, or below them."""
    above = bool(page.random.integers(2))
    rows = page.rows(2, (4, 7), top=2.9 if above else 1.5)
    foot = page.tall * (1.2 if above else 1.5 + 1.7 * rows)
    left = page.tall * page.random.uniform(0.4, 1.5)
    for _ in range(int(page.random.integers(1, 5))):
        left = sign(page, left, foot, page.tall * page.random.uniform(0.5, 0.95))
        left += page.tall * page.random.uniform(0.2, 0.7)
    return page.photo()


def signs_beside(page: Sheet) -> Image.Image:
    """Signs before a number or behind it, on the same line."""
    foot, left = page.tall * 1.6, page.tall * 0.6
    before = bool(page.random.integers(2))
    counts = int(page.random.integers(1, 3)) if before else 0, int(not before or page.random.integers(3) == 0)
    for _ in range(counts[0]):
        left = sign(page, left, foot, page.tall * page.random.uniform(0.6, 0.95))
        left += page.tall * page.random.uniform(0.35, 0.7)
    left = page.number(int(page.random.integers(2, 6)), left, foot)
    for _ in range(counts[1]):
        left += page.tall * page.random.uniform(0.2, 0.5)
        left = sign(page, left, foot, page.tall * page.random.uniform(0.6, 0.95))
    return page.photo()


def circled(page: Sheet) -> Image.Image:
    """A number with a ring around it, alone or above another."""
    foot, left = page.tall * 1.8, page.tall * 1.0
    end = page.number(int(page.random.integers(1, 5)), left, foot) - page.tall * 0.15
    angle = ROUND * page.random.uniform(0.97, 1.1) + page.random.uniform(0, 6)
    wide = (end - left) / page.tall / 2 + page.random.uniform(0.45, 0.8)
    ring = np.stack([wide * np.cos(angle), page.random.uniform(0.85, 1.1) * np.sin(angle)], axis=1)
    page.path(ring, foot - page.tall * 0.5, (left + end) / 2, page.tall)
    if page.random.integers(2):
        page.number(int(page.random.integers(2, 5)), left, foot + page.tall * 1.9)
    return page.photo()


def dates(page: Sheet) -> Image.Image:
    """Dates, decimals, telephone numbers, years and times; no slash, which is a 1 to anybody who sees it alone."""
    random = page.random
    kind = int(random.integers(5))
    between = str(random.choice([".", "-"])) if kind == 0 else "-" if kind == 3 else " "
    day, month, year = int(random.integers(1, 32)), int(random.integers(1, 13)), int(random.integers(1950, 2030))
    text = (
        f"{day}{between}{month}{between}{year}",
        f"{random.integers(0, 1000)},{random.integers(0, 100):02}",
        f"{year} {random.integers(1, 100)}",
        f"0{random.integers(100, 1000)}{between}{random.integers(1000, 100_000)}",
        f"{random.integers(1, 24)}:{random.integers(0, 60):02}",
    )[kind]
    left, foot, tall = page.tall * 0.6, page.tall * 1.6, page.tall
    for letter in text:
        if letter.isdigit():
            left = barred(page, letter, left, foot)
        elif letter == "-":
            page.path(np.array([[0, 0], [0.25, 0.0]]), foot - 0.45 * tall, left, tall)
            left += 0.25 * tall
        elif letter in ".,:":
            page.path(np.array([[0.03, 0], [0, 0.12 if letter == "," else 0.02]]), foot - 0.02 * tall, left, tall)
            if letter == ":":
                page.path(np.array([[0.03, 0], [0, 0.02]]), foot - 0.5 * tall, left, tall)
            left += 0.05 * tall
        else:
            left += random.uniform(0.2, 0.8) * tall
        left += random.uniform(0.15, 0.3) * tall
    page.texts.append("".join(filter(str.isdigit, text)))
    return page.photo()


def ones(page: Sheet) -> Image.Image:
    """Short numbers, in which a 1 or a 7 with a bar stands by itself: 1, 11, 101, 7."""
    foot = page.tall * 1.5
    for _ in range(int(page.random.integers(1, 3))):
        text = str(page.random.choice(["1", "11", "101", "7", "17", "10", "71", "110", "1 1", "7 1", "2 1", "4"]))
        left = page.tall * page.random.uniform(0.5, 3)
        for letter in text:
            left = left + page.tall * 0.7 if letter == " " else barred(page, letter, left, foot)
            left += page.tall * page.random.uniform(0.15, 0.4)
        page.texts.append(text.replace(" ", ""))
        foot += page.tall * 1.6
    return page.photo()


def two_hands(page: Sheet) -> Image.Image:
    """Numbers of different heights, by different pens, one below the other."""
    tall, pen, foot = page.tall, page.pen, page.tall * 1.5
    for _ in range(int(page.random.integers(2, 4))):
        share = page.random.uniform(0.55, 1.1)
        page.tall, page.pen = tall * share, max(1.5, pen * page.random.uniform(0.6, 1.5))
        page.number(int(page.random.integers(1, 6)), tall * page.random.uniform(0.5, 2.5), foot, (0.05, 0.4))
        foot += tall * 1.6
    page.tall, page.pen = tall, pen
    return page.photo()


def barred(page: Sheet, label: str, left: float, foot: float) -> float:
    """That digit; every second 7 with a bar through it. Where its ink ends."""
    end = page.put(page.digit(label), left, foot, page.random.uniform(0.9, 1.08))
    if label == "7" and page.random.integers(2):
        wide = (end - left) / page.tall
        middle = left + (end - left) * 0.55
        page.path(np.array([[0, 0], [0.7 * wide, 0]]), foot - 0.5 * page.tall, middle - 0.35 * (end - left), page.tall)
    return end
