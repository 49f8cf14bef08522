"""Small models with random weights in every place, few digits, and ways to run a graph."""

import copy
import dataclasses
import sys
from collections.abc import Callable, Iterator
from functools import cache
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
import torch
from onnx import ModelProto
from torch import nn

from edge_export import pipeline
from edge_export.graph import conversion, session
from edge_export.graph.builder import Converted
from edge_export.int8 import candidates, latency
from edge_export.int8.convolutional.requantisation import QuantisedStage
from edge_export.int8.latency import Latency
from edge_export.int8.processors import PROFILES
from edge_export.int8.quantisation import QuantisedModel
from edge_export.pack import packing, rejection_threshold
from edge_export.pack.artifacts import Exported
from edge_export.parity import evaluation_data, round_trip
from edge_train import strokes
from edge_train.data.splits import Split
from edge_train.models import networks
from edge_train.models.specification import Convolutional, Recurrent, Specification, name_of
from edge_train.training import checkpoint, evaluation
from edge_train.training.checkpoint import Checkpoint

BATCHES = (1, 2, 3, 17)

# What checkpoints with random weights state: so that nobody is surprised when they read no digits.
GUESSING = {"data": "mnist", "split": "test", "images": 10_000, "accuracy": 0.1}

# What an int8 export takes where a test is not about the choice, which timings on a busy machine could change.
CANDIDATE = {"lstm": "branched", "gru": "stepped", "rnn": "stepped", "cnn": "static-qdq"}


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Timings and sums as an export takes them."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def versions_read_once() -> Iterator[None]:
    """Each export tells eight versions, and reading one from the record of a distribution takes milliseconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(metadata, "version", cache(metadata.version))
        yield


@pytest.fixture(scope="session", autouse=True)
def operators_translated_once() -> Iterator[None]:
    """torch's newer exporter translates all 500 operators that it knows anew for every export: half of its time."""
    try:
        from torch.onnx._internal._lazy_import import onnxscript_apis
    except ImportError:  # another torch keeps them elsewhere; its exports take longer
        yield
        return

    @cache
    def translated() -> object:
        return type(onnxscript_apis).__getattr__(onnxscript_apis, "get_torchlib_ops")()

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(vars(onnxscript_apis), "get_torchlib_ops", translated)
        yield


@pytest.fixture(scope="session")
def digits() -> Split:
    """60 strokes with their labels."""
    images, labels = strokes.sample(60, seed=31)
    return Split("strokes-parity", images, labels)


@pytest.fixture(scope="session")
def images(digits: Split) -> np.ndarray:
    """uint8 (65, 28, 28): the digits, then all-zero, all-255 and noise."""
    return np.concatenate([digits.images, packing.extreme_images()[0]])


@pytest.fixture(scope="session")
def randomised() -> Callable[..., nn.Module]:
    """Fills every place in which a conversion could lose or swap numbers: biases, gains of both signs, statistics."""

    def fill(model: nn.Module, seed: int = 0, *, gains: str = "both signs") -> nn.Module:
        source = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if "bias" in name:
                    parameter.copy_(torch.randn(parameter.shape, generator=source) * 0.3)
            for layer in model.modules():
                if isinstance(layer, nn.modules.batchnorm._BatchNorm):
                    gain = torch.rand(layer.weight.shape, generator=source) + 0.5
                    if gains == "both signs":
                        gain[::2] *= -1
                    layer.weight.copy_(gain)
                    layer.running_mean.copy_(torch.randn(layer.running_mean.shape, generator=source) * 0.5)
                    layer.running_var.copy_(torch.rand(layer.running_var.shape, generator=source) + 0.5)
        return model.eval()

    return fill


@pytest.fixture(scope="session")
def drawn(randomised) -> Callable[..., Checkpoint]:
    """A checkpoint of that specification with random numbers everywhere."""

    def draw(specification: Specification, seed: int = 0, *, gains: str = "both signs", **facts: object) -> Checkpoint:
        torch.manual_seed(seed)
        weights = randomised(networks.build(specification), seed, gains=gains).state_dict()
        own = {"name": name_of(specification), "specification": specification, "weights": weights}
        return Checkpoint(**{**own, "accuracy": (GUESSING,), **facts})

    return draw


@pytest.fixture(scope="session")
def lstm(drawn) -> Checkpoint:
    """An LSTM of hidden size 12 with two layers."""
    return drawn(Recurrent("lstm", hidden=12, layers=2), temperature=0.75)


@pytest.fixture(scope="session")
def cnn(drawn) -> Checkpoint:
    """A small CNN in which one BatchNorm folds back, one folds forward and one stays."""
    return drawn(Convolutional("conv5x6 bn relu pool conv3x8 relu bn conv3x6 relu bn flatten linear10"))


