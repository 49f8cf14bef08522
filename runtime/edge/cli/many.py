"""What `edge predict` and `edge read` share: which pictures are meant."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated

import typer

from edge.batch import inputs
from edge.batch.listing import Listing, lines_of
from edge.errors import EdgeError
from edge.picture.paths import STANDARD_INPUT
from edge.text.progress import ProgressBar

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


def listing_of(images: list[str] | None, listed: Path | None, *, null: bool) -> Listing:
    """The pictures that a command is asked for; says on a terminal how many were found so far.

    Args:
        images: its arguments.
        listed: a file with more of them.
        null: whether its entries end with zero bytes.

    Raises:
        typer.BadParameter: no pictures are asked for.
        EdgeError: the list cannot be read, or names none.
    """
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
