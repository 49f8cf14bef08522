"""Whether a model can do its job, and, where it cannot, what usually explains it: found by trying, not by guessing.

A model of digits that reads few of them was most often trained on pictures of another form: normalised, dark on light,
columns before rows, its classes in another order; or its weights were never loaded. Each is tried on the judging data,
and what raises the accuracy is told as the options to add.

A convolutional network reads nearly as well without the normalisation that it was trained with: its accuracy tells
nothing. But training lowered the cross entropy of the right answers, and the form that it was trained on has the lowest
one. So the usual normalisations are tried on every model that was not told one, and where one of them fits clearly
better, edge asks.
"""

import math
import shlex
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.parameter import is_lazy

from edge.errors import EdgeError
from edge_export.model import answer as answers
from edge_export.model.adapter import Adapter
from edge_export.model.preparation import OF_EACH, with_normalisation
from edge_export.model.trained_model import Told, TrainedModel
from edge_export.model.tried_forms import (
    COARSE,
    Options,
    TriedForm,
    answering,
    as_if,
    normalisations,
    numbers,
    trials,
)
from edge_train.data.splits import Split
from edge_train.training.evaluation import logits_of, temperature_of

# What any trained model reads at least of data that is known: the weakest models of a tutorial read more, and models
# that saw their pictures in the wrong form were seen to read 5 to 50 %.
LEAST = {"mnist": 0.75, "fashion-mnist": 0.6, "kmnist": 0.55, "strokes": 0.6}
# Of data that nobody knows: that much of the way from chance to no error.
LEAST_OF_THE_WAY = 0.4
# What a checkpoint states for the same data may be missed by that much: another part of it.
STATED_DROP = 0.05

SCREENED = 300  # images that every explanation is tried on
COMPARED = 1000  # images that a normalisation is doubted on
RAISED = 0.2  # of the accuracy, from which on an explanation explains anything
RAISED_ENOUGH = 0.08  # and where the model then reads what a trained one does: three standard errors
CLEAR = 3.0  # standard errors, from which on one form is better than another
WORTH = 0.1  # of the cross entropy that another form must save
HALF_A_BYTE = 128
NEARLY = 0.75  # of what the best form saves
MOST_NAMED = 3  # other forms that read nearly as much
NEARLY_ALIKE = 0.03  # of the accuracy, by which forms differ whose normalisations are nearly the same


Entropies = tuple[NDArray[np.float64], float]
"""The cross entropy of each answer, and the accuracy."""


class UnfitForItsJobError(EdgeError, ValueError):
    """The model reads its data badly, or reads it better in another form than it was told; it is not packed."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong with a model.

    Attributes:
        sentence: what it is, and what explains it.
        options: what `edge export` has to be told to mend it, or no longer; empty where no option mends it.
    """

    sentence: str
    options: Options = field(default_factory=dict)


def check(
    trained: TrainedModel, split: Split, logits: NDArray[np.float32], told: Told, tell: Callable[[str], None]
) -> Finding | None:
    """Finds out whether the model reads its data.

    Args:
        trained: the model.
        split: the judging data, labels in the model's order.
        logits: PyTorch's, float32 (N, classes), of that data.
        told: what the command line says of the model; what was told is doubted only where the accuracy is low.
        tell: takes a table of what was tried.

    Returns:
        What is wrong, with what mends it; None where nothing is.
    """
    accuracy = float((logits.argmax(1) == split.labels).mean())
    least, why = _least(trained, split)
    said = f"{trained.model} reads {accuracy:.1%} of {len(split):,} {split.name} images right"
    if accuracy >= least:
        better = _several(trained, split, least, told)
        better = better or _better_steps(trained, split, told) or _better(trained, split, told)
        return None if better is None else replace(better, sentence=f"{said}, {better.sentence}")
    said = f"{said}, {why}"
    if not isinstance(trained.module, Adapter):
        return Finding(said)
    few = _some(split, SCREENED)
    tried = sorted(trials(trained.module, few, trained.labels), key=lambda trial: -trial.accuracy)
    begun = float((logits_of(trained.module, few.images).argmax(1) == few.labels).mean())
    tell("\n".join(["what usually explains it, tried on some of the images:", *_table(tried, begun)]))
    best = _surest(trained.module, split, tried)
    if best.accuracy >= begun + (RAISED_ENOUGH if best.accuracy >= least else RAISED):
        alike = _nearly_as_well(best, tried)
        return Finding(f"{said}; {best.words} it reads {best.accuracy:.1%}{alike}", best.options)
    if _is_as_drawn(trained):
        return Finding(
            f"{said}: every weight in the checkpoint is as a new model draws it; it was saved before it was trained, "
            "or without its weights being loaded: save it again from the trained model"
        )
    return Finding(
        f"{said}; nothing that was tried explains it: if its classes are others, name them with --labels FILE, or its "
        "data with --data; if it was trained on pictures of another size or kind, train it on 28x28"
    )


