"""What is no digit, drawn in MNIST's frame: for a model that shall learn to tell so.

Letters and signs, digits that lie or are mirrored, two digits that touch, scribbles, figures of lines, silhouettes and
textures. Kinds that measure rejection are drawn elsewhere, by other means (`benchmarks/rejection_kinds.py`): what a
model has learned by heart says nothing of what it has not seen.

Picture k depends on the seed and on k only, never on how many are made.

Source of the idea: Hendrycks, Mazeika and Dietterich, 2019, Deep Anomaly Detection with Outlier Exposure.
"""

from collections.abc import Callable

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from edge.errors import InputError
from edge_train.strokes.generator import CHUNK, DRAWS, POSITIONS, SIDE, draw
from edge_train.strokes.handwriting import Dice, Writing, write, write_signs

Floats = NDArray[np.float64]

# How often each kind comes. Letters stand first: they are what a reader of digits meets most.
SHARES: dict[str, float] = {
    "sign": 0.34,
    "turned": 0.1,
    "pair": 0.1,
    "scribble": 0.14,
    "figure": 0.14,
    "silhouette": 0.1,
    "texture": 0.08,
}

# Digits that are none when they are turned by so many quarters, or mirrored first (True): an h, an L, an m, ... A 2 on
# its side is an N, and often enough a Z; a mirrored 3 written with a broad pen is an 8.
TURNS: tuple[tuple[int, bool, int], ...] = (
    (3, False, 1),
    (3, False, 3),
    (4, True, 0),
    (4, False, 1),
    (4, False, 2),
    (5, False, 1),
    (5, False, 3),
    (7, True, 0),
    (7, False, 2),
)
STARS = ((5, 2), (7, 2), (7, 3), (8, 3))  # corners, and how often their sides go round
SECTIONS = 16  # of a curve between two of its points
OVERLAP = (-0.12, 0.35)  # of two digits, as a share of the narrower one: from a hair's breadth apart to well inside
PAIR_PEN = 0.8  # of the usual width of a line: in the same box two digits are smaller than one
BLOT_LEVEL = (110, 255)


def sample_outliers(count: int, *, seed: int) -> NDArray[np.uint8]:
    """Pictures of what is no digit.

    Args:
        count: how many, 0 or more.
        seed: 0 or more; the same seed gives the same pictures, and a longer sample begins with the shorter one.

    Returns:
        uint8 (count, 28, 28), ink 255 on background 0; drawn with a pen most of them, and then in a box of 20 x 20
        pixels around the centre of mass.

    Raises:
        InputError: a negative count or seed.
    """
    if count < 0 or seed < 0:
        raise InputError(f"a sample of {count} pictures of seed {seed} cannot be drawn; give 0 or more of both")
    images = np.zeros((count, SIDE, SIDE), np.uint8)
    random = [np.random.Generator(np.random.PCG64([seed, number])) for number in range(count)]
    bounds = np.cumsum(list(SHARES.values()))
    kind = np.array([min(int(np.searchsorted(bounds, one.random())), len(SHARES) - 1) for one in random], np.int64)
    for number, name in enumerate(SHARES):
        (chosen,) = np.nonzero(kind == number)
        for start in range(0, len(chosen), CHUNK):
            part = chosen[start : start + CHUNK]
            images[part] = KINDS[name]([random[one] for one in part])
    return images


def _dice(random: list[Generator]) -> Dice:
    return Dice(np.stack([one.random(DRAWS) for one in random]))


def _signs(random: list[Generator]) -> NDArray[np.uint8]:
    dice = _dice(random)
    return draw(write_signs(dice, POSITIONS), dice, "all")


def _turned(random: list[Generator]) -> NDArray[np.uint8]:
    chosen = [TURNS[int(one.integers(len(TURNS)))] for one in random]
    dice = _dice(random)
    writing = write(np.array([label for label, _, _ in chosen]), dice, POSITIONS, "usual")
    positions = writing.positions.copy()
    for path, (_, mirrored, quarters) in zip(positions, chosen, strict=True):
        if mirrored:
            path[:, 0] *= -1
        for _ in range(quarters):
            path[:] = np.stack([path[:, 1], -path[:, 0]], axis=1)
    return draw(Writing(positions, writing.joined, writing.pressure), dice, "all")


