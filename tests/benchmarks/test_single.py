"""The page of one picture and of a few: every batch size has its column, and holes are bold."""

from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture(autouse=True)
def _benchmarks_are_modules(monkeypatch):
    """As when one of them is run as a script."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))


def row(way, batch, ratio, to_fp32=1.0, **changes):
    figures = {"us_per_image": 80.0 / ratio, "ratio": ratio, "error": 0.01, "to_fp32": to_fp32, "flips": 0}
    return {"way": way, "batch": batch} | figures | changes


@pytest.fixture
def document():
    rows = [
        row("stock", 1, 1.0),
        row("stock int8", 1, 1.94),
        row("edge fp32", 1, 1.01),
        row("edge int8", 1, 1.61, 1.6),
        {"way": "OpenVINO", "batch": 1, "failure": "not installed: openvino"},
        row("stock", 16, 1.0),
        row("stock int8", 16, 1.68, flips=2),
        row("edge fp32", 16, 1.0),
        row("edge int8", 16, 0.93, 0.93),
        {"way": "OpenVINO", "batch": 16, "failure": "not installed: openvino"},
    ]
    calls = {"bare session": 1.0, "classify": 1.09, "predict_image": 3.8}
    around = {"bundle": "lstm", "us": {call: 10 * ratio for call, ratio in calls.items()}, "ratio": calls}
    return {
        "machine": {
            "cpu": "a processor",
            "cpu_family": "family 26, model 2",
            "system": "Linux",
            "allowed_cpus": 2,
            "load_average": 0.1,
            "int8_instructions": ["avx2"],
            "python": "3.11",
            "edge": "0.1.0",
            "numpy": "2.4",
            "distributions": {"onnxruntime": "1.31.1"},
        },
        "settings": {"rounds": 20, "bulk_rounds": 8, "makings": 4, "clock": "processor time", "baseline": "stock"},
        "models": [{"model": "lstm", "rows": rows, "interface": [around]}],
    }


def test_one_picture_comes_first_with_the_error_of_each_ratio(document):
    import single_page

    lines = single_page.markdown(document).splitlines()
    first = lines.index("## One picture")
    assert lines[first + 2] == "| model | stock, us | stock int8 | edge fp32 | edge int8 |"
    assert lines[first + 4] == "| lstm | 80.0 | 1.94 ± 0.02 | 1.01 ± 0.01 | 1.61 ± 0.02 |"


def test_every_batch_size_has_its_column_and_a_hole_is_bold(document):
    import single_page

    page = single_page.markdown(document)
    assert "| way | 1 | 16 |" in page
    assert "| edge int8 | 1.61 | 0.93 |" in page
    assert "| lstm | 1.60 | **0.93** |" in page


def test_what_stands_around_a_session_is_told_as_its_multiple(document):
    import single_page

    page = single_page.markdown(document)
    assert "| bundle | bare, us | classify | predict_image |" in page
    assert "| lstm | 10.0 | 1.09 | 3.80 |" in page


def test_what_does_not_run_and_labels_that_differ_are_told(document):
    import single_page

    page = single_page.markdown(document)
    assert page.count("- OpenVINO: not installed: openvino") == 1
    assert "- lstm, batch 16, stock int8: 2 labels differ from the stock export's" in page


def test_all_ways_run_in_turns_and_each_gives_a_row(tmp_path):
    pytest.importorskip("onnxruntime")
    import single
    import stock_exports

    from edge_train import strokes

    images, _ = strokes.sample(2, seed=1)
    rows = single.batch_rows(stock_exports.stock_exports("lstm-20", tmp_path), images, rounds=1)
    ran = {row["way"]: row for row in rows if "failure" not in row}
    assert {"stock", "stock int8", "edge fp32", "edge fp32, Classifier", "edge int8", "edge int8, Classifier"} <= set(
        ran
    )
    assert ran["stock"]["ratio"] == 1
    assert all(row["us_per_image"] > 0 and row["batch"] == 2 for row in ran.values())
    around = single.interface("lstm-20", images[:1], rounds=1)
    assert around["ratio"]["bare session"] == 1
    assert set(around["us"]) >= {"logits only", "Session.run", "classify", "predictions", "predict_image"}
