"""The one table of targets: what a packed bundle can become, and the module that writes it.

A target is one file and one line of `TARGETS`. Its module has a function `write(source, out)` that takes a `Bundle` and
a folder, replays the evidence on what it made, writes it in one step and returns a `WrittenTarget`: docs/targets.md.
One that the engine "c" may compute makes its own arithmetic of the weights: it takes a `TargetRequest` too.
"""

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from edge.errors import EdgeError

if TYPE_CHECKING:  # the help of `edge export` reads the table, and needs none of them
    from onnx import ModelProto

    from edge.bundle.bundle import Bundle
    from edge.verification import Verification


@dataclass(frozen=True, slots=True)
class DeploymentTarget:
    """Another form of a packed bundle.

    Attributes:
        summary: what is written, in a few words.
        module: what writes it.
        engines: what may compute in it, the usual one first.
    """

    summary: str
    module: str
    engines: tuple[str, ...] = ("onnxruntime",)

    def engine(self, named: str | None) -> str:
        """What computes in it, where an engine is named for some of the targets."""
        return named if named in self.engines else self.engines[0]


@dataclass(frozen=True, slots=True)
class TargetRequest:
    """What a target that makes its own arithmetic is asked for, beside the bundle.

    Attributes:
        precision: what was named; `None` leaves it to the target.
        fp32: the graph of the weights, where the bundle holds rounded ones.
        data: what is judged on, as `edge_export.parity.evaluation_data.find` takes it.
        data_dir: where published sets are.
        max_drop: accuracy that int8 may lose, in percentage points.
        engine: what computes, for a target that leaves a choice; `None` leaves it to the target.
    """

    precision: str | None = None
    fp32: "ModelProto | None" = None
    data: str = "auto"
    data_dir: Path | None = None
    max_drop: float = 0.1
    engine: str | None = None


AS_IT_IS = TargetRequest()


TARGETS: dict[str, DeploymentTarget] = {
    "c": DeploymentTarget("C99 without a library, down to a microcontroller", "edge_export.targets.c", ("c",)),
    "cpp": DeploymentTarget("a C++ header over ONNX Runtime, with a program that replays", "edge_export.targets.cpp"),
    "html": DeploymentTarget(
        "one HTML file that works offline, with a pad to draw on", "edge_export.targets.html", ("onnxruntime", "c")
    ),
    "ort": DeploymentTarget("ORT format, for small builds of ONNX Runtime", "edge_export.targets.ort"),
    "triton": DeploymentTarget("a model repository of Triton Inference Server", "edge_export.targets.triton"),
}


@dataclass(frozen=True, slots=True)
class WrittenTarget:
    """What was written, and how it was checked.

    Attributes:
        paths: the files, the one to load first.
        replay: the evidence on the written form.
        notes: what a user should know or do next, a line each.
    """

    paths: tuple[Path, ...]
    replay: "Verification"
    notes: tuple[str, ...]


class DeploymentError(EdgeError):
    """A bundle cannot take that form, or does not answer in it as its evidence says; nothing was written."""


def write(name: str, source: "Bundle", out: Path, request: TargetRequest = AS_IT_IS) -> WrittenTarget:
    """Writes a bundle in another form, after its evidence holds there.

    Args:
        name: a key of `TARGETS`.
        source: the bundle.
        out: folder of what is written; it is made where there is none.
        request: for a target that makes its own arithmetic.

    Raises:
        DeploymentError: there is no such target, or the evidence does not hold.
        WriteError: the folder cannot be made or written.
    """
    if name not in TARGETS:
        raise DeploymentError(f"there is no target {name!r}; use one of {', '.join(TARGETS)}")
    more = (request,) if "c" in TARGETS[name].engines else ()
    written: WrittenTarget = import_module(TARGETS[name].module).write(source, out, *more)
    return written


def refuse_unless_verified(replay: "Verification", form: str) -> None:
    """Every target asks this of its replay before it writes.

    Args:
        replay: of the form that would be written.
        form: what it is called.

    Raises:
        DeploymentError: a step does not hold.
    """
    for step in replay.steps:
        if not step.passed:
            raise DeploymentError(
                f"the {form} fails at {step.name}: {step.detail}; nothing was written; deploy the bundle itself"
            )
