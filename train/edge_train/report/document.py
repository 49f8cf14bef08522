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
    validation    see `judgement.overview`
    test          see `judgement.details`
    environment   see `environment.here`
"""

import json
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from edge.errors import EdgeError
from edge_train.models import layers
from edge_train.report import judgement
from edge_train.report.run import Run
from edge_train.training import recipes, run_folder
from edge_train.training.loop import Epoch
from edge_train.training.recipes import Recipe

SCHEMA = "edge.metrics/1"
POINTS = 240  # of the learning rate: more than a picture has room for


class ReportError(EdgeError, ValueError):
    """A run has no metrics that this version can read, or what its report needs is gone."""


def of(run: Run) -> dict[str, Any]:
    """The document of a run, as plain values."""
    stored, course = run.checkpoint, run.course
    table = layers.of(stored.specification)
    return {
        "schema": SCHEMA,
        "settings": run_folder.settings_of(stored.name, stored.specification, course.recipe, course.data),
        "epochs": [asdict(epoch) for epoch in course.epochs],
        "best_epoch": stored.training["best_epoch"],
        "complete": run.test is not None,
        # Sorted as in the checkpoint, so that a report that is made again is the same file.
        "accuracy": [dict(sorted(record.items())) for record in stored.accuracy],
        "temperature": stored.temperature,
        "labels": list(stored.labels),
        "images": course.training_images,
        "learning_rate": _learning_rate(course.recipe, course.training_images),
        "layers": [{**asdict(layer), "output": list(layer.output[1:])} for layer in table],
        "parameters": sum(layer.parameters for layer in table),
        "macs": sum(layer.macs for layer in table),
        "validation": judgement.overview(run.validation, stored.temperature),
        "test": None if run.test is None else judgement.details(run.test, stored.labels, stored.temperature),
        "environment": run.environment,
    }


def to_bytes(document: dict[str, Any]) -> bytes:
    """The document as the bytes of its file."""
    return (json.dumps(document, indent=2) + "\n").encode()


def read(path: Path) -> dict[str, Any]:
    """The document of a run that has a report.

    Args:
        path: the folder of the run, or its `metrics.json`.

    Raises:
        ReportError: there is none, it is damaged, or of another schema.
    """
    path = path / run_folder.METRICS_FILE if path.is_dir() else path
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ReportError(
            f"cannot read {path}: {error.strerror}; name the folder of a run, such as runs/lstm"
        ) from error
    except ValueError as error:
        raise ReportError(f"{path} is damaged ({error}); train the model again") from error
    if not isinstance(document, dict) or "epochs" not in document:
        raise ReportError(f"{path} is not the course of a run; name the folder of a run, such as runs/lstm")
    if (schema := document.get("schema", SCHEMA)) != SCHEMA:
        raise ReportError(
            f"{path} has the schema {schema!r}, and this version reads {SCHEMA}; use the version it is of"
        )
    if problem := _missing(document):
        raise ReportError(f"{path} is damaged ({problem}); train the model again")
    return document


def _missing(document: dict[str, Any]) -> str:
    """What is not there of that which every run has from its first epoch on; empty where all of it is."""
    settings, epochs = document.get("settings"), document["epochs"]
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
