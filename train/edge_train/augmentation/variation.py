"""Random variation of batches of digits, in tensor arithmetic: position and form, stroke width, grey levels."""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

# Ranges of the variation, in the units that a person would check on a sheet of pictures. They are the spread of real
# handwriting after the picture pre-processing: the box and the centre of mass are already normalised.
ROTATION_DEGREES = 12.0
SCALE = 0.15  # 0.85 to 1.15, each axis on its own: aspect varies too
SHEAR = 0.25  # horizontal shift per row: slant
SHIFT_PIXELS = 2.0
ELASTIC_PIXELS = 1.3  # standard deviation of the smooth displacement
ELASTIC_GRID = 5  # control points along each side: strokes bend, they do not tear
STROKE_SHARE = 0.45  # share of the pictures whose strokes become thicker or thinner
CONTRAST = 0.8  # middle grey becomes 0.3 to 0.7: pens from soft to hard
PLAIN_SHARE = 0.1  # left as they are, so that the undisturbed digit stays in the distribution


def vary(images: Tensor, generator: Generator) -> Tensor:
    """A varied copy of every picture. About a thousand at once are varied fastest.

    Args:
        images: float32 (B, 28, 28) in [0, 1], ink 1.
        generator: the source of all randomness, on the device of the images.

    Returns:
        float32 (B, 28, 28) in [0, 1].
    """
    varied = _deform(images, generator)
    drawn = torch.rand(len(images), generator=generator, device=images.device)
    _change(varied, drawn < STROKE_SHARE / 2, _thicker, generator)
    _change(varied, (drawn >= STROKE_SHARE / 2) & (drawn < STROKE_SHARE), _thinner, generator)
    # x + c x (1 - x) rises from 0 to 1 like a power of x, and takes a fifth of its time.
    contrast = _uniform(len(images), generator, images).mul_(CONTRAST).view(-1, 1, 1)
    varied.addcmul_(varied * contrast, 1 - varied)
    plain = torch.rand(len(images), generator=generator, device=images.device) < PLAIN_SHARE
    varied[plain] = images[plain]
    return varied


def _change(images: Tensor, chosen: Tensor, change: Callable[[Tensor], Tensor], generator: Generator) -> None:
    """Blends some pictures, in place, with what a change makes of them."""
    where = chosen.nonzero().squeeze(1)
    part = images[where]
    amount = torch.rand(len(part), 1, 1, generator=generator, device=images.device)
    images[where] = torch.lerp(part, change(part), amount)


def _uniform(count: int, generator: Generator, like: Tensor) -> Tensor:
    return torch.rand(count, generator=generator, device=like.device, dtype=like.dtype) * 2 - 1


def _deform(images: Tensor, generator: Generator) -> Tensor:
    count, rows, columns = images.shape
    angle = _uniform(count, generator, images) * math.radians(ROTATION_DEGREES)
    shear = _uniform(count, generator, images) * SHEAR
    scale_x = 1 + _uniform(count, generator, images) * SCALE
    scale_y = 1 + _uniform(count, generator, images) * SCALE
    shift_x = _uniform(count, generator, images) * SHIFT_PIXELS / 14
    shift_y = _uniform(count, generator, images) * SHIFT_PIXELS / 14
    cosine, sine = torch.cos(angle), torch.sin(angle)
    # grid_sample asks where each output pixel comes from, in coordinates from -1 to 1. The place is computed at a few
    # control points and is linear between them, which an affine map is anyway.
    points = torch.linspace(-1, 1, ELASTIC_GRID, device=images.device, dtype=images.dtype)
    x, y = points.view(1, 1, -1), points.view(1, -1, 1)
    coarse = torch.randn(count, 2, ELASTIC_GRID, ELASTIC_GRID, generator=generator, device=images.device)
    coarse *= ELASTIC_PIXELS / 14 / math.sqrt(2)
    for axis, (along_x, along_y, shift) in enumerate(
        ((cosine / scale_x, (shear - sine) / scale_x, shift_x), (sine / scale_y, cosine / scale_y, shift_y))
    ):
        coarse[:, axis] += along_x.view(-1, 1, 1) * x + along_y.view(-1, 1, 1) * y + shift.view(-1, 1, 1)
    grid = _hat(rows, images) @ coarse @ _hat(columns, images).T  # (B, 2, 28, 28)
    return F.grid_sample(images.unsqueeze(1), grid.permute(0, 2, 3, 1), align_corners=False).squeeze(1)


def _hat(side: int, like: Tensor) -> Tensor:
    """Weights of linear interpolation from the control points to the pixels of one side, float32 (side, points)."""
    pixel = (torch.arange(side, device=like.device, dtype=like.dtype) * 2 + 1) / side - 1
    position = (pixel.view(-1, 1) + 1) * (ELASTIC_GRID - 1) / 2
    return (1 - (position - torch.arange(ELASTIC_GRID, device=like.device)).abs()).clamp(min=0)


# Slices are compared with each other: a max pooling over one channel takes ten times as long.
def _thicker(images: Tensor) -> Tensor:
    """The largest of 3x3 pixels."""
    framed = F.pad(images, (1, 1, 1, 1))
    rows = torch.maximum(torch.maximum(framed[:, :-2], framed[:, 1:-1]), framed[:, 2:])
    return torch.maximum(torch.maximum(rows[:, :, :-2], rows[:, :, 1:-1]), rows[:, :, 2:])


def _thinner(images: Tensor) -> Tensor:
    """Most of the way to the smallest of 2x2 pixels: a 3x3 erosion would delete thin strokes."""
    framed = F.pad(images, (1, 0, 1, 0))
    rows = torch.minimum(framed[:, :-1], framed[:, 1:])
    return torch.lerp(images, torch.minimum(rows[:, :, :-1], rows[:, :, 1:]), 0.7)
