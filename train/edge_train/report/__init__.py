"""The report of a training run: `report.html`, `metrics.json` and `pictures/` in the folder of the run.

Everything is computed once, into the document that becomes `metrics.json`; pictures and page are drawn from that
document, so that no two of them can disagree. matplotlib and scikit-learn are slow to import: they come with `write`.
"""

import shlex
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

from edge.errors import EdgeError

if TYPE_CHECKING:
    from edge_train.report.run import Run

__all__ = ["attempt", "write"]


def write(folder: Path, run: "Run") -> Path:
    """Writes the report and returns the path of `report.html`.

    Args:
        folder: of the run; an earlier report in it is replaced.
        run: what there is to tell.

    Raises:
        CheckpointError: a file cannot be written.
    """
    from edge_train.report import writing

    return writing.write(folder, run)


def attempt(folder: Path, run: "Run") -> Path | None:
    """Writes the report; where that fails, tells it and returns None: a trained model is never lost to its report."""
    try:
        return write(folder, run)
    except Exception as error:  # noqa: BLE001 - whatever it is, the run is complete and its checkpoint is on disk
        if not isinstance(error, EdgeError | ImportError):
            traceback.print_exc()  # a bug keeps its traceback
        again = f"edge report {shlex.quote(str(folder))}"
        text = f"the report failed ({error}); the checkpoint is complete, and `{again}` tries again"
        print(f"edge: {text}", file=sys.stderr, flush=True)  # noqa: T201
        return None
