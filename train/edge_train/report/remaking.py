"""Makes the report of a run again, from its `metrics.json`, its checkpoint and the data."""

from pathlib import Path
from typing import Any

from edge_train.data import datasets
from edge_train.data.splits import Split
from edge_train.report import document, writing
from edge_train.report.document import ReportError
from edge_train.report.run import Answers, Course, Run
from edge_train.training import checkpoint, evaluation, recipes
from edge_train.training.checkpoint import Checkpoint
from edge_train.training.loop import Epoch


def remake(folder: Path, data_dir: Path | None = None) -> Path:
    """Writes the report again and returns the path of the page; the test split is opened only for a complete run.

    Args:
        folder: of the run.
        data_dir: where its data is; None is the usual place.

    Raises:
        ReportError: no run in the folder, or it is not complete and no longer what its metrics say.
        RecipeError: its dials are of another version.
        CheckpointError: its checkpoint is missing or damaged.
        DataError: its data is not here.
    """
    facts = document.read(folder)
    name, data = facts["settings"]["name"], facts["settings"]["data"]
    path = folder / f"{name}.safetensors"
    stored = checkpoint.load(path)
    epochs = tuple(Epoch(**epoch) for epoch in facts["epochs"])
    if not any(epoch.number == stored.training.get("best_epoch") for epoch in epochs):
        raise ReportError(f"{path} and {folder / 'metrics.json'} are of different runs; train the model again")
    source = datasets.find(data, data_dir)
    fitted, validation = source.splits()
    course = Course(recipes.from_json(facts["settings"]["recipe"]), data, facts.get("images", len(fitted)), epochs)
    # The records of a complete run name the test split; those of an interrupted one must not learn of it now.
    complete = any(record["split"] == "test" for record in stored.accuracy)
    test = _answers(stored, source.test()) if complete else None
    environment: dict[str, Any] = facts.get("environment", {})  # of the training, not of this machine
    return writing.write(folder, Run(stored, course, _answers(stored, validation), test, environment))


def _answers(stored: Checkpoint, split: Split) -> Answers:
    return Answers(split, evaluation.logits_of(stored.model(), split.images))
