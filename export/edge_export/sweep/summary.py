"""What a sweep says at its end: one table, the runs that failed, and what to type next."""

import shlex
from collections.abc import Sequence

from edge.text import table
from edge_export.sweep import grid
from edge_export.sweep.outcome import Outcome, pareto, ranked
from edge_export.sweep.running import Sweep, label
from edge_train.training import training

MARK = "*"


def results(sweep: Sweep) -> str:
    """The runs that are done, the most accurate first, then those that failed, with the reason."""
    names = [name for name in grid.varying(sweep.request.axes) if name != "model"]
    best = pareto(sweep.outcomes)
    heads = ("run", "model", *(name.replace("_", " ") for name in names))
    figures_heads = ("accuracy", "epoch", "parameters", "bytes", "us", "seconds", "")
    rows = [[*heads, *figures_heads]]
    for outcome, figures in ranked(sweep.outcomes):
        time = "-" if figures.latency_us is None else f"{figures.latency_us:.0f}"
        rows.append(
            [
                str(outcome.number),
                figures.name,
                *(grid.text(outcome.settings[name]) for name in names),
                f"{figures.validation_accuracy:.2%}",
                f"{figures.best_epoch}/{figures.epochs}",
                f"{figures.parameters:,}",
                f"{figures.size_bytes:,}",
                time,
                f"{figures.seconds:.0f}",
                MARK if outcome.number in best else "",
            ]
        )
    lines = [
        *table.aligned(_right(rows, first=len(heads))),
        *_failures(sweep.outcomes, grid.varying(sweep.request.axes)),
    ]
    if len(rows) > 1:
        lines += [
            "",
            "accuracy: on the validation split, at the best epoch; no run has seen the test set",
            "bytes: of the fp32 bundle; us: for one picture, fp32, one thread of this machine",
            f"{MARK} no other run is as accurate, small and fast, and better in one of them",
        ]
    return "\n".join(lines)


def next_step(sweep: Sweep) -> str:
    """The command that exports the best run."""
    _, figures = ranked(sweep.outcomes)[0]
    return training.next_step(figures.name, sweep.request.out / figures.checkpoint)


def how_to_go_on(sweep: Sweep, arguments: Sequence[str]) -> str:
    """What to type after Ctrl-C.

    Args:
        sweep: as it stands.
        arguments: of the command line, without the program.
    """
    return (
        f"interrupted after {len(sweep.outcomes)} of {sweep.total} runs; the same command goes on: "
        f"{shlex.join(['edge', *arguments])}"
    )


def title(sweep: Sweep) -> str:
    """What was swept, in a few words: "gru by hidden and learning rate"."""
    models = next(axis.values for axis in sweep.request.axes if axis.name == "model")
    names = [name.replace("_", " ") for name in grid.varying(sweep.request.axes) if name != "model"]
    return ", ".join(map(str, models)) + (f" by {' and '.join(names)}" if names else "")


def _failures(outcomes: Sequence[Outcome], names: Sequence[str]) -> list[str]:
    failed = [outcome for outcome in outcomes if outcome.figures is None]
    lines = [f"run {one.number}, {label(one.settings, names)}: {one.status}: {one.reason}" for one in failed]
    return ["", *lines] if lines else []


def _right(rows: list[list[str]], first: int) -> list[list[str]]:
    """The rows with every column from `first` on right-aligned, because figures are compared digit by digit."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        [
            cell.rjust(width) if place >= first else cell
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        for row in rows
    ]
