"""Options that several commands share, so that they read the same everywhere."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from edge.batch.options import Form
from edge.errors import InputError
from edge.session import providers


def known_provider(name: str) -> str:
    """Refuses a word that names no provider.

    Raises:
        typer.BadParameter: there is none.
        RuntimeMissingError: only ONNX Runtime could know it, and it is missing.
    """
    try:
        providers.check(name)
    except InputError as error:
        raise typer.BadParameter(str(error)) from error
    return name


def provider_settings(options: list[str] | None, provider: str) -> dict[str, str]:
    """The settings of a provider, from words such as "device_type=GPU"; of two for the same key the last holds.

    Args:
        options: as they were typed.
        provider: which they are for.

    Raises:
        typer.BadParameter: a word without a key or without "=", or settings for a provider that takes none.
    """
    settings = {}
    for option in options or []:
        key, separator, value = option.partition("=")
        if not key.strip() or not separator:
            raise typer.BadParameter(f"--provider-option {option!r} is no setting; write KEY=VALUE")
        settings[key.strip()] = value
    try:
        providers.check(provider, settings)
    except InputError as error:
        raise typer.BadParameter(str(error)) from error
    return settings


class EngineChoice(StrEnum):
    """Who hands out the parts of a run."""

    RAY = "ray"


class FormChoice(StrEnum):
    """How rows are written."""

    JSONL = "jsonl"
    PARQUET = "parquet"

    @property
    def literal(self) -> Form:
        """The same choice as the library types it."""
        choices: dict[FormChoice, Form] = {FormChoice.JSONL: "jsonl", FormChoice.PARQUET: "parquet"}
        return choices[self]


ProviderOption = Annotated[
    str,
    typer.Option(
        help="Where to run: auto takes CUDA where it works, and the CPU elsewhere; cpu, cuda, or any other that this "
        "ONNX Runtime has, such as openvino, means that one or an error.",
        metavar="NAME",
        callback=known_provider,
    ),
]
ProviderSettings = Annotated[
    list[str] | None,
    typer.Option(
        "--provider-option",
        help="A setting of that provider, as ONNX Runtime names it, such as device_type=GPU. May be repeated.",
        metavar="KEY=VALUE",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for other programs.")]


def check_suffix(path: Path | None, suffix: str, option: str) -> None:
    """Refuses a file of another name than what an option writes, such as ".png".

    Raises:
        typer.BadParameter: the name ends in something else.
    """
    if path is not None and path.suffix.lower() != suffix:
        raise typer.BadParameter(f"{option} writes a {suffix[1:].upper()}; name a file that ends in {suffix}")
