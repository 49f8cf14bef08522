"""`edge models`: what is shipped, and what can be trained."""

from collections.abc import Callable
from importlib.metadata import entry_points
from typing import Annotated

import typer

from edge.bundle import bundle, shipped
from edge.bundle.bundle import Bundle
from edge.cli import extras
from edge.cli.commands.info import describe
from edge.errors import BundleError, BundleNotFoundError, EdgeError
from edge.text.table import aligned, size
from edge.text.terminal import printable

GROUP = "edge.models"
"""Entry points of this group tell about trainable models: `name or None -> text`; no upper layer is imported."""

Describe = Callable[[str | None], str]


def models(
    name: Annotated[str | None, typer.Argument(help="A model or a bundle, to see all of it.")] = None,
) -> None:
    """List shipped and trainable models.

    With a name: all about that bundle, the layers of that model and its shipped bundles.
    """
    is_bundle = name is not None and name in shipped.names()
    if name is not None and is_bundle:
        for line in aligned(describe(bundle.read(shipped.locate(name)))):
            typer.echo(printable(line))
        typer.echo()
    rows = shipped_rows(name)
    if rows:
        typer.echo("shipped bundles:")
        for line in aligned([("  name", "precision", "size", "accuracy"), *rows]):
            typer.echo(printable(line))
    elif name is None:
        typer.echo("no bundles are shipped with this installation", err=True)
    if not _trainable(name, known=bool(rows) or is_bundle):
        typer.echo("the trainable models are listed after: pip install 'edge-toolkit[train]'", err=True)
        if name is not None and not rows and not is_bundle:
            known = ", ".join(shipped.names()) or "none"
            raise BundleNotFoundError(f"no shipped bundle is a {name!r}; the shipped ones are: {known}")


def shipped_rows(model: str | None) -> list[tuple[str, str, str, str]]:
    """A row for each shipped bundle, or for those of one model."""
    rows = []
    for name in shipped.names():
        try:
            found = bundle.read(shipped.locate(name))
        except BundleError as error:
            rows.append((f"  {name}", "?", "?", str(error)))
            continue
        if model in {None, found.manifest.model}:
            rows.append((f"  {name}", found.manifest.precision, size(found.size), _accuracy(found)))
    return rows


def _accuracy(found: Bundle) -> str:
    own = [each for each in found.manifest.accuracy if each.of == "bundle"]
    return ", ".join(f"{each.accuracy:.2%} {each.data} {each.split}" for each in own) or "not measured"


def _trainable(name: str | None, *, known: bool) -> bool:
    """Prints what the upper layers tell; False when none is installed."""
    answered = False
    for point in entry_points(group=GROUP):
        try:
            tell: Describe = point.load()
            text = tell(name)
        except ModuleNotFoundError as error:
            if extras.explain("train", error) is None:
                raise
            continue
        except EdgeError:
            # The name is no trainable model: no error if it is a shipped one.
            if not known:
                raise
            return True
        typer.echo(text)
        answered = True
    return answered
