"""How charts look: axes with a few round numbers, labels that cover nothing, and nothing of the style left behind."""

import io
import itertools

import numpy as np
import pytest
from PIL import Image

from edge import charts, drawing

matplotlib = pytest.importorskip("matplotlib")


@pytest.fixture
def axes():
    """Empty axes of the usual size."""
    with charts.style():
        yield charts.figure(6, 4).subplots()


def ticks(axis):
    axis.figure.canvas.draw()
    low, high = sorted(axis.get_view_interval())
    return [
        label.get_text()
        for place, label in zip(axis.get_ticklocs(), axis.get_ticklabels(), strict=True)
        if low <= place <= high
    ]


@pytest.mark.parametrize(
    ("costs", "scale", "written"),
    [
        ([30.0, 600.0], "log", ["50", "100", "200", "500"]),
        ([1.0, 1000.0], "log", ["1", "2", "5", "10", "20", "50", "100", "200", "500", "1,000"]),
        ([170.0, 305.0], "linear", ["160", "200", "240", "280", "320"]),
        ([100.0], "linear", ["96", "100", "104", "108", "112", "116", "120", "124"]),
    ],
)
@pytest.mark.sampled(3)
def test_costs_have_few_round_ticks_and_a_logarithmic_scale_where_they_differ_much(axes, costs, scale, written):
    charts.cost_axis(axes, costs)
    assert axes.get_xscale() == scale
    assert axes.get_xlim()[0] < min(costs) <= max(costs) < axes.get_xlim()[1]
    if len(costs) > 1:
        assert ticks(axes.xaxis) == written
    assert 3 <= len(ticks(axes.xaxis)) <= 10


@pytest.mark.parametrize(
    "accuracies", [[0.9851, 0.9967], [0.9967, 0.9968], [0.99], [0.1, 0.9999], [1.0], [0.0], [0.0, 1.0]]
)
@pytest.mark.sampled(3)
def test_the_axis_of_accuracy_has_lines_enough_within_its_limits(axes, accuracies):
    charts.accuracy_axis(axes, accuracies)
    bottom, top = axes.get_ylim()
    assert bottom > max(map(charts.mistakes, accuracies))
    assert top < min(map(charts.mistakes, accuracies))
    written = ticks(axes.yaxis)
    assert 3 <= len(written) <= 14
    assert all(0 <= float(label[:-2]) <= 100 and len(label) <= 10 for label in written)


def place(axes, spots, labels, **settings):
    """The boxes of the labels, in points of the picture."""
    axes.set(xlim=(0, 100), ylim=(0, 100))
    colours = [charts.INK] * len(spots)
    charts.label_points(axes, spots, labels, colours, radius=4, **settings)
    axes.figure.canvas.draw()
    return [text.get_window_extent() for text in axes.texts]


def test_labels_of_a_crowd_overlap_neither_each_other_nor_any_point(axes):
    spots = list(itertools.product((42.0, 48.0, 54.0, 60.0), (46.0, 50.0, 54.0)))
    boxes = place(axes, spots, [f"label {at}" for at in range(12)])
    assert not any(one.overlaps(other) for one, other in itertools.combinations(boxes, 2))
    pixels = axes.transData.transform(spots)
    assert not any(box.contains(*pixel) for box in boxes for pixel in pixels)


@pytest.mark.parametrize("spot", [(1, 1), (99, 1), (1, 99), (99, 99)])
@pytest.mark.sampled(2)
def test_labels_stay_inside_the_axes(axes, spot):
    (box,) = place(axes, [spot], ["a long label"])
    assert axes.bbox.x0 <= box.x0 <= box.x1 <= axes.bbox.x1
    assert axes.bbox.y0 <= box.y0 <= box.y1 <= axes.bbox.y1


def test_a_label_is_nearest_to_its_own_point(axes):
    spots = [(50.0, 50.0), (52.0, 51.0)]
    pixels = axes.transData.transform(spots)
    for own, box in enumerate(place(axes, spots, ["one", "other"])):
        pixels = axes.transData.transform(spots)
        gaps = [np.hypot(*(pixel - np.clip(pixel, (box.x0, box.y0), (box.x1, box.y1)))) for pixel in pixels]
        assert int(np.argmin(gaps)) == own


def test_a_label_far_from_its_point_has_a_line_to_it(axes):
    place(axes, [(50.0 + at, 50.0) for at in range(8)], ["a longer label"] * 8)
    assert axes.lines, "not all of them fit beside their points"


def test_a_label_avoids_a_line_when_there_is_room(axes):
    (box,) = place(axes, [(50.0, 50.0)], ["label"], lines=[((0.0, 50.0), (100.0, 50.0))])
    height = axes.transData.transform((50, 50))[1]
    assert not box.y0 < height < box.y1


def test_the_same_points_have_the_same_labels_again(axes):
    spots = [(50.0 + at % 3, 50.0 + at) for at in range(6)]
    first = [tuple(box.bounds) for box in place(axes, spots, ["label"] * 6)]
    for text in list(axes.texts):
        text.remove()
    assert [tuple(box.bounds) for box in place(axes, spots, ["label"] * 6)] == first


def test_nothing_of_the_style_stays_behind():
    before = dict(matplotlib.rcParams)
    with charts.style():
        assert matplotlib.rcParams["svg.hashsalt"] == "edge"
    assert dict(matplotlib.rcParams) == before


def test_a_figure_gives_the_same_bytes_again(axes):
    axes.plot([1, 2], [1, 2])
    drawn = charts.svg(axes.figure)
    assert drawn == charts.svg(axes.figure)
    assert "Date" not in drawn
    assert charts.png(axes.figure) == charts.png(axes.figure)


def test_a_figure_for_two_files_is_laid_out_once_and_drawn_once_for_each(axes, monkeypatch):
    axes.plot([1, 2], [1, 2])
    axes.set_title("A title that takes room")
    calls = []
    for name, of in (("draw", matplotlib.figure.Figure), ("execute", type(axes.figure.get_layout_engine()))):
        real = getattr(of, name)
        monkeypatch.setattr(of, name, lambda *given, name=name, real=real: calls.append(name) or real(*given))
    svg, png = charts.rendered(axes.figure)
    assert sorted(calls) == ["draw", "draw", "execute"]
    assert "A title that takes room" in svg
    with Image.open(io.BytesIO(png)) as picture:
        assert picture.size == (900, 600)


def test_axes_alone_fill_their_figure():
    with charts.style():
        axes = charts.bare_axes(2, 1)
        assert axes.get_window_extent().bounds == (0, 0, 300, 150)
        assert not axes.axison


def test_letters_with_accents_come_with_matplotlib():
    assert drawing.length("é", 20, charts.letters()) > 0
