"""The model that is exported: one of edge's own from a checkpoint, or anybody's `nn.Module`."""

import dataclasses
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from edge.bundle.input import DIGITS, ROWS
from edge.bundle.manifest import Preparation
from edge_export.graph import conversion, exporters
from edge_export.graph.builder import ConversionError, Converted
from edge_export.model import factory as factories
from edge_export.model import preparation as preparations
from edge_export.model import probing
from edge_export.model import state as states
from edge_export.model.adapter import Adapter
from edge_export.model.calling import in_evaluation
from edge_export.model.errors import ModelError
from edge_export.model.factory import Factory
from edge_export.model.importing import Tell
from edge_export.model.probing import Fit
from edge_train.models import networks, specification
from edge_train.models.specification import MODELS
from edge_train.training import checkpoint
from edge_train.training.checkpoint import Checkpoint, CheckpointError

DEFAULT = "lstm"  # what is exported when nothing is named


@dataclass(frozen=True, slots=True)
class Told:
    """What the command line says of somebody's own model; None is not told, and found by trying where it can be.

    Attributes:
        layout: the order of the axes of its input, as `preparation.layouts_of` reads it.
        normalise: as `preparation.with_normalisation` reads it.
        invert: whether it reads dark digits on light paper.
        transpose: whether its rows are the columns of the picture.
        output: the name of its output.
        weights: which of several networks in the checkpoint, as `state.load` takes it.
    """

    layout: str | None = None
    normalise: str | None = None
    invert: bool = False
    transpose: bool = False
    output: str | None = None
    weights: str | None = None

    def __bool__(self) -> bool:
        return self != NOTHING_TOLD


NOTHING_TOLD = Told()


@dataclass(frozen=True, slots=True)
class TrainedModel:
    """A trained PyTorch model and everything that the manifest says of it.

    Attributes:
        name: of the bundle.
        model: what was named, without folders.
        module: float images [batch, 28, 28] in [0, 1] to logits [batch, labels], in evaluation mode, on the CPU.
        classes: how many logits it gives.
        labels: of the classes; empty where nobody named them, and the data decides.
        architecture: kind and sizes.
        checkpoint_sha256: SHA-256 of the checkpoint file.
        temperature: `probabilities` is softmax(logits / temperature).
        accuracy: figures that the checkpoint states.
        checkpoint: of edge's own models only.
        preparation: of somebody's own model only: what happens before and behind it.
        fresh: of somebody's own model only: makes it anew, with the weights that it begins with.
    """

    name: str
    model: str
    module: nn.Module
    classes: int
    labels: tuple[str, ...]
    architecture: dict[str, Any]
    checkpoint_sha256: str
    temperature: float = 1.0
    accuracy: tuple[dict[str, Any], ...] = ()
    checkpoint: Checkpoint | None = None
    preparation: Preparation | None = None
    fresh: Callable[[], nn.Module] | None = None

    @property
    def trained_on(self) -> str | None:
        """The data that its checkpoint names, as `--data` took it; `None` where it names none."""
        return None if self.checkpoint is None else self.checkpoint.training.get("data")

    @property
    def parameters(self) -> int:
        """Trainable numbers."""
        return networks.parameter_count(self.module)

    def convert(self) -> Converted:
        """The fp32 graph: written from the weights where edge knows the model, exported by torch otherwise."""
        if self.checkpoint is not None:
            return conversion.convert(self.checkpoint)
        alone = isinstance(self.module, Adapter) and self.module.answer.alone
        chosen = {} if alone else exporters.EXPORTERS
        try:
            return exporters.convert(self.module, classes=self.classes, temperature=self.temperature, exporters=chosen)
        except ConversionError as error:
            if not any(isinstance(part, torch.jit.ScriptModule) for part in self.module.modules()):
                raise
            raise ConversionError(
                f"{self.model} holds a program of TorchScript, and torch's exporters cannot look into it; make it from "
                "the class that it was compiled from: the names of its weights stay, and the checkpoint fits"
            ) from error

    def labelled_by(self, data: tuple[str, ...]) -> "TrainedModel":
        """The model with the labels of the data, where it has none of its own.

        Raises:
            ModelError: the data has another number of classes.
        """
        if self.labels:
            return self
        if len(data) != self.classes:
            raise ModelError(
                f"{self.model} has {self.classes} classes, and the data {len(data)}; name them with --labels FILE, "
                "one a line, or name the data that it was trained on with --data"
            )
        return dataclasses.replace(self, labels=data)


