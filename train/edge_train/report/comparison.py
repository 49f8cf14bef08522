"""Runs side by side: the figures of each, and the dials in which they differ."""

from dataclasses import dataclass
from typing import Any

MISSING = "-"
FIGURES = ("run", "validation", "test", "ECE", "ECE fitted", "parameters", "MACs", "epochs", "s/epoch")


@dataclass(frozen=True, slots=True)
class Comparison:
    """A table: its columns, and a row of cells for each run in the order in which they were named."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def of(documents: list[dict[str, Any]]) -> Comparison:
    """Compares runs.

    Args:
        documents: of one run or more, see `document`; a figure that a run does not have is a dash.

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
        (*_figures(one), *(str(own.get(dial, MISSING)) for dial in differing))
        for one, own in zip(documents, dials, strict=True)
    ]
    return Comparison((*FIGURES, *(dial.replace("_", " ") for dial in differing)), tuple(rows))


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
        document["settings"]["name"],
        f"{validation_accuracy(document):.2%}",
        f"{test['accuracy']:.2%}" if test else MISSING,
        *errors,
        f"{document['parameters']:,}" if "parameters" in document else MISSING,
        f"{document['macs']:,}" if "macs" in document else MISSING,
        f"{len(epochs)}/{document['settings']['recipe']['epochs']}",
        f"{sum(epoch['seconds'] for epoch in epochs) / len(epochs):.1f}",
    )
