"""Any picture file, bytes or stream -> grey levels: formats, modes, transparency, orientation, and what is refused."""

import io
import os
import re
import stat
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, BinaryIO, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edge.errors import InputError, PictureError, PictureNotFoundError, UnreadablePictureError
from edge.picture import colour, libtiff, plain_png
from edge.picture.arrays import Floats, Grey

Source: TypeAlias = str | os.PathLike[str] | bytes | BinaryIO
GreyPicture: TypeAlias = Grey | Image.Image

# Only decoders that people's pictures need: every further one is code that a hostile file can reach.
FORMATS: Final = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF")

# Checked in the header, before a pixel is decoded: a file of some kilobytes can claim gigabytes.
MOST_PIXELS: Final = 100_000_000
# A picture of a row of digits is long; one that is longer than any JPEG can be is no picture.
LONGEST_SIDE: Final = 65_535
# What a picture may take while it is decoded, by what its pixels take in the decoder and behind it at the same time.
# Threads that decode at the same time share it: who finds too little left waits. Later it is one byte a pixel.
MOST_BYTES: Final = 250_000_000  # below 300 MB with Python and all libraries
FEW_BYTES: Final = 2_000_000  # nothing is counted below
# Decoders of WebP hold a picture four times, as four bytes a pixel; a progressive JPEG is held as its coefficients.
_BYTES_OF_MODE: Final = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16B": 2, "I;16L": 2, "I;16N": 2}
_BYTES_OF_OTHERS: Final = 4
_WEBP_BYTES: Final = 16
_COEFFICIENT_BYTES: Final = 2
_GREY_BYTES: Final = 1  # once more where they may have to be turned upright
_STRIP_PIXELS: Final = 1 << 18  # converted at a time
# Encoders write 10 scans, careful ones 20; each is a walk over the whole picture, however few bytes it takes.
MOST_SCANS: Final = 64
# A pipe has no size that could be checked first. The largest picture allowed fits, uncompressed with alpha channel.
MOST_STREAM_BYTES: Final = 4 * MOST_PIXELS + 1_000_000

# A JPEG is decoded at 1/2, 1/4 or 1/8 of its size as long as its shorter side keeps this many pixels: a digit that
# takes a thirtieth of the picture is then still larger than the 20 pixels that it ends as.
ENOUGH_PIXELS: Final = 1000

# Full scale of the 16-bit containers, smallest first: 8-bit values, 12-bit sensors, 16 bits.
FULL_SCALES: Final = (255, 4095, 65535)

# Opaque parts count as a sheet of paper with writing on it, not as bare ink, if they cover half of the picture and
# their darkest and lightest tenth differ by this many grey levels.
PAPER_SHARE: Final = 0.5
PAPER_CONTRAST: Final = 96

_ORIENTATION_TAG: Final = 0x0112
_ORIENTATION_SOURCES: Final = ("exif", "Raw profile type exif", "xmp", "XML:com.adobe.xmp")
_TURNS: Final[dict[int, Callable[[Grey], Grey]]] = {
    2: lambda grey: grey[:, ::-1],
    3: lambda grey: grey[::-1, ::-1],
    4: lambda grey: grey[::-1],
    5: lambda grey: grey.T,
    6: lambda grey: grey.T[:, ::-1],
    7: lambda grey: grey[::-1, ::-1].T,
    8: lambda grey: grey.T[::-1],
}

_OPAQUE: Final = [0] * 128 + [255] * 128  # of the levels of an alpha channel

_MARKER: Final = re.compile(rb"\xff[^\x00\x01\xd0-\xd8\xff]")
_START_OF_IMAGE: Final = b"\xff\xd8"
_START_OF_SCAN: Final = b"\xff\xda"
_END_OF_IMAGE: Final = b"\xff\xd9"

_warnings_lock = threading.RLock()


class _Memory:
    """What the pictures that are decoded at the same time may take together, in bytes."""

    def __init__(self, most_bytes: int) -> None:
        self._free = most_bytes
        self._changed = threading.Condition()
        self._turnstile = threading.Lock()  # a large picture is not overtaken for ever by small ones

    @contextmanager
    def taken(self, needed: int) -> Iterator[None]:
        """Waits until so much is left, and holds it."""
        if needed < FEW_BYTES:
            yield
            return
        with self._turnstile, self._changed:
            self._changed.wait_for(lambda: self._free >= needed)
            self._free -= needed
        try:
            yield
        finally:
            with self._changed:
                self._free += needed
                self._changed.notify_all()


