"""One training run from request to checkpoint."""

import dataclasses
import re
import shlex
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from edge.bundle.input import DIGITS
from edge.errors import EdgeError
from edge.text.terminal import printable
from edge_train import (
    report,
    strokes,
)
from edge_train.data import (
    datasets,
)
from edge_train.data.datasets import Dataset
from edge_train.data.splits import DataError, Split
from edge_train.models import (
    networks,
    specification,
)
from edge_train.models.specification import Specification, SpecificationError
from edge_train.report import environment
from edge_train.report.run import Answers, Course, Run
from edge_train.training import (
    checkpoint,
    evaluation,
    events,
    loop,
    recipes,
    run_folder,
)
from edge_train.training.checkpoint import Checkpoint
from edge_train.training.events import Events
from edge_train.training.loop import Epoch, State, Step, TrainingData
from edge_train.training.progress import Display
from edge_train.training.recipes import Recipe, RecipeError

# It names a folder, a file and a model; `edge export` takes a colon for somebody's own module.
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")

DEFAULT_MODEL = "lstm"
DEFAULT_DATA = datasets.MNIST

MIXED_SEED = 1_004  # beside those of the stroke splits
MIXED_POOL = 4  # times as many drawn digits as an epoch mixes in, so that epochs differ


class DeviceError(EdgeError):
    """CUDA was asked for and is not there."""


class NothingKeptError(EdgeError):
    """Ctrl-C came before the first epoch was complete."""


@dataclass(frozen=True, slots=True)
class TrainingRequest:
    """What was asked for on the command line; `None` and absent dials mean the recipe's own.

    `model`, `data`: `None` is `DEFAULT_MODEL` and `DEFAULT_DATA`, or what a resumed run was started with.
    `test`: whether the test set is opened at the end; runs that are chosen among must not look at it.
    `part_of`: what the run is a part of, such as "run 2/6"; progress says so, and leaves no lines of its own.
    """

    model: str | None = None
    name: str | None = None
    recipe: str = "best"
    data: str | None = None
    data_dir: Path | None = None
    dials: dict[str, Any] = field(default_factory=dict)
    sizes: dict[str, Any] = field(default_factory=dict)
    out: Path = Path("runs")
    resume: bool = False
    device: str = "auto"
    threads: int | None = None
    report: bool = True
    tensorboard: bool = False
    test: bool = True
    part_of: str = ""


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """What a run left behind."""

    path: Path
    best: Epoch
    epochs: int  # of the recipe
    interrupted: bool
    test: dict[str, Any] | None  # the accuracy record of the test split; None where it was not opened
    report: Path | None = None  # None when none was asked for, or it failed


@dataclass(frozen=True, slots=True)
class _Run:
    """A run that is ready to go on, from its start or from where it was interrupted."""

    name: str
    folder: Path
    sizes: Specification
    recipe: Recipe
    state: State
    settings: dict[str, Any]
    source: Dataset

    @property
    def path(self) -> Path:
        return self.folder / f"{self.name}.safetensors"


def train(request: TrainingRequest) -> TrainingResult:
    """Trains as requested and writes the best epoch as a checkpoint after every epoch.

    Raises:
        EdgeError: a size or dial out of range, data or CUDA missing, nothing to resume, a loss that is no number, or
            an interruption before the first epoch was complete.
    """
    device = _device(request.device)
    torch.set_num_threads(request.threads or torch.get_num_threads())
    run = _prepared(request, device)
    material = _material(run.recipe, run.source, device)
    run_folder.make_folder(run.folder)
    parameters = networks.parameter_count(run.state.model)
    training = material.training
    if not request.part_of:
        _tell(f"{run.name}: {parameters:,} parameters, {len(training):,} {training.name} images, on {device}")
    interrupted = _learn(run, material, device, tensorboard=request.tensorboard, part_of=request.part_of)
    best = run.state.best_epoch
    if best is None:
        raise NothingKeptError("interrupted before the first epoch was complete, nothing was kept; start again")
    opened = test_split(run.source) if request.test and not interrupted else None
    final, answers = _judged(run, material.validation, test=opened)
    if not interrupted:
        checkpoint.save(run.path, final)
        loop.write_metrics(
            run.folder / run_folder.METRICS_FILE,
            run.state.epochs,
            settings=run.settings,
            accuracy=list(final.accuracy),
            temperature=final.temperature,
        )
    written = None
    if request.report:
        shown = len(training) + material.drawn_per_epoch(run.recipe)
        course = Course(run.recipe, run.settings["data"], shown, tuple(run.state.epochs))
        here = environment.here(device)
        written = report.attempt(
            run.folder, Run(final, course, answers[0], None if opened is None else answers[1], here)
        )
    test = None if opened is None else final.accuracy[-1]
    return TrainingResult(run.path, best, run.recipe.epochs, interrupted, test, written)


