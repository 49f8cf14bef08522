"""`edge export` as it is typed: exit codes, what goes to stdout and what to stderr."""

import json
import sys
import textwrap

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from edge.bundle import bundle
from edge_export.graph import recurrent_graph
from edge_train import strokes
from edge_train.models.specification import Recurrent
from edge_train.training import checkpoint

NET = """
    from torch import nn

    def tiny():
        return nn.Sequential(nn.Flatten(), nn.Linear(784, 3))
"""


@pytest.fixture
def stored(drawn, decided, tmp_path):
    """The file of a small LSTM called `lstm-8`."""
    path = tmp_path / "lstm-8.safetensors"
    checkpoint.save(path, decided(drawn(Recurrent("lstm", hidden=8), name="lstm-8")))
    return path


@pytest.fixture
def export(edge_command, few_digits, tmp_path):
    return lambda *options: edge_command("export", "--data", "strokes", *options, "--out", tmp_path / "out")


def test_results_go_to_stdout_and_progress_to_stderr(export, stored, tmp_path):
    ended = export("--model", "lstm-8", "--checkpoint", stored)
    path = tmp_path / "out" / "lstm-8.onnx"
    assert ended.code == 0
    assert [line.split(":")[0] for line in ended.err.splitlines()] == [
        "PyTorch reads 10.00% of 60 strokes-parity images right",
        "step 1/4 convert",
        "step 2/4 quantise",
        "step 3/4 parity",
        "step 4/4 pack",
    ]
    assert "step" not in ended.out
    lines = ended.out.splitlines()
    assert f"bundle: {path}, " in ended.out
    assert lines[-2].strip() == f"next: edge verify {path}"
    assert lines[-1].strip() == f"edge predict --model {path} PICTURE"
    assert "accuracy of the bundle on strokes parity: " in ended.out


def test_a_folder_whose_name_a_terminal_would_act_on_is_quoted(edge_command, few_digits, drawn, tmp_path):
    folder = tmp_path / "signs\x1b[2J"
    images, labels = strokes.sample(80, seed=47)
    for index, (image, label) in enumerate(zip(images, labels, strict=True)):
        (folder / str(label)).mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / str(label) / f"{index}.png")
    path = tmp_path / "gru-8.safetensors"
    checkpoint.save(path, drawn(Recurrent("gru", hidden=8), name="gru-8"))
    ended = edge_command("export", "--checkpoint", path, "--data", folder, "--out", tmp_path / "out")
    assert ended.code == 0, ended.err
    assert "signs\\x1b[2J" in ended.out
    assert "\x1b" not in ended.out + ended.err


def test_the_table_has_a_row_for_every_comparison(export, stored):
    rows = [line for line in export("--model", "lstm-8", "--checkpoint", stored).out.splitlines() if "strokes-" in line]
    assert [row.split("  ")[0].strip() for row in rows] == ["onnx fp32"] * 5 + ["runtime", "PNG file"]
    assert not any("BROKEN" in row for row in rows)


@pytest.mark.parametrize(
    "options",
    [
        ["--precision", "int8"],
        pytest.param(["--quantize"], marks=pytest.mark.exhaustive),  # most tests here ask by it
        pytest.param(["--quantize", "--precision", "int8"], marks=pytest.mark.exhaustive),
    ],
)
def test_both_ways_of_asking_for_int8_give_int8(export, stored, tmp_path, speeds, options):
    speeds((1.5, 1.5))
    ended = export("--model", "lstm-8", "--checkpoint", stored, *options)
    assert ended.code == 0, ended.err
    assert "verdict: weight-only: int8 weights, fp32 arithmetic: smaller, not faster; " in ended.out
    assert "; exact on every processor\n" in ended.out
    assert bundle.read(tmp_path / "out" / "lstm-8-int8.onnx").manifest.precision == "int8"


