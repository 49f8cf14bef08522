"""How well what is no digit is told from digits, by the score that a bundle computes from its logits.

    python benchmarks/rejection.py [--model NAME-or-FILE]... [--pictures NAME=FOLDER]...

A classifier of digits gives a letter a digit, and often a confident one. This measures what the rejection of a bundle
tells apart: AUROC (the chance that a digit scores higher than something else; 0.5 says nothing, 1 is perfect) and the
share that is rejected at the threshold. Both are fitted here on MNIST's validation split as the export does it, so that
bundles can be measured that have none yet.

Digits are MNIST's test set, and the pictures of `--digits` if given. What is drawn here is synthetic: letters of
Pillow's built-in font and of the fonts in `--fonts`, scribbles, noise, and silhouettes of garments. Everything else is
a folder of pictures, read as `edge predict` reads them: faces, textures, photos.

The last line is one JSON document with all of it.
"""

import argparse
import json
import string
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageFont

import edge
from edge.bundle.input import COLUMNS, ROWS
from edge.classifier.rejection import Scorer
from edge.picture import paths, preprocessing
from edge.text.table import aligned
from edge_export.pack import rejection_threshold
from edge_train.data import published

SCHEMA = "edge.rejection/1"
SEED = 30_001
MODELS = ("lstm", "gru", "cnn")
COUNT = 300  # of each drawn kind
LIKE_A_DIGIT = "OoQDIlijSsZzBqgbGT"  # letters that many people would take for a digit
SIDE = 200  # pixels of a drawn page

Bytes = NDArray[np.uint8]