_memory = _Memory(MOST_BYTES)


def read_grey(source: Source, *, enough_pixels: int = ENOUGH_PIXELS) -> Grey:
    """The luminance of a picture, upright, as an array.

    Args:
        source: as `open_grey` takes it.
        enough_pixels: likewise.

    Returns:
        uint8 (H, W), 0 black to 255 white; read-only.

    Raises:
        PictureError: as `open_grey`.
        InputError: likewise.
    """
    return as_array(open_grey(source, enough_pixels=enough_pixels))


def open_grey(source: Source, *, enough_pixels: int = ENOUGH_PIXELS) -> GreyPicture:
    """The luminance of a picture, upright; where the decoder gives just that, its pixels are not copied.

    Args:
        source: a path, the bytes of a picture file, or a binary stream of them. Of a file with several frames or pages
            the first counts.
        enough_pixels: a JPEG may be decoded at a fraction of its size while its shorter side keeps this many pixels.

    Returns:
        A Pillow image of mode L, or uint8 (H, W), read-only: 0 black to 255 white.

    Raises:
        PictureNotFoundError: no file has that path.
        UnreadablePictureError: a directory, an empty or unreadable file, not a picture of a known format, cut off or
            damaged, or more than 100 megapixels.
        InputError: neither a path, nor bytes, nor a stream.
    """
    if isinstance(source, bytes | bytearray | memoryview):
        if (plain := plain_png.rows(bytes(source))) is not None:
            return plain_png.decode(plain[0], [plain[1]]).reshape(plain[0])
        return _decode(io.BytesIO(source), "the picture given as bytes", enough_pixels)
    if isinstance(source, str | os.PathLike):
        if (plain := _plain_file(source)) is not None:
            return plain_png.decode(plain[0], [plain[1]]).reshape(plain[0])
        return _decode_file(Path(source), enough_pixels)
    if not hasattr(source, "read"):
        raise InputError(f"a {type(source).__name__} is no picture; give a path, the bytes of a file, or a stream")
    name = _name_of_stream(source)
    try:
        stream = _seekable(source, name)
    except (OSError, ValueError) as cause:
        raise UnreadablePictureError(f"{name} cannot be read ({_one_line(cause)}); open it again") from cause
    return _decode(stream, name, enough_pixels)


def luminance_of(image: Image.Image, name: str = "the picture") -> GreyPicture:
    """The luminance of an opened Pillow image, upright; the image itself is left as it is.

    Args:
        image: any mode that Pillow's readers of the known formats give.
        name: how error messages call the picture.

    Returns:
        The image where it is that already, or uint8 (H, W), read-only: 0 black to 255 white.

    Raises:
        UnreadablePictureError: cut off or damaged, or more than 100 megapixels.
    """
    _refuse_size(image, name)
    try:
        # only TIFF reads headers while it decodes: all else may decode in several threads at once
        with _silently() if image.format == "TIFF" else nullcontext():
            _load(image)
        if image.mode == "L" and "transparency" not in image.info and not _may_be_turned(image):
            return image
        levels = _luminance(image)
        if _has_colours(image) and colour.lacks_contrast(levels):
            levels = _mixed(image, colour.strongest_mixture(_small_colours(image)), levels)
        grey = np.ascontiguousarray(_upright(levels, image))
    except Exception as cause:  # the decoders raise a dozen kinds of exceptions on damaged files
        raise UnreadablePictureError(
            f"{name} is cut off or damaged ({_one_line(cause)}); save or download it again"
        ) from cause
    grey.flags.writeable = False
    return grey


def _load(image: Image.Image) -> None:
    """Decodes; what libtiff only mentions is an error here."""
    if image.format != "TIFF":
        image.load()
        return
    with libtiff.heard() as errors:
        image.load()
    if errors:
        raise ValueError(errors[0])


