"""`edge predict`: pictures in, a line each out."""

import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO

import typer

from edge.bundle import shipped
from edge.bundle.input import DIGITS
from edge.cli.arguments import JsonOption, ProviderOption, ProviderSettings, provider_settings
from edge.errors import PictureError
from edge.picture import paths
from edge.text.terminal import image_as_text, printable, shows_blocks

if TYPE_CHECKING:
    from edge.classifier.answers import Answer
    from edge.classifier.classifier import Prediction
    from edge.cli.step_strips import StepStrips
    from edge.picture.arrays import Grey

MAX_NAME_COLUMNS = 60  # longer paths push their own line only


def predict(
    images: Annotated[list[str], typer.Argument(help="Files, folders, patterns, or - for the standard input.")],
    *,
    model: Annotated[str, typer.Option(help="A shipped bundle, or the path of one.")] = shipped.DEFAULT,
    provider: ProviderOption = "auto",
    provider_option: ProviderSettings = None,
    top: Annotated[int | None, typer.Option(min=1, help="Show the K most probable labels.", metavar="K")] = None,
    as_json: JsonOption = False,
    show: Annotated[bool, typer.Option("--show", help="Draw each picture as the model sees it.")] = False,
    show_steps: Annotated[
        Path | None,
        typer.Option(help="Draw each picture's way to its label: OUT.png, or a folder for a file each.", metavar="OUT"),
    ] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="Cores to use at most; all without.")] = None,
) -> None:
    """Say what pictures show, a line each.

    A picture that cannot be read, is blank or shows several digits is told, the others are still classified, and the
    exit code is 1.
    """
    if as_json and show:
        raise typer.BadParameter("--show draws for people, --json prints for programs: choose one.")
    from edge.classifier.answers import answers, json_line
    from edge.classifier.classifier import load
    from edge.session import cpu
    from edge.text.progress import ProgressBar

    settings = provider_settings(provider_option, provider)
    classifier = load(model, provider=provider, threads=threads, provider_options=settings)
    classifier.manifest.check_pictures()
    if provider == "auto" and not as_json:
        typer.echo(f"{classifier.manifest.name} on {classifier.provider}: {classifier.provider_reason}", err=True)
    found = list(paths.expand(images))
    width = 0 if as_json else min(max(len(printable(each.path)) for each in found), MAX_NAME_COLUMNS)
    strips = _strips(show_steps)
    typed: list[bytes] | None = None if strips is None else []  # strips read a picture again
    bar = ProgressBar()
    bar.begin(len(found))
    done, failed = 0, False
    for block in answers(classifier, found, partial(_read, typed), workers=threads or cpu.allowed()):
        broken = any(each.error is not None for each in block)
        if sys.stdout.isatty() or (broken and not as_json):  # lines are about to be printed where the bar is
            bar.clear()
        if as_json:
            typer.echo("\n".join(json_line(each, top) for each in block))
        else:
            _tell(block, top or 1, width, show=show)
        if strips is not None:
            _draw(strips, block, typed or [])
        done += len(block)
        failed = failed or broken
        bar.show(done)
    bar.clear()
    if strips is not None:
        strips.finish()
    if failed:
        raise typer.Exit(1)


def _tell(block: Sequence["Answer"], top: int, width: int, *, show: bool) -> None:
    """The lines for people, each on its stream."""
    for answer in block:
        if answer.prediction is None or answer.image is None:
            typer.echo(f"edge: {printable(str(answer.error))}", err=True)
            continue
        typer.echo(f"{printable(answer.path):<{width}}  {_shares(answer.prediction, top)}")
        if show:
            typer.echo(image_as_text(answer.image, unicode=shows_blocks()))


def _shares(prediction: "Prediction", top: int) -> str:
    shares = "  ".join(f"{printable(label)} {probability:.3f}" for label, probability in prediction.top(top))
    return shares + (f"  rejected: it looks like {rejected_as(prediction)}" if prediction.rejected else "")


def rejected_as(prediction: "Prediction") -> str:
    """What a rejected picture looks like: a bundle may have other labels than digits."""
    return "no digit" if tuple(prediction.probabilities) == DIGITS else "none of the labels"


def _read(typed: list[bytes] | None, block: Sequence[paths.Found]) -> "list[Grey | PictureError]":
    """The images of a block of pictures, or what is wrong with them; keeps what is typed, if it is given a place."""
    from edge.picture import preprocessing

    sources: list[str | bytes | BinaryIO] = []
    for each in block:
        if each.path == paths.STANDARD_INPUT and typed is not None:
            typed.append(sys.stdin.buffer.read())
            sources.append(typed[-1])
        elif each.problem is None:
            sources.append(sys.stdin.buffer if each.path == paths.STANDARD_INPUT else each.path)
    images = iter(preprocessing.read_digits(sources))
    return [next(images) if each.problem is None else each.problem for each in block]


def _draw(strips: "StepStrips", block: Sequence["Answer"], typed: Sequence[bytes]) -> None:
    """A strip for each picture that has an answer."""
    for answer in block:
        if (prediction := answer.prediction) is not None:
            source = typed[0] if answer.path == paths.STANDARD_INPUT else answer.path
            strips.add(answer.path, source, prediction.top(len(prediction.probabilities)), *_note(prediction))


def _strips(out: Path | None) -> "StepStrips | None":
    if out is None:
        return None
    from edge.cli.step_strips import StepStrips

    return StepStrips(out)


def _note(prediction: "Prediction") -> list[str]:
    """What the strip says instead of its usual sentence."""
    return [f"Rejected: what the model sees looks like {rejected_as(prediction)}."] if prediction.rejected else []
