"""What a network says of a split, and what that is worth: logits, loss and accuracy, and the fitted temperature."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from edge_train.data.splits import Split

EVALUATION_BATCH = 1000


@dataclass(frozen=True, slots=True)
class Answers:
    """A split and what a network says of it.

    Attributes:
        split: the pictures and their labels.
        logits: float32 (N, classes), in the order of the split.
    """

    split: Split
    logits: NDArray[np.float32]

    @property
    def accuracy(self) -> float:
        """Share of the right answers, in [0, 1]."""
        return float((self.logits.argmax(1) == self.split.labels).mean())


def accuracy_record(split: Split, accuracy: float) -> dict[str, Any]:
    """An accuracy figure with the data it was measured on, as checkpoints and bundles hold it."""
    data, part = split.name.rsplit("-", 1)
    return {"data": data, "split": part, "images": len(split), "accuracy": round(accuracy, 6)}


@torch.no_grad()
def logits_of(
    model: nn.Module,
    images: NDArray[np.uint8],
    *,
    device: torch.device | None = None,
    batch: int = EVALUATION_BATCH,
) -> NDArray[np.float32]:
    """PyTorch's logits of uint8 pictures.

    Args:
        model: float [batch, 28, 28] in [0, 1] to logits; left in evaluation mode.
        images: uint8 (N, 28, 28), ink 255 on background 0.
        device: where the model is; `None` is the CPU.
        batch: pictures at once.

    Returns:
        float32 (N, classes).
    """
    model.eval()
    pixels = as_tensor(images, device or torch.device("cpu"))
    parts = [model(part.float() / 255).float().cpu() for part in torch.split(pixels, batch)]
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


def as_tensor(images: NDArray[np.uint8], device: torch.device) -> Tensor:
    """A copy of the pictures, uint8 of the same shape, on a device."""
    return torch.from_numpy(np.array(images, np.uint8, copy=True)).to(device)
