"""What was measured, for people: aligned tables, and a plot of latency against accuracy, a labelled point a bundle.

In the plot left is faster, up is more accurate. Bundles of one checkpoint are one model in several precisions: a thin
line joins them, so that it shows what a precision gains and costs. matplotlib draws it, which a device need not have:
it is drawn from a document that the device gave.
"""

import os
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge import charts
from edge.bench.results import BundleFacts, ColdStartFacts, LatencyFacts, Results, SessionFacts
from edge.bench.turns import PERCENTILES
from edge.errors import EdgeError, InputError, MissingExtraError
from edge.text.files import write_atomically
from edge.text.table import aligned, size
from edge.text.terminal import printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ABSENT = "-"

_TEXT_COLUMNS = 2  # name and provider; all others are numbers and stand to the right


def machine_line(results: Results) -> str:
    """Where it was measured, in one line."""
    machine = results.machine
    if machine.int8_instructions is None:
        instructions = "int8 instructions unknown"
    else:
        instructions = ", ".join(machine.int8_instructions) or "no int8 instructions"
    cpus = "1 CPU" if machine.allowed_cpus == 1 else f"{machine.allowed_cpus} CPUs"
    software = f"Python {machine.python}, onnxruntime {machine.onnxruntime}"
    return f"{machine.cpu} ({instructions}), {cpus} allowed; {machine.system}; {software}"


def latency_lines(results: Results) -> list[str]:
    """A row for each configuration, below a title; nothing when no call was timed."""
    if not results.latencies:
        return []
    header = ["bundle", "provider", "threads", "batch", *PERCENTILES, "p50/image", "images/s", "calls"]
    lines = _table(header, [_latency_row(each) for each in results.latencies])
    if any(None in each.latency_us.values() for each in results.latencies):
        needed = ", ".join(f"{name} {count}" for name, count in results.settings.calls_needed.items())
        lines.append(f"{ABSENT}: too few calls (needed: {needed}); give more --seconds")
    return ["latency of a call, in microseconds", *lines]


def cost_lines(results: Results) -> list[str]:
    """A row for each bundle on each provider, below a title; nothing when nothing was measured."""
    starts = {(each.bundle, each.requested_provider): each for each in results.cold_starts}
    sessions = {(each.bundle, each.requested_provider): each for each in reversed(results.sessions)}
    keys = list(dict.fromkeys([*starts, *((each.bundle, each.requested_provider) for each in results.sessions)]))
    if not keys:
        return []
    sizes = {each.name: size(each.size_bytes) for each in results.bundles}
    loads = max((each.loads for each in results.sessions), default=0)
    title = [f"load of a session in milliseconds, median of {loads}"]
    header = ["bundle", "provider", "nodes", "file", "load"]
    columns = 6 if max(results.settings.batches) > 1 else 5  # the peak at batch 1 would be there twice
    if starts:
        count = max(each.processes for each in results.cold_starts)
        title.append(
            f"cold start in milliseconds, a fresh process that classifies one image, from before it until it is gone, "
            f"median of {count}"
        )
        header += ["cold start", "import", "load", "run", "peak", f"peak at {max(results.settings.batches)}"][:columns]
    rows = [
        [
            printable(key[0]),
            *_session_cells(sessions.get(key), sizes[key[0]]),
            *(_start_cells(starts.get(key))[:columns] if starts else []),
        ]
        for key in keys
    ]
    return [*title, *_table(header, rows)]


def failure_lines(results: Results) -> list[str]:
    """A line for each thing that could not be measured."""
    lines = []
    for each in results.failures:
        where = [f"on {each.requested_provider}"]
        where += [f"at batch {each.batch}"] * (each.batch is not None)
        lines.append(f"{printable(each.bundle)} {' '.join(where)}: {printable(each.reason)}")
    return list(dict.fromkeys(lines))


def warning_lines(results: Results) -> list[str]:
    """A line for each bundle whose figures are those of wrong answers."""
    lines = [
        f"{printable(each.bundle)} on {each.provider} fails `edge verify` at {printable(each.verification_failure)}; "
        "its figures are those of wrong answers"
        for each in results.sessions
        if each.verification_failure is not None
    ]
    return list(dict.fromkeys(lines))


def _latency_row(each: LatencyFacts) -> list[str]:
    return [
        printable(each.bundle),
        each.provider,
        str(each.threads),
        str(each.batch),
        *(_number(each.latency_us[name]) for name in PERCENTILES),
        _number(each.latency_per_image_us["p50"]),
        _number(each.images_per_second),
        str(each.calls),
    ]


def _session_cells(session: SessionFacts | None, file: str) -> list[str]:
    if session is None:
        return [ABSENT, ABSENT, file, ABSENT]
    count = str(sum(session.placement.values()))
    nodes = count if set(session.placement) == {session.provider} else _placement(session)
    return [session.provider, nodes, file, _number(session.load_ms)]


def _start_cells(start: ColdStartFacts | None) -> list[str]:
    if start is None:
        return [ABSENT] * 6
    durations = (start.wall_ms, start.import_ms, start.load_ms, start.first_run_ms)
    peaks = (start.peak_bytes, start.largest_batch_peak_bytes)
    return [*map(_number, durations), *(ABSENT if peak is None else size(peak) for peak in peaks)]


def _placement(session: SessionFacts) -> str:
    """The nodes where not all of them ran on the provider of the session."""
    return " + ".join(f"{count} {provider}" for provider, count in session.placement.items())


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return aligned([header, *rows], right=range(_TEXT_COLUMNS, len(header)))


def _number(value: float | None) -> str:
    """Three digits that mean something, or all before the point."""
    if value is None:
        return ABSENT
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:,.0f}"


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


def check_plot(path: Path, bundles: Iterable[BundleFacts]) -> None:
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


def write_plot(results: Results, path: Path) -> None:
    """Draws the plot and writes it in one step.

    Args:
        results: what was measured.
        path: a .png or .svg file, as `check_plot` accepted it.

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
