"""The training loop: epochs over a training split, the best epoch chosen by the validation split."""

import copy
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as F
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
        steps: of the optimiser, so far.
        epochs: those that are complete.
        best: weights of the best of them.
    """

    model: nn.Module
    optimiser: torch.optim.Optimizer
    averaged: nn.Module | None = None
    steps: int = 0
    epochs: list[Epoch] = field(default_factory=list)
    best: dict[str, Tensor] = field(default_factory=dict)

    @property
    def judged(self) -> nn.Module:
        """The network that validation looks at and that is kept: the averaged one where there is one."""
        return self.model if self.averaged is None else self.averaged

    @property
    def best_epoch(self) -> Epoch | None:
        """The epoch with the highest validation accuracy; of equals the one with the lower validation loss."""
        if not self.epochs:
            return None
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
    """

    training: Split
    validation: Split
    drawn: Split | None = None
    teacher: nn.Module | None = None

    def drawn_per_epoch(self, recipe: Recipe) -> int:
        """How many of the pool an epoch mixes in."""
        return 0 if self.drawn is None else min(round(recipe.strokes * len(self.training)), len(self.drawn))

    def batches(self, recipe: Recipe) -> int:
        """Steps of one epoch."""
        return -(-(len(self.training) + self.drawn_per_epoch(recipe)) // recipe.batch_size)


def begin(model: nn.Module, recipe: Recipe, device: torch.device) -> State:
    """A run before its first epoch."""
    # Convolutions over many channels are up to twice as fast on a CPU with the channels last in memory.
    model = model.to(device).to(memory_format=torch.channels_last)
    averaged = copy.deepcopy(model) if recipe.averaging else None
    return State(model, _optimiser(model, recipe), averaged)


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
    pixels, targets = evaluation.as_tensor(images, device), torch.from_numpy(labels.copy()).to(device)
    count = len(data.training)
    drawn, batches = data.drawn_per_epoch(recipe), data.batches(recipe)
    for number in range(len(state.epochs) + 1, recipe.epochs + 1):
        started = time.perf_counter()
        state.model.train()
        order = _order(count, len(targets) - count, drawn, seed=_epoch_seed(recipe, number)).to(device)
        loss_sum = correct = seen = 0.0
        steps = _steps(state, recipe, pixels, targets, order, epoch=number, teacher=data.teacher)
        for batch, (loss, hits, size) in enumerate(steps, start=1):
            if not math.isfinite(loss):
                raise DivergedError(
                    f"the loss is {loss} in batch {batch} of epoch {number}, the run has diverged; "
                    "use a lower --learning-rate, or clip with --gradient-norm 1"
                )
            loss_sum, correct, seen = loss_sum + loss * size, correct + hits, seen + size
            rate = seen / (time.perf_counter() - started)
            on_step(TrainingStep(number, batch, batches, loss_sum / seen, correct / seen, rate))
        validation_loss, validation_accuracy = evaluation.score(state.judged, data.validation, device=device)
        epoch = Epoch(
            number, loss_sum / seen, correct / seen, validation_loss, validation_accuracy, time.perf_counter() - started
        )
        state.epochs.append(epoch)
        if state.best_epoch is epoch:
            state.best = {name: tensor.detach().clone() for name, tensor in state.judged.state_dict().items()}
        on_epoch(epoch)


def _epoch_seed(recipe: Recipe, epoch: int) -> int:
    return recipe.seed * 100_003 + epoch


def _order(count: int, pool: int, drawn: int, *, seed: int) -> Tensor:
    """The pictures of an epoch, int64: all of the first `count`, and `drawn` of the `pool` after them, shuffled."""
    generator = Generator().manual_seed(seed)
    if not drawn:
        return torch.randperm(count, generator=generator)
    chosen = torch.cat([torch.arange(count), count + torch.randperm(pool, generator=generator)[:drawn]])
    return chosen[torch.randperm(len(chosen), generator=generator)]


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
            yield loss.item(), (logits.argmax(1) == labels[chosen]).sum().item(), len(chosen)


@torch.no_grad()
def _varied(pixels: Tensor, recipe: Recipe, generator: Generator) -> Tensor:
    if recipe.augmentation == "none":
        return pixels
    varied = vary(pixels, generator)
    return corrupt(varied, generator) if recipe.augmentation == "pictures" else varied


def _loss(logits: Tensor, labels: Tensor, pixels: Tensor, recipe: Recipe, teacher: nn.Module | None) -> Tensor:
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