def _pairs(random: list[Generator]) -> NDArray[np.uint8]:
    """Two digits side by side that nearly touch, touch or overlap; not two that make a letter H or a 4 together."""
    left = np.array([int(one.integers(10)) for one in random])
    right = np.array(
        [
            int(one.choice([0, 2, 3, 5, 6, 8, 9])) if a in {1, 4, 7} else int(one.integers(10))
            for a, one in zip(left, random, strict=True)
        ]
    )
    halves = [write(labels, _dice(random), POSITIONS // 2, "usual") for labels in (left, right)]
    narrower = np.minimum(*(np.ptp(half.positions[..., 0], axis=1) for half in halves))
    overlap = narrower * np.array([one.uniform(*OVERLAP) for one in random])
    shift = halves[0].positions[..., 0].max(axis=1) - halves[1].positions[..., 0].min(axis=1) - overlap
    second = halves[1].positions.copy()
    second[..., 0] += shift[:, None]
    apart = np.zeros((len(random), 1), np.bool_)
    writing = Writing(
        np.concatenate([halves[0].positions, second], axis=1),
        np.concatenate([halves[0].joined, apart, halves[1].joined], axis=1),
        PAIR_PEN * np.concatenate([halves[0].pressure, halves[1].pressure], axis=1),
    )
    return draw(writing, _dice(random), "usual")


def _scribbles(random: list[Generator]) -> NDArray[np.uint8]:
    return _lines([_scribble(one) for one in random], random)


def _figures(random: list[Generator]) -> NDArray[np.uint8]:
    return _lines([FIGURES[int(one.integers(len(FIGURES)))](one) for one in random], random)


def _lines(drawings: list[list[Floats]], random: list[Generator]) -> NDArray[np.uint8]:
    """Drawings of polylines, each float64 (K, 2) on any scale, with a pen."""
    traced = [_traced(strokes, POSITIONS) for strokes in drawings]
    writing = Writing(
        np.stack([positions for positions, _ in traced]),
        np.stack([joined for _, joined in traced]),
        np.ones((len(traced), POSITIONS)),
    )
    return draw(writing, _dice(random), "usual")  # a broad pen would close rings to a thick 0


def _traced(strokes: list[Floats], count: int) -> tuple[Floats, NDArray[np.bool_]]:
    """So many positions along polylines, float64 (count, 2), and between which of them the pen is down."""
    lengths = np.array([np.hypot(*np.diff(stroke, axis=0).T).sum() for stroke in strokes]) + 1e-9
    # Two for each stroke, and the rest by length.
    shares = 2 + np.floor((count - 2 * len(strokes)) * np.cumsum(lengths) / lengths.sum())
    ends = (shares + 2 * np.arange(len(strokes))).astype(int)
    ends[-1] = count
    positions: list[Floats] = []
    joined = np.ones(count - 1, np.bool_)
    for stroke, number in zip(strokes, np.diff(ends, prepend=0), strict=True):
        way = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(stroke, axis=0).T))])
        here = np.linspace(0, way[-1], number)
        x, y = np.interp(here, way, stroke[:, 0]), np.interp(here, way, stroke[:, 1])
        positions.append(np.stack([x, y], axis=1))
    joined[ends[:-1] - 1] = False
    return np.concatenate(positions), joined


def _curve(points: Floats) -> Floats:
    """A smooth curve near the points: the quadratic B-spline of them."""
    start, end = (points[:-2] + points[1:-1]) / 2, (points[1:-1] + points[2:]) / 2
    share = np.linspace(0, 1, SECTIONS)[:, None, None]
    curve = (1 - share) ** 2 * start + 2 * share * (1 - share) * points[1:-1] + share**2 * end
    return np.asarray(curve.transpose(1, 0, 2).reshape(-1, 2))


