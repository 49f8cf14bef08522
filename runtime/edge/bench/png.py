"""A canvas as PNG, drawn with Pillow."""

import io

from PIL import Image, ImageDraw, ImageFont

from edge.bench.canvas import Canvas, Dot, Line, Text
from edge.errors import EdgeError

PIXELS = 2
"""Pixels of a point: sharp on the screens of today."""

_OVERSAMPLING = 4  # Pillow draws lines and circles with hard edges; drawn larger and reduced, they are smooth
_HALO = 1.5
_ANCHORS = {"start": "lm", "middle": "mm", "end": "rm"}


def png(canvas: Canvas) -> bytes:
    """Writes a canvas as a PNG file of `PIXELS` pixels a point.

    Raises:
        EdgeError: this Pillow was built without FreeType, and can draw no text of this size.
    """
    scale = PIXELS * _OVERSAMPLING
    image = Image.new("RGB", (canvas.width * scale, canvas.height * scale), canvas.background)
    draw = ImageDraw.Draw(image)
    for shape in canvas.shapes:
        if isinstance(shape, Line):
            ends = [(shape.x1 * scale, shape.y1 * scale), (shape.x2 * scale, shape.y2 * scale)]
            draw.line(ends, fill=shape.colour, width=round(shape.width * scale))
        elif isinstance(shape, Dot):
            x, y, radius = shape.x * scale, shape.y * scale, shape.radius * scale
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=shape.colour)
    image = image.reduce(_OVERSAMPLING)
    draw = ImageDraw.Draw(image)
    for shape in canvas.shapes:
        if isinstance(shape, Text):
            draw.text(
                (shape.x * PIXELS, shape.y * PIXELS),
                shape.text,
                fill=shape.colour,
                font=_font(shape.size * PIXELS),
                anchor=_ANCHORS[shape.anchor],
                stroke_width=round(_HALO * PIXELS),
                stroke_fill=canvas.background,
            )
    file = io.BytesIO()
    image.save(file, "PNG", optimize=True)
    return file.getvalue()


def _font(size: float) -> ImageFont.FreeTypeFont:
    try:
        font = ImageFont.load_default(size)
    except ImportError as error:
        raise EdgeError("this Pillow cannot draw text (it has no FreeType); draw a .svg instead") from error
    assert isinstance(font, ImageFont.FreeTypeFont)  # with a size it is never the bitmap font
    return font
