"""What a model gives: where its logits are in what `forward` returns, and which kind of number they are."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor

from edge_export.model.errors import ModelError

Kind = Literal["logits", "log-probabilities", "probabilities"]

# What `--output` may say behind the name of an output: which step is the answer, or that the smallest number is.
STEPS = ("last", "mean", "sum")
SMALLEST = "smallest"

SUM_ERROR = 1e-3  # of float32 probabilities over some tens of classes, from one
LEAST = 1e-30  # of a probability whose logarithm is taken: float32 has nothing much below


@dataclass(frozen=True, slots=True)
class ClassOutput:
    """Which numbers of what `forward` returns are those of the classes.

    Attributes:
        name: of the output: empty where there is but one, otherwise its place, its key or its field.
        time: the axis of the steps; None where there are none.
        single: the axes that are 1 at every batch size and go, after the steps did.
        classes: how many there are.
        alone: whether they are those of one picture, and the output has no axis for a batch.
        steps: what is taken of the steps, one of `STEPS`.
        smallest: whether the smallest number is the answer, as of distances; then their negatives are taken.
    """

    name: str
    time: int | None
    single: tuple[int, ...]
    classes: int
    alone: bool = False
    steps: str = STEPS[0]
    smallest: bool = False

    @property
    def option(self) -> str:
        """The value of `--output` that says this."""
        behind = [*([self.steps] if self.time is not None else []), *([SMALLEST] if self.smallest else [])]
        return ":".join([self.name, *behind])

    @property
    def words(self) -> str:
        """What is taken, in words; empty where `forward` returns nothing but logits [batch, classes]."""
        which = f"its output {self.name}" if self.name else "its output"
        parts = [which] if self.name else []
        if self.time is not None:
            taken = "last step" if self.steps == STEPS[0] else f"{self.steps} of the steps"
            parts.append(f"the {taken} of axis {self.time}")
        if self.smallest:
            parts.append("negative, because its smallest number is the answer")
        if self.single:
            parts.append(f"without the axes {', '.join(map(str, self.single))} of size 1")
        return ", ".join(parts)

    def take(self, returned: object) -> Tensor:
        """The numbers of the classes, [batch, classes], of what `forward` returned."""
        tensor = outputs(returned)[self.name]
        if self.alone:
            tensor = tensor.reshape(1, self.classes)
        elif self.time is not None:
            tensor = self._of_steps(tensor, self.time)
        if self.single:
            tensor = torch.squeeze(tensor, self.single)
        return -tensor if self.smallest else tensor

    def _of_steps(self, tensor: Tensor, axis: int) -> Tensor:
        if self.steps == "mean":
            return tensor.mean(axis)
        return tensor.sum(axis) if self.steps == "sum" else tensor.select(axis, -1)


def outputs(returned: object) -> dict[str, Tensor]:
    """Every tensor in what `forward` returned, by its place, key or field; the name of a tensor alone is empty."""
    if isinstance(returned, Tensor):
        return {"": returned}
    found: dict[str, Tensor] = {}
    for name, value in _parts(returned).items():
        for inner, tensor in outputs(value).items():
            found[f"{name}.{inner}" if inner else name] = tensor
    return found


def find(returned: Mapping[int, object], name: str | None, classes: int | None = None) -> ClassOutput:
    """Where the numbers of the classes are.

    Args:
        returned: what `forward` returned, by the size of the batch, for two sizes.
        name: of the output, as `outputs` calls it, and behind colons what is taken of it, of `STEPS` and `SMALLEST`;
            None, and no name before the colon, takes the first that has the form.
        classes: how many there should be; an output with as many is taken rather than one with another number.

    Raises:
        ModelError: no output has a number for each of several classes and each picture; the message says the shapes.
    """
    small, large = sorted(returned)
    few, many = outputs(returned[small]), outputs(returned[large])
    name, taken = _taken(name, few)
    if name is not None:
        if name not in few:
            known = ", ".join(key or "(a tensor alone)" for key in few)
            raise ModelError(f"there is no output {name!r}; it gives {known}")
        few = {name: few[name]}
    answers = [
        found
        for key in few
        if key in many and (found := _form(key, few[key].shape, many[key].shape, small, large)) is not None
    ]
    best = min(answers, key=lambda answer: (answer.classes != classes, answer.time is not None), default=None)
    if best is None:
        shapes = {key: tuple(tensor.shape) for key, tensor in few.items()}
        said = ", ".join(f"{key} {shape}".strip() for key, shape in shapes.items()) or type(returned[small]).__name__
        raise ModelError(f"it gives {said} for {small} pictures, where one number for each class was expected")
    return replace(best, **taken)


def find_alone(returned: object, name: str | None, classes: int | None = None) -> ClassOutput:
    """Where the numbers of the classes are in what `forward` returned for one picture.

    Args:
        returned: what `forward` returned.
        name: of the output; None takes the first that has the form.
        classes: how many there should be.

    Raises:
        ModelError: no output has as many numbers as there are classes, all along one axis.
    """
    known = outputs(returned)
    name, taken = _taken(name, known)
    given = {key: tensor for key, tensor in known.items() if name in (None, key)}
    fitting = [key for key, tensor in given.items() if tensor.numel() == classes == max(tensor.shape, default=0)]
    if not fitting:
        raise ModelError("it gives no number for each class of one picture either")
    return replace(ClassOutput(fitting[0], None, (), given[fitting[0]].numel(), alone=True), **taken)


def is_one_each(returned: Mapping[int, object]) -> bool:
    """Whether `forward` returned a single whole number for each picture, by the size of the batch: the class itself."""
    return all(
        any(one.numel() == count and not one.is_floating_point() for one in outputs(value).values())
        for count, value in returned.items()
    )


def is_over_batch(numbers: Tensor) -> bool:
    """Whether probabilities [batch, classes] were made over the batch, and not over the classes."""
    of_batch, of_classes = ((numbers.double().sum(axis) - 1).abs().max() < SUM_ERROR for axis in (0, 1))
    return bool(of_batch) and not bool(of_classes)


def others(returned: Mapping[int, object], chosen: ClassOutput) -> list[ClassOutput]:
    """What else could be the answer: other outputs of the form, other steps of them, their smallest numbers.

    Args:
        returned: what `forward` returned, by the size of the batch, for two sizes.
        chosen: what is taken.
    """
    found = []
    for name in outputs(returned[min(returned)]):
        try:
            one = find(returned, name)
        except ModelError:
            continue
        if one.classes == chosen.classes:
            ways = STEPS if one.time is not None else STEPS[:1]
            found += [replace(one, steps=steps, smallest=smallest) for steps in ways for smallest in (False, True)]
    return [one for one in found if one != chosen]


def kind(numbers: Tensor) -> Kind:
    """Which kind of number the outputs are, judged by their values.

    Args:
        numbers: float [N, classes], of pictures that differ.
    """
    rows = numbers.double()
    if bool((rows >= 0).all()) and bool(((rows.sum(1) - 1).abs() < SUM_ERROR).all()):
        return "probabilities"
    if bool((torch.logsumexp(rows, 1).abs() < SUM_ERROR).all()):
        return "log-probabilities"
    return "logits"


def _taken(name: str | None, known: Mapping[str, Tensor]) -> tuple[str | None, dict[str, Any]]:
    """The name in `--output`, and what it says of the steps and the numbers behind its colons."""
    taken: dict[str, Any] = {}
    while name is not None and name not in known and ":" in name:
        name, _, word = name.rpartition(":")
        if word not in (*STEPS, SMALLEST):
            raise ModelError(
                f"--output cannot take {word!r} of an output; say one of {', '.join((*STEPS, SMALLEST))}, as in 0:mean"
            )
        taken |= {"smallest": True} if word == SMALLEST else {"steps": word}
    return (None if name == "" and name not in known else name), taken


def _parts(returned: object) -> dict[str, object]:
    if isinstance(returned, Mapping):
        return {str(key): value for key, value in returned.items()}
    if isinstance(returned, tuple) and hasattr(returned, "_fields"):
        return dict(zip(returned._fields, returned, strict=True))
    if isinstance(returned, tuple | list):
        return {str(place): value for place, value in enumerate(returned)}
    if is_dataclass(returned):
        return {field.name: getattr(returned, field.name) for field in fields(returned)}
    return {}


def _form(name: str, few: torch.Size, many: torch.Size, small: int, large: int) -> ClassOutput | None:
    """The form of an output by its shapes at two sizes of the batch; None where it has no number for each class."""
    free = [axis for axis, sizes in enumerate(zip(few, many, strict=False)) if sizes == (small, large)]
    if len(few) != len(many) or len(free) != 1:
        return None
    (batch,) = free
    fixed = [axis for axis in range(len(few)) if axis != batch]
    if any(few[axis] != many[axis] for axis in fixed):
        return None
    long = [axis for axis in fixed if few[axis] > 1]
    if len(long) not in (1, 2) or long[-1] < batch:
        return None
    time = long[0] if len(long) == 2 else None
    kept = [axis for axis in range(len(few)) if axis != time]
    single = tuple(place for place, axis in enumerate(kept) if axis != batch and few[axis] == 1)
    return ClassOutput(name, time, single, few[long[-1]])
