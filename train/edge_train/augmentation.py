"""Random variation of batches of digits, in tensor arithmetic: position and form, stroke width, grey levels."""

import math

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
GAMMA = 0.5  # exponents from 1 / (1 + GAMMA) to 1 + GAMMA: pens from soft to hard
PLAIN_SHARE = 0.1  # left as they are, so that the undisturbed digit stays in the distribution


def augment(images: Tensor, generator: Generator) -> Tensor:
    """A varied copy of every picture.

    Args:
        images: float32 (B, 28, 28) in [0, 1], ink 1.
        generator: the source of all randomness, on the device of the images.

    Returns:
        float32 (B, 28, 28) in [0, 1].
    """
    varied = _stroke_width(_deform(images, generator), generator)
    exponent = torch.exp(_uniform(len(images), generator, images) * math.log(1 + GAMMA)).view(-1, 1, 1)
    varied = varied.clamp(1e-6, 1) ** exponent
    plain = torch.rand(len(images), generator=generator, device=images.device) < PLAIN_SHARE
    return torch.where(plain.view(-1, 1, 1), images, varied)


def _uniform(count: int, generator: Generator, like: Tensor) -> Tensor:
    return torch.rand(count, generator=generator, device=like.device, dtype=like.dtype) * 2 - 1


def _deform(images: Tensor, generator: Generator) -> Tensor:
    count, rows, columns = images.shape
    angle = _uniform(count, generator, images) * math.radians(ROTATION_DEGREES)
    shear = _uniform(count, generator, images) * SHEAR
    scale_x = 1 + _uniform(count, generator, images) * SCALE
    scale_y = 1 + _uniform(count, generator, images) * SCALE
    cosine, sine = torch.cos(angle), torch.sin(angle)
    # grid_sample asks where each output pixel comes from, in coordinates from -1 to 1
    matrix = torch.stack(
        [
            torch.stack(
                [cosine / scale_x, (shear - sine) / scale_x, _uniform(count, generator, images) * SHIFT_PIXELS / 14], 1
            ),
            torch.stack([sine / scale_y, cosine / scale_y, _uniform(count, generator, images) * SHIFT_PIXELS / 14], 1),
        ],
        1,
    )
    grid = F.affine_grid(matrix, [count, 1, rows, columns], align_corners=False)  # (B, 28, 28, 2)
    coarse = torch.randn(count, 2, ELASTIC_GRID, ELASTIC_GRID, generator=generator, device=images.device)
    smooth = F.interpolate(coarse, size=(rows, columns), mode="bilinear", align_corners=True)
    grid = grid + smooth.permute(0, 2, 3, 1) * (ELASTIC_PIXELS / 14 / math.sqrt(2))
    return F.grid_sample(images.unsqueeze(1), grid, align_corners=False).squeeze(1)


def _stroke_width(images: Tensor, generator: Generator) -> Tensor:
    picture = images.unsqueeze(1)
    thick = F.max_pool2d(picture, 3, stride=1, padding=1).squeeze(1)
    thin = -F.max_pool2d(-picture, 2, stride=1, padding=1)[:, 0, :-1, :-1]  # a 3x3 erosion would delete thin strokes
    amount = torch.rand(len(images), generator=generator, device=images.device).view(-1, 1, 1)
    choice = torch.rand(len(images), generator=generator, device=images.device).view(-1, 1, 1)
    thicker, thinner = choice < STROKE_SHARE / 2, (choice >= STROKE_SHARE / 2) & (choice < STROKE_SHARE)
    images = torch.where(thicker, images + amount * (thick - images), images)
    return torch.where(thinner, images + amount * 0.7 * (thin - images), images)
