"""A drawing as a list of shapes, which is written as SVG or as PNG.

Lengths are in points of the drawing, from the upper left corner; colours are "#rrggbb".
"""

from dataclasses import dataclass
from typing import Literal

Anchor = Literal["start", "middle", "end"]

# Sans-serif letters are on average about half as wide as the font is high; rather too wide than overlapping.
_WIDTH_OF_A_LETTER = 0.56


@dataclass(frozen=True, slots=True)
class Line:
    """A straight line.

    Attributes:
        x1: begin.
        y1: begin.
        x2: end.
        y2: end.
        colour: of the stroke.
        width: of the stroke.
    """

    x1: float
    y1: float
    x2: float
    y2: float
    colour: str
    width: float = 1.0


@dataclass(frozen=True, slots=True)
class Dot:
    """A filled circle.

    Attributes:
        x: centre.
        y: centre.
        radius: of the circle.
        colour: of the filling.
    """

    x: float
    y: float
    radius: float
    colour: str


@dataclass(frozen=True, slots=True)
class Text:
    """A line of text on a thin halo of the background, so that lines behind it do not touch the letters.

    Attributes:
        x: where the text begins, has its middle or ends, as `anchor` says.
        y: middle of its small letters.
        text: the line.
        size: height of the font.
        colour: of the letters.
        anchor: what `x` means.
    """

    x: float
    y: float
    text: str
    size: float
    colour: str
    anchor: Anchor = "start"


@dataclass(frozen=True, slots=True)
class Canvas:
    """A drawing.

    Attributes:
        width: of the whole.
        height: of the whole.
        background: colour behind everything.
        shapes: in the order of drawing; texts lie above all others.
    """

    width: int
    height: int
    background: str
    shapes: tuple[Line | Dot | Text, ...]


def text_width(text: str, size: float) -> float:
    """About how wide a line of text is, whatever font it will be drawn in."""
    return _WIDTH_OF_A_LETTER * size * len(text)
