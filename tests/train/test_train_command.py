"""`edge train` as it is typed: exit codes, what goes to stdout and what to stderr."""

import pytest

from edge_train import checkpoint

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


def test_every_dial_arrives(train, tmp_path):
    ended = train(*TINY, "--learning-rate", "0.02", "--no-augment", "--seed", "9", "--bidirectional", "--name", "mine")
    assert ended.code == 0, ended.err
    stored = checkpoint.load(tmp_path / "runs" / "mine" / "mine.safetensors")
    recipe = stored.training["recipe"]
    assert (recipe["learning_rate"], recipe["augment"], recipe["seed"]) == (0.02, False, 9)
    assert (recipe["epochs"], recipe["batch_size"]) == (2, 32)
    assert stored.specification.bidirectional


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


def test_a_finished_run_can_be_resumed(train):
    first = train(*TINY)
    again = train(*TINY, "--resume")
    assert again.code == 0
    assert again.out == first.out


@pytest.mark.parametrize(
    "options",
    [
        ["--data", "cifar"],
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
        (["--epochs", "0"], "--epochs 0 is out of range"),
        (["--learning-rate", "0"], "--learning-rate 0.0 is out of range"),
        (["--hidden", "0"], "--hidden between 1 and 4096"),
        (["--model", "cnn", "--hidden", "8"], "--chain"),
        (["--chain", "flatten linear10"], "--model cnn"),
        (["--model", "cnn", "--chain", "flatten linear9"], "end --chain in flatten linear10"),
        (["--model", "cnn", "--chain", "flatten linear8 bn linear10"], "change --chain"),
        (["--name", "a/b"], "--name 'a/b'"),
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

    monkeypatch.setattr("torchvision.datasets.MNIST", unreachable)
    ended = train("--data-dir", tmp_path / "data")
    assert ended.code == 1
    assert "Network is unreachable" in ended.err
    assert "--data strokes" in ended.err


def test_ctrl_c_keeps_the_best_epoch_and_says_how_to_go_on(train, monkeypatch):
    def step(_display, progress):
        if progress.epoch == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr("edge_train.progress.Display.step", step)
    ended = train(*TINY)
    assert ended.code == 130
    assert "interrupted; the same command with --resume goes on" in ended.out
    monkeypatch.setattr("edge_train.progress.Display.step", lambda *_: None)
    resumed = train(*TINY, "--resume")
    assert resumed.code == 0
    assert "epoch   1/2" not in resumed.err
    assert "epoch   2/2" in resumed.err
