"""`edge bench`: what bundles cost on this machine."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge.bundle import shipped
from edge.cli.arguments import JsonOption
from edge.errors import InputError
from edge.session import providers
from edge.session.providers import Provider

if TYPE_CHECKING:
    from edge.bench.results import Results


def bench(
    bundles: Annotated[
        list[str] | None, typer.Argument(metavar="[BUNDLE]...", help="Paths, or names of shipped ones; default: all.")
    ] = None,
    *,
    batch: Annotated[str, typer.Option(metavar="N,...", help="Batch sizes.")] = "1,16,256",
    threads: Annotated[str, typer.Option(metavar="N,...", help="Threads inside one operator.")] = "1",
    provider: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME,...", help="Where to run; several are compared. [default: auto]"),
    ] = None,
    seconds: Annotated[float, typer.Option(help="Time for each bundle, provider, thread count and batch size.")] = 3.0,
    cold_starts: Annotated[int, typer.Option(help="Fresh processes for each bundle and provider; 0 for none.")] = 5,
    as_json: JsonOption = False,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw latency against accuracy, as .png or .svg.")
    ] = None,
    from_file: Annotated[
        Path | None,
        typer.Option("--from", metavar="FILE", help="Show what --json printed, here or on a device; measure nothing."),
    ] = None,
    tune: Annotated[
        bool, typer.Option("--tune", help="Measure instead how each bundle runs many images fastest, and keep that.")
    ] = False,
) -> None:
    """Measure bundles on this machine.

    Latency, throughput, load, cold start and memory, all bundles in turns. Ctrl-C shows what there is so far.
    """
    if tune:
        if as_json or plot is not None or from_file is not None:
            raise typer.BadParameter("--tune prints its own table; leave --json, --plot and --from out.")
        _tune(bundles or [shipped.DEFAULT])
        return
    if from_file is not None and bundles:
        raise typer.BadParameter("--from shows the bundles of its file; leave out their names.")
    from edge.bench import presentation
    from edge.bench import results as documents
    from edge.bench.benchmark import bundle_facts, run
    from edge.bench.measurement import Experiment, named_bundles
    from edge.text.terminal import ProgressBar

    known = None if from_file is None else documents.read(from_file)
    try:
        experiment = Experiment(
            subjects=() if from_file is not None else named_bundles(bundles or []),
            providers=_providers(provider or ["auto"]),
            threads=_counts("--threads", threads),
            batches=_counts("--batch", batch),
            seconds=seconds,
            cold_starts=cold_starts,
        )
        if plot is not None:
            presentation.check_plot(plot, known.bundles if known else map(bundle_facts, experiment.subjects))
    except InputError as error:
        raise typer.BadParameter(str(error)) from error
    results = known or run(experiment, ProgressBar(in_logs=True))
    _show(results, as_json=as_json)
    if not results.complete:
        raise typer.Exit(130)
    if plot is not None:
        presentation.write_plot(results, plot)
        typer.echo(f"wrote {plot}", err=True)
    if results.failures:
        raise typer.Exit(1)


def _tune(names: list[str]) -> None:
    """Chunk size and threads for each bundle, measured and kept for `edge.load` and `edge predict`."""
    from edge.bench import tuning
    from edge.bundle import bundle
    from edge.text.terminal import ProgressBar

    for found in [bundle.read(shipped.locate(name)) for name in names]:
        bar = ProgressBar()

        def show(done: int, total: int, bar: ProgressBar = bar) -> None:
            if done == 1:
                bar.begin(total)
            bar.show(done)

        measured = tuning.tune(found, progress=show)
        bar.clear()
        typer.echo("\n".join(measured.lines()))


def _show(results: "Results", *, as_json: bool) -> None:
    from edge.bench import presentation

    if as_json:
        typer.echo(json.dumps(results.document()))
    else:
        blocks = [
            [presentation.machine_line(results)],
            presentation.latency_lines(results),
            presentation.cost_lines(results),
        ]
        typer.echo("\n\n".join("\n".join(block) for block in blocks if block))
    for line in (*presentation.warning_lines(results), *presentation.failure_lines(results)):
        typer.echo(f"edge: {line}", err=True)
    if not results.complete:
        some = results.latencies or results.cold_starts
        typer.echo(
            f"edge: stopped early; {'these are the figures so far' if some else 'nothing is measured yet'}", err=True
        )


def _providers(options: list[str]) -> tuple[Provider, ...]:
    """The choices of one or several comma-separated lists, each once."""
    words = dict.fromkeys(word.strip() for option in options for word in option.split(","))
    for word in words:
        providers.check(word)
    return tuple(words)


def _counts(option: str, text: str) -> tuple[int, ...]:
    """The numbers of a comma-separated list, ascending, each once."""
    try:
        return tuple(sorted({int(word) for word in text.split(",")}))
    except ValueError as error:
        raise InputError(f"{option} {text!r} is no list of whole numbers; write for example {option} 1,16") from error
