"""Hard pages of several digits: uneven hands, columns, forms, print, signs and other writing, shadows.

    python benchmarks/hard_sheets.py [--model NAME-or-FILE]... [--pages N] [--kind KIND]... [--seed S] [--out FOLDER]

`strips.py` composes usual pages; here each kind aims at one thing that goes wrong with real ones. Digits are MNIST's
training digits, written anew with a pen of any width (`hard_writing`), on the paper and under the light of
`hard_scenes`; letters are the stroke generator's, print is of `hard_sheet_print` and signs are of `hard_sheet_signs`,
each of that half to which nothing is fitted. A page is judged by the edit distance of its text, line by line; and of
pages with other writing on them it is counted how often something is told to be not read.

The last line is one JSON document with all of it.
"""

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from hard_sheet import Sheet
from hard_sheet_kinds import KINDS, compose
from hard_writing import Writers
from strips import distance

import edge
from edge.classifier.page import annotate, read_grey_page
from edge.picture import preprocessing
from edge.text.table import aligned

SCHEMA: Final = "edge.hard-sheets/1"
SEED: Final = 70_001
MODELS: Final = ("lstm-int8", "cnn-int8")


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
    total = Score(*map(sum, zip(*(vars(score).values() for score in scores.values()), strict=True)))
    for kind, score in [*scores.items(), ("all", total)]:
        share = f"{score.wrong / max(1, score.digits):.1%}"
        whole = f"{score.whole} of {score.pages}"
        table.append((kind, str(score.digits), str(score.wrong), share, whole, f"{score.told} of {score.pages}"))
    print(model)
    for line in aligned(table):
        print(f"  {line}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
