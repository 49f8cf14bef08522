"""The plot: latency against accuracy, a labelled point for each bundle.

Left is faster, up is more accurate. Bundles of one checkpoint are one model in several precisions: a thin line joins
them, so that it shows what a precision gains and costs.
"""

import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from edge.bench import labels, ticks
from edge.bench.canvas import Canvas, Dot, Line, Text, text_width
from edge.bench.document import BundleFacts, LatencyFacts, Report
from edge.bench.labels import Anchor, Box
from edge.bench.plan import Plan
from edge.bench.report import bundle_facts
from edge.errors import EdgeError, InputError
from edge.text.files import write_atomically
from edge.text.terminal import printable

SUFFIXES = (".png", ".svg")

WRONG = " (fails verify)"
"""Behind the name of a bundle whose answers are wrong on this machine."""

WIDTH, HEIGHT = 900, 560
_FRAME = Box(left=78, top=96, right=WIDTH - 28, bottom=HEIGHT - 62)

_BACKGROUND, _INK, _GREY, _GRID, _JOIN = "#ffffff", "#1f2933", "#5f6c7b", "#e6e9ee", "#a9b2bd"
_COLOURS: dict[str, str] = {"fp32": "#2b6cb0", "fp16": "#2f855a", "int8": "#c4570a"}
_TITLE, _TEXT, _LABEL = 18.0, 12.5, 12.0
# Smaller with fewer bits, so that of points in the same place all are seen.
_RADII: dict[str, float] = {"fp32": 5.8, "fp16": 4.9, "int8": 4.0}
_RING = 0.6
_LEADER_FROM = 14.0  # a label further from its point than this gets a line to it

_ROOM = 1.35  # factor of latency left and right of the outermost points: a label fits
_ROOM_ABOVE = 0.14  # share of the height above and below
_LEAST_HEIGHT = 0.002  # of the accuracy axis: smaller differences are one image in 500, and no more than noise


@dataclass(frozen=True, slots=True)
class Point:
    """A bundle in the plot.

    Attributes:
        bundle: its facts.
        label: its name; also that it fails `edge verify` here, so that its accuracy is another one.
        accuracy: 0 to 1.
        latency_us: p50 of a call.
    """

    bundle: BundleFacts
    label: str
    accuracy: float
    latency_us: float


