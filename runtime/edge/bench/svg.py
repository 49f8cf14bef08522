"""A canvas as SVG: text, small, and sharp at every size."""

from xml.sax.saxutils import escape

from edge.bench.canvas import Canvas, Dot, Line, Text

_FONT = "Helvetica, Arial, sans-serif"
_HALO = 3.0
_MIDDLE_OF_SMALL_LETTERS = 0.33  # of the font's height above the line that letters stand on


def svg(canvas: Canvas) -> bytes:
    """Writes a canvas as a stand-alone SVG file."""
    width, height = canvas.width, canvas.height
    shapes = sorted(canvas.shapes, key=lambda shape: isinstance(shape, Text))
    extent = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {extent} font-family="{_FONT}">',
        f'<rect width="{width}" height="{height}" fill="{canvas.background}"/>',
        *(_element(shape, canvas.background) for shape in shapes),
        "</svg>",
    ]
    return "".join(f"{line}\n" for line in lines).encode()


def _element(shape: Line | Dot | Text, background: str) -> str:
    if isinstance(shape, Line):
        ends = f'x1="{shape.x1:.1f}" y1="{shape.y1:.1f}" x2="{shape.x2:.1f}" y2="{shape.y2:.1f}"'
        return f'<line {ends} stroke="{shape.colour}" stroke-width="{shape.width:g}"/>'
    if isinstance(shape, Dot):
        return f'<circle cx="{shape.x:.1f}" cy="{shape.y:.1f}" r="{shape.radius:g}" fill="{shape.colour}"/>'
    baseline = shape.y + shape.size * _MIDDLE_OF_SMALL_LETTERS
    return (
        f'<text x="{shape.x:.1f}" y="{baseline:.1f}" font-size="{shape.size:g}" text-anchor="{shape.anchor}" '
        f'fill="{shape.colour}" stroke="{background}" stroke-width="{_HALO:g}" paint-order="stroke">'
        f"{escape(shape.text)}</text>"
    )
