"""Runs side by side: the figures of each, and the dials in which they differ."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MISSING = "-"
FIGURES = ("run", "validation", "test", "ECE", "ECE fitted", "parameters", "MACs", "epochs run", "s/epoch")


@dataclass(frozen=True, slots=True)
class Comparison:
    """A table: its columns, and a row of cells for each run in the order in which they were named."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def of(documents: list[dict[str, Any]], names: Sequence[str]) -> Comparison:
    """Compares runs.

    Args:
        documents: of one run or more, see `document`; a figure that a run does not have is a dash.
        names: of the same runs, all different.

    Returns:
        The columns are `FIGURES`, with the calibration error of the test split, or of the validation split where there
        are no test figures, before and after the temperature; then every dial in which the runs differ.
    """
    dials = [dials_of(one) for one in documents]
    differing = [
        dial
        for dial in dict.fromkeys(dial for one in dials for dial in one)
        if len({repr(one.get(dial, MISSING)) for one in dials}) > 1
    ]
    rows = [
        (name, *_figures(one), *(str(own.get(dial, MISSING)) for dial in differing))
        for name, one, own in zip(names, documents, dials, strict=True)
    ]
    return Comparison((*FIGURES, *(dial.replace("_", " ") for dial in differing)), tuple(rows))


def names_of(documents: list[dict[str, Any]], paths: Sequence[Path]) -> list[str]:
    """The names of the runs, or where two are alike the paths that they were named by."""
    names = [str(one["settings"]["name"]) for one in documents]
    return names if len(set(names)) == len(names) else [str(path) for path in paths]


def dials_of(document: dict[str, Any]) -> dict[str, Any]:
    """Everything that a run was started with: data, sizes and recipe."""
    settings = document["settings"]
    return {"data": settings["data"], **settings["specification"], **settings["recipe"]}


def validation_accuracy(document: dict[str, Any]) -> float:
    """Of the best epoch, in [0, 1]."""
    return max(float(epoch["validation_accuracy"]) for epoch in document["epochs"])


def _figures(document: dict[str, Any]) -> tuple[str, ...]:
    epochs, test = document["epochs"], document.get("test")
    judged = test or document.get("validation")
    errors = [MISSING, MISSING]
    if judged:
        errors = [f"{judged['calibration'][moment]['expected_error']:.2%}" for moment in ("before", "after")]
    return (
        f"{validation_accuracy(document):.2%}",
        f"{test['accuracy']:.2%}" if test else MISSING,
        *errors,
        f"{document['parameters']:,}" if "parameters" in document else MISSING,
        f"{document['macs']:,}" if "macs" in document else MISSING,
        f"{len(epochs)}/{document['settings']['recipe']['epochs']}",
        f"{sum(epoch['seconds'] for epoch in epochs) / len(epochs):.1f}",
    )
