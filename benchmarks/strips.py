"""How well `edge read` reads lines of digits: whole strings, and digits, on composed pages.

    python benchmarks/strips.py [--model NAME-or-FILE]... [--pages N] [--out FOLDER]

There is no public set of photographed phone numbers and forms with their truth, so pages are composed: digits of the
MNIST test set (where it is at hand) and of the stroke generator, written in one to three lines at different sizes,
distances and slopes, on the synthetic paper of `edge_train.strokes.paper` with its lines, shadows, blur and noise. Each
page is read from pixels to text. A string counts if all of it is right; digits are counted by edit distance.

The last line is one JSON document with all of it.
"""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image

import edge
from edge.classifier.page import annotate, read_page
from edge.picture import preprocessing
from edge.text.table import aligned
from edge_train import strokes
from edge_train.data import published
from edge_train.strokes import paper

SCHEMA = "edge.strips/1"
SEED = 20_001
MODELS = ("lstm-int8", "gru-int8", "cnn-int8")

Bytes = NDArray[np.uint8]
Digits = tuple[Bytes, NDArray[np.int64]]  # uint8 (N, 28, 28) and labels


@dataclass(frozen=True, slots=True)
class Kind:
    """How the pages of one kind are written; lengths in heights of a digit."""

    gaps: tuple[float, float]  # between the ink of neighbours; below 0 they overlap
    lines: tuple[int, int] = (1, 1)
    ruled: bool = False
    grid: bool = False
    shadow: bool = False


KINDS = {
    "one line": Kind((0.15, 0.45)),
    "wide gaps": Kind((0.6, 1.5)),
    "tight": Kind((0.02, 0.12)),
    "touching": Kind((-0.08, 0.04)),
    "2 to 3 lines": Kind((0.15, 0.45), lines=(2, 3)),
    "ruled": Kind((0.15, 0.45), lines=(1, 3), ruled=True),
    "grid": Kind((0.15, 0.45), lines=(1, 2), grid=True),
    "shadow": Kind((0.15, 0.45), lines=(1, 3), shadow=True),
}


@dataclass(frozen=True, slots=True)
class Page:
    """A composed page: uint8 (H, W, 3), and what is written on it, line by line."""

    pixels: Bytes
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Score:
    """What was right on the pages of a kind."""

    strings: int
    right_strings: int
    digits: int
    wrong_digits: int
    milliseconds: float


