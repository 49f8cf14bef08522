"""The search itself: one run after the other, each in its folder, so that it can stop and go on; then the best."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_export import pipeline
from edge_export.graph.builder import ConversionError
from edge_export.int8.selection import NotWorthwhileError
from edge_export.pack.artifacts import Exported
from edge_export.parity.comparison import ParityError
from edge_export.pipeline import ExportRequest, Tell
from edge_export.sweep import grid, measuring, results
from edge_export.sweep.grid import Axis, GridPoint, SweepError
from edge_export.sweep.results import RunMetrics, RunResult, Status, ranked
from edge_train.models import specification, summary
from edge_train.models.specification import SpecificationError
from edge_train.training import recipes, run_folder, trainer
from edge_train.training.loop import DivergedError
from edge_train.training.recipes import RecipeError


@dataclass(frozen=True, slots=True)
class SweepRequest:
    """What was asked for on the command line.

    Attributes:
        axes: what varies, and the model.
        out: folder of the sweep.
        recipe: what the hyperparameters are that no axis names.
        data: what is trained on, as `edge train --data` takes it.
        data_dir: where published sets are.
        limit: draw so many points of the grid; `None` takes all.
        draw_seed: another number draws others.
        device: what the runs are trained on, as `edge train --device` takes it.
        threads: CPU threads; `None` takes all that are allowed.
    """

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
    def points(self) -> tuple[GridPoint, ...]:
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
    """Where a sweep stands.

    Attributes:
        request: what was asked for.
        results: of the runs so far, in their order.
        total: how many runs are asked for.
        interrupted: whether it was stopped before its end.
    """

    request: SweepRequest
    results: tuple[RunResult, ...]
    total: int
    interrupted: bool


def sweep(request: SweepRequest, tell: Tell) -> Sweep:
    """Trains every point that is not done yet, and measures all of them at the end.

    The test set stays closed. A run that fails is a result like another; what concerns all runs, such as missing
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
    ended = results.begin(request.out, request.asked)
    waiting = [point for point in points if point.number not in ended or ended[point.number].status == "failed"]
    if len(waiting) < len(points):
        tell(f"{len(points) - len(waiting)} of {len(points)} runs were done before")
    interrupted = False
    try:
        for point in waiting:
            result = _tried(request, point, len(points))
            if result is None:
                interrupted = True
                break
            ended[point.number] = result
            results.write(request.out, request.asked, ended.values())
            tell(_line(result, request, len(points)))
        if not interrupted:
            ended = _timed(request, ended, tell)
    except KeyboardInterrupt:  # between two runs, or in what follows one
        interrupted = True
    done = tuple(ended[number] for number in sorted(ended))
    if not interrupted and not ranked(done):
        raise SweepError(
            f"none of the {len(points)} runs succeeded ({done[0].reason}); sweep other values, in another --out"
        )
    return Sweep(request, done, len(points), interrupted)


@dataclass(frozen=True, slots=True)
class BestRun:
    """The export of the best run.

    Attributes:
        number: of the run.
        exported: its bundle.
        test: its accuracy record of the test split, opened for it alone.
    """

    number: int
    exported: Exported
    test: dict[str, Any]


def export_best(sweep: Sweep, tell: Tell) -> BestRun:
    """Opens the test set for the best run and exports it into the sweep's folder: int8 where that pays, fp32 else.

    Args:
        sweep: at its end.
        tell: takes a line of progress.

    Raises:
        ParityError: a tolerance of fp32 is broken.
        EdgeError: the run or the data is gone.
    """
    request = sweep.request
    result, figures = ranked(sweep.results)[0]
    path = request.out / figures.checkpoint
    # A finished run that is resumed only gets what its checkpoint lacks: the figure of the test set.
    trained = trainer.train(
        trainer.TrainingRequest(
            data_dir=request.data_dir,
            name=figures.name,
            out=path.parent.parent,
            resume=True,
            device=request.device,
            threads=request.threads,
            part_of=f"run {result.number}",
        )
    )
    assert trained.test_record is not None
    asked = ExportRequest(
        figures.name, path, precision="int8", data=request.data, data_dir=request.data_dir, out=request.out
    )
    exported = _exported(asked, tell)
    found = {"run": result.number, "bundle": exported.path.name, "size_bytes": exported.size_bytes}
    results.write(request.out, request.asked, sweep.results, exported={**found, "test": trained.test_record})
    return BestRun(result.number, exported, trained.test_record)