def _scribble(random: Generator) -> list[Floats]:
    kind = random.integers(3)
    if kind == 0:  # a zigzag
        turns = int(random.integers(5, 10))
        across = np.arange(turns) * random.uniform(0.12, 0.3)
        points = np.stack([across, np.arange(turns) % 2 * random.uniform(0.5, 1.2)], axis=1)
        points = points + random.normal(0, 0.07, points.shape)
        points = points[:, ::-1] if random.random() < 0.3 else points
        return [_curve(points) if random.random() < 0.5 else points]
    if kind == 1:  # a spring, or a spiral
        angle = np.linspace(0, 2 * np.pi * random.uniform(2.4, 4.5), 90)
        radius = np.linspace(random.uniform(0.05, 0.4), 1, 90)
        drift = np.linspace(0, random.uniform(0, 2.5), 90)
        return [np.stack([radius * np.cos(angle) + drift, radius * np.sin(angle) * random.uniform(0.6, 1.6)], axis=1)]
    return [_curve(random.random((int(random.integers(7, 15)), 2))) for _ in range(int(random.integers(1, 3)))]


def _ring(radius: float, middle: tuple[float, float] = (0, 0)) -> Floats:
    angle = np.linspace(0, 2 * np.pi, 33)
    return np.stack([middle[0] + radius * np.cos(angle), middle[1] + radius * np.sin(angle)], axis=1)


def _rings(random: Generator) -> list[Floats]:
    """A ring in another, or a ring with at least four spokes, inside or outside."""
    if random.random() < 0.4:
        return [_ring(1), _ring(random.uniform(0.3, 0.45))]  # a smaller one would be a dotted 0
    angles = random.uniform(0, 6) + np.arange(spokes := int(random.integers(4, 13))) * 2 * np.pi / spokes
    inner, outer = sorted(random.uniform(0, 1.5, 2))
    ways = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return [_ring(1), *(np.stack([inner * way, (outer + 0.3) * way]) for way in ways)]


def _ladder(random: Generator) -> list[Floats]:
    """Strokes side by side, along a line or not, all as long or every so many longer."""
    count, every = int(random.integers(3, 9)), int(random.integers(2, 6))
    heights = np.where(np.arange(count) % every == 0, 1.0, random.uniform(0.5, 1)) * random.uniform(0.6, 1.4)
    gap = random.uniform(0.2, 0.5)
    strokes = [np.array([[at * gap, 0.0], [at * gap, height]]) for at, height in enumerate(heights)]
    if random.random() < 0.6:
        strokes.append(np.array([[-0.1, 0.0], [(count - 0.5) * gap, 0.0]]))
    return _turned_by(strokes, random)


def _lattice(random: Generator) -> list[Floats]:
    """Lines that cross, two or more in each direction."""
    columns, rows = (int(random.integers(2, 6)) for _ in range(2))
    edge = random.choice([0.0, 0.5])  # lines end on the outermost ones, as in a table, or cross them
    upright = [np.array([[x, -edge], [x, rows - 1 + edge]]) for x in range(columns)]
    level = [np.array([[-edge, y], [columns - 1 + edge, y]]) for y in range(rows)]
    return _turned_by([np.asarray(stroke, np.float64) for stroke in (*upright, *level)], random, most=0.3)


def _marks(random: Generator) -> list[Floats]:
    """A table of small marks: strokes, crosses and rings in rows."""
    columns, rows = (int(random.integers(2, 4)) for _ in range(2))
    strokes: list[Floats] = []
    for column in range(columns):
        for row in range(rows):
            middle = np.array([column, row]) + random.normal(0, 0.08, 2)
            size, kind = random.uniform(0.15, 0.35), random.integers(3)
            if kind == 2:
                strokes.append(_ring(size, (float(middle[0]), float(middle[1]))))
                continue
            for _ in range(int(kind) + 1):
                way = random.normal(0, 1, 2)
                way *= size / np.hypot(*way)
                strokes.append(np.stack([middle - way, middle + way]))
    return strokes


