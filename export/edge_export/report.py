"""What an export says: the table on the terminal, and the report beside the bundle."""

import dataclasses
import json
import platform
from collections.abc import Sequence
from importlib import metadata

from edge import installation
from edge.bundle import Bundle
from edge_export.latency import Latency
from edge_export.parity import Comparison
from edge_export.tolerances import TOLERANCES

# Below this ratio at every batch size a model is called slower; medians of a quiet machine repeat within 3 %.
SLOWER = 0.95
SCHEMA = "edge.export-report/1"
_PACKAGES = ("edge-toolkit", "torch", "onnx", "numpy")


def parity_table(rows: Sequence[Comparison]) -> str:
    """The comparisons as aligned text: errors in logits and in probability, flips, accuracy, verdict."""
    lines = [
        f"{'':<13} {'':<17} {'':>6} {'':>5}  {'logits':^17}  {'probabilities':^17}",
        (
            f"{'stage':<13} {'data':<17} {'images':>6} {'batch':>5}  {'max':>8} {'mean':>8}  {'max':>8} {'mean':>8}"
            f"  {'flips':>5}  {'accuracy':>8}"
        ),
    ]
    for row in rows:
        accuracy = "" if row.accuracy is None else f"{row.accuracy:.2%}"
        lines.append(
            f"{row.stage:<13} {row.data:<17} {row.images:>6} {row.batch:>5}  {row.logits_max_error:>8.1e} "
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


def document(
    packed: Bundle,
    rows: Sequence[Comparison],
    latencies: Sequence[Latency],
    **facts: str | float | None,
) -> bytes:
    """The report as JSON. It holds what the bundle must not: timings and the environment.

    Args:
        packed: the bundle.
        rows: the parity comparisons.
        latencies: medians of this machine.
        facts: more entries, as plain values.
    """
    report = {
        "schema": SCHEMA,
        "bundle": packed.manifest.name,
        "sha256": packed.sha256,
        "size_bytes": packed.size,
        "manifest": json.loads(packed.manifest.to_json()),
        **facts,
        "tolerances": {precision: dataclasses.asdict(limits) for precision, limits in TOLERANCES.items()},
        "parity": [{**dataclasses.asdict(row), "passed": row.passed} for row in rows],
        "latency_us_per_image": [{**dataclasses.asdict(one), "ratio": one.ratio} for one in latencies],
        "environment": {
            "machine": platform.machine(),
            "system": platform.system(),
            "python": platform.python_version(),
            "packages": {**{package: metadata.version(package) for package in _PACKAGES}, **installation.runtimes()},
        },
    }
    return (json.dumps(report, indent=2, sort_keys=True) + "\n").encode()
