"""The kinds of pages that `hard_sheets.py` reads: a function each, which writes on a blank page and gives its photo."""

import zlib
from collections.abc import Callable

import numpy as np
from hard_ink import beside, dark_side
from hard_scenes import ruling, sheet
from hard_sheet import Sheet, blank
from hard_sheet_print import fields, print_above, print_below, print_beside, printed_digits
from hard_sheet_signs import circled, dates, ones, signs_above, signs_beside, two_hands
from hard_writing import Line, Writers
from PIL import Image, ImageDraw, ImageFilter


def plain(page: Sheet) -> Image.Image:
    """A line or two, even and clear: nothing goes wrong here."""
    page.rows(2, (4, 7))
    return page.photo()


def small_zeros(page: Sheet) -> Image.Image:
    """Zeros of a third to half of the other digits' height, on the line or raised."""
    left, foot, text = page.tall * 0.6, page.tall * 1.6, ""
    count = int(page.random.integers(4, 7))
    small = set(page.random.choice(count, size=int(page.random.integers(1, 3)), replace=False).tolist())
    for place in range(count):
        line = page.digit("0") if place in small else page.digit("123456789")
        share = page.random.uniform(0.33, 0.55) if place in small else page.random.uniform(0.9, 1.1)
        raised = page.random.uniform(0, 0.3) * page.tall if place in small else 0
        left = page.put(line, left, foot - raised, share) + page.tall * page.random.uniform(0.15, 0.4)
        text += line.label
    page.texts.append(text)
    return page.photo()


def uneven(page: Sheet) -> Image.Image:
    """A hand that writes digits of every height, up and down."""
    left, foot, text = page.tall * 0.6, page.tall * 1.7, ""
    for _ in range(int(page.random.integers(4, 7))):
        line = page.digit()
        share = page.random.uniform(0.55, 1.15)
        down = page.tall * page.random.uniform(-0.2, 0.2)
        left = page.put(line, left, foot + down, share) + page.tall * page.random.uniform(0.12, 0.4)
        text += line.label
    page.texts.append(text)
    return page.photo()


def column(page: Sheet) -> Image.Image:
    """Numbers of one to three digits below each other, close to the upper edge or not."""
    foot = page.tall * page.random.uniform(1.08, 1.6)
    most = 1 if page.random.integers(2) else 3
    left = page.tall * page.random.uniform(0.8, 3)
    for _ in range(int(page.random.integers(3, 7))):
        page.number(int(page.random.integers(1, most + 1)), left + page.tall * page.random.uniform(-0.2, 0.2), foot)
        foot += page.tall * page.random.uniform(1.25, 1.7)
    return page.photo()


def words(page: Sheet, foot: float) -> None:
    """A line of cursive, or of single letters."""
    page.others = True
    left = page.tall * page.random.uniform(0.4, 0.8)
    if page.random.integers(2):
        for _ in range(int(page.random.integers(4, 8))):
            scale = page.tall * page.random.uniform(0.6, 1.0)
            left = page.sign(foot - scale, left, scale) + page.tall * page.random.uniform(0.15, 0.3)
        return
    high = page.tall * page.random.uniform(0.3, 0.5)
    for _ in range(int(page.random.integers(1, 3))):
        turns = page.random.uniform(3, 6)
        along = np.linspace(0, turns * 2 * np.pi, int(turns * 24))
        tall = np.repeat(page.random.choice([0.7, 1.0, 1.8], int(turns) + 1), 24)[: len(along)]
        tall = np.convolve(np.pad(tall, 6, mode="edge"), np.ones(13) / 13, "valid")
        loops = page.random.uniform(0.3, 1.1)
        x = along * page.random.uniform(0.1, 0.18) + 0.22 * loops * np.cos(along)
        y = -tall * (0.5 + 0.5 * np.sin(along))
        page.path(np.stack([x, y], axis=1), foot, left, high * 2)
        left += (x.max() - x.min()) * high * 2 + page.tall * 0.4


def name_above(page: Sheet) -> Image.Image:
    """A word by another hand above the digits."""
    words(page, page.tall * 1.3)
    page.rows(2, (4, 7), top=3.1)
    return page.photo()


