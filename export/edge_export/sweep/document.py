"""`sweep.json`: what was asked for and how each run ended, written after every run, so that a sweep can go on."""

import dataclasses
import json
import platform
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import Any

from edge.session import installation
from edge_export.sweep.grid import SweepError
from edge_export.sweep.outcome import Figures, Outcome, pareto, ranked
from edge_train.training import checkpoint

SCHEMA = "edge.sweep/1"
FILE = "sweep.json"
_PACKAGES = ("edge-toolkit", "torch", "onnx", "numpy")


def begin(folder: Path, asked: dict[str, Any]) -> dict[int, Outcome]:
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
        before, outcomes = _read(path)
        if before != asked:
            raise SweepError(
                f"{folder} holds another sweep ({_difference(before, asked)}); choose another folder with --out, "
                "or remove that one"
            )
        return outcomes
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise SweepError(f"{folder} is there already and holds no sweep; choose another folder with --out")
    write(folder, asked, ())
    return {}


def write(folder: Path, asked: dict[str, Any], outcomes: Iterable[Outcome], **more: object) -> None:
    """Writes `sweep.json` in one step.

    Raises:
        CheckpointError: the folder cannot be made or written.
    """
    runs = sorted(outcomes, key=lambda outcome: outcome.number)
    best = ranked(runs)
    content = {
        "schema": SCHEMA,
        "asked": asked,
        "runs": [dataclasses.asdict(outcome) for outcome in runs],
        "best": best[0][0].number if best else None,
        "pareto": sorted(pareto(runs)),
        "environment": {
            "machine": platform.machine(),
            "system": platform.system(),
            "python": platform.python_version(),
            "packages": {**{package: metadata.version(package) for package in _PACKAGES}, **installation.runtimes()},
        },
        **more,
    }
    checkpoint.write(folder / FILE, (json.dumps(content, indent=2) + "\n").encode())


def _read(path: Path) -> tuple[dict[str, Any], dict[int, Outcome]]:
    try:
        content = json.loads(path.read_bytes())
        if content["schema"] != SCHEMA:
            raise SweepError(
                f"{path} has the schema {content['schema']}, this edge writes {SCHEMA}; choose another --out"
            )
        runs = [
            Outcome(**{**run, "figures": None if run["figures"] is None else Figures(**run["figures"])})
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
