"""One training run from request to checkpoint."""

import dataclasses
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from edge.errors import EdgeError
from edge_train import checkpoint, events, loop, mnist, models, recipes, report, runs, specification, strokes
from edge_train.checkpoint import Checkpoint
from edge_train.events import Events
from edge_train.loop import Epoch, Progress, State
from edge_train.mnist import Split
from edge_train.progress import Display
from edge_train.recipes import Recipe, RecipeError
from edge_train.report import Answers, Course, Run, environment
from edge_train.specification import Specification, SpecificationError

# It names a folder, a file and a model; `edge export` takes a colon for somebody's own module.
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")

# Seeds of the stroke splits, far from anything that a user would pick for --seed.
STROKE_SEEDS = {"training": 1_001, "validation": 1_002, "test": 1_003}
STROKE_IMAGES = {"training": 20_000, "validation": 5_000, "test": 5_000}


class DeviceError(EdgeError):
    """CUDA was asked for and is not there."""


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked for on the command line; `None` and absent dials mean the recipe's own."""

    model: str
    name: str | None = None
    data: str = "mnist"
    data_dir: Path | None = None
    dials: dict[str, Any] = field(default_factory=dict)
    sizes: dict[str, Any] = field(default_factory=dict)
    out: Path = Path("runs")
    resume: bool = False
    device: str = "auto"
    threads: int | None = None
    report: bool = True
    tensorboard: bool = False


@dataclass(frozen=True, slots=True)
class Result:
    """What a run left behind."""

    path: Path
    best: Epoch
    epochs: int  # of the recipe
    interrupted: bool
    test: dict[str, Any] | None  # the accuracy record of the test split; None after an interruption
    report: Path | None = None  # None when none was asked for, or it failed


def train(request: Request) -> Result:
    """Trains as requested and writes the best epoch as a checkpoint after every epoch.

    Raises:
        EdgeError: a size or dial out of range, data or CUDA missing, nothing to resume, or an interruption before the
            first epoch was complete.
    """
    device = _device(request.device)
    torch.set_num_threads(request.threads or torch.get_num_threads())
    asked = specification.resized(specification.named(request.model), **request.sizes)
    name = request.name or specification.name_of(asked)
    if not NAME.fullmatch(name):
        raise SpecificationError(f"--name {name!r} is no name for a file; use letters, digits, '-', '_' and '.'")
    folder = request.out / name
    settings, state = _resumed(request, folder, device) if request.resume else _begun(request, name, asked, device)
    recipe, sizes = Recipe(**settings["recipe"]), specification.from_json(settings["specification"])
    training, validation = splits(settings["data"], request.data_dir)
    runs.make_folder(folder)
    parameters = models.parameter_count(state.model)
    _tell(f"{name}: {parameters:,} parameters, {len(training):,} {training.name} images, on {device}")

    interrupted, kept = False, len(state.epochs)
    path = folder / f"{name}.safetensors"
    event_files = Events(folder / events.FOLDER if request.tensorboard else None, recipe, len(training), done=kept)
    with event_files, Display(recipe.epochs) as display:

        def keep(epoch: Epoch) -> None:
            nonlocal kept
            best = state.best_epoch is epoch
            if best:
                checkpoint.save(path, _checkpoint(name, sizes, recipe, state, validation, test=None))
            runs.save_state(folder, state, settings)
            loop.write_metrics(folder / runs.METRICS_FILE, state.epochs, settings=settings)
            kept = epoch.number
            display.epoch(epoch, best=best)
            event_files.epoch(epoch)

        def step(progress: Progress) -> None:
            display.step(progress)
            event_files.step(progress)

        try:
            loop.run(state, recipe, training, validation, device=device, on_progress=step, on_epoch=keep)
        except KeyboardInterrupt:
            interrupted = True
            if len(state.epochs) > kept:  # it fell between the end of an epoch and its files
                keep(state.epochs[-1])
    if state.best_epoch is None:
        raise EdgeError("interrupted before the first epoch was complete, nothing was kept; start again")
    opened = None if interrupted else test_split(settings["data"], request.data_dir)
    final, answers = _judged(name, sizes, recipe, state, validation, test=opened)
    if not interrupted:
        checkpoint.save(path, final)
        found = {"accuracy": list(final.accuracy), "temperature": final.temperature}
        loop.write_metrics(folder / runs.METRICS_FILE, state.epochs, settings=settings, **found)
    written = None
    if request.report:
        course = Course(recipe, settings["data"], len(training), tuple(state.epochs))
        here = environment.here(device)
        written = report.attempt(folder, Run(final, course, answers[0], None if interrupted else answers[1], here))
    return Result(
        path, state.best_epoch, recipe.epochs, interrupted, None if interrupted else final.accuracy[-1], written
    )


