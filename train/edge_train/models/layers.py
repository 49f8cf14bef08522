"""The layers of a model as a table: what each is, what it puts out for one picture, its parameters and its work."""

import math
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from edge_train.models import networks, specification
from edge_train.models.specification import Specification


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer.

    `output`: its shape for a batch of one picture. `macs`: multiplications of the layer's weights for one picture; see
    `macs_of`.
    """

    path: str
    kind: str
    output: tuple[int, ...]
    parameters: int
    macs: int


def of(sizes: Specification) -> list[Layer]:
    """The layers of a model in the order in which a picture passes them."""
    model = networks.build(sizes).eval()
    found: list[Layer] = []

    def record(path: str, layer: nn.Module) -> None:
        def hook(_layer: nn.Module, inputs: tuple[Tensor, ...], output: object) -> None:
            tensor = cast(Tensor, output[0] if isinstance(output, tuple) else output)
            macs = macs_of(layer, tuple(inputs[0].shape), tuple(tensor.shape))
            found.append(Layer(path, text(layer), tuple(tensor.shape), networks.parameter_count(layer), macs))

        layer.register_forward_hook(hook)

    for path, layer in model.named_modules():
        if not list(layer.children()):
            record(path, layer)
    with torch.no_grad():
        model(torch.zeros(1, specification.ROWS, specification.COLUMNS))
    return found


def macs_of(layer: nn.Module, taken: tuple[int, ...], given: tuple[int, ...]) -> int:
    """Multiply-accumulates of a layer: each use of each of its weights, and nothing else.

    Biases, activations, normalisation, pooling and the elementwise products inside a gated cell are not counted: they
    are a few per cent, and every tool counts them otherwise.

    Args:
        layer: a leaf of the model.
        taken: shape of its input; recurrent layers take [batch, steps, features].
        given: shape of its output.
    """
    if isinstance(layer, nn.Conv2d):
        return math.prod(given) * layer.weight[0].numel()
    if isinstance(layer, nn.Linear):
        return math.prod(given) * layer.in_features
    if isinstance(layer, nn.RNNBase):
        weights = sum(weight.numel() for name, weight in layer.named_parameters() if name.startswith("weight"))
        return taken[0] * taken[1] * weights
    return 0


def text(layer: nn.Module) -> str:
    """The layer with the sizes that matter here; torch's own text lists every default."""
    name = type(layer).__name__
    if isinstance(layer, nn.RNNBase):
        more = [f"{layer.num_layers} layers"] * (layer.num_layers > 1) + ["bidirectional"] * layer.bidirectional
        return f"{name} {', '.join([f'{layer.input_size} -> {layer.hidden_size}', *more])}"
    if isinstance(layer, nn.Linear):
        return f"{name} {layer.in_features} -> {layer.out_features}"
    if isinstance(layer, nn.Conv2d):
        rows, columns = layer.kernel_size
        return f"{name} {layer.in_channels} -> {layer.out_channels}, {rows}x{columns}"
    if isinstance(layer, nn.MaxPool2d | nn.AvgPool2d):
        return f"{name} {layer.kernel_size}x{layer.kernel_size}"
    if isinstance(layer, nn.BatchNorm2d):
        return f"{name} {layer.num_features}"
    return f"{name} {layer.p}" if isinstance(layer, nn.Dropout) else name
