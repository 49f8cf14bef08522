"""`edge train`: parse, call, print."""

from pathlib import Path
from typing import Annotated, Literal

import typer

Data = Literal["mnist", "strokes"]
Device = Literal["auto", "cpu", "cuda"]

INTERRUPTED = 130  # what a shell gives for Ctrl-C: a script must not take an unfinished run for a finished one


def train(
    *,
    model: Annotated[str, typer.Option(help="What to train; `edge models` lists the names.")] = "lstm",
    data: Annotated[
        Data, typer.Option(help="MNIST, or the built-in stroke generator, which needs no files.")
    ] = "mnist",
    data_dir: Annotated[
        Path | None, typer.Option(help="Where MNIST is or shall be; otherwise $EDGE_DATA, otherwise a cache folder.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="How often every image is seen.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Images a step.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="The peak of the one-cycle schedule.")] = None,
    augment: Annotated[bool | None, typer.Option(help="Vary form, stroke width and grey levels.")] = None,
    hidden: Annotated[int | None, typer.Option(help="Size of the recurrent state.")] = None,
    layers: Annotated[int | None, typer.Option(help="Recurrent layers.")] = None,
    bidirectional: Annotated[bool | None, typer.Option(help="Read the rows in both directions.")] = None,
    chain: Annotated[
        str | None, typer.Option(help="Layers of a CNN: 'conv5x16 bn relu pool flatten linear10'.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="The name of the result; otherwise from its sizes.")] = None,
    seed: Annotated[
        int | None, typer.Option(help="The same seed gives the same weights on the same machine; otherwise 0.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder of the runs.")] = Path("runs"),
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an interrupted run, with its settings.")] = False,
    device: Annotated[Device, typer.Option(help="auto takes CUDA when it is there.")] = "auto",
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads; otherwise all that are allowed.")] = None,
    report: Annotated[bool, typer.Option("--report/--no-report", help="Write report.html and its pictures.")] = True,
    tensorboard: Annotated[bool, typer.Option("--tensorboard", help="Also write TensorBoard event files.")] = False,
) -> None:
    """Train a model; Ctrl-C keeps the best epoch so far, and --resume goes on."""
    from edge_train import training

    dials = {
        "epochs": epochs,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "augment": augment,
        "seed": seed,
    }
    request = training.Request(
        model=model,
        name=name,
        data=data,
        data_dir=data_dir,
        dials={dial: setting for dial, setting in dials.items() if setting is not None},
        sizes={"hidden": hidden, "layers": layers, "bidirectional": bidirectional, "chain": chain},
        out=out,
        resume=resume,
        device=device,
        threads=threads,
        report=report,
        tensorboard=tensorboard,
    )
    result = training.train(request)
    typer.echo(training.summary(result))
    if result.interrupted:
        raise typer.Exit(INTERRUPTED)