def _begun(request: Request, name: str, sizes: Specification, device: torch.device) -> tuple[dict[str, Any], State]:
    recipe = dataclasses.replace(recipes.default(request.model), **request.dials)
    torch.manual_seed(recipe.seed)
    state = loop.begin(models.build(sizes), recipe, device)
    return runs.settings_of(name, sizes, recipe, request.data), state


def _resumed(request: Request, folder: Path, device: torch.device) -> tuple[dict[str, Any], State]:
    settings = runs.load_settings(folder)
    _refuse_other_dials(request.dials, Recipe(**settings["recipe"]))
    return settings, runs.load_state(folder, device)


def _refuse_other_dials(dials: dict[str, Any], recipe: Recipe) -> None:
    for dial, wanted in dials.items():
        if (running := getattr(recipe, dial)) != wanted:
            option = f"--{dial.replace('_', '-')}"
            raise RecipeError(
                f"the run was started with {option} {running}, and --resume goes on with it; "
                f"leave {option} out, or start anew without --resume"
            )


def splits(data: str, folder: Path | None) -> tuple[Split, Split]:
    """The (training, validation) splits of a data set by name."""
    if data == "mnist":
        return mnist.load(folder)
    return _strokes("training"), _strokes("validation")


def test_split(data: str, folder: Path | None) -> Split:
    """The test split of a data set by name: opened once, when training is over."""
    return mnist.load_test(folder) if data == "mnist" else _strokes("test")


test_split.__test__ = False  # type: ignore[attr-defined]  # its name is no wish to be collected


def summary(result: Result) -> str:
    """The result in a few lines, ending with what to type next."""
    best = result.best
    lines = [f"best epoch {best.number}: validation accuracy {best.validation_accuracy:.2%}"]
    if result.test is not None:
        figure = result.test
        lines.append(f"{figure['data']} {figure['split']}, {figure['images']:,} images: {figure['accuracy']:.2%}")
    lines.append(f"checkpoint: {result.path}")
    if result.report is not None:
        lines.append(f"report: {result.report}")
    if result.interrupted:
        lines.append("interrupted; the same command with --resume goes on")
    name = result.path.stem
    lines.append(f"next: edge export --model {name} --checkpoint {result.path} --quantize")
    return "\n".join(lines)


def _checkpoint(
    name: str, sizes: Specification, recipe: Recipe, state: State, validation: Split, *, test: Split | None
) -> Checkpoint:
    return _judged(name, sizes, recipe, state, validation, test=test)[0]


def _judged(
    name: str, sizes: Specification, recipe: Recipe, state: State, validation: Split, *, test: Split | None
) -> tuple[Checkpoint, list[Answers]]:
    """The best epoch as a checkpoint, and its answers to the validation split and to the test split if there is one."""
    model = models.build(sizes)
    model.load_state_dict(state.best)
    splits = [validation] if test is None else [validation, test]
    answers = [Answers(split, loop.logits_of(model, split.images)) for split in splits]
    best = state.best_epoch
    assert best is not None
    stored = Checkpoint(
        name=name,
        specification=sizes,
        weights=state.best,
        temperature=loop.temperature_of(answers[0].logits, validation.labels),
        accuracy=tuple(record(one.split, float((one.logits.argmax(1) == one.split.labels).mean())) for one in answers),
        training={"recipe": recipes.to_json(recipe), "best_epoch": best.number, "versions": checkpoint.versions()},
    )
    return stored, answers


def record(split: Split, accuracy: float) -> dict[str, Any]:
    """An accuracy figure with the data it was measured on."""
    data, part = split.name.rsplit("-", 1)
    return {"data": data, "split": part, "images": len(split), "accuracy": round(accuracy, 6)}


def _strokes(part: str) -> Split:
    images, labels = strokes.sample(STROKE_IMAGES[part], seed=STROKE_SEEDS[part])
    return Split(f"strokes-{part}", images, labels)


def _device(wanted: str) -> torch.device:
    if wanted == "cuda" and not torch.cuda.is_available():
        raise DeviceError("this machine has no CUDA device that torch can use; train with --device cpu")
    use_cuda = wanted == "cuda" or (wanted == "auto" and torch.cuda.is_available())
    return torch.device("cuda" if use_cuda else "cpu")


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201
