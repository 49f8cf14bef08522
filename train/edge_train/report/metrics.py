"""`metrics.json`: everything that is known of a run, and what its pictures and its page are drawn from.

Schema `edge.metrics/1`; the number changes when a reader of the old one would misread the new one. While a run is
going on, and after an interruption, the file has `settings` and `epochs`; the report adds the rest.

    settings      name, specification, recipe, data
    epochs        loss (nats per image) and accuracy of training and validation, seconds
    best_epoch    chosen by the validation split
    complete      false for an interrupted run, whose `test` is null
    accuracy      records with the data they were measured on, as in the checkpoint
    temperature   fitted on the validation split
    labels        of the classes, in the order of all lists
    images        of the training split
    learning_rate `steps` of the whole recipe, and points (step, rate) of the schedule
    layers        path, kind, output shape, parameters, macs; and the sums `parameters` and `macs`
    validation    accuracy, loss and calibration of the split
    test          the same, and classes, averages, confusion, mistakes and samples
    environment   see `run_folder.environment`
"""

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.classifier.prediction import softmax
from edge.errors import EdgeError
from edge_train.models import summary
from edge_train.models.specification import Specification
from edge_train.training import recipes, run_folder
from edge_train.training.evaluation import Answers
from edge_train.training.loop import Epoch
from edge_train.training.recipes import Recipe
from edge_train.training.trainer import TrainingResult

SCHEMA = "edge.metrics/1"
POINTS = 240  # of the learning rate: more than a picture has room for

# Bins of confidence. As in Guo et al., 2017; other numbers of bins give other errors, so it is no setting.
BINS = 15

MISTAKES = 25  # a square of pictures that can still be looked at one by one
SAMPLES = 60
SAMPLE_SEED = 28  # the same pictures in every report of the same split, so that two reports can be compared