def as_array(picture: GreyPicture) -> Grey:
    """The pixels of a picture, uint8 (H, W), read-only."""
    if isinstance(picture, np.ndarray):
        return picture
    return np.frombuffer(picture.tobytes(), np.uint8).reshape(picture.height, picture.width)


def plain_greys(sources: Sequence[object], size: plain_png.Size) -> tuple[list[int], Grey]:
    """The luminance of those pictures that are plain PNG files of one size: several times quicker than one by one.

    Args:
        sources: anything; only paths are looked at.
        size: height and width, in pixels.

    Returns:
        Positions in `sources`, and for each uint8 (height, width), read-only, as `read_grey` gives it: together uint8
        (N, height, width). All other pictures are missing.
    """
    found = {
        position: plain[1]
        for position, source in enumerate(sources)
        if isinstance(source, str | os.PathLike) and (plain := _plain_file(source)) is not None and plain[0] == size
    }
    return list(found), plain_png.decode(size, list(found.values())) if found else np.zeros((0, *size), np.uint8)


def _plain_file(path: str | os.PathLike[str]) -> tuple[plain_png.Size, bytes] | None:
    """The rows of a plain file; None for all else, from missing files to pipes, which can be read only once."""
    try:
        facts = os.stat(path)  # noqa: PTH116 - making a Path takes longer than asking
        if facts.st_size > plain_png.MOST_BYTES or not stat.S_ISREG(facts.st_mode):
            return None
        # a file object takes as long as decoding the picture
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        try:
            return plain_png.rows(os.read(descriptor, facts.st_size))
        finally:
            os.close(descriptor)
    except (OSError, ValueError):
        return None


def _decode_file(path: Path, enough_pixels: int) -> GreyPicture:
    name = _one_line(path)
    try:
        if path.is_dir():
            raise UnreadablePictureError(f"{name} is a directory, not a picture; name the picture files in it")
        with path.open("rb") as file:
            return _decode(_seekable(file, name), name, enough_pixels)
    except PictureError:
        raise
    except (FileNotFoundError, NotADirectoryError) as cause:
        raise PictureNotFoundError(f"there is no file {name}; check the path and the working directory") from cause
    except PermissionError as cause:
        raise UnreadablePictureError(f"{name} may not be read; allow reading it, or copy it elsewhere") from cause
    except (OSError, ValueError) as cause:
        raise UnreadablePictureError(f"{name} cannot be opened ({_one_line(cause)}); check the path") from cause


def _decode(stream: BinaryIO, name: str, enough_pixels: int) -> GreyPicture:
    with _silently():
        image = _open(stream, name)
    # the luminance of a JPEG is one of its planes: the colours need not be decoded; other formats ignore this
    was_coloured = image.mode != "L"
    image.draft("L", (enough_pixels, enough_pixels))
    with _memory.taken(_needed_memory(image, name)):
        grey = luminance_of(image, name)
    if was_coloured and image.mode == "L" and colour.lacks_contrast(grey):
        try:
            return _from_colours(stream, name, enough_pixels, grey)
        except (OSError, ValueError, SyntaxError):  # only the colours are damaged
            return grey
    return grey


def _from_colours(stream: BinaryIO, name: str, enough_pixels: int, grey: GreyPicture) -> GreyPicture:
    """A JPEG whose luminance has no contrast, with its colours: the mixture of them that has, or else the luminance."""
    stream.seek(0)
    with _silently():
        small = _open(stream, name)
    small.draft("RGB", (colour.SIDE, colour.SIDE))
    if not _has_colours(small) or (mixture := colour.strongest_mixture(_small_colours(small))) is None:
        return grey
    stream.seek(0)
    with _silently():
        image = _open(stream, name)
    image.draft("RGB", (enough_pixels, enough_pixels))
    with _memory.taken(_needed_memory(image, name)):
        image.load()
        levels = np.ascontiguousarray(_upright(_mixed(image, mixture, as_array(grey)), image))
    levels.flags.writeable = False
    return levels


