"""`edge train`: parse, call, print. It is above all rooms: it trains, and then has the report written."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from edge_train.data.command import DATA_HELP, DATA_VALUE, DataFolderOption
from edge_train.training.recipes import Augmentation, Initialisation, Optimiser, Schedule, Writers

Device = Literal["auto", "cpu", "cuda"]

INTERRUPTED = 130  # what a shell gives for Ctrl-C: a script must not take an unfinished run for a finished one


def train(
    *,
    model: Annotated[
        str | None, typer.Option(help="What to train; `edge models` lists the names.", show_default="lstm")
    ] = None,
    recipe: Annotated[
        str,
        typer.Option(
            help="best is ours, origin the published run, fine-tuned goes on from --start; --list shows all. "
            "A hyperparameter below overrides it."
        ),
    ] = "best",
    list_recipes: Annotated[
        bool,
        typer.Option("--list", help="Show the recipes, their hyperparameters and what they reached; train nothing."),
    ] = False,
    data: Annotated[str | None, typer.Option(help=DATA_HELP, metavar=DATA_VALUE, show_default="mnist")] = None,
    data_dir: DataFolderOption = None,
    epochs: Annotated[int | None, typer.Option(help="How often every image is seen.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Images a step.")] = None,
    learning_rate: Annotated[float | None, typer.Option("--learning-rate", "--lr", help="The schedule's rate.")] = None,
    schedule: Annotated[Schedule | None, typer.Option(help="How the learning rate runs.")] = None,
    optimiser: Annotated[Optimiser | None, typer.Option("--optimiser", "--optimizer", help="What steps.")] = None,
    momentum: Annotated[float | None, typer.Option(help="Of sgd and rmsprop.")] = None,
    weight_decay: Annotated[float | None, typer.Option(help="How strongly weights are pulled to zero.")] = None,
    gradient_norm: Annotated[float | None, typer.Option(help="Gradients are clipped to it; 0 clips none.")] = None,
    label_smoothing: Annotated[float | None, typer.Option(help="Share of a label that all classes divide.")] = None,
    averaging: Annotated[
        float | None, typer.Option(help="Share of the old in the running mean of the weights; 0 takes the last ones.")
    ] = None,
    augmentation: Annotated[
        Augmentation | None,
        typer.Option(help="none; digits varies form, stroke width and grey levels; pictures adds what photos leave."),
    ] = None,
    strokes: Annotated[float | None, typer.Option(help="Drawn digits mixed in, as a share of the images.")] = None,
    writers: Annotated[
        Writers | None, typer.Option(help="Who draws them: all writes rare forms as often as usual ones, with any pen.")
    ] = None,
    outliers: Annotated[
        float | None, typer.Option(help="Drawn pictures of what is no digit, as a share of the images.")
    ] = None,
    teacher: Annotated[
        str | None, typer.Option(help="A model or checkpoint whose probabilities are learned as well; '' for none.")
    ] = None,
    distillation: Annotated[float | None, typer.Option(help="Share of the teacher in the loss.")] = None,
    interpolation: Annotated[
        float | None, typer.Option(help="What is kept of a run with --start: 0 is its start, 1 its last epoch.")
    ] = None,
    initialisation: Annotated[Initialisation | None, typer.Option(help="edge's first weights, or torch's.")] = None,
    hidden: Annotated[int | None, typer.Option(help="Size of the recurrent state.")] = None,
    layers: Annotated[int | None, typer.Option(help="Recurrent layers.")] = None,
    bidirectional: Annotated[bool | None, typer.Option(help="Read the rows in both directions.")] = None,
    chain: Annotated[
        str | None, typer.Option(help="Layers of a CNN: 'conv5x16 bn relu pool flatten linear10'.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="The name of the result; otherwise from its sizes.")] = None,
    start: Annotated[
        str | None,
        typer.Option(help="Go on from the weights of a checkpoint or a shipped model.", metavar="CHECKPOINT"),
    ] = None,
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
    if list_recipes:
        from edge_train.training import recipes

        typer.echo(recipes.describe())
        return
    from edge_train.training import trainer

    hyperparameters = {
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
        "writers": writers,
        "outliers": outliers,
        "teacher": teacher,
        "distillation": distillation,
        "interpolation": interpolation,
        "initialisation": initialisation,
        "seed": seed,
    }
    request = trainer.TrainingRequest(
        model=model,
        recipe=recipe,
        name=name,
        data=data,
        data_dir=data_dir,
        hyperparameters={key: setting for key, setting in hyperparameters.items() if setting is not None},
        sizes={"hidden": hidden, "layers": layers, "bidirectional": bidirectional, "chain": chain},
        start=start,
        out=out,
        resume=resume,
        device=device,
        threads=threads,
        tensorboard=tensorboard,
    )
    result = trainer.train(request)
    page = None
    if report:
        from edge_train.report import writing

        page = writing.attempt(result)
    typer.echo(trainer.summary(result, page))
    if result.interrupted:
        raise typer.Exit(INTERRUPTED)
