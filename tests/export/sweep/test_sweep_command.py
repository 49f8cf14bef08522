"""`edge sweep` as it is typed, on tiny runs: what it leaves, how it goes on, and that the test set stays closed."""

import json
import shutil

import pytest

from edge.bundle import bundle
from edge_export import pipeline
from edge_export.parity.tolerances import with_budget
from edge_export.sweep import grid, measuring, pareto_chart
from edge_train.data import datasets
from edge_train.models.specification import Recurrent
from edge_train.training import checkpoint, trainer
from edge_train.training.loop import Epoch, TrainingStep

STROKES = {"training": 160, "validation": 80, "test": 40}
HYPERPARAMETERS = ["--data", "strokes", "--batch-size", "32", "--strokes", "0", "--teacher", "", "--threads", "1"]
TINY = ["--model", "gru", "--hidden", "4,6", "--epochs", "1", *HYPERPARAMETERS]


@pytest.fixture
def few(monkeypatch, few_digits) -> None:
    """Little data to train on, and little to judge exports by."""
    monkeypatch.setattr(datasets, "STROKE_IMAGES", STROKES)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "sweep"


@pytest.fixture
def drawing_sweep(edge_command, few, folder):
    return lambda *options: edge_command("sweep", *options, "--out", folder)


@pytest.fixture
def sweep(drawing_sweep, monkeypatch):
    """Without the picture, which takes longer than what most of these tests are about."""
    monkeypatch.setattr(pareto_chart, "write", lambda *_: ("sweep.png", "sweep.svg"))
    return drawing_sweep


@pytest.fixture
def trained(monkeypatch) -> list[trainer.TrainingRequest]:
    """The runs that are started from now on."""
    requests: list[trainer.TrainingRequest] = []
    real = trainer.train

    def train(request: trainer.TrainingRequest, **more: object) -> trainer.TrainingResult:
        requests.append(request)
        return real(request, **more)

    monkeypatch.setattr(trainer, "train", train)
    return requests


@pytest.fixture
def opened(monkeypatch) -> list[str]:
    """The parts of the data that are read from now on."""
    parts: list[str] = []
    real = datasets.stroke_split
    monkeypatch.setattr(datasets, "stroke_split", lambda part: parts.append(part) or real(part))
    return parts


