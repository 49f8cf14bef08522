"""The plot: a labelled point for each bundle, in a picture that opens, and never half a file."""

import io
import itertools
import math
from array import array
from dataclasses import replace
from xml.etree import ElementTree as ET

import pytest
from PIL import Image

from edge.bench import labels, rounds, scatter, ticks
from edge.bench.canvas import Dot, Line, Text
from edge.bench.labels import Anchor, Box
from edge.bench.plan import Plan, subjects
from edge.bench.png import PIXELS, png
from edge.bench.report import report
from edge.bench.rounds import Measured
from edge.bench.svg import svg
from edge.bundle.manifest import Accuracy
from edge.errors import EdgeError, InputError

BUNDLES = {  # name: checkpoint, precision, accuracy, microseconds
    "lstm": ("1" * 64, "fp32", 0.9953, 200),
    "lstm-int8": ("1" * 64, "int8", 0.9952, 100),
    "gru": ("2" * 64, "fp32", 0.9954, 201),
    "<odd & long>": ("3" * 64, "fp16", 0.986, 50),
}


@pytest.fixture
def found(shelf, repack, some_machine):
    """A report of four bundles at two batch sizes; the second one is ten times slower."""
    for name, (checkpoint, precision, accuracy, _) in BUNDLES.items():
        figure = Accuracy(data="mnist", split="test", images=10_000, of="bundle", accuracy=accuracy)
        data = repack(name=name, checkpoint_sha256=checkpoint, precision=precision, accuracy=(figure,))
        (shelf / f"{precision}{checkpoint[:1]}.onnx").write_bytes(data)
    (shelf / "linear-fp32.onnx").unlink()
    plan = Plan(subjects([]), providers=("cpu",), batches=(1, 16))
    measured = Measured()
    rounds.open_sessions(plan, measured)
    for one in measured.series:
        microseconds = BUNDLES[one.running.setup.subject.name][3] * (10 if one.batch == 16 else 1)
        one.call_ns = array("q", [microseconds * 1000] * 20)
    return report(plan, some_machine, [], measured)


def spot(canvas, name):
    """The point whose label this is: the nearest one."""
    label = next(shape for shape in canvas.shapes if isinstance(shape, Text) and shape.text == name)
    dots = [shape for shape in canvas.shapes if isinstance(shape, Dot) and shape.colour == label.colour]
    return min(dots, key=lambda dot: math.dist((dot.x, dot.y), (label.x, label.y)))


def test_there_is_one_labelled_point_for_each_bundle_at_the_smallest_batch(found):
    assert {(p.bundle.name, p.accuracy, p.latency_us) for p in scatter.points(found)} == {
        (name, accuracy, microseconds) for name, (_, _, accuracy, microseconds) in BUNDLES.items()
    }
    texts = [shape.text for shape in scatter.draw(found).shapes if isinstance(shape, Text)]
    assert all(texts.count(name) == 1 for name in BUNDLES)


def test_a_bundle_that_gives_wrong_answers_here_is_labelled_so(found):
    first, *others = found.sessions
    wrong = replace(found, sessions=(replace(first, verification_failure="evidence: 3 flips"), *others))
    labels_of = {point.bundle.name: point.label for point in scatter.points(wrong)}
    assert labels_of == {name: name for name in BUNDLES} | {first.bundle: f"{first.bundle} (fails verify)"}


def test_of_points_in_the_same_place_all_are_seen(found):
    same = tuple(replace(each, latency_us={"p50": 100.0}) for each in found.latencies)
    bundles = tuple(replace(each, accuracy=replace(each.accuracy, accuracy=0.99)) for each in found.bundles)
    canvas = scatter.draw(replace(found, latencies=same, bundles=bundles))
    dots = [shape for shape in canvas.shapes if isinstance(shape, Dot) and shape.x == spot(canvas, "lstm").x]
    colours = [dot.colour for dot in dots if dot.colour != canvas.background]
    assert len(set(colours)) == 3
    radii = [dot.radius for dot in dots if dot.colour != canvas.background]
    assert radii == sorted(radii, reverse=True)
    assert len(set(radii)) == 3


