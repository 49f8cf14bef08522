"""The plot: a labelled point for each bundle, in a picture that opens, and never half a file."""

from array import array
from dataclasses import replace
from xml.etree import ElementTree as ET

import pytest
from PIL import Image

from edge import charts
from edge.bench import presentation
from edge.bench.benchmark import bundle_facts, results_of
from edge.bench.measurement import Experiment, Observations, named_bundles, open_sessions
from edge.bundle.manifest import Accuracy
from edge.errors import EdgeError, InputError, WriteError

matplotlib = pytest.importorskip("matplotlib")

BUNDLES = {  # name: checkpoint, precision, accuracy, microseconds
    "lstm": ("1" * 64, "fp32", 0.9953, 200),
    "lstm-int8": ("1" * 64, "int8", 0.9952, 100),
    "gru": ("2" * 64, "fp32", 0.9954, 201),
    "<odd & $long$>": ("3" * 64, "fp16", 0.986, 50),
}


@pytest.fixture
def found(shelf, repack, some_machine):
    """Results of four bundles at two batch sizes; the second one is ten times slower."""
    for name, (checkpoint, precision, accuracy, _) in BUNDLES.items():
        figure = Accuracy(data="mnist", split="test", images=10_000, of="bundle", accuracy=accuracy)
        data = repack(name=name, checkpoint_sha256=checkpoint, precision=precision, accuracy=(figure,))
        (shelf / f"{precision}{checkpoint[:1]}.onnx").write_bytes(data)
    (shelf / "linear-fp32.onnx").unlink()
    experiment = Experiment(named_bundles([]), providers=("cpu",), batches=(1, 16))
    measured = Observations()
    open_sessions(experiment, measured)
    for each in measured.calls:
        microseconds = BUNDLES[each.opened.setup.subject.name][3] * (10 if each.batch == 16 else 1)
        each.runs.series.rounds.append(array("q", [microseconds * 1000] * 20))
    return results_of(experiment, some_machine, [], measured)


@pytest.fixture
def drawn(found):
    """The figure of these results, and its axes."""
    with charts.style():
        figure = presentation.figure(found)
        yield figure, figure.axes[0]


def dots(axes):
    """Places and colours of the points, the background's rings left out."""
    return {
        tuple(line.get_xydata()[0]): line.get_color()
        for line in axes.lines
        if line.get_marker() == "o" and len(line.get_xydata())
    }


def test_there_is_one_labelled_point_for_each_bundle_at_the_smallest_batch(found, drawn):
    assert {(p.bundle.name, p.accuracy, p.latency_us) for p in presentation.points(found)} == {
        (name, accuracy, microseconds) for name, (_, _, accuracy, microseconds) in BUNDLES.items()
    }
    _, axes = drawn
    assert sorted(text.get_text() for text in axes.texts) == sorted(BUNDLES)
    assert {text.get_text(): text.xy for text in axes.texts} == {
        name: (microseconds, pytest.approx(1 - accuracy)) for name, (_, _, accuracy, microseconds) in BUNDLES.items()
    }
    assert len(dots(axes)) == len(BUNDLES)


def test_a_bundle_that_gives_wrong_answers_is_labelled_so(found):
    first, *others = found.sessions
    wrong = replace(found, sessions=(replace(first, verification_failure="evidence: 3 flips"), *others))
    labels_of = {point.bundle.name: point.label for point in presentation.points(wrong)}
    assert labels_of == {name: name for name in BUNDLES} | {first.bundle: f"{first.bundle} (fails verify)"}


