"""What a sweep says at its end: one table, the runs that failed, and what to type next."""

import shlex
from collections.abc import Sequence

from edge.text import table
from edge_export.sweep import grid
from edge_export.sweep.results import RunResult, pareto, ranked
from edge_export.sweep.search import BestRun, Sweep, label
from edge_train.training import trainer

MARK = "*"


def table_of_runs(sweep: Sweep) -> str:
    """The runs that are done, the most accurate first, then those that failed, with the reason.

    Args:
        sweep: at its end, or where it was interrupted.
    """
    names = [name for name in grid.varying(sweep.request.axes) if name != "model"]
    best = pareto(sweep.results)
    heads = ("run", "model", *(name.replace("_", " ") for name in names))
    figures_heads = ("accuracy", "epoch", "parameters", "bytes", "us", "seconds", "")
    rows = [[*heads, *figures_heads]]
    for result, figures in ranked(sweep.results):
        time = "-" if figures.latency_us is None else f"{figures.latency_us:.0f}"
        rows.append(
            [
                str(result.number),
                figures.name,
                *(grid.text(result.settings[name]) for name in names),
                f"{figures.validation_accuracy:.2%}",
                f"{figures.best_epoch}/{figures.epochs}",
                f"{figures.parameters:,}",
                f"{figures.size_bytes:,}",
                time,
                f"{figures.seconds:.0f}",
                MARK if result.number in best else "",
            ]
        )
    lines = [
        *table.aligned(rows, right=range(len(heads), len(rows[0]) - 1)),
        *_failures(sweep.results, grid.varying(sweep.request.axes)),
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
    """The command that exports the best run.

    Args:
        sweep: at its end.
    """
    _, figures = ranked(sweep.results)[0]
    return trainer.next_step(figures.name, sweep.request.out / figures.checkpoint)


def how_to_go_on(sweep: Sweep, arguments: Sequence[str]) -> str:
    """What to type after Ctrl-C.

    Args:
        sweep: as it stands.
        arguments: of the command line, without the program.
    """
    return (
        f"interrupted after {len(sweep.results)} of {sweep.total} runs; the same command goes on: "
        f"{shlex.join(['edge', *arguments])}"
    )


def exported(best: BestRun) -> str:
    """What was exported, the figure of the test set, and what to type next.

    Args:
        best: the run.
    """
    test, done = best.test, best.exported
    return "\n".join(
        [
            f"run {best.number} on the {test['split']} set, opened for it alone: {test['accuracy']:.2%}",
            f"bundle: {done.path}, {done.size_bytes:,} bytes; {done.manifest.precision}",
            f"next: edge verify {shlex.quote(str(done.path))}",
        ]
    )


def title(sweep: Sweep) -> str:
    """What was swept, in a few words: "gru by hidden and learning rate".

    Args:
        sweep: at any point.
    """
    models = next(axis.values for axis in sweep.request.axes if axis.name == "model")
    names = [name.replace("_", " ") for name in grid.varying(sweep.request.axes) if name != "model"]
    return ", ".join(map(str, models)) + (f" by {' and '.join(names)}" if names else "")


def _failures(results: Sequence[RunResult], names: Sequence[str]) -> list[str]:
    failed = [result for result in results if result.figures is None]
    lines = [f"run {one.number}, {label(one.settings, names)}: {one.status}: {one.reason}" for one in failed]
    return ["", *lines] if lines else []
