"""`edge explain`: why a model reads a picture as it does."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edge.bundle import shipped
from edge.cli.arguments import JsonOption, check_suffix
from edge.cli.commands.predict import rejected_as
from edge.errors import InputError
from edge.picture import paths
from edge.text.files import write_atomically
from edge.text.terminal import printable, shows_blocks

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edge.classifier.classifier import Classifier, Prediction

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
    from edge.picture import preprocessing

    classifier = load(model, provider="cpu")
    by_rows = is_recurrent(classifier.manifest)
    if gif is not None and not by_rows:
        raise InputError(f"{classifier.manifest.name} does not read row by row; leave --gif away, --out draws its map")
    image = preprocessing.read_digit(sys.stdin.buffer if source == paths.STANDARD_INPUT else source)
    prediction = classifier.predict_image(image)
    if by_rows:
        _rows(source, classifier, image, prediction, out=out, gif=gif, as_json=as_json)
    else:
        _occlusion(source, classifier, image, prediction, out=out, as_json=as_json)


def _rows(
    source: str,
    classifier: "Classifier",
    image: "NDArray[np.uint8]",
    prediction: "Prediction",
    *,
    out: Path | None,
    gif: Path | None,
    as_json: bool,
) -> None:
    from edge.explanation import belief, belief_chart

    labels = classifier.labels
    beliefs = belief.rows(classifier, image)
    answer = labels.index(prediction.label)
    settled = belief.settled_row(beliefs, answer)
    chart = belief_chart.BeliefChart(Path(source).name, prediction.model, labels, image, beliefs, answer, settled)
    if out is not None:
        _write(out, belief_chart.png(chart))
    if gif is not None:
        _write(gif, belief_chart.gif(chart))
    if as_json:
        table = [[round(value, _DIGITS) for value in row] for row in beliefs.tolist()]
        _print(source, prediction, labels=list(labels), rows=table, settled_row=settled)
        return
    _headline(source, prediction)
    for line in belief.lines(image, beliefs, labels, settled, unicode=shows_blocks()):
        typer.echo(line)
    typer.echo(belief.settlement(settled, prediction.label, labels[int(beliefs[-1].argmax())]))


def _occlusion(
    source: str,
    classifier: "Classifier",
    image: "NDArray[np.uint8]",
    prediction: "Prediction",
    *,
    out: Path | None,
    as_json: bool,
) -> None:
    from edge.explanation import occlusion, occlusion_map

    found = occlusion.measure(classifier, image)
    if out is not None:
        drawn = occlusion_map.OcclusionMap(Path(source).name, prediction.model, classifier.labels, image, found)
        _write(out, occlusion_map.png(drawn))
    if as_json:
        table = [[round(value, _DIGITS) for value in row] for row in found.drop.tolist()]
        row, column = found.most
        _print(source, prediction, patch=found.patch, drop=table, most={"row": row + 1, "column": column + 1})
        return
    _headline(source, prediction)
    typer.echo(occlusion.sentence(found, classifier.labels))


def _headline(source: str, prediction: "Prediction") -> None:
    rejected = f"  rejected: it looks like {rejected_as(prediction)}" if prediction.rejected else ""
    typer.echo(f"{printable(source)}  {prediction.label} {prediction.confidence:.3f}{rejected}")


def _print(source: str, prediction: "Prediction", **facts: Any) -> None:  # noqa: ANN401
    record = {
        "path": source,
        "label": prediction.label,
        "confidence": round(prediction.confidence, _DIGITS),
        "rejected": prediction.rejected,
        "model": prediction.model,
        **facts,
    }
    typer.echo(json.dumps(record))


def _write(path: Path, content: bytes) -> None:
    write_atomically(path, content, "the picture")
