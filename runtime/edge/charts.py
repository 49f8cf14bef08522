"""How every chart of edge looks that matplotlib draws: style, axes of cost and accuracy, labels beside points, bytes.

matplotlib comes with an extra, so it is imported where a chart is drawn, and nowhere else.
"""

import io
import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# A page replaces these two: ink by the colour of its text, paper by nothing. Each is used for nothing else.
INK: Final = "#24292f"
PAPER: Final = "#fefefe"

# Middle tones, which are seen on white and on black; the first two differ for every kind of colour blindness.
BLUE: Final = "#3b7dd8"
ORANGE: Final = "#dd7a1e"
GREEN: Final = "#2f8f5b"
GREY: Final = "#8c959f"

PIXELS_PER_INCH: Final = 150

NO_MISTAKE: Final = 1e-4
"""How an accuracy of 1 is drawn, since no mistake has no place on a logarithmic scale."""

LOGARITHMIC_FROM: Final = 4.0
"""Costs that differ by more than this factor are drawn on a logarithmic scale."""

_NO_METADATA: Final = dict.fromkeys(("Creator", "Date", "Format", "Type"))  # of an SVG: the same chart, the same bytes

_SETTINGS: dict[Any, Any] = {
    "svg.hashsalt": "edge",  # the same document gives the same bytes
    "svg.fonttype": "none",  # text stays text: it can be selected, searched and read aloud
    "text.parse_math": False,  # a label may be "$"
    "font.family": ["DejaVu Sans"],
    "font.size": 10,
    "figure.dpi": PIXELS_PER_INCH,
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

# Lines of the axis of accuracy: as few kinds of round shares of mistakes as give it three.
_MANTISSAS: Final = ((1, 2, 5), (1, 1.5, 2, 3, 5, 7), tuple(range(1, 10)), tuple(np.arange(1, 10, 0.25)))
_LEAST_LINES = 3
_LEAST_RANGE = 1.3  # between the most and the fewest mistakes: smaller differences are a few images
_ROOM = 0.12  # of that range, in logarithms, above and below

_POINTS_PER_INCH = 72
# Where a label may stand: so many points from the edge of its dot, in so many directions.
_DISTANCES = (3.0, 7.0, 14.0, 24.0, 36.0, 50.0, 66.0)
_DIRECTIONS = 16
_PASSES = 3  # labels choose again, knowing where the others went
_MARGIN = 1.5  # points kept free around a label
_LEADER_FROM = 9.0  # a label further from its dot than this gets a line to it
_STEP = 3.0  # points between two that stand for a line
_CLEARLY = 3.0  # points that it must be nearer to its own dot than to any other
# What a place costs beside its distance: a piece of a line that it covers, another dot or label that it covers, seeming
# to belong to another dot, and lying outside.
_COVERED, _OVERLAP, _ASTRAY, _OUTSIDE = 30.0, 1000.0, 60.0, 10_000.0

_Points = NDArray[np.float64]  # (n, 2), or (2,) for one
_Costs = NDArray[np.float64]  # (n,)


@contextmanager
def style() -> Iterator[None]:
    """The style, for as long as charts are drawn and saved; nothing of it stays behind.

    Raises:
        ModuleNotFoundError: matplotlib is not installed.
    """
    import matplotlib as mpl

    with mpl.rc_context(), warnings.catch_warnings():
        mpl.rcParams.update(mpl.rcParamsDefault)  # a user's matplotlibrc is made for other charts
        mpl.rcParams.update(_SETTINGS)
        # A label in another script is drawn as boxes in the PNG; a page shows it with the reader's fonts.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield


def letters() -> Path:
    """A TrueType file of letters with accents, for `edge.drawing`: DejaVu Sans, which comes with matplotlib.

    Raises:
        ModuleNotFoundError: matplotlib is not installed.
    """
    import matplotlib as mpl

    return Path(mpl.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"


def figure(width: float, height: float) -> "Figure":
    """An empty figure that no window knows, sizes in inches."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    drawn = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(drawn)
    return drawn


def bare_axes(width: float, height: float) -> "Axes":
    """Axes without frame and ticks that fill a figure of their own, sizes in inches; there is no layout to be found."""
    drawn = figure(width, height)
    drawn.set_layout_engine("none")
    axes = drawn.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set_axis_off()
    return axes


def grid(axes: "Axes") -> None:
    """Fine lines behind the data."""
    axes.grid(visible=True)
    axes.set_axisbelow(True)


def svg(drawn: "Figure") -> str:
    """The figure as SVG, without a date."""
    buffer = io.StringIO()
    drawn.savefig(buffer, format="svg", metadata=_NO_METADATA)
    return buffer.getvalue()


def png(drawn: "Figure") -> bytes:
    """The figure as PNG."""
    buffer = io.BytesIO()
    drawn.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def rendered(drawn: "Figure") -> tuple[str, bytes]:
    """The figure as SVG and as PNG. It is laid out once and drawn twice, where saving it twice does both four times."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from PIL import Image

    pixels = FigureCanvasAgg(drawn)
    pixels.draw()  # type: ignore[no-untyped-call]
    drawn.set_layout_engine("none")
    image, text = io.BytesIO(), io.StringIO()
    drawn_pixels = np.asarray(pixels.buffer_rgba())  # type: ignore[no-untyped-call]
    Image.fromarray(drawn_pixels).convert("RGB").save(image, "PNG", dpi=(PIXELS_PER_INCH,) * 2)
    FigureCanvasSVG(drawn).print_svg(text, metadata=_NO_METADATA)  # type: ignore[no-untyped-call]
    return text.getvalue(), image.getvalue()


def cost_axis(axes: "Axes", costs: Sequence[float]) -> None:
    """Makes the horizontal axis one of costs, such as microseconds or bytes, with room for labels on both sides.

    Args:
        axes: whose horizontal axis.
        costs: all that will be drawn, each above 0.
    """
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

    lowest, highest = min(costs), max(costs)
    if highest > lowest * LOGARITHMIC_FROM:
        axes.set_xscale("log")
        axes.set_xlim(lowest / 1.3, highest * 1.5)
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_minor_locator(NullLocator())
    else:
        spread = max(highest - lowest, 0.2 * highest)
        axes.set_xlim(lowest - 0.15 * spread, highest + 0.25 * spread)
        axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda cost, _: f"{cost:,.10g}"))


