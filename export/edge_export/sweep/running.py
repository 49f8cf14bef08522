"""A sweep from request to outcomes: one run after the other, each in its folder, so that it can stop and go on."""

import dataclasses
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_export.graph.builder import ConversionError
from edge_export.sweep import document, grid, measuring
from edge_export.sweep.grid import Axis, Point, SweepError
from edge_export.sweep.outcome import Figures, Outcome, Status, ranked
from edge_train.models import models, specification
from edge_train.models.specification import SpecificationError
from edge_train.training import checkpoint, recipes, runs, training
from edge_train.training.loop import DivergedError
from edge_train.training.recipes import RecipeError

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked for on the command line. `limit`: draw so many points of the grid, by `draw_seed`."""

    axes: tuple[Axis, ...]
    out: Path
    recipe: str = "best"
    data: str = "mnist"
    data_dir: Path | None = None
    limit: int | None = None
    draw_seed: int = 0
    device: str = "auto"
    threads: int | None = None

    @property
    def points(self) -> tuple[Point, ...]:
        """The runs that are asked for."""
        return grid.points(self.axes, limit=self.limit, draw_seed=self.draw_seed)

    @property
    def asked(self) -> dict[str, Any]:
        """What decides which runs there are and what they give, as plain values; not where and how they are made."""
        return {
            **{axis.name: list(axis.values) for axis in self.axes},
            "recipe": self.recipe,
            "data": self.data,
            "limit": self.limit,
            "draw_seed": self.draw_seed if self.limit is not None else 0,
        }


@dataclass(frozen=True, slots=True)
class Sweep:
    """Where a sweep stands. `outcomes`: of the runs so far, in their order; `total`: how many are asked for."""

    request: Request
    outcomes: tuple[Outcome, ...]
    total: int
    interrupted: bool


def sweep(request: Request, tell: Tell) -> Sweep:
    """Trains every point that is not done yet, and measures all of them at the end.

    The test set stays closed. A run that fails is an outcome like another; what concerns all runs, such as missing
    data, ends the sweep.

    Args:
        request: what to try.
        tell: takes a line of progress for each run.

    Raises:
        SweepError: the folder holds another sweep, or no run succeeded.
        EdgeError: no point can be trained at all, or the data or the device is missing.
    """
    points = request.points
    _refuse_hopeless(points, request.recipe)
    outcomes = document.begin(request.out, request.asked)
    waiting = [point for point in points if point.number not in outcomes or outcomes[point.number].status == "failed"]
    if len(waiting) < len(points):
        tell(f"{len(points) - len(waiting)} of {len(points)} runs were done before")
    interrupted = False
    try:
        for point in waiting:
            outcome = _tried(request, point, len(points))
            if outcome is None:
                interrupted = True
                break
            outcomes[point.number] = outcome
            document.write(request.out, request.asked, outcomes.values())
            tell(_line(outcome, request, len(points)))
        if not interrupted:
            outcomes = _timed(request, outcomes, tell)
    except KeyboardInterrupt:  # between two runs, or in what follows one
        interrupted = True
    done = tuple(outcomes[number] for number in sorted(outcomes))
    if not interrupted and not ranked(done):
        raise SweepError(
            f"none of the {len(points)} runs succeeded ({done[0].reason}); sweep other values, in another --out"
        )
    return Sweep(request, done, len(points), interrupted)


def label(settings: dict[str, Any], names: Sequence[str]) -> str:
    """A run in words: its model, and the settings that vary."""
    others = [f"{name.replace('_', '-')} {grid.text(settings[name])}" for name in names if name != "model"]
    return " ".join([str(settings["model"]), ", ".join(others)]).strip()


def _refuse_hopeless(points: Sequence[Point], recipe: str) -> None:
    """Raises what the first point meets when none of them names a model, recipe, size and dials that go together."""
    first: SpecificationError | RecipeError | None = None
    for point in points:
        try:
            specification.resized(specification.named(point.model), **point.sizes)
            dataclasses.replace(recipes.named(recipe, point.model), **point.dials)
        except (SpecificationError, RecipeError) as error:
            first = first or error
        else:
            return
    if first is not None:
        raise first


def _tried(request: Request, point: Point, total: int) -> Outcome | None:
    """Trains one point, from its start or from where it was interrupted; None when it is interrupted now."""
    try:
        figures = _trained(request, point, total)
    except training.NothingKeptError:
        return None
    except DivergedError as error:
        return _not_done(point, "diverged", error)
    except (SpecificationError, RecipeError, ConversionError) as error:
        return _not_done(point, "impossible", error)
    except (MemoryError, RuntimeError) as error:  # torch has no class of its own for a CPU out of memory
        return _not_done(point, "failed", error)
    return None if figures is None else Outcome(point.number, point.settings, "done", figures)


def _trained(request: Request, point: Point, total: int) -> Figures | None:
    folder = request.out / f"{point.number:03}"
    result = training.train(
        training.Request(
            model=point.model,
            recipe=request.recipe,
            data=request.data,
            data_dir=request.data_dir,
            dials=point.dials,
            sizes=point.sizes,
            out=folder,
            resume=any(folder.glob(f"*/{runs.STATE_FILE}")),
            device=request.device,
            threads=request.threads,
            report=False,
            test=False,
            part_of=f"run {point.number}/{total}",
        )
    )
    if result.interrupted:
        return None
    stored = checkpoint.load(result.path)
    course = json.loads((result.path.parent / runs.METRICS_FILE).read_text(encoding="utf-8"))["epochs"]
    return Figures(
        name=stored.name,
        checkpoint=result.path.relative_to(request.out).as_posix(),
        validation_accuracy=result.best.validation_accuracy,
        validation_loss=result.best.validation_loss,
        best_epoch=result.best.number,
        epochs=result.epochs,
        parameters=models.parameter_count(stored.model()),
        size_bytes=measuring.size_bytes(result.path),
        seconds=round(sum(epoch["seconds"] for epoch in course), 1),
    )


def _not_done(point: Point, status: Status, error: Exception) -> Outcome:
    first_line = next(iter(str(error).splitlines()), "") or type(error).__name__
    return Outcome(point.number, point.settings, status, reason=first_line)


def _timed(request: Request, outcomes: dict[int, Outcome], tell: Tell) -> dict[int, Outcome]:
    """The outcomes with latencies: measured anew unless each has one, because only those taken in turns compare."""
    done = {number: outcome.figures for number, outcome in outcomes.items() if outcome.figures is not None}
    if all(figures.latency_us is not None for figures in done.values()):
        return outcomes
    tell(f"measuring {len(done)} {'run' if len(done) == 1 else 'runs'} in turns, fp32, one thread")
    times = measuring.latencies({number: request.out / figures.checkpoint for number, figures in done.items()})
    timed = {
        number: dataclasses.replace(
            figures, latency_us=round(times[number][0], 1), bulk_latency_us=round(times[number][1], 1)
        )
        for number, figures in done.items()
    }
    complete = {number: dataclasses.replace(one, figures=timed.get(number)) for number, one in outcomes.items()}
    document.write(request.out, request.asked, complete.values())
    return complete


def _line(outcome: Outcome, request: Request, total: int) -> str:
    """What stays of a run on the screen."""
    said = label(outcome.settings, grid.varying(request.axes))
    start = f"run {outcome.number:>{len(str(total))}}/{total}  {said}: "
    if outcome.figures is None:
        return f"{start}{outcome.status}: {outcome.reason}"
    figures = outcome.figures
    return (
        f"{start}validation accuracy {figures.validation_accuracy:.2%} in epoch {figures.best_epoch}/{figures.epochs}, "
        f"{figures.parameters:,} parameters, {figures.seconds:.0f} s"
    )
