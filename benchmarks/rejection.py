"""How well what is no digit is told from digits, by the score that a bundle computes from its logits.

    python benchmarks/rejection.py [--model NAME-or-FILE]... [--pictures NAME=FOLDER]...

A classifier of digits gives a letter a digit, and often a confident one. This measures what the rejection of a bundle
tells apart: AUROC (the chance that a digit scores higher than something else; 0.5 says nothing, 1 is perfect) and the
share that is rejected at the threshold. Both are fitted here on MNIST's validation split as the export does it, so that
bundles can be measured that have none yet.

The third column says how often the answer would mislead: at `SURE` or more, and not rejected.

Digits are MNIST's test set, and the pictures of `--digits` if given. What `rejection_kinds` draws is synthetic: letters
of Pillow's built-in font or of those in `--fonts` (Greek ones need it), dials, tables, cups, faces, noise. Everything
else is a folder of pictures, read as `edge predict` reads them: textures, photos. Models are trained with
outliers of `edge_train.strokes.outliers`, which draws by other means.

The last line is one JSON document with all of it.
"""

import argparse
import json
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import rejection_kinds as kinds
from numpy.random import Generator
from numpy.typing import NDArray

import edge
from edge.bundle.input import COLUMNS, ROWS
from edge.classifier.rejection import Scorer
from edge.picture import paths, preprocessing
from edge.text.table import aligned
from edge_export.pack import rejection_threshold
from edge_train.data import published

SCHEMA = "edge.rejection/2"
SEED = 30_001
MODELS = ("lstm", "gru", "cnn")
COUNT = 300  # of each drawn kind
SURE = 0.9  # of a label that nobody would doubt

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
        rows = [("", "images", "AUROC", "rejected", "misleading")]
        for name, images in (digits | others).items():
            found = scorer.scores(classifier.logits(images))
            rejected = found < facts.threshold
            share, sure = float(rejected.mean()), classifier.classify(images).max(axis=1) >= SURE
            misleading = None if name in digits else float((sure & ~rejected).mean())
            parted = None if name in digits else auroc(known, found)
            record = {"model": model, "set": name, "images": len(images), "auroc": parted, "rejected": share}
            records.append({**record, "misleading": misleading})
            none = "" if parted is None else f"{parted:.3f}", "" if misleading is None else f"{misleading:.1%}"
            rows.append((name, str(len(images)), none[0], f"{share:.1%}", none[1]))
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
    sets = {
        name: seen(preprocessing.read(kinds.letter(random, signs[at % len(signs)], faces)) for at in range(count))
        for name, signs, count in (
            ("letters", kinds.LATIN, COUNT),
            ("letters like a digit", kinds.LIKE_A_DIGIT, COUNT // 2),
            ("Greek letters", kinds.GREEK, COUNT // 2),
        )
        if faces or signs != kinds.GREEK  # Pillow's built-in font has none
    }
    for name, draw in kinds.PAGES.items():
        sets[name] = seen(preprocessing.read(draw(random)) for _ in range(COUNT // 2))
    return sets | {
        "garments, drawn": np.stack([kinds.garment(random) for _ in range(COUNT)]),
        "noise": random.integers(0, 256, (COUNT, ROWS, COLUMNS), dtype=np.uint8),
        "smooth noise": np.stack([kinds.smooth_noise(random) for _ in range(COUNT)]),
    }


if __name__ == "__main__":
    sys.exit(main())
