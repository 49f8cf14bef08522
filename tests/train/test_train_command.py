"""`edge train` as it is typed: exit codes, what goes to stdout and what to stderr."""

import io
import re
import shlex
import subprocess
import sys
from dataclasses import fields

import pytest
import torchvision

from edge_train.training import checkpoint, recipes
from edge_train.training.recipes import Recipe

SIZES = ["--model", "lstm", "--hidden", "8"]
TINY = [*SIZES, "--data", "strokes", "--epochs", "2", "--batch-size", "32", "--threads", "1", "--no-report"]


@pytest.fixture
def train(edge_command, few_strokes, tmp_path):
    return lambda *options: edge_command("train", *options, "--out", tmp_path / "runs")


def test_results_go_to_stdout_and_progress_to_stderr(train, tmp_path):
    ended = train(*TINY)
    path = tmp_path / "runs" / "lstm-8" / "lstm-8.safetensors"
    assert ended.code == 0
    assert ended.out.splitlines()[-1] == f"next: edge export --model lstm-8 --checkpoint {path} --quantize"
    assert ended.err.startswith("lstm-8: 1,306 parameters, 160 strokes-training images, on cpu\n")
    assert "epoch   1/2" in ended.err
    assert "epoch   2/2" in ended.err
    assert "epoch   1/2" not in ended.out
    assert checkpoint.load(path).name == "lstm-8"


def test_every_hyperparameter_arrives(train, tmp_path):
    settings = {
        "learning_rate": 0.02,
        "schedule": "constant",
        "optimiser": "sgd",
        "momentum": 0.8,
        "weight_decay": 0.001,
        "gradient_norm": 2.0,
        "label_smoothing": 0.05,
        "averaging": 0.9,
        "augmentation": "digits",
        "strokes": 0.2,
        "writers": "all",
        "outliers": 0.1,
        "teacher": "rnn",
        "distillation": 0.3,
        "interpolation": 0.5,
        "initialisation": "torch",
        "seed": 9,
    }
    assert {*settings, "epochs", "batch_size"} == {field.name for field in fields(Recipe)}
    options = [text for name, setting in settings.items() for text in (f"--{name.replace('_', '-')}", str(setting))]
    ended = train(*TINY, *options, "--bidirectional", "--name", "mine")
    assert ended.code == 0, ended.err
    stored = checkpoint.load(tmp_path / "runs" / "mine" / "mine.safetensors")
    assert stored.training["recipe"] == {**settings, "epochs": 2, "batch_size": 32}
    assert stored.specification.bidirectional


def test_the_recipes_are_listed_with_their_hyperparameters_and_what_they_reached(train, tmp_path):
    ended = train("--list")
    assert ended.code == 0
    for recipe, of_models in recipes.tables().items():
        for model in of_models:
            assert re.search(rf"^{recipe} +{model} ", ended.out, re.MULTILINE)
    assert re.search(r"^origin +lstm .*2 epochs of batches of 100, adam 0\.01, constant", ended.out, re.MULTILINE)
    assert "as usual:\nmomentum none, weight-decay 0.01, gradient-norm 1.0, " in ended.out
    assert "seed 0." in ended.out
    assert not (tmp_path / "runs").exists()


def test_the_next_command_can_be_copied_from_a_folder_with_a_space(edge_command, few_strokes, tmp_path):
    ended = edge_command("train", *TINY, "--out", tmp_path / "my runs")
    path = tmp_path / "my runs" / "lstm-8" / "lstm-8.safetensors"
    assert shlex.split(ended.out.splitlines()[-1])[-3:] == ["--checkpoint", str(path), "--quantize"]


def test_a_chain_of_layers_can_be_trained(train, tmp_path):
    options = [
        "--model",
        "cnn",
        "--chain",
        "flatten linear10",
        "--data",
        "strokes",
        "--epochs",
        "1",
        "--threads",
        "1",
        "--no-report",
    ]
    assert train(*options).code == 0
    assert (tmp_path / "runs" / "cnn-own" / "cnn-own.safetensors").is_file()


