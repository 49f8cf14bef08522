"""`edge predict`: pictures in, a line each out."""

import json
import sys
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Annotated, BinaryIO

import typer

from edge import pictures, shipped
from edge.commands.options import JsonOption, ProviderChoice, ProviderOption
from edge.table import printable

if TYPE_CHECKING:
    from edge import picture
    from edge.answers import Answer
    from edge.classifier import Prediction
    from edge.errors import PictureError

MAX_NAME_COLUMNS = 60  # longer paths push their own line only

_FLOAT32 = ".9g"  # nine digits tell any two float32 values apart
_quoted = cache(json.dumps)  # labels and names, which repeat in every line


def predict(
    images: Annotated[list[str], typer.Argument(help="Files, folders, patterns, or - for the standard input.")],
    *,
    model: Annotated[str, typer.Option(help="A shipped bundle, or the path of one.")] = shipped.DEFAULT,
    provider: ProviderOption = ProviderChoice.AUTO,
    top: Annotated[int | None, typer.Option(min=1, help="Show the K most probable labels.", metavar="K")] = None,
    as_json: JsonOption = False,
    show: Annotated[bool, typer.Option("--show", help="Draw each picture as the model sees it.")] = False,
    threads: Annotated[int | None, typer.Option(min=1, help="Cores to use at most; all without.")] = None,
) -> None:
    """Say what pictures show, a line each.

    A picture that cannot be read is told, the others are still classified, and the exit code is 1.
    """
    if as_json and show:
        raise typer.BadParameter("--show draws for people, --json prints for programs: choose one.")
    from edge import cpu
    from edge.answers import answers
    from edge.classifier import load
    from edge.progress import Bar

    classifier = load(model, provider=provider.literal, threads=threads)
    if provider is ProviderChoice.AUTO and not as_json:
        typer.echo(f"{classifier.manifest.name} on {classifier.provider}: {classifier.provider_reason}", err=True)
    found = list(pictures.expand(images))
    width = 0 if as_json else min(max(len(printable(each.path)) for each in found), MAX_NAME_COLUMNS)
    bar = Bar(len(found))
    done, failed = 0, False
    for block in answers(classifier, found, _read, workers=threads or cpu.allowed()):
        broken = any(each.error is not None for each in block)
        if sys.stdout.isatty() or (broken and not as_json):  # lines are about to be printed where the bar is
            bar.clear()
        if as_json:
            typer.echo("\n".join(_record(each, top) for each in block))
        else:
            _tell(block, top or 1, width, show=show)
        done += len(block)
        failed = failed or broken
        bar.show(done)
    bar.clear()
    if failed:
        raise typer.Exit(1)


def _record(answer: "Answer", top: int | None) -> str:
    """One line of JSON; json.dumps takes four times as long, for digits that a float32 does not have."""
    prediction = answer.prediction
    if prediction is None:
        return json.dumps({"path": answer.path, "error": str(answer.error)})
    shares = prediction.probabilities.items() if top is None else prediction.top(top)
    probabilities = ", ".join([f"{_quoted(label)}: {share:{_FLOAT32}}" for label, share in shares])
    return (
        f'{{"path": {json.dumps(answer.path)}, "label": {_quoted(prediction.label)}, '
        f'"confidence": {prediction.confidence:{_FLOAT32}}, "probabilities": {{{probabilities}}}, '
        f'"model": {_quoted(prediction.model)}, "provider": {_quoted(prediction.provider)}}}'
    )


def _tell(block: Sequence["Answer"], top: int, width: int, *, show: bool) -> None:
    """The lines for people, each on its stream."""
    from edge import picture

    for answer in block:
        if answer.prediction is None or answer.image is None:
            typer.echo(f"edge: {printable(str(answer.error))}", err=True)
            continue
        typer.echo(f"{printable(answer.path):<{width}}  {_shares(answer.prediction, top)}")
        if show:
            typer.echo(picture.to_terminal(answer.image, unicode=_shows_blocks()))


def _shares(prediction: "Prediction", top: int) -> str:
    return "  ".join(f"{label} {probability:.3f}" for label, probability in prediction.top(top))


def _read(block: Sequence[pictures.Found]) -> "list[picture.Bytes | PictureError]":
    """The images of a block of pictures, or what is wrong with them."""
    from edge import picture

    images = iter(picture.read_many([_source(each) for each in block if each.problem is None]))
    return [next(images) if each.problem is None else each.problem for each in block]


def _source(each: pictures.Found) -> str | BinaryIO:
    return sys.stdin.buffer if each.path == pictures.STANDARD_INPUT else each.path


def _shows_blocks() -> bool:
    """Whether the output can encode the half blocks that a picture is drawn with."""
    try:
        "\u2580\u2584\u2588".encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