def test_a_precision_has_a_colour_and_a_size_of_its_own_so_that_of_points_in_one_place_all_are_seen(found):
    same = tuple(replace(each, latency_us={"p50": 100.0}) for each in found.latencies)
    bundles = tuple(replace(each, accuracy=replace(each.accuracy, accuracy=0.99)) for each in found.bundles)
    with charts.style():
        axes = presentation.figure(replace(found, latencies=same, bundles=bundles)).axes[0]
    lines = [line for line in axes.lines if line.get_marker() == "o" and len(line.get_xydata())]
    assert len({line.get_color() for line in lines}) == 3
    sizes = [line.get_markersize() for line in lines]
    assert sizes == sorted(sizes, reverse=True), "the smaller ones lie above"
    assert len(set(sizes)) == 3


def test_a_precision_that_this_edge_does_not_know_is_drawn_all_the_same(found):
    first, *others = found.bundles
    with charts.style():
        axes = presentation.figure(replace(found, bundles=(replace(first, precision="int4"), *others))).axes[0]
    assert len(dots(axes)) == len(BUNDLES)


def test_left_is_faster_and_up_is_more_accurate(drawn):
    _, axes = drawn
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    assert left < 50
    assert right > 201
    assert (bottom > 1 - 0.986, top < 1 - 0.9954) == (True, True), "drawn by mistakes, fewer of them upwards"
    assert axes.get_xscale() == "log"


def test_a_line_joins_the_precisions_of_one_model_and_no_others(drawn):
    _, axes = drawn
    lines = [{tuple(end) for end in line.get_xydata()} for line in axes.lines if len(line.get_xydata()) == 2]
    places = set(dots(axes))
    assert [line for line in lines if line <= places] == [{(200, 1 - 0.9953), (100, 1 - 0.9952)}]


def test_the_axes_and_the_heading_say_what_is_shown(drawn):
    figure, axes = drawn
    assert axes.get_ylabel() == "accuracy (mnist test)"
    assert axes.get_xlabel() == "latency of a call, microseconds"
    assert "one image on Some CPU, cpu, 1 thread, onnxruntime 1.19.2" in axes.get_title("left")
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["fp32", "fp16", "int8"]


def boxes(figure, axes):
    figure.canvas.draw()
    return [text.get_window_extent() for text in axes.texts]


@pytest.mark.parametrize(
    "cpu", ["Some CPU", "A processor that tells its maker, its family, its clock and its age " * 2]
)
@pytest.mark.sampled(1)
def test_everything_lies_inside_the_picture(found, cpu):
    with charts.style():
        figure = presentation.figure(replace(found, machine=replace(found.machine, cpu=cpu)))
        axes = figure.axes[0]
        for box in [*boxes(figure, axes), axes.title.get_window_extent(), axes._left_title.get_window_extent()]:
            assert figure.bbox.x0 <= box.x0
            assert box.x1 <= figure.bbox.x1
            assert figure.bbox.y0 <= box.y0
            assert box.y1 <= figure.bbox.y1


