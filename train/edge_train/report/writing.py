"""Writes the report of a run into its folder."""

from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_train.report import document, page
from edge_train.report.figures import gallery
from edge_train.report.run import Run
from edge_train.training import checkpoint, run_folder

PAGE_FILE = "report.html"
PICTURES_FOLDER = "pictures"


def write(folder: Path, run: Run) -> Path:
    """Writes `report.html`, `metrics.json` and `pictures/` and returns the path of the page.

    Args:
        folder: of the run; pictures of an earlier report that this one does not have are removed.
        run: what there is to tell.

    Raises:
        CheckpointError: a file cannot be written.
    """
    facts = document.of(run)
    return write_document(folder, facts, None if run.test is None else run.test.split.images)


def write_document(folder: Path, facts: dict[str, Any], images: NDArray[np.uint8] | None) -> Path:
    """The same from a document that is there already; see `write`.

    Args:
        folder: of the run.
        facts: see `document`.
        images: uint8 (N, rows, columns), the test split; None without test figures.
    """
    # First: it holds every figure, so that a page that cannot be drawn can be made again.
    checkpoint.write(folder / run_folder.METRICS_FILE, document.to_bytes(facts))
    pictures = gallery.draw(facts, images)
    for name in gallery.NAMES:
        drawn = pictures.get(name)
        for suffix, content in ((".svg", drawn and drawn.svg.encode()), (".png", drawn and drawn.png)):
            path = folder / PICTURES_FOLDER / f"{name}{suffix}"
            if content:
                checkpoint.write(path, content)
            else:
                with suppress(OSError):
                    path.unlink()
    path = folder / PAGE_FILE
    checkpoint.write(path, page.of(facts, pictures).encode())
    return path
