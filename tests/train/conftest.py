"""Small runs on strokes: seconds of training would be minutes of a test suite."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from edge_train.data import datasets
from edge_train.training import trainer
from edge_train.training.trainer import TrainingRequest, TrainingResult

TINY_STROKES = {"training": 160, "validation": 80, "test": 40}


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Sums in another order are other sums: bytes are compared here."""
    torch.set_num_threads(1)


@pytest.fixture
def few_strokes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The stroke data, small enough to train on in a moment."""
    monkeypatch.setattr(datasets, "STROKE_IMAGES", TINY_STROKES)


@pytest.fixture
def tiny_run(few_strokes: None, tmp_path: Path) -> Callable[..., TrainingResult]:
    """Trains an LSTM of hidden size 8 for two epochs on a few strokes; other dials and fields as given, no report."""

    def run(**fields: object) -> TrainingResult:
        dials = {"epochs": 2, "batch_size": 32, **fields.pop("dials", {})}
        settings = {
            "model": "lstm",
            "sizes": {"hidden": 8},
            "data": "strokes",
            "out": tmp_path,
            "threads": 1,
            "report": False,
        }
        return trainer.train(TrainingRequest(**{**settings, "dials": dials, **fields}))

    return run
