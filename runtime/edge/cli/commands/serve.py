"""`edge serve`: bundles as a service."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from edge.bundle import shipped
from edge.cli.arguments import ProviderOption, ProviderSettings, provider_settings
from edge.errors import InputError

KEY_VARIABLE = "EDGE_API_KEY"


def serve(
    bundles: Annotated[
        list[str] | None, typer.Argument(help="Shipped bundles or paths; the first answers where none is named.")
    ] = None,
    *,
    host: Annotated[
        str, typer.Option(help="Address to listen on; 0.0.0.0 is every one of this machine.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8000,
    provider: ProviderOption = "auto",
    provider_option: ProviderSettings = None,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Processes that share the work.")] = 1,
    api_key_file: Annotated[
        Path | None,
        typer.Option(help=f"File with a key a line; requests must bring one. Or one key in ${KEY_VARIABLE}."),
    ] = None,
    cors: Annotated[
        list[str] | None, typer.Option(help="Another origin whose pages may call; may be given several times.")
    ] = None,
    access_log: Annotated[bool, typer.Option(help="A line of JSON for every request, on the standard output.")] = True,
    queue: Annotated[int, typer.Option(min=1, help="Tensor requests on their way at a time.")] = 512,
    body_megabytes: Annotated[int, typer.Option(min=1, help="Largest body of a request.")] = 32,
    drain_seconds: Annotated[int, typer.Option(min=1, help="For what is under way at the end.")] = 30,
) -> None:
    """Answer requests over HTTP: the Open Inference Protocol v2, picture files, and a page to draw on.

    Every bundle replays its evidence first. SIGHUP reads the bundles anew, and so does a change of a file; SIGTERM
    answers what is under way and ends.
    """
    from edge.service.server import serve as run
    from edge.service.settings import MEBIBYTE, Limits, Settings

    settings = Settings(
        tuple(Path(shipped.locate(name)) for name in bundles or [shipped.DEFAULT]),
        host=host,
        port=port,
        provider=provider,
        provider_options=provider_settings(provider_option, provider),
        workers=workers,
        api_keys=_keys(api_key_file),
        cors_origins=tuple(cors or ()),
        access_log=access_log,
        drain_seconds=drain_seconds,
        limits=Limits(
            waiting_requests=queue,
            body_bytes=body_megabytes * MEBIBYTE,
            waiting_bytes=max(Limits().waiting_bytes, 2 * body_megabytes * MEBIBYTE),  # a body, packed and unpacked
        ),
    )
    sys.exit(run(settings))


def _keys(path: Path | None) -> tuple[str, ...]:
    """The keys of the file, or that of the environment."""
    if path is None:
        key = os.environ.get(KEY_VARIABLE, "").strip()
        return (key,) if key else ()
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read: {error}; give a file with a key a line") from error
    keys = tuple(line.strip() for line in lines if line.strip())
    if not keys:
        raise InputError(f"{path} has no key; write one a line")
    return keys
