"""How all pictures look, and how a figure becomes the bytes of its files."""

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# The page replaces these two: ink by the colour of its text, paper by nothing. Each is used for nothing else.
INK = "#24292f"
PAPER = "#fefefe"

# Middle tones, which are seen on white and on black; the first two differ for every kind of colour blindness.
BLUE = "#3b7dd8"
ORANGE = "#dd7a1e"
GREY = "#8c959f"

_SETTINGS: dict[Any, Any] = {
    "svg.hashsalt": "edge",  # the same document gives the same bytes
    "svg.fonttype": "none",  # text stays text: it can be selected, searched and read aloud
    "text.parse_math": False,  # a label may be "$"
    "font.family": ["DejaVu Sans"],
    "font.size": 10,
    "figure.dpi": 150,  # of the PNG
    "text.color": INK,
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.facecolor": "none",
    "figure.facecolor": PAPER,
    "xtick.color": INK,
    "ytick.color": INK,
    "grid.color": GREY,
    "grid.alpha": 0.25,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
}


@contextmanager
def drawing() -> Iterator[None]:
    """The style, for as long as figures are drawn and saved; nothing of it stays behind."""
    with mpl.rc_context(), warnings.catch_warnings():
        mpl.rcParams.update(mpl.rcParamsDefault)  # a user's matplotlibrc is made for other figures
        mpl.rcParams.update(_SETTINGS)
        # A label in another script is drawn as boxes in the PNG; the page shows it with the reader's fonts.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield


def figure(width: float, height: float) -> Figure:
    """An empty figure, sizes in inches."""
    return Figure(figsize=(width, height), layout="constrained")


def grid(axes: Axes) -> None:
    """Fine lines behind the data."""
    axes.grid(visible=True)
    axes.set_axisbelow(True)


def to_svg(drawn: Figure) -> str:
    """The figure as SVG, without a date."""
    buffer = io.StringIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    drawn.savefig(buffer, format="svg", metadata=nothing)
    return buffer.getvalue()


def to_png(drawn: Figure) -> bytes:
    """The figure as PNG."""
    buffer = io.BytesIO()
    drawn.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()
