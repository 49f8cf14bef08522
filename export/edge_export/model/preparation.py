"""How a model wants its pictures: the order of the axes, normalised or not, dark on light, columns before rows.

All of it becomes a part of the graph, which takes the raw pixels of a bundle whatever the model was trained on.
"""

import dataclasses
import math
from collections.abc import Sequence
from functools import cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from edge.bundle.input import COLUMNS, ROWS
from edge.bundle.manifest import Preparation
from edge_export.model.errors import ModelError

BATCH = "N"
PIXELS = ROWS * COLUMNS
COLOURS = 3

Axes = tuple[str | int, ...]

# What models of 28x28 pictures were seen to take, the plainest first; `--input` may name others.
TRIED = (
    "N,28,28", "N,1,28,28", "28,N,28", "N,784", "N,784,1", "784,N,1", "N,1,784", "N,28,28,1", "N,3,28,28",
)  # fmt: skip
# And where none of these fits: LeNet's size, with a border or larger; and those of small devices.
TRIED_RESIZED = (
    "N,1,32,32:pad", "N,1,32,32:resize", "N,32,32:pad", "N,32,32:resize", "N,1024:pad", "N,1024:resize",
    "N,3,32,32:pad", "N,3,32,32:resize", "N,1,64,64:resize", "N,3,64,64:resize",
    "N,196:resize", "N,1,14,14:resize", "N,14,14:resize", "N,256:resize", "N,1,16,16:resize", "N,16,16:resize",
    "N,400:resize", "N,1,20,20:resize", "N,400:crop", "N,1,20,20:crop", "N,64:resize", "N,1,8,8:resize",
    "N,1,224,224:resize", "N,3,224,224:resize",
)  # fmt: skip
# And of networks that are given a row of the picture at a call, and hand their state on.
BY_ROW = ":rows"
TRIED_BY_ROW = ("N,28:rows", "1,N,28:rows", "N,1,28:rows")
SMALLEST, LARGEST = 7, 512  # rows that a picture may be made of
PILLOW_BITS = 22  # of Pillow's weights
TIE = 1e-4  # which half a byte is moved by, so that it is rounded alike in any precision
MOST_PADDED = 40  # rows that anybody makes with a border

BYTES = (0.0, 1 / 255)  # mean and deviation of pixels that were never divided by 255
# Means and deviations that training scripts copy from each other.
NORMALISATIONS: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "none": ((), ()),
    "mnist": ((0.1307,), (0.3081,)),
    "fashion-mnist": ((0.2860,), (0.3530,)),
    "kmnist": ((0.1918,), (0.3483,)),
    "half": ((0.5,), (0.5,)),
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "bytes": ((BYTES[0],), (BYTES[1],)),
}
# What a loader does to each picture by itself, by the name that `--normalise` has for it.
OF_EACH = {"picture": "standardised", "binary": "binary"}
HALF = 0.5  # above which a binary pixel is 1
LEAST_DEVIATION = 1e-6  # of an empty picture, which has none


def axes_of(layout: str) -> Axes:
    """The axes of a layout as `--input` takes it, such as "N,1,28,28" or "N,1,32,32:pad".

    Raises:
        ModelError: it is no order of the axes of a batch of pictures.
    """
    words = layout.partition(":")[0].strip().strip("[]()").replace("x", ",").replace(" ", "").split(",")
    if is_alone(layout):
        words[0] = BATCH
    axes: Axes = tuple(int(word) if word.isdecimal() else word.upper() for word in words)
    names = [axis for axis in axes if isinstance(axis, str)]
    form = _is_row(axes) if is_by_row(layout) else _rows(axes) is not None
    if names not in ([BATCH], ["B"]) or not form or axes.count(COLOURS) > 1:
        raise ModelError(
            f"--input {layout} is no form of a batch of {ROWS}x{COLUMNS} pictures; name the axes in their order, N for "
            f"the batch, such as {', '.join(TRIED[:4])}; pictures of another size with how they are made: "
            f"N,1,32,32:pad, N,1,32,32:resize, N,1,20,20:crop; a row at a call: {', '.join(TRIED_BY_ROW[:2])}"
        )
    return tuple(BATCH if axis == "B" else axis for axis in axes)


def is_alone(layout: str) -> bool:
    """Whether a layout says that the module is given one picture at a time, as "1,1,28,28" does."""
    return layout.strip().strip("[(").startswith("1,") and not {BATCH, "B"} & set(layout.partition(":")[0].upper())