def _open(stream: BinaryIO, name: str) -> Image.Image:
    """Reads the header alone, and refuses what should not be decoded."""
    try:
        image = Image.open(stream, formats=FORMATS)
    except Image.DecompressionBombError as cause:
        raise UnreadablePictureError(_too_large(name, "")) from cause
    except Exception as cause:  # see luminance_of
        if _is_empty(stream):
            raise UnreadablePictureError(f"{name} is empty, zero bytes; save or download it again") from cause
        known = f"{', '.join(FORMATS[:-1])} or {FORMATS[-1]}"
        raise UnreadablePictureError(f"{name} is not a picture that can be read; give a {known} file") from cause
    _refuse_size(image, name)
    if image.info.get("progressive") or (image.format == "JPEG" and _has_plane_scans(image, stream)):
        _refuse_passes(image, stream, name)
    return image


def _has_plane_scans(image: Image.Image, stream: BinaryIO) -> bool:
    """Whether the first scan of a JPEG leaves planes to others: all are held then, and passed over, as if progressive.

    True where that cannot be seen at once: between segments there may be anything.
    """
    at, place = stream.tell(), len(_START_OF_IMAGE)
    try:
        while True:
            stream.seek(place)
            head = stream.read(5)
            if head[:2] == _START_OF_SCAN and len(head) == 5:
                return head[4] < len(getattr(image, "layer", []))
            if _MARKER.match(head) is None or len(head) < 5:
                return True
            place += 2 + int.from_bytes(head[2:4], "big")
    finally:
        stream.seek(at)


def _scans(stream: BinaryIO) -> int:
    """How many times a JPEG passes over its picture. The stream stays where it was."""
    at = stream.tell()
    stream.seek(0)
    content = stream.read()
    stream.seek(at)
    scans, place = 0, 2
    while (found := _MARKER.search(content, place)) is not None and found[0] != _END_OF_IMAGE:
        scans += found[0] == _START_OF_SCAN
        # a segment says how long it is; what follows that of a scan is its data, in which no marker can be
        place = found.end() + int.from_bytes(content[found.end() : found.end() + 2], "big")
    return scans


def _is_empty(stream: BinaryIO) -> bool:
    try:
        return stream.seek(0, os.SEEK_END) == 0
    except (OSError, ValueError):
        return False


@contextmanager
def _silently() -> Iterator[None]:
    """Keeps Pillow's doubts about headers to itself; one thread at a time, for the list of filters is the process's."""
    with _warnings_lock, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _refuse_size(image: Image.Image, name: str) -> None:
    if image.width * image.height > MOST_PIXELS:
        raise UnreadablePictureError(_too_large(name, f"{image.width} x {image.height} pixels, "))
    if max(image.size) > LONGEST_SIDE:
        raise UnreadablePictureError(
            f"{name} has {image.width} x {image.height} pixels, and no side may have more than {LONGEST_SIDE}; crop it"
        )
    if image.width * image.height == 0:
        raise UnreadablePictureError(f"{name} has no pixels; save it again")


def _needed_memory(image: Image.Image, name: str) -> int:
    """Bytes that decoding takes, by what a pixel of its kind takes; refuses what would take too much."""
    held = _WEBP_BYTES if image.format == "WEBP" else _BYTES_OF_MODE.get(image.mode, _BYTES_OF_OTHERS)
    needed = image.width * image.height * (held + _GREY_BYTES * (1 + _may_be_turned(image)))
    if needed > MOST_BYTES:
        raise UnreadablePictureError(
            f"{name} is too large: {image.width} x {image.height} pixels of {image.format}, {image.mode}, take "
            f"{needed // 1_000_000} MB of at most {MOST_BYTES // 1_000_000}; scale it down, or save it in grey as PNG"
        )
    return needed


def _refuse_passes(image: Image.Image, stream: BinaryIO, name: str) -> None:
    """Refuses a JPEG of several scans that passes over its picture too often, or whose coefficients take too much."""
    layers = getattr(image, "layer", [])  # of each plane its number, and how often it is sampled across and down
    shares = [across * down for _, across, down, *_ in layers] or [1]
    planes = sum(shares) / max(shares)
    needed = int(image.width * image.height * _COEFFICIENT_BYTES * planes)
    if needed > MOST_BYTES:
        raise UnreadablePictureError(
            f"{name} is too large: {image.width} x {image.height} pixels of a JPEG in several scans take "
            f"{needed // 1_000_000} MB of at most {MOST_BYTES // 1_000_000}; scale it down, or save it as a plain JPEG"
        )
    if (scans := _scans(stream)) > MOST_SCANS:
        raise UnreadablePictureError(
            f"{name} passes over its picture {scans} times, which takes too long (at most {MOST_SCANS}); save it again"
        )


