"""The chart of a sweep: accuracy against size, and against latency, each run a dot with its number."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from edge import charts
from edge.text.files import write_atomically
from edge_export.sweep.results import RunMetrics, RunResult, pareto, ranked

STEM = "sweep"
BEST, OTHER = charts.BLUE, charts.GREY
INCHES = (10.0, 4.8)
DOT = 6.5  # diameter, points


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
        WriteError: the folder cannot be written.
    """
    with charts.style():
        drawn = figure(results, title)
        svg, png = charts.rendered(drawn)
    contents = {f"{STEM}.png": png, f"{STEM}.svg": svg.encode()}
    for name, content in contents.items():
        write_atomically(folder / name, content)
    return tuple(contents)


def figure(results: Sequence[RunResult], title: str) -> Figure:
    """The two panels as a figure that no window knows, within `charts.style`."""
    drawn = charts.figure(*INCHES)
    left, right = drawn.subplots(1, 2, sharey=True)
    # The limits come before the dots: matplotlib's own would have no width where all runs are equal.
    charts.accuracy_axis(left, [figures.validation_accuracy for _, figures in ranked(results)])
    best = pareto(results)
    panels = ((left, _size, "fp32 bundle, KB"), (right, _latency, "one picture, fp32, microseconds"))
    for panel, cost, name in panels:
        _panel(panel, _dots(results, best, cost), name)
    left.set_ylabel("validation accuracy")
    drawn.suptitle(f"{title}; blue: no other run is as accurate, small and fast, and better in one", fontsize=11)
    for panel, cost, _ in panels:
        _number(panel, _dots(results, best, cost))
    return drawn


def _size(figures: RunMetrics) -> float:
    return figures.size_bytes / 1000


def _latency(figures: RunMetrics) -> float:
    return figures.latency_us or 0.0


def _dots(results: Sequence[RunResult], best: frozenset[int], cost: Callable[[RunMetrics], float]) -> list[_Dot]:
    return [
        _Dot(run.number, cost(figures), charts.mistakes(figures.validation_accuracy), run.number in best)
        for run, figures in ranked(results)
    ]


def _panel(panel: Axes, dots: Sequence[_Dot], name: str) -> None:
    charts.cost_axis(panel, [dot.cost for dot in dots])
    front = _front(dots)
    panel.step([dot.cost for dot in front], [dot.missing for dot in front], where="post", color=BEST, linewidth=1.2)
    for dot in sorted(dots, key=lambda dot: dot.best):
        panel.plot(dot.cost, dot.missing, "o", markersize=DOT, color=BEST if dot.best else OTHER, zorder=3)
    panel.set_xlabel(name)
    charts.grid(panel)
    panel.tick_params(length=0)


def _front(dots: Sequence[_Dot]) -> list[_Dot]:
    """From cheap to dear, the runs that make fewer mistakes than all cheaper ones."""
    front: list[_Dot] = []
    for dot in sorted(dots, key=lambda dot: (dot.cost, dot.missing)):
        if not front or dot.missing < front[-1].missing:
            front.append(dot)
    return front


def _number(panel: Axes, dots: Sequence[_Dot]) -> None:
    """Writes the number of each run beside its dot."""
    front = _front(dots)
    steps = [
        ends
        for one, other in pairwise(front)
        for ends in (
            ((one.cost, one.missing), (other.cost, one.missing)),
            ((other.cost, one.missing), (other.cost, other.missing)),
        )
    ]
    charts.label_points(
        panel,
        [(dot.cost, dot.missing) for dot in dots],
        [str(dot.number) for dot in dots],
        [charts.INK if dot.best else OTHER for dot in dots],
        radius=DOT / 2,
        lines=steps,
    )