def _star(random: Generator) -> list[Floats]:
    """A closed polyline whose sides cross."""
    corners, turns = STARS[int(random.integers(len(STARS)))]
    angle = random.uniform(0, 6) + np.arange(corners + 1) * (2 * np.pi * turns / corners)
    radius = random.uniform(0.6, 1, corners + 1)
    radius[-1] = radius[0]
    return [np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)]


def _turned_by(strokes: list[Floats], random: Generator, most: float = np.pi) -> list[Floats]:
    angle = random.uniform(-most, most)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return [stroke @ turn for stroke in strokes]


FIGURES: tuple[Callable[[Generator], list[Floats]], ...] = (_rings, _ladder, _lattice, _marks, _star)


def _silhouettes(random: list[Generator]) -> NDArray[np.uint8]:
    return np.stack([_silhouette(one) for one in random])


def _silhouette(random: Generator) -> NDArray[np.uint8]:
    """A filled form, even or shaded, and not so narrow that it is a thick 1."""
    right, below = np.meshgrid(np.arange(SIDE) - 13.5, np.arange(SIDE) - 13.5)
    aspect = random.uniform(0.75, 1.6)
    angle = np.arctan2(below * aspect, right)
    form: Floats = np.ones((SIDE, SIDE))
    for order in range(1, 6):
        form += random.normal(0, 0.5 / order) * np.cos(order * angle + random.uniform(0, 6))
    inside = np.clip(10 * form / form.max() - np.hypot(right, below * aspect) + 0.5, 0, 1)
    level = np.full((SIDE, SIDE), random.uniform(*BLOT_LEVEL))
    if random.random() < 0.6:
        shade = _smooth(random, random.uniform(1, 4))
        level = level * (1 - random.uniform(0.2, 0.9) * shade)
    return np.asarray(np.rint(inside * level), np.uint8)


def _textures(random: list[Generator]) -> NDArray[np.uint8]:
    return np.stack([_texture(one) for one in random])


def _texture(random: Generator) -> NDArray[np.uint8]:
    """Blots, cloth, stripes and noise, in the box or in the whole picture."""
    field = _smooth(random, random.choice([0.0, 0.6, 1.0, 1.6, 2.5]))
    if random.random() < 0.25:
        along = np.arange(SIDE)[:, None] * random.normal(0, 1) + np.arange(SIDE) * random.normal(0, 1)
        field = 0.3 * field + 0.7 * (np.sin(along * random.uniform(0.4, 2.2)) + 1) / 2
    field = np.clip((field - random.uniform(0.2, 0.6)) * random.uniform(1, 5) + 0.5 * (random.random() < 0.3), 0, 1)
    if random.random() < 0.6:
        high, wide = random.integers(12, 21, 2)
        mask = np.zeros((SIDE, SIDE))
        mask[(SIDE - high) // 2 : (SIDE + high) // 2, (SIDE - wide) // 2 : (SIDE + wide) // 2] = 1
        field = field * mask
    return np.rint(field * 255).astype(np.uint8)


def _smooth(random: Generator, pixels: float) -> Floats:
    """Noise in [0, 1], float64 (28, 28), smoothed over so many pixels."""
    noise = random.random((SIDE, SIDE))
    if pixels:
        away = np.arange(SIDE)
        kernel = np.exp(-(((away[:, None] - away) / pixels) ** 2) / 2)
        kernel /= kernel.sum(axis=1, keepdims=True)
        noise = kernel @ noise @ kernel.T
    return np.asarray((noise - noise.min()) / np.ptp(noise))


KINDS: dict[str, Callable[[list[Generator]], NDArray[np.uint8]]] = {
    "sign": _signs,
    "turned": _turned,
    "pair": _pairs,
    "scribble": _scribbles,
    "figure": _figures,
    "silhouette": _silhouettes,
    "texture": _textures,
}
