"""Pictures of the test split with the answers they were given."""

from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from edge_train.report.pictures import canvas

TILE_INCHES = 0.95
CAPTION_INCHES = 0.34


def mistakes(document: dict[str, Any], images: NDArray[np.uint8]) -> Figure:
    """The most confident mistakes: truth, answer, and the confidence of the answer.

    Args:
        document: with test figures and at least one mistake.
        images: uint8 (N, rows, columns), the test split.
    """
    chosen = document["test"]["mistakes"]
    captions = [f"{one['label']} → {one['prediction']}\n{one['confidence']:.1%}" for one in chosen]
    return _sheet(chosen, captions, images, columns=5)


def samples(document: dict[str, Any], images: NDArray[np.uint8]) -> Figure:
    """Pictures drawn at random, each with its answer; a wrong one also with the truth.

    Args:
        document: with test figures.
        images: uint8 (N, rows, columns), the test split.
    """
    chosen = document["test"]["samples"]
    captions = [
        f"{one['prediction']}  {one['confidence']:.1%}"
        if one["prediction"] == one["label"]
        else f"{one['label']} → {one['prediction']}  {one['confidence']:.1%}"
        for one in chosen
    ]
    return _sheet(chosen, captions, images, columns=10)


def _sheet(chosen: list[dict[str, Any]], captions: list[str], images: NDArray[np.uint8], columns: int) -> Figure:
    rows = -(-len(chosen) // columns)
    lines = max(caption.count("\n") for caption in captions)
    height = rows * (TILE_INCHES + CAPTION_INCHES * (1 + lines) * 0.6)
    drawn = canvas.figure(columns * TILE_INCHES, height)
    panels = drawn.subplots(rows, columns, squeeze=False).flat
    for place, panel in enumerate(panels):
        panel.set_axis_off()
        if place >= len(chosen):
            continue
        one = chosen[place]
        panel.imshow(images[one["image"]], cmap="gray_r", vmin=0, vmax=255, interpolation="none")
        wrong = one["prediction"] != one["label"]
        colour = canvas.ORANGE if wrong else canvas.INK
        panel.text(
            0.5, -0.05, captions[place], ha="center", va="top", fontsize=7.5, color=colour, transform=panel.transAxes
        )
    return drawn
