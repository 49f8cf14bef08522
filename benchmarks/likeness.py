"""Chooses the numbers of `edge.picture.ink.likeness`: which traits part digits from what is none, and at what price.

    python benchmarks/likeness.py --digits FOLDER... [--model NAME]... [--each N]

The folders hold pictures of digits, as `hard_pictures.py` draws them. What is no digit is drawn by `rejection_kinds`
and `rejection_chosen`. For each trait this prints what digits and others have of it; then the weights of a logistic
rule of the graph's score and of each trait beyond what 97 of 100 digits have, all weights at least 0, so that a trait
can only speak against a digit; and the units that follow: how much more of a trait costs one unit of the score.

The constants in the code began as these, and were rounded; those of symmetry start higher and rise faster, because
digits that are nearly as even as a circle should lose nothing. `rejection.py` says what they do.
"""

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import rejection_chosen
import rejection_kinds as kinds
from numpy.typing import NDArray

import edge
from edge.errors import PictureError
from edge.picture import paths, preprocessing
from edge.picture.ink import likeness
from edge.text.table import aligned

SEED = 30_003
EACH = 60
MODELS = ("lstm-int8", "cnn-int8")
QUANTILES = (0.5, 0.97, 0.99)
START = 0.97  # quantile of the digits up to which a trait costs nothing
FARTHEST = 3.0  # times the spread beyond it, at most, so that no picture decides alone
ROUNDS, RATE = 400, 0.8
CLIPPED = 3.0  # of the score, either side of the threshold

Floats = NDArray[np.float64]


def main() -> int:
    """Reads, measures, fits."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--digits", nargs="+", required=True, help="folders of pictures of digits")
    parser.add_argument("--model", action="append", help=f"{', '.join(MODELS)} without")
    parser.add_argument("--each", type=int, default=EACH, help="pictures of each kind that is no digit")
    arguments = parser.parse_args()
    found = [each.path for each in paths.expand(arguments.digits) if each.problem is None and not is_pair(each.path)]
    digits = read(found)
    random = np.random.default_rng(SEED)
    draws = kinds.PAGES | rejection_chosen.KINDS
    others = read(draw(random) for draw in draws.values() for _ in range(arguments.each))
    print(f"{len(digits[1])} pictures of digits, {len(others[1])} of {len(draws)} kinds that show none")
    rows = [("", *(f"digits, {share:.0%}" for share in QUANTILES), *(f"others, {share:.0%}" for share in QUANTILES))]
    for at, name in enumerate(likeness.Traits._fields):
        shares = [np.quantile(one[1][:, at], QUANTILES) for one in (digits, others)]
        rows.append((name, *(f"{value:.3f}" for value in np.concatenate(shares))))
    print("\n".join(aligned(rows)))
    start = np.quantile(digits[1], START, axis=0)
    spread = np.maximum(np.quantile(digits[1], 0.999, axis=0) - start, np.maximum(digits[1].std(axis=0) / 4, 1e-3))
    models = [edge.load(name, provider="cpu", threads=1) for name in arguments.model or MODELS]
    weights = fit(models, digits, others, start, spread)
    rows = [("", "start", "spread", "weight", "unit")]
    for name, *values in zip(
        likeness.Traits._fields, start, spread, weights, spread / np.maximum(weights, 1e-6), strict=True
    ):
        rows.append((name, *(f"{value:.3f}" for value in values)))
    print("\n".join(aligned(rows)))
    return 0


def is_pair(path: str) -> bool:
    """Whether it is one of the hard pictures that show two digits."""
    return Path(path).name.startswith("touching-")


def read(sources: Iterable[preprocessing.Source]) -> tuple[NDArray[np.uint8], Floats]:
    """The image and the traits of each picture in which one digit was found."""
    images, traits = [], []
    for source in sources:
        try:
            preprocessing.read_digit(source)
        except PictureError:
            continue
        made = preprocessing.preprocess(preprocessing.luminance(source))
        if made.segmentation is not None and made.close_up is not None:
            images.append(made.image)
            traits.append(likeness.measure(made.image, made.segmentation, made.close_up.crossed))
    return np.stack(images), np.array(traits, np.float64)


def fit(
    models: list[edge.Classifier],
    digits: tuple[NDArray[np.uint8], Floats],
    others: tuple[NDArray[np.uint8], Floats],
    start: Floats,
    spread: Floats,
) -> Floats:
    """Weights that serve all models, in units of the score: by gradient descent, each class as heavy as the other."""
    beyond = np.minimum(np.maximum(0, (np.concatenate([digits[1], others[1]]) - start) / spread), FARTHEST)
    is_other = np.repeat([0.0, 1.0], [len(digits[1]), len(others[1])])
    share = np.repeat([1 / len(digits[1]), 1 / len(others[1])], [len(digits[1]), len(others[1])])
    images = np.concatenate([digits[0], others[0]])
    lower = [_below_the_threshold(model, images) for model in models]
    weights, slopes, levels = np.zeros(len(start)), np.ones(len(models)), np.zeros(len(models))
    for _ in range(ROUNDS):
        change = np.zeros(len(start))
        for at, below in enumerate(lower):
            total = below + beyond @ weights
            wrong = (1 / (1 + np.exp(-slopes[at] * total - levels[at])) - is_other) * share
            change += slopes[at] * (beyond.T @ wrong)
            slopes[at] = max(0.3, slopes[at] - float(wrong @ total))
            levels[at] -= float(wrong.sum())
        weights = np.maximum(0, weights - RATE * change)
    return weights


def _below_the_threshold(model: edge.Classifier, images: NDArray[np.uint8]) -> Floats:
    """How far the graph's score of each image is below the bundle's threshold."""
    facts = model.manifest.rejection
    assert facts is not None
    scores = np.array(model.scores(images), np.float64)
    return np.clip(facts.threshold - scores, -CLIPPED, CLIPPED)


if __name__ == "__main__":
    sys.exit(main())
