"""Runs side by side: the figures of each, the hyperparameters in which they differ, their courses in one picture."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from edge import charts
from edge.text.table import aligned
from edge.text.terminal import shortened
from edge_train.report import elements, figures, metrics

MISSING = "-"
FIGURES = ("run", "validation", "test", "ECE", "ECE fitted", "parameters", "MACs", "epochs run", "s/epoch")

# Ten that are told apart on white and on black; further runs repeat them with another line.
COLOURS = (
    charts.BLUE,
    charts.ORANGE,
    "#2e9e6b",
    "#c2478d",
    "#8661c1",
    "#12a5b8",
    "#b8962e",
    "#d2534a",
    "#6b7f99",
    "#7a9a2f",
)
LINES = ("-", "--", ":", "-.")


@dataclass(frozen=True, slots=True)
class RunTable:
    """Runs side by side.

    Attributes:
        columns: `FIGURES`, with the calibration error of the test split, or of the validation split where there are no
            test figures, before and after the temperature; then every hyperparameter in which the runs differ.
        rows: the cells of each run, in the order in which they were named.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def of(runs: list[dict[str, Any]], names: Sequence[str]) -> RunTable:
    """Compares runs.

    Args:
        runs: the metrics of one run or more; a figure that a run does not have is a dash.
        names: of the same runs, all different.
    """
    started = [metrics.hyperparameters(one) for one in runs]
    differing = [
        name
        for name in dict.fromkeys(name for one in started for name in one)
        if len({repr(one.get(name, MISSING)) for one in started}) > 1
    ]
    rows = [
        (name, *_figures(one), *(str(own.get(setting, MISSING)) for setting in differing))
        for name, one, own in zip(names, runs, started, strict=True)
    ]
    return RunTable((*FIGURES, *(name.replace("_", " ") for name in differing)), tuple(rows))


def names_of(runs: list[dict[str, Any]], paths: Sequence[Path]) -> list[str]:
    """The names of the runs, or where two are alike the paths that they were named by."""
    names = [str(one["settings"]["name"]) for one in runs]
    return names if len(set(names)) == len(names) else [str(path) for path in paths]


def lines(table: RunTable) -> list[str]:
    """The table for a terminal, long cells cut."""
    return aligned([table.columns, *([row[0], *map(shortened, row[1:])] for row in table.rows)])


def page(table: RunTable, runs: list[dict[str, Any]]) -> str:
    """The page of a comparison, which refers to nothing outside itself.

    Args:
        table: of the same runs.
        runs: their metrics.
    """
    with charts.style():
        drawn = charts.svg(courses(table, runs))
    accuracies = [metrics.validation_accuracy(one) for one in runs]
    best = max(accuracies)
    count = len(FIGURES)
    story = (
        f"{len(runs)} runs. The highest accuracy on validation data: {table.rows[accuracies.index(best)][0]}, "
        f"{best:.2%}. Choose by validation; the test figures are there to be reported."
    )
    parts = [
        f"<header>\n<h1>{len(runs)} runs side by side</h1>\n{elements.paragraph(story)}</header>",
        elements.section("Figures", elements.table(table.columns[:count], [row[:count] for row in table.rows])),
        elements.section(
            "Courses on validation data", elements.picture("courses", drawn, "Loss and accuracy by epoch")
        ),
    ]
    if len(table.columns) > count:
        # One to a line: there are more of them than runs, and the layers of a CNN take a line of their own length.
        heading, *differing = zip(
            ("hyperparameter", *table.columns[count:]), *((row[0], *row[count:]) for row in table.rows), strict=True
        )
        parts.insert(2, elements.section("Hyperparameters that differ", elements.table(heading, differing)))
    return elements.page("Runs side by side", *parts)


def courses(table: RunTable, runs: list[dict[str, Any]]) -> Figure:
    """Validation loss and accuracy of every run by epoch, the best epoch marked."""
    drawn = charts.figure(9, 3.6 + 0.22 * -(-len(runs) // 3))
    panels = drawn.subplots(1, 2)
    most = max(len(one["epochs"]) for one in runs)
    for panel, figure, factor in zip(panels, ("loss", "accuracy"), (1, 100), strict=True):
        for place, one in enumerate(runs):
            line, colour = LINES[place // len(COLOURS) % len(LINES)], COLOURS[place % len(COLOURS)]
            numbers = [epoch["number"] for epoch in one["epochs"]]
            course = [factor * epoch[f"validation_{figure}"] for epoch in one["epochs"]]
            label = table.rows[place][0] if figure == "loss" else None
            panel.plot(numbers, course, line, color=colour, label=label)
            if (best := one.get("best_epoch")) is not None:
                panel.plot([best], [course[best - 1]], "o", color=colour, markersize=5)
        panel.set_title(f"Validation {figure}")
        panel.set_xlabel("epoch")
        panel.set_xlim(0.5, most + 0.5)
        panel.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        charts.grid(panel)
    figures.scale(panels[0], panels[1], max(metrics.validation_accuracy(one) for one in runs))
    drawn.legend(loc="outside lower center", ncols=3)
    return drawn


def _figures(run: dict[str, Any]) -> tuple[str, ...]:
    epochs, test = run["epochs"], run.get("test")
    judged = test or run.get("validation")
    errors = [MISSING, MISSING]
    if judged:
        errors = [f"{judged['calibration'][moment]['expected_error']:.2%}" for moment in ("before", "after")]
    return (
        f"{metrics.validation_accuracy(run):.2%}",
        f"{test['accuracy']:.2%}" if test else MISSING,
        *errors,
        f"{run['parameters']:,}" if "parameters" in run else MISSING,
        f"{run['macs']:,}" if "macs" in run else MISSING,
        f"{len(epochs)}/{run['settings']['recipe']['epochs']}",
        f"{sum(epoch['seconds'] for epoch in epochs) / len(epochs):.1f}",
    )
