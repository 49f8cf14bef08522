"""`edge sign`: says in a bundle who vouches for it."""

from pathlib import Path
from typing import Annotated

import typer

from edge.bundle import bundle, shipped, signature
from edge.text.terminal import printable


def sign(
    source: Annotated[str, typer.Argument(metavar="BUNDLE", help="Path of a bundle, or the name of a shipped one.")],
    key: Annotated[Path, typer.Option(metavar="FILE", help="The private key, as `edge keygen` wrote it.")],
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Where the signed bundle goes. By default, it takes its place.")
    ] = None,
) -> None:
    """Sign a bundle.

    An older signature is replaced. Nothing else in the file changes but its digest.
    """
    path = shipped.locate(source)
    if out is None and path.parent == shipped.FOLDER:
        raise typer.BadParameter(
            f"{source} came with edge, and stays as it is; say where the signed copy goes, with --out"
        )
    signed = bundle.signed(bundle.read(path), signature.read_private_key(key))
    target = out or path
    bundle.write(target, signed.data)
    assert signed.seal is not None
    typer.echo(f"{printable(str(target))}: signed by {signed.seal.key}")
    typer.echo(f"check it with: edge verify {printable(str(target))} --key {signed.seal.key}")