def _too_large(name: str, size: str) -> str:
    return f"{name} is too large ({size}more than {MOST_PIXELS // 1_000_000} megapixels); scale it down or crop it"


def _seekable(stream: BinaryIO, name: str) -> BinaryIO:
    """The stream itself, or for a pipe its whole content: decoders jump about in a file."""
    if stream.seekable():
        return stream
    content = bytearray()
    while part := stream.read(MOST_STREAM_BYTES + 1 - len(content)):  # a pipe may give less than was asked for
        content += part
        if len(content) > MOST_STREAM_BYTES:
            raise UnreadablePictureError(_too_large(name, ""))
    return io.BytesIO(content)


def _name_of_stream(stream: BinaryIO) -> str:
    name = getattr(stream, "name", None)
    return _one_line(name) if isinstance(name, str) and name else "the picture in the stream"


def _one_line(text: object) -> str:
    """Text that prints on one line, whatever a file is called."""
    plain = str(text)
    return plain if plain.isprintable() else repr(plain)


def _strips(image: Image.Image) -> Iterator[tuple[slice, Image.Image]]:
    """The rows of a picture, as many at a time as are converted at a time; a picture of usual size is one strip."""
    rows = max(1, _STRIP_PIXELS // image.width)
    if rows >= image.height:
        yield slice(0, image.height), image
        return
    for top in range(0, image.height, rows):
        bottom = min(top + rows, image.height)
        yield slice(top, bottom), image.crop((0, top, image.width, bottom))


def _luminance(image: Image.Image) -> Grey:
    """uint8 (H, W), with transparency filled; strip by strip, so that nothing but the result is held in full."""
    mode = image.mode
    if mode in ("I", "F") or mode.startswith("I;"):
        return _eight_bits(image)
    if "transparency" in image.info or mode in ("LA", "La", "PA", "RGBA", "RGBa"):
        return _filled(image)
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


def _has_colours(image: Image.Image) -> bool:
    """Whether all of a picture is of colours that may differ where its luminance does not."""
    if image.mode == "RGBA":
        return image.getchannel("A").getextrema() == (255, 255)
    return image.mode in ("RGB", "P", "CMYK") and "transparency" not in image.info


def _small_colours(image: Image.Image) -> Image.Image:
    """A small copy of a picture, mode RGB."""
    method = Image.Resampling.NEAREST if image.mode == "P" else Image.Resampling.BOX
    return image.resize((colour.SIDE, colour.SIDE), method).convert("RGB")


def _mixed(image: Image.Image, mixture: Floats | None, otherwise: Grey) -> Grey:
    """The mixture of a picture's colours, strip by strip, uint8 (H, W); without a mixture, what is given."""
    if mixture is None:
        return otherwise
    grey = np.empty((image.height, image.width), np.uint8)
    for rows, strip in _strips(image):
        grey[rows] = colour.mixed(strip.convert("RGB"), mixture)
    return grey


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
        is_opaque = is_opaque and int(np.asarray(alpha).min()) == 255
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
    with _silently():
        if image.mode in ("La", "RGBa"):
            image = image.convert(image.mode[:-1] + "A")
        colours = image.convert("RGBA")
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


def _may_be_turned(image: Image.Image) -> bool:
    return image.format == "TIFF" or any(key in image.info for key in _ORIENTATION_SOURCES)


def _upright(grey: Grey, original: Image.Image) -> Grey:
    """Turned as the camera was held."""
    if not _may_be_turned(original):
        return grey
    with _silently():
        try:
            orientation = original.getexif().get(_ORIENTATION_TAG, 1)
        except Exception:  # noqa: BLE001 -- a damaged camera note is no reason to refuse the picture
            orientation = 1
    turn = _TURNS.get(orientation)
    return grey if turn is None else turn(grey)
