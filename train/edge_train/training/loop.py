"""The training loop: epochs over a training split, the best epoch chosen by the validation split."""

import copy
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Generator, Tensor, nn

from edge.errors import EdgeError
from edge_train.augmentation.corruption import corrupt
from edge_train.augmentation.variation import vary
from edge_train.data.splits import Split
from edge_train.training import evaluation, recipes
from edge_train.training.recipes import Recipe

# Pictures are varied in blocks of about this many: each operation is then long enough to be worth its call.
VARIED_AT_ONCE = 1024

# Logits are divided by it before the teacher's and the pupil's probabilities are compared: the teacher's doubts count.
# Source: Hinton, Vinyals and Dean, 2015, Distilling the Knowledge in a Neural Network.
DISTILLATION_TEMPERATURE = 2.0

# The label of a picture that is none of the classes, for which all of them shall be equally unlikely, and its weight in
# the loss. Source: Hendrycks, Mazeika and Dietterich, 2019, Deep Anomaly Detection with Outlier Exposure.
NONE_OF_THEM = -1
OUTLIER_WEIGHT = 0.5


class DivergedError(EdgeError, ArithmeticError):
    """The loss is no longer a number: the weights are lost, and no later epoch brings them back."""


@dataclass(frozen=True, slots=True)
class Epoch:
    """What one epoch gave.

    Attributes:
        number: from 1.
        training_loss: in nats per image.
        training_accuracy: in [0, 1], on the varied images, so usually below the validation accuracy.
        validation_loss: in nats per image.
        validation_accuracy: in [0, 1].
        seconds: that it took.
    """

    number: int
    training_loss: float
    training_accuracy: float
    validation_loss: float
    validation_accuracy: float
    seconds: float


@dataclass(slots=True)
class State:
    """A run as it stands: everything that a resumed run needs to go on as if it had not been interrupted.

    Attributes:
        model: what is trained.
        optimiser: of its weights.
        averaged: the running mean of the weights, where the recipe asks for one.
        start: the weights that the run started from; empty where they were drawn.
        interpolation: what is judged and kept of a run with a start: 0 is the start, 1 the trained weights.
        steps: of the optimiser, so far.
        epochs: those that are complete.
        best: weights of the best of them.
    """

    model: nn.Module
    optimiser: torch.optim.Optimizer
    averaged: nn.Module | None = None
    start: dict[str, Tensor] = field(default_factory=dict)
    interpolation: float = 1.0
    steps: int = 0
    epochs: list[Epoch] = field(default_factory=list)
    best: dict[str, Tensor] = field(default_factory=dict)

    def judged(self) -> nn.Module:
        """The network that validation looks at and that is kept: averaged, and between start and end, where asked for.

        Source: Wortsman et al., 2022, Robust fine-tuning of zero-shot models, for the mean of start and end: it keeps
        what the start knew, and most of what was learned.
        """
        trained = self.model if self.averaged is None else self.averaged
        if not self.start:
            return trained
        between = copy.deepcopy(trained)
        for name, weight in between.state_dict().items():
            if weight.is_floating_point():
                weight.copy_(torch.lerp(self.start[name], weight, self.interpolation))
        return between

    @property
    def best_epoch(self) -> Epoch | None:
        """The epoch with the highest validation accuracy; of equals the one with the lower validation loss.

        Of a run with a start it is the last one: validation digits do not tell what was learned of everything else.
        """
        if not self.epochs:
            return None
        if self.start:
            return self.epochs[-1]
        return max(self.epochs, key=lambda epoch: (epoch.validation_accuracy, -epoch.validation_loss))


@dataclass(frozen=True, slots=True)
class TrainingStep:
    """A step of the optimiser, and how far the running epoch is with it.

    Attributes:
        epoch: from 1.
        batch: from 1.
        batches: of the epoch.
        loss: mean of the epoch so far, in nats per image.
        accuracy: share of the epoch's images so far that were answered rightly.
        images_per_second: mean of the epoch so far.
    """

    epoch: int
    batch: int
    batches: int
    loss: float
    accuracy: float
    images_per_second: float


