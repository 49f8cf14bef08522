"""`edge read`: every digit of a page, line by line."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge.batch import inputs
from edge.batch.run import Pace
from edge.bundle import shipped
from edge.cli.arguments import (
    FromOption,
    ImagesArgument,
    JsonOption,
    NullOption,
    ProviderOption,
    ProviderSettings,
    listing_of,
    provider_settings,
)
from edge.errors import NoDigitError, PictureError
from edge.picture.paths import Found
from edge.text.files import make_folder, write_atomically
from edge.text.terminal import ProgressBar, printable

if TYPE_CHECKING:
    from PIL import Image

    from edge.classifier.classifier import Classifier
    from edge.classifier.page import Page

SUFFIX = ".png"


def read(
    images: ImagesArgument = None,
    *,
    listed: FromOption = None,
    null: NullOption = False,
    model: Annotated[str, typer.Option(help="A shipped bundle, or the path of one.")] = shipped.DEFAULT,
    provider: ProviderOption = "auto",
    provider_option: ProviderSettings = None,
    out: Annotated[
        Path | None, typer.Option(help="Draw what was read: OUT.png for one picture, or a folder.", metavar="OUT")
    ] = None,
    as_json: JsonOption = False,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads inside one operator.")] = None,
) -> None:
    """Read every digit of pictures, line by line, from left to right.

    Each line of digits is a line: the picture, the digits, and the confidence of the least certain one. What looks
    written and is not read is told beside it. A picture that cannot be read or is blank is told, the others are still
    read, and the exit code is 1.
    """
    found = listing_of(images, listed, null=null)
    if out is not None and out.suffix.lower() == SUFFIX and len(found) > 1:
        raise typer.BadParameter(f"{out} can hold one picture, and there are {len(found)}; name a folder.")
    from edge.classifier.classifier import load

    settings = provider_settings(provider_option, provider)
    classifier = load(model, provider=provider, threads=threads, provider_options=settings)
    classifier.manifest.check_pictures()
    failed = False
    bar, pace = ProgressBar(), Pace()
    bar.begin(len(found))
    for number, each in enumerate(found, 1):
        bar.show(number - 1, (pace.figure(number - 1),))
        try:
            drawn, page = _read(each, classifier, draws=out is not None)
        except PictureError as error:
            failed = True
            bar.clear()
            if as_json:
                typer.echo(json.dumps({"path": each.path, "error": str(error)}))
            else:
                typer.echo(f"edge: {printable(str(error))}", err=True)
            continue
        if sys.stdout.isatty():  # a line is about to be printed where the bar is
            bar.clear()
        typer.echo(_record(each.path, page, classifier) if as_json else _lines(each.path, page))
        if page.warning and not as_json:
            typer.echo(f"edge: {printable(each.path)}: {page.warning}; look at it with --out", err=True)
        if out is not None and drawn is not None:
            _write(drawn, out if out.suffix.lower() == SUFFIX else out / f"{number:03}-{Path(each.path).stem}{SUFFIX}")
    bar.clear()
    if failed:
        raise typer.Exit(1)


def _read(each: Found, classifier: "Classifier", *, draws: bool) -> "tuple[Image.Image | None, Page]":
    from edge.classifier.page import annotate, read_grey_page
    from edge.picture import preprocessing

    (source,) = inputs.sources([each], lambda: sys.stdin.buffer)
    if isinstance(source, PictureError):
        raise source
    try:
        grey = preprocessing.luminance(source, enough_pixels=preprocessing.EVERY_PIXEL)
    except PictureError as error:
        told = inputs.named(error, each.path) if isinstance(source, bytes) else error
        raise told from error.__cause__
    page = read_grey_page(grey, classifier)
    if not page.lines:
        raise NoDigitError(each.path, len(page.unread))
    return annotate(grey, page) if draws else None, page


def _lines(path: str, page: "Page") -> str:
    """A line of text for each line of digits."""
    name = printable(path)
    return "\n".join(
        f"{name}  {printable(line.text)}  {min(digit.confidence for digit in line.digits):.3f}" for line in page.lines
    )


def _record(path: str, page: "Page", classifier: "Classifier") -> str:
    facts = {
        "lines": page.record(),
        "unread": page.unread_record(),
        "model": classifier.manifest.name,
        "provider": classifier.provider,
    }
    return json.dumps({"path": path, **facts})


def _write(drawn: "Image.Image", path: Path) -> None:
    from edge import drawing

    make_folder(path.parent)
    write_atomically(path, drawing.png(drawn), "the picture")
