"""`edge keygen` and `edge sign`: a key, and who vouches for a bundle by it."""

from pathlib import Path
from typing import Annotated

import typer

from edge.bundle import bundle, shipped, signature
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
