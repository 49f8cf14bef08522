"""The confusion matrix: what is answered for each class, as counts and as shares of the class."""

from typing import Any

from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from edge import charts

SHARES_UP_TO = 15  # classes; with more, a cell has room for its count only
COUNTS_UP_TO = 40


def matrix(document: dict[str, Any]) -> Figure:
    """Rows are the true classes, columns the answers; right answers blue, mistakes orange.

    A mistake's colour is relative to the worst confusion in the matrix, because on the scale of the right answers no
    mistake would be seen.
    """
    counts, labels, test = document["test"]["confusion"], document["labels"], document["test"]
    classes = len(labels)
    side = max(4.5, min(14.0, 0.68 * classes + 1.2))
    drawn = charts.figure(side, side)
    axes = drawn.subplots()
    supports = [max(1, sum(row)) for row in counts]
    wrong = [(i, j) for i in range(classes) for j in range(classes) if i != j]
    worst = max((counts[i][j] / supports[i] for i, j in wrong), default=0.0)
    for truth in range(classes):
        for answer in range(classes):
            count, share = counts[truth][answer], counts[truth][answer] / supports[truth]
            if not count:
                continue
            right = truth == answer
            strength = 0.15 + 0.45 * share if right else 0.12 + 0.68 * share / worst
            colour = charts.BLUE if right else charts.ORANGE
            axes.add_patch(Rectangle((answer - 0.5, truth - 0.5), 1, 1, color=colour, alpha=strength, linewidth=0))
            if classes <= SHARES_UP_TO:
                axes.text(
                    answer, truth - 0.12, f"{count:,}", ha="center", va="center", weight="bold" if right else None
                )
                axes.text(answer, truth + 0.24, _percent(share), ha="center", va="center", fontsize=7)
            elif classes <= COUNTS_UP_TO:
                axes.text(answer, truth, f"{count:,}", ha="center", va="center", fontsize=7)
    places = range(classes)
    axes.set_xticks(places, labels, rotation=0 if max(map(len, labels)) < 4 else 90)
    axes.set_yticks(places, labels)
    axes.set_xlim(-0.5, classes - 0.5)
    axes.set_ylim(classes - 0.5, -0.5)
    axes.set_aspect("equal")
    axes.set_xlabel("answer")
    axes.set_ylabel("truth")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_xticks([place + 0.5 for place in range(-1, classes)], minor=True)
    axes.set_yticks([place + 0.5 for place in range(-1, classes)], minor=True)
    axes.tick_params(which="minor", length=0)
    axes.grid(which="minor")
    axes.set_title(f"{test['split']}: {test['images']:,} images, {test['wrong']:,} wrong")
    return drawn


def _percent(share: float) -> str:
    """Three digits at most, and 100% only where all are right."""
    return "100%" if share == 1 else f"{share:.1%}"
