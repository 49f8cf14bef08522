"""The picture of a sweep: accuracy against size, and against latency, each run a dot with its number."""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullLocator

from edge_export.sweep.results import RunMetrics, RunResult, pareto, ranked
from edge_train.training import checkpoint

STEM = "sweep"
INK, BEST, OTHER = "#24292f", "#1f5fbf", "#9aa3b0"
PIXELS_PER_INCH = 150
INCHES = (10.0, 4.8)

# Accuracies near 1 are compared by what is missing: the axis is the share of mistakes, drawn on a logarithmic scale and
# written as accuracy. Steps for a range below a factor of 10, and for a wider one.
FINE = (
    *(0.9, 0.7, 0.5, 0.4, 0.3, 0.2, 0.15, 0.1),
    *(step / scale for scale in (1e2, 1e3, 1e4) for step in (8.0, 6.0, 5.0, 4.0, 3.0, 2.5, 2.0, 1.5, 1.2, 1.0)),
)
COARSE = (0.9, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001, 0.0005, 0.0002, 0.0001)
WIDE = 10.0
NO_MISTAKE = 1e-4  # how a run without one is drawn, since zero has no place on that scale

# Sizes and times that differ by more than that are drawn on a logarithmic scale.
LOGARITHMIC_FROM = 4.0

_LABEL_HEIGHT = 11.0  # points, between the numbers of runs that lie upon each other
_LABEL_WIDTH = 22.0
_LABEL_RIGHT, _LABEL_ABOVE = 6.0, 6.0  # of the dot, so that the line leaves them free

_SETTINGS: dict[Any, Any] = {
    "svg.hashsalt": "edge",  # the same sweep gives the same bytes
    "svg.fonttype": "none",  # text stays text
    "font.family": ["DejaVu Sans"],
    "font.size": 10,
    "text.color": INK,
    "axes.edgecolor": OTHER,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": INK,
    "ytick.color": INK,
    "grid.color": OTHER,
    "grid.alpha": 0.25,
}


@dataclass(frozen=True, slots=True)
class _Dot:
    """A run in one panel. `missing`: the share of mistakes; `cost`: its bytes or microseconds."""

    number: int
    cost: float
    missing: float
    best: bool


def write(folder: Path, results: Sequence[RunResult], title: str) -> tuple[str, ...]:
    """Draws the runs that are done and writes `sweep.png` and `sweep.svg`, each in one step.

    Args:
        folder: of the sweep.
        results: of its runs, at least one of them done, with latencies.
        title: what was swept.

    Returns:
        The names of the files.

    Raises:
        CheckpointError: the folder cannot be written.
    """
    names = []
    with mpl.rc_context():
        mpl.rcParams.update(mpl.rcParamsDefault)  # a user's matplotlibrc is made for other figures
        mpl.rcParams.update(_SETTINGS)
        drawn = figure(results, title)
        for kind, metadata in (("png", {"Software": None}), ("svg", {"Date": None})):
            content = io.BytesIO()
            drawn.savefig(content, format=kind, dpi=PIXELS_PER_INCH, metadata=metadata)
            checkpoint.write(folder / f"{STEM}.{kind}", content.getvalue())
            names.append(f"{STEM}.{kind}")
    return tuple(names)


def figure(results: Sequence[RunResult], title: str) -> Figure:
    """The two panels as a figure that no window knows."""
    drawn = Figure(figsize=INCHES, layout="constrained")
    FigureCanvasAgg(drawn)
    left, right = drawn.subplots(1, 2, sharey=True)
    # The limits come before the dots: matplotlib's own would have no width where all runs are equal.
    _accuracy_axis(left, [max(1 - figures.validation_accuracy, NO_MISTAKE) for _, figures in ranked(results)])
    best = pareto(results)
    panels = ((left, _size, "fp32 bundle, KB"), (right, _latency, "one picture, fp32, microseconds"))
    for panel, cost, name in panels:
        _panel(panel, _dots(results, best, cost), name)
    left.set_ylabel("validation accuracy")
    drawn.suptitle(f"{title}; blue: no other run is as accurate, small and fast, and better in one", fontsize=11)
    drawn.canvas.draw()  # the layout, which says where labels fall upon each other
    for panel, cost, _ in panels:
        _number(panel, _dots(results, best, cost))
    return drawn


