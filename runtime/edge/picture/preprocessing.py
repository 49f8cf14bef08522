"""THE picture pre-processing: any picture -> the 28x28 image that the model sees.

Training data, calibration, parity and prediction go through here. `edge.picture.decode` reads files, `edge.picture.ink`
finds the digit and frames it; this is their public face.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edge.bundle.input import COLUMNS, PICTURE_RECIPE, ROWS
from edge.errors import InputError, NoDigitError, PictureError, SeveralDigitsError
from edge.picture import decode, limits
from edge.picture.ink import binarisation, normalisation
from edge.picture.luminance import Grey, Mask, Prepared
from edge.picture.paths import stop_if_asked

if TYPE_CHECKING:
    from edge.picture.ink.segmentation import Segmentation

Source: TypeAlias = decode.Source | Image.Image | Grey

# A picture of exactly 28x28 whose border is this dark is an image as MNIST's already: it passes through untouched.
DARK_BORDER: Final = 16

# Positions of its 108 pixels.
_BORDER: Final = np.flatnonzero(np.pad(np.zeros((ROWS - 2, COLUMNS - 2), np.bool_), 1, constant_values=True))

EVERY_PIXEL: Final = limits.MOST_PIXELS

# What the manifest says of the pre-processing, by name.
RECIPE: Final[dict[str, str | int]] = {
    "version": PICTURE_RECIPE,
    "box": normalisation.BOX,
    "side": ROWS,
    "centring": "centre of mass",
    "resampling": binarisation.REDUCTION,
    "polarity": "automatic, ink 255 on background 0",
    "light": "paper estimated by a closing and divided out",
    "stroke_width": f"{normalisation.THINNEST} to {normalisation.THICKEST} pixels",
    "untouched": f"28x28 with a border of at most {DARK_BORDER}; inverted, 28x28 dark on light framed the same way",
}


@dataclass(frozen=True, slots=True)
class Preprocessed:
    """Everything between a grey picture and its image; None where the way was shorter.

    Attributes:
        image: uint8 (28, 28), ink 255 on background 0; all zero where no ink was found.
        segmentation: the picture at working size, and the digit in it.
        close_up: the digit again, from the full picture.
        adjusted: bool (h, w), the close-up's ink with strokes of a usual width.
    """

    image: Grey
    segmentation: "Segmentation | None" = None
    close_up: normalisation.CloseUp | None = None
    adjusted: Mask | None = None


def read(source: Source) -> Grey:
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
    return preprocess(_opened(source)).image


def read_digit(source: Source) -> Prepared:
    """What the model sees of a picture that shows one digit, and how much it looks like one: others are refused.

    Args:
        source: as `read` takes it.

    Returns:
        The image, uint8 (28, 28), ink 255 on background 0, not all zero; and its likeness.

    Raises:
        PictureError: the file is missing, is no picture, is damaged, or is too large.
        NoDigitError: there is no ink on the page.
        SeveralDigitsError: there is more than one digit.
        InputError: an array of another shape or type.
    """
    made = preprocess(_opened(source))
    if not made.image.any():
        raise NoDigitError(name_of(source))
    found, near = made.segmentation, made.close_up
    if found is None or near is None or found.pieces is None or found.digit is None:
        return Prepared(made.image)
    from edge.picture.ink.digit import count_digits  # as in `preprocess`
    from edge.picture.ink.likeness import likeness

    count = count_digits(found.pieces, found.digit, found.light.strength)
    if count > 1:
        raise SeveralDigitsError(name_of(source), count)
    return Prepared(made.image, likeness(made.image, found, near.crossed))


def read_digits(sources: Sequence[Source]) -> list[Prepared | PictureError]:
    """What the model sees of several pictures: the same as `read_digit` gives, sooner where many are small plain files.

    Args:
        sources: as `read` takes them.

    Returns:
        For each picture what `read_digit` gives, or the error that `read_digit` raises for it.

    Raises:
        InputError: an array of another shape or type.
        StoppedError: nobody waits for them any more.
    """
    positions, greys = decode.plain_greys(sources, (ROWS, COLUMNS))
    usual = _are_ready(greys) & greys.any(axis=(1, 2))
    images = dict(zip(positions, greys.copy(), strict=True))
    ready = {position for position, good in zip(positions, usual.tolist(), strict=True) if good}
    return [Prepared(images[at]) if at in ready else _digit_or_error(source) for at, source in enumerate(sources)]


def luminance(source: Source, *, enough_pixels: int = decode.ENOUGH_PIXELS) -> Grey:
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
    return decode.as_array(_opened(source, enough_pixels=enough_pixels))


def normalise(grey: Grey) -> Grey:
    """The digit of a grey picture as MNIST's digits are: in a 20x20 box, its centre of mass in the middle.

    Args:
        grey: uint8 (H, W), dark ink on light paper or the reverse. An image as MNIST's passes through bit for bit.

    Returns:
        uint8 (28, 28), ink 255 on background 0; all zero where no ink was found.

    Raises:
        InputError: an array of another shape or type.
    """
    return preprocess(grey).image


def preprocess(picture: decode.GreyPicture) -> Preprocessed:
    """The image of a grey picture, as `normalise` gives it, and what every step made on the way.

    Args:
        picture: uint8 (H, W) or a Pillow image of mode L, dark ink on light paper or the reverse.

    Returns:
        The image, and the steps that were taken.

    Raises:
        InputError: an array of another shape or type.
    """
    if isinstance(picture, np.ndarray) and (picture.ndim != 2 or picture.dtype != np.uint8 or picture.size == 0):
        raise InputError(f"an array of {picture.dtype} {picture.shape} is no grey picture; give uint8 (H, W)")
    if (picture.shape if isinstance(picture, np.ndarray) else picture.size) == (ROWS, COLUMNS):
        grey = np.asarray(picture)
        if is_ready(grey):
            return Preprocessed(grey.copy())
        if normalisation.is_framed(inverse := 255 - grey):
            return Preprocessed(inverse)  # MNIST's, dark on light
    from edge.picture.ink.search import find_digit  # an image as MNIST's starts without it

    full, found = find_digit(picture)
    if found.digit is None:
        return Preprocessed(np.zeros((ROWS, COLUMNS), np.uint8), found)
    top, left, bottom, right = found.digit.box
    near = normalisation.close_up(full, found, found.digit.mask[top:bottom, left:right], top, left)
    adjusted = normalisation.adjust_stroke_width(near.ink)
    return Preprocessed(normalisation.fit_frame(adjusted), found, near, adjusted)


def is_ready(grey: Grey) -> bool:
    """Whether a picture is an image as MNIST's already, so that it passes through bit for bit."""
    return grey.shape == (ROWS, COLUMNS) and bool(_are_ready(grey[None])[0])