class Pressed:
    """Ctrl-C in the first step of an epoch."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def on_step(self, step: TrainingStep) -> None:
        if step.epoch == self.epoch:
            raise KeyboardInterrupt

    def on_epoch(self, epoch: Epoch, *, best: bool) -> None:
        pass


@pytest.fixture
def pressed(monkeypatch, trained) -> dict[str, int]:
    """The epoch in which Ctrl-C is pressed, by the run, such as "run 2"."""
    epochs: dict[str, int] = {}
    real = trainer.train

    def train(request: trainer.TrainingRequest) -> trainer.TrainingResult:
        epoch = epochs.get(request.part_of.partition("/")[0])
        return real(request, callbacks=() if epoch is None else (Pressed(epoch),))

    monkeypatch.setattr(trainer, "train", train)
    return epochs


def written(folder) -> dict:
    return json.loads((folder / "sweep.json").read_text())


def test_a_sweep_leaves_a_table_a_picture_a_document_and_a_folder_for_each_run(drawing_sweep, folder, opened):
    ended = drawing_sweep(*TINY)
    assert ended.code == 0, ended.err
    assert set(opened) == {"training", "validation"}
    assert {path.name for path in folder.iterdir()} == {"001", "002", "sweep.json", "sweep.png", "sweep.svg"}
    lines = ended.err.splitlines()
    assert lines[0].startswith("run 1/2  gru hidden 4: validation accuracy ")
    assert lines[1].startswith("run 2/2  gru hidden 6: validation accuracy ")
    assert "epoch   1/1" not in ended.err
    document = written(folder)
    assert document["schema"] == "edge.sweep/1"
    assert [run["status"] for run in document["runs"]] == ["done", "done"]
    best = document["runs"][document["best"] - 1]["figures"]
    assert f"--checkpoint {folder / best['checkpoint']} --quantize" in ended.out.splitlines()[-1]
    for run in document["runs"]:
        figures, path = run["figures"], folder / run["figures"]["checkpoint"]
        stored = checkpoint.load(path)
        (accuracy,) = stored.accuracy
        assert (accuracy["split"], accuracy["accuracy"]) == (
            "validation",
            pytest.approx(figures["validation_accuracy"]),
        )
        assert figures["parameters"] == sum(tensor.numel() for tensor in stored.weights.values())
        assert figures["size_bytes"] == measuring.size_bytes(path)
        assert figures["latency_us"] > 0


def test_every_dial_arrives_and_takes_a_list(sweep, folder):
    settings = {
        "epochs": "1",
        "batch_size": "32",
        "learning_rate": "0.02",
        "schedule": "constant",
        "optimiser": "sgd",
        "momentum": "0.8",
        "weight_decay": "0.001",
        "gradient_norm": "2.0",
        "label_smoothing": "0.05",
        "averaging": "0.9",
        "augmentation": "digits",
        "strokes": "0.2",
        "outliers": "0.1",
        "writers": "all",
        "teacher": "rnn",
        "distillation": "0.3",
        "initialisation": "torch",
        "seed": "9",
    }
    sizes = {"hidden": "4", "layers": "2", "bidirectional": "yes"}
    assert {"model", "chain", *sizes, *settings} == set(grid.KINDS)
    options = [word for name, value in {**sizes, **settings}.items() for word in (grid.option(name), value)]
    ended = sweep("--model", "gru", *options, "--data", "strokes", "--threads", "1")
    assert ended.code == 0, ended.err
    (run,) = written(folder)["runs"]
    stored = checkpoint.load(folder / run["figures"]["checkpoint"])
    assert stored.specification == Recurrent("gru", hidden=4, layers=2, bidirectional=True)
    assert {name: str(setting) for name, setting in stored.training["recipe"].items()} == settings


def test_the_same_command_trains_nothing_again_and_says_the_same(sweep, folder, trained):
    first = sweep(*TINY)
    count, before = len(trained), (folder / "sweep.json").read_bytes()
    again = sweep(*TINY)
    assert (again.code, again.out) == (0, first.out)
    assert (count, len(trained)) == (2, 2)
    assert "2 of 2 runs were done before" in again.err
    assert (folder / "sweep.json").read_bytes() == before


def test_ctrl_c_exits_with_130_and_the_same_command_goes_on_where_it_stopped(sweep, folder, trained, pressed):
    options = ["--model", "gru", "--hidden", "4,6", "--epochs", "3", *HYPERPARAMETERS]
    pressed["run 2"] = 2
    ended = sweep(*options)
    assert ended.code == 130
    assert "interrupted after 1 of 2 runs; the same command goes on: edge sweep --model gru" in ended.out
    assert [run["number"] for run in written(folder)["runs"]] == [1]
    pressed.clear()
    resumed = sweep(*options)
    assert resumed.code == 0
    assert [request.part_of for request in trained] == ["run 1/2", "run 2/2", "run 2/2"]
    assert trained[-1].resume
    parts = (folder / "002" / "gru-6" / "gru-6.safetensors").read_bytes()
    shutil.rmtree(folder)
    assert sweep(*options).code == 0
    assert (folder / "002" / "gru-6" / "gru-6.safetensors").read_bytes() == parts


def test_ctrl_c_in_the_first_epoch_of_a_run_starts_it_anew(sweep, trained, pressed):
    pressed["run 1"] = 1
    assert sweep(*TINY).code == 130
    pressed.clear()
    assert sweep(*TINY).code == 0
    assert [request.resume for request in trained] == [False, False, False]


def test_another_grid_does_not_go_into_the_same_folder(sweep):
    assert sweep(*TINY).code == 0
    other = sweep(*TINY, "--lr", "0.01,0.02")
    assert other.code == 1
    assert (
        "holds another sweep (learning rate not given, not 0.01, 0.02); choose another folder with --out" in other.err
    )


def test_a_folder_of_something_else_is_left_alone(sweep, folder):
    folder.mkdir()
    (folder / "letter.txt").write_text("dear")
    ended = sweep(*TINY)
    assert ended.code == 1
    assert "holds no sweep; choose another folder with --out" in ended.err
    assert [path.name for path in folder.iterdir()] == ["letter.txt"]


def test_runs_that_diverge_or_are_impossible_are_recorded_and_the_sweep_goes_on(sweep, folder):
    wild = ["--optimiser", "sgd", "--schedule", "constant", "--gradient-norm", "0", "--augmentation", "none"]
    ended = sweep(
        "--model", "rnn-relu", "--hidden", "4,5000", "--lr", "0.01,100", "--epochs", "1", *wild, *HYPERPARAMETERS
    )
    assert ended.code == 0, ended.err
    assert [run["status"] for run in written(folder)["runs"]] == ["done", "diverged", "impossible", "impossible"]
    assert "run 2, rnn-relu hidden 4, learning-rate 100: diverged: the loss is " in ended.out
    assert "run 3, rnn-relu hidden 5000, learning-rate 0.01: impossible: hidden 5000 with 1 layers" in ended.out
    assert "run 2/4" in ended.err


def test_a_run_that_ran_out_of_memory_is_recorded_and_tried_again(sweep, folder, monkeypatch):
    real = trainer.train

    def train(request: trainer.TrainingRequest) -> trainer.TrainingResult:
        if request.sizes["hidden"] == 6:
            raise RuntimeError("not enough memory: you tried to allocate 99 bytes")
        return real(request)

    monkeypatch.setattr(trainer, "train", train)
    ended = sweep(*TINY)
    assert ended.code == 0
    assert "failed: not enough memory" in ended.out
    assert [run["status"] for run in written(folder)["runs"]] == ["done", "failed"]
    monkeypatch.setattr(trainer, "train", real)
    assert sweep(*TINY).code == 0
    assert [run["status"] for run in written(folder)["runs"]] == ["done", "done"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--model", "transformer"], "use one of lstm"),
        (["--model", "gru", "--recipe", "origin"], "gru has no published run"),
        (["--model", "cnn", "--hidden", "4,8"], "--hidden, --layers and --bidirectional are sizes of recurrent models"),
        (["--hidden", "4,many"], "--hidden takes values that are each a whole number"),
    ],
)
def test_what_no_run_could_do_is_told_before_the_first(sweep, folder, options, words):
    ended = sweep("--data", "strokes", *options)
    assert ended.code == 1
    assert ended.out == ""
    assert words in ended.err
    assert ended.err.count("\n") == 1
    assert not folder.exists()


def test_a_sweep_of_failures_exits_with_1_and_the_first_reason(sweep):
    ended = sweep("--model", "cnn", "--chain", "flatten linear9,flatten linear8", "--epochs", "1", *HYPERPARAMETERS)
    assert ended.code == 1
    assert "none of the 2 runs succeeded (the layers end in shape (9,)" in ended.err


def test_missing_data_ends_the_sweep_instead_of_failing_every_run(sweep, tmp_path, monkeypatch, folder):
    def unreachable(*_: object, **__: object) -> None:
        raise OSError("Network is unreachable")

    monkeypatch.setattr("torchvision.datasets.MNIST", unreachable)
    options = ["--model", "gru", "--hidden", "4,6", "--teacher", "", "--data-dir", tmp_path / "none"]
    ended = sweep(*options)
    assert ended.code == 1
    assert "Network is unreachable" in ended.err
    assert written(folder)["runs"] == []


def test_exporting_the_best_opens_the_test_set_for_it_alone(sweep, folder, monkeypatch, speeds, opened):
    speeds(default=(2.0, 2.0))
    monkeypatch.setattr(pipeline, "with_budget", lambda _drop: with_budget(100.0))  # a model so raw may change labels
    ended = sweep(*TINY, "--export-best")
    assert ended.code == 0, ended.err
    assert opened.count("test") == 1
    document = written(folder)
    found, best = document["exported"], document["runs"][document["best"] - 1]["figures"]
    packed = bundle.read(folder / found["bundle"])
    assert packed.manifest.precision == "int8"
    assert packed.manifest.model == best["name"]
    stored = checkpoint.load(folder / best["checkpoint"])
    assert [figure["split"] for figure in stored.accuracy] == ["validation", "test"]
    assert stored.accuracy[1] == found["test"]
    assert f"run {document['best']} on the test set, opened for it alone: {found['test']['accuracy']:.2%}" in ended.out


def test_a_best_run_for_which_int8_does_not_pay_is_exported_in_fp32(sweep, folder, speeds, monkeypatch):
    speeds(default=(0.1, 0.1))
    monkeypatch.setattr(pipeline, "with_budget", lambda _drop: with_budget(100.0))
    ended = sweep(*TINY, "--export-best")
    assert ended.code == 0, ended.err
    assert "int8 does not pay here" in ended.err
    assert "exporting fp32 instead" in ended.err
    found = written(folder)["exported"]
    packed = bundle.read(folder / found["bundle"])
    assert packed.manifest.precision == "fp32"
    assert packed.size == found["size_bytes"]
