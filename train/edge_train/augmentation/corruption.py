"""What the pre-processing may leave of a real picture: specks, line remains, cut ends, gaps, blur, grey levels.

A photo of a digit is brought into MNIST's form before a model sees it, but not always cleanly. A model that has seen
the remains in training reads the digit in spite of them.
"""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

# Share of the pictures that each kind befalls: most pictures come out clean, and must stay the rule.
SHARES: dict[str, float] = {
    "specks": 0.06,
    "line": 0.06,
    "cut": 0.04,
    "gap": 0.05,
    "small": 0.06,
    "blur": 0.10,
    "hard": 0.10,
    "pale": 0.05,
}

SPECKS = 3  # at most, in one picture
SPECK_LEVEL = (0.25, 1.0)
LINE_LEVEL = (0.2, 0.9)
LINE_PIXELS = (0.7, 1.8)  # thickness
LINE_SLOPE = 0.12  # pixels across for a pixel along
CUT_PIXELS = (1.0, 4.0)  # of the outermost ink: a digit at the edge of its picture
CUT_SHARE = 0.25  # of the extent of the ink, at most
GAP_PIXELS = (0.8, 2.0)  # width: a pen that failed, a line that was taken out with the ink on it
SMALL = (0.65, 0.95)  # remains that were taken for ink widen the box, and the digit is drawn smaller in it ...
SMALL_SHIFT_PIXELS = 3.0  # ... and out of its middle
HARD = (1.5, 4.0)  # steepness of the edge between ink and paper: a threshold instead of grey levels
PALE = (0.6, 1.0)  # of full ink
INK = 0.3  # a pixel at least this dark belongs to the digit


def corrupt(images: Tensor, generator: Generator) -> Tensor:
    """A copy of the pictures, some of them with the remains of a real picture's pre-processing.

    Args:
        images: float32 (B, 28, 28) in [0, 1], ink 1.
        generator: the source of all randomness, on the device of the images.

    Returns:
        float32 (B, 28, 28) in [0, 1].
    """
    corrupted = images.clone()
    for kind, share in SHARES.items():
        chosen = torch.rand(len(images), generator=generator, device=images.device) < share
        where = chosen.nonzero().squeeze(1)
        if len(where):
            corrupted[where] = KINDS[kind](corrupted[where], generator)
    return corrupted


def _between(low: float, high: float, images: Tensor, generator: Generator) -> Tensor:
    """Uniform numbers, one for each picture, float32 (B, 1, 1)."""
    drawn = torch.rand(len(images), 1, 1, generator=generator, device=images.device)
    return low + (high - low) * drawn


def _positions(images: Tensor) -> tuple[Tensor, Tensor]:
    """Distance of each pixel from the middle, right (1, 28) and down (28, 1), in pixels."""
    middle = (images.shape[-1] - 1) / 2
    along = torch.arange(images.shape[-1], device=images.device, dtype=images.dtype) - middle
    return along.view(1, -1), along.view(-1, 1)


def _specks(images: Tensor, generator: Generator) -> Tensor:
    x, y = _positions(images)
    for number in range(SPECKS):
        present = (_between(0, SPECKS, images, generator) >= number).float()  # one at least, seldom all
        right, down = _between(-14, 14, images, generator), _between(-14, 14, images, generator)
        radius = _between(0.5, 1.3, images, generator)
        near = (radius + 0.5 - torch.hypot(x - right, y - down)).clamp(0, 1)
        images = torch.maximum(images, near * present * _between(*SPECK_LEVEL, images, generator))
    return images


def _line(images: Tensor, generator: Generator) -> Tensor:
    x, y = _positions(images)
    across = _between(0, 1, images, generator) < 0.5
    along, beside = torch.where(across, x + 0 * y, y + 0 * x), torch.where(across, y + 0 * x, x + 0 * y)
    distance = (
        beside - _between(-14, 14, images, generator) - along * _between(-LINE_SLOPE, LINE_SLOPE, images, generator)
    )
    middle, half = _between(-16, 16, images, generator), _between(2, 16, images, generator)
    inside = (half - (along - middle).abs() + 0.5).clamp(0, 1)
    cover = (_between(*LINE_PIXELS, images, generator) / 2 + 0.5 - distance.abs()).clamp(0, 1) * inside
    return torch.maximum(images, cover * _between(*LINE_LEVEL, images, generator))


def _direction(images: Tensor, generator: Generator) -> Tensor:
    """How far each pixel lies in a random direction, float32 (B, 28, 28), in pixels from the middle."""
    x, y = _positions(images)
    angle = _between(-math.pi, math.pi, images, generator)
    return x * torch.cos(angle) + y * torch.sin(angle)


def _cut(images: Tensor, generator: Generator) -> Tensor:
    along = _direction(images, generator)
    ink = images > INK
    first = torch.where(ink, along, torch.inf).amin((1, 2), keepdim=True)
    last = torch.where(ink, along, -torch.inf).amax((1, 2), keepdim=True)
    depth = torch.minimum(_between(*CUT_PIXELS, images, generator), CUT_SHARE * (last - first))  # sticks stay sticks
    return torch.where(
        ink.any(2, keepdim=True).any(1, keepdim=True), images * (last - depth - along).clamp(0, 1), images
    )


def _gap(images: Tensor, generator: Generator) -> Tensor:
    beside = (_direction(images, generator) - _between(-9, 9, images, generator)).abs()
    return images * (beside - _between(*GAP_PIXELS, images, generator) / 2 + 0.5).clamp(0, 1)


def _small(images: Tensor, generator: Generator) -> Tensor:
    x, y = _positions(images)
    scale = _between(*SMALL, images, generator)
    shifts = [_between(-SMALL_SHIFT_PIXELS, SMALL_SHIFT_PIXELS, images, generator) for _ in range(2)]
    grid = torch.stack([(x + shifts[0]) / scale + 0 * y, (y + shifts[1]) / scale + 0 * x], -1) / (images.shape[-1] / 2)
    return F.grid_sample(images.unsqueeze(1), grid, align_corners=False).squeeze(1)


def _blur(images: Tensor, generator: Generator) -> Tensor:
    framed = F.pad(images, (1, 1, 1, 1))
    rows = framed[:, :-2] * 0.25 + framed[:, 1:-1] * 0.5 + framed[:, 2:] * 0.25
    soft = rows[:, :, :-2] * 0.25 + rows[:, :, 1:-1] * 0.5 + rows[:, :, 2:] * 0.25
    return torch.lerp(images, soft, _between(0.3, 1.0, images, generator))


def _hard(images: Tensor, generator: Generator) -> Tensor:
    return ((images - 0.5) * _between(*HARD, images, generator) + 0.5).clamp(0, 1)


def _pale(images: Tensor, generator: Generator) -> Tensor:
    return images * _between(*PALE, images, generator)


KINDS: dict[str, Callable[[Tensor, Generator], Tensor]] = {
    "specks": _specks,
    "line": _line,
    "cut": _cut,
    "gap": _gap,
    "small": _small,
    "blur": _blur,
    "hard": _hard,
    "pale": _pale,
}
