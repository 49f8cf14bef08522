"""Draws eight kinds of what is no digit that rejection is judged by, half of each by `rejection_kinds`, half anew.

Letters that resemble no digit, Greek letters, dials, scales, tables of marks, cups, phantoms and faces. The second
drawings here are of the same things by other means: figures on a dial, a ruler, a score sheet, a steaming cup, Shepp
and Logan's phantom, a face from the side, letters on photographed paper.
"""

from collections.abc import Callable
from math import cos, pi, sin
from pathlib import Path

import numpy as np
import rejection_kinds as kinds
from numpy.random import Generator
from PIL import Image, ImageFont
from rejection_chosen import away, head_phantom, photographed, sheet

Faces = kinds.Faces


def letter(random: Generator, sign: str, faces: Faces) -> Image.Image:
    """A printed letter on photographed paper."""
    on = sheet(random)
    size = int(on.side * random.uniform(0.35, 0.75))
    face = ImageFont.truetype(str(random.choice(np.array(faces, object))), size)
    on.draw.text(on.middle, sign, fill=on.ink, font=face, anchor="mm")
    return photographed(on, random)


def dial(random: Generator) -> Image.Image:
    """A gauge with figures along its rim, and a hand."""
    on = sheet(random)
    radius, first = on.side * random.uniform(0.32, 0.46), random.uniform(0.6, 0.9) * pi
    last, count, step = 3 * pi - first, int(random.integers(4, 9)), int(random.choice([1, 2, 5, 10, 20]))
    if random.random() < 0.6:
        on.circle(on.middle, radius)
    for at in range(count + 1):
        angle = first + (last - first) * at / count
        on.line([away(on.middle, 0.88 * radius, angle), away(on.middle, radius, angle)])
        on.text(away(on.middle, 0.72 * radius, angle), str(step * at), 0.22 * radius)
    angle = random.uniform(first, last)
    on.line([away(on.middle, -0.12 * radius, angle), away(on.middle, 0.62 * radius, angle)], on.pen + 1)
    on.circle(on.middle, 0.06 * radius, fill=on.ink)
    return photographed(on, random)