def narrowed(trained: TrainedModel, labels: tuple[str, ...]) -> TrainedModel | None:
    """The model as if it had only the classes of the data: letters and digits are judged by the digits among them.

    Args:
        trained: the model.
        labels: of the data.

    Returns:
        The model with those columns; None where it lacks one of the classes, or is one of edge's own.
    """
    adapter = trained.module
    if not isinstance(adapter, Adapter) or not set(labels) < set(trained.labels):
        return None
    columns = [trained.labels.index(label) for label in labels]
    return replace(trained, module=adapter.narrowed(columns), labels=labels, classes=len(labels))


# --- what accuracy is expected ----------------------------------------------------------------------------------------


def _least(trained: TrainedModel, split: Split) -> tuple[float, str]:
    """The accuracy below which a model is not packed, and what was expected, in words."""
    data = split.name.rpartition("-")[0]
    same = [figure["accuracy"] for figure in trained.accuracy if figure["data"] == data]
    if same:
        return min(same) - STATED_DROP, f"where its checkpoint states {min(same):.1%}"
    classes = len(trained.labels)
    usual = LEAST.get(data, (1 + LEAST_OF_THE_WAY * (classes - 1)) / classes)
    least = min([usual, *(figure["accuracy"] - STATED_DROP for figure in trained.accuracy)])
    return least, f"where a trained model reads more than {least:.0%}"


# --- a form that fits better --------------------------------------------------------------------------------------


def _better(trained: TrainedModel, split: Split, told: Told) -> Finding | None:
    """The normalisation that fits clearly better than none; None where nobody needs to be asked."""
    adapter = trained.module
    if not isinstance(adapter, Adapter) or told.normalise is not None:
        return None
    some = _some(split, COMPARED)
    begun = _entropies(adapter, some)
    found = []
    for name in normalisations(split, adapter.preparation):
        try:
            with as_if(adapter, with_normalisation(adapter.preparation, name)):
                other = _entropies(adapter, some)
        except Exception:  # noqa: BLE001, S112 - likewise
            continue
        if saved := _saved(begun, other):
            found.append((saved, name, other))
    sharp, gained = _two_toned(adapter, some, begun)
    if sharp is not None and gained > max([0.0, *(one[0] for one in found)]) / NEARLY:
        return sharp
    if not found:
        return None
    # Of those that fit nearly alike, the one that more models were trained with.
    _, name, other = next(one for one in found if one[0] >= NEARLY * max(found)[0])
    option = f"--normalise {numbers(name)}"
    return Finding(
        f"and answers more surely when they are normalised: with {option} it reads {other[1]:.1%} of {len(some):,} of "
        f"them ({begun[1]:.1%} without), at a cross entropy of {other[0].mean():.3f} ({begun[0].mean():.3f} without); "
        "say what it was trained on, --normalise none if that was pixels in [0, 1]",
        {"--normalise": numbers(name)},
    )


def _two_toned(adapter: Adapter, some: Split, begun: Entropies) -> tuple[Finding | None, float]:
    """That a network answers clearly better on pixels of 0 and 1, which a loader made so, and what that saves."""
    sharp = Split(some.name, (some.images >= HALF_A_BYTE).astype(np.uint8) * 255, some.labels)
    other = _entropies(adapter, sharp)
    saved = _saved(begun, other)
    if not saved:
        return None, 0.0
    finding = Finding(
        f"and answers more surely where every pixel is 0 or 1: {other[1]:.1%} of {len(some):,} of them ({begun[1]:.1%} "
        f"as they are), at a cross entropy of {other[0].mean():.3f} ({begun[0].mean():.3f}); if a loader made them so, "
        f"say --normalise {COARSE}; otherwise say --normalise none",
        {"--normalise": COARSE},
    )
    return finding, saved


