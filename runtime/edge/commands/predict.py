"""`edge predict`: pictures in, a line each out."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO

import typer

from edge import pictures, shipped
from edge.commands.options import JsonOption, ProviderChoice, ProviderOption
from edge.errors import NoDigitError, PictureError, SeveralDigitsError
from edge.table import printable

if TYPE_CHECKING:
    from edge.classifier import Prediction
    from edge.commands.show_steps import Storyboards

REJECTED = "  rejected: it looks like no digit"
MAX_NAME_COLUMNS = 60  # longer paths push their own line only


def predict(
    images: Annotated[list[str], typer.Argument(help="Files, folders, patterns, or - for the standard input.")],
    *,
    model: Annotated[str, typer.Option(help="A shipped bundle, or the path of one.")] = shipped.DEFAULT,
    provider: ProviderOption = ProviderChoice.AUTO,
    top: Annotated[int | None, typer.Option(min=1, help="Show the K most probable labels.", metavar="K")] = None,
    as_json: JsonOption = False,
    show: Annotated[bool, typer.Option("--show", help="Draw each picture as the model sees it.")] = False,
    show_steps: Annotated[
        Path | None,
        typer.Option(help="Draw each picture's way to its label: OUT.png, or a folder for a file each.", metavar="OUT"),
    ] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads inside one operator.")] = None,
) -> None:
    """Say what pictures show, a line each.

    A picture that cannot be read, is blank or shows several digits is told, the others are still classified, and the
    exit code is 1.
    """
    if as_json and show:
        raise typer.BadParameter("--show draws for people, --json prints for programs: choose one.")
    from edge import picture
    from edge.classifier import load

    classifier = load(model, provider=provider.literal, threads=threads)
    if provider is ProviderChoice.AUTO and not as_json:
        typer.echo(f"{classifier.manifest.name} on {classifier.provider}: {classifier.provider_reason}", err=True)
    found = list(pictures.expand(images))
    width = min(max(len(printable(each.path)) for each in found), MAX_NAME_COLUMNS)
    boards = _storyboards(show_steps)
    failed = False
    for each in found:
        try:
            source = _source(each) if boards is None else _lasting(_source(each))
            image = picture.read_digit(source)
        except PictureError as error:
            failed = True
            if as_json:
                typer.echo(json.dumps({"path": each.path, "error": str(error), **_count(error)}))
            else:
                typer.echo(f"edge: {printable(str(error))}", err=True)
            continue
        prediction = classifier.predict_image(image)
        ranked = prediction.top(top or 1)
        if boards is not None:
            boards.add(each.path, source, prediction.top(len(prediction.probabilities)), *_note(prediction))
        if as_json:
            record: dict[str, Any] = {
                "path": each.path,
                "label": prediction.label,
                "confidence": prediction.confidence,
                "probabilities": prediction.probabilities if top is None else dict(ranked),
                "model": prediction.model,
                "provider": prediction.provider,
                "rejected": prediction.rejected,
                "score": prediction.score,
            }
            typer.echo(json.dumps(record))
            continue
        answers = "  ".join(f"{label} {probability:.3f}" for label, probability in ranked)
        doubt = REJECTED if prediction.rejected else ""
        typer.echo(f"{printable(each.path):<{width}}  {answers}{doubt}")
        if show:
            typer.echo(picture.to_terminal(image, unicode=_shows_blocks()))
    if boards is not None:
        boards.finish()
    if failed:
        raise typer.Exit(1)


def _source(each: pictures.Found) -> str | BinaryIO:
    if each.problem is not None:
        raise each.problem
    return sys.stdin.buffer if each.path == pictures.STANDARD_INPUT else each.path


def _storyboards(out: Path | None) -> "Storyboards | None":
    if out is None:
        return None
    from edge.commands.show_steps import Storyboards

    return Storyboards(out)


def _note(prediction: "Prediction") -> list[str]:
    """What the strip says instead of its usual sentence."""
    return ["Rejected: what the model sees looks like no digit."] if prediction.rejected else []


def _count(error: PictureError) -> dict[str, int]:
    """How many digits there are, where that is the problem."""
    return {"digits": error.digits} if isinstance(error, NoDigitError | SeveralDigitsError) else {}


def _lasting(source: str | BinaryIO) -> str | bytes:
    """The source in a form that can be read twice."""
    return source if isinstance(source, str) else source.read()


def _shows_blocks() -> bool:
    """Whether the output can encode the half blocks that a picture is drawn with."""
    try:
        "\u2580\u2584\u2588".encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
