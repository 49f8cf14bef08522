"""Which form of the pictures a module takes, found by trying, and what has to be mended on the way.

A form fits when the module takes it at two sizes of the batch, gives a number for each class and picture, and when
the answer to a picture does not depend on the pictures beside it: a module that reshapes whatever it gets also takes
the wrong form, and mixes the pictures.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from edge.bundle.input import COLUMNS, ROWS
from edge.bundle.manifest import Preparation
from edge_export.model import answer as answers
from edge_export.model.adapter import Adapter
from edge_export.model.answer import ClassOutput
from edge_export.model.calling import More, call, ways
from edge_export.model.errors import ModelError
from edge_export.model.importing import reason
from edge_export.model.repairs import Repaired, Repairs, Seen
from edge_train import strokes

T = TypeVar("T")

PROBE_SEED = 2_003
DIGITS = 200  # enough to tell a model that reads them from one that does not
KIND_IMAGES = 64  # pictures whose answers say which kind of number they are
SIZES = (2, 3)  # of the batches that a module is asked with: 1 would let a frozen or broadcast batch axis pass
LARGEST_DIFFERENCE = 1e-4  # of an answer in another batch, relative: what sums in another order make of it

NO_REPAIRS = Repairs()
ENDS = {"softmax": "probabilities", "sigmoid": "scores between 0 and 1"}

# What torch says of layers that were made for pictures of another size.
OF_ANOTHER_SIZE = (
    "shapes cannot be multiplied", "size mismatch", "must be equal to input_size", "Output size is too small",
    "Kernel size can't be greater",
)  # fmt: skip
ALSO_WANTS = "forward also wants"
BY_TRUTH = "its answer depends on the right one, its argument"
MIXES = "its answer to a picture depends on the other pictures of the batch"
# What mends what no option can: the names of the weights stay, so that the checkpoint fits.
ADVICE_BESIDE = (
    "write a class beside yours whose forward takes pictures and gives a number for each class, and name that: "
    "class Whole({name}): def forward(self, x): return {call}; docs/models.md has five such classes"
)
MOST_SAID = 160  # characters of what came back of a form, of which there are nine
ADVICE_MIXES = (
    "an axis is taken for another there: batch_first=True is missing, a softmax goes over dim=0, or the batch axis is "
    "not the one meant"
)


class Unfit(Exception):  # noqa: N818 - no error: one of several forms, and the next one is tried
    """A form does not fit, and why."""


class _Decides(Unfit):
    """The answer is the class itself, which the call of that number chose."""

    def __init__(self, number: int, said: str) -> None:
        super().__init__(said)
        self.number = number


@dataclass(frozen=True, slots=True)
class Fit:
    """A form that fits.

    Attributes:
        adapter: the module in that form, with all repairs.
        answers: float [3, classes], to the three probing pictures.
        cuda: whether `forward` moves tensors to CUDA.
    """

    adapter: Adapter
    answers: Tensor
    cuda: bool


@cache
def drawn_digits(count: int = DIGITS) -> tuple[Tensor, Tensor]:
    """Drawn digits, float [count, 28, 28] in [0, 1], and their labels, [count]."""
    images, labels = strokes.sample(count, seed=PROBE_SEED)
    return torch.from_numpy(images.astype(np.float32) / 255), torch.from_numpy(labels)


def fit(
    module: nn.Module, preparation: Preparation, tried: Sequence[str], output: str | None, classes: int | None = None
) -> list[Fit]:
    """The forms that fit, of each set of forms with the same answers the first.

    Args:
        module: in evaluation mode, on the CPU.
        preparation: what was told; its layout is replaced by those that are tried.
        tried: the forms, as `--input` takes them.
        output: the name of the output; None takes the first that has the form, of those with so many classes if any.
        classes: how many labels there are; None where nobody knows.

    Raises:
        ModelError: none fits; the message says what came back.
    """
    found: list[Fit] = []
    reasons: dict[str, str] = {}
    for layout in tried:
        try:
            one = _fit(module, replace(preparation, layout=layout), output, classes)
        except Unfit as error:
            reasons[layout] = str(error)
            continue
        if not any(_alike(one.answers, other.answers) for other in found):
            found.append(one)
    if not found:
        raise ModelError(_refusal(reasons, module))
    return _telling(found)


def fit_alone(
    module: nn.Module, preparation: Preparation, tried: Sequence[str], output: str | None, classes: int
) -> list[Fit]:
    """The forms that fit a module that takes one picture only, likewise.

    Raises:
        ModelError: none fits; the message says what came back.
    """
    found: list[Fit] = []
    reasons: dict[str, str] = {}
    images, _ = drawn_digits(KIND_IMAGES)
    for layout in tried:
        one = replace(preparation, layout=layout)
        for more in ways(module):
            try:
                with Repaired(Repairs()) as seen, torch.no_grad():
                    returned = _tried(partial(call, module, images[:1], one, more))
                where = answers.find_alone(returned, output, classes)
            except (Unfit, ModelError) as error:
                reasons.setdefault(layout, str(error))
                continue
            repairs = replace(
                _repairs(seen.seen, seen.seen, where, returned),
                moves=seen.cuda,
                still=seen.random,
                single=seen.double,
                lacking=seen.lacking,
            )
            adapter = Adapter(module, one, where, repairs=replace(repairs, axes={}), more=more)
            numbers = _answers(adapter, images)
            adapter.logarithm = answers.kind(numbers) == "probabilities"
            adapter.preparation = replace(one, output=_words(adapter, numbers))
            new = Fit(adapter, numbers[: SIZES[1]], seen.cuda)
            if not any(_alike(new.answers, other.answers) for other in found):
                found.append(new)
            break
    if not found:
        raise ModelError(_refusal(reasons, module))
    return _telling(found)


def _telling(found: list[Fit]) -> list[Fit]:
    """The forms without those in which every picture has the same answer, if there are others."""
    return [one for one in found if not _alike(one.answers[:1].expand_as(one.answers), one.answers)] or found


def _fit(module: nn.Module, preparation: Preparation, output: str | None, classes: int | None) -> Fit:
    failure: Unfit | None = None
    found: list[Fit] = []
    for more in ways(module):
        try:
            found.append(_fit_in(module, preparation, more, output, classes))
        except Unfit as error:
            failure = failure or error
            continue
        if more.asked is None:
            return found[-1]
    if not found:
        raise failure or Unfit("it has no forward, and nothing else that could be asked")
    # Of several methods, the one with a number for each class that says most.
    return min(found, key=lambda one: (one.adapter.answer.classes != classes, one.adapter.repairs.decides))


def _fit_in(module: nn.Module, preparation: Preparation, more: More, output: str | None, classes: int | None) -> Fit:
    try:
        return _fit_with(module, preparation, more, output, classes)
    except _Decides as decided:
        # What is decided by an argmax are the numbers that enter it.
        skipped = Repairs(skipped=frozenset({decided.number}), decides=True)
        fit = _fit_with(module, preparation, more, output, classes, given=skipped)
        images, _ = drawn_digits(KIND_IMAGES)
        with Repaired(replace(skipped, skipped=frozenset())), torch.no_grad():
            said = answers.outputs(call(module, images, preparation, more))[fit.adapter.answer.name]
        if not torch.equal(_answers(fit.adapter, images).argmax(1), said.reshape(-1).long()):
            raise Unfit(str(decided)) from decided
        return fit


def _fit_with(
    module: nn.Module,
    preparation: Preparation,
    more: More,
    output: str | None,
    classes: int | None,
    *,
    given: Repairs = NO_REPAIRS,
) -> Fit:
    images, _ = drawn_digits(KIND_IMAGES)
    small, large = SIZES
    seen: dict[int, Repaired] = {}
    returned: dict[int, object] = {}
    random = double = False
    for size in SIZES:
        with Repaired(given) as seen[size], torch.no_grad():
            try:
                returned[size] = _tried(partial(call, module, images[:size], preparation, more))
            except Unfit as error:
                if not more.wanted:
                    raise
                wanted = ", ".join(more.wanted)
                raise Unfit(f"{ALSO_WANTS} {wanted}, and takes no empty ones: {error}") from error
        random, double = random or seen[size].random, double or seen[size].double
    try:
        where = answers.find(returned, output, classes)
    except ModelError as error:
        largest = [number for number, one in enumerate(seen[large].seen) if one.kind in ("argmax", "max")]
        if largest and not given and answers.is_one_each(returned):
            raise _Decides(largest[-1], str(error)) from error
        raise Unfit(str(error)) from error
    cuda = any(one.cuda for one in seen.values())
    repairs = _repairs(seen[small].seen, seen[large].seen, where, returned[large])
    repairs = replace(
        repairs,
        skipped=repairs.skipped | given.skipped,
        decides=given.decides,
        moves=cuda,
        packed=all(one.packed for one in seen.values()),
        still=random,
        single=double,
        lacking=any(one.lacking for one in seen.values()),
    )
    adapter = Adapter(module, preparation, where, repairs=repairs, more=more)
    few, many = (_answers(adapter, images[:size]) for size in SIZES)
    turned = _answers(adapter, images[[2, 0]])
    if not _alike(many, _answers(adapter, images[:large])):
        raise Unfit("it gives other answers when it is asked again: it keeps a state, or draws random numbers")
    if not (_alike(few, many[:2]) and _alike(turned, many[[2, 0]])):
        raise Unfit(MIXES)
    numbers = _answers(adapter, images)
    _refuse_truth(adapter, images, numbers)
    adapter.logarithm = answers.kind(numbers) == "probabilities"
    adapter.preparation = replace(preparation, output=_words(adapter, numbers))
    return Fit(adapter, many, cuda)


def _refuse_truth(adapter: Adapter, images: Tensor, numbers: Tensor) -> None:
    """Refuses an answer that depends on the right one: a margin that training takes from it, as heads of faces do."""
    name = adapter.more.wants_truth
    if name is None:
        return
    adapter.more = replace(adapter.more, truth=1)
    alike = _alike(_answers(adapter, images), numbers)
    adapter.more = replace(adapter.more, truth=0)
    if not alike:
        raise Unfit(f"{BY_TRUTH} {name}, which nobody knows of a new picture")


def _answers(adapter: Adapter, images: Tensor) -> Tensor:
    with torch.no_grad():
        numbers: Tensor = _tried(partial(adapter, images))
    return numbers


def _tried(run: Callable[[], T]) -> T:
    try:
        return run()
    except Exception as error:  # foreign code may raise anything, and all of it means that the form does not fit
        raise Unfit(reason(error)) from error


def _repairs(few: list[Seen], many: list[Seen], where: ClassOutput, returned: object) -> Repairs:
    """What has to be mended, by what was seen at both sizes of the batch."""
    if len(few) != len(many):
        return Repairs()
    axes = {}
    for number, (small, large) in enumerate(zip(few, many, strict=True)):
        if small.kind == "squeeze":
            single = tuple(
                axis for axis, sizes in enumerate(zip(small.shape, large.shape, strict=True)) if sizes == (1, 1)
            )
            axes[number] = single
    drops = {number for number, one in enumerate(many) if one.kind == "dropout"}
    given = answers.outputs(returned)[where.name]
    plain = where.steps == answers.STEPS[0] and not where.smallest  # a mean of probabilities is none of logits
    # What was made of the whole batch, by softmax(dim=0), is no softmax of the classes: its answers mix the pictures.
    plain = plain and not answers.is_over_batch(where.take(returned))
    ends = {number: one.kind for number, one in enumerate(many) if plain and one.kind in ENDS and one.result is given}
    return Repairs(
        axes=axes,
        skipped=frozenset(drops | ends.keys()),
        end=next(iter(ends.values()), None),
        dropout=bool(drops),
    )


def _words(adapter: Adapter, numbers: Tensor) -> str:
    """What the module gives, as the manifest says it."""
    kind: str = answers.kind(numbers)
    if adapter.logarithm:
        kind = "probabilities, their logarithm taken"
    elif adapter.repairs.decides:
        kind = f"the class itself, of {kind}: its argmax taken off"
    elif adapter.repairs.end:
        kind = f"{ENDS[adapter.repairs.end]}, {adapter.repairs.end} taken off"
    return f"{kind} ({adapter.answer.words})" if adapter.answer.words else kind


def _alike(one: Tensor, other: Tensor) -> bool:
    if one.shape != other.shape:
        return False
    limit = LARGEST_DIFFERENCE * max(1.0, float(one.abs().max()))
    return bool(((one - other).abs() <= limit).all())


def _refusal(reasons: dict[str, str], module: nn.Module) -> str:
    """Why no form fits: the cause where it is known, otherwise what came back of each."""
    if mixing := [layout for layout, said in reasons.items() if said == MIXES]:
        return f"as [{mixing[0]}], {MIXES}{_why_mixed(mixing[0], module)}"
    if by_truth := [said for said in reasons.values() if said.startswith(BY_TRUTH)]:
        name = type(module).__name__
        own = [key for key in vars(type(module)) if not key.startswith("_") and key != "forward"]
        call = f"self.{own[-1]}(x)" if own else "what it gives without the margin"
        return f"{by_truth[0]}; {ADVICE_BESIDE.format(name=name, call=call)}"
    if (beside := _beside(reasons, module)) is not None:
        return beside
    grouped = _grouped(reasons)
    if len(grouped) == 1 and len(reasons) > 1:
        return f"it takes pictures in none of the {len(reasons)} forms that edge tried: {next(iter(grouped.values()))}"
    told = [f"[{layout}] {said[:MOST_SAID]}" for layout, said in grouped.items()]
    return f"it takes none of the forms that edge tried: {'; '.join(told)}{_cause(reasons, module)}"


def _why_mixed(layout: str, module: nn.Module) -> str:
    if any(isinstance(part, _BatchNorm) and part.running_mean is None for part in module.modules()):
        return ": its BatchNorm keeps no running statistics; train it with track_running_stats=True"
    alone = layout.replace("N", "1", 1)
    asked = f"; if it shall be asked picture by picture, say --input {alone}" if alone.startswith("1,") else ""
    return f"; {ADVICE_MIXES}{asked}"


def _beside(reasons: dict[str, str], module: nn.Module) -> str | None:
    """What no option mends, but a class beside the module's own does; None where it is nothing of that kind."""
    said, name = next(iter(reasons.values())), type(module).__name__
    if type(module).forward is nn.Module.forward:
        own = [key for key, value in vars(type(module)).items() if callable(value) and not key.startswith("_")]
        why, call = f"{name} has no forward", f"self.{own[-1]}(x)" if own else "..."
        if own:
            why += f", only {', '.join(own)}"
    elif all(one.startswith(ALSO_WANTS) for one in reasons.values()):
        also, _, error = said.partition(", and takes no empty ones: ")
        why, call = f"its {also}, which edge cannot make ({error[:160]})", "super().forward(x, ...)"
    elif any(one.startswith(f"it gives ({SIZES[0]},) for") for one in reasons.values()):
        why = "it gives one number for each picture; if that is the class itself"
        call = "F.one_hot(super().forward(x), 10).float()"
    else:
        return None
    return f"{why}; {ADVICE_BESIDE.format(name=name, call=call)}"


def _grouped(reasons: dict[str, str]) -> dict[str, str]:
    """Forms that fail alike, together."""
    layouts: dict[str, list[str]] = {}
    for layout, said in reasons.items():
        layouts.setdefault(said[:160], []).append(layout)
    return {"], [".join(names): said for said, names in layouts.items()}


def _cause(reasons: dict[str, str], module: nn.Module) -> str:
    said = " ".join(reasons.values())
    if "CUDA" in said or "NVIDIA" in said:
        return "; its forward needs CUDA; take the device from its input, as in torch.zeros(..., device=x.device)"
    first = next((layer for layer in module.modules() if isinstance(layer, nn.Conv2d)), None)
    if first is not None and first.in_channels not in (1, 3):
        return f"; its first convolution wants {first.in_channels} channels, and a grey picture has one"
    if any(words in said for words in OF_ANOTHER_SIZE):
        channels = 1 if first is None else first.in_channels
        return (
            f"; its layers are made for pictures of another size than {ROWS}x{COLUMNS}, or for another order of the "
            f"axes: tell it with --input, such as --input N,{channels},28,28, or N,{channels},96,96:resize for "
            "pictures enlarged to 96x96"
        )
    return "; tell the order of the axes with --input, such as --input N,1,28,28"
