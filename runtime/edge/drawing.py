"""All that is drawn with Pillow: one pen, one palette, one way to letters, one sheet of small pictures.

Everything is placed in points from the top left. A pen may hold several pixels a point, and may draw finer still and
be reduced at the end, because Pillow draws with hard edges. Where Pillow was built without FreeType its bitmap letters
take the place of the usual ones: coarser, in the same size and place.
"""

import io
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edge.errors import InputError

if TYPE_CHECKING:
    from PIL import ImageFont

GROUND: Final = "#ffffff"
INK: Final = "#1f2328"
QUIET: Final = "#6b7280"  # of letters that explain
FAINT: Final = "#e5e7eb"  # of frames and grids
UNREAD: Final = "#f3f4f6"  # of what is not there yet
PALE_INK: Final = "#9ca3af"  # of a digit under a map
BLUE: Final = "#2563eb"
GREEN: Final = "#1a7f37"
RED: Final = "#dc2626"

# Ten that stay apart, neighbours above all: 1 and 7, 4 and 9, 3 and 8 are what curves cross between.
SERIES: Final = (QUIET, BLUE, "#0f766e", "#d97706", "#7c3aed", "#db2777", "#65a30d", RED, "#0891b2", "#92400e")

TITLE, TEXT, SMALL = 22, 15, 12  # sizes of letters, points

GAP_PIXELS: Final = 6  # between the pictures of a sheet
CAPTION_PIXELS: Final = 12  # letters below them: the smallest that read well on a screen

Colour = str
Point = tuple[float, float]
Letters: TypeAlias = "ImageFont.FreeTypeFont | ImageFont.ImageFont"
Anchor = Literal["la", "lm", "lb", "ma", "mm", "mb", "ra", "rm", "rb"]

_BITMAP_PIXELS: Final = 11  # height of Pillow's bitmap letters
_HALO: Final = 2  # points around letters that cross a line
_ABOVE: Final = {"l": 0.0, "a": 0.0, "m": 0.5, "r": 1.0, "b": 1.0}  # share of a text before its anchor


