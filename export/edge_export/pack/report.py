"""What an export says: the table on the terminal, and the report beside the bundle."""

import dataclasses
import json
import platform
from collections.abc import Mapping, Sequence
from importlib import metadata

from edge.bundle.bundle import Bundle
from edge.session import installation
from edge_export.int8.latency import Latency
from edge_export.int8.selection import GOALS, Goal, Measured
from edge_export.parity.parity import EXTREMES, Comparison
from edge_export.parity.tolerances import Precision, Tolerance

# Below this ratio at every batch size a model is called slower; medians of a quiet machine repeat within 3 %.
SLOWER = 0.95
SCHEMA = "edge.export-report/1"
_PACKAGES = ("edge-toolkit", "torch", "onnx", "numpy")


def parity_table(rows: Sequence[Comparison]) -> str:
    """The comparisons as aligned text: errors in logits and in probability, flips, accuracy, verdict."""
    width = max([17, *(len(row.data) for row in rows)])
    lines = [
        f"{'':<13} {'':<{width}} {'':>6} {'':>5}  {'logits':^17}  {'probabilities':^17}",
        (
            f"{'stage':<13} {'data':<{width}} {'images':>6} {'batch':>5}  {'max':>8} {'mean':>8}  {'max':>8} "
            f"{'mean':>8}  {'flips':>5}  {'accuracy':>8}"
        ),
    ]
    for row in rows:
        accuracy = "" if row.accuracy is None else f"{row.accuracy:.2%}"
        lines.append(
            f"{row.stage:<13} {row.data:<{width}} {row.images:>6} {row.batch:>5}  {row.logits_max_error:>8.1e} "
            f"{row.logits_mean_error:>8.1e}  {row.probabilities_max_error:>8.1e} {row.probabilities_mean_error:>8.1e}"
            f"  {row.flips:>5}  {accuracy:>8}{'' if row.passed else '  BROKEN'}"
        )
    return "\n".join(lines)


def latency_line(latencies: Sequence[Latency], precision: str) -> str:
    """The medians of this machine in one line."""
    parts = [
        f"batch {one.batch}: {one.candidate_us:.0f} us an image, fp32 {one.baseline_us:.0f} us ({one.ratio:.2f}x)"
        for one in latencies
    ]
    slower = all(one.ratio < SLOWER for one in latencies)
    warning = f"\n{precision} is slower than fp32 on this machine: what it gains is bytes" if slower else ""
    return f"{precision} on this machine, 1 thread, medians: " + "; ".join(parts) + warning


def candidate_table(candidates: Sequence[Measured], goal: Goal, chosen: str | None) -> str:
    """The int8 candidates as aligned text: accuracy, labels that change, bytes, load, time, gain, and the choice."""
    width = max(len("candidate"), *(len(one.name) for one in candidates))
    head = f"{'accuracy':>8} {'flips':>5} {'bytes':>8} {'load':>7}  {'batch 1':^17}  {'bulk':^17}  gain"
    lines = [f"{'candidate':<{width}} {head}"]
    for one in candidates:
        digits = [row for row in one.rows if row.data != EXTREMES]
        worst = max(digits, key=lambda row: (row.accuracy_drop, row.flips))
        accuracy = "" if worst.accuracy is None else f"{worst.accuracy:.2%}"
        times = "  ".join(f"{each.candidate_us:>6.0f} us {f'({each.ratio:.2f}x)':>7}" for each in one.latencies)
        remark = "  <- packed" if one.name == chosen else "" if one.passed else "  loses too much"
        lines.append(
            f"{one.name:<{width}} {accuracy:>8} {worst.flips:>5} {one.size_bytes:>8,} {one.load_ms:>4.1f} ms  {times}  "
            f"{one.gain(goal):>4.2f}{remark}"
        )
    lines.append(
        f"times: an image, medians of this machine, 1 thread, against our fp32; gain for {goal}: {GOALS[goal]}"
    )
    return "\n".join(lines)


def document(
    packed: Bundle,
    rows: Sequence[Comparison],
    latencies: Sequence[Latency],
    candidates: Sequence[Measured],
    *,
    tolerances: Mapping[Precision, Tolerance],
    **facts: str | float | None,
) -> bytes:
    """The report as JSON. It holds what the bundle must not: timings and the environment.

    Args:
        packed: the bundle.
        rows: the parity comparisons.
        latencies: medians of this machine.
        candidates: the int8 candidates that were measured.
        tolerances: what decided.
        facts: more entries, as plain values.
    """
    report = {
        "schema": SCHEMA,
        "bundle": packed.manifest.name,
        "sha256": packed.sha256,
        "size_bytes": packed.size,
        "manifest": json.loads(packed.manifest.to_json()),
        **facts,
        "tolerances": {precision: dataclasses.asdict(limits) for precision, limits in tolerances.items()},
        "parity": [{**dataclasses.asdict(row), "passed": row.passed} for row in rows],
        "latency_us_per_image": [dataclasses.asdict(one) for one in latencies],
        "candidates": [_candidate(one) for one in candidates],
        "environment": {
            "machine": platform.machine(),
            "system": platform.system(),
            "python": platform.python_version(),
            "packages": {**{package: metadata.version(package) for package in _PACKAGES}, **installation.runtimes()},
        },
    }
    return (json.dumps(report, indent=2, sort_keys=True) + "\n").encode()


def _candidate(one: Measured) -> dict[str, object]:
    return {
        "name": one.name,
        "size_bytes": one.size_bytes,
        "fp32_size_bytes": one.fp32_bytes,
        "load_ms": one.load_ms,
        "latency_us_per_image": [dataclasses.asdict(each) for each in one.latencies],
        "parity": [{**dataclasses.asdict(row), "passed": row.passed} for row in one.rows],
        "passed": one.passed,
        "gain": {goal: one.gain(goal) for goal in GOALS},
    }
