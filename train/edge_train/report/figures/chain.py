"""A convolutional network as the shapes that a picture takes on its way: a slab for each."""

import math
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, Polygon

from edge import charts
from edge_train.models.specification import COLUMNS, ROWS

# These change no shape: they are named below the layer that they follow, and get no slab of their own.
ATTACHED = {"ReLU": "ReLU", "BatchNorm2d": "BN", "Dropout": "dropout"}
SLANT = 0.35  # of the oblique edges, as a share of the side
SPACE = 1.15  # between two slabs


@dataclass(slots=True)
class Stage:
    """A shape on the way, and the words for what led to it."""

    shape: tuple[int, ...]
    words: list[str]
    weights: bool  # convolution or linear, against pooling and flattening


def picture(layers: list[dict[str, Any]]) -> Figure:
    """All shapes from the picture to the logits, with the layers between them.

    Args:
        layers: of the document, in order.
    """
    stages = stages_of(layers)
    drawn = charts.figure(max(7.0, 0.3 + 0.8 * len(stages)), 2.9)
    axes = drawn.subplots()
    axes.set_axis_off()
    x = end = 0.0
    for place, stage in enumerate(stages):
        left, right = _slab(axes, stage, x)
        if place:
            axes.add_patch(_arrow(end, left - 0.08))
        _words(axes, stage, (left + right) / 2, "input" if place == 0 else None)
        end, x = right + 0.08, right + SPACE
    axes.set_xlim(-0.6, x - SPACE + 0.9)
    axes.set_ylim(-2.3, 2.9)
    return drawn


def stages_of(layers: list[dict[str, Any]]) -> list[Stage]:
    """The shapes on the way, layers that change none attached to the one before them."""
    stages = [Stage((1, ROWS, COLUMNS), [], weights=False)]
    for layer in layers:
        kind, _, sizes = layer["kind"].partition(" ")
        if kind in ATTACHED:
            stages[-1].words.append(f"{ATTACHED[kind]} {sizes}" if kind == "Dropout" else ATTACHED[kind])
        elif kind == "Conv2d":
            stages.append(Stage(tuple(layer["output"]), [f"conv {sizes.rpartition(' ')[2]}"], weights=True))
        elif kind == "Linear":
            stages.append(Stage(tuple(layer["output"]), ["linear"], weights=True))
        else:
            name = {"MaxPool2d": "max", "AvgPool2d": "mean", "Flatten": "flatten"}[kind]
            stages.append(Stage(tuple(layer["output"]), [f"{name} {sizes}".strip()], weights=False))
    return stages


def _slab(axes: Axes, stage: Stage, left: float) -> tuple[float, float]:
    """Height is the side of the picture, width goes with the logarithm of the channels; returns its outer edges."""
    channels, *sides = stage.shape
    colour = charts.ORANGE if stage.weights else charts.GREY
    if not sides:  # a vector: a bar as high as its length is large
        side, width, slant = 0.26 * math.log2(channels + 1), 0.16, 0.0
    else:
        side = 2.6 * (sides[0] / ROWS) ** 0.6
        width, slant = 0.08 + 0.1 * math.log2(channels + 1), SLANT * side * 0.5
    low, high = -side / 2, side / 2
    inner, outer = left + width, left + width + slant
    front = [(left, low), (inner, low), (inner, high), (left, high)]
    roof = [(left, high), (inner, high), (outer, high + slant), (left + slant, high + slant)]
    flank = [(inner, low), (outer, low + slant), (outer, high + slant), (inner, high)]
    for corners, strength in ((front, 0.55), (roof, 0.35), (flank, 0.75)):
        axes.add_patch(Polygon(corners, facecolor=colour, alpha=strength, edgecolor="none"))
    return left, outer


def _words(axes: Axes, stage: Stage, middle: float, default: str | None) -> None:
    shape = "×".join(map(str, stage.shape))
    axes.text(middle, -1.5, shape, ha="center", va="top", fontsize=7, color=charts.INK, weight="bold")
    words = "\n".join(([default] if default else []) + stage.words)
    axes.text(middle, 2.0, words, ha="center", va="bottom", fontsize=7, linespacing=1.25)


def _arrow(start: float, end: float) -> FancyArrowPatch:
    return FancyArrowPatch(
        (start, 0), (end, 0), arrowstyle="-|>", mutation_scale=5, color=charts.INK, linewidth=0.8, shrinkA=0, shrinkB=0
    )