class Pen:
    """A canvas while it is being drawn on; all lengths in points.

    Args:
        width: of the canvas.
        height: of the canvas.
        pixels: of the finished picture for each point.
        oversampling: pixels that are drawn for one of the finished picture, along each axis; 1 for hard edges, and for
            pictures whose pixels stay as they are.
        letters: a TrueType file; None takes Pillow's own letters, which have no accents.
    """

    def __init__(
        self, width: float, height: float, *, pixels: int = 1, oversampling: int = 2, letters: Path | None = None
    ) -> None:
        from PIL import ImageDraw  # what explains as text draws nothing

        self._scale = pixels * oversampling
        self._oversampling = oversampling
        self._letters = letters
        self._image = Image.new("RGB", (round(width * self._scale), round(height * self._scale)), GROUND)
        self._draw = ImageDraw.Draw(self._image)

    def finished(self) -> Image.Image:
        """The picture (RGB), in its final number of pixels."""
        return self._image if self._oversampling == 1 else self._image.reduce(self._oversampling)

    def box(self, left: float, top: float, right: float, bottom: float, colour: Colour) -> None:
        """A filled rectangle; nothing where it is narrower than a pixel."""
        corners = [edge * self._scale for edge in (left, top, right, bottom)]
        if corners[2] - corners[0] >= 1 and corners[3] - corners[1] >= 1:
            self._draw.rectangle((corners[0], corners[1], corners[2] - 1, corners[3] - 1), fill=colour)

    def frame(self, left: float, top: float, right: float, bottom: float, colour: Colour, *, width: float = 1) -> None:
        """A rectangle's outline, around it."""
        corners = (left - width, top - width, right + width, bottom + width)
        scaled = [corner * self._scale for corner in corners]
        thick = max(1, round(width * self._scale))
        self._draw.rectangle((scaled[0], scaled[1], scaled[2] - 1, scaled[3] - 1), outline=colour, width=thick)

    def line(self, points: Sequence[Point], colour: Colour, width: float) -> None:
        """Straight pieces from point to point, joined smoothly, with round ends."""
        scaled = [(x * self._scale, y * self._scale) for x, y in points]
        self._draw.line(scaled, fill=colour, width=max(1, round(width * self._scale)), joint="curve")
        for x, y in (points[0], points[-1]):
            self.dot(x, y, width / 2, colour)

    def dashes(self, left: float, right: float, y: float, colour: Colour) -> None:
        """A thin horizontal line of dashes."""
        for start in np.arange(left, right, 8.0):
            self.box(float(start), y - 0.75, min(float(start) + 4.5, right), y + 0.75, colour)

    def dot(self, x: float, y: float, radius: float, colour: Colour) -> None:
        """A filled circle."""
        corners = [edge * self._scale for edge in (x - radius, y - radius, x + radius, y + radius)]
        self._draw.ellipse((corners[0], corners[1], corners[2], corners[3]), fill=colour)

    def text(
        self,
        x: float,
        y: float,
        words: str,
        *,
        size: float = TEXT,
        colour: Colour = INK,
        anchor: Anchor = "lm",
        halo: bool = False,
    ) -> None:
        """Lines of text.

        Args:
            x: of the anchor.
            y: of the anchor.
            words: one line, or several with line breaks between them.
            size: of the letters, in points.
            colour: of the letters.
            anchor: what stands at (x, y), as Pillow has it: left, middle or right; ascender, middle or bottom.
            halo: whether the ground shows around the letters, so that they stay legible on lines.
        """
        lines = words.split("\n")
        if len(lines) == 1:
            self._line_of_text(words, x, y, size=size, colour=colour, anchor=anchor, halo=halo)
            return
        top = y - len(lines) * line_height(size) * _ABOVE[anchor[1]]
        for place, line in enumerate(lines):
            down = top + place * line_height(size)
            self._line_of_text(line, x, down, size=size, colour=colour, anchor=anchor[0] + "a", halo=halo)

    def paste(self, picture: Image.Image, left: float, top: float) -> None:
        """A finished picture, pixel by pixel, with its corner at that point."""
        self._image.paste(picture, (round(left * self._scale), round(top * self._scale)))

    def tile(self, pixels: NDArray[np.uint8], left: float, top: float, cell: float) -> None:
        """An image of colours, uint8 (h, w, 3), each of its pixels a square of `cell` points, in a thin frame."""
        height, width = pixels.shape[:2]
        size = round(width * cell * self._scale), round(height * cell * self._scale)
        self.paste(Image.fromarray(np.ascontiguousarray(pixels)).resize(size, Image.Resampling.NEAREST), left, top)
        self.frame(left, top, left + width * cell, top + height * cell, FAINT)

    def _line_of_text(
        self, line: str, x: float, y: float, *, size: float, colour: Colour, anchor: str, halo: bool
    ) -> None:
        from PIL import ImageFont

        pixels = size * self._scale
        letters = font(pixels, self._letters)
        place = x * self._scale, y * self._scale
        if isinstance(letters, ImageFont.ImageFont):
            mask = _bitmap(line, letters, pixels)
            left, top = place[0] - mask.width * _ABOVE[anchor[0]], place[1] - mask.height * _ABOVE[anchor[1]]
            self._draw.bitmap((round(left), round(top)), mask, fill=colour)
            return
        stroke = round(_HALO * self._scale) if halo else 0
        self._draw.text(place, line, colour, letters, anchor, stroke_width=stroke, stroke_fill=GROUND)


@lru_cache(maxsize=64)
def font(pixels: float, letters: Path | None = None) -> Letters:
    """Letters of a size: Pillow's own or those of a file, and Pillow's bitmap letters where it has no FreeType.

    Args:
        pixels: size of the letters.
        letters: a TrueType file; None takes Pillow's own letters, which have no accents.
    """
    from PIL import ImageFont

    try:
        return ImageFont.load_default(pixels) if letters is None else ImageFont.truetype(letters, pixels)
    except ImportError:
        return ImageFont.load_default()


def length(words: str, size: float, letters: Path | None = None) -> float:
    """The width of a line of text in points, at a pixel a point.

    Args:
        words: one line.
        size: of the letters, in points.
        letters: as `font`.
    """
    from PIL import ImageFont

    found = font(size, letters)
    return _bitmap(words, found, size).width if isinstance(found, ImageFont.ImageFont) else found.getlength(words)


def line_height(size: float) -> float:
    """Points from one line of text to the next at that size of letters."""
    return round(size * 1.25)


def fitting(words: str, width: float, size: float) -> str:
    """The words, or their beginning with an ellipsis, that fit into `width` points at that size of letters."""
    if length(words, size) <= width:
        return words
    count = len(words)
    while count > 1 and length(words[:count] + "...", size) > width:
        count -= 1
    return words[:count] + "..."


def wrapped(words: str, width: float, size: float) -> str:
    """The words with line breaks where a line would be longer than `width` points at that size of letters."""
    lines: list[str] = []
    for word in words.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and length(longer, size) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return "\n".join(lines)


