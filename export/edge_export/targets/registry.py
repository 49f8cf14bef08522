"""The one table of targets: what a packed bundle can become, and the module that writes it.

A target is one file and one line of `TARGETS`. Its module has a function `write(source, out)` that takes a `Bundle` and
a folder, replays the evidence on what it made, writes it in one step and returns a `WrittenTarget`: docs/targets.md.
"""

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from edge.errors import EdgeError

if TYPE_CHECKING:  # the help of `edge export` reads the table, and needs none of them
    from edge.bundle.bundle import Bundle
    from edge.verification import Verification


@dataclass(frozen=True, slots=True)
class DeploymentTarget:
    """Another form of a packed bundle.

    Attributes:
        summary: what is written, in a few words.
        module: what writes it.
    """

    summary: str
    module: str


TARGETS: dict[str, DeploymentTarget] = {
    "cpp": DeploymentTarget("a C++ header over ONNX Runtime, with a program that replays", "edge_export.targets.cpp"),
    "html": DeploymentTarget("one HTML file that works offline, with a pad to draw on", "edge_export.targets.html"),
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


def write(name: str, source: "Bundle", out: Path) -> WrittenTarget:
    """Writes a bundle in another form, after its evidence holds there.

    Args:
        name: a key of `TARGETS`.
        source: the bundle.
        out: folder of what is written; it is made where there is none.

    Raises:
        DeploymentError: there is no such target, or the evidence does not hold.
        WriteError: the folder cannot be made or written.
    """
    if name not in TARGETS:
        raise DeploymentError(f"there is no target {name!r}; use one of {', '.join(TARGETS)}")
    written: WrittenTarget = import_module(TARGETS[name].module).write(source, out)
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
