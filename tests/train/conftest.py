"""Small runs on strokes: seconds of training would be minutes of a test suite."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
import torch

from edge_train import strokes
from edge_train.data import datasets
from edge_train.data.datasets import Dataset
from edge_train.data.splits import Split
from edge_train.training import trainer
from edge_train.training.trainer import TrainingRequest, TrainingResult

TINY_STROKES = {"training": 160, "validation": 80, "test": 40}


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Sums in another order are other sums: bytes are compared here."""
    torch.set_num_threads(1)


@cache
def tiny_split(part: str) -> Split:
    images, labels = strokes.sample(TINY_STROKES[part], seed=datasets.STROKE_SEEDS[part])
    return Split(f"strokes-{part}", images, labels)


@pytest.fixture(scope="session")
def tiny_strokes() -> Dataset:
    """The stroke data, small enough to train on in a moment."""
    return replace(
        datasets.find("strokes"),
        splits=lambda: (tiny_split("training"), tiny_split("validation")),
        test=lambda: tiny_split("test"),
    )


@pytest.fixture
def few_strokes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The stroke data, as small, for commands."""
    for part, count in TINY_STROKES.items():
        monkeypatch.setitem(datasets.STROKE_IMAGES, part, count)


@pytest.fixture
def tiny_run(tiny_strokes: Dataset, tmp_path: Path) -> Callable[..., TrainingResult]:
    """Trains an LSTM of hidden size 8 for two epochs on a few strokes, or as the fields say."""

    def run(
        *, source: Dataset | None = tiny_strokes, callbacks: tuple = (), hyperparameters: dict | None = None, **fields
    ) -> TrainingResult:
        settings = {"model": "lstm", "sizes": {"hidden": 8}, "data": "strokes", "out": tmp_path, "threads": 1, **fields}
        chosen = {"epochs": 2, "batch_size": 32, **(hyperparameters or {})}
        return trainer.train(TrainingRequest(**settings, hyperparameters=chosen), source=source, callbacks=callbacks)

    return run


class Pressed:
    """Ctrl-C, in that batch of that epoch."""

    def __init__(self, epoch: int, batch: int) -> None:
        self.place = (epoch, batch)

    def on_step(self, step):
        if (step.epoch, step.batch) == self.place:
            raise KeyboardInterrupt

    def on_epoch(self, epoch, *, best):
        pass


@pytest.fixture
def pressed() -> Callable[[int, int], tuple[Pressed]]:
    """Callbacks that press Ctrl-C in a batch of an epoch."""
    return lambda epoch, batch: (Pressed(epoch, batch),)