def _opened(source: Source, *, enough_pixels: int = decode.ENOUGH_PIXELS) -> decode.GreyPicture:
    """The luminance of a source, as `luminance` says, without a copy of its pixels."""
    if isinstance(source, Image.Image):
        return decode.luminance_of(source)
    if not isinstance(source, np.ndarray):
        return decode.open_grey(source, enough_pixels=enough_pixels)
    pixels: NDArray[Any] = source
    shaped = pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] in (3, 4))
    if pixels.dtype != np.uint8 or not shaped or pixels.size == 0:
        raise InputError(
            f"an array of {pixels.dtype} {pixels.shape} is no picture; "
            "give uint8 (H, W) grey, (H, W, 3) RGB or (H, W, 4) RGBA"
        )
    return pixels if pixels.ndim == 2 else decode.luminance_of(Image.fromarray(np.ascontiguousarray(pixels)))


def _are_ready(greys: Grey) -> NDArray[np.bool_]:
    """Which of uint8 (N, 28, 28) have a dark border: bool (N,)."""
    dark: NDArray[np.intp] = np.count_nonzero(greys.reshape(-1, ROWS * COLUMNS)[:, _BORDER] <= DARK_BORDER, axis=1)
    return 2 * dark > _BORDER.size


def _digit_or_error(source: Source) -> Prepared | PictureError:
    stop_if_asked()
    try:
        return read_digit(source)
    except PictureError as error:
        return error


def name_of(source: Source) -> str:
    """What messages call a picture: its path, if it has one."""
    return os.fspath(source) if isinstance(source, str | os.PathLike) else "the picture"
