"""How many pictures of digits come out right, from file to label, and what happens to those that do not.

    python benchmarks/pictures.py DIR [--model NAME-or-FILE]... [--out FOLDER]

Accuracy on MNIST says little of a photo: most of what goes wrong with real pictures goes wrong before the model. This
measures the whole way on any folder of pictures with a `labels.tsv` (tab-separated, with a header: `file`, `label`, and
if wanted `kind`), by kind, for each shipped model or the named ones. The mistakes of each model are drawn with every
step into `FOLDER/mistakes-MODEL.png`, so that one sees where the digit got lost.

The last line is one JSON document with all of it. Times are of one thread, from file to label, after one warm-up.
"""

import argparse
import csv
import json
import statistics
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

import edge
from edge.bench.results import describe_machine
from edge.bundle import shipped
from edge.bundle.input import COLUMNS, ROWS
from edge.drawing import stacked
from edge.picture import preprocessing, steps
from edge.text.table import aligned

SCHEMA = "edge.pictures/2"
LABELS = "labels.tsv"
MOST_STRIPS = 50  # on a sheet of mistakes
BINS = 15  # of the calibration error, as Guo et al., 2017, "On Calibration of Modern Neural Networks"


@dataclass(frozen=True, slots=True)
class Case:
    """A picture and what it shows."""

    path: Path
    label: str
    kind: str


@dataclass(frozen=True, slots=True)
class Result:
    """What a model made of a case: a label, or the problem that left it without one."""

    case: Case
    said: str | None
    problem: str
    confidence: float
    microseconds: float
    several: bool = False
    rejected: bool = False

    @property
    def right(self) -> bool:
        """Whether the label is the case's; a picture of several digits must be refused as that."""
        if len(self.case.label) > 1:
            return self.several
        return self.said == self.case.label


def main() -> int:
    """Measures, prints and draws."""
    arguments = parsed(sys.argv[1:])
    cases = read_cases(arguments.folder)
    records = []
    for model in arguments.model or shipped.names():
        results = run(edge.load(model, provider="cpu", threads=1), cases)
        records.append(record(model, results))
        print_model(model, results)
        wrong = [result for result in results if not result.right]
        if wrong and arguments.out is not None:
            path = draw(wrong, arguments.out / f"mistakes-{Path(model).stem}.png")
            print(f"  {len(wrong)} mistakes, the first {min(len(wrong), MOST_STRIPS)} drawn: {path}")
    print(
        json.dumps(
            {
                "schema": SCHEMA,
                "folder": arguments.folder.name,
                "machine": asdict(describe_machine("pillow")),
                "models": records,
            }
        )
    )
    return 0


def parsed(words: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="DIR", help=f"pictures and a {LABELS}")
    parser.add_argument("--model", action="append", help="a shipped name or a bundle; may be repeated; all without")
    parser.add_argument("--out", type=Path, help="a folder for the sheets of mistakes, made if it is missing")
    return parser.parse_args(words)


def read_cases(folder: Path) -> list[Case]:
    """The pictures that `labels.tsv` names."""
    try:
        with (folder / LABELS).open(encoding="utf-8", newline="") as lines:
            rows = list(csv.DictReader(lines, delimiter="\t"))
    except OSError as error:
        raise SystemExit(f"{folder / LABELS} cannot be read: {error.strerror}; name a folder that has one") from error
    if not rows or not {"file", "label"} <= rows[0].keys():
        raise SystemExit(f"{folder / LABELS} needs a header with `file` and `label`, tab-separated, and a line each")
    return [Case(folder / row["file"], row["label"], row.get("kind") or "all") for row in rows]


def run(classifier: edge.Classifier, cases: Iterable[Case]) -> list[Result]:
    """Every case from its file to its label."""
    classifier.classify(np.zeros((1, ROWS, COLUMNS), np.uint8))  # the first run of a session is slow
    results = []
    for case in cases:
        started = time.perf_counter()
        try:
            prediction = classifier.predict(case.path)
            said, problem, confidence = prediction.label, "", prediction.confidence
            several, rejected = False, prediction.rejected
        except edge.PictureError as error:
            said, problem, confidence = None, str(error), 0.0
            several, rejected = isinstance(error, edge.SeveralDigitsError), False
        microseconds = (time.perf_counter() - started) * 1e6
        results.append(Result(case, said, problem, confidence, microseconds, several, rejected))
    return results


def calibration_error(results: Sequence[Result]) -> float:
    """How far confidence and accuracy lie apart, weighted over bins of equal width."""
    confidence = np.array([result.confidence for result in results])
    right = np.array([result.right for result in results])
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    gaps = [abs(right[bins == one].mean() - confidence[bins == one].mean()) * (bins == one).mean() for one in set(bins)]
    return float(sum(gaps))


def by_kind(results: Sequence[Result]) -> dict[str, list[Result]]:
    """The results of each kind, kinds in their first order; and all of them."""
    kinds: dict[str, list[Result]] = {}
    for result in results:
        kinds.setdefault(result.case.kind, []).append(result)
    return {**kinds, "all": list(results)}


def print_model(model: str, results: Sequence[Result]) -> None:
    """The table of one model: a row a kind, and a line for each mistake."""
    rows = [("", "right", "of", "share", "median ms", "p90 ms")]
    for kind, some in by_kind(results).items():
        times = [result.microseconds / 1000 for result in some]
        right = sum(result.right for result in some)
        middle, high = f"{statistics.median(times):.1f}", f"{np.percentile(times, 90):.1f}"
        rows.append((kind, str(right), str(len(some)), f"{right / len(some):.2%}", middle, high))
    print(f"{model}: calibration error {calibration_error(results):.2%}")
    for line in aligned(rows):
        print(f"  {line}")
    for result in results:
        if not result.right:
            answer = result.problem or f"said {result.said} {result.confidence:.3f}"
            print(f"  {result.case.path.name}: {result.case.label}, {answer}")


def draw(wrong: Sequence[Result], path: Path) -> Path:
    """The sheet of mistakes: a strip of steps each."""
    strips = []
    for result in wrong[:MOST_STRIPS]:
        name = f"{result.case.path.name}: {result.case.kind}, {result.case.label}"
        answers = [] if result.said is None else [(result.said, result.confidence)]
        try:
            taken = steps.trace(preprocessing.luminance(result.case.path))
        except edge.PictureError:
            taken = []  # it cannot be read: the note says why
        strips.append(steps.draw(name, taken, answers, result.problem or steps.ANSWER_SENTENCE))
    path.parent.mkdir(parents=True, exist_ok=True)
    stacked(strips).save(path)
    return path


def record(model: str, results: Sequence[Result]) -> dict[str, object]:
    """One model's results for the JSON document."""
    times = [result.microseconds for result in results]
    kinds = {
        kind: {"right": sum(result.right for result in some), "pictures": len(some)}
        for kind, some in by_kind(results).items()
    }
    mistakes = [
        {**asdict(result), "case": {**asdict(result.case), "path": result.case.path.name}}
        for result in results
        if not result.right
    ]
    percentiles = dict(zip(("p50_us", "p90_us", "p99_us"), np.percentile(times, (50, 90, 99)).tolist(), strict=True))
    return {
        "model": Path(model).stem,
        "accuracy": kinds,
        "calibration_error": calibration_error(results),
        "file_to_label": percentiles,
        "mistakes": mistakes,
    }


if __name__ == "__main__":
    sys.exit(main())
