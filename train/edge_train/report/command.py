"""`edge report`: parse, call, print."""

from pathlib import Path
from typing import Annotated

import typer


def report(
    *,
    runs: Annotated[list[Path], typer.Argument(help="Folders of runs, such as runs/lstm runs/gru.", metavar="RUN...")],
    out: Annotated[
        Path, typer.Option(help="The page of a comparison; one run has its report in its own folder.")
    ] = Path("compare.html"),
    data_dir: Annotated[
        Path | None, typer.Option(help="Where the data of the run is; otherwise $EDGE_DATA, otherwise a cache folder.")
    ] = None,
) -> None:
    """Compare runs side by side, or make the report of one again."""
    from edge_train.report import writing

    if len(runs) == 1:
        typer.echo(f"report: {writing.remake(runs[0], data_dir)}")
        return
    for line in writing.compare(runs, out):
        typer.echo(line)
    typer.echo(f"page: {out}")
