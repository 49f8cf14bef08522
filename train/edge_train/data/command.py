"""`edge data`: parse, call, print; and the options by which all commands are told about data."""

from pathlib import Path
from typing import Annotated

import typer

from edge.cli.arguments import JsonOption, check_suffix

DATA_VALUE = "NAME|FOLDER"
DATA_HELP = (
    "mnist, fashion-mnist, kmnist, qmnist, emnist-digits, strokes (drawn, needs no files), or a folder with a "
    "sub-folder of pictures for each class."
)

DataOption = Annotated[str, typer.Option(help=DATA_HELP, metavar=DATA_VALUE)]
DataFolderOption = Annotated[
    Path | None,
    typer.Option(help="Where published sets are or shall be; otherwise $EDGE_DATA, otherwise a cache folder."),
]


def data(
    *,
    data: DataOption = "mnist",
    data_dir: DataFolderOption = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Write a sample sheet: a row of training pictures for each class.", metavar="PNG"),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show what a data set holds: its parts and classes, its pixels, and a sheet of samples."""
    check_suffix(out, ".png", "--out")
    import json

    from edge.text.files import write_atomically
    from edge_train.data import datasets, exploration

    source = datasets.find(data, data_dir)
    training, validation = source.splits()
    found = exploration.explore(source, (training, validation, source.test()))
    if out is not None:
        from edge import drawing

        sheet = drawing.png(exploration.sample_sheet(training, source.labels))
        write_atomically(out, sheet, "the sheet", advice="choose another --out")
    if as_json:
        typer.echo(json.dumps(found.to_json(), ensure_ascii=False))
        return
    typer.echo(exploration.text(found))
    if out is not None:
        typer.echo(f"sheet: {out}")
