"""What can be trained, in words: the table of names, and the layers of one model."""

from typing import cast

import torch
from torch import Tensor, nn

from edge_train import models, specification
from edge_train.specification import MODELS, Specification


def describe(name: str | None = None) -> str:
    """The table of trainable models, or the layers of one.

    Raises:
        SpecificationError: no model of that name.
    """
    if name is not None:
        return layer_table(name, specification.named(name))
    lines = [f"{'model':<14} {'parameters':>10}  origin"]
    for model, entry in MODELS.items():
        count = models.parameter_count(models.build(entry.specification))
        published = f": {entry.published}" if entry.published else ""
        lines.append(f"{model:<14} {count:>10,}  {entry.origin}{published}")
    return "\n".join(lines)


def layer_table(name: str, sizes: Specification) -> str:
    """A row for each layer of the model: its path, what it is, the shape it puts out for one picture, its numbers."""
    model = models.build(sizes).eval()
    rows: list[tuple[str, str, str, str]] = []

    def record(path: str, layer: nn.Module) -> None:
        def hook(_layer: nn.Module, _inputs: object, output: object) -> None:
            tensor = cast(Tensor, output[0] if isinstance(output, tuple) else output)
            rows.append((path, _text(layer), str(tuple(tensor.shape)), f"{models.parameter_count(layer):,}"))

        layer.register_forward_hook(hook)

    for path, layer in model.named_modules():
        if not list(layer.children()):
            record(path, layer)
    with torch.no_grad():
        model(torch.zeros(1, specification.ROWS, specification.COLUMNS))
    rows.insert(0, ("layer", "kind", "output", "parameters"))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = [
        f"{path:<{widths[0]}}  {kind:<{widths[1]}}  {shape:<{widths[2]}}  {count:>{widths[3]}}"
        for path, kind, shape, count in rows
    ]
    return "\n".join([f"{name}: {models.parameter_count(model):,} parameters", "", *lines])


def _text(layer: nn.Module) -> str:
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