@dataclass(frozen=True, slots=True)
class TrainingData:
    """What a run learns from and is judged by.

    Attributes:
        training: what it learns from.
        validation: what the best epoch is chosen by.
        drawn: a pool of drawn digits, of which each epoch mixes in a share.
        teacher: float [batch, 28, 28] to logits, in evaluation mode, on the device of the run.
        outliers: a pool of pictures of none of the classes, uint8 (N, 28, 28), of which each epoch mixes in a share.
    """

    training: Split
    validation: Split
    drawn: Split | None = None
    teacher: nn.Module | None = None
    outliers: NDArray[np.uint8] | None = None

    def drawn_per_epoch(self, recipe: Recipe) -> int:
        """How many of the pool an epoch mixes in."""
        return 0 if self.drawn is None else min(round(recipe.strokes * len(self.training)), len(self.drawn))

    def outliers_per_epoch(self, recipe: Recipe) -> int:
        """How many pictures of none of the classes an epoch mixes in."""
        return 0 if self.outliers is None else min(round(recipe.outliers * len(self.training)), len(self.outliers))

    def batches(self, recipe: Recipe) -> int:
        """Steps of one epoch."""
        shown = len(self.training) + self.drawn_per_epoch(recipe) + self.outliers_per_epoch(recipe)
        return -(-shown // recipe.batch_size)


def begin(model: nn.Module, recipe: Recipe, device: torch.device, *, trained: bool = False) -> State:
    """A run before its first epoch.

    Args:
        model: with its first weights.
        recipe: how it is trained.
        device: where.
        trained: whether the first weights are those of a trained model, which the run goes on from.
    """
    # Convolutions over many channels are up to twice as fast on a CPU with the channels last in memory.
    model = model.to(device).to(memory_format=torch.channels_last)
    averaged = copy.deepcopy(model) if recipe.averaging else None
    start = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()} if trained else {}
    return State(model, _optimiser(model, recipe), averaged, start, recipe.interpolation)