class ReportError(EdgeError, ValueError):
    """A run has no metrics that this version can read, or what its report needs is gone."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """Answers sorted into bins of equal width by their confidence.

    Attributes:
        temperature: that divided the logits.
        expected_error: mean distance of confidence and accuracy over the bins, weighted by their images: ECE.
        images: of each bin.
        confidence: mean of each bin, in [0, 1]; None for an empty one.
        accuracy: share of right answers in each bin, in [0, 1]; None for an empty one.
    """

    temperature: float
    expected_error: float
    images: tuple[int, ...]
    confidence: tuple[float | None, ...]
    accuracy: tuple[float | None, ...]


def of(result: TrainingResult) -> dict[str, Any]:
    """The metrics of a run, as plain values."""
    stored = result.checkpoint
    layers = layers_of(stored.specification)
    return {
        "schema": SCHEMA,
        "settings": run_folder.settings_of(stored.name, stored.specification, result.recipe, result.data),
        "epochs": [asdict(epoch) for epoch in result.epochs],
        "best_epoch": stored.training["best_epoch"],
        "complete": result.test is not None,
        # Sorted as in the checkpoint, so that a report that is made again is the same file.
        "accuracy": [dict(sorted(record.items())) for record in stored.accuracy],
        "temperature": stored.temperature,
        "labels": list(stored.labels),
        "images": result.training_images,
        "learning_rate": _learning_rate(result.recipe, result.training_images),
        "layers": layers,
        "parameters": sum(layer["parameters"] for layer in layers),
        "macs": sum(layer["macs"] for layer in layers),
        "validation": overview(result.validation, stored.temperature),
        "test": None if result.test is None else details(result.test, stored.labels, stored.temperature),
        "environment": result.environment,
    }


def layers_of(sizes: Specification) -> list[dict[str, Any]]:
    """The layers of a model as plain values, their output without the axis of the batch."""
    return [{**asdict(layer), "output": list(layer.output[1:])} for layer in summary.layers(sizes)]


def to_bytes(metrics: dict[str, Any]) -> bytes:
    """The metrics as the bytes of their file."""
    return (json.dumps(metrics, indent=2) + "\n").encode()


def read(path: Path) -> dict[str, Any]:
    """The metrics of a run that has a report.

    Args:
        path: the folder of the run, or its `metrics.json`.

    Raises:
        ReportError: there is none, it is damaged, or of another schema.
    """
    path = path / run_folder.METRICS_FILE if path.is_dir() else path
    try:
        metrics = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ReportError(
            f"cannot read {path}: {error.strerror}; name the folder of a run, such as runs/lstm"
        ) from error
    except ValueError as error:
        raise ReportError(f"{path} is damaged ({error}); train the model again") from error
    if not isinstance(metrics, dict) or "epochs" not in metrics:
        raise ReportError(f"{path} is not the course of a run; name the folder of a run, such as runs/lstm")
    if (schema := metrics.get("schema", SCHEMA)) != SCHEMA:
        raise ReportError(
            f"{path} has the schema {schema!r}, and this version reads {SCHEMA}; use the version it is of"
        )
    if problem := _missing(metrics):
        raise ReportError(f"{path} is damaged ({problem}); train the model again")
    return metrics


def hyperparameters(metrics: dict[str, Any]) -> dict[str, Any]:
    """Everything that a run was started with: data, sizes and recipe."""
    settings = metrics["settings"]
    return {"data": settings["data"], **settings["specification"], **settings["recipe"]}


def validation_accuracy(metrics: dict[str, Any]) -> float:
    """Of the best epoch, in [0, 1]."""
    return max(float(epoch["validation_accuracy"]) for epoch in metrics["epochs"])


def overview(answers: Answers, temperature: float) -> dict[str, Any]:
    """Accuracy, loss and calibration of a split.

    Args:
        answers: at least one.
        temperature: fitted on validation data.

    Returns:
        `loss` is the cross entropy in nats per image; `before` and `after` are the calibration without and with the
        temperature.
    """
    logits, labels = answers.logits, answers.split.labels
    own = _probabilities(logits)[np.arange(len(labels)), labels]
    wrong = int((logits.argmax(1) != labels).sum())
    return {
        "split": answers.split.name,
        "images": len(labels),
        "wrong": wrong,
        "accuracy": round(1 - wrong / len(labels), 6),
        "loss": round(float(-np.log(np.maximum(own, np.finfo(np.float64).tiny)).mean()), 6),
        "calibration": {
            "bins": BINS,
            "before": asdict(calibration(logits, labels)),
            "after": asdict(calibration(logits, labels, temperature)),
        },
    }


def details(answers: Answers, labels: tuple[str, ...], temperature: float) -> dict[str, Any]:
    """Everything that a report tells of the test split: the overview, classes, confusion, mistakes, samples.

    Args:
        answers: at least one.
        labels: of the classes.
        temperature: fitted on validation data.

    Returns:
        `confusion[i][j]` counts the pictures of class i that were answered j. `mistakes` and `samples` name pictures
        by their place in the split; their confidence is that after the temperature.
    """
    truth, predicted = answers.split.labels, answers.logits.argmax(1)
    confidence = _probabilities(answers.logits, temperature).max(axis=1)
    count = len(labels)
    confusion = np.bincount(truth * count + predicted, minlength=count**2).reshape(count, count)
    wrong = np.flatnonzero(truth != predicted)
    worst = wrong[np.argsort(-confidence[wrong], kind="stable")][:MISTAKES]
    chosen = np.random.Generator(np.random.PCG64(SAMPLE_SEED)).permutation(len(truth))[:SAMPLES]

    def pictures(places: NDArray[np.int64]) -> list[dict[str, Any]]:
        return [
            {
                "image": int(place),
                "label": labels[truth[place]],
                "prediction": labels[predicted[place]],
                "confidence": round(float(confidence[place]), 6),
            }
            for place in places
        ]

    return {
        **overview(answers, temperature),
        **_by_class(confusion, labels),
        "confusion": confusion.tolist(),
        "mistakes": pictures(worst),
        "samples": pictures(np.sort(chosen)),
    }


def calibration(logits: NDArray[np.floating], labels: NDArray[np.int64], temperature: float = 1.0) -> Calibration:
    """The calibration of softmax(logits / temperature).

    Args:
        logits: (N, classes), N at least 1.
        labels: int64 (N,), columns of the logits.
        temperature: 1 is the network as it is.

    Source: Guo, Pleiss, Sun and Weinberger, 2017, On Calibration of Modern Neural Networks; bins (low, high].
    """
    probabilities = _probabilities(logits, temperature)
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    place = np.clip(np.ceil(confidence * BINS).astype(int) - 1, 0, BINS - 1)
    images = np.bincount(place, minlength=BINS)
    with np.errstate(invalid="ignore"):
        mean_confidence = np.bincount(place, confidence, BINS) / images
        accuracy = np.bincount(place, right, BINS) / images
    gaps = np.abs(mean_confidence - accuracy)[images > 0]
    return Calibration(
        temperature=temperature,
        expected_error=float((gaps * images[images > 0]).sum() / len(labels)),
        images=tuple(map(int, images)),
        confidence=_known(mean_confidence),
        accuracy=_known(accuracy),
    )


def _probabilities(logits: NDArray[np.floating], temperature: float = 1.0) -> NDArray[np.float64]:
    return softmax(np.asarray(logits, np.float64) / temperature)


def _by_class(confusion: NDArray[np.int64], labels: tuple[str, ...]) -> dict[str, Any]:
    """Precision, recall and F1 of each class, their plain mean, and their mean weighted by the images of the classes.

    What has no denominator is 0: the precision of a class that nothing is taken for, the recall of one without images.
    """
    right, answered, support = confusion.diagonal(), confusion.sum(0), confusion.sum(1)
    figures = np.stack(
        [
            right / np.maximum(answered, 1),
            right / np.maximum(support, 1),
            2 * right / np.maximum(answered + support, 1),
        ],
        axis=1,
    )

    def row(values: NDArray[np.float64], images: int) -> dict[str, float | int]:
        precision, recall, f1 = (round(float(value), 6) for value in values)
        return {"precision": precision, "recall": recall, "f1": f1, "support": images}

    total = int(support.sum())
    return {
        "classes": [
            {"label": label, **row(values, int(images))}
            for label, values, images in zip(labels, figures, support, strict=True)
        ],
        "averages": {
            "macro": row(figures.mean(0), total),
            "weighted": row(support @ figures / max(total, 1), total),
        },
    }


def _known(values: NDArray[np.float64]) -> tuple[float | None, ...]:
    return tuple(None if np.isnan(value) else round(float(value), 6) for value in values)


def _missing(metrics: dict[str, Any]) -> str:
    """What is not there of that which every run has from its first epoch on; empty where all of it is."""
    settings, epochs = metrics.get("settings"), metrics["epochs"]
    if (
        not isinstance(settings, dict)
        or not settings.keys() >= {"name", "specification", "recipe", "data"}
        or not all(isinstance(settings[part], dict) for part in ("specification", "recipe"))
    ):
        return "its settings are not complete"
    names = {field.name for field in fields(Epoch)}
    if not isinstance(epochs, list) or not epochs:
        return "it has no epochs"
    if not all(isinstance(epoch, dict) and epoch.keys() == names for epoch in epochs):
        return "its epochs are not complete"
    return ""


def _learning_rate(recipe: Recipe, images: int) -> dict[str, Any]:
    steps = recipe.epochs * -(-images // recipe.batch_size)
    count = min(POINTS, steps)
    chosen = sorted({round(index * (steps - 1) / max(1, count - 1)) for index in range(count)})
    return {"steps": steps, "points": [[step, recipes.learning_rate(recipe, step, steps)] for step in chosen]}
