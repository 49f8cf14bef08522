"""What a model is, before any weight exists: the named specifications and their free sizes. No torch here."""

import dataclasses
import math
import re
from dataclasses import dataclass
from typing import Any, Literal, get_args

from edge.bundle.input import COLUMNS, DIGITS, ROWS
from edge.errors import EdgeError

Cell = Literal["lstm", "gru", "rnn-tanh", "rnn-relu"]

CLASSES = len(DIGITS)  # of a model that nobody gave another number
MOST_CLASSES = 1000

# One word a layer: conv5x16 (5x5 kernel, 16 channels, stride 1, no padding), bn, relu, pool (max 2x2), average
# (mean 2x2), dropout0.2, flatten, linear256.
_LAYER_WORD = re.compile(
    r"(?P<conv>conv(?P<kernel>[1-9]\d*)x(?P<channels>[1-9]\d*))|(?P<linear>linear(?P<features>[1-9]\d*))"
    r"|(?P<dropout>dropout(?P<share>0\.\d+))|bn|relu|pool|average|flatten"
)
_LAST_WIDTH = re.compile(r"\d+$")  # of a layer word: its channels or features


class SpecificationError(EdgeError, ValueError):
    """No model of that name, or sizes that do not fit together."""


@dataclass(frozen=True, slots=True)
class Recurrent:
    """A recurrent network that reads the rows of a digit in order, and a linear layer on its final state.

    A bidirectional network is read from the final state of both directions, side by side.

    Attributes:
        cell: what computes the next state.
        hidden: size of the state of one direction.
        layers: recurrent layers, each over the states of the one below.
        bidirectional: whether the rows are read in both directions.
        classes: logits.
    """

    cell: Cell
    hidden: int = 128
    layers: int = 1
    bidirectional: bool = False
    classes: int = CLASSES

    def __post_init__(self) -> None:
        _check_classes(self.classes)
        if self.cell not in get_args(Cell):
            raise SpecificationError(f"no recurrent cell {self.cell!r}; use one of {', '.join(get_args(Cell))}")
        if not 1 <= self.hidden <= 4096 or not 1 <= self.layers <= 16:
            raise SpecificationError(
                f"hidden {self.hidden} with {self.layers} layers is out of range; "
                "use --hidden between 1 and 4096 and --layers between 1 and 16"
            )


@dataclass(frozen=True, slots=True)
class Convolutional:
    """A plain chain of layers, written as words: `conv5x16 bn relu pool flatten linear10`.

    `convKxC` has a KxK kernel, C output channels, stride 1 and no padding; `pool` and `average` are 2x2 with stride 2.

    Attributes:
        layers: the words.
        classes: logits.
    """

    layers: str
    classes: int = CLASSES

    def __post_init__(self) -> None:
        _check_classes(self.classes)
        words = self.layers.split()
        for word in words:
            if not _LAYER_WORD.fullmatch(word):
                raise SpecificationError(
                    f"no layer {word!r}; use convKxC, bn, relu, pool, average, dropout0.N, flatten or linearN"
                )
        if not words:
            raise SpecificationError("a convolutional model needs layers; for instance 'conv5x16 relu pool flatten'")


Specification = Recurrent | Convolutional


def _check_classes(classes: int) -> None:
    if not 2 <= classes <= MOST_CLASSES:
        raise SpecificationError(
            f"{classes} classes cannot be told apart; use data with 2 to {MOST_CLASSES:,} different labels"
        )


@dataclass(frozen=True, slots=True)
class ChainLayer:
    """A layer of a convolutional model, in its place.

    Attributes:
        kind: the word without its numbers: "conv", "bn", "relu", "pool", "average", "dropout", "flatten", "linear".
        kernel: side of a convolution's kernel in pixels; 0 for other layers.
        dropout: share of the activations that training drops; 0 for other layers.
        taken: shape of what it takes: (channels, rows, columns), or (features,) after `flatten`.
        given: shape of what it gives.
    """

    kind: str
    kernel: int
    dropout: float
    taken: tuple[int, ...]
    given: tuple[int, ...]