def _optimiser(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    weights, rate, decay = model.parameters(), recipe.learning_rate, recipe.weight_decay
    if recipe.optimiser == "adamw":
        return torch.optim.AdamW(weights, lr=rate, weight_decay=decay)
    if recipe.optimiser == "adam":
        return torch.optim.Adam(weights, lr=rate, weight_decay=decay)
    if recipe.optimiser == "rmsprop":
        return torch.optim.RMSprop(weights, lr=rate, weight_decay=decay, momentum=recipe.momentum)
    return torch.optim.SGD(weights, lr=rate, weight_decay=decay, momentum=recipe.momentum)


def run(
    state: State,
    recipe: Recipe,
    data: TrainingData,
    *,
    device: torch.device,
    on_step: Callable[[TrainingStep], None] = lambda _: None,
    on_epoch: Callable[[Epoch], None] = lambda _: None,
) -> None:
    """Trains until the recipe's last epoch; `state` holds the result, and after every epoch a consistent one.

    Each epoch draws its order and variation from (seed, epoch) alone: the same seed gives the same weights on the same
    machine, also across an interruption.

    Args:
        state: where the run stands.
        recipe: how it goes on.
        data: what it learns from and is judged by.
        device: of the model.
        on_step: is called after each step of the optimiser.
        on_epoch: is called after each epoch.

    Raises:
        DivergedError: the loss is infinite or no number; `state` holds the best epoch so far.
    """
    images, labels = data.training.images, data.training.labels
    if data.drawn is not None:
        images = np.concatenate([images, data.drawn.images])
        labels = np.concatenate([labels, data.drawn.labels])
    if data.outliers is not None:
        images = np.concatenate([images, data.outliers])
        labels = np.concatenate([labels, np.full(len(data.outliers), NONE_OF_THEM, labels.dtype)])
    pixels, targets = evaluation.as_tensor(images, device), torch.from_numpy(labels.copy()).to(device)
    pools = [
        (0 if data.drawn is None else len(data.drawn), data.drawn_per_epoch(recipe)),
        (0 if data.outliers is None else len(data.outliers), data.outliers_per_epoch(recipe)),
    ]
    batches = data.batches(recipe)
    for number in range(len(state.epochs) + 1, recipe.epochs + 1):
        started = time.perf_counter()
        state.model.train()
        order = _order(len(data.training), pools, seed=_epoch_seed(recipe, number)).to(device)
        loss_sum = correct = seen = 0.0
        steps = _steps(state, recipe, pixels, targets, order, epoch=number, teacher=data.teacher)
        for batch, (loss, hits, size) in enumerate(steps, start=1):
            if not math.isfinite(loss):
                raise DivergedError(
                    f"the loss is {loss} in batch {batch} of epoch {number}, the run has diverged; "
                    "use a lower --learning-rate, or clip with --gradient-norm 1"
                )
            loss_sum, correct, seen = loss_sum + loss * size, correct + hits, seen + size
            rate, so_far = seen / (time.perf_counter() - started), max(seen, 1)  # a batch may be of no class at all
            on_step(TrainingStep(number, batch, batches, loss_sum / so_far, correct / so_far, rate))
        judged = state.judged()
        validation_loss, validation_accuracy = evaluation.score(judged, data.validation, device=device)
        epoch = Epoch(
            number, loss_sum / seen, correct / seen, validation_loss, validation_accuracy, time.perf_counter() - started
        )
        state.epochs.append(epoch)
        if state.best_epoch is epoch:
            state.best = {name: tensor.detach().clone() for name, tensor in judged.state_dict().items()}
        on_epoch(epoch)


def _epoch_seed(recipe: Recipe, epoch: int) -> int:
    return recipe.seed * 100_003 + epoch


def _order(count: int, pools: Sequence[tuple[int, int]], *, seed: int) -> Tensor:
    """The pictures of an epoch, int64: all of the first `count`, and so many of each pool behind them, shuffled."""
    generator = Generator().manual_seed(seed)
    chosen, first = [torch.arange(count)], count
    for size, taken in pools:
        if taken:
            chosen.append(first + torch.randperm(size, generator=generator)[:taken])
        first += size
    every = torch.cat(chosen)
    return every[torch.randperm(len(every), generator=generator)]


def _steps(
    state: State,
    recipe: Recipe,
    images: Tensor,
    labels: Tensor,
    order: Tensor,
    *,
    epoch: int,
    teacher: nn.Module | None,
) -> Iterator[tuple[float, float, int]]:
    torch.manual_seed(_epoch_seed(recipe, epoch))  # dropout draws from the global generator
    generator = Generator(device=images.device).manual_seed(_epoch_seed(recipe, epoch))
    batches = -(-len(order) // recipe.batch_size)
    block_size = recipe.batch_size * max(1, VARIED_AT_ONCE // recipe.batch_size)
    for block in torch.split(order, block_size):
        varied = _varied(images[block].float() / 255, recipe, generator)
        for pixels, chosen in zip(
            torch.split(varied, recipe.batch_size), torch.split(block, recipe.batch_size), strict=True
        ):
            rate = recipes.learning_rate(recipe, state.steps, recipe.epochs * batches)
            for group in state.optimiser.param_groups:
                group["lr"] = rate
            logits = state.model(pixels)
            loss = _loss(logits, labels[chosen], pixels, recipe, teacher)
            state.optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            if recipe.gradient_norm:
                nn.utils.clip_grad_norm_(state.model.parameters(), recipe.gradient_norm)
            state.optimiser.step()
            state.steps += 1
            _average(state, recipe)
            known = labels[chosen] != NONE_OF_THEM
            hits = (logits.argmax(1) == labels[chosen]).sum().item()
            yield loss.item(), hits, int(known.sum().item())


@torch.no_grad()
def _varied(pixels: Tensor, recipe: Recipe, generator: Generator) -> Tensor:
    if recipe.augmentation == "none":
        return pixels
    varied = vary(pixels, generator)
    return corrupt(varied, generator) if recipe.augmentation == "pictures" else varied


def _loss(logits: Tensor, labels: Tensor, pixels: Tensor, recipe: Recipe, teacher: nn.Module | None) -> Tensor:
    """The mean loss of the pictures of a class, and the weighted mean of how far the others are from even odds."""
    known = labels != NONE_OF_THEM
    if known.all():
        return _loss_of_classes(logits, labels, pixels, recipe, teacher)
    even = -F.log_softmax(logits[~known], 1).mean() - math.log(logits.shape[1])
    if not known.any():
        return OUTLIER_WEIGHT * even
    return _loss_of_classes(logits[known], labels[known], pixels[known], recipe, teacher) + OUTLIER_WEIGHT * even


def _loss_of_classes(
    logits: Tensor, labels: Tensor, pixels: Tensor, recipe: Recipe, teacher: nn.Module | None
) -> Tensor:
    loss = F.cross_entropy(logits, labels, label_smoothing=recipe.label_smoothing)
    if teacher is None:
        return loss
    with torch.no_grad():
        taught = F.softmax(teacher(pixels) / DISTILLATION_TEMPERATURE, 1)
    soft = F.cross_entropy(logits / DISTILLATION_TEMPERATURE, taught) * DISTILLATION_TEMPERATURE**2
    return torch.lerp(loss, soft, recipe.distillation)


@torch.no_grad()
def _average(state: State, recipe: Recipe) -> None:
    """Moves the averaged weights towards the new ones; statistics of BatchNorm are averaged like weights."""
    if state.averaged is None:
        return
    kept = min(recipe.averaging, (1 + state.steps) / (10 + state.steps))  # the first weights are soon forgotten
    for old, new in zip(state.averaged.state_dict().values(), state.model.state_dict().values(), strict=True):
        if old.is_floating_point():
            old.lerp_(new, 1 - kept)
        else:
            old.copy_(new)
