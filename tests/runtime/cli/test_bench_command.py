"""What people see: aligned tables, progress on the standard error, exit codes, and nothing lost on Ctrl-C."""

import json
import sys

import pytest

QUICK = ("--seconds", "0.01", "--cold-starts", "0", "--provider", "cpu")


def rows(text, title):
    lines = text.split(title, 1)[1].split("\n\n")[0].splitlines()
    header = next(at for at, line in enumerate(lines) if line.startswith("bundle"))
    return lines[header:]


def test_a_row_for_each_configuration_with_the_columns_aligned(edge_command, shelf, repack):
    (shelf / "a-longer-name.onnx").write_bytes(repack(name="a-longer-name"))
    ended = edge_command("bench", "--batch", "1,4", "--threads", "1,2", *QUICK)
    assert ended.code == 0
    header, *body = rows(ended.out, "latency of a call")
    cells = [line.split()[:4] for line in body if not line.startswith("-:")]
    assert cells == [
        [name, "cpu", threads, batch]
        for name in ("a-longer-name", "linear-fp32")
        for threads in ("1", "2")
        for batch in ("1", "4")
    ]
    assert len({len(line) for line in [header, *body] if not line.startswith("-:")}) == 1


def test_a_percentile_that_too_few_calls_stand_on_is_a_dash(edge_command, shelf):
    ended = edge_command("bench", "--batch", "1", *QUICK)
    header, row, note = rows(ended.out, "latency of a call")
    assert dict(zip(header.split(), row.split(), strict=True))["p99.9"] == "-"
    assert "p99.9 10000" in note


def test_the_json_is_one_document_and_the_progress_stays_apart(edge_command, shelf):
    ended = edge_command("bench", "linear-fp32", "--json", "--batch", "2", *QUICK)
    document = json.loads(ended.out)
    assert (document["schema"], document["complete"]) == ("edge.bench/1", True)
    assert [(each["batch"], each["provider"]) for each in document["latencies"]] == [(2, "cpu")]
    assert ended.err == "latency: 1 configuration of 0.01 s in 8 rounds\n"


def test_providers_are_a_list_or_several_options(edge_command, shelf, repack):
    (shelf / "linear-fp32.onnx").write_bytes(repack(providers=("cpu",)))
    for words in (["--provider", "cpu,auto"], ["--provider", "cpu", "--provider", "auto"]):
        ended = edge_command("bench", "--json", "--batch", "1", "--seconds", "0.01", "--cold-starts", "0", *words)
        sessions = json.loads(ended.out)["sessions"]
        assert [(each["requested_provider"], each["provider"]) for each in sessions] == [
            ("cpu", "cpu"),
            ("auto", "cpu"),
        ]


def test_a_refused_provider_is_told_the_others_are_measured_and_the_exit_code_is_1(edge_command, shelf, repack):
    (shelf / "linear-fp32.onnx").write_bytes(repack(providers=("cpu",)))
    ended = edge_command("bench", "--batch", "1", "--seconds", "0.01", "--cold-starts", "0", "--provider", "cuda,cpu")
    assert ended.code == 1
    assert "edge: linear-fp32 on cuda: linear-fp32 has fp32 kernels that exist on the CPU only" in ended.err
    assert rows(ended.out, "latency of a call")[1].split()[:2] == ["linear-fp32", "cpu"]


def test_figures_of_wrong_answers_are_told_as_such(edge_command, shelf, repack):
    (shelf / "linear-fp32.onnx").write_bytes(repack(temperature=3.0))
    ended = edge_command("bench", "--batch", "1", *QUICK)
    assert ended.code == 0
    warning = ended.err.splitlines()[-1]
    assert warning.startswith("edge: linear-fp32 on cpu fails `edge verify` at evidence: ")
    assert warning.endswith("; its figures are those of wrong answers")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--batch", "0"], "0 is no batch size"),
        (["--batch", "1,two"], "no list of whole numbers"),
        (["--threads", "0"], "0 is no number of threads"),
        (["--provider", "cpu,tpu"], "no provider 'tpu'"),
        (["--seconds", "0"], "above 0"),
        (["--cold-starts", "-1"], "0 or more"),
        (["--plot", "plot.pdf"], "no .png or .svg file"),
    ],
)
def test_wrong_usage_exits_with_2_before_anything_is_measured(edge_command, shelf, arguments, message):
    ended = edge_command("bench", *arguments)
    assert (ended.code, ended.out) == (2, "")
    assert message in ended.err
    assert "cold start:" not in ended.err


@pytest.mark.parametrize(
    "arguments",
    [["nothing"], ["linear-fp32", "--plot", "missing/plot.png"], ["--from", "nothing.json"]],
)
def test_what_is_not_there_exits_with_1_before_anything_is_measured(edge_command, shelf, arguments):
    ended = edge_command("bench", *arguments)
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.startswith("edge: ")
    assert ended.err.count("\n") == 1


def test_a_damaged_document_is_one_line(edge_command, tmp_path):
    (tmp_path / "results.json").write_text('{"schema": "edge.bench/1", "complete": true}')
    ended = edge_command("bench", "--from", tmp_path / "results.json", "--plot", tmp_path / "plot.png")
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.startswith(f"edge: {tmp_path / 'results.json'} is damaged: machine is null; measure again with: ")


def test_bundles_are_named_or_come_from_a_file(edge_command, shelf, tmp_path):
    ended = edge_command("bench", "linear-fp32", "--from", tmp_path / "results.json")
    assert ended.code == 2
    assert "leave out their names" in ended.err


def test_without_matplotlib_one_line_says_what_to_install_before_anything_is_measured(edge_command, shelf, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    ended = edge_command("bench", "--plot", "plot.png")
    assert (ended.code, ended.out) == (1, "")
    assert ended.err == (
        "edge: `edge bench --plot` needs matplotlib, which is not installed; "
        "install it with: pip install 'edge-toolkit[plot]'\n"
    )


def test_tune_measures_and_keeps_how_a_bundle_runs_fastest(edge_command, shelf, bundle_path, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("edge.bench.tuning.CHUNKS", (2, 4))
    monkeypatch.setattr("edge.bench.tuning.IMAGES_PER_THREAD", 8)
    ended = edge_command("bench", str(bundle_path), "--tune")
    assert ended.code == 0
    lines = ended.out.splitlines()
    assert lines[0].startswith("linear-fp32 on ")
    assert sum(line.endswith("chosen") for line in lines) == 1
    assert lines[-1] == f"kept in {tmp_path / 'edge-toolkit' / 'profile.json'}"


@pytest.mark.parametrize("other", [("--json",), ("--plot", "plot.png"), ("--from", "results.json")])
def test_tune_has_a_table_of_its_own(other, edge_command, shelf):
    assert edge_command("bench", "--tune", *other).code == 2
