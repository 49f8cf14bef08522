"""Fits what tells a number on a page from other writing: the weights in `edge/classifier/signs.py`.

    python benchmarks/word_weights.py [--pages N] [--seed S]

Pages are those of `hard_sheets.py`, with print and signs of the half that is for fitting, and usual ones of
`strips.py`, of MNIST's training digits and of the stroke generator; lstm-int8 and cnn-int8 read them. Each word is an
example, a number if more than half of its ink was drawn as digits, and counts as often as it has signs; a number counts
half as much again, because a digit that is lost is worse than a letter that is read. The fit is a logistic regression
by Newton's method.
"""

import argparse
import sys
from collections.abc import Iterator
from typing import Final

import numpy as np
import strips
from hard_scenes import Floats
from hard_sheet_kinds import KINDS, compose
from hard_writing import Writers
from numpy.typing import NDArray

import edge
from edge.classifier.page import find_signs
from edge.classifier.signs import BIAS, WEIGHTS, WORD_GAP, find_words, word_features
from edge.picture import preprocessing
from edge_train import strokes
from edge_train.data import published

SEED: Final = 74_001
MODELS: Final = ("lstm-int8", "cnn-int8")
OF_A_NUMBER: Final = 1.5  # how much more a digit that is lost counts than a letter that is read
PENALTY: Final = 1.0  # of the squares of the weights, features in units of their deviation
STEPS: Final = 30

Page = tuple[
    NDArray[np.uint8], Floats | None, Floats | None
]  # pixels, the ink of all and of digits; None: all are digits


def main() -> int:
    """Composes, reads, fits."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pages", type=int, default=40, help="of each kind of hard page; of usual ones a quarter")
    parser.add_argument("--seed", type=int, default=SEED, help="of all pages")
    arguments = parser.parse_args()
    classifiers = [edge.load(model, provider="cpu", threads=1) for model in MODELS]
    features, shares, counts = [], [], []
    for pixels, ink, digits in pages(arguments.pages, arguments.seed):
        grey = preprocessing.luminance(pixels, enough_pixels=preprocessing.EVERY_PIXEL)
        for classifier in classifiers:
            signs = find_signs(grey, classifier)
            for line in signs.lines:
                for word in find_words(line, WORD_GAP * signs.digit_height):
                    drawn = [drawn_share(signs.bounds(sign.blob), ink, digits) for sign in word]
                    areas = [np.count_nonzero(sign.blob.mask) for sign in word]
                    shares.append(np.average(drawn, weights=areas))
                    counts.append(len(word))
                    of_word = word_features(word, line, signs.digit_height, classifier)
                    features.append([of_word[name] for name in WEIGHTS])
    table, share = np.array(features), np.array(shares)
    is_number = share > 0.5
    # a word that is half a number says little
    weight = np.array(counts) * np.abs(2 * share - 1) * np.where(is_number, OF_A_NUMBER, 1.0)
    weights, bias = fitted(table, is_number, weight)
    print(f"{len(table)} words, {np.count_nonzero(is_number)} numbers")
    for name, value, before in zip([*WEIGHTS, "bias"], [*weights, bias], [*WEIGHTS.values(), BIAS], strict=True):
        print(f"  {name:16} {value:8.2f}, in use {before:8.2f}")
    for name, z in (("fitted", table @ weights + bias), ("in use", table @ np.array([*WEIGHTS.values()]) + BIAS)):
        lost, read = weighted(is_number & (z <= 0), counts), weighted(~is_number & (z > 0), counts)
        digits, others = weighted(is_number, counts), weighted(~is_number, counts)
        print(f"{name}: of {digits} digits {lost} lost, of {others} others {read} read")
    return 0


def pages(count: int, seed: int) -> Iterator[Page]:
    """All pages, hard ones first."""
    writers = Writers(seed)
    for kind in KINDS:
        for at in range(count):
            pixels, page = compose(kind, at, writers, seed, is_held=False)
            yield pixels, page.cover, page.digits
    sources = [strokes.sample(2000, seed=seed)]
    if published.find("mnist", published.default_folder()) is not None:
        training, _ = published.load("mnist", fetch=False)
        sources.append((training.images, training.labels))
    for source in sources:
        for usual in strips.KINDS.values():
            for at in range(count // 4):
                yield strips.compose(source, usual, np.random.default_rng([seed, at])).pixels, None, None


def drawn_share(box: tuple[int, int, int, int], ink: Floats | None, digits: Floats | None) -> float:
    """The share of the ink in a box that was drawn as digits."""
    if ink is None or digits is None:
        return 1.0
    left, top, right, bottom = box
    total = float(ink[top:bottom, left:right].sum())
    return float(digits[top:bottom, left:right].sum()) / total if total else 0.0


def fitted(table: Floats, is_number: NDArray[np.bool_], weight: Floats) -> tuple[Floats, float]:
    """Weights and bias of the regression.

    Args:
        table: (N, features).
        is_number: bool (N,).
        weight: float64 (N,), how much each row counts.
    """
    middle, spread = table.mean(axis=0), table.std(axis=0) + 1e-9
    rows = np.column_stack([(table - middle) / spread, np.ones(len(table))])
    penalty = np.append(np.full(table.shape[1], PENALTY), 0.0)
    found = np.zeros(rows.shape[1])
    for _ in range(STEPS):
        probability = 1 / (1 + np.exp(-rows @ found))
        curvature = (rows * (weight * probability * (1 - probability))[:, None]).T @ rows + np.diag(penalty)
        found += np.linalg.solve(curvature, rows.T @ (weight * (is_number - probability)) - penalty * found)
    weights = found[:-1] / spread
    return weights, float(found[-1] - weights @ middle)


def weighted(chosen: NDArray[np.bool_], counts: list[int]) -> int:
    """How many signs the chosen words have."""
    return int(np.array(counts)[chosen].sum())


if __name__ == "__main__":
    sys.exit(main())