def test_left_is_faster_and_up_is_more_accurate(found):
    canvas = scatter.draw(found)
    lstm, int8, odd = spot(canvas, "lstm"), spot(canvas, "lstm-int8"), spot(canvas, "<odd & long>")
    assert odd.x < int8.x < lstm.x
    assert lstm.y < int8.y < odd.y
    # Half the latency is the same distance everywhere: the axis is logarithmic.
    assert lstm.x - int8.x == pytest.approx(int8.x - odd.x)


def test_a_line_joins_the_precisions_of_one_model_and_no_others(found):
    canvas = scatter.draw(found)
    ends = [{(dot.x, dot.y) for dot in pair} for pair in [(spot(canvas, "lstm"), spot(canvas, "lstm-int8"))]]
    dots = {(shape.x, shape.y) for shape in canvas.shapes if isinstance(shape, Dot)}
    lines = [{(shape.x1, shape.y1), (shape.x2, shape.y2)} for shape in canvas.shapes if isinstance(shape, Line)]
    assert [line for line in lines if line <= dots] == ends


def test_the_axes_and_the_heading_say_what_is_shown(found):
    texts = " | ".join(shape.text for shape in scatter.draw(found).shapes if isinstance(shape, Text))
    assert "accuracy (mnist test)" in texts
    assert "microseconds, logarithmic" in texts
    assert "one image on Some CPU, cpu, 1 thread, onnxruntime 1.19.2" in texts
    assert "99.0%" in texts or "99%" in texts
    assert "100" in texts


def test_the_svg_is_well_formed_and_names_every_bundle(found):
    root = ET.fromstring(svg(scatter.draw(found)))
    texts = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert set(BUNDLES) <= set(texts)


def test_the_png_opens_and_shows_points_in_their_colour(found):
    canvas = scatter.draw(found)
    with Image.open(io.BytesIO(png(canvas))) as image:
        assert image.size == (canvas.width * PIXELS, canvas.height * PIXELS)
        for name in ("lstm-int8", "<odd & long>"):  # the other two touch, and one hides a part of the other
            dot = spot(canvas, name)
            red, green, blue = image.getpixel((round(dot.x * PIXELS), round(dot.y * PIXELS)))
            assert f"#{red:02x}{green:02x}{blue:02x}" == dot.colour


@pytest.mark.parametrize("suffix", [".png", ".svg", ".PNG"])
def test_the_plot_is_written_in_one_step(found, tmp_path, suffix):
    path = tmp_path / f"plot{suffix}"
    scatter.write(found, path)
    assert path.read_bytes().startswith(b"<svg" if suffix == ".svg" else b"\x89PNG")
    assert [each.name for each in tmp_path.glob("*.part")] == []


def test_a_plot_that_cannot_be_written_leaves_the_old_one(found, tmp_path, monkeypatch):
    path = tmp_path / "plot.svg"
    path.write_text("old")

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("edge.text.files.os.fsync", full)
    with pytest.raises(EdgeError, match="No space left on device; free some space"):
        scatter.write(found, path)
    assert path.read_text() == "old"
    assert list(tmp_path.glob(".*")) == []


def test_a_plot_that_could_not_be_written_is_refused_before_anything_is_measured(shelf, repack, tmp_path):
    plan = Plan(subjects(["linear-fp32"]))
    scatter.check(tmp_path / "plot.svg", plan)
    with pytest.raises(InputError, match=r"plot\.pdf is no \.png or \.svg file"):
        scatter.check(tmp_path / "plot.pdf", plan)
    with pytest.raises(EdgeError, match="missing is no folder"):
        scatter.check(tmp_path / "missing" / "plot.png", plan)
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(EdgeError, match="is a folder; name a file in it"):
        scatter.check(tmp_path / "folder.png", plan)
    (shelf / "linear-fp32.onnx").write_bytes(repack(accuracy=()))
    with pytest.raises(EdgeError, match="no manifest tells an accuracy"):
        scatter.check(tmp_path / "plot.png", Plan(subjects(["linear-fp32"])))


def test_a_bundle_without_accuracy_or_median_has_no_point(found):
    first, *others = found.bundles
    without = replace(found, bundles=(replace(first, accuracy=None), *others))
    assert first.name not in {point.bundle.name for point in scatter.points(without)}
    short = tuple(replace(each, latency_us=dict.fromkeys(each.latency_us)) for each in found.latencies)
    with pytest.raises(EdgeError, match="no bundle has both"):
        scatter.draw(replace(found, latencies=short))


