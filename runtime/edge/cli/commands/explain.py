"""`edge explain`: why a model reads a picture as it does."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from edge.bundle import shipped
from edge.cli.arguments import JsonOption, check_suffix
from edge.cli.commands.predict import rejected_as
from edge.errors import InputError
from edge.picture import paths
from edge.text.files import write_atomically
from edge.text.terminal import printable, shows_blocks

_DIGITS = 6  # of a probability in JSON


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
    from edge.explanation.belief import is_recurrent
    from edge.explanation.explanation import explain_image
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
