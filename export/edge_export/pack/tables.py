"""What an export says on the terminal: parity, latencies, and the int8 candidates with their figures."""

from collections.abc import Sequence

from edge.text.table import aligned
from edge_export.int8.latency import Latency
from edge_export.int8.selection import GOALS, Measured
from edge_export.options import Goal
from edge_export.parity.comparison import EXTREMES, ParityRow

# Below this ratio at every batch size a model is called slower; medians of a quiet machine repeat within 3 %.
SLOWER = 0.95


def parity_table(rows: Sequence[ParityRow]) -> str:
    """The comparisons as aligned text: errors in logits and in probability, flips, accuracy, verdict.

    Args:
        rows: in the order in which they were made.
    """
    head = (
        "stage",
        "data",
        "images",
        "batch",
        "logits max",
        "mean",
        "probabilities max",
        "mean",
        "flips",
        "accuracy",
        "",
    )
    cells = [
        (
            row.stage,
            row.data,
            str(row.images),
            str(row.batch),
            f"{row.logits_max_error:.1e}",
            f"{row.logits_mean_error:.1e}",
            f"{row.probabilities_max_error:.1e}",
            f"{row.probabilities_mean_error:.1e}",
            str(row.flips),
            "" if row.accuracy is None else f"{row.accuracy:.2%}",
            "" if row.passed else "BROKEN",
        )
        for row in rows
    ]
    return "\n".join(aligned([head, *cells], right=range(2, 10)))


def latency_line(latencies: Sequence[Latency], precision: str) -> str:
    """The medians of this machine in one line, and in another that it is slower where it is.

    Args:
        latencies: against the fp32 graph, by batch size.
        precision: of what was measured.
    """
    parts = [
        f"batch {one.batch}: {one.candidate_us:.0f} us an image, fp32 {one.baseline_us:.0f} us ({one.ratio:.2f}x)"
        for one in latencies
    ]
    slower = all(one.ratio < SLOWER for one in latencies)
    warning = f"\n{precision} is slower than fp32 on this machine: what it gains is bytes" if slower else ""
    return f"{precision} on this machine, 1 thread, medians: " + "; ".join(parts) + warning


def candidate_table(candidates: Sequence[Measured], goal: Goal, chosen: str | None) -> str:
    """The int8 candidates as text: accuracy, labels that change, bytes, load, time, gain, the choice, and the holes.

    Args:
        candidates: simplest first.
        goal: what decides.
        chosen: the name of the one that is packed; `None` where none is.
    """
    cells = [("candidate", "accuracy", "flips", "bytes", "load", "batch 1", "bulk", "gain", "")]
    for one in candidates:
        digits = [row for row in one.rows if row.data != EXTREMES]
        worst = max(digits, key=lambda row: (row.accuracy_drop, row.flips))
        ends = one.latencies[0], one.latencies[-1]
        single, bulk = (f"{each.candidate_us:.0f} us ({each.ratio:.2f}x)" for each in ends)
        cells.append(
            (
                one.name,
                "" if worst.accuracy is None else f"{worst.accuracy:.2%}",
                str(worst.flips),
                f"{one.size_bytes:,}",
                f"{one.load_ms:.1f} ms",
                single,
                bulk,
                f"{one.gain(goal):.2f}",
                "<- packed" if one.name == chosen else "" if one.passed else "loses too much",
            )
        )
    legend = f"times: an image, medians of this machine, 1 thread, against our fp32; gain for {goal}: {GOALS[goal]}"
    return "\n".join([*aligned(cells, right=range(1, 8)), legend, *_holes(candidates)])


def _holes(candidates: Sequence[Measured]) -> list[str]:
    """A line for each candidate that is slower than fp32 at some batch size."""
    told = {one.name: [f"{hole.batch} ({hole.ratio:.2f}x)" for hole in one.holes] for one in candidates}
    return [f"slower than fp32 here: {name} at batch {', '.join(holes)}" for name, holes in told.items() if holes]