def find(
    model: str | None, path: Path | None, labels: Path | None, told: Told = NOTHING_TOLD, tell: Tell = lambda _: None
) -> TrainedModel:
    """The model of an export.

    Args:
        model: a name, or a factory as `factory.parse` reads it; `None` is the name in the checkpoint, and `DEFAULT`
            without one.
        path: the checkpoint; `None` takes the one that is shipped under that name.
        labels: a text file with one label a line, in the order of the logits.
        told: what is known of somebody's own model.
        tell: takes a line about each thing that was found by trying.

    Raises:
        ModelError: no such name or factory, labels that do not fit, or a form that edge cannot feed.
        CheckpointError: no checkpoint, or one of another model.
    """
    if model is not None and factories.is_factory(model):
        return _own(factories.parse(model), path, labels, told, tell)
    if told:
        raise ModelError(
            "--input, --normalise, --invert, --transpose and --output describe a model of your own; name it with "
            "--model package.module:factory"
        )
    if path is None:
        model = model or DEFAULT
        path = checkpoint.shipped(model)
        if path is None:
            known = model in MODELS
            advice = f"train it with `edge train --model {model}` and name the result with --checkpoint"
            raise CheckpointError(
                f"no checkpoint of {model!r} is shipped; " + (advice if known else f"use one of {', '.join(MODELS)}")
            )
    stored = checkpoint.load(path)
    if model not in (None, stored.name):
        raise CheckpointError(f"{path} is a checkpoint of {stored.name!r}, not {model!r}; use --model {stored.name}")
    return TrainedModel(
        name=stored.name,
        model=stored.name,
        module=stored.model(),
        classes=len(stored.labels),
        labels=stored.labels if labels is None else read_labels(labels, len(stored.labels)),
        architecture=specification.to_json(stored.specification),
        checkpoint_sha256=stored.sha256,
        temperature=stored.temperature,
        accuracy=stored.accuracy,
        checkpoint=stored,
    )


def read_labels(path: Path, classes: int) -> tuple[str, ...]:
    """The labels in a text file, one a line; a byte order mark, as Windows writes it, belongs to none of them.

    Args:
        path: of the file, in UTF-8.
        classes: how many labels there must be.

    Raises:
        ModelError: it cannot be read, has not one different label for each class, or one that nobody could see.
    """
    lines = _lines(path)
    if len(lines) != classes or len(set(lines)) != classes:
        raise ModelError(
            f"{path} has {len(lines)} labels ({len(set(lines))} different), the model has {classes} classes; "
            "give each class one label of its own, one a line"
        )
    return lines


def _lines(path: Path) -> tuple[str, ...]:
    try:
        # Not `splitlines`: a form feed or one of Unicode's separators is no end of a line for an editor.
        lines = tuple(line.strip(" \t\r") for line in path.read_text(encoding="utf-8-sig").split("\n"))
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(f"cannot read the labels in {path}: {error}; give a text file, one label a line") from error
    lines = tuple(filter(None, lines))
    if hidden := [label for label in lines if not label.isprintable()]:
        raise ModelError(
            f"the label {hidden[0]!r} in {path} has control or invisible characters; take them out with an editor"
        )
    return lines


def bundle_name(trained: TrainedModel, precision: str) -> str:
    """The name of the bundle of that precision: `lstm`, `lstm-int8`."""
    return trained.name if precision == "fp32" else f"{trained.name}-{precision}"


# --- somebody's own ---------------------------------------------------------------------------------------------------


