"""`edge predict`: pictures in, a line each out; `edge merge`: the lines of a run put together; `edge explain`: why."""

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO

import typer

from edge.batch.run import PART_ROWS, Counts, Listing, Pace, RunOptions, Selection, parse_shard, shards
from edge.bundle import shipped
from edge.bundle.input import DIGITS
from edge.cli.arguments import (
    EngineChoice,
    FormChoice,
    FromOption,
    ImagesArgument,
    JsonOption,
    NullOption,
    ProviderOption,
    ProviderSettings,
    check_suffix,
    listing_of,
    provider_settings,
)
from edge.errors import InputError, PictureError
from edge.picture import paths
from edge.text.files import write_atomically
from edge.text.terminal import ProgressBar, image_as_text, printable, shows_blocks

if TYPE_CHECKING:
    from edge.bundle.bundle import Bundle
    from edge.classifier.answers import Answer
    from edge.classifier.prediction import Prediction
    from edge.picture.luminance import Prepared
    from edge.picture.steps import StepStrips

MAX_NAME_COLUMNS = 60  # longer paths push their own line only


def predict(
    images: ImagesArgument = None,
    *,
    listed: FromOption = None,
    null: NullOption = False,
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
    out: Annotated[
        Path | None,
        typer.Option(help="Write the rows into this folder, in parts; the same command goes on.", metavar="DIR"),
    ] = None,
    form: Annotated[FormChoice, typer.Option("--format", help="Of the parts.")] = FormChoice.JSONL,
    part_rows: Annotated[int, typer.Option(min=1, help="Pictures in a part.")] = PART_ROWS,
    engine: Annotated[
        EngineChoice | None, typer.Option(help="Read on a Ray cluster; with --out.", show_default=False)
    ] = None,
    address: Annotated[
        str | None, typer.Option(help="Of the cluster; Ray is started here without.", metavar="ADDRESS")
    ] = None,
    actors: Annotated[int | None, typer.Option(min=1, help="Of the cluster; one for each of its CPUs without.")] = None,
    shard: Annotated[
        str | None, typer.Option(help="Only the third of 16 shards; each picture is in one of them.", metavar="3/16")
    ] = None,
) -> None:
    """Say what pictures show, a line each.

    A picture that cannot be read, is blank or shows several digits is told, the others are still classified, and the
    exit code is 1. With --out errors are rows like others, and a line at the end counts them.
    """
    if as_json and show:
        raise typer.BadParameter("--show draws for people, --json prints for programs: choose one.")
    _refuse_mixed(out, form, top, engine, draws=show or show_steps is not None, of_engine=(address, actors))
    which = (1, 1) if shard is None else parse_shard(shard)
    from edge.classifier.answers import answers, json_line
    from edge.classifier.classifier import load
    from edge.session import cpu

    options = None if out is None else RunOptions(out, *which, form.literal, part_rows, top)
    if engine is not None and options is not None:
        read_parts, source = _on_ray(model, provider, address, actors)
        _write(source, listing_of(images, listed, null=null), images, options, read_parts, as_json=as_json)
        return
    settings = provider_settings(provider_option, provider)
    classifier = load(model, provider=provider, threads=threads, provider_options=settings)
    classifier.manifest.check_pictures()
    if provider == "auto" and not as_json:
        typer.echo(f"{classifier.manifest.name} on {classifier.provider}: {classifier.provider_reason}", err=True)
    listing = listing_of(images, listed, null=null)
    if options is not None:
        from edge.batch import job

        read_parts = partial(job.read, classifier, workers=threads or cpu.allowed())
        _write(classifier.bundle, listing, images, options, read_parts, as_json=as_json)
        return
    found = listing if shard is None else Selection(listing, shards(listing, which[1])[which[0] - 1])
    width = 0 if as_json else min(max((len(printable(each.path)) for each in found), default=0), MAX_NAME_COLUMNS)
    strips = _strips(show_steps)
    typed: list[bytes] | None = None if strips is None else []  # strips read a picture again
    bar, pace = ProgressBar(), Pace()
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
        bar.show(done, (pace.figure(done),))
    bar.clear()
    if strips is not None:
        strips.finish()
    if failed:
        raise typer.Exit(1)


def _refuse_mixed(
    out: Path | None,
    form: FormChoice,
    top: int | None,
    engine: EngineChoice | None,
    *,
    draws: bool,
    of_engine: tuple[str | int | None, ...],
) -> None:
    """Raises where options do not go together.

    Raises:
        typer.BadParameter: they do not.
    """
    if out is not None and draws:
        raise typer.BadParameter("--out writes rows and draws nothing: leave --show and --show-steps.")
    if form is FormChoice.PARQUET and (out is None or top is not None):
        raise typer.BadParameter("--format parquet is for --out, and has all labels: leave --top.")
    if engine is not None and out is None:
        raise typer.BadParameter("--engine ray writes into a folder: name one with --out.")
    if engine is None and any(option is not None for option in of_engine):
        raise typer.BadParameter("--address and --actors are about --engine ray.")


