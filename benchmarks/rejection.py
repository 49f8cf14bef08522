"""How well what is no digit is told from digits: by the model alone, and with what reading knows of the picture.

    python benchmarks/rejection.py [--held | --asked] [--model NAME-or-FILE]... [--fonts FOLDER]
        [--pictures NAME=FOLDER]... [--digits NAME=FOLDER]...

A classifier of digits gives a letter a digit, and often a confident one. This measures what the rejection of a bundle
tells apart: AUROC (the chance that a digit scores higher than something else; 0.5 says nothing, 1 is perfect), the
share that is rejected at the threshold, and how often the answer misleads: at `SURE` or more, and neither rejected nor
refused. Threshold and scores are fitted here on MNIST's validation split as the export does it, so that bundles can be
measured that have none yet.

Each figure stands twice: by the graph's score alone, and with the likeness that reading adds to it. What is refused as
blank or as several digits is neither rejected nor misleading.

Digits are MNIST's test set, the same on drawn paper, and the pictures of `--digits` if given. What is no digit is drawn
by `rejection_kinds` and `rejection_chosen`, on which likeness was chosen, with `--held` by `rejection_held`, on which
nothing was, or with `--asked` by `rejection_asked`, eight kinds of which at most 8 % shall mislead. Letters are of
Pillow's built-in font or of those in `--fonts`; Greek ones need them. Everything else is a folder of pictures:
textures, photos. Models are trained with outliers of `edge_train.strokes.outliers`, which
draws by other means.

The last line is one JSON document with all of it.
"""

import argparse
import json
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rejection_asked
import rejection_chosen
import rejection_held
import rejection_kinds as kinds
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image

import edge
from edge.bundle.input import COLUMNS, ROWS
from edge.classifier.prediction import Scorer
from edge.errors import PictureError
from edge.picture import paths, preprocessing
from edge.text.table import aligned
from edge_export.pack import rejection_threshold
from edge_train.data import published

SCHEMA = "edge.rejection/3"
SEED, HELD_SEED, ASKED_SEED = 30_001, 30_002, 30_012
MODELS = ("lstm-int8", "cnn-int8")
COUNT = 150  # of each drawn kind
SURE = 0.9  # of a label that nobody would doubt
SIDES = (60, 220)  # pixels of a digit on paper

Bytes = NDArray[np.uint8]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Pictures:
    """What reading made of pictures.

    Attributes:
        images: uint8 (N, 28, 28), those that were not refused.
        likeness: float64 (N,).
        refused: how many were.
        are_digits: whether they show digits.
        are_read: whether they were read as pictures, and not made as images.
    """

    images: Bytes
    likeness: Floats
    refused: int = 0
    are_digits: bool = False
    are_read: bool = True

    @property
    def count(self) -> int:
        """All of them."""
        return len(self.images) + self.refused


