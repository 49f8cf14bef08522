"""The plot: latency against accuracy, a labelled point for each bundle.

Left is faster, up is more accurate. Bundles of one checkpoint are one model in several precisions: a thin line joins
them, so that it shows what a precision gains and costs. matplotlib draws it, which a device need not have: it is drawn
from a document that the device gave.
"""

import os
import textwrap
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge import charts
from edge.bench.results import BundleFacts, LatencyFacts, Results
from edge.errors import EdgeError, InputError, MissingExtraError
from edge.text.files import write_atomically
from edge.text.terminal import printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SUFFIXES = (".png", ".svg")

WRONG = " (fails verify)"
"""Behind the name of a bundle whose answers are wrong on the machine."""

_INCHES = (9.0, 5.6)
_SUBTITLE_LETTERS = 100  # that fit into the width
_COLOURS = {"fp32": charts.BLUE, "fp16": charts.GREEN, "int8": charts.ORANGE}
_OTHER = charts.GREY  # of a precision that a later edge writes
# Diameters in points; smaller with fewer bits, so that of points in the same place all are seen.
_SIZES = {"fp32": 10.0, "fp16": 8.5, "int8": 7.0}
_USUAL_SIZE = 7.0


@dataclass(frozen=True, slots=True)
class PlottedBundle:
    """A bundle in the plot.

    Attributes:
        bundle: its facts.
        label: its name; also that it fails `edge verify` there, so that its accuracy is another one.
        accuracy: 0 to 1.
        latency_us: p50 of a call.
    """

    bundle: BundleFacts
    label: str
    accuracy: float
    latency_us: float