@pytest.fixture(scope="session")
def converted(lstm, cnn, drawn) -> Callable[[str], tuple[Checkpoint, Converted]]:
    """A small checkpoint of that kind and its fp32 graph."""
    sizes = {
        "lstm": lambda: lstm,
        "bilstm": lambda: drawn(Recurrent("lstm", hidden=10, bidirectional=True)),
        "bilstm-2": lambda: drawn(Recurrent("lstm", hidden=9, layers=2, bidirectional=True)),
        "lstm-40": lambda: drawn(Recurrent("lstm", hidden=40)),
        "gru": lambda: drawn(Recurrent("gru", hidden=12, layers=2)),
        "bigru-2": lambda: drawn(Recurrent("gru", hidden=9, layers=2, bidirectional=True)),
        "rnn": lambda: drawn(Recurrent("rnn-tanh", hidden=12)),
        "rnn-relu": lambda: drawn(Recurrent("rnn-relu", hidden=12, layers=2)),
        "birnn-relu-2": lambda: drawn(Recurrent("rnn-relu", hidden=9, layers=2, bidirectional=True)),
        "cnn": lambda: cnn,
        "mlp": lambda: drawn(Convolutional("flatten linear24 relu linear10")),
    }

    @cache
    def make(kind: str) -> tuple[Checkpoint, Converted]:
        stored = sizes[kind]()
        return stored, conversion.convert(stored)

    return make


@pytest.fixture(scope="session")
def quantised(converted, digits) -> Callable[..., QuantisedModel]:
    """An int8 candidate of a small checkpoint of that kind, calibrated on the digits."""

    @cache
    def make(kind: str, candidate: str, target: str = "any") -> QuantisedModel:
        return candidates.build(converted(kind)[1].model, digits.images, PROFILES[target], candidate)[candidate]

    return make


@pytest.fixture(scope="session")
def answers() -> Callable[[ModelProto, np.ndarray], np.ndarray]:
    """A graph's logits, which must be the same whatever the batch size is."""

    def run(model: ModelProto, pictures: np.ndarray, *, spread: float = 1e-5) -> np.ndarray:
        running = session.open_session(model)
        results = [session.run(running, pictures, batch)[0] for batch in BATCHES]
        for other in results[1:]:
            np.testing.assert_allclose(other, results[0], atol=spread)
        return results[0]

    return run


@pytest.fixture
def few_digits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Exports are judged on 60 strokes, 12 of them as files, calibrated on 40, and timed only a few times."""
    judge_on_few(monkeypatch)


def judge_on_few(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(evaluation_data, "STROKE_IMAGES", 60)
    patch.setattr(evaluation_data, "CALIBRATION_IMAGES", 40)
    patch.setattr(latency, "REPETITIONS", {1: 2, 256: 2})
    patch.setattr(latency, "WARM_UP", 0)
    patch.setattr(latency, "SECONDS", 0)
    patch.setattr(latency, "LOADS", 1)
    patch.setattr(round_trip, "FILES", 12)
    patch.setattr(rejection_threshold, "LEAST_IMAGES", 1)


@pytest.fixture
def speeds(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Pretends how many times as fast as fp32 each candidate is, for a single picture and in bulk, without noise."""
    return lambda *default, **ratios: pretend_speeds(monkeypatch, *default, **ratios)


def pretend_speeds(
    patch: pytest.MonkeyPatch, default: tuple[float, float] = (1.0, 1.0), **ratios: tuple[float, float]
) -> None:
    by_name = {name.replace("_", "-"): pair for name, pair in ratios.items()}

    def measure(
        _baseline: object, sessions: dict[str, object], _images: object, **_: object
    ) -> dict[str, tuple[Latency, ...]]:
        return {
            name: tuple(
                Latency(batch, 100.0, 100.0 / ratio, ratio, 0.0)
                for batch, ratio in zip((1, 256), by_name.get(name, default), strict=True)
            )
            for name in sessions
        }

    patch.setattr(latency, "measure", measure)


@pytest.fixture(scope="session")
def on_few_digits_at_one_speed() -> Callable[[pytest.MonkeyPatch], None]:
    """Has a patch do what `few_digits` and `speeds` do for one test, for fixtures that live longer."""

    def patch_both(patch: pytest.MonkeyPatch) -> None:
        judge_on_few(patch)
        pretend_speeds(patch)

    return patch_both


