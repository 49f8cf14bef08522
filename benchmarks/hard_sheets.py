"""Hard pages of several digits: uneven hands, columns, forms, other writing, what shines through, shadows.

    python benchmarks/hard_sheets.py [--model NAME-or-FILE]... [--pages N] [--kind KIND]... [--seed S] [--out FOLDER]

`strips.py` composes usual pages; here each kind aims at one thing that goes wrong with real ones. Digits are MNIST's
training digits, written anew with a pen of any width (`hard_writing`), on the paper and under the light of
`hard_scenes`; letters and signs are the stroke generator's. A page is judged by the edit distance of its text, line by
line; and of pages with other writing on them it is counted how often something is told to be not read.

The last line is one JSON document with all of it.
"""

import argparse
import json
import sys
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
from hard_ink import beside, dark_side
from hard_scenes import Floats, Size, developed, inked, lit, pen_of, ruling, sheet
from hard_writing import Line, Writers, drawn
from numpy.random import Generator
from PIL import Image, ImageDraw, ImageFilter
from strips import distance

import edge
from edge.classifier.page import annotate, read_grey_page
from edge.picture import preprocessing
from edge.text.table import aligned
from edge_train.strokes.handwriting import Dice, write_signs

SCHEMA: Final = "edge.hard-sheets/1"
SEED: Final = 70_001
MODELS: Final = ("lstm-int8", "cnn-int8")
POSITIONS: Final = 64  # of the pen, for a letter


@dataclass
class Sheet:
    """A page while it is written on.

    Attributes:
        random: the source of everything.
        writers: of the digits.
        size: width and height, pixels.
        tall: the height of a digit, pixels.
        pen: its width, pixels.
        cover: float64 (H, W), the share of each pixel that is inked.
        texts: what is written, line by line.
        others: whether there is writing that is no digit.
        next: the next digit of the writers.
    """

    random: Generator
    writers: Writers
    size: Size
    tall: float
    pen: float
    next: int
    cover: Floats = field(init=False)
    texts: list[str] = field(default_factory=list)
    others: bool = False

    def __post_init__(self) -> None:
        """Nothing is written yet."""
        self.cover = np.zeros(self.size[::-1])

    def digit(self, labels: str = "") -> Line:
        """The next digit, or the next of those labels."""
        self.next += 1
        return self.writers.line(self.next, labels)

    def put(self, line: Line, left: float, foot: float, share: float = 1.0, stretch: float = 1.0) -> float:
        """Writes a digit on a line of writing.

        Args:
            line: the digit.
            left: where its ink begins, pixels.
            foot: where it stands, pixels.
            share: its height, of the page's usual one.
            stretch: how much wider than usual it is.

        Returns:
            Where its ink ends, pixels.
        """
        points = line.points / line.extent[1] * np.array([stretch, 1.0])
        tall = self.tall * share
        wide, high = points.max(axis=0) * tall
        margin = int(self.pen) + 2
        box = int(wide) + 2 * margin, int(high) + 2 * margin
        small = drawn(Line(points, line.joins, line.label), box, tall=tall, pen=self.pen, middle=(0.5, 0.5))
        top, start = round(foot - high) - margin, round(left) - margin
        self.lay(small, top, start)
        return left + float(wide)

    def lay(self, small: Floats, top: int, left: int) -> None:
        """Puts ink on the page; what reaches over its edges is cut off."""
        down, across = max(0, -top), max(0, -left)
        part = small[down:, across:]
        here = self.cover[top + down :, left + across :][: part.shape[0], : part.shape[1]]
        np.maximum(here, part[: here.shape[0], : here.shape[1]], out=here)

    def path(self, points: Floats, top: float, left: float, scale: float) -> None:
        """Draws a curve, float64 (P, 2), x and y in units of `scale` pixels."""
        joins = np.stack([np.arange(len(points) - 1), np.arange(1, len(points))], axis=1)
        self._line(points, joins, top, left, scale)

    def sign(self, top: float, left: float, scale: float) -> float:
        """A letter or sign that resembles no digit; where its ink ends."""
        written = write_signs(Dice(self.random.random((1, 160))), POSITIONS)
        points = written.positions[0] - written.positions[0].min(axis=0)
        joins = np.flatnonzero(written.joined[0])
        self._line(points, np.stack([joins, joins + 1], axis=1), top, left, scale)
        return left + float(points[:, 0].max()) * scale

    def _line(self, points: Floats, joins: np.ndarray, top: float, left: float, scale: float) -> None:
        low = points.min(axis=0)
        wide, high = (points.max(axis=0) - low) * scale
        margin = int(self.pen) + 2
        box = int(wide) + 2 * margin, int(high) + 2 * margin
        line = Line(points - low, joins, "")
        self.lay(
            drawn(line, box, tall=scale, pen=self.pen, middle=(0.5, 0.5)),
            round(top + low[1] * scale) - margin,
            round(left + low[0] * scale) - margin,
        )

    def number(self, count: int, left: float, foot: float, gap: tuple[float, float] = (0.15, 0.4)) -> float:
        """A number of that many digits; where its ink ends."""
        text = ""
        for _ in range(count):
            line = self.digit()
            text += line.label
            share = self.random.uniform(0.88, 1.08)
            left = self.put(line, left, foot + self.tall * self.random.uniform(-0.05, 0.05), share)
            left += self.tall * self.random.uniform(*gap)
        self.texts.append(text)
        return left

    def photo(self, page: Floats | None = None, shade: Floats | None = None) -> Image.Image:
        """The page, its ink on it, under a lamp, seen by a camera."""
        ink, contrast = pen_of(self.random)
        page = sheet(self.random, self.size) if page is None else page
        page = lit(self.random, inked(page, self.cover, ink, contrast))
        return developed(self.random, page if shade is None else page * shade[..., None], blur=(0.3, 1.0))


