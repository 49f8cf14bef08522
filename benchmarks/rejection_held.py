"""Draws what is no digit, on which nothing was chosen: for `benchmarks/rejection.py --held`."""

from collections.abc import Callable
from math import pi, sqrt

import numpy as np
from numpy.random import Generator
from PIL import Image
from rejection_chosen import away, photographed, sheet
from rejection_kinds import GARMENTS

WORDS = ("cat", "dog", "edge", "yes", "no", "ok", "Hello", "Anna", "km", "kg", "max")
ON_SIGNS = ("STOP", "P", "H", "!", "BUS", "TAXI", "WC", "i", "EXIT")


def leaf(random: Generator) -> Image.Image:
    """A leaf with its veins, turned any way."""
    on = sheet(random)
    (x, y), long = on.middle, on.side * random.uniform(0.25, 0.42)
    wide, along = long * random.uniform(0.3, 0.6), np.linspace(-1, 1, 40)
    edge = [(x + long * at, y - wide * (1 - at * at)) for at in along.tolist()]
    edge += [(x + long * at, y + wide * (1 - at * at)) for at in along[::-1].tolist()]
    on.draw.polygon(edge, outline=on.ink, width=on.pen)
    on.line([(x - 1.2 * long, y), (x + long, y)])
    for at in np.linspace(-0.6, 0.6, 6).tolist():
        for way in (-1, 1):
            tip = x + long * (at + 0.25), y + way * 0.7 * wide * (1 - at * at)
            on.line([(x + long * at, y), tip], max(1, on.pen // 2))
    return photographed(on, random, turn=180)


def flower(random: Generator) -> Image.Image:
    """Petals around a middle, on a stem."""
    on = sheet(random)
    middle, radius, petals = (on.middle[0], on.page.height * 0.4), on.side * 0.14, int(random.integers(4, 9))
    for petal in range(petals):
        on.circle(away(middle, 1.5 * radius, 2 * pi * petal / petals), 0.7 * radius)
    on.circle(middle, 0.6 * radius, fill=on.ink)
    on.line([middle, (middle[0], on.page.height * 0.95)])
    return photographed(on, random)


def person(random: Generator) -> Image.Image:
    """A person of five lines and a ring."""
    on = sheet(random)
    (x, y), unit = on.middle, on.side * random.uniform(0.12, 0.16)
    on.circle((x, y - 2.3 * unit), 0.7 * unit)
    on.line([(x, y - 1.6 * unit), (x, y + unit)])
    hands = [y - unit * random.uniform(-0.5, 1.5) for _ in range(2)]
    on.line([(x - 1.5 * unit, hands[0]), (x, y - unit), (x + 1.5 * unit, hands[1])])
    on.line([(x - unit, y + 3 * unit), (x, y + unit), (x + unit, y + 3 * unit)])
    return photographed(on, random)


def key(random: Generator) -> Image.Image:
    """A key, turned any way."""
    on = sheet(random)
    (x, y), long, ring, bold = on.middle, 0.35 * on.side, on.side * random.uniform(0.08, 0.14), on.pen + 2
    on.circle((x - long, y), ring, width=bold)
    on.line([(x - long + ring, y), (x + long, y)], bold)
    for tooth in range(int(random.integers(2, 4))):
        place = x + long - tooth * 0.07 * on.side
        on.line([(place, y), (place, y + on.side * random.uniform(0.05, 0.12))], bold)
    return photographed(on, random, turn=180)


def spiral(random: Generator) -> Image.Image:
    """Two to six turns."""
    on = sheet(random)
    angles = np.linspace(0.3, 2 * pi * random.uniform(2.2, 6), 500)
    reach = 0.42 * on.side / angles[-1]
    on.line([away(on.middle, reach * angle, angle) for angle in angles.tolist()])
    return photographed(on, random)


def board(random: Generator) -> Image.Image:
    """A chequered board."""
    on = sheet(random)
    count = int(random.integers(3, 10))
    field = 0.8 * on.side / count
    left, top = (one - count * field / 2 for one in on.middle)
    for row in range(count):
        for column in range((row + 1) % 2, count, 2):
            x, y = left + column * field, top + row * field
            on.draw.rectangle([x, y, x + field, y + field], fill=on.ink)
    return photographed(on, random, turn=25)


def protractor(random: Generator) -> Image.Image:
    """Half a circle of degrees."""
    on = sheet(random)
    (x, y), radius = (on.middle[0], on.page.height * 0.7), 0.42 * on.side
    on.draw.arc([x - radius, y - radius, x + radius, y + radius], 180, 360, fill=on.ink, width=on.pen)
    on.line([(x - radius, y), (x + radius, y)])
    for degrees in range(0, 181, int(random.choice([5, 10, 15]))):
        angle, inner = pi + np.radians(degrees), 0.85 if degrees % 30 == 0 else 0.93
        on.line([away((x, y), inner * radius, angle), away((x, y), radius, angle)], max(1, on.pen - 1))
    return photographed(on, random, turn=20)


def thermometer(random: Generator) -> Image.Image:
    """A tube with a bulb, and ticks beside it."""
    on = sheet(random)
    (x, y), bulb, side = on.middle, on.side * random.uniform(0.05, 0.09), on.side
    tube = [x - 0.6 * bulb, y - 0.4 * side, x + 0.6 * bulb, y + 0.3 * side]
    on.draw.rounded_rectangle(tube, radius=0.5 * bulb, outline=on.ink, width=max(1, on.pen // 2))
    on.circle((x, y + 0.25 * side + bulb), bulb, fill=on.ink)
    on.line([(x, y - side * random.uniform(-0.1, 0.3)), (x, y + 0.28 * side)], max(1, int(0.5 * bulb)))
    for at in np.linspace(-0.35, 0.25, int(random.integers(6, 14))).tolist():
        on.line([(x + bulb, y + side * at), (x + 2 * bulb, y + side * at)], max(1, on.pen // 2))
    return photographed(on, random)


def notice(random: Generator) -> Image.Image:
    """A round or square sign with a word or a letter on it."""
    on = sheet(random)
    if random.random() < 0.5:
        level = int(random.integers(100, 230))
        on.draw.regular_polygon((*on.middle, 0.42 * on.side), 4, rotation=45, fill=level, outline=on.ink)
    else:
        on.circle(on.middle, 0.42 * on.side, width=on.pen + 2)
    on.text(on.middle, str(random.choice(ON_SIGNS)), 0.3 * on.side)
    return photographed(on, random)


def word(random: Generator) -> Image.Image:
    """A printed word."""
    on = sheet(random)
    on.text(on.middle, str(random.choice(WORDS)), 0.25 * on.side)
    return photographed(on, random)


def smiley(random: Generator) -> Image.Image:
    """A round face that smiles."""
    on = sheet(random)
    (x, y), radius = on.middle, on.side * random.uniform(0.25, 0.44)
    on.circle((x, y), radius, fill=int(random.integers(140, 230)) if random.random() < 0.4 else None)
    for way in (-1, 1):
        on.circle((x + way * 0.35 * radius, y - 0.25 * radius), 0.1 * radius, fill=on.ink)
    box = [x - radius / 2, y - 0.4 * radius, x + radius / 2, y + 0.6 * radius]
    on.draw.arc(box, 20, 160, fill=on.ink, width=on.pen)
    return photographed(on, random)


def weave(random: Generator) -> Image.Image:
    """Cloth: waves across waves, and noise."""
    high, wide = (int(random.integers(150, 400)) for _ in range(2))
    down, across = np.mgrid[:high, :wide]
    waves = np.sin(across * random.uniform(0.1, 0.8)) * np.sin(down * random.uniform(0.1, 0.8))
    levels = 128 + (waves + random.normal(0, 0.3, waves.shape)) * random.uniform(15, 70)
    return Image.fromarray(np.clip(levels, 0, 255).astype(np.uint8))


def garment(random: Generator) -> Image.Image:
    """A shirt, trousers, a shoe or a dress on paper."""
    on = sheet(random)
    outline, unit = GARMENTS[int(random.integers(len(GARMENTS)))], 0.9 * on.side / 28
    shaken = random.normal(0, 0.5 / sqrt(2), (len(outline), 2)).tolist()
    points = [
        (on.middle[0] + unit * (x - 14 + right), on.middle[1] + unit * (y - 14 + down))
        for (x, y), (right, down) in zip(outline, shaken, strict=True)
    ]
    on.draw.polygon(points, fill=int(random.integers(20, 170)))
    return photographed(on, random, turn=6, blur=2)


KINDS: dict[str, Callable[[Generator], Image.Image]] = {
    "leaves": leaf,
    "flowers": flower,
    "people": person,
    "keys": key,
    "spirals": spiral,
    "boards": board,
    "protractors": protractor,
    "thermometers": thermometer,
    "notices": notice,
    "words": word,
    "smileys": smiley,
    "cloth": weave,
    "garments on paper": garment,
}
