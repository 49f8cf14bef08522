"""How the runs of a sweep ended, how they compare, and `sweep.json`, which keeps them so that a sweep can go on."""

import dataclasses
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from edge.bench.results import describe_machine
from edge.text import files
from edge_export.sweep.grid import Setting, SweepError

SCHEMA = "edge.sweep/1"
FILE = "sweep.json"
_PACKAGES = ("torch", "onnx")

# Bundles of the same graph differ by the digits of the figures inside them: that is no difference in size.
SAME_SIZE = 0.002

# `failed` is the machine's doing, out of memory above all, and is tried again; the others would end the same way.
Status = Literal["done", "diverged", "impossible", "failed"]


@dataclass(frozen=True, slots=True)
class RunMetrics:
    """What was measured of a run that is done.

    Attributes:
        name: of the model, which its bundle will have.
        checkpoint: its file, relative to the sweep's folder.
        validation_accuracy: of the best epoch, in [0, 1].
        validation_loss: of the best epoch, in nats.
        best_epoch: its number, from 1.
        epochs: how many were trained.
        parameters: trainable numbers.
        size_bytes: of the fp32 bundle.
        seconds: of all epochs.
        latency_us: median of the fp32 graph on one thread for a single picture; `None` until all runs are done, when
            they are measured in turns.
        bulk_latency_us: the same for each picture of a batch.
    """

    name: str
    checkpoint: str
    validation_accuracy: float
    validation_loss: float
    best_epoch: int
    epochs: int
    parameters: int
    size_bytes: int
    seconds: float
    latency_us: float | None = None
    bulk_latency_us: float | None = None


@dataclass(frozen=True, slots=True)
class _Cost:
    """What is lower in a better run. `mistakes`: their share of the validation split."""

    mistakes: float
    size: float
    latency: float


@dataclass(frozen=True, slots=True)
class RunResult:
    """How a run ended.

    Attributes:
        number: of the run, from 1.
        settings: what it was trained with, by the names of `edge_export.sweep.grid.KINDS`.
        status: whether it is done, or why not.
        figures: what was measured; `None` where it is not done.
        reason: why it is not done, in a sentence.
    """

    number: int
    settings: dict[str, Setting]
    status: Status
    figures: RunMetrics | None = None
    reason: str = ""


def ranked(results: Sequence[RunResult]) -> list[tuple[RunResult, RunMetrics]]:
    """The runs that are done, the best first: by validation accuracy, then loss, then size.

    Args:
        results: of the runs so far.
    """
    done = [(result, result.figures) for result in results if result.figures is not None]
    return sorted(
        done, key=lambda run: (-run[1].validation_accuracy, run[1].validation_loss, run[1].size_bytes, run[0].number)
    )


def pareto(results: Sequence[RunResult]) -> frozenset[int]:
    """The numbers of the runs that no other beats: none is as accurate, small and fast, and better in one of them.

    Where latency was not measured, accuracy and size decide.

    Args:
        results: of the runs so far.
    """
    costs = {
        result.number: _Cost(1 - figures.validation_accuracy, figures.size_bytes, figures.latency_us or 0.0)
        for result, figures in ranked(results)
    }
    return frozenset(
        number for number, cost in costs.items() if not any(_beats(other, cost) for other in costs.values())
    )


def begin(folder: Path, asked: dict[str, Any]) -> dict[int, RunResult]:
    """Makes the folder of a sweep, or finds what was done in it before.

    Args:
        folder: of the sweep.
        asked: everything that decides which runs there are, as plain values.

    Returns:
        How runs ended, by their numbers.

    Raises:
        SweepError: the folder holds another sweep, something else, or a damaged file.
    """
    path = folder / FILE
    if path.is_file():
        before, results = _read(path)
        if before != asked:
            raise SweepError(
                f"{folder} holds another sweep ({_difference(before, asked)}); choose another folder with --out, "
                "or remove that one"
            )
        return results
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise SweepError(f"{folder} is there already and holds no sweep; choose another folder with --out")
    write(folder, asked, ())
    return {}


def write(folder: Path, asked: dict[str, Any], results: Iterable[RunResult], **more: object) -> None:
    """Writes `sweep.json` in one step.

    Args:
        folder: of the sweep; it is made where there is none.
        asked: what was asked for, as `begin` takes it.
        results: of the runs so far.
        more: further entries of the document.

    Raises:
        WriteError: the folder cannot be made or written.
    """
    runs = sorted(results, key=lambda result: result.number)
    best = ranked(runs)
    content = {
        "schema": SCHEMA,
        "asked": asked,
        "runs": [dataclasses.asdict(result) for result in runs],
        "best": best[0][0].number if best else None,
        "pareto": sorted(pareto(runs)),
        "environment": dataclasses.asdict(describe_machine(*_PACKAGES)),
        **more,
    }
    files.make_folder(folder)
    files.write_atomically(folder / FILE, (json.dumps(content, indent=2) + "\n").encode())


def _beats(one: _Cost, other: _Cost) -> bool:
    smaller = one.size < other.size * (1 - SAME_SIZE)
    no_worse = (
        one.mistakes <= other.mistakes and one.size <= other.size * (1 + SAME_SIZE) and one.latency <= other.latency
    )
    return no_worse and (one.mistakes < other.mistakes or smaller or one.latency < other.latency)


def _read(path: Path) -> tuple[dict[str, Any], dict[int, RunResult]]:
    try:
        content = json.loads(path.read_bytes())
        if content["schema"] != SCHEMA:
            raise SweepError(
                f"{path} has the schema {content['schema']}, this edge writes {SCHEMA}; choose another --out"
            )
        runs = [
            RunResult(**{**run, "figures": None if run["figures"] is None else RunMetrics(**run["figures"])})
            for run in content["runs"]
        ]
        return content["asked"], {run.number: run for run in runs}
    except (ValueError, KeyError, TypeError) as error:
        if isinstance(error, SweepError):
            raise
        raise SweepError(f"{path} is damaged ({error!r}); choose another folder with --out") from error


def _difference(before: dict[str, Any], asked: dict[str, Any]) -> str:
    """What the two were asked differently, one setting after another."""
    parts = [
        f"{key.replace('_', ' ')} {_listed(before.get(key))}, not {_listed(asked.get(key))}"
        for key in {**before, **asked}
        if before.get(key) != asked.get(key)
    ]
    return "; ".join(parts)


def _listed(setting: object) -> str:
    if setting is None:
        return "not given"
    return ", ".join(map(str, setting)) if isinstance(setting, list) else str(setting)
