"""`edge merge`: are all parts of all shards there; and all rows in one file."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from edge.cli.arguments import JsonOption
from edge.text.terminal import ProgressBar


def merge(
    folders: Annotated[
        list[Path], typer.Argument(metavar="DIR...", help="What `edge predict --out` wrote; all folders of one run.")
    ],
    *,
    out: Annotated[
        Path | None, typer.Option(help="Write all rows into this file, shard after shard.", metavar="FILE")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Check that a run is complete, and put its parts together.

    Every part of every shard has to be there with all of its rows; else it says what to run again, and the exit code
    is 1.
    """
    from edge.batch import parts

    bar = ProgressBar()
    bar.begin(sum(parts.read(folders[0]).shards))
    counts = parts.merge(folders, out, bar.show)
    bar.clear()
    typer.echo(json.dumps(asdict(counts)) if as_json else f"{counts.line()}; {out or 'complete'}")
