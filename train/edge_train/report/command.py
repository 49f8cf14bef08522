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
    from edge.text.table import aligned
    from edge.text.terminal import shortened
    from edge_train.report import comparison, comparison_page, document, remaking
    from edge_train.training import checkpoint

    if len(runs) == 1:
        typer.echo(f"report: {remaking.remake(runs[0], data_dir)}")
        return
    documents = [document.read(run) for run in runs]
    table = comparison.of(documents, comparison.names_of(documents, runs))
    typer.echo("\n".join(aligned([table.columns, *([row[0], *map(shortened, row[1:])] for row in table.rows)])))
    checkpoint.write(out, comparison_page.of(table, documents).encode())
    typer.echo(f"page: {out}")