def main() -> int:
    """Composes, reads, counts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", action="append", help=f"a shipped name or a bundle; {', '.join(MODELS)} without")
    parser.add_argument("--pages", type=int, default=60, help="of each kind and source of digits")
    parser.add_argument("--out", type=Path, help="a folder for annotated copies of the pages that went wrong")
    arguments = parser.parse_args()
    records = []
    for model in arguments.model or MODELS:
        classifier = edge.load(model, provider="cpu", threads=1)
        rows = [("", "strings", "exact", "digits", "right", "ms a page")]
        for source, digits in sources().items():
            for name, kind in KINDS.items():
                pages = [compose(digits, kind, np.random.default_rng([SEED, page])) for page in range(arguments.pages)]
                score = judge(classifier, pages, arguments.out and arguments.out / f"{source}-{name}".replace(" ", "-"))
                records.append({"model": Path(model).stem, "digits from": source, "kind": name, **fields(score)})
                rows.append((f"{source}, {name}", *columns(score)))
        print(model, flush=True)
        for line in aligned(rows):
            print(f"  {line}", flush=True)
    print(json.dumps({"schema": SCHEMA, "pages": arguments.pages, "results": records}))
    return 0


def sources() -> dict[str, Digits]:
    """Where the digits come from."""
    images, labels = strokes.sample(2000, seed=SEED)
    found = {"strokes": (images, labels)}
    if published.find("mnist", published.default_folder()) is not None:
        test = published.load_test("mnist", fetch=False)
        found["mnist test"] = (test.images, test.labels)
    return found


def compose(digits: Digits, kind: Kind, random: Generator) -> Page:
    """A page of that kind."""
    images, labels = digits
    height = int(random.integers(44, 110))  # pixels, of a digit as high as its box
    rows = []
    for _ in range(int(random.integers(kind.lines[0], kind.lines[1] + 1))):
        chosen = random.integers(0, len(images), int(random.integers(4, 12)))
        rows.append((written(images[chosen], height, kind.gaps, random), "".join(map(str, labels[chosen]))))
    margin = int(height * random.uniform(0.4, 0.9))
    between = int(height * random.uniform(0.35, 0.9))
    width = max(line.shape[1] for line, _ in rows) + 2 * margin
    cover = np.zeros((sum(len(line) for line, _ in rows) + between * (len(rows) - 1) + 2 * margin, width))
    top = margin
    for line, _ in rows:
        left = margin + int(random.integers(0, width - 2 * margin - line.shape[1] + 1))
        cover[top : top + len(line), left : left + line.shape[1]] = line
        top += len(line) + between
    settings = paper.PageSettings(ruled=kind.ruled, grid=kind.grid, shadow=kind.shadow)
    return Page(paper.photograph(cover, random, settings), tuple(text for _, text in rows))


def written(images: Bytes, height: int, gaps: tuple[float, float], random: Generator) -> NDArray[np.float64]:
    """One line of digits: the share of each pixel that is inked, float64 (h, w)."""
    slope = random.uniform(-0.03, 0.03)
    parts: list[tuple[int, int, NDArray[np.float64]]] = []
    across = 0.0
    for image in images:
        ink = enlarged(tight(image), height * random.uniform(0.85, 1.1))
        down = int(across * slope + height * random.uniform(-0.06, 0.06))
        parts.append((down, int(across), ink))
        across += ink.shape[1] + height * random.uniform(*gaps)
    top, left = min(down for down, _, _ in parts), min(at for _, at, _ in parts)
    bottom = max(down - top + len(ink) for down, _, ink in parts)
    right = max(at - left + ink.shape[1] for _, at, ink in parts)
    cover = np.zeros((bottom, right))
    for down, at, ink in parts:
        here = cover[down - top :, at - left :][: ink.shape[0], : ink.shape[1]]
        np.maximum(here, ink, out=here)
    return cover


def tight(image: Bytes) -> Bytes:
    """The image cut to its ink, a pixel of margin left."""
    rows, columns = np.flatnonzero(image.max(1) > 40), np.flatnonzero(image.max(0) > 40)
    return image[max(0, rows[0] - 1) : rows[-1] + 2, max(0, columns[0] - 1) : columns[-1] + 2]


def enlarged(image: Bytes, box: float) -> NDArray[np.float64]:
    """The digit at the size at which MNIST's box of 20 pixels has `box`, edges as sharp as a pen's."""
    scale = box / 20
    size = max(2, round(image.shape[1] * scale)), max(2, round(image.shape[0] * scale))
    smooth = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BICUBIC), np.float64) / 255
    return np.clip((smooth - 0.5) * scale / 1.5 + 0.5, 0, 1)


def judge(classifier: edge.Classifier, pages: Sequence[Page], out: Path | None) -> Score:
    """Reads all pages of a kind."""
    strings = right = digits = wrong = 0
    started = time.perf_counter()
    for number, page in enumerate(pages):
        result = read_page(page.pixels, classifier)
        texts = [line.text for line in result.lines]
        strings += len(page.lines)
        digits += sum(map(len, page.lines))
        if len(texts) == len(page.lines):
            right += sum(text == truth for text, truth in zip(texts, page.lines, strict=True))
        wrong += distance("\n".join(texts), "\n".join(page.lines))
        if out is not None and tuple(texts) != page.lines:
            out.mkdir(parents=True, exist_ok=True)
            marked = annotate(preprocessing.luminance(page.pixels), result)
            marked.save(out / f"{number:03}-{'_'.join(page.lines)}.png")
    return Score(strings, right, digits, wrong, (time.perf_counter() - started) * 1000 / len(pages))


def distance(one: str, other: str) -> int:
    """How many signs must be added, dropped or changed to make one text of the other (Levenshtein)."""
    row = list(range(len(other) + 1))
    for index, sign in enumerate(one, 1):
        before, row[0] = row[0], index
        for place, wanted in enumerate(other, 1):
            before, row[place] = row[place], min(row[place] + 1, row[place - 1] + 1, before + (sign != wanted))
    return row[-1]


def fields(score: Score) -> dict[str, float]:
    """A score for the JSON document."""
    return {
        "strings": score.strings,
        "exact": score.right_strings / score.strings,
        "digits": score.digits,
        "digits_right": 1 - score.wrong_digits / score.digits,
        "ms_a_page": score.milliseconds,
    }


def columns(score: Score) -> tuple[str, ...]:
    """A score for the table."""
    exact, right = score.right_strings / score.strings, 1 - score.wrong_digits / score.digits
    return str(score.strings), f"{exact:.1%}", str(score.digits), f"{right:.2%}", f"{score.milliseconds:.0f}"


if __name__ == "__main__":
    sys.exit(main())