def blank(random: Generator, writers: Writers, start: int, count: float = 7, rows: float = 1) -> Sheet:
    """A page with room for some digits and lines of them."""
    tall = float(random.uniform(36, 110))
    pen = max(1.5, tall * random.uniform(0.05, 0.12))
    size = int(tall * (count + 1.6)), int(tall * (rows * 1.8 + 1.2))
    return Sheet(random, writers, size, tall, pen, start)


def plain(page: Sheet) -> Image.Image:
    """A line or two, even and clear: nothing goes wrong here."""
    rows(page, 2, (4, 7))
    return page.photo()


def rows(
    page: Sheet, most: int, counts: tuple[int, int], top: float = 1.6, gap: tuple[float, float] = (0.15, 0.4)
) -> None:
    """Some lines of digits."""
    for row in range(int(page.random.integers(1, most + 1))):
        foot = page.tall * (top + 1.7 * row)
        page.number(int(page.random.integers(*counts)), page.tall * page.random.uniform(0.4, 0.8), foot, gap)


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
    rows(page, 2, (4, 7), top=3.1)
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
    rows(page, 2, (4, 7))
    front, texts = page.cover, page.texts
    page.cover, page.texts = np.zeros_like(front), []
    rows(page, 2, (4, 7), top=page.random.uniform(1.3, 2.2))
    back = Image.fromarray(np.rint(page.cover[:, ::-1] * 255).astype(np.uint8))
    back = back.filter(ImageFilter.GaussianBlur(page.random.uniform(1.0, 2.5)))
    page.cover, page.texts = front, texts
    paper = sheet(page.random, page.size)
    pale = page.random.uniform(0.06, 0.22) * np.asarray(back, np.float64) / 255
    return page.photo(paper * (1 - pale[..., None]))


def shadow_below(page: Sheet) -> Image.Image:
    """A dark shadow along one edge, mostly the lower one; the digits lie clear of it."""
    rows(page, 2, (4, 7), top=2.0)
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
}


def compose(kind: str, at: int, writers: Writers, seed: int) -> tuple[np.ndarray, Sheet]:
    """A page of that kind, uint8 (H, W, 3) as a JPEG of fair quality has it, and what is on it."""
    write, count, high = KINDS[kind]
    random = np.random.default_rng([seed, zlib.crc32(kind.encode()), at])
    page = blank(random, writers, (zlib.crc32(kind.encode()) + 40 * at) % 50_000, count, high)
    return np.asarray(write(page)), page


@dataclass
class Score:
    """What became of the pages of a kind."""

    digits: int = 0
    wrong: int = 0
    pages: int = 0
    whole: int = 0
    others: int = 0
    told: int = 0


def main() -> int:
    """Composes, reads, counts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", action="append", help=f"a shipped name or a bundle; {', '.join(MODELS)} without")
    parser.add_argument("--pages", type=int, default=24, help="of each kind")
    parser.add_argument("--kind", action="append", choices=[*KINDS], help="may be repeated; all without")
    parser.add_argument("--seed", type=int, default=SEED, help="another one gives other pages")
    parser.add_argument("--out", type=Path, help="a folder for annotated copies of the pages that went wrong")
    arguments = parser.parse_args()
    models = arguments.model or MODELS
    classifiers = {model: edge.load(model, provider="cpu", threads=1) for model in models}
    scores = {model: {kind: Score() for kind in arguments.kind or KINDS} for model in models}
    writers = Writers(arguments.seed)
    for kind in arguments.kind or KINDS:
        for at in range(arguments.pages):
            pixels, page = compose(kind, at, writers, arguments.seed)
            grey = preprocessing.luminance(pixels, enough_pixels=preprocessing.EVERY_PIXEL)
            for model, classifier in classifiers.items():
                judge(scores[model][kind], grey, page, classifier, arguments.out and arguments.out / kind / f"{at:03}")
    for model in models:
        print_scores(model, scores[model])
    records = {model: {kind: vars(score) for kind, score in kinds.items()} for model, kinds in scores.items()}
    print(json.dumps({"schema": SCHEMA, "seed": arguments.seed, "pages": arguments.pages, "models": records}))
    return 0


def judge(score: Score, grey: np.ndarray, page: Sheet, classifier: edge.Classifier, out: Path | None) -> None:
    """Reads a page and counts."""
    result = read_grey_page(grey, classifier)
    truth = "\n".join(page.texts)
    wrong = distance(result.text, truth)
    score.digits += sum(map(len, page.texts))
    score.wrong += wrong
    score.pages += 1
    score.whole += wrong == 0
    score.others += page.others
    score.told += bool(getattr(result, "unread", ())) == page.others
    if wrong and out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        name = f"{out.name}-{'_'.join(page.texts)}.png"
        annotate(grey, result).save(out.with_name(name))


def print_scores(model: str, scores: dict[str, Score]) -> None:
    """The table of one model."""
    table = [("", "digits", "wrong", "share", "whole pages", "rightly told")]
    total = Score()
    for kind, score in [*scores.items(), ("all", total)]:
        for name, value in vars(score).items():
            if score is not total:
                setattr(total, name, getattr(total, name) + value)
        share = f"{score.wrong / max(1, score.digits):.1%}"
        whole = f"{score.whole} of {score.pages}"
        table.append((kind, str(score.digits), str(score.wrong), share, whole, f"{score.told} of {score.pages}"))
    print(model)
    for line in aligned(table):
        print(f"  {line}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
