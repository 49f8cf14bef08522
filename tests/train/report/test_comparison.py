"""`edge report` on several runs, and what it says when a run cannot be read."""

import json

import pytest

from edge_train.report import comparison, metrics
from edge_train.report.metrics import ReportError

SETTINGS = {"name": "gru", "data": "mnist", "recipe": {"epochs": 2}, "specification": {"kind": "recurrent"}}


def written(folder, name, *, finished=True, **settings):
    """The metrics of a run that was never trained: the comparison reads nothing else."""
    epochs = [
        {
            "number": number,
            "training_loss": 1.0 / number,
            "training_accuracy": 0.5,
            "validation_loss": 0.9 / number,
            "validation_accuracy": 0.9 + 0.01 * number,
            "seconds": 2.0 * number,
        }
        for number in (1, 2)
    ]
    recipe = {"epochs": 2, "batch_size": 64, "learning_rate": 0.01, "seed": 0} | settings
    started = {"name": name, "data": "mnist", "recipe": recipe, "specification": {"kind": "recurrent", "cell": "gru"}}
    facts = {"schema": "edge.metrics/1", "settings": started, "epochs": epochs}
    if finished:
        calibration = {"before": {"expected_error": 0.02}, "after": {"expected_error": 0.005}}
        facts |= {
            "best_epoch": 2,
            "parameters": 1306,
            "macs": 32336,
            "test": {"accuracy": 0.9123, "calibration": calibration},
        }
    folder.mkdir()
    (folder / "metrics.json").write_text(json.dumps(facts))
    return folder


def test_runs_are_rows_and_the_hyperparameters_that_differ_are_columns(edge_command, tmp_path):
    first = written(tmp_path / "a", "gru", learning_rate=0.01)
    second = written(tmp_path / "b", "gru-64", learning_rate=0.003)
    ended = edge_command("report", first, second, "--out", tmp_path / "page.html")
    assert ended.code == 0, ended.err
    heading, one, other, last = ended.out.splitlines()
    assert heading.split()[-2:] == ["learning", "rate"]
    assert "batch size" not in heading
    assert one.split() == ["gru", "92.00%", "91.23%", "2.00%", "0.50%", "1,306", "32,336", "2/2", "3.0", "0.01"]
    assert other.split()[-1] == "0.003"
    assert last == f"page: {tmp_path / 'page.html'}"


def test_a_long_text_leaves_room_for_what_stands_beside_it_and_is_whole_on_the_page(edge_command, tmp_path):
    layers = "conv5x16 bn relu pool conv5x32 bn relu pool flatten linear10"
    runs = [written(tmp_path / "a", "cnn", layers=layers), written(tmp_path / "b", "small", layers="flatten linear10")]
    ended = edge_command("report", *runs, "--out", tmp_path / "page.html")
    assert "  conv5x16 bn relu pool conv5x3..." in ended.out
    assert f'<td class="number long">{layers}</td>' in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_the_page_has_the_cells_of_the_table_and_needs_nothing_outside_itself(edge_command, tmp_path):
    runs = [written(tmp_path / "a", "gru"), written(tmp_path / "b", "lstm", batch_size=32)]
    edge_command("report", *runs, "--out", tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    table = comparison.of([metrics.read(run) for run in runs], ["gru", "lstm"])
    for row in table.rows:
        assert all(f">{cell}</td>" in page for cell in row)
    assert "http" not in page
    assert "<script" not in page


def test_a_run_that_goes_on_is_compared_by_what_it_has(tmp_path):
    facts = [
        metrics.read(written(tmp_path / "a", "gru", finished=False)),
        metrics.read(written(tmp_path / "b", "rnn")),
    ]
    going_on, finished = comparison.of(facts, ["gru", "rnn"]).rows
    assert going_on[:6] == ("gru", "92.00%", "-", "-", "-", "-")
    assert finished[2] == "91.23%"


def test_runs_of_one_name_are_told_apart_by_their_folders(edge_command, tmp_path):
    runs = [written(tmp_path / "a", "gru"), written(tmp_path / "b", "gru", seed=1)]
    lines = edge_command("report", *runs, "--out", tmp_path / "page.html").out.splitlines()
    assert [line.split()[0] for line in lines[1:3]] == [str(run) for run in runs]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "name the folder of a run"),
        ("{", "is damaged"),
        ('{"epochs": [], "schema": "edge.metrics/9"}', "this version reads edge.metrics/1"),
        ('{"schema": "edge.bench/1"}', "is not the course of a run"),
        ("[]", "is not the course of a run"),
        ('{"epochs": []}', r"is damaged \(its settings are not complete\); train the model again"),
        (json.dumps({"epochs": [], "settings": SETTINGS}), r"is damaged \(it has no epochs\)"),
        (json.dumps({"epochs": [{}], "settings": SETTINGS}), r"is damaged \(its epochs are not complete\)"),
    ],
)
def test_what_cannot_be_read_is_told(tmp_path, content, words):
    if content is not None:
        (tmp_path / "metrics.json").write_text(content)
    with pytest.raises(ReportError, match=words):
        metrics.read(tmp_path)


def test_a_report_without_its_checkpoint_is_told_in_one_line(edge_command, tmp_path):
    ended = edge_command("report", written(tmp_path / "a", "gru"))
    assert ended.code == 1
    assert ended.err.startswith("edge: cannot read the checkpoint")
    assert ended.err.count("\n") == 1
