"""`edge sweep`: parse, call, print."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from edge_train.command import INTERRUPTED, Device
from edge_train.data.command import DataFolderOption, DataOption

LIST = "A,B,..."


def _list(meaning: str, *names: str) -> Any:  # noqa: ANN401 - typer's own class has no public name
    """An option that takes a comma list of what `edge train` takes one of."""
    return typer.Option(*names, metavar=LIST, help=meaning)


Values = str | None


def sweep(
    *,
    model: Annotated[str, _list("What to train; `edge models` lists the names.")] = "lstm",
    recipe: Annotated[
        str, typer.Option(help="The recipe of the hyperparameters that the sweep does not name: best or origin.")
    ] = "best",
    data: DataOption = "mnist",
    data_dir: DataFolderOption = None,
    hidden: Annotated[Values, _list("Sizes of the recurrent state.")] = None,
    layers: Annotated[Values, _list("Numbers of recurrent layers.")] = None,
    bidirectional: Annotated[Values, _list("Whether the rows are read in both directions: yes,no.")] = None,
    chain: Annotated[Values, _list("Layers of a CNN: 'flatten linear10,conv5x16 relu pool flatten linear10'.")] = None,
    epochs: Annotated[Values, _list("How often every image is seen.")] = None,
    batch_size: Annotated[Values, _list("Images a step.")] = None,
    learning_rate: Annotated[Values, _list("The schedule's rate.", "--learning-rate", "--lr")] = None,
    schedule: Annotated[Values, _list("How the learning rate runs.")] = None,
    optimiser: Annotated[Values, _list("What steps.", "--optimiser", "--optimizer")] = None,
    momentum: Annotated[Values, _list("Of sgd and rmsprop.")] = None,
    weight_decay: Annotated[Values, _list("How strongly weights are pulled to zero.")] = None,
    gradient_norm: Annotated[Values, _list("Gradients are clipped to it; 0 clips none.")] = None,
    label_smoothing: Annotated[Values, _list("Share of a label that all classes divide.")] = None,
    averaging: Annotated[Values, _list("Share of the old in the running mean of the weights.")] = None,
    augmentation: Annotated[Values, _list("none, digits, pictures.")] = None,
    strokes: Annotated[Values, _list("Drawn digits mixed in, as a share of the images.")] = None,
    outliers: Annotated[Values, _list("Drawn pictures of no digit mixed in, as a share of the images.")] = None,
    writers: Annotated[Values, _list("Who draws them: usual, all.")] = None,
    teacher: Annotated[Values, _list("Models whose probabilities are learned as well; '' for none.")] = None,
    distillation: Annotated[Values, _list("Share of the teacher in the loss.")] = None,
    initialisation: Annotated[Values, _list("edge's first weights, or torch's.")] = None,
    seed: Annotated[Values, _list("Repeats each run with other first weights and another order: 0,1,2.")] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Random search: draw so many runs of the grid; otherwise all.")
    ] = None,
    draw_seed: Annotated[int, typer.Option(min=0, help="Another number draws other runs.")] = 0,
    export_best: Annotated[
        bool, typer.Option("--export-best", help="Open the test set for the best run, and export it to int8.")
    ] = False,
    out: Annotated[Path | None, typer.Option(help="Folder of the sweep; otherwise sweeps/MODEL.")] = None,
    device: Annotated[Device, typer.Option(help="auto takes CUDA when it is there.")] = "auto",
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads; otherwise all that are allowed.")] = None,
) -> None:
    """Train every combination of the values, or some; the same command goes on after Ctrl-C. The best by validation."""
    from edge_export.pipeline import to_stderr
    from edge_export.sweep import grid, results, search, summary

    lists = {
        "model": model,
        "hidden": hidden,
        "layers": layers,
        "bidirectional": bidirectional,
        "chain": chain,
        "epochs": epochs,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "schedule": schedule,
        "optimiser": optimiser,
        "momentum": momentum,
        "weight_decay": weight_decay,
        "gradient_norm": gradient_norm,
        "label_smoothing": label_smoothing,
        "averaging": averaging,
        "augmentation": augmentation,
        "strokes": strokes,
        "outliers": outliers,
        "writers": writers,
        "teacher": teacher,
        "distillation": distillation,
        "initialisation": initialisation,
        "seed": seed,
    }
    axes = grid.axes(lists)
    folder = out or Path("sweeps") / "-".join(map(str, axes[0].values))
    request = search.SweepRequest(axes, folder, recipe, data, data_dir, limit, draw_seed, device, threads)
    done = search.sweep(request, to_stderr)
    if done.results:
        typer.echo(summary.table_of_runs(done))
    if done.interrupted:
        typer.echo(summary.how_to_go_on(done, sys.argv[1:]))
        raise typer.Exit(INTERRUPTED)
    from edge_export.sweep import pareto_chart

    names = pareto_chart.write(folder, done.results, summary.title(done))
    typer.echo(f"{folder}: {', '.join((results.FILE, *names))}")
    if export_best:
        typer.echo(summary.exported(search.export_best(done, to_stderr)))
    else:
        typer.echo(summary.next_step(done))
