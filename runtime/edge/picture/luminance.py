"""The arrays that a picture is while it is read, and an opened picture of any mode -> its luminance, upright.

Shapes are (height, width) where nothing else is said. Modes have transparency, 16 bits, floating point or colours.
What Pillow does not convert in one step is converted strip by strip, so that nothing but the result is held in full.
"""

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edge.picture import containers

Grey: TypeAlias = NDArray[np.uint8]
"""Grey levels, or strengths of ink: 0 to 255."""

Mask: TypeAlias = NDArray[np.bool_]
"""Which pixels, or which components."""

Integers: TypeAlias = NDArray[np.int64]
Floats: TypeAlias = NDArray[np.float64]


class Prepared(NamedTuple):
    """The image of a picture, and what reading knows beside it.

    Attributes:
        image: uint8 (28, 28), ink 255 on background 0.
        likeness: how much the picture looks like one of a written digit, in units of the score, to which it is added;
            0 where nothing is known, as of an image that was ready.
    """

    image: Grey
    likeness: float = 0.0


_STRIP_PIXELS: Final = 1 << 18  # converted at a time

# Full scale of the 16-bit containers, smallest first: 8-bit values, 12-bit sensors, 16 bits.
FULL_SCALES: Final = (255, 4095, 65535)

# Opaque parts count as a sheet of paper with writing on it, not as bare ink, if they cover half of the picture and
# their darkest and lightest tenth differ by this many grey levels.
PAPER_SHARE: Final = 0.5
PAPER_CONTRAST: Final = 96

_ORIENTATION_TAG: Final = 0x0112
_ORIENTATION_SOURCES: Final = ("exif", "Raw profile type exif", "xmp", "XML:com.adobe.xmp")
_TURNS: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

_OPAQUE: Final = [0] * 128 + [255] * 128  # of the levels of an alpha channel

_warnings_lock = threading.RLock()


@contextmanager
def silently() -> Iterator[None]:
    """Keeps Pillow's doubts about headers to itself; one thread at a time, for the list of filters is the process's."""
    with _warnings_lock, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def convert(image: Image.Image) -> Grey | Image.Image:
    """The luminance of a picture, upright; where it has no contrast, the mixture of its colours that has.

    Args:
        image: a decoded picture of any mode that Pillow's readers of the known formats give.

    Returns:
        Mode L, or uint8 (H, W): 0 black to 255 white.
    """
    is_coloured = has_colours(image)
    levels = _luminance(image, is_opaque=is_coloured)
    if is_coloured and lacks_contrast(levels) and (mixture := strongest_mixture(small_colours(image))) is not None:
        del levels  # or both would be in memory
        levels = mix(image, mixture)
    return upright(levels, image)


