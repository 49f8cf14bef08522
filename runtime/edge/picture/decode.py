"""Any picture file, bytes or stream -> grey levels.

What a file may cost is in `edge.picture.limits`, what becomes of its mode and orientation in `edge.picture.luminance`.
What libtiff says while it decodes goes to the process's standard error, past Python: it is caught there.
"""

import io
import logging
import os
import re
import stat
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import BinaryIO, Final, TypeAlias

import numpy as np
from PIL import Image

from edge.errors import InputError, PictureError, PictureNotFoundError, UnreadablePictureError
from edge.picture import containers, limits, luminance
from edge.picture.luminance import Grey

Source: TypeAlias = str | os.PathLike[str] | bytes | BinaryIO
GreyPicture: TypeAlias = Grey | Image.Image

# Only decoders that people's pictures need: every further one is code that a hostile file can reach.
FORMATS: Final = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF")

# A pipe has no size that could be checked first. The largest picture allowed fits, uncompressed with alpha channel.
MOST_STREAM_BYTES: Final = 4 * limits.MOST_PIXELS + 1_000_000

# A JPEG is decoded at 1/2, 1/4 or 1/8 of its size as long as its shorter side keeps this many pixels: a digit that
# takes a thirtieth of the picture is then still larger than the 20 pixels that it ends as.
ENOUGH_PIXELS: Final = 1000

# Without any handler Python would print what Pillow logs about a file; who sets up logging still gets it.
logging.getLogger("PIL").addHandler(logging.NullHandler())


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
        if (plain := containers.plain_rows(bytes(source))) is not None:
            return containers.decode_plain(plain[0], [plain[1]]).reshape(plain[0])
        return _decode(io.BytesIO(source), "the picture given as bytes", enough_pixels)
    if isinstance(source, str | os.PathLike):
        if (plain := _plain_file(source)) is not None:
            return containers.decode_plain(plain[0], [plain[1]]).reshape(plain[0])
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
    limits.refuse_size(image, name)
    try:
        # only TIFF reads headers while it decodes: all else may decode in several threads at once
        with luminance.silently() if image.format == "TIFF" else nullcontext():
            _load(image)
        if image.mode == "L" and "transparency" not in image.info and not luminance.may_be_turned(image):
            return image
        grey = luminance.convert(image)
    except Exception as cause:  # the decoders raise a dozen kinds of exceptions on damaged files
        raise UnreadablePictureError(
            f"{name} is cut off or damaged ({_one_line(cause)}); save or download it again"
        ) from cause
    return _read_only(grey)


def _read_only(levels: GreyPicture) -> GreyPicture:
    if isinstance(levels, np.ndarray):
        levels.flags.writeable = False
    return levels


def _load(image: Image.Image) -> None:
    """Decodes; what libtiff only mentions is an error here."""
    if image.format != "TIFF":
        image.load()
        return
    with libtiff_errors() as errors:
        image.load()
    if errors:
        raise ValueError(errors[0])


def as_array(picture: GreyPicture) -> Grey:
    """The pixels of a picture, uint8 (H, W), read-only."""
    if isinstance(picture, np.ndarray):
        return picture
    return np.frombuffer(picture.tobytes(), np.uint8).reshape(picture.height, picture.width)


def plain_greys(sources: Sequence[object], size: containers.Size) -> tuple[list[int], Grey]:
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
    return list(found), containers.decode_plain(size, list(found.values())) if found else np.zeros((0, *size), np.uint8)


def _plain_file(path: str | os.PathLike[str]) -> tuple[containers.Size, bytes] | None:
    """The rows of a plain file; None for all else, from missing files to pipes, which can be read only once."""
    try:
        facts = os.stat(path)  # noqa: PTH116 - making a Path takes longer than asking
        if facts.st_size > containers.MOST_PLAIN_BYTES or not stat.S_ISREG(facts.st_mode):
            return None
        # a file object takes as long as decoding the picture
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        try:
            return containers.plain_rows(os.read(descriptor, facts.st_size))
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
    image, held_bytes = _open(stream, name)
    # the luminance of a JPEG is one of its planes: the colours need not be decoded; other formats ignore this
    was_coloured = image.mode != "L"
    image.draft("L", (enough_pixels, enough_pixels))
    with _memory_for(image, held_bytes, name):
        grey = luminance_of(image, name)
    if was_coloured and image.mode == "L" and luminance.lacks_contrast(grey):
        try:
            return _from_colours(stream, name, enough_pixels, grey)
        except (OSError, ValueError, SyntaxError):  # only the colours are damaged
            return grey
    return grey


def _from_colours(stream: BinaryIO, name: str, enough_pixels: int, grey: GreyPicture) -> GreyPicture:
    """A JPEG whose luminance has no contrast, with its colours: the mixture of them that has, or else the luminance."""
    stream.seek(0)
    small, held_bytes = _open(stream, name)
    small.draft("RGB", (luminance.SIDE, luminance.SIDE))
    if not luminance.has_colours(small):
        return grey
    with _memory_for(small, held_bytes, name):
        mixture = luminance.strongest_mixture(luminance.small_colours(small))
    if mixture is None:
        return grey
    stream.seek(0)
    image, held_bytes = _open(stream, name)
    image.draft("RGB", (enough_pixels, enough_pixels))
    with _memory_for(image, held_bytes + image.width * image.height, name):  # the luminance is still there
        image.load()
        return _read_only(luminance.upright(luminance.mix(image, mixture), image))