def _prepared(request: TrainingRequest, device: torch.device) -> _Run:
    model = DEFAULT_MODEL if request.model is None else request.model
    data = DEFAULT_DATA if request.data is None else request.data
    asked = specification.resized(specification.named(model), **request.sizes)
    source = datasets.find(data, request.data_dir)
    name = request.name or specification.name_of(asked) + source.suffix
    if not NAME.fullmatch(name):
        raise SpecificationError(f"--name {name!r} is no name for a file; use letters, digits, '-', '_' and '.'")
    folder = request.out / name
    if request.resume:
        return _resumed(request, name, folder, device)
    written = recipes.named(request.recipe, model)
    if source.labels != DIGITS:  # only into digits can drawn ones be mixed, and a model of digits teaches no others
        written = recipes.for_other_classes(written)
    recipe = dataclasses.replace(written, **request.dials)
    sizes = specification.of_classes(asked, len(source.labels))
    torch.manual_seed(recipe.seed)
    network = networks.build(sizes, initialise=recipe.initialisation == "edge")
    settings = {**run_folder.settings_of(name, sizes, recipe, data), "labels": list(source.labels)}
    return _Run(name, folder, sizes, recipe, loop.begin(network, recipe, device), settings, source)


def _resumed(request: TrainingRequest, name: str, folder: Path, device: torch.device) -> _Run:
    """The run in a folder as it was left, with what it was started with, and with nothing else under its name."""
    settings = {"labels": list(DIGITS), **run_folder.load_settings(folder)}  # older runs know of ten digits only
    recipe, sizes = recipes.from_json(settings["recipe"]), specification.from_json(settings["specification"])
    state = run_folder.load_state(folder, device)
    _refuse_other_dials(request.dials, recipe)
    _refuse_other_sizes(request, sizes)
    if request.data is not None and Path(request.data) != Path(settings["data"]):
        raise _other("--data", f"with --data {settings['data']}", DataError)
    source = datasets.find(settings["data"], request.data_dir)
    if settings["labels"] != list(source.labels):
        raise DataError(
            f"the run was started with the classes {', '.join(settings['labels'])}, and {source.data} has "
            f"{', '.join(source.labels)} now; bring them back, or start anew without --resume"
        )
    return _Run(name, folder, sizes, recipe, state, settings, source)


def _learn(run: _Run, material: TrainingData, device: torch.device, *, tensorboard: bool, part_of: str) -> bool:
    """Trains, with files after every epoch, and says whether it was interrupted."""
    state, kept = run.state, len(run.state.epochs)
    event_folder = run.folder / events.FOLDER if tensorboard else None
    with (
        Events(event_folder, run.recipe, material.batches(run.recipe), done=kept) as event_files,
        Display(run.recipe.epochs, part_of) as display,
    ):

        def keep(epoch: Epoch) -> None:
            nonlocal kept
            best = state.best_epoch is epoch
            if best:
                checkpoint.save(run.path, _checkpoint(run, material.validation, test=None))
            run_folder.save_state(run.folder, state, run.settings)
            loop.write_metrics(run.folder / run_folder.METRICS_FILE, state.epochs, settings=run.settings)
            kept = epoch.number
            display.epoch(epoch, best=best)
            event_files.epoch(epoch)

        def step(progress: Step) -> None:
            display.step(progress)
            event_files.step(progress)

        try:
            loop.run(state, run.recipe, material, device=device, on_progress=step, on_epoch=keep)
        except KeyboardInterrupt:
            if len(state.epochs) > kept:  # it fell between the end of an epoch and its files
                keep(state.epochs[-1])
            return True
    return False


def _refuse_other_dials(dials: dict[str, Any], recipe: Recipe) -> None:
    for dial, wanted in dials.items():
        if (running := getattr(recipe, dial)) != wanted:
            option = f"--{dial.replace('_', '-')}"
            raise _other(option, f"with {option} {running}", RecipeError)