def ruler(random: Generator) -> Image.Image:
    """A ruler with figures, level or nearly so."""
    on = sheet(random)
    (wide, high), count = on.page.size, int(random.integers(4, 11))
    left, right, top = 0.06 * wide, 0.94 * wide, high * random.uniform(0.3, 0.4)
    deep, thin = on.side * random.uniform(0.2, 0.35), max(1, on.pen // 2)
    on.draw.rectangle([left, top, right, top + deep], outline=on.ink, width=thin)
    for at in range(10 * count + 1):
        x = left + (right - left) * at / (10 * count)
        long = 0.45 if at % 10 == 0 else 0.32 if at % 5 == 0 else 0.2
        if at % 10 == 0 or (right - left) / (10 * count) > 3:
            on.line([(x, top), (x, top + long * deep)], thin)
        if at % 10 == 0 and at < 10 * count:
            on.text((x + 0.14 * deep, top + 0.72 * deep), str(at // 10), 0.3 * deep)
    return photographed(on, random)


def score_sheet(random: Generator) -> Image.Image:
    """A table with strokes, crosses, rings and ticks in most of its cells."""
    on = sheet(random)
    columns, rows = (int(random.integers(2, 5)) for _ in range(2))
    (wide, high), thin = on.page.size, max(1, on.pen // 2)
    left, top, step, fall = 0.1 * wide, 0.1 * high, 0.8 * wide / columns, 0.8 * high / rows
    for column in range(columns + 1):
        on.line([(left + column * step, top), (left + column * step, top + rows * fall)], thin)
    for row in range(rows + 1):
        on.line([(left, top + row * fall), (left + columns * step, top + row * fall)], thin)
    for column in range(columns):
        for row in range(rows):
            x, y, size = left + (column + 0.5) * step, top + (row + 0.5) * fall, 0.28 * min(step, fall)
            kind = random.integers(5)
            if kind == 0:
                on.circle((x, y), size)
            if kind == 1:
                on.line([(x - size, y), (x - size / 3, y + size), (x + size, y - size)])
            if kind in (2, 3):
                for way in (-1, 1)[: kind - 1]:
                    on.line([(x - size, y - way * size), (x + size, y + way * size)])
    return photographed(on, random)


def cup(random: Generator) -> Image.Image:
    """A cup with round walls, a handle, steam, and with some a saucer."""
    on = sheet(random)
    (x, y), half = on.middle, on.side * random.uniform(0.15, 0.22)
    deep, narrow = half * random.uniform(1.2, 2), random.uniform(0.5, 0.8)
    fall = np.linspace(0, 1, 20)
    wall = half * (narrow + (1 - narrow) * np.sqrt(1 - fall**2))
    for way in (-1, 1):
        on.line([(x + way * one, y + deep * down) for one, down in zip(wall.tolist(), fall.tolist(), strict=True)])
    on.line([(x - narrow * half, y + deep), (x + narrow * half, y + deep)])
    on.draw.ellipse([x - half, y - 0.15 * half, x + half, y + 0.15 * half], outline=on.ink, width=on.pen)
    handle = [x + 0.7 * half, y + 0.2 * deep, x + 1.6 * half, y + 0.75 * deep]
    on.draw.arc(handle, -110, 110, fill=on.ink, width=on.pen)
    for at in range(int(random.integers(1, 4))):
        bend, over = random.uniform(0.05, 0.15) * half, x + (at - 1) * 0.5 * half
        rise = np.linspace(0.3, random.uniform(0.9, 1.5), 20)
        on.line([(over + bend * sin(9 * up), y - up * half) for up in rise.tolist()])
    if random.random() < 0.4:
        on.line([(x - 1.5 * half, y + 1.08 * deep), (x + 1.5 * half, y + 1.08 * deep)])
    return photographed(on, random)


def face(random: Generator) -> Image.Image:
    """A head from the side: brow, nose, lips and chin on one side, an eye, an ear, and with some hair."""
    on = sheet(random)
    (x, y), high = on.middle, on.side * random.uniform(0.32, 0.44)
    wide, way = high * random.uniform(0.75, 0.95), int(random.choice([-1, 1]))
    nose, chin = random.uniform(0.15, 0.3), random.uniform(0.0, 0.15)
    brow_and_nose = ((0, -1), (0.6, -0.8), (0.85, -0.4), (0.8, -0.15), (0.85 + nose, 0.15), (0.8, 0.22))
    lips_and_chin = ((0.9, 0.36), (0.8, 0.42), (0.88, 0.52), (0.75, 0.6), (0.75 + chin, 0.8), (0.5, 0.95), (0.1, 0.75))
    back = [(-cos(angle), -sin(angle)) for angle in np.linspace(-0.7, pi / 2, 24).tolist()]
    on.line([(x + way * wide * right, y + high * down) for right, down in (*back, *brow_and_nose, *lips_and_chin)])
    eye = x + way * 0.55 * wide, y - 0.15 * high
    on.circle(eye, high * random.uniform(0.03, 0.08), fill=on.ink if random.random() < 0.5 else None)
    on.line([(x + way * 0.6 * wide, y + 0.44 * high), (x + way * 0.8 * wide, y + 0.42 * high)])
    ear = [x - way * 0.1 * wide - 0.12 * wide, y - 0.15 * high, x - way * 0.1 * wide + 0.12 * wide, y + 0.2 * high]
    on.draw.ellipse(ear, outline=on.ink, width=on.pen)
    if random.random() < 0.5:
        for _ in range(int(random.integers(4, 12))):
            angle = random.uniform(-0.2, 0.5 * pi)
            root = x - way * wide * cos(angle), y - high * sin(angle)
            on.line([root, (root[0] + way * 0.3 * wide, root[1] + random.uniform(-0.1, 0.25) * high)])
    return photographed(on, random)


def has(face: Path, signs: str) -> bool:
    """Whether a font has all these signs: what it lacks looks like what no font has."""
    font = ImageFont.truetype(str(face), 40)
    lacking = bytes(font.getmask("\uffff"))
    return all(bytes(font.getmask(sign)) != lacking for sign in signs)


# Two drawings of each kind; of letters stands beside them which.
Draw = Callable[[Generator], Image.Image]
THINGS: dict[str, tuple[Draw, Draw]] = {
    "dials": (kinds.dial, dial),
    "scales": (kinds.scale, ruler),
    "tables of marks": (kinds.table, score_sheet),
    "cups": (kinds.cup, cup),
    "phantoms": (kinds.phantom, head_phantom),
    "faces": (kinds.face, face),
}
LETTERS = {"Latin letters": kinds.LATIN, "Greek letters": kinds.GREEK}


def drawings(kind: str, random: Generator, count: int, faces: Faces) -> list[Image.Image]:
    """So many pictures of a kind, every other one of the second drawing.

    Args:
        kind: a key of `THINGS` or `LETTERS`.
        random: what varies them.
        count: how many.
        faces: fonts that have the letters.
    """
    if kind in THINGS:
        return [THINGS[kind][at % 2](random) for at in range(count)]
    signs = LETTERS[kind]
    order = random.permutation(count)
    return [(kinds.letter, letter)[at % 2](random, signs[int(order[at]) % len(signs)], faces) for at in range(count)]
