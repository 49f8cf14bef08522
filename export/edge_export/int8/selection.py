"""Which int8 candidate is packed: the one that wins for the goal, within the budget of accuracy, by more than noise.

The candidates come simplest first. One takes the place of an earlier one only where it wins by a margin, so that two
exports on one machine give the same choice, and the simpler graph where there is little between them. fp32 is the
first of all: what does not beat it for the goal is not packed.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from onnx import ModelProto

from edge.errors import EdgeError
from edge_export.graph import session
from edge_export.int8 import latency
from edge_export.int8.latency import Latency
from edge_export.int8.quantisation import QuantisedModel
from edge_export.options import Goal
from edge_export.parity import comparison
from edge_export.parity.comparison import ParityRow, Reference

GOALS: dict[Goal, str] = {
    "latency": "time for a single picture",
    "throughput": "time for pictures in bulk",
    "size": "bytes",
    "balanced": "geometric mean of single picture, bulk and bytes",
}

# A win in time smaller than this is none: medians of a quiet machine repeat within 3 %.
MARGIN = 0.05
# Standard errors that a win must exceed.
DEVIATIONS = 3.0
# Where int8 takes less than this many times the speed of fp32, a batch size is called a hole.
LEAST_RATIO = 0.97

BATCHES = (1, comparison.BULK)  # a graph may take another branch for a single picture


class NotWorthwhileError(EdgeError):
    """int8 brings nothing for the goal; nothing was written."""


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """A candidate with its figures.

    Attributes:
        name: of the candidate.
        quantised: the model.
        size_bytes: of the graph, without manifest and evidence.
        fp32_bytes: of the fp32 graph.
        load_ms: median time to open a session.
        latencies: against the fp32 graph, by batch size from 1 to bulk.
        rows: against PyTorch, at both batch sizes.
    """

    name: str
    quantised: QuantisedModel
    size_bytes: int
    fp32_bytes: int
    load_ms: float
    latencies: tuple[Latency, ...]
    rows: tuple[ParityRow, ...]

    @property
    def passed(self) -> bool:
        """Whether it keeps to the budget of accuracy."""
        return all(row.passed for row in self.rows)

    def gain(self, goal: Goal) -> float:
        """How many times better than fp32 it is for the goal."""
        single, bulk = self.latencies[0].ratio, self.latencies[-1].ratio
        size = self.fp32_bytes / self.size_bytes
        return {"latency": single, "throughput": bulk, "size": size, "balanced": math.cbrt(single * bulk * size)}[goal]

    def noise(self, goal: Goal) -> float:
        """Standard error of the gain, as a share of it; bytes have none."""
        single, bulk = self.latencies[0].noise, self.latencies[-1].noise
        return {"latency": single, "throughput": bulk, "size": 0.0, "balanced": math.hypot(single, bulk) / 3}[goal]

    @property
    def holes(self) -> tuple[Latency, ...]:
        """The batch sizes at which it is slower than fp32, by more than noise."""
        return tuple(one for one in self.latencies if one.ratio * (1 + DEVIATIONS * one.noise) < LEAST_RATIO)


def measure(fp32: ModelProto, candidates: Mapping[str, QuantisedModel], reference: Reference) -> tuple[Measured, ...]:
    """Builds sessions of each candidate and takes all figures; time is taken in turns with the fp32 graph.

    Args:
        fp32: the graph that int8 must beat.
        candidates: by name, simplest first.
        reference: PyTorch's answers, on validation data.
    """
    sessions = {name: session.open_session(one.model) for name, one in candidates.items()}
    deployed = {name: session.open_deployed(one.model) for name, one in candidates.items()}
    latencies = latency.measure(session.open_deployed(fp32), deployed, reference.split.images)
    return tuple(
        Measured(
            name,
            one,
            len(one.model.SerializeToString(deterministic=True)),
            len(fp32.SerializeToString(deterministic=True)),
            latency.load_time(one.model),
            latencies[name],
            tuple(_rows(name, sessions[name], reference)),
        )
        for name, one in candidates.items()
    )


def choose(candidates: Sequence[Measured], goal: Goal) -> Measured | None:
    """The candidate that wins for the goal, or `None` where none beats fp32 within the budget.

    Args:
        candidates: simplest first.
        goal: what is asked for.
    """
    best: Measured | None = None
    for one in candidates:
        if one.passed and beats(one, None, goal) and beats(one, best, goal):
            best = one
    return best


def best_of_losers(candidates: Sequence[Measured], goal: Goal) -> Measured | None:
    """What `--force` packs: the best within the budget of accuracy, although it does not beat fp32."""
    within = [one for one in candidates if one.passed]
    return max(within, key=lambda one: one.gain(goal), default=None)


def closest(candidates: Sequence[Measured]) -> Measured:
    """The candidate that loses the fewest labels, where all lose too many."""
    return min(candidates, key=lambda one: max((row.accuracy_drop, row.flips) for row in one.rows if row.failures))


def not_worthwhile(candidates: Sequence[Measured], goal: Goal) -> NotWorthwhileError:
    """Why nothing is packed although a candidate keeps to the budget of accuracy."""
    best = best_of_losers(candidates, goal)
    assert best is not None
    return NotWorthwhileError(
        f"int8 does not pay here for {goal} ({GOALS[goal]}): the best candidate, {best.name}, is {best.gain(goal):.2f} "
        "times as good as fp32, which is worse or within noise; nothing was written; export it in fp32, choose "
        "another --optimize, or take it with --force"
    )


def beats(one: Measured, other: Measured | None, goal: Goal) -> bool:
    """Whether it beats another candidate, or fp32 where that is `None`, by more than noise."""
    if goal == "size":
        return one.gain(goal) > (1.0 if other is None else other.gain(goal))
    noise = math.hypot(one.noise(goal), 0.0 if other is None else other.noise(goal))
    margin = max(MARGIN, DEVIATIONS * noise)
    return one.gain(goal) > (1.0 if other is None else other.gain(goal)) * (1 + margin)


def _rows(name: str, running: session.RuntimeSession, reference: Reference) -> list[ParityRow]:
    return comparison.compare(
        name, "int8", reference, lambda images, batch: session.run(running, images, batch), batches=BATCHES
    )