def check(path: Path, bundles: Iterable[BundleFacts]) -> None:
    """Refuses a plot that could not be drawn or written, before minutes are spent on it.

    Args:
        path: the file to be.
        bundles: what will be shown.

    Raises:
        InputError: another suffix than `SUFFIXES`.
        MissingExtraError: matplotlib is not installed.
        EdgeError: the folder does not exist or is read-only, the path is a folder, or no bundle knows its accuracy.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise InputError(f"{path} is no {' or '.join(SUFFIXES)} file; give the plot one of these suffixes")
    if not path.parent.is_dir():
        raise EdgeError(f"{path.parent} is no folder; make it, or write the plot elsewhere")
    if not os.access(path.parent, os.W_OK):
        raise EdgeError(f"{path.parent} is read-only; write the plot elsewhere")
    if path.is_dir():
        raise EdgeError(f"{path} is a folder; name a file in it")
    if not any(each.accuracy for each in bundles):
        raise EdgeError("no manifest tells an accuracy of its bundle, so there is no plot; leave out --plot")
    if find_spec("matplotlib") is None:
        raise MissingExtraError("bench --plot", "plot", "matplotlib")


def write(results: Results, path: Path) -> None:
    """Draws the plot and writes it in one step.

    Args:
        results: what was measured.
        path: a .png or .svg file, as `check` accepted it.

    Raises:
        EdgeError: there is nothing to draw.
        WriteError: the file cannot be written; an old one stays as it was.
    """
    with charts.style():
        drawn = figure(results)
        content = charts.svg(drawn).encode() if path.suffix.lower() == ".svg" else charts.png(drawn)
    write_atomically(path, content, "the plot")


def points(results: Results) -> list[PlottedBundle]:
    """The bundles with a known accuracy, at the smallest batch, the fewest threads and the first provider."""
    accuracies = {each.name: (each, each.accuracy) for each in results.bundles}
    provider = results.settings.providers[0]
    wrong = {
        each.bundle
        for each in results.sessions
        if each.requested_provider == provider and each.verification_failure is not None
    }
    found: dict[str, PlottedBundle] = {}
    for each in _shown(results):
        facts, accuracy = accuracies[each.bundle]
        latency = each.latency_us["p50"]
        if accuracy is not None and latency is not None:
            label = printable(each.bundle) + (WRONG if each.bundle in wrong else "")
            found.setdefault(each.bundle, PlottedBundle(facts, label, accuracy.accuracy, latency))
    return [found[each.name] for each in results.bundles if each.name in found]


def figure(results: Results) -> "Figure":
    """Draws the plot, within `charts.style`.

    Raises:
        EdgeError: no bundle has both an accuracy and a latency.
    """
    shown = sorted(points(results), key=lambda point: -_size(point))  # the smaller lie above
    if not shown:
        raise EdgeError("no bundle has both an accuracy and a p50, so there is no plot; give more --seconds")
    drawn = charts.figure(*_INCHES)
    axes = drawn.subplots()
    charts.cost_axis(axes, [point.latency_us for point in shown])
    charts.accuracy_axis(axes, [point.accuracy for point in shown])
    charts.grid(axes)
    axes.tick_params(length=0)
    axes.set_xlabel("latency of a call, microseconds")
    axes.set_ylabel(f"accuracy ({_data(shown)})")
    drawn.suptitle("Latency against accuracy", x=0.01, ha="left", fontsize=13, fontweight="bold")
    axes.set_title(textwrap.fill(_subtitle(results), _SUBTITLE_LETTERS), fontsize=9, fontweight="normal")
    _draw_points(axes, shown)
    return drawn


def _draw_points(axes: "Axes", shown: list[PlottedBundle]) -> None:
    places = {point.bundle.name: (point.latency_us, charts.mistakes(point.accuracy)) for point in shown}
    models: dict[str, list[PlottedBundle]] = {}
    for point in shown:
        models.setdefault(point.bundle.checkpoint_sha256, []).append(point)
    joins = [
        (places[one.bundle.name], places[other.bundle.name])
        for model in models.values()
        for one, other in pairwise(model)
    ]
    for begin, end in joins:
        axes.plot(*zip(begin, end, strict=True), color=charts.GREY, linewidth=1.0, alpha=0.7, zorder=2)
    for point in shown:
        x, y = places[point.bundle.name]
        # On a ring of the background, because points of one model often touch.
        ring: dict[str, Any] = {"markeredgecolor": charts.PAPER, "markeredgewidth": 0.8}
        axes.plot(x, y, "o", color=_colour(point), markersize=_size(point), **ring, zorder=3)
    for precision, colour in _COLOURS.items():
        if any(point.bundle.precision == precision for point in shown):
            axes.plot([], [], "o", color=colour, markersize=_SIZES[precision], label=precision)
    drawn = axes.get_figure(root=True)
    assert drawn is not None
    drawn.legend(loc="outside upper right", ncols=len(_COLOURS), fontsize=9)
    charts.label_points(
        axes,
        list(places.values()),
        [point.label for point in shown],
        [_colour(point) for point in shown],
        radius=max(_SIZES.values()) / 2,
        lines=joins,
    )


def _shown(results: Results) -> list[LatencyFacts]:
    settings = results.settings
    chosen = (min(settings.batches), min(settings.threads), settings.providers[0])
    return [each for each in results.latencies if (each.batch, each.threads, each.requested_provider) == chosen]


def _subtitle(results: Results) -> str:
    machine, settings = results.machine, results.settings
    batch, threads = min(settings.batches), min(settings.threads)
    providers = sorted({each.provider for each in _shown(results)})
    images = "one image" if batch == 1 else f"{batch} images"
    return (
        f"median of a call with {images} on {machine.cpu}, {' and '.join(providers)}, "
        f"{threads} thread{'s' if threads > 1 else ''}, onnxruntime {machine.onnxruntime}"
    )


def _data(shown: list[PlottedBundle]) -> str:
    accuracies = [point.bundle.accuracy for point in shown if point.bundle.accuracy is not None]
    return " and ".join(sorted({f"{accuracy.data} {accuracy.split}" for accuracy in accuracies}))


def _colour(point: PlottedBundle) -> str:
    return _COLOURS.get(point.bundle.precision, _OTHER)


def _size(point: PlottedBundle) -> float:
    return _SIZES.get(point.bundle.precision, _USUAL_SIZE)