def _refuse_other_sizes(request: TrainingRequest, running: Specification) -> None:
    of_digits = specification.of_classes(running, specification.CLASSES)  # sizes are typed for ten classes
    typed = {size: setting for size, setting in request.sizes.items() if setting is not None}
    named = of_digits if request.model is None else specification.named(request.model)
    if specification.resized(named, **typed) != of_digits:
        options = [f"--{option}" for option in (*(() if request.model is None else ("model",)), *typed)]
        raise _other(", ".join(options), f"as {specification.name_of(running)}", SpecificationError)


def _other(options: str, started: str, kind: type[EdgeError]) -> EdgeError:
    return kind(
        f"the run was started {started}, and --resume goes on with it; leave {options} out, or start anew "
        "without --resume"
    )


def _material(recipe: Recipe, source: Dataset, device: torch.device) -> TrainingData:
    if recipe.strokes and source.labels != DIGITS:
        raise RecipeError(f"{source.name} has other classes than drawn digits; leave --strokes out")
    teacher = _teacher(recipe.teacher, source, device) if recipe.teacher else None
    training, validation = source.splits()
    drawn = None
    if recipe.strokes:
        images, labels = strokes.sample(
            round(recipe.strokes * len(training) * MIXED_POOL), seed=MIXED_SEED + recipe.seed * 10
        )
        drawn = Split("strokes-mixed", images, labels)
    return TrainingData(training, validation, drawn, teacher)


def _teacher(name: str, source: Dataset, device: torch.device) -> nn.Module:
    """The model of a shipped checkpoint, or of a file, ready to be asked.

    Raises:
        RecipeError: there is no such checkpoint, or it has other classes than the data.
    """
    path = checkpoint.shipped(name) or Path(name)
    if not path.is_file():
        raise RecipeError(
            f"no teacher {name!r}; name a shipped checkpoint or a file with --teacher, or leave it out: ''"
        )
    stored = checkpoint.load(path)
    if stored.labels != source.labels:
        raise RecipeError(f"the teacher {name} has other classes than {source.name}; leave it out: --teacher ''")
    return stored.model().to(device)


def test_split(source: Dataset) -> Split:
    """The test split of a data set: opened once, when training is over."""
    return source.test()


test_split.__test__ = False  # type: ignore[attr-defined]  # its name is no wish to be collected


def summary(result: TrainingResult) -> str:
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
    lines.append(next_step(result.path.stem, result.path))
    return "\n".join(lines)


def next_step(name: str, path: Path) -> str:
    """The line with the command that exports a checkpoint; it can be copied whatever the folder is called."""
    command = ["edge", "export", "--model", name, "--checkpoint", str(path), "--quantize"]
    return f"next: {printable(shlex.join(command))}"


def _checkpoint(run: _Run, validation: Split, *, test: Split | None) -> Checkpoint:
    return _judged(run, validation, test=test)[0]


def _judged(run: _Run, validation: Split, *, test: Split | None) -> tuple[Checkpoint, list[Answers]]:
    """The best epoch as a checkpoint, and its answers to the validation split and to the test split if there is one."""
    model = networks.build(run.sizes)
    model.load_state_dict(run.state.best)
    splits = [validation] if test is None else [validation, test]
    answers = [Answers(split, evaluation.logits_of(model, split.images)) for split in splits]
    best = run.state.best_epoch
    assert best is not None
    stored = Checkpoint(
        name=run.name,
        specification=run.sizes,
        weights=run.state.best,
        labels=run.source.labels,
        temperature=evaluation.temperature_of(answers[0].logits, validation.labels),
        accuracy=tuple(record(one.split, float((one.logits.argmax(1) == one.split.labels).mean())) for one in answers),
        training={
            "recipe": recipes.to_json(run.recipe),
            "data": run.source.data,
            "best_epoch": best.number,
            "versions": checkpoint.versions(),
        },
    )
    return stored, answers


def record(split: Split, accuracy: float) -> dict[str, Any]:
    """An accuracy figure with the data it was measured on."""
    data, part = split.name.rsplit("-", 1)
    return {"data": data, "split": part, "images": len(split), "accuracy": round(accuracy, 6)}


def _device(wanted: str) -> torch.device:
    if wanted == "cuda" and not torch.cuda.is_available():
        raise DeviceError("this machine has no CUDA device that torch can use; train with --device cpu")
    use_cuda = wanted == "cuda" or (wanted == "auto" and torch.cuda.is_available())
    return torch.device("cuda" if use_cuda else "cpu")


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201