def _own(factory: Factory, path: Path | None, labels: Path | None, told: Told, tell: Tell) -> TrainedModel:
    if path is None:
        raise CheckpointError(f"{factory.label} needs its weights; name their file with --checkpoint")
    content = checkpoint.read_file(path)
    named = () if labels is None else _lines(labels)
    tried = preparations.TRIED if told.layout is None else preparations.layouts_of(told.layout)
    suggested, known = states.arguments(path, content) if factory.bare else ({}, False)
    try:
        module = factories.make(factory, tell, suggested, needed=not known)
    except ModelError as error:
        if not isinstance(error.__cause__, TypeError):
            raise
        raise ModelError(f"{error}; the checkpoint holds {states.shapes(path, content)}") from error
    if unwrapped := states.load(module, path, content, factory.label, told.weights):
        tell(f"weights: of {path.name} were taken {', '.join(unwrapped)}")
    checkpoint.check_numbers(dict(module.named_parameters()), path)  # of buffers, a mask may well be infinite
    module = in_evaluation(module)
    preparation = Preparation("", inverted=told.invert, transposed=told.transpose)
    preparation = preparations.with_normalisation(preparation, told.normalise or "none")
    count = len(named) or len(DIGITS)
    alone = told.layout is not None and preparations.is_alone(told.layout)
    fit = probing.fit_alone if alone else probing.fit
    try:
        fits = fit(module, preparation, tried, told.output, count)
    except ModelError as error:
        fits = _otherwise(module, preparation, None if told.layout is None else tried, told.output, count)
        if not fits or any(words in str(error) for words in (probing.MIXES, probing.BY_TRUTH)):
            raise ModelError(f"{factory.label}: {error}") from error
    chosen = _only(fits, factory)
    tell(_found(chosen))
    classes = chosen.adapter.answer.classes
    return TrainedModel(
        name=factory.name.lower(),
        model=factory.label,
        module=chosen.adapter.eval(),
        classes=classes,
        labels=() if labels is None else read_labels(labels, classes),
        architecture={"kind": "own", "class": type(module).__qualname__},
        checkpoint_sha256=hashlib.sha256(content).hexdigest(),
        preparation=chosen.adapter.preparation,
        fresh=lambda: factories.make(factory, lambda _: None, suggested, needed=not known),
    )


def _otherwise(
    module: nn.Module, preparation: Preparation, told: Sequence[str] | None, output: str | None, classes: int
) -> list[Fit]:
    """The forms of pictures of another size that fit, of a row at a call, or of one picture; none where none does."""
    ways: list[tuple[Callable[..., list[Fit]], Sequence[str]]] = [(probing.fit_alone, told or preparations.TRIED)]
    if told is None:
        ways[:0] = [(probing.fit, preparations.TRIED_RESIZED), (probing.fit, preparations.TRIED_BY_ROW)]
    for way, tried in ways:
        try:
            return way(module, preparation, tried, output, classes)
        except ModelError:
            continue
    return []


def _only(fits: list[Fit], factory: Factory) -> Fit:
    """The form that fits, if there is but one, or all give the same answers.

    Raises:
        ModelError: several fit, and the answers differ.
    """
    if len(fits) == 1:
        return fits[0]
    digits, labels = probing.drawn_digits()
    told = []
    for fit in fits:
        right = ""
        if fit.adapter.answer.classes == len(DIGITS):
            with torch.no_grad():
                share = float((fit.adapter(digits).argmax(1) == labels).float().mean())
            right = f" (reads {share:.0%} of drawn digits)"
        told.append(f"--input {fit.adapter.preparation.layout}{right}")
    raise ModelError(
        f"{factory.label} takes pictures in {len(fits)} forms, with other answers in each; say which it was trained "
        f"with: {', '.join(told)}"
    )


def _found(chosen: Fit) -> str:
    """What was found by trying, in one line."""
    adapter: Adapter = chosen.adapter
    repairs = adapter.repairs
    parts = [f"takes [{adapter.preparation.layout}]", f"gives {adapter.preparation.output}"]
    if adapter.answer.alone:
        parts.append("takes one picture at a time, and the graph does so for each of a batch")
    if preparations.is_by_row(adapter.preparation.layout):
        parts.append(f"takes a row of the picture at a call, {ROWS} of them, and hands its state on")
    if repairs.axes:
        parts.append("a squeeze() without an axis keeps the batch axis, also at one picture")
    if repairs.moves:
        parts.append("tensors that forward moves to another device stay on the CPU")
    if repairs.packed:
        parts.append("sequences of full length are not packed")
    if repairs.dropout:
        parts.append("a dropout that is on in evaluation is left out")
    if repairs.single:
        parts.append("any other precision is float32, as its weights are")
    if repairs.still:
        parts.append("random numbers that forward draws are their mean")
    parts += adapter.more.words
    return f"the model {'; '.join(parts)}"