@pytest.fixture(scope="session")
def decided() -> Callable[[Checkpoint], Checkpoint]:
    """The checkpoint with one output far above the others: int8 cannot change its label."""

    def decide(stored: Checkpoint, label: int = 3, by: float = 50.0) -> Checkpoint:
        weights = {name: tensor.clone() for name, tensor in stored.weights.items()}
        last = [name for name in weights if name.endswith("bias")][-1]
        weights[last][label] += by
        return dataclasses.replace(stored, weights=weights)

    return decide


@pytest.fixture(scope="session")
def undecided(digits: Split) -> Callable[[Checkpoint], Checkpoint]:
    """The checkpoint with outputs that are equally high in the mean: its labels differ, and change easily."""

    def balance(stored: Checkpoint) -> Checkpoint:
        mean = evaluation.logits_of(stored.model(), digits.images).mean(0)
        weights = {name: tensor.clone() for name, tensor in stored.weights.items()}
        last = [name for name in weights if name.endswith("bias")][-1]
        weights[last] -= torch.from_numpy(mean)
        return dataclasses.replace(stored, weights=weights)

    return balance


@pytest.fixture(scope="session")
def small_checkpoints(drawn, decided) -> Callable[[], dict[str, Checkpoint]]:
    """Gives small checkpoints for whole exports, one for each form of int8; always sure of the same label."""
    sizes_of = {
        "lstm": Recurrent("lstm", hidden=10),
        "gru": Recurrent("gru", hidden=10, layers=2, bidirectional=True),
        "rnn": Recurrent("rnn-relu", hidden=10),
        "cnn": Convolutional("conv5x4 relu bn pool conv3x6 relu flatten linear10"),
    }

    made = {
        name: decided(drawn(sizes, name=name, temperature=0.75, accuracy=(GUESSING,)))
        for name, sizes in sizes_of.items()
    }
    return lambda: copy.deepcopy(made)


@pytest.fixture
def stored(small_checkpoints) -> dict[str, Checkpoint]:
    """The small checkpoints, for a test to change and to export."""
    return small_checkpoints()


@pytest.fixture
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The current folder, for somebody's own modules; an export puts it on Python's path, and it goes again."""
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    while str(tmp_path) in sys.path:
        sys.path.remove(str(tmp_path))


@pytest.fixture
def export(few_digits: None, tmp_path: Path) -> Callable[..., Exported]:
    """Exports a checkpoint on few digits; the bundle goes to `tmp_path / "out"`.

    int8 takes the candidate of `CANDIDATE`, unless `candidate=None` asks for a choice.
    """
    return lambda stored, **fields: export_into(tmp_path, stored, **fields)


def export_into(folder: Path, stored: Checkpoint, **fields: object) -> Exported:
    path = folder / f"{stored.name}.safetensors"
    checkpoint.save(path, stored)
    settings = {"model": stored.name, "checkpoint": path, "data": "strokes", "out": folder / "out"}
    if fields.get("precision") == "int8":
        settings["candidate"] = CANDIDATE[stored.name]
    return pipeline.export(pipeline.ExportRequest(**{**settings, **fields}), lambda _line: None)


@pytest.fixture(scope="session")
def exported(small_checkpoints, tmp_path_factory) -> Callable[..., Exported]:
    """The export of a small checkpoint, made once for all tests that only look at it."""
    stored = small_checkpoints()

    @cache
    def make(name: str, precision: str = "fp32") -> Exported:
        with pytest.MonkeyPatch.context() as patch:
            judge_on_few(patch)
            return export_into(tmp_path_factory.mktemp(f"{name}-{precision}"), stored[name], precision=precision)

    return make


@pytest.fixture(scope="session")
def in_integers() -> Callable[[list[QuantisedStage], np.ndarray], np.ndarray]:
    """The logits of an integer network, with every product and sum exact, and no graph."""

    def run(network: list[QuantisedStage], images: np.ndarray) -> np.ndarray:
        tensor = torch.from_numpy(images).double().unsqueeze(1)
        for index, stage in enumerate(network):
            weight, bias = torch.from_numpy(stage.weight).double(), torch.from_numpy(stage.bias).double()
            if weight.ndim == 4:
                top, left, bottom, right = stage.pads
                padded = torch.nn.functional.pad(tensor, (left, right, top, bottom))
                sums = torch.nn.functional.conv2d(padded, weight, bias, stage.strides)
            else:
                sums = torch.nn.functional.linear(tensor.flatten(1), weight, bias)
            tensor = sums * torch.from_numpy(stage.multiplier).double().reshape((-1,) + (1,) * (sums.ndim - 2))
            if index < len(network) - 1:
                tensor = tensor.round().clamp(0, 255)
            tensor = torch.nn.functional.max_pool2d(tensor, stage.pool) if stage.pool > 1 else tensor
        return tensor.numpy()

    return run