def _saved(begun: Entropies, other: Entropies) -> float:
    """What another form saves of the cross entropy; 0 where that is not clear, or costs accuracy."""
    saved = begun[0] - other[0]
    mean, error = float(saved.mean()), float(saved.std()) / len(saved) ** 0.5
    is_clear = mean > max(CLEAR * error, WORTH * float(begun[0].mean())) and other[1] > begun[1] - WORTH * RAISED
    return mean if is_clear else 0.0


def _better_steps(trained: TrainedModel, split: Split, told: Told) -> Finding | None:
    """That the mean of a network's steps is clearly more often right than its last one; None where it is not."""
    adapter = trained.module
    if not isinstance(adapter, Adapter) or told.output is not None or adapter.answer.time is None:
        return None
    some = _some(split, COMPARED)
    last = logits_of(adapter, some.images).argmax(1) == some.labels
    answer = replace(adapter.answer, steps="mean")
    with answering(adapter, answer):
        mean = logits_of(adapter, some.images).argmax(1) == some.labels
    gained = mean.astype(np.float64) - last
    if gained.mean() <= CLEAR * float(gained.std()) / len(gained) ** 0.5:
        return None
    plain = replace(answer, steps="last")
    return Finding(
        f"and more by the mean of its steps: with --output {answer.option} it reads {mean.mean():.1%} of {len(some):,} "
        f"of them ({last.mean():.1%} by the last step); say which is its answer, --output {plain.option} if it is that",
        {"--output": shlex.quote(answer.option)},
    )


def _several(trained: TrainedModel, split: Split, least: float, told: Told) -> Finding | None:
    """That several outputs read the data and differ, as those of early exits; None where one alone can be meant."""
    adapter = trained.module
    if not isinstance(adapter, Adapter) or told.output is not None or adapter.answer.alone or not adapter.answer.name:
        return None
    some = _some(split, COMPARED)
    images = torch.from_numpy(some.images[:3].astype(np.float32) / 255)
    with torch.no_grad():
        given = {count: adapter.returned(images[:count]) for count in (2, 3)}
    read = {adapter.answer.option: logits_of(adapter, some.images).argmax(1)}
    for other in answers.others(given, adapter.answer):
        if other.name != adapter.answer.name and not other.smallest and other.steps == answers.STEPS[0]:
            with answering(adapter, other):
                read[other.option] = logits_of(adapter, some.images).argmax(1)
    right = {option: float((said == some.labels).mean()) for option, said in read.items()}
    enough = [option for option, share in right.items() if share >= least]  # of some images it may be none
    if all(np.array_equal(read[enough[0]], read[other]) for other in enough[1:]):
        return None
    shares = ", ".join(f"--output {option} {right[option]:.1%}" for option in enough)
    best = max(enough, key=lambda option: right[option])
    return Finding(
        f"and several of its outputs do, and differ: of {len(some):,} of them {shares}; say which is its answer",
        {"--output": shlex.quote(best)},
    )


def _entropies(adapter: Adapter, split: Split) -> Entropies:
    """The cross entropy of the right answer to each image, and the accuracy.

    One more image is taken to be misread, for the second best label: where every answer is right, any form that makes
    the logits larger would have the lower entropy, as if it never erred.
    """
    logits = logits_of(adapter, split.images).astype(np.float64)
    ordered = np.sort(logits - logits.max(1, keepdims=True), axis=1)
    right = (logits - logits.max(1, keepdims=True))[np.arange(len(logits)), split.labels]
    misread = float(-np.median(ordered[:, -2]))
    entropies = np.append(np.log(np.exp(ordered).sum(1)) - right, misread)
    return entropies, float((logits.argmax(1) == split.labels).mean())


