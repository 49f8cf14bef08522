"""THE picture pre-processing: any picture -> the 28x28 image that the model sees.

Training data, calibration, parity and prediction go through here. `edge.picture.decode` reads files, `edge.picture.ink`
finds the digit and frames it; this is their public face, with the name of every step.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edge.errors import InputError, NoDigitError, PictureError, SeveralDigitsError
from edge.picture import decode
from edge.picture.ink import box, levels, stroke

if TYPE_CHECKING:
    from edge.picture.ink import closeup, search

Bytes: TypeAlias = NDArray[np.uint8]
Source: TypeAlias = decode.Source | Image.Image | Bytes

SIDE: Final = box.SIDE

# A picture of exactly 28x28 whose border is this dark is an image as MNIST's already: it passes through untouched.
DARK_BORDER: Final = 16

# Positions of its 108 pixels.
_BORDER: Final = np.flatnonzero(np.pad(np.zeros((SIDE - 2, SIDE - 2), np.bool_), 1, constant_values=True))

EVERY_PIXEL: Final = decode.MOST_PIXELS

# What the manifest says of the pre-processing, by name. The version changes when the same file gives another image.
RECIPE: Final[dict[str, str | int]] = {
    "version": 3,
    "box": box.BOX,
    "side": SIDE,
    "centring": "centre of mass",
    "resampling": levels.REDUCTION,
    "polarity": "automatic, ink 255 on background 0",
    "light": "paper estimated by a closing and divided out",
    "stroke_width": f"{stroke.THINNEST} to {stroke.THICKEST} pixels",
    "untouched": f"28x28 with a border of at most {DARK_BORDER}; inverted, 28x28 dark on light framed the same way",
}

# Each step in a sentence, in their order.
STEPS: Final = {
    "picture": "Grey levels of the file, upright.",
    "dark on light": "At working size, inverted if the ink is lighter than its paper.",
    "even light": "How much darker than the paper each point is, whatever the light and the shadows.",
    "no lines": "What stands out of the noise, without lines that run across the whole picture.",
    "ink": "What stands out of fainter things too, and whatever is attached to it.",
    "digit": "The pieces that look written and belong together; frames, edges and specks are left out.",
    "close-up": "The digit read again from the full picture, at one size.",
    "stroke width": "Strokes too thin or too thick for the model are brought into its range.",
    "28x28": "Scaled into a 20x20 box, its centre of mass in the middle of 28x28.",
}

# Signs for the ink of a terminal cell, from none to full.
_ASCII: Final = " .:-=+*#%@"
_HALF_BLOCKS: Final = {(False, False): " ", (True, False): "▀", (False, True): "▄", (True, True): "█"}
_INKED: Final = 96  # the grey level from which half a cell is drawn without colours
_FIRST_GREY, _GREYS = 232, 24  # of the 256 terminal colours
_RESET: Final = "\x1b[0m"


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
    return normalise(luminance(source))


def read_digit(source: Source) -> Bytes:
    """The image that the model sees, of a picture that shows one digit: others are refused.

    Args:
        source: as `read` takes it.

    Returns:
        uint8 (28, 28), ink 255 on background 0, not all zero.

    Raises:
        PictureError: the file is missing, is no picture, is damaged, or is too large.
        NoDigitError: there is no ink on the page.
        SeveralDigitsError: there is more than one digit.
        InputError: an array of another shape or type.
    """
    walk = _walk(luminance(source))
    if not walk.image.any():
        raise NoDigitError(_name(source))
    if walk.reading is not None and walk.reading.pieces is not None and walk.reading.digit is not None:
        from edge.picture.ink import others  # as in `_walk`

        count = others.count(walk.reading.pieces, walk.reading.digit, walk.reading.evened.strength)
        if count > 1:
            raise SeveralDigitsError(_name(source), count)
    return walk.image


def read_digits(sources: Sequence[Source]) -> list[Bytes | PictureError]:
    """The images of several pictures: the same as `read_digit` gives, sooner where many are small plain files.

    Args:
        sources: as `read` takes them.

    Returns:
        For each picture uint8 (28, 28), or the error that `read_digit` raises for it.

    Raises:
        InputError: an array of another shape or type.
    """
    positions, greys = decode.plain_greys(sources, (SIDE, SIDE))
    usual = _are_ready(greys) & greys.any(axis=(1, 2))
    images = dict(zip(positions, greys.copy(), strict=True))
    ready = {position for position, good in zip(positions, usual.tolist(), strict=True) if good}
    return [images[at] if at in ready else _digit_or_error(source) for at, source in enumerate(sources)]


def luminance(source: Source, *, enough_pixels: int = decode.ENOUGH_PIXELS) -> Bytes:
    """The grey levels of a picture, upright: what `normalise` and `steps` take.

    Args:
        source: as `read` takes it.
        enough_pixels: a JPEG may be decoded at a fraction of its size while its shorter side keeps this many;
            `EVERY_PIXEL` keeps its size.

    Returns:
        uint8 (H, W), 0 black to 255 white.

    Raises:
        PictureError: the file is missing, is no picture, is damaged, or is too large.
        InputError: an array of another shape or type.
    """
    if isinstance(source, Image.Image):
        return decode.grey_of(source)
    if not isinstance(source, np.ndarray):
        return decode.read_grey(source, enough_pixels=enough_pixels)
    pixels: NDArray[Any] = source
    shaped = pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] in (3, 4))
    if pixels.dtype != np.uint8 or not shaped or pixels.size == 0:
        raise InputError(
            f"an array of {pixels.dtype} {pixels.shape} is no picture; "
            "give uint8 (H, W) grey, (H, W, 3) RGB or (H, W, 4) RGBA"
        )
    return pixels if pixels.ndim == 2 else decode.grey_of(Image.fromarray(np.ascontiguousarray(pixels)))


def normalise(grey: Bytes) -> Bytes:
    """The digit of a grey picture as MNIST's digits are: in a 20x20 box, its centre of mass in the middle.

    Args:
        grey: uint8 (H, W), dark ink on light paper or the reverse. An image as MNIST's passes through bit for bit.

    Returns:
        uint8 (28, 28), ink 255 on background 0; all zero where no ink was found.

    Raises:
        InputError: an array of another shape or type.
    """
    return _walk(grey).image


def steps(grey: Bytes) -> list[tuple[str, Bytes]]:
    """What each step makes of a picture; `STEPS` says in a sentence what it does.

    Args:
        grey: uint8 (H, W), dark ink on light paper or the reverse.

    Returns:
        Name of the step and the picture after it, uint8 (h, w). The last one is what `normalise` returns. Steps that
        were not taken (nothing found, or an image as MNIST's already) are missing.

    Raises:
        InputError: an array of another shape or type.
    """
    walk = _walk(grey)
    shown = {"picture": grey}
    if walk.reading is not None:
        shown["dark on light"] = walk.reading.grey
        shown["even light"] = walk.reading.evened.strength
        shown["no lines"] = walk.reading.without_lines * np.uint8(255)
        shown["ink"] = walk.reading.ink * np.uint8(255)
        if walk.reading.digit is not None:
            shown["digit"] = walk.reading.digit.mask * np.uint8(255)
    if walk.near is not None and walk.adjusted is not None:
        shown["close-up"] = walk.near.strength
        shown["stroke width"] = walk.adjusted * np.uint8(255)
    return [*shown.items(), ("28x28", walk.image)]


def is_ready(grey: Bytes) -> bool:
    """Whether a picture is an image as MNIST's already, so that it passes through bit for bit."""
    return grey.shape == (SIDE, SIDE) and bool(_are_ready(grey[None])[0])


def to_terminal(image: Bytes, *, unicode: bool = True, colour: bool = False) -> str:
    """The image as text, 28 columns by 14 lines: each character stands for two pixels, one above the other.

    Args:
        image: uint8 (28, 28), ink 255 on background 0.
        unicode: whether the terminal can show half blocks; signs from `.` to `@` otherwise.
        colour: whether it knows the 256 colours, so that half blocks can have grey levels.
    """
    pairs = list(zip(image[::2].tolist(), image[1::2].tolist(), strict=True))
    if not unicode:
        return "\n".join(_ascii_line(upper, lower) for upper, lower in pairs)
    if colour:
        return "\n".join(_grey_line(upper, lower) for upper, lower in pairs)
    return "\n".join(_block_line(upper, lower) for upper, lower in pairs)


def _are_ready(greys: Bytes) -> NDArray[np.bool_]:
    """Which of uint8 (N, 28, 28) have a dark border: bool (N,)."""
    dark: NDArray[np.intp] = np.count_nonzero(greys.reshape(-1, SIDE * SIDE)[:, _BORDER] <= DARK_BORDER, axis=1)
    return 2 * dark > _BORDER.size


def _digit_or_error(source: Source) -> Bytes | PictureError:
    try:
        return read_digit(source)
    except PictureError as error:
        return error


def _name(source: Source) -> str:
    return os.fspath(source) if isinstance(source, str | os.PathLike) else "the picture"


@dataclass(frozen=True, slots=True)
class _Walk:
    """Everything between a grey picture and its image; None where the way was shorter."""

    image: Bytes
    reading: "search.Reading | None" = None
    near: "closeup.CloseUp | None" = None
    adjusted: NDArray[np.bool_] | None = None


def _walk(grey: Bytes) -> _Walk:
    if grey.ndim != 2 or grey.dtype != np.uint8 or grey.size == 0:
        raise InputError(f"an array of {grey.dtype} {grey.shape} is no grey picture; give uint8 (H, W)")
    if is_ready(grey):
        return _Walk(grey.copy())
    from edge.picture.ink import closeup, search  # an image as MNIST's starts without them
    from edge.picture.ink.framed import is_framed

    if grey.shape == (SIDE, SIDE) and is_framed(inverse := 255 - grey):
        return _Walk(inverse)  # MNIST's, dark on light
    full, reading = search.find(grey)
    if reading.digit is None:
        return _Walk(np.zeros((SIDE, SIDE), np.uint8), reading)
    near = closeup.close_up(full, reading, reading.digit.mask, reading.digit.box)
    adjusted = stroke.adjusted(near.ink)
    return _Walk(box.boxed(adjusted), reading, near, adjusted)


def _block_line(upper: list[int], lower: list[int]) -> str:
    cells = zip(upper, lower, strict=True)
    return "".join(_HALF_BLOCKS[above >= _INKED, below >= _INKED] for above, below in cells).rstrip()


def _ascii_line(upper: list[int], lower: list[int]) -> str:
    most = 2 * 255
    cells = zip(upper, lower, strict=True)
    return "".join(_ASCII[(above + below) * (len(_ASCII) - 1) // most] for above, below in cells).rstrip()


def _grey_line(upper: list[int], lower: list[int]) -> str:
    greys = zip(map(_terminal_grey, upper), map(_terminal_grey, lower), strict=True)
    return "".join(f"\x1b[38;5;{above};48;5;{below}m▀" for above, below in greys) + _RESET


def _terminal_grey(level: int) -> int:
    return _FIRST_GREY + level * (_GREYS - 1) // 255
