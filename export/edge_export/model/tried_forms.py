"""Other forms of the pictures, or of the answer, that a network of digits may have been trained on: each is tried.

Normalised, dark on light, columns before rows, larger, its classes in another order, another of its outputs.
"""

import itertools
import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from edge.bundle.input import COLUMNS, ROWS
from edge.bundle.manifest import Preparation
from edge_export.model import answer as answers
from edge_export.model.adapter import Adapter
from edge_export.model.answer import ClassOutput
from edge_export.model.preparation import normalisation_written, with_normalisation
from edge_train.data.splits import Split
from edge_train.training.evaluation import logits_of

DOUBTED = ("none", "mnist", "half", "bytes", "picture")  # the normalisations that are tried on everything
COARSE = "binary"  # and that of pixels which lose something, where the accuracy is low
LARGER = ("32,32:pad", "32,32:resize", "64,64:resize")  # what networks that take any size were trained on
OF_DATA = {"fashion-mnist": "fashion-mnist", "kmnist": "kmnist"}  # and on the data that they are of

_WORDS = {
    "none": "not normalised",
    "picture": "standardised picture by picture",
    "binary": "made 0 and 1",
}

# Options of `edge export` by name: a value as the shell takes it, True for a flag, None for one that has to go.
Options = Mapping[str, str | bool | None]


@dataclass(frozen=True, slots=True)
class TriedForm:
    """One explanation, tried.

    Attributes:
        words: what was tried.
        options: what `edge export` has to be told, or no longer.
        accuracy: on the images that were tried, in [0, 1].
    """

    words: str
    options: Options
    accuracy: float


def trials(adapter: Adapter, split: Split, labels: tuple[str, ...]) -> Iterator[TriedForm]:
    """Every form but the one that was told.

    Args:
        adapter: the network; as it was afterwards.
        split: some of the judging data.
        labels: of the model.
    """
    yield from _preparations(adapter, split, labels)
    yield from _sizes(adapter, split)
    yield from _answers(adapter, split)


def _preparations(adapter: Adapter, split: Split, labels: tuple[str, ...]) -> Iterator[TriedForm]:
    """Every form but the one that was told, each also with the classes in another order."""
    own = adapter.preparation
    names = ["", *normalisations(split, own), COARSE]
    for name, inverted, transposed in itertools.product(names, (own.inverted, not own.inverted), (False, True)):
        other = with_normalisation(own, name) if name else own
        other = replace(other, inverted=inverted, transposed=own.transposed != transposed)
        try:
            with as_if(adapter, other):
                said = logits_of(adapter, split.images).argmax(1)
        except Exception:  # noqa: BLE001, S112 - foreign code may raise anything, as on pixels out of its table
            continue
        words, options = _words(own, other, name)
        if words:
            yield TriedForm(f"{words},", options, float((said == split.labels).mean()))
        order = None if adapter.columns else _order(said, split.labels, adapter.answer.classes)
        if order is not None:
            right = float((order[said] == split.labels).mean())
            lines = " ".join(shlex.quote(labels[one]) for one in order)
            named = {**options, "--labels": f"<(printf '%s\\n' {lines})"}
            yield TriedForm(f"{words + ', and ' if words else ''}with its classes in another order,", named, right)


def _sizes(adapter: Adapter, split: Split) -> Iterator[TriedForm]:
    """Larger pictures, for a network that takes any size."""
    own = adapter.preparation
    for size, name in itertools.product(LARGER, ["", *normalisations(split, own)]):
        if own.layout not in (f"N,1,{ROWS},{COLUMNS}", f"N,3,{ROWS},{COLUMNS}"):
            return
        layout = own.layout.replace(f"{ROWS},{COLUMNS}", size)
        other = replace(with_normalisation(own, name) if name else own, layout=layout)
        try:
            with as_if(adapter, other):
                said = logits_of(adapter, split.images)
        except Exception:  # noqa: BLE001 - foreign code may raise anything; most networks take one size only
            return
        if said.shape != (len(split), adapter.answer.classes):
            return
        words, options = _words(own, other, name)
        shown = f"enlarged as {layout}{' and ' + words if words else ''},"
        yield TriedForm(shown, {**options, "--input": layout}, float((said.argmax(1) == split.labels).mean()))


def _answers(adapter: Adapter, split: Split) -> Iterator[TriedForm]:
    """Other outputs, other steps, and the smallest number, where `forward` gives distances."""
    if adapter.answer.alone:
        return
    images = torch.from_numpy(split.images[:3].astype(np.float32) / 255)
    try:
        with torch.no_grad():
            given = {count: adapter.returned(images[:count]) for count in (2, 3)}
    except Exception:  # noqa: BLE001 - likewise
        return
    for other in answers.others(given, adapter.answer):
        with answering(adapter, other):
            right = float((logits_of(adapter, split.images).argmax(1) == split.labels).mean())
        yield TriedForm(f"by {other.words},", {"--output": shlex.quote(other.option)}, right)


def normalisations(split: Split, own: Preparation) -> list[str]:
    """The names of the normalisations that are tried: the usual ones, and that of the data, except its own."""
    names = [*DOUBTED, *([OF_DATA[data]] if (data := split.name.rpartition("-")[0]) in OF_DATA else [])]
    if ",3," in f",{own.layout},":
        names.append("imagenet")
    return [name for name in names if with_normalisation(own, name) != own]


def _words(own: Preparation, other: Preparation, name: str) -> tuple[str, Options]:
    """What is different in a form, and the options that say it."""
    words: list[str] = []
    options: dict[str, str | bool | None] = {}
    if name:
        words.append(_WORDS.get(name, f"normalised by {numbers(name)}"))
        options["--normalise"] = numbers(name)
    if other.inverted != own.inverted:
        words.append("dark on light" if other.inverted else "light on dark")
        options["--invert"] = other.inverted or None
    if other.transposed != own.transposed:
        words.append("columns before rows" if other.transposed else "rows before columns")
        options["--transpose"] = other.transposed or None
    return " and ".join(words), options


def numbers(name: str) -> str:
    """The mean and deviation of a normalisation, as `--normalise` takes them."""
    return normalisation_written(with_normalisation(Preparation(""), name))


def _order(answers: NDArray[np.int64], labels: NDArray[np.int64], classes: int) -> NDArray[np.int64] | None:
    """For each class that is answered, the label that it stands for; None where that is no order of all classes."""
    counts = np.zeros((classes, classes), np.int64)
    np.add.at(counts, (answers, labels), 1)
    order = counts.argmax(1)
    is_order = len(set(order.tolist())) == classes and not np.array_equal(order, np.arange(classes))
    return order if is_order else None


@contextmanager
def as_if(adapter: Adapter, preparation: Preparation) -> Iterator[nn.Module]:
    """The model as if it had been told that form."""
    own, adapter.preparation = adapter.preparation, preparation
    try:
        yield adapter
    finally:
        adapter.preparation = own


@contextmanager
def answering(adapter: Adapter, answer: ClassOutput) -> Iterator[None]:
    """The model as if that were its answer."""
    own, adapter.answer = adapter.answer, answer
    logarithm, adapter.logarithm = adapter.logarithm, False  # which changes no order, and knows no negative numbers
    try:
        yield
    finally:
        adapter.answer, adapter.logarithm = own, logarithm