def main() -> int:
    """Draws, reads, scores."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", action="append", help=f"a shipped name or a bundle; {', '.join(MODELS)} without")
    parser.add_argument("--pictures", action="append", default=[], metavar="NAME=FOLDER", help="what is no digit")
    parser.add_argument("--digits", action="append", default=[], metavar="NAME=FOLDER", help="pictures of digits")
    parser.add_argument("--fonts", type=Path, help="a folder of .ttf files for the letters")
    arguments = parser.parse_args()
    others = drawn(np.random.default_rng(SEED), arguments.fonts) | folders(arguments.pictures)
    _, validation = published.load("mnist", fetch=False)
    test = published.load_test("mnist", fetch=False)
    digits = {"mnist test": test.images} | folders(arguments.digits)
    records = []
    for model in arguments.model or MODELS:
        classifier = edge.load(model, provider="cpu", threads=1)
        facts = rejection_threshold.fit(classifier.logits(validation.images), validation)
        scorer = Scorer.of(facts)
        known = scorer.scores(classifier.logits(test.images))
        rows = [("", "images", "AUROC", "rejected")]
        for name, images in (digits | others).items():
            found = scorer.scores(classifier.logits(images))
            share = float((found < facts.threshold).mean())
            parted = None if name in digits else auroc(known, found)
            records.append({"model": model, "set": name, "images": len(images), "auroc": parted, "rejected": share})
            rows.append((name, str(len(images)), "" if parted is None else f"{parted:.3f}", f"{share:.1%}"))
        print(model)
        for line in aligned(rows):
            print(f"  {line}", flush=True)
    print(json.dumps({"schema": SCHEMA, "results": records}))
    return 0


def auroc(known: NDArray[np.float64], others: NDArray[np.float64]) -> float:
    """The chance that a known one scores higher than another one, ties counted by half."""
    ordered = np.sort(others)
    below = np.searchsorted(ordered, known, side="left") + np.searchsorted(ordered, known, side="right")
    return float(below.mean() / 2 / len(others))


def folders(named: Iterable[str]) -> dict[str, Bytes]:
    """Every picture of the folders that is not blank, as the model sees it."""
    sets = {}
    for argument in named:
        name, _, folder = argument.partition("=")
        images = [preprocessing.read(found.path) for found in paths.expand([folder]) if found.problem is None]
        sets[name] = seen(images)
    return sets


def seen(images: Iterable[Bytes]) -> Bytes:
    """One array of those that are not blank."""
    return np.stack([image for image in images if image.any()])


def drawn(random: Generator, fonts: Path | None) -> dict[str, Bytes]:
    """What can be drawn without any data: uint8 (N, 28, 28) each."""
    faces = sorted(fonts.glob("*.ttf")) if fonts else []
    unlike = [letter for letter in string.ascii_letters if letter not in LIKE_A_DIGIT]
    return {
        "letters": seen(preprocessing.read(letter(random, unlike[at % len(unlike)], faces)) for at in range(COUNT)),
        "letters like a digit": seen(
            preprocessing.read(letter(random, LIKE_A_DIGIT[at % len(LIKE_A_DIGIT)], faces)) for at in range(COUNT // 2)
        ),
        "scribbles": seen(preprocessing.read(scribble(random)) for _ in range(COUNT)),
        "garments, drawn": np.stack([garment(random) for _ in range(COUNT)]),
        "noise": random.integers(0, 256, (COUNT, ROWS, COLUMNS), dtype=np.uint8),
        "smooth noise": np.stack([smooth_noise(random) for _ in range(COUNT)]),
    }


def letter(random: Generator, sign: str, faces: list[Path]) -> Image.Image:
    """A printed letter, a little turned and blurred."""
    size = int(random.integers(80, 150))
    face = ImageFont.truetype(str(random.choice(faces)), size) if faces else ImageFont.load_default(size)
    page = Image.new("L", (SIDE, SIDE), 240)
    ImageDraw.Draw(page).text((SIDE / 2, SIDE / 2), sign, fill=int(random.integers(0, 90)), font=face, anchor="mm")
    turned = page.rotate(random.uniform(-8, 8), fillcolor=240, resample=Image.Resampling.BICUBIC)
    return turned.filter(ImageFilter.GaussianBlur(random.uniform(0, 1.5)))


def scribble(random: Generator) -> Image.Image:
    """A curve through some points, with a pen of some width."""
    corners = random.uniform(30, 170, (int(random.integers(6, 16)), 2))
    place = np.linspace(0, len(corners) - 1, 400)
    curve = np.stack([np.interp(place, range(len(corners)), corners[:, axis]) for axis in (0, 1)], axis=1)
    soft = np.stack(
        [np.convolve(np.pad(curve[:, axis], 12, mode="edge"), np.ones(25) / 25, "valid") for axis in (0, 1)]
    )
    page = Image.new("L", (SIDE, SIDE), 235)
    points = [(float(x), float(y)) for x, y in soft.T]
    ImageDraw.Draw(page).line(points, fill=40, width=int(random.integers(3, 12)), joint="curve")
    return page.filter(ImageFilter.GaussianBlur(1))


GARMENTS = (
    ((8, 3), (12, 4), (16, 4), (20, 3), (27, 9), (24, 13), (20, 10), (20, 25), (8, 25), (8, 10), (4, 13), (1, 9)),
    ((9, 2), (19, 2), (21, 26), (15, 26), (14, 9), (13, 26), (7, 26)),
    ((2, 12), (8, 11), (14, 16), (24, 17), (26, 22), (2, 23)),
    ((10, 2), (18, 2), (17, 9), (23, 26), (5, 26), (11, 9)),
)
"""Outlines of a shirt, trousers, a shoe and a dress in a 28x28 image: crude stand-ins for fashion pictures."""


def garment(random: Generator) -> Bytes:
    """A filled outline with uneven corners and some texture."""
    outline = GARMENTS[int(random.integers(len(GARMENTS)))]
    points = [(8 * x + float(random.normal(0, 6)), 8 * y + float(random.normal(0, 6))) for x, y in outline]
    page = Image.new("L", (8 * COLUMNS, 8 * ROWS), 0)
    ImageDraw.Draw(page).polygon(points, fill=int(random.integers(120, 255)))
    small = page.filter(ImageFilter.GaussianBlur(4)).resize((COLUMNS, ROWS), Image.Resampling.BOX)
    return np.clip(np.asarray(small) * (1 + random.normal(0, 0.15, small.size)), 0, 255).astype(np.uint8)


def smooth_noise(random: Generator) -> Bytes:
    """Blots of random form."""
    coarse = Image.fromarray(random.integers(0, 256, (ROWS, COLUMNS), dtype=np.uint8))
    soft = np.asarray(coarse.filter(ImageFilter.GaussianBlur(random.uniform(1, 3))), np.float64)
    spread = (soft - soft.min()) / max(np.ptp(soft), 1)
    return np.rint(np.clip((spread - 0.5) * 4, 0, 1) * 255).astype(np.uint8)


if __name__ == "__main__":
    sys.exit(main())