def is_by_row(layout: str) -> bool:
    """Whether a layout says that the module is given one row of the pictures at a call, as "N,28:rows" does."""
    return layout.strip().endswith(BY_ROW)


def _is_row(axes: Axes) -> bool:
    return [axis for axis in axes if isinstance(axis, int) and axis != 1] == [COLUMNS]


def _rows(axes: Axes) -> int | None:
    """The rows of the pictures, which are square; None where the axes hold none."""
    sizes = [axis for axis in axes if isinstance(axis, int) and axis not in (1, COLOURS)]
    rows = math.isqrt(math.prod(sizes))
    return rows if sizes in ([rows, rows], [rows * rows]) and SMALLEST <= rows <= LARGEST else None


def layouts_of(text: str) -> tuple[str, ...]:
    """Reads `--input`: the layout, or two where it does not say how pictures come to another size.

    Raises:
        ModelError: it is no order of the axes of a batch of pictures, or says how in another word.
    """
    axes = axes_of(text)
    how = text.partition(":")[2].strip()
    plain, rows = written(axes), _rows(axes)
    if is_by_row(text):
        return (f"{plain}{BY_ROW}",)
    assert rows is not None
    if rows == ROWS and not how:
        return (plain,)
    ways = ("resize", "crop") if rows < ROWS else ("pad", "resize")
    if how not in ("", *ways):
        raise ModelError(f"--input {text} does not say how pictures come to that size; end it in :{' or :'.join(ways)}")
    likely = ways if rows <= MOST_PADDED else ways[1:]
    return (plain,) if rows == ROWS else tuple(f"{plain}:{way}" for way in ((how,) if how else likely))


def written(axes: Sequence[str | int]) -> str:
    """The axes as `--input` takes them: "N,1,28,28"."""
    return ",".join(map(str, axes))


def with_normalisation(preparation: Preparation, text: str) -> Preparation:
    """The preparation with another normalisation in the place of its own, as `--normalise` names it.

    Args:
        preparation: of a model.
        text: "0.1307,0.3081", a mean and a deviation for each of three colours, a name of `NORMALISATIONS`, or one of
            `OF_EACH` and behind a comma any of these.

    Raises:
        ModelError: it is neither numbers nor a known name, or a deviation is not above 0.
    """
    first, _, rest = text.partition(",")
    each = OF_EACH.get(first.strip(), "")
    means, deviations = _numbers_of((rest or "none") if each else text)
    return dataclasses.replace(preparation, mean=means, deviation=deviations, each=each)


