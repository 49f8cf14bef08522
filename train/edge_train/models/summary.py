"""The layers of a model in figures, and the table of all models: computed from the specification, without torch."""

import math
from dataclasses import dataclass

from edge.bundle.input import COLUMNS, ROWS
from edge.text import table
from edge_train.models import specification
from edge_train.models.specification import MODELS, ChainLayer, Recurrent, Specification, chain_of

# Weight matrices of a cell for its input, and as many for its state.
_GATES = {"lstm": 4, "gru": 3, "rnn-tanh": 1, "rnn-relu": 1}
_RECURRENT_NAMES = {"lstm": "LSTM", "gru": "GRU", "rnn-tanh": "RNN", "rnn-relu": "RNN"}
_CHAIN_NAMES = {
    "conv": "Conv2d",
    "linear": "Linear",
    "bn": "BatchNorm2d",
    "relu": "ReLU",
    "pool": "MaxPool2d",
    "average": "AvgPool2d",
    "dropout": "Dropout",
    "flatten": "Flatten",
}


@dataclass(frozen=True, slots=True)
class LayerSummary:
    """One layer.

    The multiply-accumulates count each use of each of its weights for one picture, and nothing else. Biases,
    activations, normalisation, pooling and the elementwise products inside a gated cell are not counted: they are a few
    per cent, and every tool counts them otherwise.

    Attributes:
        path: its name in the network, as PyTorch has it.
        kind: PyTorch's class with the sizes that matter here.
        output: shape of what it gives for a batch of one picture.
        parameters: trainable numbers.
        macs: multiply-accumulates for one picture.
    """

    path: str
    kind: str
    output: tuple[int, ...]
    parameters: int
    macs: int


def layers(sizes: Specification) -> list[LayerSummary]:
    """The layers of a model in the order in which a picture passes them.

    Raises:
        SpecificationError: the layers of a convolutional model do not fit each other.
    """
    if isinstance(sizes, Recurrent):
        return _recurrent(sizes)
    return [_of_chain(place, layer) for place, layer in enumerate(chain_of(sizes))]


def parameter_count(sizes: Specification) -> int:
    """Trainable numbers of a model.

    Raises:
        SpecificationError: as `layers`.
    """
    return sum(layer.parameters for layer in layers(sizes))


def describe(name: str | None = None) -> str:
    """The table of trainable models, or the layers of one.

    Raises:
        SpecificationError: no model of that name.
    """
    if name is not None:
        return _layer_table(name, specification.named(name))
    rows = [("model", "parameters", "origin")]
    for model, entry in MODELS.items():
        published = f": {entry.published}" if entry.published else ""
        rows.append((model, f"{parameter_count(entry.specification):,}", f"{entry.origin}{published}"))
    return "\n".join(table.aligned(rows, right={1}))


def _layer_table(name: str, sizes: Specification) -> str:
    found = layers(sizes)
    rows = [
        ("layer", "kind", "output", "MACs", "parameters"),
        *((layer.path, layer.kind, str(layer.output), f"{layer.macs:,}", f"{layer.parameters:,}") for layer in found),
    ]
    total = sum(layer.parameters for layer in found)
    return "\n".join([f"{name}: {total:,} parameters", "", *table.aligned(rows, right={3, 4})])


def _recurrent(sizes: Recurrent) -> list[LayerSummary]:
    directions = 2 if sizes.bidirectional else 1
    rows = directions * _GATES[sizes.cell] * sizes.hidden  # of the weight matrices of a layer, all below each other
    inputs = [COLUMNS, *[directions * sizes.hidden] * (sizes.layers - 1)]
    weights = sum(rows * (taken + sizes.hidden) for taken in inputs)
    biases = 2 * rows * sizes.layers  # PyTorch has one for the input and one for the state
    more = [f"{sizes.layers} layers"] * (sizes.layers > 1) + ["bidirectional"] * sizes.bidirectional
    kind = f"{_RECURRENT_NAMES[sizes.cell]} {', '.join([f'{COLUMNS} -> {sizes.hidden}', *more])}"
    features = directions * sizes.hidden
    return [
        LayerSummary("recurrent", kind, (1, ROWS, features), weights + biases, ROWS * weights),
        _linear("head", features, sizes.classes),
    ]


def _of_chain(place: int, layer: ChainLayer) -> LayerSummary:
    path, name, output = f"chain.{place}", _CHAIN_NAMES[layer.kind], (1, *layer.given)
    channels = layer.taken[0]
    if layer.kind == "linear":
        return _linear(path, channels, layer.given[0])
    if layer.kind == "conv":
        kernel = channels * layer.kernel**2
        kind = f"{name} {channels} -> {layer.given[0]}, {layer.kernel}x{layer.kernel}"
        return LayerSummary(path, kind, output, layer.given[0] * (kernel + 1), math.prod(layer.given) * kernel)
    sizes = {"bn": f" {channels}", "pool": " 2x2", "average": " 2x2", "dropout": f" {layer.dropout}"}
    return LayerSummary(path, f"{name}{sizes.get(layer.kind, '')}", output, 2 * channels * (layer.kind == "bn"), 0)


def _linear(path: str, features: int, outputs: int) -> LayerSummary:
    kind = f"Linear {features} -> {outputs}"
    return LayerSummary(path, kind, (1, outputs), outputs * (features + 1), outputs * features)
