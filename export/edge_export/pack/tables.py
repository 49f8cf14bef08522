"""What an export says on the terminal: parity, latencies, and the int8 candidates with their figures."""

from collections.abc import Sequence

from edge_export.int8.latency import Latency
from edge_export.int8.selection import GOALS, Goal, Measured
from edge_export.parity.comparison import EXTREMES, ParityRow

# Below this ratio at every batch size a model is called slower; medians of a quiet machine repeat within 3 %.
SLOWER = 0.95


def parity_table(rows: Sequence[ParityRow]) -> str:
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
