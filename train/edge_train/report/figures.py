"""The pictures of a run, drawn from its metrics: its course, its mistakes, how far its confidence holds, its network.

Text and matplotlib's artists are what takes time, so marks of one kind are drawn as one artist, and what lies inside
the axes takes no part in the layout.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PatchCollection
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter, PercentFormatter
from numpy.typing import NDArray

from edge import charts
from edge_train.models import specification
from edge_train.report import architecture

NAMES = ("course", "learning-rate", "confusion", "reliability", "mistakes", "samples", "architecture")

# Accuracies are shown down to this many times the best epoch's errors: the first epochs would flatten all others.
ERRORS_SHOWN = 20

SHARES_UP_TO = 15  # classes of a confusion matrix; with more, a cell has room for its count only
COUNTS_UP_TO = 40

TILE_INCHES = 0.85
_GAP = 0.12  # between two pictures of a sheet, in widths of a picture
_LINE = 0.17  # height of a line of a caption, likewise


@dataclass(frozen=True, slots=True)
class RenderedFigure:
    """A picture as the contents of its two files."""

    svg: str
    png: bytes


def draw(metrics: dict[str, Any], images: NDArray[np.uint8] | None) -> dict[str, RenderedFigure]:
    """Draws what there is: no pictures of test figures for a run without them, no mistakes where none was made.

    Args:
        metrics: see `metrics`.
        images: uint8 (N, rows, columns), the test split; None without test figures.

    Returns:
        Pictures by name, in the order of `NAMES`.
    """
    drawers: dict[str, Callable[[], Figure]] = {
        "course": lambda: course(metrics),
        "learning-rate": lambda: learning_rate(metrics),
    }
    if images is not None:
        drawers["confusion"] = lambda: confusion_matrix(metrics)
    drawers["reliability"] = lambda: reliability(metrics)
    if images is not None:
        if metrics["test"]["mistakes"]:
            drawers["mistakes"] = lambda: mistakes(metrics, images)
        drawers["samples"] = lambda: samples(metrics, images)
    sizes = specification.from_json(metrics["settings"]["specification"])
    drawers["architecture"] = lambda: architecture.picture(sizes, metrics["layers"], metrics["labels"])
    with charts.style():
        return {name: RenderedFigure(*charts.rendered(drawer())) for name, drawer in drawers.items()}


def course(metrics: dict[str, Any]) -> Figure:
    """Loss and accuracy of training and validation, the best epoch marked."""
    drawn = charts.figure(9, 3.4)
    loss, accuracy = drawn.subplots(1, 2)
    _pair(loss, metrics, "loss")
    loss.set_title("Loss (nats per image)")
    _pair(accuracy, metrics, "accuracy")
    accuracy.set_title("Accuracy")
    scale(loss, accuracy, metrics["epochs"][metrics["best_epoch"] - 1]["validation_accuracy"])
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


def learning_rate(metrics: dict[str, Any]) -> Figure:
    """The schedule over all steps of the recipe, and where the run stopped if it was interrupted."""
    drawn = charts.figure(9, 2.2)
    axes = drawn.subplots()
    steps = metrics["learning_rate"]["steps"]
    points = metrics["learning_rate"]["points"]
    axes.plot([step for step, _ in points], [rate for _, rate in points], color=charts.BLUE)
    axes.set_title("Learning rate")
    axes.set_xlabel("step")
    axes.set_ylim(bottom=0)
    axes.set_xlim(0, max(1, steps - 1))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda step, _: f"{step:,.0f}"))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    done, planned = len(metrics["epochs"]), metrics["settings"]["recipe"]["epochs"]
    if done < planned:
        axes.axvline(steps * done / planned, color=charts.ORANGE, linestyle=":", label="stopped here")
        axes.legend()
    charts.grid(axes)
    return drawn


def confusion_matrix(metrics: dict[str, Any]) -> Figure:
    """What is answered for each class: rows are the true classes, columns the answers; mistakes are orange.

    A mistake's colour is relative to the worst confusion in the matrix, because on the scale of the right answers no
    mistake would be seen.
    """
    test, labels = metrics["test"], metrics["labels"]
    counts = np.array(test["confusion"])
    classes = len(labels)
    side = max(4.5, min(14.0, 0.68 * classes + 1.2))
    drawn = charts.figure(side, side)
    axes = drawn.subplots()
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    worst = shares[~np.eye(classes, dtype=np.bool_)].max(initial=0.0)
    cells = [(int(truth), int(answer)) for truth, answer in np.argwhere(counts)]
    colours = []
    for truth, answer in cells:
        count, share, right = counts[truth, answer], float(shares[truth, answer]), truth == answer
        strength = 0.15 + 0.45 * share if right else 0.12 + 0.68 * share / worst
        colours.append(to_rgba(charts.BLUE if right else charts.ORANGE, strength))
        if classes <= SHARES_UP_TO:
            _inside(axes, answer, truth - 0.12, f"{count:,}", weight="bold" if right else None)
            _inside(axes, answer, truth + 0.24, _percent(share), fontsize=7)
        elif classes <= COUNTS_UP_TO:
            _inside(axes, answer, truth, f"{count:,}", fontsize=7)
    squares = [Rectangle((answer - 0.5, truth - 0.5), 1, 1) for truth, answer in cells]
    axes.add_collection(PatchCollection(squares, facecolors=colours, linewidths=0), autolim=False)
    axes.set_xticks(range(classes), labels, rotation=0 if max(map(len, labels)) < 4 else 90)
    axes.set_yticks(range(classes), labels)
    axes.set_xlim(-0.5, classes - 0.5)
    axes.set_ylim(classes - 0.5, -0.5)
    axes.set_aspect("equal")
    axes.set_xlabel("answer")
    axes.set_ylabel("truth")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    edges = np.arange(classes + 1) - 0.5
    axes.hlines(edges, -0.5, classes - 0.5, color=charts.GREY, alpha=0.25, linewidth=0.8)
    axes.vlines(edges, -0.5, classes - 0.5, color=charts.GREY, alpha=0.25, linewidth=0.8)
    axes.set_title(f"{test['split']}: {test['images']:,} images, {test['wrong']:,} wrong")
    return drawn


def reliability(metrics: dict[str, Any]) -> Figure:
    """The accuracy of the answers against the confidence they were given with, and the images in each bin below.

    Before and after the temperature, side by side. Of the test split; of the validation split, and so named, when the
    run has no test figures.
    """
    split = metrics["test"] or metrics["validation"]
    drawn = charts.figure(9, 4.6)
    panels = drawn.subplots(2, 2, sharex=True, height_ratios=[4, 1])
    for column, moment in enumerate(("before", "after")):
        measured = split["calibration"][moment]
        _accuracy_by_bin(panels[0][column], measured)
        _images_by_bin(panels[1][column], measured, split["images"])
        panels[0][column].set_title(
            f"{moment} (temperature {measured['temperature']:g}): ECE {measured['expected_error']:.2%}"
        )
    panels[0][0].set_ylabel(f"accuracy on {split['split']}")
    panels[1][0].set_ylabel("images")
    return drawn


def mistakes(metrics: dict[str, Any], images: NDArray[np.uint8]) -> Figure:
    """The most confident mistakes: truth, answer, and the confidence of the answer.

    Args:
        metrics: with test figures and at least one mistake.
        images: uint8 (N, rows, columns), the test split.
    """
    chosen = metrics["test"]["mistakes"]
    captions = [f"{one['label']} → {one['prediction']}\n{one['confidence']:.1%}" for one in chosen]
    return _sheet(chosen, captions, images, columns=5)


def samples(metrics: dict[str, Any], images: NDArray[np.uint8]) -> Figure:
    """Pictures drawn at random, each with its answer; a wrong one also with the truth.

    Args:
        metrics: with test figures.
        images: uint8 (N, rows, columns), the test split.
    """
    chosen = metrics["test"]["samples"]
    captions = [
        f"{one['prediction']}  {one['confidence']:.1%}"
        if one["prediction"] == one["label"]
        else f"{one['label']} → {one['prediction']}  {one['confidence']:.1%}"
        for one in chosen
    ]
    return _sheet(chosen, captions, images, columns=10)


def _pair(axes: Axes, metrics: dict[str, Any], figure: str) -> None:
    epochs = metrics["epochs"]
    factor = 100 if figure == "accuracy" else 1
    numbers = [epoch["number"] for epoch in epochs]
    marker = "o" if len(epochs) == 1 else ""
    for part, colour in (("training", charts.BLUE), ("validation", charts.ORANGE)):
        values = [factor * epoch[f"{part}_{figure}"] for epoch in epochs]
        axes.plot(numbers, values, color=colour, marker=marker, label=part)
    best = epochs[metrics["best_epoch"] - 1]
    height = factor * best[f"validation_{figure}"]
    axes.plot([best["number"]], [height], "o", color=charts.ORANGE, markersize=7, markeredgecolor=charts.INK)
    axes.axvline(best["number"], color=charts.GREY, linewidth=1, linestyle=":", label=f"best epoch, {best['number']}")
    axes.set_xlabel("epoch")
    axes.set_xlim(min(numbers) - 0.5, max(numbers) + 0.5)  # also when there is one epoch only
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.legend(loc="best")
    charts.grid(axes)


def _accuracy_by_bin(axes: Axes, measured: dict[str, Any]) -> None:
    left, width = _bins(measured)
    filled = [place for place, accuracy in enumerate(measured["accuracy"]) if accuracy is not None]
    left = left[filled]
    accuracy, confidence = (
        np.array([measured[name][place] for place in filled]) for name in ("accuracy", "confidence")
    )
    bottom = np.minimum(accuracy, confidence)
    axes.bar(left, bottom, width, align="edge", color=charts.BLUE, alpha=0.55, linewidth=0)
    gap = np.abs(accuracy - confidence)
    axes.bar(left, gap, width, bottom, align="edge", color=charts.ORANGE, alpha=0.6, linewidth=0)
    axes.hlines(accuracy, left, left + width, color=charts.BLUE, linewidth=1.5)
    axes.plot([0, 1], [0, 1], color=charts.GREY, linestyle=":", linewidth=1.2)
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1.02)
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    charts.grid(axes)


def _images_by_bin(axes: Axes, measured: dict[str, Any], images: int) -> None:
    left, width = _bins(measured)
    axes.bar(left, measured["images"], width, align="edge", color=charts.GREY, alpha=0.7, linewidth=0)
    axes.set_yscale("log")
    axes.set_ylim(0.5, 2 * images)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda count, _: f"{count:,.0f}"))
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    axes.set_xlabel("confidence")
    charts.grid(axes)


def _bins(measured: dict[str, Any]) -> tuple[NDArray[np.float64], float]:
    """Left edge of each bin, and the width of all."""
    count = len(measured["images"])
    return np.arange(count) / count, 1 / count


def _sheet(chosen: list[dict[str, Any]], captions: list[str], images: NDArray[np.uint8], columns: int) -> Figure:
    """All pictures as one image, dark on white with nothing between them, and their captions."""
    lines = 1 + max(caption.count("\n") for caption in captions)
    tiles = images[[one["image"] for one in chosen]]
    count, height, width = tiles.shape
    gap, room = round(_GAP * width), round((_GAP + _LINE * lines) * height)
    rows = -(-count // columns)
    sheet = np.zeros((rows * (height + room), columns * (width + gap), 4), np.uint8)  # red, green, blue, opacity
    axes = charts.bare_axes(sheet.shape[1] / width * TILE_INCHES, sheet.shape[0] / height * TILE_INCHES)
    for place, (one, tile, caption) in enumerate(zip(chosen, tiles, captions, strict=True)):
        row, column = divmod(place, columns)
        top, left = row * (height + room) + gap // 2, column * (width + gap) + gap // 2
        sheet[top : top + height, left : left + width, :3] = 255 - tile[..., None]
        sheet[top : top + height, left : left + width, 3] = 255
        colour = charts.INK if one["prediction"] == one["label"] else charts.ORANGE
        middle, below = left + width / 2, top + 1.04 * height
        axes.text(middle, below, caption, ha="center", va="top", fontsize=7.5, color=colour)
    bottom, right = sheet.shape[:2]
    axes.imshow(sheet, interpolation="none", extent=(0, right, bottom, 0), aspect="auto")
    axes.set_xlim(0, right)
    axes.set_ylim(bottom, 0)
    drawn = axes.get_figure(root=True)
    assert drawn is not None
    return drawn


def _inside(axes: Axes, x: float, y: float, words: str, **look: Any) -> None:  # noqa: ANN401 - of matplotlib's text
    axes.text(x, y, words, ha="center", va="center", **look).set_in_layout(False)


def _percent(share: float) -> str:
    """Three digits at most, and 100% only where all are right."""
    return "100%" if share == 1 else f"{share:.1%}"
