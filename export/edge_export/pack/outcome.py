"""What an export leaves behind: the bundle, the report beside it, and the flip sheet when a label changed."""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from edge.bundle import bundle
from edge.bundle.manifest import Manifest
from edge.errors import EdgeError
from edge_export.int8.latency import Latency
from edge_export.int8.selection import Goal, Measured
from edge_export.pack import flips, report
from edge_export.parity import parity
from edge_export.parity.parity import Comparison, Logits, Reference


@dataclass(frozen=True, slots=True)
class Outcome:
    """An export that holds, before it is written.

    `candidates`: the int8 candidates that were measured, empty for other precisions; `goal`: what decided among them.
    `logits`: float32 (N, classes), the bundle's, of the digits of the reference. `calibration`: the data that set the
    ranges of activations; `None` where none were needed. `reported_only`: the data that decided nothing.
    """

    name: str
    packed: bytes
    labels: tuple[str, ...]
    rows: tuple[Comparison, ...]
    latencies: tuple[Latency, ...]
    candidates: tuple[Measured, ...]
    goal: Goal
    reference: Reference
    logits: Logits
    calibration: str | None
    reported_only: str | None


@dataclass(frozen=True, slots=True)
class Exported:
    """Where everything is, and what was measured."""

    path: Path
    report: Path
    flip_sheet: Path | None
    rows: tuple[Comparison, ...]
    latencies: tuple[Latency, ...]
    candidates: tuple[Measured, ...]
    manifest: Manifest
    size_bytes: int


def write(folder: Path, outcome: Outcome) -> Exported:
    """Writes the files, each in one step, and removes the flip sheet of an earlier export.

    Raises:
        EdgeError: the folder cannot be made or written.
    """
    packed = bundle.read(outcome.packed)
    path = folder / f"{outcome.name}.onnx"
    report_path = folder / f"{outcome.name}.report.json"
    sheet_path = folder / f"{outcome.name}.flips.png"
    document = report.document(
        packed,
        outcome.rows,
        outcome.latencies,
        outcome.candidates,
        tolerances=outcome.reference.tolerances,
        optimized_for=outcome.goal if outcome.candidates else None,
        calibration=outcome.calibration,
        decided_on=outcome.reference.split.name,
        reported_only=outcome.reported_only,
        torch_accuracy=outcome.reference.accuracy,
    )
    changed = parity.flipped(outcome.reference, outcome.logits)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EdgeError(f"cannot make the folder {folder}: {error.strerror}; choose another --out") from error
    bundle.write(path, outcome.packed)
    bundle.write(report_path, document)
    if len(changed):
        bundle.write(sheet_path, flips.flip_sheet(outcome.reference, outcome.logits, changed, outcome.labels))
    else:
        with suppress(FileNotFoundError):
            sheet_path.unlink()  # of an earlier export, which would be taken for this one's
    return Exported(
        path=path,
        report=report_path,
        flip_sheet=sheet_path if len(changed) else None,
        rows=outcome.rows,
        latencies=outcome.latencies,
        candidates=outcome.candidates,
        manifest=packed.manifest,
        size_bytes=packed.size,
    )