def main() -> int:
    """Draws, reads, scores."""
    arguments = parsed(sys.argv[1:])
    test = published.load_test("mnist", fetch=False)
    _, validation = published.load("mnist", fetch=False)
    random = np.random.default_rng(HELD_SEED if arguments.held else ASKED_SEED if arguments.asked else SEED)
    some = test.images[:: len(test.images) // (4 * COUNT)]
    sets = {
        "mnist test": Pictures(test.images, np.zeros(len(test.images)), are_digits=True, are_read=False),
        "mnist on paper": read([on_paper(random, image) for image in some], digits=True),
        **folders(arguments.digits, digits=True),
        **(asked(random, arguments.fonts) if arguments.asked else drawn(random, arguments.fonts, held=arguments.held)),
        **folders(arguments.pictures, digits=False),
    }
    records = []
    for model in arguments.model or MODELS:
        classifier = edge.load(model, provider="cpu", threads=1)
        facts = rejection_threshold.fit(classifier.logits(validation.images), validation)
        measured = {name: measure(classifier, facts.threshold, Scorer.of(facts), one) for name, one in sets.items()}
        print(model)
        for line in table(sets, measured):
            print(f"  {line}", flush=True)
        records += [{"model": model, "set": name, **vars_of(found)} for name, found in measured.items()]
    which = {"held": arguments.held, "asked": arguments.asked}
    print(json.dumps({"schema": SCHEMA, **which, "results": records}))
    return 0


def parsed(words: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", action="append", help=f"a shipped name or a bundle; {', '.join(MODELS)} without")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--held", action="store_true", help="the kinds on which nothing was chosen")
    which.add_argument("--asked", action="store_true", help="the eight kinds of which at most 8 %% shall mislead")
    parser.add_argument("--pictures", action="append", default=[], metavar="NAME=FOLDER", help="what is no digit")
    parser.add_argument("--digits", action="append", default=[], metavar="NAME=FOLDER", help="pictures of digits")
    parser.add_argument("--fonts", type=Path, help="a folder of .ttf and .otf files for the letters")
    return parser.parse_args(words)


@dataclass(frozen=True, slots=True)
class Measured:
    """What a model makes of a set: each figure by the model alone, and with reading.

    Attributes:
        scores: float64 (N,) each, of what was not refused.
        refused: share.
        rejected: shares of all.
        misleading: shares of all, of what is no digit.
    """

    scores: tuple[Floats, Floats]
    refused: float
    rejected: tuple[float, float]
    misleading: tuple[float, float]


def measure(classifier: edge.Classifier, threshold: float, scorer: Scorer, pictures: Pictures) -> Measured:
    """Scores a set."""
    alone = scorer.scores(classifier.logits(pictures.images))
    sure = classifier.classify(pictures.images).max(axis=1) >= SURE
    both = alone, alone + pictures.likeness
    rejected = [float((scores < threshold).sum()) / pictures.count for scores in both]
    misleading = [float((sure & (scores >= threshold)).sum()) / pictures.count for scores in both]
    return Measured(both, pictures.refused / pictures.count, (rejected[0], rejected[1]), (misleading[0], misleading[1]))


def table(sets: dict[str, Pictures], measured: dict[str, Measured]) -> list[str]:
    """A line for each set, and the mean of what is no digit."""
    rows = [("", "pictures", "refused", "AUROC", "", "rejected", "", "misleading", "")]
    misleading = []
    for name, found in measured.items():
        known = measured["mnist on paper" if sets[name].are_read else "mnist test"]
        parted, sure = ("", ""), ("", "")
        if not sets[name].are_digits:
            misleading.append(found.misleading)
            pairs = zip(known.scores, found.scores, strict=True)
            parted = tuple(f"{auroc(digits, others):.3f}" for digits, others in pairs)
            sure = tuple(f"{share:.1%}" for share in found.misleading)
        refused, rejected = f"{found.refused:.1%}", (f"{share:.1%}" for share in found.rejected)
        rows.append((name, str(sets[name].count), refused, *parted, *rejected, *sure))
    means = (f"{mean:.1%}" for mean in np.mean(misleading, axis=0).tolist())
    rows.append(("mean of what is no digit", "", "", "", "", "", "", *means))
    return aligned(rows)


def vars_of(found: Measured) -> dict[str, object]:
    """The figures of a set as plain values."""
    return {"refused": found.refused, "rejected": found.rejected, "misleading": found.misleading}


def auroc(known: Floats, others: Floats) -> float:
    """The chance that a known one scores higher than another one, ties counted by half."""
    if len(others) == 0:
        return 1.0
    ordered = np.sort(others)
    below = np.searchsorted(ordered, known, side="left") + np.searchsorted(ordered, known, side="right")
    return float(below.mean() / 2 / len(others))


def on_paper(random: Generator, image: Bytes) -> Image.Image:
    """An image as a pen's writing on a sheet."""
    on = rejection_chosen.sheet(random)
    side = int(random.integers(*SIDES))
    large = Image.fromarray(image).resize((side, side), Image.Resampling.BICUBIC)
    soft = random.uniform(0.1, 0.5)
    ink = np.clip((np.asarray(large) / 255 - random.uniform(0.35, 0.6)) / soft + 0.5, 0, 1)
    mask = Image.fromarray((ink * 255).astype(np.uint8))
    left, top = (int(random.integers(min(0, room), max(0, room) + 1)) for room in (one - side for one in on.page.size))
    on.page.paste(on.ink, (left, top), mask)
    return rejection_chosen.photographed(on, random)


def folders(named: Iterable[str], *, digits: bool) -> dict[str, Pictures]:
    """Every picture of the folders."""
    sets = {}
    for argument in named:
        name, _, folder = argument.partition("=")
        sets[name] = read([found.path for found in paths.expand([folder]) if found.problem is None], digits=digits)
    return sets


def read(sources: Iterable[preprocessing.Source], *, digits: bool = False) -> Pictures:
    """What reading makes of pictures."""
    outcomes = preprocessing.read_digits(list(sources))
    good = [each for each in outcomes if not isinstance(each, PictureError)]
    images = np.array([each.image for each in good], np.uint8).reshape(-1, ROWS, COLUMNS)
    likeness = np.array([each.likeness for each in good], np.float64)
    return Pictures(images, likeness, len(outcomes) - len(good), are_digits=digits)


def faces_of(fonts: Path | None) -> list[Path]:
    """The fonts of a folder."""
    return sorted(fonts.glob("*.[ot]tf")) if fonts else []


def asked(random: Generator, fonts: Path | None) -> dict[str, Pictures]:
    """The eight kinds; letters only where a font has them."""
    letters = rejection_asked.LETTERS
    faces = {
        kind: [face for face in faces_of(fonts) if rejection_asked.has(face, signs)] for kind, signs in letters.items()
    }
    return {
        kind: read(rejection_asked.drawings(kind, random, COUNT, faces.get(kind, [])))
        for kind in (*letters, *rejection_asked.THINGS)
        if kind not in letters or faces[kind]
    }


def drawn(random: Generator, fonts: Path | None, *, held: bool) -> dict[str, Pictures]:
    """What can be drawn without any data."""
    faces = faces_of(fonts)
    sets = {
        name: read(kinds.letter(random, signs[at % len(signs)], faces) for at in range(COUNT))
        for name, signs in (
            ("letters", kinds.LATIN),
            ("letters like a digit", kinds.LIKE_A_DIGIT),
            ("Greek letters", kinds.GREEK),
        )
        if faces or signs != kinds.GREEK  # Pillow's built-in font has none
    }
    for name, draw in (rejection_held.KINDS if held else kinds.PAGES | rejection_chosen.KINDS).items():
        sets[name] = read(draw(random) for _ in range(COUNT))
    if held:
        return sets
    images = {
        "garments, drawn": np.stack([kinds.garment(random) for _ in range(COUNT)]),
        "noise": random.integers(0, 256, (COUNT, ROWS, COLUMNS), dtype=np.uint8),
        "smooth noise": np.stack([kinds.smooth_noise(random) for _ in range(COUNT)]),
    }
    return sets | {name: Pictures(one, np.zeros(COUNT), are_read=False) for name, one in images.items()}


if __name__ == "__main__":
    sys.exit(main())
