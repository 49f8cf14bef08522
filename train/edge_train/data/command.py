"""`edge data`: parse, call, print."""

from pathlib import Path
from typing import Annotated

import typer

from edge.cli.arguments import JsonOption, check_suffix
from edge_train.data.options import DataFolderOption, DataOption


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

    from edge_train.data import datasets, exploration, sheet

    source = datasets.find(data, data_dir)
    training, validation = source.splits()
    found = exploration.explore(source, (training, validation, source.test()))
    if out is not None:
        sheet.write(out, exploration.sample_sheet(training, source.labels))
    if as_json:
        typer.echo(json.dumps(found.to_json(), ensure_ascii=False))
        return
    typer.echo(exploration.text(found))
    if out is not None:
        typer.echo(f"sheet: {out}")