def name_before(page: Sheet) -> Image.Image:
    """Single letters in front of a number, or behind it, on the same line."""
    page.others = True
    foot, left = page.tall * 1.7, page.tall * 0.6
    before = bool(page.random.integers(2))
    if before:
        for _ in range(int(page.random.integers(1, 4))):
            left = page.sign(foot - page.tall, left, page.tall * 0.9) + page.tall * 0.25
        left += page.tall * 0.4
    left = page.number(int(page.random.integers(3, 5)), left, foot)
    if not before:
        left += page.tall * 0.4
        for _ in range(int(page.random.integers(1, 3))):
            left = page.sign(foot - page.tall, left, page.tall * 0.9) + page.tall * 0.25
    return page.photo()


def touching(page: Sheet) -> Image.Image:
    """Digits that touch or overlap by up to 4 pixels, two or three in a row, as in 2015."""
    left, foot, text = page.tall * 0.6, page.tall * 1.6, ""
    for _ in range(int(page.random.integers(2, 4))):
        pair = page.digit()
        one = Line(pair.points / pair.extent[1], pair.joins, pair.label)
        other = page.digit()
        scaled = Line(other.points / other.extent[1], other.joins, other.label)
        both = beside(one, scaled, page.tall, page.pen, page.random)
        left = page.put(both, left, foot) + page.tall * page.random.uniform(0.2, 0.4)
        text += both.label
    page.texts.append(text)
    return page.photo()


def wide(page: Sheet) -> Image.Image:
    """A hand that writes wide digits: each is one."""
    left, foot, text = page.tall * 0.6, page.tall * 1.6, ""
    for _ in range(int(page.random.integers(3, 6))):
        line = page.digit("02345689")
        stretch = page.random.uniform(1.1, 1.7)
        left = page.put(line, left, foot, page.random.uniform(0.85, 1.1), stretch)
        left += page.tall * page.random.uniform(0.12, 0.35)
        text += line.label
    page.texts.append(text)
    return page.photo()


def show_through(page: Sheet) -> Image.Image:
    """The back of the page shines through, mirrored and pale."""
    page.rows(2, (4, 7))
    front, texts = (page.cover, page.digits), page.texts
    page.cover, page.digits, page.texts = *np.zeros((2, *page.cover.shape)), []
    page.rows(2, (4, 7), top=page.random.uniform(1.3, 2.2))
    back = Image.fromarray(np.rint(page.cover[:, ::-1] * 255).astype(np.uint8))
    back = back.filter(ImageFilter.GaussianBlur(page.random.uniform(1.0, 2.5)))
    (page.cover, page.digits), page.texts = front, texts
    paper = sheet(page.random, page.size)
    pale = page.random.uniform(0.06, 0.22) * np.asarray(back, np.float64) / 255
    return page.photo(paper * (1 - pale[..., None]))


def shadow_below(page: Sheet) -> Image.Image:
    """A dark shadow along one edge, mostly the lower one; the digits lie clear of it."""
    page.rows(2, (4, 7), top=2.0)
    rows_, columns = np.flatnonzero(page.cover.any(axis=1)), np.flatnonzero(page.cover.any(axis=0))
    for _ in range(50):
        shade = dark_side(page.random, page.size)
        if shade[rows_[0] : rows_[-1], columns[0] : columns[-1]].min() > 0.75:
            return page.photo(shade=shade)
    return page.photo()


def form(page: Sheet) -> Image.Image:
    """A printed row of boxes, a digit in each, some boxes left empty."""
    side = page.tall * page.random.uniform(1.25, 1.6)
    count = int(page.random.integers(4, 7))
    top, start = page.tall * 0.7, page.tall * 0.6
    picture = Image.new("L", page.size)
    pencil = ImageDraw.Draw(picture)
    apart = side if page.random.integers(2) else side * 1.2
    text = ""
    filled = int(page.random.integers(3, count + 1))
    for place in range(count):
        left = start + place * apart
        pencil.rectangle((left, top, left + side, top + side), outline=255, width=max(1, round(page.tall / 40)))
        if place < filled:
            line = page.digit()
            share = page.random.uniform(0.8, 1.0)
            room = (side - line.extent[0] / line.extent[1] * page.tall * share) / 2
            page.put(line, left + max(room, 0), top + side * 0.5 + page.tall * share * 0.5, share)
            text += line.label
    page.texts.append(text)
    lines = np.asarray(picture, np.float64) / 255
    return page.photo(sheet(page.random, page.size) * (1 - page.random.uniform(0.3, 0.85) * lines[..., None]))