def _size(figures: RunMetrics) -> float:
    return figures.size_bytes / 1000


def _latency(figures: RunMetrics) -> float:
    return figures.latency_us or 0.0


def _dots(results: Sequence[RunResult], best: frozenset[int], cost: Callable[[RunMetrics], float]) -> list[_Dot]:
    return [
        _Dot(run.number, cost(figures), max(1 - figures.validation_accuracy, NO_MISTAKE), run.number in best)
        for run, figures in ranked(results)
    ]


def _panel(panel: Axes, dots: Sequence[_Dot], name: str) -> None:
    _cost_axis(panel, [dot.cost for dot in dots])
    front = _front(dots)
    panel.step([dot.cost for dot in front], [dot.missing for dot in front], where="post", color=BEST, linewidth=1.2)
    for dot in sorted(dots, key=lambda dot: dot.best):
        panel.scatter(dot.cost, dot.missing, s=42, color=BEST if dot.best else OTHER, zorder=3)
    panel.set_xlabel(name)
    panel.grid(visible=True)
    panel.set_axisbelow(True)
    panel.tick_params(length=0)


def _cost_axis(panel: Axes, costs: Sequence[float]) -> None:
    """Room for all runs, and for the numbers to the right of them."""
    lowest, highest = min(costs), max(costs)
    if highest > lowest * LOGARITHMIC_FROM:
        panel.set_xscale("log")
        panel.set_xlim(lowest / 1.3, highest * 1.5)
        panel.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        panel.xaxis.set_minor_locator(NullLocator())
    else:
        spread = max(highest - lowest, 0.2 * highest)
        panel.set_xlim(lowest - 0.15 * spread, highest + 0.25 * spread)
        panel.xaxis.set_major_locator(MaxNLocator(6))
    panel.xaxis.set_major_formatter(FuncFormatter(lambda cost, _: f"{cost:,g}"))


def _front(dots: Sequence[_Dot]) -> list[_Dot]:
    """From cheap to dear, the runs that make fewer mistakes than all cheaper ones."""
    front: list[_Dot] = []
    for dot in sorted(dots, key=lambda dot: (dot.cost, dot.missing)):
        if not front or dot.missing < front[-1].missing:
            front.append(dot)
    return front


def _accuracy_axis(panel: Axes, missing: Sequence[float]) -> None:
    """Less and less missing upwards, between the steps that enclose all runs."""
    worst, least = max(missing), min(missing)
    steps = COARSE if worst > least * WIDE else FINE
    bottom = min((step for step in steps if step >= worst), default=1.0)
    top = max((step for step in steps if step < least), default=NO_MISTAKE / 2)
    panel.set_yscale("log")
    panel.set_ylim(bottom * 1.03, top / 1.03)
    panel.yaxis.set_major_locator(FixedLocator([step for step in steps if top <= step <= bottom]))
    panel.yaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * (1 - share):.4g} %"))
    panel.yaxis.set_minor_locator(NullLocator())


def _number(panel: Axes, dots: Sequence[_Dot]) -> None:
    """Writes the number of each run beside its dot; where dots are close, one above the other."""
    scale = 72 / panel.get_figure(root=True).dpi  # type: ignore[union-attr]  # a panel of ours is in a figure
    places = [(dot, panel.transData.transform((dot.cost, dot.missing)) * scale) for dot in dots]
    places.sort(key=lambda placed: (round(placed[1][0] / _LABEL_WIDTH), placed[1][1]))
    heights = [float(place[1]) for _, place in places]
    for lower, upper in pairwise(range(len(places))):
        if abs(places[upper][1][0] - places[lower][1][0]) < _LABEL_WIDTH:
            heights[upper] = max(heights[upper], heights[lower] + _LABEL_HEIGHT)
    for (dot, place), height in zip(places, heights, strict=True):
        panel.annotate(
            str(dot.number),
            (dot.cost, dot.missing),
            xytext=(_LABEL_RIGHT, _LABEL_ABOVE + height - float(place[1])),
            textcoords="offset points",
            va="center",
            fontsize=8.5,
            fontweight="bold" if dot.best else "normal",
        )