def _strips(image: Image.Image) -> Iterator[tuple[slice, Image.Image]]:
    """The rows of a picture, as many at a time as are converted at a time; a picture of usual size is one strip."""
    rows = max(1, _STRIP_PIXELS // image.width)
    if rows >= image.height:
        yield slice(0, image.height), image
        return
    for top in range(0, image.height, rows):
        bottom = min(top + rows, image.height)
        yield slice(top, bottom), image.crop((0, top, image.width, bottom))


def _luminance(image: Image.Image, *, is_opaque: bool) -> Grey | Image.Image:
    """Mode L, or uint8 (H, W) of what Pillow does not convert in one step; with transparency filled."""
    mode = image.mode
    if mode in ("I", "F") or mode.startswith("I;"):
        return _eight_bits(image)
    if not is_opaque and ("transparency" in image.info or mode in ("LA", "La", "PA", "RGBA", "RGBa")):
        return _filled(image)
    if mode != "CMYK":
        return _opaque(image)
    grey = np.empty((image.height, image.width), np.uint8)
    for rows, strip in _strips(image):
        grey[rows] = np.asarray(_opaque(strip))
    return grey


def _opaque(image: Image.Image) -> Image.Image:
    """Mode L of what has no transparency."""
    if image.mode == "LAB":
        return image.getchannel(0)
    if image.mode == "CMYK":
        image = image.convert("RGB")
    return image if image.mode == "L" else image.convert("L")


def has_colours(image: Image.Image) -> bool:
    """Whether all of a picture is of colours that may differ where its luminance does not."""
    if image.mode == "RGBA":
        return image.getchannel("A").getextrema() == (255, 255)
    return image.mode in ("RGB", "P", "CMYK") and "transparency" not in image.info


def small_colours(image: Image.Image) -> Image.Image:
    """A small copy of a picture without transparent parts, mode RGB."""
    method = Image.Resampling.NEAREST if image.mode == "P" else Image.Resampling.BOX
    size = (SIDE, SIDE)
    if image.mode == "RGBA":  # Pillow would copy all of it first, multiplied by its transparency
        return Image.merge("RGB", [image.getchannel(band).resize(size, method) for band in "RGB"])
    return image.resize(size, method).convert("RGB")


def mix(image: Image.Image, mixture: Floats) -> Grey:
    """The mixture of a picture's colours, strip by strip.

    Args:
        image: a decoded picture with colours.
        mixture: as `strongest_mixture` gives it.

    Returns:
        uint8 (H, W).
    """
    levels = np.empty((image.height, image.width), np.uint8)
    for rows, strip in _strips(image):
        levels[rows] = mixed(strip.convert("RGB"), mixture)
    return levels


def _eight_bits(image: Image.Image) -> Grey:
    """Grey levels of 16 or 32 bits or in floating point, scaled to 0 to 255.

    White is the smallest full scale (1.0 for fractions, 255, 4095, 65535) that holds every level. Where none does, or
    levels are negative, they are spread from the darkest to the lightest.
    """
    extremes = [(float(part.min()), float(part.max())) for part in (_numbers(strip) for _, strip in _strips(image))]
    darkest, lightest = min(low for low, _ in extremes), max(high for _, high in extremes)
    white = next((scale for scale in FULL_SCALES if darkest >= 0 and lightest <= scale), 0)
    grey = np.empty((image.height, image.width), np.uint8)
    for rows, strip in _strips(image):
        levels = _numbers(strip)
        if white and levels.dtype.kind in "iu":
            grey[rows] = (levels.astype(np.uint32) * 255 + white // 2) // white
            continue
        exact = levels.astype(np.float64)
        if white:
            share = exact if lightest <= 1 else exact / white
        else:
            share = (exact - darkest) / max(lightest - darkest, np.finfo(np.float64).tiny)
        grey[rows] = np.floor(share * 255 + 0.5)
    return grey


def _numbers(image: Image.Image) -> NDArray[Any]:
    numbers: NDArray[Any] = np.nan_to_num(np.asarray(image), nan=0, posinf=0, neginf=0)
    return numbers


def _filled(image: Image.Image) -> Grey:
    """The picture before the ground that its transparent parts stand for."""
    grey = np.empty((image.height, image.width), np.uint8)
    opaque, visible = np.zeros(256, np.int64), np.zeros(256, np.int64)
    is_opaque = True
    for rows, strip in _strips(image):
        ink, alpha = _grey_and_alpha(strip)
        grey[rows] = np.asarray(ink)
        is_opaque = is_opaque and alpha.getextrema() == (255, 255)
        opaque += np.array(ink.histogram(alpha.point(_OPAQUE)))
        visible += np.array(ink.histogram(alpha))
    if is_opaque:
        return grey
    ground = _ground_level(opaque if opaque.any() else visible, grey.size)
    for rows, strip in _strips(image):
        ink, alpha = _grey_and_alpha(strip)
        grey[rows] = np.asarray(Image.composite(ink, Image.new("L", ink.size, ground), alpha))
    return grey


def _grey_and_alpha(image: Image.Image) -> tuple[Image.Image, Image.Image]:
    with silently():
        if image.mode in ("La", "RGBa"):
            image = image.convert(image.mode[:-1] + "A")
        colours = image if image.mode == "RGBA" else image.convert("RGBA")
    return colours.convert("L"), colours.getchannel("A")


def _ground_level(counts: NDArray[np.int64], pixels: int) -> int:
    """White, or black if what is not transparent is light ink: either way the ink stays visible.

    Args:
        counts: int64 (256,), how many of the pixels that are not transparent have each luminance.
        pixels: of the whole picture.

    Returns:
        0 or 255.
    """
    size = int(counts.sum())
    if size == 0:
        return 255
    tenth = size // 10
    darkest, middle, lightest = np.searchsorted(
        np.cumsum(counts), [tenth, size // 2, size - 1 - tenth], side="right"
    ).tolist()
    is_paper = size >= PAPER_SHARE * pixels and lightest - darkest >= PAPER_CONTRAST
    if is_paper:
        return 255 if middle >= 128 else 0
    return 255 if int(counts @ np.arange(256)) < 128 * size else 0


def may_be_turned(image: Image.Image) -> bool:
    """Whether a picture may say how the camera was held."""
    return image.format == "TIFF" or any(key in image.info for key in _ORIENTATION_SOURCES)


def upright(grey: Grey | Image.Image, original: Image.Image) -> Grey | Image.Image:
    """Grey levels turned as the camera was held; mode L where they are turned."""
    if not may_be_turned(original) or containers.is_heavy(original.info.get("exif", b"")):
        return grey
    with silently():
        try:
            orientation = original.getexif().get(_ORIENTATION_TAG, 1)
        except Exception:  # noqa: BLE001 -- a damaged camera note is no reason to refuse the picture
            orientation = 1
    turn = _TURNS.get(orientation)
    if turn is None:
        return grey
    return (grey if isinstance(grey, Image.Image) else Image.fromarray(grey)).transpose(turn)


# Colour that has no contrast in lightness: red on green of one luma is a blank page in grey. So a picture whose grey
# levels hardly change from place to place is looked at once more in colour: if some mixture of red, green and blue
# changes much more, that mixture is its grey.

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