@pytest.mark.parametrize("accuracy", [0.0, 1.0])
def test_one_point_at_the_end_of_the_scale_still_gives_a_plot(found, accuracy):
    (one, *_) = found.bundles
    figure = replace(one.accuracy, accuracy=accuracy)
    canvas = scatter.draw(replace(found, bundles=(replace(one, accuracy=figure), *found.bundles[1:])))
    percents = [float(s.text[:-1]) for s in canvas.shapes if isinstance(s, Text) and s.text.endswith("%")]
    assert len(percents) >= 3
    assert max(percents) <= 100


FRAME = Box(0, 0, 400, 300)


def test_labels_of_a_crowd_overlap_neither_each_other_nor_any_point():
    anchors = [Anchor(x, y, 4, 50, 12) for x, y in itertools.product((180, 200, 220, 240), (140, 152, 164))]
    boxes = labels.place(anchors, FRAME)
    assert all(one.overlap(other) == 0 for one, other in itertools.combinations(boxes, 2))
    dots = [Box(a.x - 4, a.y - 4, a.x + 4, a.y + 4) for a in anchors]
    assert all(box.overlap(dot) == 0 for box in boxes for dot in dots)


@pytest.mark.parametrize(("x", "y"), [(2, 2), (398, 2), (2, 298), (398, 298)])
def test_labels_stay_inside_the_frame(x, y):
    (box,) = labels.place([Anchor(x, y, 4, 80, 12)], FRAME)
    assert box.within(FRAME)


def test_a_label_is_nearest_to_its_own_point():
    anchors = [Anchor(200, 150, 4, 60, 12), Anchor(206, 146, 4, 60, 12)]
    for own, box in zip(anchors, labels.place(anchors, FRAME), strict=True):
        assert min(anchors, key=lambda each: box.distance(each.x, each.y)) is own


def test_the_way_from_a_label_to_its_point_crosses_no_other_label():
    anchors = [Anchor(x, 150, 4, 70, 12) for x in (190, 200, 210)]
    boxes = labels.place(anchors, FRAME)
    for (anchor, box), (_, other) in itertools.permutations(zip(anchors, boxes, strict=True), 2):
        assert not labels._crosses(labels._leader(anchor, box), other)


@pytest.mark.parametrize(
    ("line", "crosses"),
    [
        ((0, 0, 100, 100), True),
        ((50, 0, 50, 100), True),
        ((0, 50, 39, 50), False),
        ((0, 50, 41, 50), True),
        ((45, 45, 55, 55), True),
        ((30, 20, 100, 90), True),
        ((30, 0, 100, 70), False),
        ((50, 0, 100, 50), False),
        ((10, 0, 10, 100), False),
    ],
)
def test_a_line_crosses_a_box_when_any_of_it_lies_inside(line, crosses):
    assert labels._crosses(Line(*line, "#000000"), Box(40, 40, 60, 60)) is crosses


def test_a_label_avoids_a_line_when_there_is_room():
    line = Line(0, 150, 400, 150, "#000000")
    (box,) = labels.place([Anchor(200, 150, 4, 60, 12)], FRAME, [line])
    assert not box.top < 150 < box.bottom


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (30.0, 600.0, [50.0, 100.0, 200.0, 500.0]),
        (1.0, 1000.0, [1.0, 10.0, 100.0, 1000.0]),
        (100.0, 400.0, [100.0, 200.0, 300.0, 400.0]),
        (170.0, 305.0, [180.0, 200.0, 220.0, 240.0, 260.0, 280.0, 300.0]),
    ],
)
def test_ticks_of_the_latency_are_few_and_round(low, high, expected):
    assert [tick for tick in ticks.logarithmic(low, high) if tick in expected] == expected
    assert all(low <= tick <= high for tick in ticks.logarithmic(low, high))
    assert 3 <= len(ticks.logarithmic(low, high)) <= 9


def test_ticks_of_the_accuracy_are_round_and_equally_far():
    assert ticks.linear(0.9851, 0.9967) == pytest.approx([0.986, 0.988, 0.99, 0.992, 0.994, 0.996])
    assert ticks.linear(0.0, 1.0) == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1.0])
