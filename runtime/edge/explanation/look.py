"""What the pictures of an explanation share: colours, letters, smooth lines, and the digit enlarged.

Everything is placed in points from the top left. Pillow draws with hard edges, so the canvas is several pixels a point
and is reduced at the end.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from edge.errors import EdgeError

GROUND: Final = "#ffffff"
INK: Final = "#1f2328"
QUIET: Final = "#6b7280"  # of letters that explain
FAINT: Final = "#e5e7eb"  # of frames and grids
UNREAD: Final = "#f3f4f6"

TITLE, TEXT, SMALL = 22, 15, 12  # sizes of the letters

OVERSAMPLING: Final = 2

Colour = str
Point = tuple[float, float]


class Pen:
    """A canvas while it is being drawn on; all lengths in points.

    Args:
        width: of the canvas.
        height: of the canvas.
        pixels: of the finished picture for each point.
    """

    def __init__(self, width: float, height: float, *, pixels: int) -> None:
        self._scale = pixels * OVERSAMPLING
        self._image = Image.new("RGB", (round(width * self._scale), round(height * self._scale)), GROUND)
        self._draw = ImageDraw.Draw(self._image)

    def finished(self) -> Image.Image:
        """The picture, in its final number of pixels."""
        return self._image.reduce(OVERSAMPLING)

    def box(self, left: float, top: float, right: float, bottom: float, colour: Colour) -> None:
        """A filled rectangle."""
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
        anchor: str = "lm",
        halo: bool = False,
    ) -> None:
        """A line of text; `anchor` as Pillow has it; a `halo` keeps it legible on lines."""
        self._draw.text(
            (x * self._scale, y * self._scale),
            words,
            fill=colour,
            font=font(size * self._scale),
            anchor=anchor,
            stroke_width=round(2 * self._scale) if halo else 0,
            stroke_fill=GROUND,
        )

    def tile(self, pixels: NDArray[np.uint8], left: float, top: float, cell: float) -> None:
        """An image of colours, uint8 (h, w, 3), each of its pixels a square of `cell` points, in a thin frame."""
        height, width = pixels.shape[:2]
        size = round(width * cell * self._scale), round(height * cell * self._scale)
        enlarged = Image.fromarray(np.ascontiguousarray(pixels)).resize(size, Image.Resampling.NEAREST)
        self._image.paste(enlarged, (round(left * self._scale), round(top * self._scale)))
        self.frame(left, top, left + width * cell, top + height * cell, FAINT)


def font(size: float) -> ImageFont.FreeTypeFont:
    """Pillow's own letters, in any size.

    Raises:
        EdgeError: this Pillow was built without FreeType.
    """
    try:
        found = ImageFont.load_default(size)
    except ImportError as error:
        raise EdgeError(
            "this Pillow cannot draw text (it has no FreeType); leave --out and --gif away, or install another Pillow"
        ) from error
    assert isinstance(found, ImageFont.FreeTypeFont)  # with a size it is never the bitmap font
    return found


def fitting(words: str, width: float, size: float) -> str:
    """The words, or their beginning with an ellipsis, that fit into `width` points at that size of letters."""
    letters = font(size)
    if letters.getlength(words) <= width:
        return words
    count = len(words)
    while count > 1 and letters.getlength(words[:count] + "...") > width:
        count -= 1
    return words[:count] + "..."


def paper(image: NDArray[np.uint8], darkest: Colour = INK) -> NDArray[np.uint8]:
    """The digit as dark ink on white paper, uint8 (28, 28, 3).

    Args:
        image: uint8 (28, 28), ink 255 on background 0.
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


def percent(share: float) -> str:
    """A probability for people, such as "99.7 %"; never 100.0 or 0.0 where it is not quite."""
    if 0 < share < 0.0005:
        return "< 0.1 %"
    return "> 99.9 %" if 0.9995 <= share < 1 else f"{share * 100:.1f} %"