def test_int8_shows_every_candidate_and_which_is_packed(export, stored, speeds):
    speeds((1.0, 1.0), stepped=(1.25, 4.0))
    lines = export(
        "--model", "lstm-8", "--checkpoint", stored, "--quantize", "--optimize", "throughput"
    ).out.splitlines()
    start = next(place for place, line in enumerate(lines) if line.startswith("candidate "))
    rows = lines[start + 1 : start + 5]
    assert [row.split()[0] for row in rows] == ["weight-only", "dynamic-lstm", "stepped", "branched"]
    assert [row.endswith("<- packed") for row in rows] == [False, False, True, False]
    assert "80 us (1.25x)" in rows[2]
    assert "25 us (4.00x)" in rows[2]
    assert rows[2].split()[-3] == "4.00"
    assert lines[start + 5].endswith("against our fp32; gain for throughput: time for pictures in bulk")


def test_int8_that_does_not_pay_exits_with_1_shows_why_and_writes_nothing(export, stored, speeds, tmp_path):
    speeds((0.5, 0.5))
    ended = export("--model", "lstm-8", "--checkpoint", stored, "--quantize", "--optimize", "latency")
    assert ended.code == 1
    assert ended.out == ""
    assert "weight-only " in ended.err
    assert "(0.50x)" in ended.err
    message = ended.err.splitlines()[-1]
    assert message.startswith("edge: int8 does not pay here for latency (time for a single picture): ")
    assert message.endswith("or take it with --force")
    assert not (tmp_path / "out").exists()


def test_force_packs_what_does_not_pay_and_says_so(export, stored, speeds, tmp_path):
    speeds((0.5, 0.5), branched=(0.6, 0.5))
    ended = export("--model", "lstm-8", "--checkpoint", stored, "--quantize", "--optimize", "latency", "--force")
    assert ended.code == 0, ended.err
    verdict = "packed by --force: no gain in latency over fp32 where it was exported"
    assert verdict in ended.out
    facts = bundle.read(tmp_path / "out" / "lstm-8-int8.onnx").manifest
    assert facts.method == "branched", "the best of those that lose"
    assert facts.int8_verdict.endswith(verdict)


@pytest.mark.parametrize("candidate", ["weight-only", "dynamic-lstm", "stepped", "branched"])
@pytest.mark.sampled(1)
def test_a_candidate_that_is_named_is_packed_without_a_choice(export, stored, speeds, tmp_path, candidate):
    speeds((0.5, 0.5))
    ended = export("--model", "lstm-8", "--checkpoint", stored, "--quantize", "--candidate", candidate)
    assert ended.code == 0, ended.err
    assert bundle.read(tmp_path / "out" / "lstm-8-int8.onnx").manifest.method == candidate
    assert ended.out.count("<- packed") == 1
    assert f"int8, the candidate {candidate}" in ended.err


@pytest.mark.parametrize(
    ("target", "promise"),
    [
        ("any", "exact on every processor"),
        ("vnni", "exact on x86 with VNNI only; other x86 processors saturate"),
        ("arm64", "exact on arm64; x86 processors without VNNI saturate"),
    ],
)
@pytest.mark.sampled(1)
def test_the_verdict_names_the_processors_that_int8_is_for(*, export, stored, tmp_path, monkeypatch, target, promise):
    monkeypatch.setattr("edge.session.cpu.int8_is_exact", lambda: True)
    options = ["--quantize", "--candidate", "stepped", "--target", target, "--max-drop", "100"]
    ended = export("--model", "lstm-8", "--checkpoint", stored, *options)
    assert ended.code == 0, ended.err
    assert promise in ended.out
    assert bundle.read(tmp_path / "out" / "lstm-8-int8.onnx").manifest.int8_target == target


def test_fp16_is_another_file_beside_it(export, stored, tmp_path):
    assert export("--model", "lstm-8", "--checkpoint", stored).code == 0
    assert export("--model", "lstm-8", "--checkpoint", stored, "--precision", "fp16").code == 0
    names = {path.name for path in (tmp_path / "out").glob("*.onnx")}
    assert names == {"lstm-8.onnx", "lstm-8-fp16.onnx"}


