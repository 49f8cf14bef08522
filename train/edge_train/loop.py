"""The training loop: epochs over a training split, the best epoch chosen by the validation split."""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Generator, Tensor, nn

from edge_train import recipes
from edge_train.augmentation import augment
from edge_train.mnist import Split
from edge_train.recipes import Recipe

EVALUATION_BATCH = 1000


@dataclass(frozen=True, slots=True)
class Epoch:
    """What one epoch gave. Accuracies in [0, 1], losses in nats per image."""

    number: int  # from 1
    training_loss: float
    training_accuracy: float  # on the varied images, so usually below the validation accuracy
    validation_loss: float
    validation_accuracy: float
    seconds: float


@dataclass(slots=True)
class State:
    """A run as it stands: everything that a resumed run needs to go on as if it had not been interrupted."""

    model: nn.Module
    optimiser: torch.optim.Optimizer
    epochs: list[Epoch] = field(default_factory=list)
    best: dict[str, Tensor] = field(default_factory=dict)

    @property
    def best_epoch(self) -> Epoch | None:
        """The epoch with the highest validation accuracy; of equals the one with the lower validation loss."""
        if not self.epochs:
            return None
        return max(self.epochs, key=lambda epoch: (epoch.validation_accuracy, -epoch.validation_loss))


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the running epoch is."""

    epoch: int
    batch: int
    batches: int
    loss: float
    accuracy: float


def begin(model: nn.Module, recipe: Recipe, device: torch.device) -> State:
    """A run before its first epoch."""
    # Convolutions over many channels are up to twice as fast on a CPU with the channels last in memory.
    model = model.to(device).to(memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(model.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
    return State(model, optimiser)


def run(
    state: State,
    recipe: Recipe,
    training: Split,
    validation: Split,
    *,
    device: torch.device,
    on_progress: Callable[[Progress], None],
    on_epoch: Callable[[Epoch], None],
) -> None:
    """Trains until the recipe's last epoch; `state` holds the result, and after every epoch a consistent one.

    Each epoch draws its order and variation from (seed, epoch) alone: the same seed gives the same weights on the same
    machine, also across an interruption.
    """
    images = _as_tensor(training.images, device)
    labels = torch.from_numpy(training.labels.copy()).to(device)
    batches = -(-len(labels) // recipe.batch_size)
    for number in range(len(state.epochs) + 1, recipe.epochs + 1):
        started = time.perf_counter()
        state.model.train()
        loss_sum = correct = seen = 0.0
        for batch, (loss, hits, count) in enumerate(_steps(state, recipe, images, labels, number), start=1):
            loss_sum, correct, seen = loss_sum + loss * count, correct + hits, seen + count
            on_progress(Progress(number, batch, batches, loss_sum / seen, correct / seen))
        validation_loss, validation_accuracy = score(state.model, validation, device=device)
        epoch = Epoch(
            number, loss_sum / seen, correct / seen, validation_loss, validation_accuracy, time.perf_counter() - started
        )
        state.epochs.append(epoch)
        if state.best_epoch is epoch:
            state.best = {name: tensor.detach().clone() for name, tensor in state.model.state_dict().items()}
        on_epoch(epoch)


def _steps(
    state: State, recipe: Recipe, images: Tensor, labels: Tensor, epoch: int
) -> Iterator[tuple[float, float, int]]:
    device = images.device
    batches = -(-len(labels) // recipe.batch_size)
    torch.manual_seed(recipe.seed * 100_003 + epoch)  # dropout draws from the global generator
    generator = Generator(device=device).manual_seed(recipe.seed * 100_003 + epoch)
    order = torch.randperm(len(labels), generator=Generator().manual_seed(recipe.seed * 100_003 + epoch)).to(device)
    for batch, chosen in enumerate(torch.split(order, recipe.batch_size)):
        rate = recipes.learning_rate(recipe, (epoch - 1) * batches + batch, recipe.epochs * batches)
        for group in state.optimiser.param_groups:
            group["lr"] = rate
        pixels = images[chosen].float() / 255
        if recipe.augment:
            pixels = augment(pixels, generator)
        logits = state.model(pixels)
        loss = F.cross_entropy(logits, labels[chosen], label_smoothing=recipe.label_smoothing)
        state.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(state.model.parameters(), recipe.gradient_norm)
        state.optimiser.step()
        yield loss.item(), (logits.argmax(1) == labels[chosen]).sum().item(), len(chosen)


@torch.no_grad()
def logits_of(
    model: nn.Module, images: NDArray[np.uint8], *, device: torch.device | None = None
) -> NDArray[np.float32]:
    """PyTorch's logits of uint8 pictures.

    Args:
        model: float [batch, 28, 28] in [0, 1] to logits; left in evaluation mode.
        images: uint8 (N, 28, 28), ink 255 on background 0.
        device: where the model is; `None` is the CPU.

    Returns:
        float32 (N, classes).
    """
    model.eval()
    pixels = _as_tensor(images, device or torch.device("cpu"))
    parts = [model(part.float() / 255).float().cpu() for part in torch.split(pixels, EVALUATION_BATCH)]
    return np.asarray(torch.cat(parts).numpy(), np.float32)


def score(model: nn.Module, split: Split, *, device: torch.device | None = None) -> tuple[float, float]:
    """Mean cross entropy in nats and accuracy in [0, 1] of a model on a split."""
    logits = torch.from_numpy(logits_of(model, split.images, device=device))
    labels = torch.from_numpy(split.labels.copy())
    return F.cross_entropy(logits, labels).item(), (logits.argmax(1) == labels).float().mean().item()


def temperature_of(logits: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
    """The temperature T that minimises the cross entropy of softmax(logits / T), between 0.25 and 4.

    Args:
        logits: float32 (N, classes), of validation data.
        labels: int64 (N,).

    Source: Guo, Pleiss, Sun and Weinberger, 2017, On Calibration of Modern Neural Networks.
    """
    scores, targets = torch.from_numpy(logits).double(), torch.from_numpy(labels.copy())
    low, high = 0.25, 4.0
    golden = (5**0.5 - 1) / 2  # golden-section search: the loss has one minimum in 1 / T

    def loss(temperature: float) -> float:
        return F.cross_entropy(scores / temperature, targets).item()

    while high - low > 1e-4:
        left, right = high - golden * (high - low), low + golden * (high - low)
        low, high = (low, right) if loss(left) < loss(right) else (left, high)
    return round((low + high) / 2, 3)


def _as_tensor(images: NDArray[np.uint8], device: torch.device) -> Tensor:
    return torch.from_numpy(np.array(images, np.uint8, copy=True)).to(device)


def metrics_json(epochs: list[Epoch], **more: object) -> str:
    """The course of a run as a JSON document."""
    return json.dumps({**more, "epochs": [asdict(epoch) for epoch in epochs]}, indent=2, sort_keys=True) + "\n"


def write_metrics(path: Path, epochs: list[Epoch], **more: object) -> None:
    """Writes `metrics_json` to a file."""
    path.write_text(metrics_json(epochs, **more), encoding="utf-8")
