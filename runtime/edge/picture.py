"""THE picture pre-processing: any picture -> the 28x28 image that the model sees.

Training data, calibration, parity and prediction go through here. `edge.decode` reads files, `edge.ink` finds and
frames the digit; this is their public face, with the name of every step.
"""

from collections.abc import Iterator
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edge import decode
from edge.errors import InputError
from edge.ink import box, closeup, search, stroke

Bytes: TypeAlias = NDArray[np.uint8]
Source: TypeAlias = decode.Source | Image.Image | Bytes

SIDE: Final = box.SIDE

# A picture of exactly 28x28 whose border is this dark is an image as MNIST's already: it passes through untouched.
DARK_BORDER: Final = 16

# What the manifest says of the pre-processing, by name. The version changes when the same file gives another image.
RECIPE: Final[dict[str, str | int]] = {
    "version": 1,
    "box": box.BOX,
    "side": SIDE,
    "centring": "centre of mass",
    "resampling": "box",
    "polarity": "automatic, ink 255 on background 0",
    "light": "paper estimated by a closing and divided out",
    "stroke_width": f"{stroke.THINNEST} to {stroke.THICKEST} pixels",
    "untouched": f"28x28 with a border of at most {DARK_BORDER}",
}

# Levels of a terminal cell without colours, from background to ink.
_ASCII: Final = " .:-=+*#%@"
_HALF_BLOCKS: Final = {(False, False): " ", (True, False): "▀", (False, True): "▄", (True, True): "█"}
_INKED: Final = 96  # grey level from which a half block is drawn


def read(source: Source) -> Bytes:
    """The image that the model sees.

    Args:
        source: a path, the bytes of a picture file, a binary stream, a Pillow image, or pixels: uint8 (H, W) grey,
            (H, W, 3) RGB or (H, W, 4) RGBA.

    Returns:
        uint8 (28, 28), ink 255 on background 0; all zero where no ink was found.

    Raises:
        PictureError: the file is missing, is no picture, is damaged, or is too large.
        InputError: an array of another shape or type.
    """
    if isinstance(source, np.ndarray):
        return normalise(_grey_of_array(source))
    if isinstance(source, Image.Image):
        return normalise(decode.grey_of(source))
    return normalise(decode.read_grey(source))


def normalise(grey: Bytes) -> Bytes:
    """The digit of a grey picture as MNIST's digits are: in a 20x20 box, its centre of mass in the middle.

    Args:
        grey: uint8 (H, W), dark ink on light paper or the reverse.

    Returns:
        uint8 (28, 28), ink 255 on background 0; all zero where no ink was found.
    """
    image = np.zeros((SIDE, SIDE), np.uint8)
    for _, image in _walk(grey):  # noqa: B007 - the last step is the result
        pass
    return image


def steps(grey: Bytes) -> list[tuple[str, Bytes]]:
    """What each step made of a picture: its name and the picture after it, uint8, the last one 28x28.

    Args:
        grey: uint8 (H, W), dark ink on light paper or the reverse.
    """
    return list(_walk(grey))


def to_terminal(image: Bytes, *, unicode: bool = True) -> str:
    """The image as text: 14 lines of half blocks, two rows of pixels in each, or 28 lines of ASCII.

    Args:
        image: uint8 (28, 28), ink 255 on background 0.
        unicode: whether the terminal can show half blocks.
    """
    if not unicode:
        levels = image.astype(np.int32) * (len(_ASCII) - 1) // 255
        return "\n".join("".join(_ASCII[level] for level in row).rstrip() for row in levels)
    inked = image >= _INKED
    pairs = zip(inked[::2].tolist(), inked[1::2].tolist(), strict=True)
    lines = ("".join(_HALF_BLOCKS[cell] for cell in zip(upper, lower, strict=True)) for upper, lower in pairs)
    return "\n".join(line.rstrip() for line in lines)


def is_ready(grey: Bytes) -> bool:
    """Whether a picture is an image as MNIST's already, so that it passes through bit for bit."""
    if grey.shape != (SIDE, SIDE):
        return False
    border = np.concatenate([grey[0], grey[-1], grey[1:-1, 0], grey[1:-1, -1]])
    return bool(np.median(border) <= DARK_BORDER)


def _walk(grey: Bytes) -> Iterator[tuple[str, Bytes]]:
    if is_ready(grey):
        yield "28x28 already, untouched", grey
        return
    full, reading = search.find(grey)
    yield ("inverted: the ink is light" if reading.light_ink else "dark ink on light paper"), reading.grey
    yield "light evened out", reading.evened.strength
    yield "ink above the noise", reading.ink * np.uint8(255)
    yield "ruled lines left out", reading.without_lines * np.uint8(255)
    if reading.digit is None:
        yield "no digit found", np.zeros((SIDE, SIDE), np.uint8)
        return
    yield "the pieces of the digit", reading.digit.mask * np.uint8(255)
    near = closeup.close_up(full, reading)
    yield "close-up", near.ink * np.uint8(255)
    adjusted = stroke.adjusted(near.ink)
    yield "stroke width in range", adjusted * np.uint8(255)
    yield "20x20 box, centre of mass", box.boxed(adjusted)


def _grey_of_array(pixels: NDArray[np.generic]) -> Bytes:
    shaped = pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] in (3, 4))
    if pixels.dtype != np.uint8 or not shaped or 0 in pixels.shape:
        raise InputError(
            f"an array of {pixels.dtype} {pixels.shape} is no picture; "
            "give uint8 (H, W) grey, (H, W, 3) RGB or (H, W, 4) RGBA"
        )
    array = np.ascontiguousarray(pixels, np.uint8)
    return array if array.ndim == 2 else decode.grey_of(Image.fromarray(array))
