"""The course of a run: loss and accuracy by epoch, and the learning rate by step."""

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter

from edge import charts

# Accuracies are shown down to this many times the best epoch's errors: the first epochs would flatten all others.
ERRORS_SHOWN = 20


def course(document: dict[str, Any]) -> Figure:
    """Loss and accuracy of training and validation, the best epoch marked."""
    drawn = charts.figure(9, 3.4)
    loss, accuracy = drawn.subplots(1, 2)
    _pair(loss, document, "loss")
    loss.set_title("Loss (nats per image)")
    _pair(accuracy, document, "accuracy")
    accuracy.set_title("Accuracy")
    scale(loss, accuracy, document["epochs"][document["best_epoch"] - 1]["validation_accuracy"])
    return drawn


def scale(loss: Axes, accuracy: Axes, best: float) -> None:
    """Scales panels of loss and of accuracy in percent, drawn already, so that the last epochs can be told apart.

    Args:
        loss: becomes logarithmic.
        accuracy: is shown as far down as it matters.
        best: the highest accuracy that was reached, in [0, 1].
    """
    loss.set_yscale("log")  # the last epochs would lie on the axis otherwise
    loss.yaxis.set_major_formatter(FuncFormatter(lambda nats, _: f"{nats:g}"))
    loss.yaxis.set_minor_formatter(NullFormatter())
    accuracy.yaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{share:.4g}%"))
    lowest = max(accuracy.get_ylim()[0], 100 - ERRORS_SHOWN * 100 * (1 - best) - 1)
    accuracy.set_ylim(lowest, 100 + (100 - lowest) * 0.03)


def learning_rate(document: dict[str, Any]) -> Figure:
    """The schedule over all steps of the recipe, and where the run stopped if it was interrupted."""
    drawn = charts.figure(9, 2.2)
    axes = drawn.subplots()
    steps = document["learning_rate"]["steps"]
    points = document["learning_rate"]["points"]
    axes.plot([step for step, _ in points], [rate for _, rate in points], color=charts.BLUE)
    axes.set_title("Learning rate")
    axes.set_xlabel("step")
    axes.set_ylim(bottom=0)
    axes.set_xlim(0, max(1, steps - 1))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda step, _: f"{step:,.0f}"))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    done, planned = len(document["epochs"]), document["settings"]["recipe"]["epochs"]
    if done < planned:
        axes.axvline(steps * done / planned, color=charts.ORANGE, linestyle=":", label="stopped here")
        axes.legend()
    charts.grid(axes)
    return drawn


def _pair(axes: Axes, document: dict[str, Any], figure: str) -> None:
    epochs = document["epochs"]
    factor = 100 if figure == "accuracy" else 1
    numbers = [epoch["number"] for epoch in epochs]
    marker = "o" if len(epochs) == 1 else ""
    for part, colour in (("training", charts.BLUE), ("validation", charts.ORANGE)):
        course = [factor * epoch[f"{part}_{figure}"] for epoch in epochs]
        axes.plot(numbers, course, color=colour, marker=marker, label=part)
    best = epochs[document["best_epoch"] - 1]
    height = factor * best[f"validation_{figure}"]
    axes.plot([best["number"]], [height], "o", color=charts.ORANGE, markersize=7, markeredgecolor=charts.INK)
    axes.axvline(best["number"], color=charts.GREY, linewidth=1, linestyle=":", label=f"best epoch, {best['number']}")
    axes.set_xlabel("epoch")
    axes.set_xlim(min(numbers) - 0.5, max(numbers) + 0.5)  # also when there is one epoch only
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.legend()
    charts.grid(axes)
