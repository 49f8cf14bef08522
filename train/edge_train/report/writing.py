"""The files of a report: `report.html`, `metrics.json` and `pictures/` in the folder of a run, and a comparison's page.

Everything is computed once, into the metrics; pictures and page are drawn from them, so that no two of them can
disagree. matplotlib is slow to import: it comes when something is drawn.
"""

import shlex
import traceback
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.errors import EdgeError
from edge.text import files
from edge.text.terminal import to_stderr
from edge_train.data import datasets
from edge_train.data.splits import Split
from edge_train.report import metrics
from edge_train.report.metrics import ReportError
from edge_train.training import checkpoint, evaluation, recipes, run_folder
from edge_train.training.checkpoint import Checkpoint
from edge_train.training.evaluation import Answers
from edge_train.training.loop import Epoch
from edge_train.training.trainer import TrainingResult

PAGE_FILE = "report.html"
PICTURES_FOLDER = "pictures"


def attempt(result: TrainingResult) -> Path | None:
    """Writes the report of a run beside its checkpoint; a trained model is never lost to its report.

    Returns:
        The path of the page; None where it cannot be made, which is told on stderr.
    """
    folder = result.path.parent
    try:
        return write(folder, result)
    except Exception as error:  # noqa: BLE001 - whatever it is, the run is complete and its checkpoint is on disk
        if not isinstance(error, EdgeError | ImportError):
            traceback.print_exc()  # a bug keeps its traceback
        again = f"edge report {shlex.quote(str(folder))}"
        to_stderr(f"edge: the report failed ({error}); the checkpoint is complete, and `{again}` tries again")
        return None


def write(folder: Path, result: TrainingResult) -> Path:
    """Writes the report and returns the path of its page.

    Args:
        folder: of the run; an earlier report in it is replaced.
        result: what there is to tell.

    Raises:
        WriteError: a file cannot be written.
    """
    return write_metrics(folder, metrics.of(result), None if result.test is None else result.test.split.images)


def write_metrics(folder: Path, found: dict[str, Any], images: NDArray[np.uint8] | None) -> Path:
    """The same from metrics that are there already; see `write`.

    Args:
        folder: of the run; pictures of an earlier report that this one does not have are removed.
        found: see `metrics`.
        images: uint8 (N, rows, columns), the test split; None without test figures.
    """
    # First: it holds every figure, so that a page that cannot be drawn can be made again.
    files.write_atomically(folder / run_folder.METRICS_FILE, metrics.to_bytes(found), "the metrics")
    to_stderr("drawing the report")
    from edge_train.report import figures, page

    drawn = figures.draw(found, images)
    files.make_folder(folder / PICTURES_FOLDER)
    for name in figures.NAMES:
        figure = drawn.get(name)
        for suffix, content in ((".svg", figure and figure.svg.encode()), (".png", figure and figure.png)):
            path = folder / PICTURES_FOLDER / f"{name}{suffix}"
            if content:
                files.write_atomically(path, content, "the picture")
            else:
                with suppress(OSError):
                    path.unlink()
    path = folder / PAGE_FILE
    files.write_atomically(path, page.of(found, drawn).encode(), "the report")
    return path


def remake(folder: Path, data_dir: Path | None = None) -> Path:
    """Writes the report again and returns the path of the page; the test split is opened only for a complete run.

    Args:
        folder: of the run.
        data_dir: where its data is; None is the usual place.

    Raises:
        ReportError: no run in the folder, or it is not complete and no longer what its metrics say.
        RecipeError: its hyperparameters are of another version.
        CheckpointError: its checkpoint is missing or damaged.
        DataError: its data is not here.
        WriteError: a file cannot be written.
    """
    found = metrics.read(folder)
    settings = found["settings"]
    path = folder / f"{settings['name']}.safetensors"
    stored = checkpoint.load(path)
    epochs = tuple(Epoch(**epoch) for epoch in found["epochs"])
    if not any(epoch.number == stored.training.get("best_epoch") for epoch in epochs):
        raise ReportError(f"{path} and {folder / 'metrics.json'} are of different runs; train the model again")
    source = datasets.find(settings["data"], data_dir)
    training, validation = source.splits()
    # The records of a complete run name the test split; those of an interrupted one must not learn of it now.
    complete = any(record["split"] == "test" for record in stored.accuracy)
    result = TrainingResult(
        path=path,
        checkpoint=stored,
        recipe=recipes.from_json(settings["recipe"]),
        data=settings["data"],
        training_images=found.get("images", len(training)),
        epochs=epochs,
        validation=_answers(stored, validation),
        test=_answers(stored, source.test()) if complete else None,
        environment=found.get("environment", {}),  # of the training, not of this machine
        interrupted=not complete,
    )
    return write(folder, result)


def compare(runs: Sequence[Path], out: Path) -> list[str]:
    """Writes a page that shows runs side by side.

    Args:
        runs: folders of runs, at least two.
        out: the page.

    Returns:
        The table of the runs, as lines for a terminal.

    Raises:
        ReportError: one of them has no metrics that can be read.
        WriteError: the page cannot be written.
    """
    from edge_train.report import comparison

    found = [metrics.read(run) for run in runs]
    table = comparison.of(found, comparison.names_of(found, runs))
    files.make_folder(out.parent)
    files.write_atomically(out, comparison.page(table, found).encode(), "the page")
    return comparison.lines(table)


def _answers(stored: Checkpoint, split: Split) -> Answers:
    return Answers(split, evaluation.logits_of(stored.model(), split.images))