def check(path: Path, plan: Plan) -> None:
    """Refuses a plot that could not be written, before minutes are spent on it.

    Args:
        path: the file to be.
        plan: what is to be measured.

    Raises:
        InputError: another suffix than `SUFFIXES`.
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
    if not any(bundle_facts(subject).accuracy for subject in plan.subjects):
        raise EdgeError("no manifest tells an accuracy of its bundle, so there is no plot; measure without --plot")


def write(report: Report, path: Path) -> None:
    """Draws the plot and writes it in one step.

    Args:
        report: what was measured.
        path: a .png or .svg file.

    Raises:
        EdgeError: nothing to draw.
        WriteError: the file cannot be written; an old file stays as it was.
    """
    canvas = draw(report)
    if path.suffix.lower() == ".svg":
        from edge.bench.svg import svg as encode
    else:
        from edge.bench.png import png as encode
    write_atomically(path, encode(canvas), "the picture")


def points(report: Report) -> list[Point]:
    """The bundles with a known accuracy, at the smallest batch, the fewest threads and the first provider."""
    accuracies = {each.name: (each, each.accuracy) for each in report.bundles}
    provider = report.settings.providers[0]
    wrong = {
        each.bundle
        for each in report.sessions
        if each.requested_provider == provider and each.verification_failure is not None
    }
    found: dict[str, Point] = {}
    for each in sorted(report.latencies, key=lambda one: (one.batch, one.threads)):
        facts, accuracy = accuracies[each.bundle]
        latency = each.latency_us["p50"]
        if accuracy is not None and latency is not None and _is_shown(each, report):
            label = printable(each.bundle) + (WRONG if each.bundle in wrong else "")
            found.setdefault(each.bundle, Point(facts, label, accuracy.accuracy, latency))
    return [found[each.name] for each in report.bundles if each.name in found]


def draw(report: Report) -> Canvas:
    """Draws the plot.

    Raises:
        EdgeError: no bundle has both an accuracy and a latency.
    """
    shown = points(report)
    if not shown:
        raise EdgeError("no bundle has both an accuracy and a p50, so there is no plot; give more --seconds")
    low_us = min(point.latency_us for point in shown) / _ROOM
    high_us = max(point.latency_us for point in shown) * _ROOM
    low, high = _accuracy_range(shown)

    def x_of(latency_us: float) -> float:
        share = math.log(latency_us / low_us) / math.log(high_us / low_us)
        return _FRAME.left + share * (_FRAME.right - _FRAME.left)

    def y_of(accuracy: float) -> float:
        return _FRAME.bottom - (accuracy - low) / (high - low) * (_FRAME.bottom - _FRAME.top)

    shapes: list[Line | Dot | Text] = [
        *_heading(report, shown),
        *_latency_axis(ticks.logarithmic(low_us, high_us), x_of),
        *_accuracy_axis([value for value in ticks.linear(low, high) if value <= 1], y_of),
        *_marks(shown, x_of, y_of),
    ]
    return Canvas(WIDTH, HEIGHT, _BACKGROUND, tuple(shapes))


def _is_shown(each: LatencyFacts, report: Report) -> bool:
    settings = report.settings
    return (
        each.batch == min(settings.batches)
        and each.threads == min(settings.threads)
        and each.requested_provider == settings.providers[0]
    )


def _accuracy_range(shown: list[Point]) -> tuple[float, float]:
    lowest, highest = min(point.accuracy for point in shown), max(point.accuracy for point in shown)
    room = max(highest - lowest, _LEAST_HEIGHT) * _ROOM_ABOVE
    spare = max(_LEAST_HEIGHT - (highest - lowest), 0.0) / 2
    return lowest - room - spare, highest + room + spare


def _heading(report: Report, shown: list[Point]) -> list[Line | Dot | Text]:
    machine, settings = report.machine, report.settings
    batch, threads = min(settings.batches), min(settings.threads)
    providers = {each.provider for each in report.latencies if _is_shown(each, report)}
    images = "one image" if batch == 1 else f"{batch} images"
    data = {f"{each.bundle.accuracy.data} {each.bundle.accuracy.split}" for each in shown if each.bundle.accuracy}
    subtitle = (
        f"median of a call with {images} on {machine.cpu}, {' and '.join(sorted(providers))}, "
        f"{threads} thread{'s' if threads > 1 else ''}, onnxruntime {machine.onnxruntime}"
    )
    shapes: list[Line | Dot | Text] = [
        Text(_FRAME.left, 30, "Latency against accuracy", _TITLE, _INK),
        Text(_FRAME.left, 54, subtitle, _TEXT, _GREY),
        Text(_FRAME.left, 80, f"accuracy ({' and '.join(sorted(data))})", _TEXT, _INK),
        Text(_FRAME.right, HEIGHT - 16, "latency in microseconds, logarithmic", _TEXT, _INK, "end"),
    ]
    right = _FRAME.right
    for precision in reversed([each for each in _COLOURS if any(p.bundle.precision == each for p in shown)]):
        right -= text_width(precision, _TEXT)
        shapes.append(Text(right, 80, precision, _TEXT, _INK))
        shapes.append(Dot(right - 11, 80, _RADII[precision], _COLOURS[precision]))
        right -= 32
    return shapes


def _latency_axis(values: list[float], x_of: Callable[[float], float]) -> list[Line | Dot | Text]:
    shapes: list[Line | Dot | Text] = []
    for value in values:
        x = x_of(value)
        shapes.append(Line(x, _FRAME.top, x, _FRAME.bottom, _GRID))
        shapes.append(Text(x, _FRAME.bottom + 18, f"{value:,.10g}", _TEXT, _GREY, "middle"))
    shapes.append(Line(_FRAME.left, _FRAME.bottom, _FRAME.right, _FRAME.bottom, _GREY))
    return shapes


def _accuracy_axis(values: list[float], y_of: Callable[[float], float]) -> list[Line | Dot | Text]:
    step = min((high - low for low, high in pairwise(values)), default=1.0)
    digits = max(0, -math.floor(math.log10(step * 100) + 1e-9))  # log10 of a round number may fall just below it
    shapes: list[Line | Dot | Text] = []
    for value in values:
        y = y_of(value)
        shapes.append(Line(_FRAME.left, y, _FRAME.right, y, _GRID))
        shapes.append(Text(_FRAME.left - 10, y, f"{value:.{digits}%}", _TEXT, _GREY, "end"))
    return shapes


def _marks(
    shown: list[Point], x_of: Callable[[float], float], y_of: Callable[[float], float]
) -> list[Line | Dot | Text]:
    shown = sorted(shown, key=lambda point: -_RADII[point.bundle.precision])
    spots = {point.bundle.name: (x_of(point.latency_us), y_of(point.accuracy)) for point in shown}
    models: dict[str, list[Point]] = {}
    for point in shown:
        models.setdefault(point.bundle.checkpoint_sha256, []).append(point)
    joins = [
        Line(*spots[one.bundle.name], *spots[other.bundle.name], _JOIN, 1.2)
        for family in models.values()
        for one, other in pairwise(family)
    ]
    anchors = [
        Anchor(*spots[point.bundle.name], _RADII[point.bundle.precision], text_width(point.label, _LABEL), _LABEL)
        for point in shown
    ]
    places = labels.place(anchors, _FRAME, joins)
    leaders = [line for anchor, place in zip(anchors, places, strict=True) if (line := _leader(anchor, place))]
    dots: list[Line | Dot | Text] = []
    names: list[Line | Dot | Text] = []
    for point, anchor, place in zip(shown, anchors, places, strict=True):
        colour = _COLOURS[point.bundle.precision]
        # On a ring of the background, because points of one model often touch.
        dots += [Dot(anchor.x, anchor.y, anchor.radius + _RING, _BACKGROUND)]
        dots += [Dot(anchor.x, anchor.y, anchor.radius, colour)]
        names.append(_name(point.label, anchor, place, colour))
    return [*joins, *leaders, *dots, *names]


def _name(name: str, anchor: Anchor, place: Box, colour: str) -> Text:
    """The label, close to its point although its width is a guess."""
    y = (place.top + place.bottom) / 2
    if place.left >= anchor.x:
        return Text(place.left, y, name, _LABEL, colour, "start")
    if place.right <= anchor.x:
        return Text(place.right, y, name, _LABEL, colour, "end")
    return Text((place.left + place.right) / 2, y, name, _LABEL, colour, "middle")


def _leader(anchor: Anchor, place: Box) -> Line | None:
    if place.distance(anchor.x, anchor.y) <= _LEADER_FROM:
        return None
    return Line(anchor.x, anchor.y, *place.nearest(anchor.x, anchor.y), _JOIN, 0.8)
