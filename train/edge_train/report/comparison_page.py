"""The page of a comparison: the table, and the courses of all runs in one picture."""

from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from edge import charts
from edge_train.report import comparison, elements
from edge_train.report.comparison import Comparison
from edge_train.report.figures import curves

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


def of(table: Comparison, documents: list[dict[str, Any]]) -> str:
    """The page, which refers to nothing outside itself.

    Args:
        table: of the same documents.
        documents: of the runs.
    """
    with charts.style():
        drawn = charts.svg(courses(table, documents))
    accuracies = [comparison.validation_accuracy(one) for one in documents]
    best = max(accuracies)
    figures = len(comparison.FIGURES)
    story = (
        f"{len(documents)} runs. The highest accuracy on validation data: {table.rows[accuracies.index(best)][0]}, "
        f"{best:.2%}. Choose by validation; the test figures are there to be reported."
    )
    parts = [
        f"<header>\n<h1>{len(documents)} runs side by side</h1>\n{elements.paragraph(story)}</header>",
        elements.section("Figures", elements.table(table.columns[:figures], [row[:figures] for row in table.rows])),
        elements.section(
            "Courses on validation data", elements.picture("courses", drawn, "Loss and accuracy by epoch")
        ),
    ]
    if len(table.columns) > figures:
        # A dial a line: there are more of them than runs, and the layers of a CNN take a line of their own length.
        heading, *dials = zip(
            ("dial", *table.columns[figures:]), *((row[0], *row[figures:]) for row in table.rows), strict=True
        )
        parts.insert(2, elements.section("Dials that differ", elements.table(heading, dials)))
    return elements.page("Runs side by side", *parts)


def courses(table: Comparison, documents: list[dict[str, Any]]) -> Figure:
    """Validation loss and accuracy of every run by epoch, the best epoch marked."""
    drawn = charts.figure(9, 3.6 + 0.22 * -(-len(documents) // 3))
    panels = drawn.subplots(1, 2)
    most = max(len(one["epochs"]) for one in documents)
    for panel, figure, factor in zip(panels, ("loss", "accuracy"), (1, 100), strict=True):
        for place, one in enumerate(documents):
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
    curves.scale(panels[0], panels[1], max(comparison.validation_accuracy(one) for one in documents))
    drawn.legend(loc="outside lower center", ncols=3)
    return drawn
