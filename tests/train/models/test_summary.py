"""The layers of a model in figures: as PyTorch's own network has them, as calculated by hand, and without PyTorch."""

import math
import subprocess
import sys

import pytest
import torch
from torch import nn

from edge_train.models import networks, specification, summary
from edge_train.models.specification import MODELS, Convolutional, Recurrent, SpecificationError
from edge_train.models.summary import LayerSummary

MODELS_OF_ALL_KINDS = {
    **{name: entry.specification for name, entry in MODELS.items()},
    "bigru-16x3": Recurrent("gru", hidden=16, layers=3, bidirectional=True),
    "birnn-5x2": Recurrent("rnn-relu", hidden=5, layers=2, bidirectional=True, classes=3),
    "every-layer": Convolutional(
        "conv5x6 bn relu pool dropout0.25 conv3x4 average flatten relu linear7 dropout0.5 linear3", classes=3
    ),
    "linear": Convolutional("flatten linear10"),
}


def of_network(sizes: specification.Specification) -> list[LayerSummary]:
    """The same, measured on the network: shapes as a picture passes it, and the numbers that its layers hold."""
    model = networks.build(sizes).eval()
    found = []

    def record(path: str, layer: nn.Module) -> None:
        def hook(_layer: nn.Module, inputs: tuple, output: object) -> None:
            given = output[0] if isinstance(output, tuple) else output
            macs = multiplications(layer, tuple(inputs[0].shape), tuple(given.shape))
            found.append(LayerSummary(path, kind(layer), tuple(given.shape), networks.parameter_count(layer), macs))

        layer.register_forward_hook(hook)

    for path, layer in model.named_modules():
        if not list(layer.children()):
            record(path, layer)
    with torch.no_grad():
        model(torch.zeros(1, 28, 28))
    return found


def multiplications(layer: nn.Module, taken: tuple[int, ...], given: tuple[int, ...]) -> int:
    if isinstance(layer, nn.Conv2d):
        return math.prod(given) * layer.weight[0].numel()
    if isinstance(layer, nn.Linear):
        return math.prod(given) * layer.in_features
    if isinstance(layer, nn.RNNBase):
        return taken[1] * sum(each.numel() for name, each in layer.named_parameters() if name.startswith("weight"))
    return 0


def kind(layer: nn.Module) -> str:
    name = type(layer).__name__
    if isinstance(layer, nn.RNNBase):
        more = [f"{layer.num_layers} layers"] * (layer.num_layers > 1) + ["bidirectional"] * layer.bidirectional
        return f"{name} {', '.join([f'{layer.input_size} -> {layer.hidden_size}', *more])}"
    if isinstance(layer, nn.Linear):
        return f"{name} {layer.in_features} -> {layer.out_features}"
    if isinstance(layer, nn.Conv2d):
        return f"{name} {layer.in_channels} -> {layer.out_channels}, {layer.kernel_size[0]}x{layer.kernel_size[1]}"
    if isinstance(layer, nn.MaxPool2d | nn.AvgPool2d):
        return f"{name} {layer.kernel_size}x{layer.kernel_size}"
    if isinstance(layer, nn.BatchNorm2d):
        return f"{name} {layer.num_features}"
    return f"{name} {layer.p}" if isinstance(layer, nn.Dropout) else name


@pytest.mark.parametrize("name", MODELS_OF_ALL_KINDS)
@pytest.mark.sampled(5)
def test_the_layers_are_those_of_the_network_in_shape_parameters_and_work(name):
    sizes = MODELS_OF_ALL_KINDS[name]
    assert summary.layers(sizes) == of_network(sizes)
    assert summary.parameter_count(sizes) == networks.parameter_count(networks.build(sizes))


def test_an_lstm_multiplies_four_gates_at_each_of_the_28_rows():
    recurrent, head = summary.layers(Recurrent("lstm", hidden=128))
    assert recurrent.macs == 28 * 4 * 128 * (28 + 128)
    assert head.macs == 128 * 10


@pytest.mark.parametrize(("cell", "gates"), [("lstm", 4), ("gru", 3), ("rnn-tanh", 1), ("rnn-relu", 1)])
def test_a_cell_multiplies_as_often_as_it_has_gates(cell, gates):
    macs = sum(layer.macs for layer in summary.layers(Recurrent(cell, hidden=8)))
    assert macs == 28 * gates * 8 * (28 + 8) + 8 * 10


def test_a_convolution_uses_its_kernel_at_every_place_it_fits():
    found = summary.layers(Convolutional("conv5x16 bn relu pool conv3x4 flatten linear10"))
    assert [layer.macs for layer in found] == [
        24 * 24 * 16 * 5 * 5,  # 24 = 28 - 5 + 1
        0,
        0,
        0,
        10 * 10 * 4 * 3 * 3 * 16,  # 10 = 24 / 2 - 3 + 1
        0,
        4 * 10 * 10 * 10,
    ]
    assert found[3].output == (1, 16, 12, 12)


def test_the_table_names_every_model_with_its_parameters_and_origin():
    lines = {line.split()[0]: line for line in summary.describe().splitlines()[1:]}
    assert set(lines) == set(MODELS)
    assert "82,186" in lines["lstm"]
    assert "16,478" in lines["cnn-16k"]
    assert all(entry.origin in lines[name] for name, entry in MODELS.items())


def test_one_model_is_shown_layer_by_layer_and_the_layers_add_up():
    heading, _, _, *rows = summary.describe("cnn").splitlines()
    assert heading == "cnn: 147,242 parameters"
    assert sum(int(row.split()[-1].replace(",", "")) for row in rows) == 147_242
    assert "(1, 16, 24, 24)" in rows[0]
    assert "(1, 10)" in rows[-1]


def test_an_unknown_model_is_told():
    with pytest.raises(SpecificationError, match="no model 'transformer'"):
        summary.describe("transformer")


@pytest.mark.parametrize("name", ["None", "'cnn'"])
@pytest.mark.sampled(1)
def test_no_torch_is_imported_to_describe_models(name):
    code = f"import sys; from edge_train.models import summary; summary.describe({name}); print('torch' in sys.modules)"
    ended = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert ended.stdout == "False\n"
