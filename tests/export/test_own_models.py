"""`edge export --model package.module:factory`: anybody's network becomes a bundle under the same promises."""

import itertools
import sys
import textwrap
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from safetensors.torch import save_file

from edge import verification
from edge.bundle import bundle
from edge.classifier import classifier
from edge_export import pipeline
from edge_export.int8 import candidates
from edge_export.int8.quantisation import QuantisationError
from edge_export.model import trained_model
from edge_export.pack.artifacts import Exported
from edge_export.parity.comparison import ParityError
from edge_train.training.evaluation import logits_of

NUMBERS = itertools.count()

# Each with a last bias that decides the label, so that int8 cannot flip one by chance.
NETWORKS = """
    import torch
    from torch import nn

    class ZeroState(nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn = nn.RNN(28, 12, batch_first=True)
            self.norm = nn.LayerNorm(12)
            self.head = nn.Linear(12, 10)

        def forward(self, x):
            out, _ = self.rnn(x, torch.zeros(1, x.size(0), 12))
            return self.head(self.norm(out[:, -1]))

    class BiLstm(nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn = nn.LSTM(28, 9, num_layers=2, batch_first=True, bidirectional=True)
            self.head = nn.Linear(18, 10)

        def forward(self, x):
            out, _ = self.rnn(x)
            return self.head(out[:, -1])

    class Cnn(nn.Module):
        def __init__(self):
            super().__init__()
            self.features = nn.Sequential(
                nn.Conv2d(1, 4, 5), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.MaxPool2d(2), nn.Conv2d(4, 6, 3)
            )
            self.head = nn.Linear(600, 10)

        def forward(self, x):
            x = self.features(x.unsqueeze(1))
            return self.head(x.view(x.size(0), -1))

    class Mlp(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Sequential(nn.Flatten(), nn.Linear(784, 16), nn.ReLU())
            self.head = nn.Linear(16, 10)

        def forward(self, x):
            return self.head(self.body(x))

    class Letters(Mlp):
        def __init__(self):
            super().__init__()
            self.head = nn.Linear(16, 3)

    class OfTheWholeBatch(nn.Module):
        def __init__(self):
            super().__init__()
            self.head = nn.Linear(784, 10)

        def forward(self, x):
            return self.head(x.flatten(1)) * torch.where(x.max() > 0.5, 1.0, 3.0)

    class Frozen(Mlp):
        def forward(self, x):
            return super().forward(x) + torch.zeros(int(x.size(0)), 10)

    class Elementwise(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(10))

        def forward(self, x):
            return x.mean((1, 2)).unsqueeze(1) * self.weight
"""
FACTORIES = ["ZeroState", "BiLstm", "Cnn", "Mlp"]
CANDIDATE = {"ZeroState": "weight-only", "BiLstm": "dynamic-lstm"}


@pytest.fixture(scope="module")
def nets(tmp_path_factory) -> Callable[[str], object]:
    """The networks above as a module that can be imported; gives a class by its name."""
    folder, name = tmp_path_factory.mktemp("own"), f"own_nets_{next(NUMBERS)}"
    (folder / f"{name}.py").write_text(textwrap.dedent(NETWORKS))
    sys.path.insert(0, str(folder))
    yield __import__(name)
    sys.path.remove(str(folder))


def write_and_export(nets, folder: Path, factory: str, *, suffix=".safetensors", decided=True, **fields: object):
    """Draws weights for a network, saves them, exports it; gives the network and what came out."""
    torch.manual_seed(3)
    network = getattr(nets, factory)().eval()
    for layer in network.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.running_mean.normal_()
            layer.running_var.uniform_(0.5, 2)
            layer.weight.data.normal_()
    if decided:
        network.head.bias.data[1] += 20
    path = folder / f"weights{suffix}"
    (save_file if suffix == ".safetensors" else torch.save)(network.state_dict(), path)
    settings = {
        "model": f"{nets.__name__}:{factory}",
        "checkpoint": path,
        "data": "strokes",
        "out": folder / "out",
        "force": True,  # with random weights it reads nothing, which is not the question here
    }
    if fields.get("precision") == "int8":
        settings["candidate"] = CANDIDATE.get(factory, "static-qdq")
    return network, pipeline.export(pipeline.ExportRequest(**{**settings, **fields}), lambda _: None)


@pytest.fixture
def export_own(nets, few_digits, speeds, in_folder, tmp_path) -> Callable[..., tuple[torch.nn.Module, Exported]]:
    """Exports a network of somebody's; the verdict on int8 is in the bundle, so that no timing may decide it."""
    speeds()
    return lambda factory, **fields: write_and_export(nets, tmp_path, factory, **fields)


@pytest.fixture(scope="module")
def exported_own(nets, on_few_digits_at_one_speed, tmp_path_factory) -> Callable[..., tuple[torch.nn.Module, Exported]]:
    """The same, made once for all tests that only look at it."""

    @cache
    def make(factory: str, precision: str = "fp32") -> tuple[torch.nn.Module, Exported]:
        with pytest.MonkeyPatch.context() as patch:
            on_few_digits_at_one_speed(patch)
            return write_and_export(nets, tmp_path_factory.mktemp(factory), factory, precision=precision)

    return make


@pytest.mark.represented(precision=("int8",))
@pytest.mark.represented(factory=("BiLstm", "Cnn"))
@pytest.mark.parametrize("precision", ["fp32", "int8", "fp16"])
@pytest.mark.parametrize("factory", FACTORIES)
def test_an_own_network_becomes_a_bundle_that_verifies(factory, precision, exported_own):
    network, done = exported_own(factory, precision)
    assert done.path.name == (factory.lower() if precision == "fp32" else f"{factory.lower()}-{precision}") + ".onnx"
    assert verification.verify(done.path, provider="cpu").passed
    facts = done.manifest
    assert facts.model.endswith(f":{factory}")
    assert facts.architecture == {"kind": "own", "class": factory}
    assert facts.parameters == sum(parameter.numel() for parameter in network.parameters())
    if precision == "int8":
        assert facts.int8_weight_share > 0.6
        assert facts.method == CANDIDATE.get(factory, "static-qdq")