def _surest(adapter: Adapter, split: Split, tried: list[TriedForm]) -> TriedForm:
    """The form of the highest accuracy, or another normalisation that reads nearly as much, and fits better.

    Some hundred images tell a normalisation from others that are nearly the same by one or two labels. The cross
    entropy tells more, at the temperature that suits each: pixels of less contrast make a network less sure, which by
    itself lowers the entropy of one that is too sure. What few loaders do, to each picture by itself, has to fit
    clearly better than what most do.

    Args:
        adapter: the network.
        split: the judging data.
        tried: by falling accuracy.
    """
    best = tried[0]
    rest = {name: value for name, value in best.options.items() if name != "--normalise"}
    alike = [
        one
        for one in tried
        if one.accuracy >= best.accuracy - NEARLY_ALIKE
        and {name: value for name, value in one.options.items() if name != "--normalise"} == rest
        and "--normalise" in one.options
    ]
    if "--normalise" not in best.options or len(alike) == 1 or set(rest) - {"--invert", "--transpose"}:
        return best
    some = _some(split, COMPARED)
    flags = {name: name in rest for name in ("--invert", "--transpose")}
    entropies = {}
    for one in alike:
        own = adapter.preparation
        other = replace(
            with_normalisation(own, str(one.options["--normalise"])),
            inverted=own.inverted != flags["--invert"],
            transposed=own.transposed != flags["--transpose"],
        )
        with as_if(adapter, other):
            entropies[id(one)] = _at_its_temperature(logits_of(adapter, some.images), some.labels)
    by_fit = sorted(alike, key=lambda one: float(entropies[id(one)].mean()))
    usual = [one for one in by_fit if str(one.options["--normalise"]).partition(",")[0] not in OF_EACH]
    if not usual or by_fit[0] is usual[0]:
        return by_fit[0]
    saved = entropies[id(usual[0])] - entropies[id(by_fit[0])]
    clear = saved.mean() > max(CLEAR * saved.std() / len(saved) ** 0.5, WORTH * entropies[id(usual[0])].mean())
    return by_fit[0] if clear else usual[0]


def _nearly_as_well(best: TriedForm, tried: list[TriedForm]) -> str:
    """What else may be meant, in words; empty where nothing comes near."""
    near = [one for one in tried if one is not best and one.accuracy >= best.accuracy - NEARLY_ALIKE][:MOST_NAMED]
    named = [
        f"{one.accuracy:.1%} with {' '.join(name if value is True else f'{name} {value}' for name, value in told)}"
        for one in near
        if (told := [(name, value) for name, value in one.options.items() if value is not None])
    ]
    return f" (nearly as well: {', '.join(named)})" if named else ""


def _at_its_temperature(logits: NDArray[np.float32], labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """The cross entropy of each answer, of logits divided by the number that makes its mean the lowest."""
    scores = torch.from_numpy(logits).double() / temperature_of(logits, labels)
    return np.asarray(F.cross_entropy(scores, torch.from_numpy(labels.copy()), reduction="none").numpy())


def _is_as_drawn(trained: TrainedModel) -> bool:
    """Whether the weights are as a new model draws them: never trained, or never loaded.

    Two samples of one distribution differ by chance only, and training leaves no layer as it was; the two-sample test
    of Kolmogorov and Smirnov tells, tensor by tensor. Constants, such as biases of zeros, must be the same.
    """
    if trained.fresh is None or not isinstance(trained.module, Adapter):
        return False
    fresh = trained.fresh()
    if any(map(is_lazy, fresh.parameters())):
        return False  # a lazy layer draws its weights when it sees its first pictures
    own, new = trained.module.model.state_dict(), fresh.float().state_dict()
    compared = [(own[name], new[name]) for name in own if own[name].is_floating_point() and name in new]
    return bool(compared) and all(_alike(one.flatten().double(), other.flatten().double()) for one, other in compared)


def _alike(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors of one size may be drawn from the same distribution, at a level of 1 in 10 000."""
    count = len(one)
    if bool((other == other[0]).all()):
        return bool((one == other[0]).all())
    merged = torch.cat([one, other]).sort().values
    ranks = [torch.searchsorted(part.sort().values, merged, right=True) / count for part in (one, other)]
    distance = float((ranks[0] - ranks[1]).abs().max())
    return distance <= 2.225 * math.sqrt(2 / count)


def _some(split: Split, count: int) -> Split:
    """Some of the images, evenly spaced."""
    chosen = np.linspace(0, len(split) - 1, min(count, len(split))).astype(np.int64)
    return Split(split.name, split.images[chosen], split.labels[chosen])


def _table(tried: list[TriedForm], begun: float) -> list[str]:
    rows = [("as it was told", begun), *((trial.words.rstrip(","), trial.accuracy) for trial in tried)]
    return [f"  {accuracy:>6.1%}  {words}" for words, accuracy in rows]