def chain_of(specification: Convolutional) -> list[ChainLayer]:
    """The layers of a convolutional model with their shapes, from one picture to its logits.

    Raises:
        SpecificationError: the layers do not fit the picture or each other, or do not end in a logit for each class.
    """
    shape: tuple[int, ...] = (1, ROWS, COLUMNS)
    chain = []
    for word in specification.layers.split():
        found = _LAYER_WORD.fullmatch(word)
        assert found is not None
        kind = word.rstrip("0123456789x.")
        given = _shape_after(word, kind, shape, found)
        chain.append(ChainLayer(kind, int(found["kernel"] or 0), float(found["share"] or 0), shape, given))
        shape = given
    if shape != (specification.classes,):
        ending = f"flatten linear{specification.classes}"
        raise SpecificationError(
            f"the layers end in shape {shape}, not {(specification.classes,)}; end --chain in {ending}"
        )
    return chain


def _shape_after(word: str, kind: str, shape: tuple[int, ...], found: re.Match[str]) -> tuple[int, ...]:
    if kind in ("relu", "dropout"):
        return shape
    if kind == "linear":
        if len(shape) > 1:
            raise SpecificationError(f"{word} stands before flatten; put flatten in front of it in --chain")
        return (int(found["features"]),)
    if kind == "flatten":
        return (math.prod(shape),)
    if len(shape) == 1:
        raise SpecificationError(f"{word} stands after flatten, where no picture is left; change --chain")
    channels, rows, columns = shape
    if kind == "bn":
        return shape
    if kind == "conv":
        less = int(found["kernel"]) - 1
        channels, rows, columns = int(found["channels"]), rows - less, columns - less
    else:
        rows, columns = rows // 2, columns // 2
    if min(rows, columns) < 1:
        raise SpecificationError(
            f"nothing of the {ROWS}x{COLUMNS} picture is left at {word}; remove layers from --chain"
        )
    return channels, rows, columns


@dataclass(frozen=True, slots=True)
class NamedModel:
    """A specification under the name that the commands know, and where it comes from.

    Attributes:
        specification: what it is.
        origin: what it comes from, and how that was trained.
        published: the test accuracy of the origin, in its own words; empty where there is none.
    """

    specification: Specification
    origin: str
    published: str = ""


MODELS: dict[str, NamedModel] = {
    "lstm": NamedModel(Recurrent("lstm"), "LSTM 28 -> 128; batch 100, 2 epochs", "97 %"),
    "lstm-20": NamedModel(
        Recurrent("lstm", hidden=20), "LSTM 28 -> 20, NLL; SGD 0.1, batch 100", "86.5 % after 3 epochs"
    ),
    "rnn-relu": NamedModel(Recurrent("rnn-relu"), "ReLU RNN 28 -> 128; RMSprop 3e-4, batch 64, 30 epochs"),
    "rnn": NamedModel(Recurrent("rnn-tanh"), "edge size"),
    "gru": NamedModel(Recurrent("gru"), "edge size"),
    "bilstm": NamedModel(Recurrent("lstm", bidirectional=True), "edge size"),
    "rnn-256x2": NamedModel(Recurrent("rnn-tanh", hidden=256, layers=2), "Adam 1e-3, batch 64, 8 epochs", "95.86 %"),
    "gru-256x2": NamedModel(Recurrent("gru", hidden=256, layers=2), "Adam 1e-3, batch 64, 8 epochs", "98.97 %"),
    "lstm-256x2": NamedModel(Recurrent("lstm", hidden=256, layers=2), "Adam 1e-3, batch 64, 8 epochs", "98.85 %"),
    "bilstm-256x2": NamedModel(
        Recurrent("lstm", hidden=256, layers=2, bidirectional=True), "Adam 1e-3, batch 64, 8 epochs", "98.89 %"
    ),
    "cnn": NamedModel(
        Convolutional("conv5x16 bn relu pool conv5x32 bn relu pool flatten linear256 relu dropout0.2 linear10"),
        "search over four learning rates, batch 256 and 512, 4 epochs",
        "99.19 %, with a validation split 99.14 %",
    ),
    "cnn-16k": NamedModel(
        Convolutional(
            "conv3x128 relu bn conv3x4 conv3x16 relu bn pool relu conv3x16 relu bn dropout0.1 conv3x16 "
            "conv3x32 relu bn pool conv1x10 average flatten"
        ),
        "SGD 0.01, momentum 0.9, step schedule",
        "99.4 %",
    ),
}


