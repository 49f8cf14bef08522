"""Pictures of the test split with the answers they were given."""

from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from edge import charts

TILE_INCHES = 0.85
GAP = 0.12  # between two pictures, in widths of a picture
LINE = 0.17  # height of a line of a caption, likewise


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
    """All on one pair of axes, because a pair for each picture takes longer to lay out than the rest of a report."""
    rows = -(-len(chosen) // columns)
    lines = 1 + max(caption.count("\n") for caption in captions)
    pitch = 1 + GAP + LINE * lines  # of a row, in widths of a picture
    width = columns * (1 + GAP)
    drawn = charts.figure(width * TILE_INCHES, rows * pitch * TILE_INCHES)
    axes = drawn.subplots()
    axes.set_axis_off()
    for place, (one, caption) in enumerate(zip(chosen, captions, strict=True)):
        row, column = divmod(place, columns)
        left, top = column * (1 + GAP) + GAP / 2, row * pitch + GAP / 2
        extent = (left, left + 1, top + 1, top)
        axes.imshow(images[one["image"]], cmap="gray_r", vmin=0, vmax=255, interpolation="none", extent=extent)
        colour = charts.INK if one["prediction"] == one["label"] else charts.ORANGE
        axes.text(left + 0.5, top + 1.04, caption, ha="center", va="top", fontsize=7.5, color=colour)
    axes.set_xlim(0, width)
    axes.set_ylim(rows * pitch, 0)
    return drawn