def _on_ray(
    model: str, provider: str, address: str | None, actors: int | None
) -> "tuple[Callable[..., Counts], Bundle]":
    """What reads parts on a cluster, and the bundle that it does so with: this process needs no session of it."""
    from edge.batch import job
    from edge.bundle import bundle, signature

    source = bundle.read(shipped.locate(model), trusted=signature.public_keys(None))
    source.manifest.check_pictures()
    where = "cpu" if provider == "auto" else provider
    return partial(job.read_on_ray, source, address=address, provider=where, actors=actors), source


def _write(
    bundle: "Bundle",
    listing: Listing,
    images: list[str] | None,
    options: RunOptions,
    read_parts: "Callable[..., Counts]",
    *,
    as_json: bool,
) -> None:
    """Writes the rows into a folder, and says what became of the pictures."""
    from edge.batch import job

    bar = ProgressBar()
    with job.opened(bundle, listing, images or ["--from"], options) as run:
        pace = Pace()
        bar.begin(run.left)
        counts = read_parts(run, tell=lambda done: bar.show(done, (pace.figure(done),)))
        bar.clear()
        told = pace.outcome(counts, run.before)
    typer.echo(told.json_line() if as_json else f"{told.line()}; {options.folder}")


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


def _read(typed: list[bytes] | None, block: Sequence[paths.Found]) -> "list[Prepared | PictureError]":
    """The images of a block of pictures, or what is wrong with them; keeps what is typed, if it is given a place."""
    from edge.batch import inputs

    def standard_input() -> bytes | BinaryIO:
        if typed is None:
            return sys.stdin.buffer
        typed.append(sys.stdin.buffer.read())
        return typed[-1]

    return inputs.read_digits(block, standard_input)


def _draw(strips: "StepStrips", block: Sequence["Answer"], typed: Sequence[bytes]) -> None:
    """A strip for each picture that has an answer."""
    for answer in block:
        if (prediction := answer.prediction) is not None:
            source = typed[0] if answer.path == paths.STANDARD_INPUT else answer.path
            strips.add(answer.path, source, prediction.top(len(prediction.probabilities)), *_note(prediction))


def _strips(out: Path | None) -> "StepStrips | None":
    if out is None:
        return None
    from edge.picture.steps import StepStrips

    return StepStrips(out)


def _note(prediction: "Prediction") -> list[str]:
    """What the strip says instead of its usual sentence."""
    return [f"Rejected: what the model sees looks like {rejected_as(prediction)}."] if prediction.rejected else []


def explain(
    source: Annotated[
        str, typer.Argument(metavar="PICTURE", help="A picture of one digit, or - for the standard input.")
    ],
    *,
    model: Annotated[str, typer.Option(help="A shipped bundle, or the path of one.")] = shipped.DEFAULT,
    out: Annotated[Path | None, typer.Option(help="Draw the explanation: OUT.png.", metavar="OUT")] = None,
    gif: Annotated[
        Path | None, typer.Option(help="Reveal the rows one by one: OUT.gif; recurrent models only.", metavar="OUT")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show why a model reads a picture as it does.

    A recurrent model reads row by row: what it believes after each row, and the row after which its answer no longer
    changes. Any other model: how far the answer falls while a patch of background hides a part of the digit.
    """
    check_suffix(out, ".png", "--out")
    check_suffix(gif, ".gif", "--gif")
    from edge.classifier.classifier import load
    from edge.explanation import explain_image
    from edge.explanation.belief import is_recurrent
    from edge.picture import preprocessing

    classifier = load(model, provider="cpu")
    if gif is not None and not is_recurrent(classifier.manifest):
        raise InputError(f"{classifier.manifest.name} does not read row by row; leave --gif away, --out draws its map")
    classifier.manifest.check_pictures()
    seen = preprocessing.read_digit(sys.stdin.buffer if source == paths.STANDARD_INPUT else source)
    found = explain_image(seen.image, classifier, Path(source).name, seen.likeness)
    if out is not None:
        write_atomically(out, found.png(), "the picture")
    if gif is not None:
        write_atomically(gif, found.gif(), "the animation")
    if as_json:
        typer.echo(json.dumps({"path": source, **found.record()}))
        return
    prediction = found.prediction
    rejected = f"  rejected: it looks like {rejected_as(prediction)}" if prediction.rejected else ""
    typer.echo(f"{printable(source)}  {printable(prediction.label)} {prediction.confidence:.3f}{rejected}")
    for line in found.lines(unicode=shows_blocks()):
        typer.echo(printable(line))


def merge(
    folders: Annotated[
        list[Path], typer.Argument(metavar="DIR...", help="What `edge predict --out` wrote; all folders of one run.")
    ],
    *,
    out: Annotated[
        Path | None, typer.Option(help="Write all rows into this file, shard after shard.", metavar="FILE")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Check that a run is complete, and put its parts together.

    Every part of every shard has to be there with all of its rows; else it says what to run again, and the exit code
    is 1.
    """
    from edge.batch import parts

    bar = ProgressBar()
    bar.begin(sum(parts.read(folders[0]).shards))
    counts = parts.merge(folders, out, bar.show)
    bar.clear()
    typer.echo(json.dumps(asdict(counts)) if as_json else f"{counts.line()}; {out or 'complete'}")
