"""What an export leaves behind: the bundle, the report beside it, and the flip sheet where a label changed."""

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto

from edge import charts, drawing
from edge.bench.results import describe_machine
from edge.bundle import bundle
from edge.bundle.bundle import Bundle
from edge.bundle.manifest import Manifest
from edge.text.files import make_folder, write_together
from edge_export.int8.latency import Latency
from edge_export.int8.selection import GOALS, Measured
from edge_export.options import Goal
from edge_export.parity import comparison
from edge_export.parity.comparison import Logits, ParityRow, Reference

SCHEMA = "edge.export-report/1"

# Of the flip sheet: pictures in a row, and pixels along a pixel of a picture.
SHEET_COLUMNS = 8
SHEET_SCALE = 4

ADVICE = "choose another --out, or make room there"

_PACKAGES = ("torch", "onnx")


@dataclass(frozen=True, slots=True)
class CheckedExport:
    """An export that holds, before it is written.

    Attributes:
        name: of the bundle.
        packed: its bytes.
        labels: names of the classes.
        rows: the parity comparisons.
        latencies: of fp16 or int8 against fp32, medians of this machine; empty for fp32.
        candidates: the int8 candidates that were measured; empty for other precisions.
        goal: what decided among them.
        reference: PyTorch's answers.
        logits: float32 (N, classes), the bundle's, of the digits of the reference.
        calibration: the data that set the ranges of activations; `None` where none were needed.
        reported_only: the data that decided nothing; `None` where there was none.
        fp32: the graph of the weights before anything was rounded.
        exporter: which of torch's exporters it comes from; `None` where it was written from the weights.
        left_out: the drawn digits that are no evidence, because the bundle reads them otherwise than PyTorch.
    """

    name: str
    packed: bytes
    labels: tuple[str, ...]
    rows: tuple[ParityRow, ...]
    latencies: tuple[Latency, ...]
    candidates: tuple[Measured, ...]
    goal: Goal
    reference: Reference
    logits: Logits
    calibration: str | None
    reported_only: str | None
    fp32: ModelProto
    exporter: str | None = None
    left_out: int = 0


@dataclass(frozen=True, slots=True)
class Exported:
    """Where everything is, and what was measured.

    Attributes:
        path: the bundle.
        report: the JSON document beside it.
        flip_sheet: the picture of the labels that changed; `None` where none did.
        rows: the parity comparisons.
        latencies: of fp16 or int8 against fp32, medians of this machine; empty for fp32.
        candidates: the int8 candidates that were measured; empty for other precisions.
        manifest: of the bundle.
        size_bytes: of the bundle.
        fp32: the graph of the weights before anything was rounded.
        left_out: the drawn digits that are no evidence, because the bundle reads them otherwise than PyTorch.
    """

    path: Path
    report: Path
    flip_sheet: Path | None
    rows: tuple[ParityRow, ...]
    latencies: tuple[Latency, ...]
    candidates: tuple[Measured, ...]
    manifest: Manifest
    size_bytes: int
    fp32: ModelProto
    left_out: int = 0


def write(folder: Path, export: CheckedExport) -> Exported:
    """Writes bundle, report and flip sheet as one step: all three are of this export, or all are as they were.

    Where no label changed, the flip sheet of an earlier export goes: it would be taken for this one's.

    Args:
        folder: where they go; it is made where there is none.
        export: what holds.

    Raises:
        WriteError: the folder cannot be made or written.
    """
    packed = bundle.read(export.packed)
    path = folder / f"{export.name}.onnx"
    report_path = folder / f"{export.name}.report.json"
    sheet_path = folder / f"{export.name}.flips.png"
    changed = comparison.flipped(export.reference, export.logits)
    sheet = flip_sheet(export.reference, export.logits, changed, export.labels) if len(changed) else None
    make_folder(folder, advice=ADVICE)
    write_together({path: export.packed, report_path: report(packed, export), sheet_path: sheet}, advice=ADVICE)
    return Exported(
        path=path,
        report=report_path,
        flip_sheet=None if sheet is None else sheet_path,
        rows=export.rows,
        latencies=export.latencies,
        candidates=export.candidates,
        manifest=packed.manifest,
        size_bytes=packed.size,
        fp32=export.fp32,
        left_out=export.left_out,
    )


def report(packed: Bundle, export: CheckedExport) -> bytes:
    """The report is one JSON document, and holds what the bundle must not: timings and the environment.

    Args:
        packed: the bundle.
        export: what holds of it.
    """
    content = {
        "schema": SCHEMA,
        "bundle": packed.manifest.name,
        "sha256": packed.sha256,
        "size_bytes": packed.size,
        "manifest": json.loads(packed.manifest.to_json()),
        "exporter": export.exporter or "written from the weights",
        "nodes_fp32": len(export.fp32.graph.node),
        "optimized_for": export.goal if export.candidates else None,
        "calibration": export.calibration,
        "decided_on": export.reference.split.name,
        "reported_only": export.reported_only,
        "evidence_left_out": export.left_out,
        "torch_accuracy": export.reference.accuracy,
        "tolerances": {
            precision: dataclasses.asdict(limits) for precision, limits in export.reference.tolerances.items()
        },
        "parity": [_parity(row) for row in export.rows],
        "latency_us_per_image": [dataclasses.asdict(one) for one in export.latencies],
        "candidates": [_candidate(one) for one in export.candidates],
        "environment": dataclasses.asdict(describe_machine(*_PACKAGES)),
    }
    return (json.dumps(content, indent=2, sort_keys=True) + "\n").encode()


def flip_sheet(reference: Reference, logits: Logits, indices: NDArray[np.int64], labels: Sequence[str]) -> bytes:
    """The flip sheet shows the pictures whose label changed, for people to judge what int8 costs.

    Args:
        reference: PyTorch's answers.
        logits: float32 (N, classes), the bundle's, of the same pictures.
        indices: which pictures flipped, at least one.
        labels: names of the classes.

    Returns:
        A PNG with each of them, both answers and how narrowly each was decided.
    """
    before, after = reference.logits[indices], logits[indices]
    truth = [f"is {labels[label]}\n" for label in reference.split.labels[indices]] if reference.labelled else None
    captions = [
        f"{what}torch {labels[old]}  +{old_margin:.2f}\nnow {labels[new]}  +{new_margin:.2f}"
        for what, old, old_margin, new, new_margin in zip(
            truth or [""] * len(indices),
            before.argmax(1),
            comparison.margins(before),
            after.argmax(1),
            comparison.margins(after),
            strict=True,
        )
    ]
    return drawing.png(
        drawing.contact_sheet(
            reference.split.images[indices],
            captions,
            columns=SHEET_COLUMNS,
            scale=SHEET_SCALE,
            letters=charts.letters(),
        )
    )


def _candidate(one: Measured) -> dict[str, object]:
    return {
        "name": one.name,
        "size_bytes": one.size_bytes,
        "fp32_size_bytes": one.fp32_bytes,
        "load_ms": one.load_ms,
        "latency_us_per_image": [dataclasses.asdict(each) for each in one.latencies],
        "parity": [_parity(row) for row in one.rows],
        "passed": one.passed,
        "gain": {goal: one.gain(goal) for goal in GOALS},
    }


def _parity(row: ParityRow) -> dict[str, object]:
    return {**dataclasses.asdict(row), "passed": row.passed}