def with_signs(page: Sheet) -> Image.Image:
    """Phone numbers and amounts: dashes, points, commas, slashes between the digits."""
    left, foot, text = page.tall * 0.6, page.tall * 1.6, ""
    for _ in range(int(page.random.integers(2, 4))):
        for _ in range(int(page.random.integers(1, 4))):
            line = page.digit()
            left = page.put(line, left, foot, page.random.uniform(0.9, 1.08)) + page.tall * page.random.uniform(
                0.15, 0.3
            )
            text += line.label
        sign = page.random.integers(3)
        if sign == 0:
            page.path(np.array([[0, 0], [0.25, 0.0]]), foot - 0.45 * page.tall, left, page.tall)
            left += 0.45 * page.tall
        else:
            end = 0.02 if sign == 1 else 0.12
            page.path(np.array([[0.03, 0], [0, end]]), foot - 0.02 * page.tall, left, page.tall)
            left += 0.25 * page.tall
    page.texts.append(text)
    return page.photo()


def lined_page(page: Sheet) -> Image.Image:
    """Several lines on ruled or squared paper."""
    foot = page.tall * 1.4
    for _ in range(int(page.random.integers(2, 5))):
        page.number(int(page.random.integers(3, 7)), page.tall * page.random.uniform(0.5, 1), foot)
        foot += page.tall * page.random.uniform(1.35, 1.7)
    cover, _ = ruling(
        page.random,
        page.size,
        columns=bool(page.random.integers(2)),
        spacing=page.tall * page.random.uniform(0.45, 1.3),
        width=max(1.0, page.tall / 45),
        strength=page.random.uniform(0.15, 0.4),
    )
    return page.photo(sheet(page.random, page.size) * (1 - cover[..., None]))


def underlined(page: Sheet) -> Image.Image:
    """A number under which a line is drawn, or which is circled."""
    end = page.number(int(page.random.integers(3, 6)), page.tall * 0.8, page.tall * 1.6)
    along = np.linspace(0, 1, 12)
    wave = np.stack([along * (end / page.tall - 0.9), 0.03 * np.sin(along * 5)], axis=1)
    page.path(wave, page.tall * page.random.uniform(1.8, 2.0), page.tall * 0.7, page.tall)
    return page.photo()


KINDS: dict[str, tuple[Callable[[Sheet], Image.Image], float, float]] = {
    "plain": (plain, 8.5, 2),
    "small zeros": (small_zeros, 7.5, 1),
    "uneven": (uneven, 7.5, 1),
    "column": (column, 6, 5.5),
    "name above": (name_above, 9, 3.2),
    "name beside": (name_before, 9.5, 1.2),
    "touching": (touching, 8, 1),
    "wide": (wide, 9.5, 1),
    "show-through": (show_through, 8.5, 2),
    "shadow below": (shadow_below, 8.5, 2.4),
    "form": (form, 11, 1.2),
    "with signs": (with_signs, 11, 1),
    "lined page": (lined_page, 8.5, 3.8),
    "underlined": (underlined, 7, 1.4),
    "print above": (print_above, 9, 2.9),
    "print below": (print_below, 9, 2.9),
    "print beside": (print_beside, 10.5, 1),
    "fields": (fields, 10.5, 2.9),
    "printed digits": (printed_digits, 8.5, 2.9),
    "signs above": (signs_above, 9, 2.9),
    "signs beside": (signs_beside, 10.5, 1),
    "circled": (circled, 8.5, 2.3),
    "dates": (dates, 12, 1),
    "ones": (ones, 7, 1.6),
    "two hands": (two_hands, 8.5, 2.9),
}


def compose(kind: str, at: int, writers: Writers, seed: int, *, is_held: bool = True) -> tuple[np.ndarray, Sheet]:
    """A page of that kind, uint8 (H, W, 3) as a JPEG of fair quality has it, and what is on it.

    Args:
        kind: one of `KINDS`.
        at: its number.
        writers: of the digits.
        seed: of everything else.
        is_held: whether print and signs are of the half that is kept from fitting.
    """
    write, count, high = KINDS[kind]
    random = np.random.default_rng([seed, zlib.crc32(kind.encode()), at])
    page = blank(random, writers, (zlib.crc32(kind.encode()) + 40 * at) % 50_000, count, high, is_held=is_held)
    return np.asarray(write(page)), page
