"""The best run of a sweep, exported: the only one whose test accuracy is looked at."""

import dataclasses
import shlex
from dataclasses import dataclass
from typing import Any

from edge_export import pipeline
from edge_export.int8.selection import NotWorthwhileError
from edge_export.pack.outcome import Exported
from edge_export.parity.parity import ParityError
from edge_export.sweep import document
from edge_export.sweep.outcome import ranked
from edge_export.sweep.running import Sweep, Tell
from edge_train.training import training


@dataclass(frozen=True, slots=True)
class Best:
    """The export of the best run. `test`: its accuracy record of the test split, opened for it alone."""

    number: int
    exported: Exported
    test: dict[str, Any]


def export(sweep: Sweep, tell: Tell) -> Best:
    """Opens the test set for the best run and exports it into the sweep's folder: int8 where that pays, fp32 else.

    Raises:
        ParityError: a tolerance of fp32 is broken.
        EdgeError: the run or the data is gone.
    """
    request = sweep.request
    outcome, figures = ranked(sweep.outcomes)[0]
    path = request.out / figures.checkpoint
    # A finished run that is resumed only gets what its checkpoint lacks: the figure of the test set.
    result = training.train(
        training.Request(
            data_dir=request.data_dir,
            name=figures.name,
            out=path.parent.parent,
            resume=True,
            device=request.device,
            threads=request.threads,
            part_of=f"run {outcome.number}",
        )
    )
    assert result.test is not None
    asked = pipeline.Request(
        figures.name, path, precision="int8", data=request.data, data_dir=request.data_dir, out=request.out
    )
    exported = _exported(asked, tell)
    found = {"run": outcome.number, "bundle": exported.path.name, "size_bytes": exported.size_bytes}
    document.write(request.out, request.asked, sweep.outcomes, exported={**found, "test": result.test})
    return Best(outcome.number, exported, result.test)


def _exported(asked: pipeline.Request, tell: Tell) -> Exported:
    try:
        return pipeline.export(asked, tell)
    except (NotWorthwhileError, ParityError) as error:  # of fp32 itself, the latter is raised again below
        tell(f"{error}\nexporting fp32 instead")
        return pipeline.export(dataclasses.replace(asked, precision="fp32"), tell)


def summary(best: Best) -> str:
    """What was exported, and the figure of the test set."""
    test = best.test
    exported = best.exported
    return "\n".join(
        [
            f"run {best.number} on the {test['split']} set, opened for it alone: {test['accuracy']:.2%}",
            f"bundle: {exported.path}, {exported.size_bytes:,} bytes; {exported.manifest.precision}",
            f"next: edge verify {shlex.quote(str(exported.path))}",
        ]
    )