def test_an_own_module_lies_in_the_current_folder(export, in_folder, tmp_path):
    (tmp_path / "command_nets.py").write_text(textwrap.dedent(NET))
    (tmp_path / "labels.txt").write_text("ash\nbirch\ncedar\n")
    state = {"1.weight": torch.randn(3, 784), "1.bias": torch.tensor([0.0, 900.0, 0.0])}
    save_file(state, tmp_path / "weights.safetensors")
    own = ["--model", "command_nets:tiny", "--checkpoint", "weights.safetensors"]
    assert export(*own).code == 1, "three classes need labels"
    ended = export(*own, "--labels", "labels.txt")
    assert ended.code == 0, ended.err
    assert "accuracy of" not in ended.out
    assert bundle.read(tmp_path / "out" / "tiny.onnx").manifest.labels == ("ash", "birch", "cedar")


def test_the_shipped_lstm_is_exported_when_nothing_is_named(export, tmp_path):
    ended = export()
    assert ended.code == 0, ended.err
    report = json.loads((tmp_path / "out" / "lstm.report.json").read_text())
    assert (report["manifest"]["model"], report["manifest"]["architecture"]["hidden"]) == ("lstm", 128)


def test_a_packed_bundle_becomes_other_forms_without_pytorch(edge_command, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)  # importing it would now fail
    ended = edge_command("export", "lstm-20", "--to", "ort", "--to", "triton", "--out", tmp_path)
    assert ended.code == 0, ended.err
    assert ended.out.count("  evidence   ok  25 images, ") == 2
    assert f"  {tmp_path / 'lstm-20.ort'}\n" in ended.out
    assert f"  serve it: tritonserver --model-repository {tmp_path / 'triton'}" in ended.out
    assert edge_command("verify", tmp_path / "lstm-20.ort").code == 0
    assert edge_command("verify", tmp_path / "triton" / "lstm-20" / "1" / "model.onnx").code == 0


def test_a_model_is_packed_and_written_in_another_form_in_one_go(export, stored, tmp_path):
    ended = export("--model", "lstm-8", "--checkpoint", stored, "--to", "ort")
    assert ended.code == 0, ended.err
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "lstm-8.onnx",
        "lstm-8.report.json",
        "lstm-8.ort",
        "lstm-8.ort.sha256",
        "lstm-8.required_operators_and_types.config",
    }


