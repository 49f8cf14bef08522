"""What a run of a sweep gave, and how the runs compare."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from edge_export.sweep.grid import Setting

# Bundles of the same graph differ by the digits of the figures inside them: that is no difference in size.
SAME_SIZE = 0.002

# `failed` is the machine's doing, out of memory above all, and is tried again; the others would end the same way.
Status = Literal["done", "diverged", "impossible", "failed"]


@dataclass(frozen=True, slots=True)
class Figures:
    """What was measured of a run that is done.

    `name`: of the model, which its bundle will have. `checkpoint`: its file, relative to the sweep's folder.
    Accuracy in [0, 1] and loss in nats are the best epoch's on the validation split. `size_bytes`: of the fp32 bundle.
    `seconds`: of all epochs. The latencies are medians of the fp32 graph on one thread, for one picture and for one of
    a batch; None until all runs are done, when they are measured in turns.
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
class Outcome:
    """How a run ended. `reason`: why it is not done; then there are no figures."""

    number: int
    settings: dict[str, Setting]
    status: Status
    figures: Figures | None = None
    reason: str = ""


def ranked(outcomes: Sequence[Outcome]) -> list[tuple[Outcome, Figures]]:
    """The runs that are done, the best first: by validation accuracy, then loss, then size."""
    done = [(outcome, outcome.figures) for outcome in outcomes if outcome.figures is not None]
    return sorted(
        done, key=lambda run: (-run[1].validation_accuracy, run[1].validation_loss, run[1].size_bytes, run[0].number)
    )


def pareto(outcomes: Sequence[Outcome]) -> frozenset[int]:
    """The numbers of the runs that no other beats: none is as accurate, small and fast, and better in one of them.

    Where latency was not measured, accuracy and size decide.
    """
    costs = {
        outcome.number: _Cost(1 - figures.validation_accuracy, figures.size_bytes, figures.latency_us or 0.0)
        for outcome, figures in ranked(outcomes)
    }
    return frozenset(
        number for number, cost in costs.items() if not any(_beats(other, cost) for other in costs.values())
    )


def _beats(one: _Cost, other: _Cost) -> bool:
    smaller = one.size < other.size * (1 - SAME_SIZE)
    no_worse = (
        one.mistakes <= other.mistakes and one.size <= other.size * (1 + SAME_SIZE) and one.latency <= other.latency
    )
    return no_worse and (one.mistakes < other.mistakes or smaller or one.latency < other.latency)