@pytest.mark.represented(factory=("BiLstm",))  # of ten others test_wild.py asks it
@pytest.mark.parametrize("factory", FACTORIES)
def test_the_runtime_says_what_the_network_says(factory, exported_own, digits):
    network, done = exported_own(factory)
    loaded = classifier.load(done.path, provider="cpu")
    np.testing.assert_allclose(loaded.logits(digits.images), logits_of(network, digits.images), atol=1e-4)


@pytest.mark.parametrize("suffix", [".pt", ".pth"])
@pytest.mark.sampled(1)
def test_either_format_of_weights_gives_the_same_graph(suffix, export_own, exported_own):
    done, other = exported_own("Mlp")[1], export_own("Mlp", suffix=suffix)[1]
    evidence = bundle.read(done.path).evidence
    np.testing.assert_array_equal(bundle.read(other.path).evidence.logits, evidence.logits)


@pytest.mark.represented(factory=("BiLstm",))
@pytest.mark.parametrize(
    ("factory", "precision"),
    [("ZeroState", "fp32"), ("BiLstm", "int8"), ("Cnn", "fp32"), ("Cnn", "int8"), ("Mlp", "int8")],
)
@pytest.mark.exhaustive  # said of the shipped networks in test_pipeline.py
def test_two_exports_give_the_same_bytes(factory, precision, exported_own, export_own):
    first, again = exported_own(factory, precision)[1], export_own(factory, precision=precision)[1]
    assert first.path.read_bytes() == again.path.read_bytes()


def test_where_it_lies_is_not_in_the_bundle(exported_own, nets):
    _, done = exported_own("BiLstm")
    folder = str(Path(nets.__file__).parent)
    assert folder.encode() not in done.path.read_bytes()


def test_own_labels_are_what_is_predicted(export_own, tmp_path, digits):
    (tmp_path / "labels.txt").write_text("ash\nbirch\ncedar\n")
    _, done = export_own("Letters", labels=tmp_path / "labels.txt", precision="int8")
    assert done.manifest.labels == ("ash", "birch", "cedar")
    assert done.manifest.accuracy == (), "how well it reads digits means nothing"
    assert all(row.accuracy is None for row in done.rows)
    assert "accuracy" not in done.manifest.int8_verdict
    loaded = classifier.load(done.path, provider="cpu")
    assert loaded.predict_image(digits.images[0]).label == "birch"
    assert [output.type.tensor_type.shape.dim[1].dim_value for output in onnx.load(done.path).graph.output] == [3, 3]


def test_a_flip_of_own_labels_is_shown(export_own, tmp_path, monkeypatch):
    (tmp_path / "labels.txt").write_text("ash\nbirch\ncedar\n")
    real = candidates.build

    def shifted(*arguments):
        built = real(*arguments)
        for result in built.values():
            node = next(node for node in result.model.graph.node if "logits" in node.output)
            node.output[0] = "before"
            bias = onnx.numpy_helper.from_array(np.array([0, 0, 50], np.float32), "shift")
            result.model.graph.initializer.append(bias)
            result.model.graph.node.append(onnx.helper.make_node("Add", ["before", "shift"], ["logits"]))
        return built

    monkeypatch.setattr(candidates, "build", shifted)
    _, done = export_own("Letters", labels=tmp_path / "labels.txt", precision="int8", max_drop=100.0)
    assert done.flip_sheet.is_file()


def test_what_freezes_the_batch_axis_is_exported_picture_by_picture(export_own, digits):
    network, done = export_own("Frozen")
    loaded = classifier.load(done.path, provider="cpu")
    for count in (1, 3):
        images = digits.images[:count]
        np.testing.assert_allclose(loaded.logits(images), logits_of(network, images), atol=1e-4)


def test_answers_that_hang_on_the_largest_pixel_of_a_batch_are_told(export_own, tmp_path):
    with pytest.raises(ParityError, match=r"answers to .* depend on the pictures beside.* say --input 1,28,28$"):
        export_own("OfTheWholeBatch")
    assert not (tmp_path / "out").exists()
    told = trained_model.Told(layout="1,28,28")
    assert export_own("OfTheWholeBatch", told=told)[1].manifest.preparation.layout == "N,28,28"


def test_nothing_to_quantise_is_told(export_own, tmp_path):
    with pytest.raises(QuantisationError, match=r"no weight of this model \(.*\) can be int8; export it without"):
        export_own("Elementwise", decided=False, precision="int8", candidate=None)
    assert not (tmp_path / "out").exists()


def test_a_difference_is_located_in_the_layer_of_the_network(export_own, monkeypatch, tmp_path):
    real = trained_model.TrainedModel.convert

    def wrong(self):
        converted = real(self)
        name = next(node.input[1] for node in converted.model.graph.node if node.op_type == "Conv")
        weight = next(one for one in converted.model.graph.initializer if one.name == name)
        array = onnx.numpy_helper.to_array(weight) * np.float32(1.1)
        weight.CopyFrom(onnx.numpy_helper.from_array(array, weight.name))
        return converted

    monkeypatch.setattr(trained_model.TrainedModel, "convert", wrong)
    with pytest.raises(
        ParityError, match=r"first at model\.features\.2: error"
    ):  # convolution, norm and ReLU are one there
        export_own("Cnn", decided=False)
    assert not (tmp_path / "out").exists()