def mistakes(accuracy: float) -> float:
    """The share of mistakes: what `accuracy_axis` is drawn by."""
    return max(1 - accuracy, NO_MISTAKE)


def accuracy_axis(axes: "Axes", accuracies: Sequence[float]) -> None:
    """Makes the vertical axis one of accuracy, on which `mistakes` are drawn: less and less of them upwards.

    Accuracies near 1 are compared by what is missing, so the scale of mistakes is logarithmic, and it is written as
    accuracy.

    Args:
        axes: whose vertical axis.
        accuracies: all that will be drawn, 0 to 1.
    """
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    shares = np.log([mistakes(accuracy) for accuracy in accuracies])
    middle, height = (shares.max() + shares.min()) / 2, max(np.ptp(shares), math.log(_LEAST_RANGE))
    bottom, top = (math.exp(middle + sign * height * (0.5 + _ROOM)) for sign in (1, -1))
    for mantissas in _MANTISSAS:
        steps = [mantissa * 10.0**decade for decade in range(-5, 1) for mantissa in mantissas]
        lines = [step for step in steps if top <= step <= min(bottom, 1.0)]
        if len(lines) >= _LEAST_LINES:
            break
    axes.set_yscale("log")
    axes.set_ylim(bottom, top)
    axes.yaxis.set_major_locator(FixedLocator(lines))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * (1 - share):.6g} %"))
    axes.yaxis.set_minor_locator(NullLocator())


def label_points(
    axes: "Axes",
    places: Sequence[tuple[float, float]],
    labels: Sequence[str],
    colours: Sequence[str],
    *,
    radius: float,
    lines: Sequence[tuple[tuple[float, float], tuple[float, float]]] = (),
    size: float = 8.5,
) -> None:
    """Writes a label beside each point: over no other label, no point, and as few lines as can be.

    Every label takes the cheapest of many places around its point, near ones first; then all choose again, a few times,
    knowing where the others went. Everything is deterministic. Call it last: limits and layout of the figure must be
    final.

    Args:
        axes: where the points are drawn.
        places: the points, in the units of the axes.
        labels: a text for each.
        colours: of the texts.
        radius: of the dots, in points of the figure.
        lines: begins and ends of lines that labels should rather not lie on, in the units of the axes.
        size: of the letters.
    """
    drawn = axes.get_figure(root=True)
    assert drawn is not None  # axes of ours are in a figure
    if (engine := drawn.get_layout_engine()) is not None:
        engine.execute(drawn)  # it says where labels fall upon each other
    scale = _POINTS_PER_INCH / drawn.dpi
    # Lines behind do not touch the letters; a halo of strokes would make them outlines, which nobody can select.
    paper = {"facecolor": PAPER, "alpha": 0.75, "edgecolor": "none", "pad": 0.5}
    place: dict[str, Any] = {"xytext": (0, 0), "textcoords": "offset points", "ha": "center", "va": "center"}
    texts = [
        axes.annotate(label, spot, **place, fontsize=size, color=colour, bbox=paper, zorder=5)
        for label, spot, colour in zip(labels, places, colours, strict=True)
    ]
    extents = [text.get_window_extent() for text in texts]
    sizes = np.array([(extent.width, extent.height) for extent in extents]) * scale
    dots = axes.transData.transform(np.array(places)) * scale
    ends = [axes.transData.transform(np.array(line)) * scale for line in lines]
    obstacles = np.concatenate([*(_line(*line) for line in ends), np.empty((0, 2))])
    frame = np.array(axes.bbox.get_points()) * scale
    for text, dot, centre, half in zip(texts, dots, *_arranged(dots, sizes, frame, obstacles, radius), strict=True):
        text.set_position(tuple(centre - dot))
        end = _nearest(dot, centre, half)
        if math.dist(end, dot) > radius + _LEADER_FROM:
            begin, end = axes.transData.inverted().transform(np.array([dot, end]) / scale)
            axes.plot(*zip(begin, end, strict=True), color=GREY, linewidth=0.6, zorder=1.5)


