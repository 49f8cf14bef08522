"""Handwritten digits out of nothing: seeded pen strokes, as MNIST-like tensors and as photos of a page.

Picture k depends on the seed, on k and on its label only, never on how many pictures are made. The random numbers
come from raw generator bits and the drawing is done in float64, so that a seed means the same bytes everywhere.
"""

import numpy as np
from numpy.typing import NDArray

from edge.errors import InputError
from edge_train.strokes import paper, pen
from edge_train.strokes.glyphs import form_counts
from edge_train.strokes.handwriting import Dice, Writers, Writing, write

SIDE = 28
BOX = 20.0  # MNIST's recipe: the ink fits a box of 20 x 20 pixels ...
CENTRE = 14.0  # ... and its centre of mass is put on pixel 14, counted from 0 ...
OFF_CENTRE = 0.5  # ... or at most half a pixel beside it, because MNIST moves by whole pixels
PEN_RADIUS = (1.27, 0.4)  # pixels, mean and spread: the mean ink of MNIST
PEN_RADIUS_RANGE = (0.65, 1.75)  # thinner breaks up, thicker fills the rings of an 8
THINNEST = 0.5  # radius in pixels that no pressure goes below
SOFTNESS = (1.0, 1.6)  # width in pixels of the edge of a line
PALEST = 0.3  # share of the full ink that the palest pens lack; most pens lack little

# Rare pens are needles and markers, and pencils on bad paper.
RARE_PENS = 0.3  # share of them among all writers
THIN_RADIUS = (0.45, 0.65)
THICK_RADIUS = (1.75, 2.4)
RARE_PALEST = 0.55

POSITIONS = 64  # of the pen: about a pixel apart in a box of 20 x 20
PAGE_POSITIONS = 320
DRAWS = 128  # random numbers of a picture; another number here is another meaning of every seed
CHUNK = 64  # pictures drawn at once