@pytest.mark.parametrize(
    "options",
    [
        ["--precision", "int4"],
        ["--quantise"],
        ["--quantize", "--optimize", "speed"],
        ["--quantize", "--target", "avx2"],
        ["--quantize", "--max-drop", "-1"],
        ["--checkpoint"],
        ["lstm"],
        ["lstm", "--to", "html5"],
        ["lstm", "stray", "--to", "ort"],
    ],
)
def test_wrong_usage_exits_with_2(edge_command, options):
    ended = edge_command("export", *options)
    assert ended.code == 2
    assert ended.out == ""


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--data", "cifar"], "no data set 'cifar' and no folder of that name"),
        (
            ["--quantize", "--precision", "fp16"],
            "--quantize is int8 and contradicts --precision fp16; give one of them",
        ),
        (["--quantize", "--precision", "fp32"], "contradicts --precision fp32"),
        (["--candidate", "stepped"], "--candidate chooses among int8 candidates; add --quantize"),
        (["--normalise", "mnist"], "describe a model of your own; name it with --model package.module:factory"),
        (["--model", "lstn"], "use one of lstm"),
        (["lstm", "--to", "ort", "--quantize"], "lstm is packed already, and --to changes its form only; leave the"),
        (["nothing.onnx", "--to", "ort"], "there is no bundle and no file 'nothing.onnx'"),
        (["--checkpoint", "nothing.safetensors"], "check the path"),
        (["--labels", "nothing.txt"], "give a text file, one label a line"),
        (["--model", "nowhere:make"], "--checkpoint"),
        (["--model", ":make", "--checkpoint", "x.pt"], "names no factory; give --model package.module:factory"),
    ],
)
def test_what_cannot_be_exported_is_told_in_one_line_with_exit_1(export, options, words, in_folder):
    ended = export(*options)
    assert ended.code == 1
    assert ended.out == ""
    assert ended.err.startswith("edge: ")
    assert words in ended.err
    assert ended.err.count("\n") == 1
    assert not (in_folder / "out").exists()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("import sys\nSIZE = sys.exit(0)\ndef make():\n    return SIZE\n", "SystemExit: 0"),
        ("def make():\n    raise SystemExit(0)\n", "SystemExit: 0 (exits.py, line 2)"),
        ("SIZE = int('no size')\ndef make():\n    return SIZE\n", "ValueError: invalid literal for int()"),
        ("def make():\n    return 1 / 0\n", "ZeroDivisionError: division by zero (exits.py, line 2)"),
        ("def make(:\n", "SyntaxError: invalid syntax"),
    ],
    ids=[
        "exits on import",
        "exits when called",
        "raises on import",
        "raises when called",
        "no Python",
    ],
)
def test_a_module_of_the_user_s_that_exits_or_fails_is_told_as_theirs(export, in_folder, text, told, monkeypatch):
    (in_folder / "exits.py").write_text(text)
    monkeypatch.delitem(sys.modules, "exits", raising=False)
    save_file({"1.weight": torch.zeros(3, 784)}, in_folder / "weights.safetensors")
    ended = export("--model", "exits:make", "--checkpoint", "weights.safetensors")
    assert ended.code == 1
    message = ended.err.splitlines()[-1]
    assert message.startswith("edge: exits")
    assert told in message
    assert "the error is in that code, not in edge" in message
    assert ended.out == ""


def test_a_package_that_the_module_of_the_user_s_misses_is_named(export, in_folder, monkeypatch):
    (in_folder / "misses.py").write_text(
        "import nowhere_to_be_found\ndef make():\n    return nowhere_to_be_found.Net()\n"
    )
    monkeypatch.delitem(sys.modules, "misses", raising=False)
    save_file({"1.weight": torch.zeros(3, 784)}, in_folder / "weights.safetensors")
    ended = export("--model", "misses:make", "--checkpoint", "weights.safetensors")
    assert ended.code == 1
    assert ended.err.splitlines()[-1].endswith("nowhere_to_be_found is not installed: install it")
    assert ended.out == ""


def test_a_weight_of_the_user_s_that_is_no_number_is_named(export, in_folder):
    (in_folder / "nan_nets.py").write_text(textwrap.dedent(NET))
    state = {"1.weight": torch.zeros(3, 784), "1.bias": torch.tensor([0.0, float("nan"), 0.0])}
    save_file(state, in_folder / "weights.safetensors")
    ended = export("--model", "nan_nets:tiny", "--checkpoint", "weights.safetensors")
    assert ended.code == 1
    assert "1.bias in weights.safetensors has 1 NaN" in ended.err


def test_a_contradiction_is_told_before_anything_heavy_is_imported(edge_command, monkeypatch):
    monkeypatch.setitem(sys.modules, "edge_export.pipeline", None)  # importing it would now fail
    assert edge_command("export", "--quantize", "--precision", "fp16").code == 1


def test_a_broken_tolerance_exits_with_1_and_writes_nothing(export, stored, tmp_path, monkeypatch):
    monkeypatch.setitem(recurrent_graph._GATE_ORDER, "lstm", (0, 1, 2, 3))
    ended = export("--model", "lstm-8", "--checkpoint", stored)
    assert ended.code == 1
    assert ended.out == ""
    message = ended.err.splitlines()[-1]
    assert message.startswith("edge: onnx fp32 differs from PyTorch on strokes-parity at batch 1: ")
    assert "would pass; first at recurrent layer 0, step 0: error " in message
    assert message.endswith("nothing was written; report this model")
    assert not (tmp_path / "out").exists()