def _numbers_of(text: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Means and deviations of pixels in [0, 1]; both empty for "none"."""
    if text in NORMALISATIONS:
        return NORMALISATIONS[text]
    try:
        numbers = [float(word) for word in text.strip().strip("[]()").split(",")]
    except ValueError:
        numbers = []
    half = len(numbers) // 2
    means, deviations = tuple(numbers[:half]), tuple(numbers[half:])
    if len(numbers) not in (2, 2 * COLOURS) or not all(0 < one < float("inf") for one in deviations):
        raise ModelError(
            f"--normalise {text} is no MEAN,DEVIATION of pixels in [0, 1]; give the numbers of the training, such as "
            f"0.1307,0.3081, or one of {', '.join((*NORMALISATIONS, *OF_EACH))}"
        )
    return means, deviations


def prepared(images: Tensor, preparation: Preparation) -> Tensor:
    """The pictures as the model wants them; [batch, 28, 28] where it is given row after row.

    Args:
        images: float [batch, 28, 28] in [0, 1], ink 1 on background 0.
        preparation: what to do.
    """
    pixels = images.transpose(1, 2) if preparation.transposed else images
    axes = axes_of(preparation.layout)
    rows = _rows(axes) or ROWS
    if rows != ROWS:
        pixels = _resized(pixels, rows) if preparation.layout.endswith(":resize") else _cut(pixels, rows)
    if preparation.inverted:
        pixels = 1 - pixels
    if preparation.each:
        pixels = _by_itself(pixels, preparation.each)
    colours = [
        # A byte comes back exactly by the product with 255, and not by the quotient: a model may look it up.
        pixels * 255 if (mean, deviation) == BYTES else (pixels - mean) / deviation
        for mean, deviation in zip(preparation.mean, preparation.deviation, strict=True)
    ] or [pixels]
    if is_by_row(preparation.layout):
        return colours[0]
    if rows * rows in axes:
        colours = [colour.flatten(1) for colour in colours]
    at = axes.index(BATCH)
    inner = [axis for axis in axes if axis != BATCH]
    if COLOURS in inner:
        place = inner.index(COLOURS)
        before = [axis for axis in inner[:place] if axis != 1]  # rows and columns in front of the colours
        tensor = torch.stack((colours * COLOURS)[:COLOURS] if len(colours) == 1 else colours, 1 + len(before))
    else:
        tensor = colours[0]
    return _with_single(tensor, inner, at)


def row_of(pixels: Tensor, number: int, preparation: Preparation) -> Tensor:
    """A row of prepared pictures, [batch, 28, 28], as a module takes it that is given one at a call."""
    axes = axes_of(preparation.layout)
    return _with_single(pixels[:, number], [axis for axis in axes if axis != BATCH], axes.index(BATCH))


def _with_single(tensor: Tensor, inner: Sequence[str | int], at: int) -> Tensor:
    """A tensor whose first axis is the batch, with its axes of size 1, and the batch where it belongs."""
    for place, axis in enumerate(inner):
        if axis == 1:
            tensor = tensor.unsqueeze(1 + place)
    return tensor.movedim(0, at) if at else tensor


def _by_itself(pixels: Tensor, how: str) -> Tensor:
    """Pictures [batch, rows, columns], each binary, or standardised by its own mean and deviation."""
    if how == OF_EACH["binary"]:
        return (pixels > HALF).to(pixels.dtype)
    centred = pixels - pixels.mean((1, 2), keepdim=True)
    variance = (centred * centred).sum((1, 2), keepdim=True) / (pixels.shape[1] * pixels.shape[2] - 1)
    return centred / variance.sqrt().clamp_min(LEAST_DEVIATION)


def _cut(pixels: Tensor, rows: int) -> Tensor:
    """Pictures with a border of background around them, or without their own."""
    if rows < ROWS:
        first = (ROWS - rows) // 2
        return pixels[:, first : first + rows, first : first + rows]
    before = (rows - ROWS) // 2
    after = rows - ROWS - before
    return F.pad(pixels, (before, after, before, after))


def _resized(pixels: Tensor, rows: int) -> Tensor:
    """Pictures of another size by Pillow's bilinear filter: across, then down, whole bytes after each.

    Source: Pillow's Resample.c.
    """
    exact = _bilinear(rows)
    fine = exact * 2**PILLOW_BITS
    half = (0.5 - TIE + 2 * TIE * (fine == fine.round()).all(1)).to(pixels.dtype)
    weights = exact.to(pixels.dtype)
    across = torch.floor(pixels * 255 @ weights.T + half)
    return torch.floor(weights @ across + half[:, None]) / 255


@cache
def _bilinear(rows: int) -> Tensor:
    """What each of the rows takes of each of the 28, float64 (rows, 28)."""
    scale = ROWS / rows
    # By NumPy, because the calls of torch that a model makes may be answered in single precision.
    centres = (np.arange(rows) + 0.5) * scale
    distances = np.abs(np.arange(ROWS) + 0.5 - centres[:, None])
    weights = np.maximum(1 - distances / max(scale, 1.0), 0)
    return torch.from_numpy(weights / weights.sum(1, keepdims=True))


def arguments(preparation: Preparation) -> list[str]:
    """The options of `edge export` that say this preparation."""
    options = ["--input", preparation.layout]
    if preparation.mean or preparation.each:
        options += ["--normalise", normalisation_written(preparation)]
    flags = {"--invert": preparation.inverted, "--transpose": preparation.transposed}
    return options + [flag for flag, wanted in flags.items() if wanted]


def normalisation_written(preparation: Preparation) -> str:
    """The normalisation as `--normalise` takes it, by its name where it has one."""
    numbers = tuple(preparation.mean), tuple(preparation.deviation)
    named = [name for name, known in NORMALISATIONS.items() if known == numbers and name != "mnist"]  # all know these
    written_out = named[0] if named else ",".join(f"{number:g}" for number in (*numbers[0], *numbers[1]))
    each = [name for name, how in OF_EACH.items() if how == preparation.each]
    return ",".join(each if each and not preparation.mean else [*each, written_out])
