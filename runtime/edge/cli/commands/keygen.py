"""`edge keygen`: a key to sign bundles with."""

from pathlib import Path
from typing import Annotated

import typer

from edge.bundle import signature
from edge.text.terminal import printable


def keygen(
    file: Annotated[
        Path,
        typer.Argument(help="Where the private key goes; the public one goes beside it, with .pub behind its name."),
    ],
) -> None:
    """Make a key to sign bundles with.

    The private key stays with who signs. The public one goes to the devices, where it says whose bundles are trusted.
    """
    key = signature.write_new_key(file)
    typer.echo(f"{printable(str(file))}: private key; keep it secret, and keep a copy of it")
    typer.echo(f"{printable(str(file))}{signature.PUBLIC_SUFFIX}: public key {key}")
