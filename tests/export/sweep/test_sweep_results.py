"""How runs compare, and what the table and the picture show of it."""

import dataclasses
import itertools
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from PIL import Image

from edge import charts
from edge_export.sweep import pareto_chart
from edge_export.sweep.grid import axes
from edge_export.sweep.results import RunMetrics, RunResult, pareto, ranked
from edge_export.sweep.search import Sweep, SweepRequest
from edge_export.sweep.summary import how_to_go_on, next_step, table_of_runs, title

USUAL = RunMetrics("gru-8", "001/gru-8/gru-8.safetensors", 0.9, 0.3, 1, 2, 1000, 9000, 3.0, 20.0, 10.0)


@pytest.fixture
def results() -> list[RunResult]:
    """Five runs: a small fast one, an accurate one, one that the accurate one beats, a twin of it, one that failed."""

    def done(number: int, hidden: int, rate: float, **changes: object) -> RunResult:
        settings = {"model": "gru", "hidden": hidden, "learning_rate": rate}
        return RunResult(number, settings, "done", dataclasses.replace(USUAL, **changes))

    return [
        done(1, 8, 0.01, validation_accuracy=0.91),
        done(2, 32, 0.01, validation_accuracy=0.98, size_bytes=40_000, latency_us=80.0, name="gru-32"),
        done(3, 32, 0.1, validation_accuracy=0.97, size_bytes=40_000, latency_us=80.0, name="gru-32"),
        done(4, 8, 0.02, validation_accuracy=0.91, validation_loss=0.2),
        RunResult(5, {"model": "gru", "hidden": 8, "learning_rate": 9.0}, "diverged", None, "the loss is nan"),
    ]


@pytest.fixture
def sweep(results, tmp_path) -> Sweep:
    grid = axes({"model": "gru", "hidden": "8,32", "learning_rate": "0.01,0.1,0.02,9"})
    return Sweep(SweepRequest(grid, tmp_path), tuple(results), total=8, interrupted=False)


def test_runs_are_ranked_by_validation_accuracy_then_loss(results):
    assert [result.number for result, _ in ranked(results)] == [2, 3, 4, 1]


def test_a_run_is_marked_unless_another_is_at_least_as_good_in_all_and_better_in_one(results):
    assert pareto(results) == {1, 2, 4}
    faster = dataclasses.replace(results[2].figures, latency_us=79.0)
    results[2] = dataclasses.replace(results[2], figures=faster)
    assert pareto(results) == {1, 2, 3, 4}


def test_a_byte_of_digits_in_the_manifest_makes_no_run_smaller(results):
    lighter = dataclasses.replace(results[2].figures, size_bytes=39_999)
    results[2] = dataclasses.replace(results[2], figures=lighter)
    assert pareto(results) == {1, 2, 4}
    smaller = dataclasses.replace(results[2].figures, size_bytes=39_000)
    results[2] = dataclasses.replace(results[2], figures=smaller)
    assert pareto(results) == {1, 2, 3, 4}


def test_the_table_shows_what_varies_the_best_first_and_failures_with_their_reason(sweep):
    head, *rows = table_of_runs(sweep).split("\n\n")[0].splitlines()
    assert " ".join(head.split()) == "run model hidden learning rate accuracy epoch parameters bytes us seconds"
    assert " ".join(rows[0].split()) == "2 gru-32 32 0.01 98.00% 1/2 1,000 40,000 80 3 *"
    assert [row.split()[0] for row in rows] == ["2", "3", "4", "1"]
    assert not rows[1].endswith("*")
    assert "run 5, gru hidden 8, learning-rate 9: diverged: the loss is nan" in table_of_runs(sweep)


def test_the_columns_of_figures_are_flush(sweep):
    table = table_of_runs(sweep).split("\n\n")[0].splitlines()
    ends = {
        row.index(word) + len(word)
        for row, word in zip(table, ["bytes", "40,000", "40,000", "9,000", "9,000"], strict=True)
    }
    assert len(ends) == 1


def test_the_last_line_exports_the_best_run(sweep, tmp_path):
    path = tmp_path / "001" / "gru-8" / "gru-8.safetensors"
    assert next_step(sweep) == f"next: edge export --model gru-32 --checkpoint {path} --quantize"


def test_after_ctrl_c_the_command_can_be_copied(sweep):
    said = how_to_go_on(sweep, ["sweep", "--teacher", "", "--lr", "0.01,0.1"])
    assert said.endswith("5 of 8 runs; the same command goes on: edge sweep --teacher '' --lr 0.01,0.1")


def test_the_picture_is_a_png_and_an_svg_that_name_every_run_and_repeat_their_bytes(sweep, tmp_path):
    assert pareto_chart.write(tmp_path, sweep.results, title(sweep)) == ("sweep.png", "sweep.svg")
    before = [(tmp_path / name).read_bytes() for name in ("sweep.png", "sweep.svg")]
    with Image.open(tmp_path / "sweep.png") as picture:
        assert picture.size == (1500, 720)
        assert np.ptp(np.asarray(picture.convert("L"))) > 100
    words = [text.text for text in ET.fromstring(before[1]).iter("{http://www.w3.org/2000/svg}text")]
    assert [words.count(number) for number in "12345"] == [2, 2, 2, 2, 0]
    assert any("gru by hidden and learning rate" in (word or "") for word in words)
    pareto_chart.write(tmp_path, sweep.results, title(sweep))
    assert [(tmp_path / name).read_bytes() for name in ("sweep.png", "sweep.svg")] == before


@pytest.mark.exhaustive  # the axes are those of test_charts.py
def test_a_run_without_a_mistake_and_a_single_size_can_be_drawn(results):
    perfect = [
        dataclasses.replace(one, figures=dataclasses.replace(USUAL, validation_accuracy=accuracy))
        for one, accuracy in zip(results, [1.0, 0.1, 0.5, 0.99, 0.999], strict=True)
    ]
    with charts.style():
        for runs in (perfect, perfect[:1]):
            pareto_chart.figure(runs, "gru").canvas.draw()


@pytest.mark.exhaustive  # the labels are those of test_charts.py
def test_numbers_of_runs_that_lie_upon_each_other_are_written_apart(results):
    twins = [dataclasses.replace(one, figures=USUAL) for one in results]
    with charts.style():
        drawn = pareto_chart.figure(twins, "gru")
        drawn.canvas.draw()
        for panel in drawn.axes:
            boxes = [text.get_window_extent() for text in panel.texts]
            assert len(boxes) == 5
            assert not any(one.overlaps(other) for one, other in itertools.combinations(boxes, 2))