def sample(
    count: int, *, seed: int, labels: NDArray[np.integer] | None = None, writers: Writers = "usual"
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Digits as MNIST has them, each by another writer with another pen.

    Args:
        count: how many, 0 or more.
        seed: 0 or more; the same seed gives the same bytes, and a longer sample begins with the shorter one.
        labels: integers (count,), 0 to 9, what to write; `None` takes the digits equally often up to one, in an order
            that follows from the seed: every ten pictures in a row from a multiple of ten on are the ten digits.
        writers: "usual" writes as most people do. "all" has every form equally often, also those that few people write,
            and so without `labels` more of the digits that have many forms; and rare pens, very thin, thick or pale.

    Returns:
        images uint8 (count, 28, 28), ink 255 on background 0, in a box of 20 x 20 pixels around the centre of mass;
        labels int64 (count,).

    Raises:
        InputError: a negative count or seed or labels of another length or range.
    """
    _check_seed(seed)
    if count < 0:
        raise InputError(f"a sample of {count} pictures cannot be drawn; ask for 0 or more")
    of_numbers, of_order = np.random.SeedSequence(seed).spawn(2)
    order = np.random.PCG64(of_order)
    if labels is not None:
        wanted = _checked(labels, count)
    else:
        wanted = _balanced(count, order) if writers == "usual" else _by_forms(count, order)
    source = np.random.PCG64(of_numbers)
    images = np.zeros((count, SIDE, SIDE), np.uint8)
    for start in range(0, count, CHUNK):
        part = wanted[start : start + CHUNK]
        images[start : start + CHUNK] = _draw(part, Dice(_numbers(source, len(part), DRAWS)), writers)
    return images, wanted


def draw_page(
    label: int,
    *,
    seed: int,
    size: tuple[int, int] = (640, 480),
    inverted: bool = False,
    ruled: bool | None = None,
    grid: bool | None = None,
    shadow: bool | None = None,
    blur: float | None = None,
    pen_width_px: float | None = None,
    ink_contrast: float | None = None,
) -> NDArray[np.uint8]:
    """A picture such as a phone takes of one digit on a sheet of paper, or on a blackboard.

    What is left `None` follows from the seed, and stays as it is when another setting is given.

    Args:
        label: 0 to 9.
        seed: 0 or more.
        size: width and height in pixels, at least 32 each.
        inverted: light chalk on a blackboard, not dark ink on light paper.
        ruled: lines on the paper.
        grid: squares on the paper; with it, lines make no difference.
        shadow: something stands between the lamp and a part of the page.
        blur: standard deviation of the lens in pixels, 0 for a perfect one.
        pen_width_px: width of the line in pixels, above 0.
        ink_contrast: share of the light that full ink takes from the paper (or chalk adds to what the board lacks),
            above 0 and at most 1.

    Returns:
        uint8 (height, width, 3), red, green, blue.

    Raises:
        InputError: a value out of its range.
    """
    _check_seed(seed)
    width, height = size
    if not 0 <= label <= 9 or min(size) < 32:
        raise InputError(
            f"digit {label} on {width} x {height} pixels cannot be drawn; give 0 to 9 and at least 32 x 32"
        )
    if (blur is not None and blur < 0) or (pen_width_px is not None and pen_width_px <= 0):
        raise InputError(f"blur {blur} or pen width {pen_width_px} cannot be drawn; give 0 or more, and more than 0")
    if ink_contrast is not None and not 0 < ink_contrast <= 1:
        raise InputError(f"ink contrast {ink_contrast} is not possible; give more than 0 and at most 1")
    of_numbers, of_paper = np.random.SeedSequence(seed).spawn(2)
    dice = Dice(_numbers(np.random.PCG64(of_numbers), 1, DRAWS))
    writing = write(np.array([label]), dice, PAGE_POSITIONS)

    tall = min(size) * dice.uniform(0.3, 0.75).item()
    drawn_width = tall * ((0.04 if inverted else 0.02) + 0.08 * dice.uniform().item() ** 2)  # ballpoint to marker
    line = pen_width_px if pen_width_px is not None else max(drawn_width, 1.2)
    path = writing.positions - writing.positions.min(axis=1, keepdims=True)
    extent = path.max(axis=1)[0]
    room = np.maximum(np.array(size) * 0.94 - 1.5 * line, 8.0)
    path = path * min(tall / extent.max(), *(room / extent))
    free = np.array(size) - path.max(axis=1)[0]
    # Near the middle mostly, and never beyond the edge.
    where = 0.5 + np.clip(np.concatenate([dice.bell(0.16), dice.bell(0.16)], axis=1)[0], -0.45, 0.45)
    radii = np.maximum(writing.pressure * line / 2, 0.4)
    cover = pen.ink(path + free * where, radii, writing.joined, shape=(height, width), softness=np.array([1.0]))[0]
    settings = paper.PageSettings(inverted, ruled, grid, shadow, blur, ink_contrast)
    return paper.photograph(cover, np.random.Generator(np.random.PCG64(of_paper)), settings)


def _draw(labels: NDArray[np.int64], dice: Dice, writers: Writers) -> NDArray[np.uint8]:
    return draw(write(labels, dice, POSITIONS, writers), dice, writers)


def draw(writing: Writing, dice: Dice, writers: Writers) -> NDArray[np.uint8]:
    """What pens did, each with another pen, in MNIST's frame.

    Args:
        writing: N pictures of it.
        dice: its rows belong to the same pictures; up to 7 columns are taken.
        writers: "all" takes rare pens as well.

    Returns:
        uint8 (N, 28, 28), ink 255 on background 0, in a box of 20 x 20 pixels around the centre of mass.
    """
    radius = np.clip(PEN_RADIUS[0] + dice.bell(PEN_RADIUS[1]), *PEN_RADIUS_RANGE)
    softness = dice.uniform(*SOFTNESS)[:, 0]
    darkness = 1 - PALEST * dice.uniform() ** 3
    if writers == "all":
        seldom, thick = dice.uniform() < RARE_PENS, dice.uniform() < 0.5
        other = np.where(thick, dice.uniform(*THICK_RADIUS), dice.uniform(*THIN_RADIUS))
        radius = np.where(seldom, other, radius)
        darkness = np.where(seldom, 1 - RARE_PALEST * dice.uniform() ** 2, darkness)
    radii = np.maximum(radius * writing.pressure, THINNEST)
    path = _placed(writing.positions, writing.joined, radii)
    ink = pen.ink(path, radii, writing.joined, shape=(SIDE, SIDE), softness=softness)
    # Where lines cross, the path weighs more than the ink does: measured on the ink, a few are moved once more.
    beside = _centre_of_mass(ink) - CENTRE
    (off,) = np.nonzero(np.abs(beside).max(axis=1) > OFF_CENTRE)
    moved = path[off] - beside[off, None]
    ink[off] = pen.ink(moved, radii[off], writing.joined[off], shape=(SIDE, SIDE), softness=softness[off])
    return np.rint(ink * (255 * darkness[..., None])).astype(np.uint8)


def _placed(path: NDArray[np.float64], joined: NDArray[np.bool_], radii: NDArray[np.float64]) -> NDArray[np.float64]:
    """The path in pixels: its ink fits the box, and its centre of mass is near the centre of the picture."""
    low, high = path.min(axis=1, keepdims=True), path.max(axis=1, keepdims=True)
    room = BOX - 2 * radii.max(axis=1)[:, None, None]
    path = (path - low) * (room / (high - low).max(axis=2, keepdims=True))
    step = np.diff(path, axis=1)
    length, width = np.hypot(step[..., 0], step[..., 1]), radii[:, 1:] + radii[:, :-1]
    mass = length * width * joined
    middle = (path[:, 1:] + path[:, :-1]) / 2
    centre = (middle * mass[..., None]).sum(axis=1) / mass.sum(axis=1)[:, None]
    return np.asarray(path - centre[:, None] + CENTRE)


def _centre_of_mass(ink: NDArray[np.float64]) -> NDArray[np.float64]:
    """Float64 (N, 2), x and y in pixels."""
    pixels = np.arange(SIDE)
    columns, rows = ink.sum(axis=1), ink.sum(axis=2)
    centres = np.stack([(columns * pixels).sum(axis=1), (rows * pixels).sum(axis=1)], axis=1)
    return np.asarray(centres / columns.sum(axis=1)[:, None])


def _numbers(source: np.random.PCG64, rows: int, columns: int) -> NDArray[np.float64]:
    """Random numbers in [0, 1), float64 (rows, columns), 53 bits each."""
    # numpy promises the raw bits of a generator for ever, but not what its methods make of them.
    bits = np.asarray(source.random_raw(rows * columns), np.uint64)
    return np.asarray((bits >> np.uint64(11)).astype(np.float64).reshape(rows, columns) * 2.0**-53)


def _balanced(count: int, source: np.random.PCG64) -> NDArray[np.int64]:
    blocks = -(-count // 10)
    order = np.argsort(_numbers(source, blocks, 10), axis=1, kind="stable")
    return order.reshape(-1)[:count].astype(np.int64)


def _by_forms(count: int, source: np.random.PCG64) -> NDArray[np.int64]:
    """Digits as often as they have forms."""
    bounds = np.cumsum(form_counts()) / sum(form_counts())
    return np.asarray(np.minimum((_numbers(source, count, 1) >= bounds).sum(axis=1), 9), np.int64)


def _checked(labels: NDArray[np.integer], count: int) -> NDArray[np.int64]:
    if labels.shape != (count,) or not np.issubdtype(labels.dtype, np.integer):
        raise InputError(
            f"labels of type {labels.dtype} and shape {labels.shape} for {count} pictures; give an integer for each"
        )
    if count and not 0 <= labels.min() <= labels.max() <= 9:
        raise InputError(f"labels from {labels.min()} to {labels.max()}; only the digits 0 to 9 can be written")
    return labels.astype(np.int64)


def _check_seed(seed: int) -> None:
    if seed < 0:
        raise InputError(f"a seed cannot be negative, and {seed} is; give 0 or more")