def label(settings: dict[str, Any], names: Sequence[str]) -> str:
    """A run in words: its model, and the settings that vary.

    Args:
        settings: of the run.
        names: of the settings that vary.
    """
    others = [f"{name.replace('_', '-')} {grid.text(settings[name])}" for name in names if name != "model"]
    return " ".join([str(settings["model"]), ", ".join(others)]).strip()


def _refuse_hopeless(points: Sequence[GridPoint], recipe: str) -> None:
    """Raises what the first point meets when none of them names settings that go together."""
    first: SpecificationError | RecipeError | None = None
    for point in points:
        try:
            specification.resized(specification.named(point.model), **point.sizes)
            dataclasses.replace(recipes.named(recipe, point.model), **point.hyperparameters)
        except (SpecificationError, RecipeError) as error:
            first = first or error
        else:
            return
    if first is not None:
        raise first


def _tried(request: SweepRequest, point: GridPoint, total: int) -> RunResult | None:
    """Trains one point, from its start or from where it was interrupted; None when it is interrupted now."""
    try:
        figures = _trained(request, point, total)
    except trainer.NothingKeptError:
        return None
    except DivergedError as error:
        return _not_done(point, "diverged", error)
    except (SpecificationError, RecipeError, ConversionError) as error:
        return _not_done(point, "impossible", error)
    except (MemoryError, RuntimeError) as error:  # torch has no class of its own for a CPU out of memory
        return _not_done(point, "failed", error)
    return None if figures is None else RunResult(point.number, point.settings, "done", figures)


def _trained(request: SweepRequest, point: GridPoint, total: int) -> RunMetrics | None:
    folder = request.out / f"{point.number:03}"
    trained = trainer.train(
        trainer.TrainingRequest(
            model=point.model,
            recipe=request.recipe,
            data=request.data,
            data_dir=request.data_dir,
            hyperparameters=point.hyperparameters,
            sizes=point.sizes,
            out=folder,
            resume=any(folder.glob(f"*/{run_folder.STATE_FILE}")),
            device=request.device,
            threads=request.threads,
            test=False,
            part_of=f"run {point.number}/{total}",
        )
    )
    if trained.interrupted:
        return None
    return RunMetrics(
        name=trained.checkpoint.name,
        checkpoint=trained.path.relative_to(request.out).as_posix(),
        validation_accuracy=trained.best.validation_accuracy,
        validation_loss=trained.best.validation_loss,
        best_epoch=trained.best.number,
        epochs=trained.recipe.epochs,
        parameters=summary.parameter_count(trained.checkpoint.specification),
        size_bytes=measuring.size_bytes(trained.path),
        seconds=round(sum(epoch.seconds for epoch in trained.epochs), 1),
    )


def _not_done(point: GridPoint, status: Status, error: Exception) -> RunResult:
    first_line = next(iter(str(error).splitlines()), "") or type(error).__name__
    return RunResult(point.number, point.settings, status, reason=first_line)


def _timed(request: SweepRequest, ended: dict[int, RunResult], tell: Tell) -> dict[int, RunResult]:
    """The results with latencies: measured anew unless each has one, because only those taken in turns compare."""
    done = {number: result.figures for number, result in ended.items() if result.figures is not None}
    if all(figures.latency_us is not None for figures in done.values()):
        return ended
    tell(f"measuring {len(done)} {'run' if len(done) == 1 else 'runs'} in turns, fp32, one thread")
    times = measuring.latencies({number: request.out / figures.checkpoint for number, figures in done.items()})
    timed = {
        number: dataclasses.replace(
            figures, latency_us=round(times[number][0], 1), bulk_latency_us=round(times[number][1], 1)
        )
        for number, figures in done.items()
    }
    complete = {number: dataclasses.replace(one, figures=timed.get(number)) for number, one in ended.items()}
    results.write(request.out, request.asked, complete.values())
    return complete


def _line(result: RunResult, request: SweepRequest, total: int) -> str:
    """What stays of a run on the screen."""
    said = label(result.settings, grid.varying(request.axes))
    start = f"run {result.number:>{len(str(total))}}/{total}  {said}: "
    if result.figures is None:
        return f"{start}{result.status}: {result.reason}"
    figures = result.figures
    return (
        f"{start}validation accuracy {figures.validation_accuracy:.2%} in epoch {figures.best_epoch}/{figures.epochs}, "
        f"{figures.parameters:,} parameters, {figures.seconds:.0f} s"
    )


def _exported(asked: ExportRequest, tell: Tell) -> Exported:
    try:
        return pipeline.export(asked, tell)
    except (NotWorthwhileError, ParityError) as error:  # of fp32 itself, the latter is raised again below
        tell(f"{error}\nexporting fp32 instead")
        return pipeline.export(dataclasses.replace(asked, precision="fp32"), tell)