@pytest.mark.exhaustive  # the labels are those of test_charts.py
def test_labels_of_many_bundles_do_not_overlap(found):
    """Twelve bundles in a cluster."""
    template, latency = found.bundles[0], found.latencies[0]
    names = [f"bundle-{at}" for at in range(12)]
    bundles = tuple(
        replace(
            template,
            name=name,
            checkpoint_sha256=str(at // 2),
            accuracy=replace(template.accuracy, accuracy=0.99 + at % 4 * 1e-4),
        )
        for at, name in enumerate(names)
    )
    latencies = tuple(replace(latency, bundle=name, latency_us={"p50": 100.0 + at}) for at, name in enumerate(names))
    with charts.style():
        figure = presentation.figure(replace(found, bundles=bundles, latencies=latencies, sessions=()))
        extents = boxes(figure, figure.axes[0])
        spots = figure.axes[0].transData.transform(list(dots(figure.axes[0])))
    assert not any(one.overlaps(other) for at, one in enumerate(extents) for other in extents[:at])
    assert not any(box.contains(*spot) for box in extents for spot in spots)


def test_the_svg_is_well_formed_and_names_every_bundle(found, tmp_path):
    presentation.write_plot(found, tmp_path / "plot.svg")
    texts = [element.text for element in ET.parse(tmp_path / "plot.svg").iter("{http://www.w3.org/2000/svg}text")]
    assert set(BUNDLES) <= set(texts)


def test_the_png_opens_and_shows_points_in_their_colours(found, tmp_path):
    presentation.write_plot(found, tmp_path / "plot.png")
    with Image.open(tmp_path / "plot.png") as image:
        assert image.size == (1350, 840)
        counts = {f"#{r:02x}{g:02x}{b:02x}": count for count, (r, g, b) in image.convert("RGB").getcolors(10**6)}
    assert all(counts.get(colour, 0) > 50 for colour in (charts.BLUE, charts.GREEN, charts.ORANGE))


@pytest.mark.represented(suffix=(".PNG",))
@pytest.mark.parametrize("suffix", [".PNG", ".svg"])
@pytest.mark.exhaustive  # said of every figure in test_charts.py
def test_the_same_results_give_the_same_bytes(found, tmp_path, suffix):
    presentation.write_plot(found, tmp_path / f"one{suffix}")
    presentation.write_plot(found, tmp_path / f"two{suffix}")
    assert (tmp_path / f"one{suffix}").read_bytes() == (tmp_path / f"two{suffix}").read_bytes()
    assert (tmp_path / f"one{suffix}").read_bytes().startswith(b"<?xml" if suffix == ".svg" else b"\x89PNG")
    assert [each.name for each in tmp_path.glob("*.part")] == []


def test_a_plot_that_cannot_be_written_is_one_line(found, tmp_path):
    (tmp_path / "plot.svg").mkdir()
    with pytest.raises(WriteError, match=r"the plot .*plot\.svg cannot be written"):
        presentation.write_plot(found, tmp_path / "plot.svg")


def test_a_plot_that_could_not_be_written_is_refused_before_anything_is_measured(found, shelf, repack, tmp_path):
    presentation.check_plot(tmp_path / "plot.svg", found.bundles)
    with pytest.raises(InputError, match=r"plot\.pdf is no \.png or \.svg file"):
        presentation.check_plot(tmp_path / "plot.pdf", found.bundles)
    with pytest.raises(EdgeError, match="missing is no folder"):
        presentation.check_plot(tmp_path / "missing" / "plot.png", found.bundles)
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(EdgeError, match="is a folder; name a file in it"):
        presentation.check_plot(tmp_path / "folder.png", found.bundles)
    (shelf / "linear-fp32.onnx").write_bytes(repack(accuracy=()))
    with pytest.raises(EdgeError, match="no manifest tells an accuracy"):
        presentation.check_plot(tmp_path / "plot.png", map(bundle_facts, named_bundles(["linear-fp32"])))


def test_a_bundle_without_accuracy_or_median_has_no_point(found):
    first, *others = found.bundles
    without = replace(found, bundles=(replace(first, accuracy=None), *others))
    assert first.name not in {point.bundle.name for point in presentation.points(without)}
    short = tuple(replace(each, latency_us=dict.fromkeys(each.latency_us)) for each in found.latencies)
    with pytest.raises(EdgeError, match="no bundle has both"):
        presentation.figure(replace(found, latencies=short))


@pytest.mark.parametrize("accuracy", [0.0, 1.0])
@pytest.mark.sampled(1)
def test_one_point_at_the_end_of_the_scale_still_gives_a_plot(found, accuracy):
    (one, *_) = found.bundles
    figure = replace(one.accuracy, accuracy=accuracy)
    alone = replace(
        found, bundles=(replace(one, accuracy=figure), *(replace(each, accuracy=None) for each in found.bundles[1:]))
    )
    with charts.style():
        drawn = presentation.figure(alone)
        drawn.canvas.draw()
        axes = drawn.axes[0]
    percents = [float(label.get_text()[:-2]) for label in axes.get_yticklabels() if label.get_text()]
    assert len(percents) >= 3
    assert max(percents) <= 100