@pytest.mark.exhaustive  # said of the trainer in test_resume.py
def test_a_finished_run_can_be_resumed(train):
    first = train(*TINY)
    again = train(*TINY, "--resume")
    assert again.code == 0
    assert again.out == first.out


@pytest.mark.parametrize(
    "options",
    [
        ["--epochs", "many"],
        ["--device", "tpu"],
        ["--threads", "0"],
        ["--unknown"],
        ["stray"],
    ],
)
def test_wrong_usage_exits_with_2(edge_command, options):
    ended = edge_command("train", *options)
    assert ended.code == 2
    assert ended.out == ""


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--model", "transformer"], "use one of lstm"),
        (["--data", "cifar"], "use one of mnist, fashion-mnist"),
        (["--epochs", "0"], "--epochs 0 is out of range"),
        (["--learning-rate", "0"], "--learning-rate 0.0 is out of range"),
        (["--hidden", "0"], "--hidden between 1 and 4096"),
        (["--model", "cnn", "--hidden", "8"], "--chain"),
        (["--chain", "flatten linear10"], "--model cnn"),
        (["--model", "cnn", "--chain", "flatten linear9"], "end --chain in flatten linear10"),
        (["--model", "cnn", "--chain", "flatten linear8 bn linear10"], "change --chain"),
        (["--name", "a/b"], "--name 'a/b'"),
        (["--recipe", "worst"], "use one of best, origin"),
        (["--recipe", "origin", "--model", "gru"], "gru has no published run"),
        (["--teacher", "nobody"], "no teacher 'nobody'"),
        (["--resume"], "start one without --resume"),
    ],
)
def test_what_cannot_be_trained_is_told_in_one_line_with_exit_1(train, options, words):
    ended = train("--data", "strokes", *options)
    assert ended.code == 1
    assert ended.out == ""
    assert ended.err.startswith("edge: ")
    assert words in ended.err
    assert "; " in ended.err, "what to do next is missing"
    assert ended.err.count("\n") == 1


def test_missing_data_is_told_in_one_line(train, tmp_path, monkeypatch):
    def unreachable(*_: object, **__: object) -> None:
        raise OSError("Network is unreachable")

    monkeypatch.setattr(torchvision.datasets, "MNIST", unreachable)
    ended = train("--data-dir", tmp_path / "data")
    assert ended.code == 1
    assert "Network is unreachable" in ended.err
    assert "--data strokes" in ended.err


class PressedAt(io.StringIO):
    """A stream on which Ctrl-C is pressed when a text is written."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text

    def write(self, text: str) -> int:
        if self.text in text:
            raise KeyboardInterrupt
        return super().write(text)


def test_ctrl_c_keeps_the_best_epoch_and_says_how_to_go_on(train, monkeypatch):
    with monkeypatch.context() as pressed:
        pressed.setattr("sys.stderr", PressedAt("epoch   1/2"))
        ended = train(*TINY)
    assert ended.code == 130
    assert "interrupted; the same command with --resume goes on" in ended.out
    resumed = train(*TINY, "--resume")
    assert resumed.code == 0
    assert "epoch   1/2" not in resumed.err
    assert "epoch   2/2" in resumed.err


@pytest.mark.parametrize("command", ["train", "data", "report", "models"])
@pytest.mark.sampled(2)
def test_help_imports_no_torch(command):
    """Asked in a process of its own, of the commands as they are registered."""
    code = (
        "import sys; from edge.cli.main import main\n"
        f"sys.argv = ['edge', '{command}', '--help']\n"
        "try: main()\n"
        "except SystemExit: print(sorted({'torch', 'matplotlib', 'onnx'} & {*sys.modules}))"
    )
    ended = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert ended.stdout.splitlines()[0].startswith("Usage: edge")
    assert ended.stdout.splitlines()[-1] == "[]"