def _arranged(
    dots: _Points, sizes: _Points, frame: _Points, obstacles: _Points, radius: float
) -> tuple[_Points, _Points]:
    """The centre of each label and half its size; all in points of the figure, y upwards."""
    halves = sizes / 2 + _MARGIN
    choices = [_places(dot, half, radius) for dot, half in zip(dots, halves, strict=True)]
    own = [
        _own_cost(places, half, dot, others=np.delete(dots, at, 0), obstacles=obstacles, frame=frame, radius=radius)
        for at, (places, half, dot) in enumerate(zip(choices, halves, dots, strict=True))
    ]
    chosen: dict[int, _Points] = {}
    crowded_first = sorted(range(len(dots)), key=lambda at: (-float(own[at].min()), at))
    for _ in range(_PASSES):
        for at in crowded_first:
            cost = own[at].copy()
            for other, centre in chosen.items():
                if other != at:
                    cost += _OVERLAP * (np.abs(choices[at] - centre) < halves[at] + halves[other]).all(1)
                    leader = _line(dots[other], _nearest(dots[other], centre, halves[other]))
                    cost += _COVERED * _inside(choices[at], halves[at], leader)
            chosen[at] = choices[at][int(cost.argmin())]
    return np.array([chosen[at] for at in range(len(dots))]), halves


def _places(dot: _Points, half: _Points, radius: float) -> _Points:
    """Centres of a label all around its dot, the near ones first."""
    angles = 2 * math.pi * np.arange(_DIRECTIONS) / _DIRECTIONS
    toward = np.stack([np.cos(angles), np.sin(angles)], 1)
    leaning = np.clip(toward * math.sqrt(2), -1, 1)  # how far a label leans to one side; fully so from 45 degrees on
    return np.concatenate([dot + toward * (radius + distance) + leaning * half for distance in _DISTANCES])


def _own_cost(
    places: _Points, half: _Points, dot: _Points, *, others: _Points, obstacles: _Points, frame: _Points, radius: float
) -> _Costs:
    """What each place costs whatever the other labels do."""
    cost = np.repeat(np.array(_DISTANCES), _DIRECTIONS)
    cost += _COVERED * _inside(places, half, obstacles) + _OVERLAP * _inside(places, half + radius, others)
    gap = np.linalg.norm(dot - _nearest(dot, places, half), axis=1)
    for other in others:
        cost += _ASTRAY * (np.linalg.norm(other - _nearest(other, places, half), axis=1) < gap + _CLEARLY)
    outside = (places - half < frame[0]) | (places + half > frame[1])
    return np.asarray(cost + _OUTSIDE * outside.any(1))


def _nearest(point: _Points, centres: _Points, half: _Points) -> _Points:
    """The place that is nearest to a point, in the box around each centre."""
    return np.asarray(np.clip(point, centres - half, centres + half))


def _inside(centres: _Points, half: _Points, points: _Points) -> _Costs:
    """How many of the points lie in the box around each centre."""
    return np.asarray((np.abs(points - centres[:, None]) < half).all(2).sum(1), float)


def _line(begin: _Points, end: _Points) -> _Points:
    """Points on a line, close enough that no letter covers it unseen."""
    return np.linspace(begin, end, max(2, math.ceil(math.dist(begin, end) / _STEP)))
