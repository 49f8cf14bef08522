"""What commands share, so that it reads the same everywhere: options, and which pictures are meant."""

import sys
from collections.abc import Callable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge.errors import EdgeError, InputError
from edge.text.terminal import ProgressBar

if TYPE_CHECKING:
    from edge.batch.run import Form, Listing


def known_provider(name: str) -> str:
    """Refuses a word that names no provider.

    Raises:
        typer.BadParameter: there is none.
        RuntimeMissingError: only ONNX Runtime could know it, and it is missing.
    """
    from edge.session import providers  # not for the help

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
    from edge.session import providers

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
    def literal(self) -> "Form":
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


_CHUNK_BYTES = 1 << 20

ImagesArgument = Annotated[
    list[str] | None,
    typer.Argument(
        help="Files, folders with all that is in them, patterns, tar and Parquet files, addresses such as "
        "s3://bucket/digits/, or - for the standard input.",
        show_default=False,
    ),
]
FromOption = Annotated[
    Path | None,
    typer.Option(
        "--from", help="A file with a path or address on each line; - for the standard input.", metavar="LIST"
    ),
]
NullOption = Annotated[
    bool, typer.Option("-0", "--null", help="Zero bytes end the entries of --from, as find -print0.")
]


def listing_of(images: list[str] | None, listed: Path | None, *, null: bool) -> "Listing":
    """The pictures that a command is asked for; says on a terminal how many were found so far.

    Args:
        images: its arguments.
        listed: a file with more of them.
        null: whether its entries end with zero bytes.

    Raises:
        typer.BadParameter: no pictures are asked for.
        EdgeError: the list cannot be read, or names none.
    """
    from edge.batch import inputs
    from edge.batch.run import Listing, lines_of
    from edge.picture.paths import STANDARD_INPUT

    arguments = images or []
    if not arguments and listed is None:
        raise typer.BadParameter("name pictures, or a list of them with --from.", param_hint="IMAGES")
    if null and listed is None:
        raise typer.BadParameter("--null is about the list of --from, which is missing.")
    if listed is not None and str(listed) == STANDARD_INPUT and STANDARD_INPUT in arguments:
        raise typer.BadParameter("the standard input is a picture or a list, not both.")
    bar = ProgressBar()
    bar.begin(0, "finding pictures")
    entries = () if listed is None else lines_of(_chunks(listed), b"\0" if null else b"\n")
    found = Listing(inputs.expand(arguments, entries), bar.show)
    bar.clear()
    if not found:
        raise EdgeError(f"the list {listed} names no picture; write a path on each line")
    return found


def _chunks(listed: Path) -> Iterator[bytes]:
    from edge.picture.paths import STANDARD_INPUT

    try:
        if str(listed) == STANDARD_INPUT:
            yield from iter(_reading(sys.stdin.buffer.read), b"")
        else:
            with listed.open("rb") as file:
                yield from iter(_reading(file.read), b"")
    except OSError as error:
        raise EdgeError(f"the list {listed} cannot be read: {error.strerror}; check its path") from error


def _reading(read: Callable[[int], bytes]) -> Callable[[], bytes]:
    return lambda: read(_CHUNK_BYTES)
