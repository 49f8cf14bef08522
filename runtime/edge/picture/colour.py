"""Colour that has no contrast in lightness: the direction in which ink and paper differ, where their luma does not.

Red on green of one luma is a blank page in grey. So a picture whose grey levels hardly change from place to place is
looked at once more in colour: if some mixture of red, green and blue changes much more, that mixture is its grey.
"""

from typing import Final

import numpy as np
from PIL import Image

from edge.picture.arrays import Floats, Grey

# Contrast is looked for in a copy of this side: pixels beside each other there differ where ink begins, and hardly
# where light fades.
SIDE: Final = 64
# Grey levels: a picture in which so many of a thousand neighbours differ by more than this has lightness contrast. On
# luma alone, faint pencil has about as many; for those the colours are looked at in vain, which costs a decoding.
DIFFERENT: Final = 20
LEAST_DIFFERENT: Final = 0.01
# How many times as far apart as in luma neighbours must be in colour, in the root of the mean square, and by how many
# levels at least: noise and compression colour a grey page a little.
LEAST_GAIN: Final = 2.0
LEAST_CONTRAST: Final = 4.0
LUMA: Final = np.array([0.299, 0.587, 0.114])  # of ITU-R BT.601, as JPEG and Pillow have it


def lacks_contrast(grey: Grey | Image.Image) -> bool:
    """Whether the lightness of a picture hardly changes from place to place.

    Args:
        grey: uint8 (H, W) or an image of mode L.
    """
    image = Image.fromarray(grey) if isinstance(grey, np.ndarray) else grey
    # single pixels tell of most pictures that they have contrast; only the others are averaged, which takes longer
    for method in (Image.Resampling.NEAREST, Image.Resampling.BOX):
        small = np.asarray(image.resize((SIDE, SIDE), method), np.int16)
        across, down = np.abs(np.diff(small, axis=1)), np.abs(np.diff(small, axis=0))
        different = np.count_nonzero(across > DIFFERENT) + np.count_nonzero(down > DIFFERENT)
        if different < LEAST_DIFFERENT * (across.size + down.size):
            return True
        if method == Image.Resampling.NEAREST and different < 2 * LEAST_DIFFERENT * (across.size + down.size):
            continue
        return False
    return False


def strongest_mixture(colours: Image.Image) -> Floats | None:
    """The mixture of red, green and blue that changes most from place to place, if it changes far more than luma.

    Args:
        colours: mode RGB.

    Returns:
        float64 (4,): factors of red, green and blue, and what is added, so that levels stay within 0 to 255; None where
        luma tells as much.
    """
    small = np.asarray(colours.resize((SIDE, SIDE), Image.Resampling.BOX), np.float64)
    across, down = np.diff(small, axis=1).reshape(-1, 3), np.diff(small, axis=0).reshape(-1, 3)
    steps = np.concatenate([across, down])
    strengths, directions = np.linalg.eigh(steps.T @ steps / len(steps))
    direction = directions[:, -1]
    in_luma = float(LUMA @ (steps.T @ steps / len(steps)) @ LUMA) ** 0.5
    # of the same length as luma's factors, so that both are in grey levels
    in_colour = float(strengths[-1]) ** 0.5 * float(np.linalg.norm(LUMA))
    if in_colour < LEAST_CONTRAST or in_colour < LEAST_GAIN * in_luma:
        return None
    if direction @ LUMA < 0:
        direction = -direction
    levels = small.reshape(-1, 3) @ direction
    darkest, lightest = float(levels.min()), float(levels.max())
    scale = 255 / (lightest - darkest)
    return np.append(direction * scale, -darkest * scale)


def mixed(colours: Image.Image, mixture: Floats) -> Grey:
    """The grey levels of a mixture, uint8 (H, W).

    Args:
        colours: mode RGB.
        mixture: as `strongest_mixture` gives it.
    """
    levels = np.asarray(colours.convert("L", tuple(mixture.tolist())))
    return np.ascontiguousarray(levels)