def _open(stream: BinaryIO, name: str) -> tuple[Image.Image, int]:
    """Reads the header alone, and refuses what should not be decoded; with the bytes that the decoder will hold."""
    with luminance.silently():
        try:
            containers.refuse_parts(stream, name)
            image = Image.open(stream, formats=FORMATS)
        except UnreadablePictureError:
            raise
        except Image.DecompressionBombError as cause:
            raise UnreadablePictureError(limits.too_large(name)) from cause
        except Exception as cause:  # see luminance_of
            if _is_empty(stream):
                raise UnreadablePictureError(f"{name} is empty, zero bytes; save or download it again") from cause
            known = f"{', '.join(FORMATS[:-1])} or {FORMATS[-1]}"
            raise UnreadablePictureError(f"{name} is not a picture that can be read; give a {known} file") from cause
    limits.refuse_size(image, name)
    return image, limits.held_beside(image, stream, name)


def _memory_for(image: Image.Image, held_bytes: int, name: str) -> AbstractContextManager[None]:
    """Waits until there is enough memory to decode a picture, and holds it."""
    is_turned = luminance.may_be_turned(image)
    return limits.memory.taken(limits.needed_memory(image, name, is_turned=is_turned, held_bytes=held_bytes))


def _is_empty(stream: BinaryIO) -> bool:
    try:
        return stream.seek(0, os.SEEK_END) == 0
    except (OSError, ValueError):
        return False


def _seekable(stream: BinaryIO, name: str) -> BinaryIO:
    """The stream itself, or for a pipe its whole content: decoders jump about in a file."""
    if stream.seekable():
        return stream
    content = bytearray()
    while part := stream.read(MOST_STREAM_BYTES + 1 - len(content)):  # a pipe may give less than was asked for
        content += part
        if len(content) > MOST_STREAM_BYTES:
            raise UnreadablePictureError(limits.too_large(name))
    return io.BytesIO(content)


def _name_of_stream(stream: BinaryIO) -> str:
    name = getattr(stream, "name", None)
    return _one_line(name) if isinstance(name, str) and name else "the picture in the stream"


def _one_line(text: object) -> str:
    """Text that prints on one line, whatever a file is called."""
    plain = str(text)
    return plain if plain.isprintable() else repr(plain)


# A damaged fax picture "decodes": libtiff fills the lines that it cannot read, writes a line for each, past Python, and
# reports success.
_STANDARD_ERROR: Final = 2
_MOST_TOLD_BYTES: Final = 65_536  # a pipe holds as much; what does not fit is lost, one line is enough to know

# "Fax4Decode: Bad code word at line 103 of strip 0 (x 301)."; another thread may write in between.
_MESSAGE: Final = re.compile(
    rb"^(?:\w*(?:Decode|Setup|Predictor|Directory|TIFF|Fax|JPEG|LogL|LZMA|ZSTD|WebP|LERC|JBIG)\w*|tempfile\.tif): .*$",
    re.MULTILINE,
)
_WARNING: Final = b"Warning"


@contextmanager
def libtiff_errors() -> Iterator[list[str]]:
    """Takes the standard error of the process while libtiff decodes, and gives back what others wrote to it.

    One thread at a time may be in it, as the descriptor is the process's own.

    Yields:
        A list that holds the errors of libtiff, a line each, once the block is left. It stays empty where the standard
        error is closed, and on systems whose pipes always wait.
    """
    errors: list[str] = []
    try:
        kept = os.dup(_STANDARD_ERROR)
    except OSError:  # closed: nobody could see a line, and none is told
        yield errors
        return
    ends: tuple[int, int] = os.pipe()
    try:
        os.set_blocking(ends[0], False)
        os.set_blocking(ends[1], False)  # a full pipe must not stop the decoder
    except (OSError, AttributeError):  # Windows before Python 3.12
        for descriptor in (*ends, kept):
            os.close(descriptor)
        yield errors
        return
    _flush_standard_error()
    os.dup2(ends[1], _STANDARD_ERROR)
    os.close(ends[1])
    try:
        yield errors
    finally:
        _flush_standard_error()
        os.dup2(kept, _STANDARD_ERROR)
        with suppress(BlockingIOError):
            written = os.read(ends[0], _MOST_TOLD_BYTES)
            lines = [line for line in _MESSAGE.findall(written) if _WARNING not in line]
            errors += [line.decode("utf-8", "replace").rstrip(".") for line in lines]
            if rest := _MESSAGE.sub(b"", written).strip(b"\n"):
                with suppress(OSError):
                    os.write(kept, rest + b"\n")
        os.close(ends[0])
        os.close(kept)


def _flush_standard_error() -> None:
    with suppress(AttributeError, OSError, ValueError):  # there may be no standard error
        sys.stderr.flush()
