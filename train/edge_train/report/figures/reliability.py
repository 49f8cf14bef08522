"""The reliability diagram: the accuracy of the answers against the confidence they were given with."""

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, PercentFormatter

from edge import charts


def diagram(document: dict[str, Any]) -> Figure:
    """Before and after the temperature, side by side, with the images in each bin below.

    Of the test split; of the validation split, and so named, when the run has no test figures.
    """
    figures = document["test"] or document["validation"]
    drawn = charts.figure(9, 4.6)
    panels = drawn.subplots(2, 2, sharex=True, height_ratios=[4, 1])
    for column, moment in enumerate(("before", "after")):
        measured = figures["calibration"][moment]
        _accuracy(panels[0][column], measured)
        _images(panels[1][column], measured, figures["images"])
        panels[0][column].set_title(
            f"{moment} (temperature {measured['temperature']:g}): ECE {measured['expected_error']:.2%}"
        )
    panels[0][0].set_ylabel(f"accuracy on {figures['split']}")
    panels[1][0].set_ylabel("images")
    return drawn


def _accuracy(axes: Axes, measured: dict[str, Any]) -> None:
    edges = _edges(measured)
    width = edges[1]
    for low, confidence, accuracy in zip(edges, measured["confidence"], measured["accuracy"], strict=False):
        if accuracy is None:
            continue
        bottom = min(accuracy, confidence)
        axes.bar(low, bottom, width, align="edge", color=charts.BLUE, alpha=0.55, linewidth=0)
        gap = abs(accuracy - confidence)
        axes.bar(low, gap, width, bottom, align="edge", color=charts.ORANGE, alpha=0.6, linewidth=0)
        axes.plot([low, low + width], [accuracy, accuracy], color=charts.BLUE, linewidth=1.5)
    axes.plot([0, 1], [0, 1], color=charts.GREY, linestyle=":", linewidth=1.2)
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1.02)
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    charts.grid(axes)


def _images(axes: Axes, measured: dict[str, Any], images: int) -> None:
    edges = _edges(measured)
    axes.bar(edges[:-1], measured["images"], edges[1], align="edge", color=charts.GREY, alpha=0.7, linewidth=0)
    axes.set_yscale("log")
    axes.set_ylim(0.5, 2 * images)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda count, _: f"{count:,.0f}"))
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    axes.set_xlabel("confidence")
    charts.grid(axes)


def _edges(measured: dict[str, Any]) -> list[float]:
    bins = len(measured["images"])
    return [place / bins for place in range(bins + 1)]