def contact_sheet(
    images: NDArray[np.uint8],
    captions: Sequence[str] | None = None,
    *,
    columns: int = 20,
    scale: int = 3,
    letters: Path | None = None,
) -> Image.Image:
    """All pictures on one white sheet, row by row, ink dark, their captions below them.

    Args:
        images: uint8 (N, rows, columns), ink 255 on background 0, N at least 1.
        captions: a short text for each picture, of one or more lines; `None` leaves no room for any.
        columns: pictures in a row, at least 1; a single row is only as wide as its pictures.
        scale: pixels of the sheet along a pixel of a picture, at least 1.
        letters: as `font`.

    Returns:
        A grey picture (mode L). All tiles are as large as the largest caption needs.

    Raises:
        InputError: pictures of another type or shape, none at all, another number of captions, or a number below 1.
    """
    if images.dtype != np.uint8 or images.ndim != 3 or len(images) == 0:
        raise InputError(
            f"a sheet cannot show {images.dtype} {images.shape}; give at least one picture, uint8 (N, rows, columns)"
        )
    if captions is not None and len(captions) != len(images):
        raise InputError(f"{len(captions)} captions for {len(images)} pictures; give one for each")
    if columns < 1 or scale < 1:
        raise InputError(f"a sheet of {columns} columns at scale {scale} cannot be drawn; give at least 1 for both")
    texts = [""] * len(images) if captions is None else list(captions)
    count, height, width = images.shape
    height, width, columns = height * scale, width * scale, min(columns, count)
    lines = [line for text in texts for line in text.split("\n")]
    tile_width = GAP_PIXELS + int(np.ceil(max(width, *(length(line, CAPTION_PIXELS, letters) for line in lines))))
    most_lines = max(text.count("\n") + 1 if text else 0 for text in texts)
    tile_height = GAP_PIXELS + height + most_lines * round(line_height(CAPTION_PIXELS))
    rows = -(-count // columns)
    pen = Pen(columns * tile_width + GAP_PIXELS, rows * tile_height + GAP_PIXELS, oversampling=1, letters=letters)
    for index, (image, text) in enumerate(zip(images, texts, strict=True)):
        row, column = divmod(index, columns)
        left, top = GAP_PIXELS + column * tile_width, GAP_PIXELS + row * tile_height
        pen.paste(Image.fromarray(255 - image).resize((width, height), Image.Resampling.NEAREST), left, top)
        if text:
            pen.text(left, top + height, text, size=CAPTION_PIXELS, colour="#000000", anchor="la")
    return pen.finished().convert("L")


def stacked(strips: Sequence[Image.Image]) -> Image.Image:
    """Pictures below each other; narrower ones end in white.

    Args:
        strips: RGB, at least one.
    """
    whole = Image.new("RGB", (max(strip.width for strip in strips), sum(strip.height for strip in strips)), GROUND)
    top = 0
    for strip in strips:
        whole.paste(strip, (0, top))
        top += strip.height
    return whole


def paper(image: NDArray[np.uint8], darkest: Colour = INK) -> NDArray[np.uint8]:
    """The digit as dark ink on white paper, uint8 (h, w, 3).

    Args:
        image: uint8 (h, w), ink 255 on background 0.
        darkest: colour of full ink.
    """
    share = image[..., None].astype(np.float64) / 255
    return mixed(rgb(GROUND), rgb(darkest), share)


def mixed(one: NDArray[np.float64], other: NDArray[np.float64], share: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Colours between two, uint8 (..., 3): `share` 0 is the one and 1 the other."""
    return np.rint(one + (other - one) * share).astype(np.uint8)


def rgb(colour: Colour) -> NDArray[np.float64]:
    """The three levels, 0 to 255, of a colour such as "#1f2328"."""
    return np.frombuffer(bytes.fromhex(colour[1:]), np.uint8).astype(np.float64)


def png(picture: Image.Image) -> bytes:
    """The picture as a PNG file."""
    file = io.BytesIO()
    picture.save(file, "PNG", optimize=True)
    return file.getvalue()


def _bitmap(line: str, letters: "ImageFont.ImageFont", pixels: float) -> Image.Image:
    """A line in Pillow's bitmap letters, enlarged to a size: a mask (mode L). They have the letters of Latin-1."""
    from PIL import ImageDraw

    known = line.encode("latin-1", errors="replace")
    width = max(1, round(letters.getlength(known)))
    mask = Image.new("L", (width, _BITMAP_PIXELS))
    ImageDraw.Draw(mask).text((0, 0), known.decode("latin-1"), 255, letters)
    share = pixels / _BITMAP_PIXELS
    return mask.resize((max(1, round(width * share)), max(1, round(pixels))), Image.Resampling.BILINEAR)
