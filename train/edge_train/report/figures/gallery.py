"""All pictures of a run, by the name of their files."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from edge import charts
from edge_train.models import specification
from edge_train.models.specification import Recurrent
from edge_train.report.figures import chain, confusion, curves, digits, reliability, unrolled

NAMES = ("course", "learning-rate", "confusion", "reliability", "mistakes", "samples", "architecture")


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture as the bytes of its two files."""

    svg: str
    png: bytes


def draw(document: dict[str, Any], images: NDArray[np.uint8] | None) -> dict[str, Picture]:
    """Draws what there is: no pictures of test figures for a run without them, no mistakes where none was made.

    Args:
        document: see `document`.
        images: uint8 (N, rows, columns), the test split; None without test figures.

    Returns:
        Pictures by name, in the order of `NAMES`.
    """
    drawers: dict[str, Callable[[], Figure]] = {
        "course": lambda: curves.course(document),
        "learning-rate": lambda: curves.learning_rate(document),
    }
    if images is not None:
        drawers["confusion"] = lambda: confusion.matrix(document)
    drawers["reliability"] = lambda: reliability.diagram(document)
    if images is not None:
        if document["test"]["mistakes"]:
            drawers["mistakes"] = lambda: digits.mistakes(document, images)
        drawers["samples"] = lambda: digits.samples(document, images)
    drawers["architecture"] = lambda: architecture(document)
    with charts.style():
        figures = {name: drawer() for name, drawer in drawers.items()}
        return {name: Picture(charts.svg(one), charts.png(one)) for name, one in figures.items()}


def architecture(document: dict[str, Any]) -> Figure:
    """The network, from its specification."""
    sizes = specification.from_json(document["settings"]["specification"])
    if isinstance(sizes, Recurrent):
        return unrolled.picture(sizes, document["labels"])
    return chain.picture(document["layers"])
