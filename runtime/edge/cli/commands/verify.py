"""`edge verify`: does a bundle give on this machine what it gave where it was made?"""

from typing import Annotated

import typer

from edge.bundle import shipped, signature
from edge.cli.arguments import ProviderOption, ProviderSettings, provider_settings
from edge.errors import BundleNotFoundError
from edge.text.table import aligned
from edge.text.terminal import printable


def verify(
    bundles: Annotated[list[str], typer.Argument(help="Paths of bundles, or names of shipped ones.")],
    *,
    provider: ProviderOption = "auto",
    provider_option: ProviderSettings = None,
    key: Annotated[
        list[str] | None,
        typer.Option(
            help="Public key that must have signed the bundle: a file, or 64 hexadecimal digits. May be repeated. By "
            "default, those that EDGE_TRUSTED_KEYS names."
        ),
    ] = None,
) -> None:
    """Check bundles on this machine.

    Four steps, without torch: the digest of the file, its load, where its nodes run, and its evidence.
    """
    from edge import isolation, verification

    settings = provider_settings(provider_option, provider)
    trusted = signature.public_keys(key or None)
    failed = 0
    for name in bundles:
        try:
            path = shipped.locate(name)
        except BundleNotFoundError as error:
            typer.echo(f"edge: {printable(str(error))}", err=True)
            failed += 1
            continue
        outcome = isolation.verify_apart(path, provider, trusted=trusted or None, provider_options=settings)
        typer.echo(f"{printable(name)}: {'verified' if outcome.passed else 'FAILED'}")
        for line in aligned(verification.table(outcome)):
            typer.echo(printable(line))
        failed += not outcome.passed
    if failed:
        typer.echo(f"edge: {failed} of {len(bundles)} bundles failed; the lines above say why", err=True)
        raise typer.Exit(1)