def named(name: str) -> Specification:
    """The specification of that name.

    Raises:
        SpecificationError: there is none; the message lists the names.
    """
    if name not in MODELS:
        raise SpecificationError(f"no model {name!r}; use one of {', '.join(MODELS)}")
    return MODELS[name].specification


def resized(
    specification: Specification,
    *,
    hidden: int | None = None,
    layers: int | None = None,
    bidirectional: bool | None = None,
    chain: str | None = None,
) -> Specification:
    """The specification with other sizes; `None` keeps what it has.

    Raises:
        SpecificationError: a size that this kind of model does not have.
    """
    if isinstance(specification, Convolutional):
        if hidden is not None or layers is not None or bidirectional is not None:
            raise SpecificationError(
                "--hidden, --layers and --bidirectional are sizes of recurrent models; "
                "give a convolutional one its layers with --chain 'conv5x16 bn relu pool flatten linear10'"
            )
        return specification if chain is None else Convolutional(chain, specification.classes)
    if chain is not None:
        raise SpecificationError("--chain gives the layers of a convolutional model; use it with --model cnn")
    changes = {"hidden": hidden, "layers": layers, "bidirectional": bidirectional}
    return dataclasses.replace(specification, **{key: size for key, size in changes.items() if size is not None})  # type: ignore[arg-type]


def of_classes(specification: Specification, classes: int) -> Specification:
    """The specification with that many logits.

    In a chain of layers the last one with a width gives the logits. Its width follows, unless somebody wrote another
    one than the specification has classes: what is wrong with that shows when the network is built.

    Raises:
        SpecificationError: fewer than 2 classes, or more than `MOST_CLASSES`.
    """
    if isinstance(specification, Recurrent):
        return dataclasses.replace(specification, classes=classes)
    words = specification.layers.split()
    last = max((place for place, word in enumerate(words) if word.startswith(("conv", "linear"))), default=None)
    if last is not None:
        words[last] = _LAST_WIDTH.sub(
            lambda found: str(classes) if int(found.group()) == specification.classes else found.group(), words[last]
        )
    return Convolutional(" ".join(words), classes)


def name_of(specification: Specification) -> str:
    """The name of a specification: its own when it has one, otherwise made from its sizes (`bigru-64x2`)."""
    if specification.classes != CLASSES:
        return f"{name_of(of_classes(specification, CLASSES))}-{specification.classes}-classes"
    for name, entry in MODELS.items():
        if entry.specification == specification:
            return name
    if isinstance(specification, Convolutional):
        return "cnn-own"
    direction = "bi" if specification.bidirectional else ""
    layers = f"x{specification.layers}" if specification.layers > 1 else ""
    return f"{direction}{specification.cell.removesuffix('-tanh')}-{specification.hidden}{layers}"


def to_json(specification: Specification) -> dict[str, Any]:
    """The specification as plain values, for checkpoints and manifests; `from_json` reads it back.

    Ten classes are not written: bundles of digits keep the bytes that they had before there were other numbers.
    """
    kind = "recurrent" if isinstance(specification, Recurrent) else "convolutional"
    values = {"kind": kind, **dataclasses.asdict(specification)}
    if specification.classes == CLASSES:
        del values["classes"]
    return values


def from_json(values: dict[str, Any]) -> Specification:
    """The specification that `to_json` wrote.

    Raises:
        SpecificationError: unknown kind, or a field is missing or unknown.
    """
    kinds: dict[str, type[Recurrent | Convolutional]] = {
        "recurrent": Recurrent,
        "convolutional": Convolutional,
    }
    fields = dict(values)
    kind = str(fields.pop("kind", None))
    if kind not in kinds:
        raise SpecificationError(f"unknown kind of model {kind!r}; expected one of {', '.join(kinds)}")
    for known in dataclasses.fields(kinds[kind]):
        expected = str if known.default is dataclasses.MISSING else type(known.default)
        if known.name in fields and type(fields[known.name]) is not expected:
            value = repr(fields[known.name])[:60]
            raise SpecificationError(f"the {known.name} of a {kind} model is {value}, no {expected.__name__}")
    try:
        return kinds[kind](**fields)
    except TypeError as error:  # a field is missing or unknown
        raise SpecificationError(f"the sizes of a {kind} model do not fit: {error}; train it again") from error
