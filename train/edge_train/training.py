"""One training run from request to checkpoint."""

import dataclasses
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from edge.errors import EdgeError
from edge_train import checkpoint, loop, mnist, models, recipes, runs, specification, strokes
from edge_train.checkpoint import Checkpoint
from edge_train.loop import Epoch, Material, State
from edge_train.mnist import Split
from edge_train.progress import Display
from edge_train.recipes import Recipe, RecipeError
from edge_train.specification import Specification, SpecificationError

# It names a folder, a file and a model; `edge export` takes a colon for somebody's own module.
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")

# Data whose classes are the ten digits: drawn digits can be mixed in, and a model of digits can teach.
DIGITS = ("mnist", "qmnist", "emnist-digits", "strokes")

# Seeds of the stroke splits, far from anything that a user would pick for --seed.
STROKE_SEEDS = {"training": 1_001, "validation": 1_002, "test": 1_003, "mixed": 1_004}
MIXED_POOL = 4  # times as many drawn digits as an epoch mixes in, so that epochs differ
STROKE_IMAGES = {"training": 20_000, "validation": 5_000, "test": 5_000}


class DeviceError(EdgeError):
    """CUDA was asked for and is not there."""


class NothingKeptError(EdgeError):
    """Ctrl-C came before the first epoch was complete."""


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked for on the command line; `None` and absent dials mean the recipe's own.

    `test`: whether the test set is opened at the end; runs that are chosen among must not look at it.
    `part_of`: what the run is a part of, such as "run 2/6"; progress says so, and leaves no lines of its own.
    """

    model: str
    name: str | None = None
    recipe: str = "best"
    data: str = "mnist"
    data_dir: Path | None = None
    dials: dict[str, Any] = field(default_factory=dict)
    sizes: dict[str, Any] = field(default_factory=dict)
    out: Path = Path("runs")
    resume: bool = False
    device: str = "auto"
    threads: int | None = None
    test: bool = True
    part_of: str = ""


@dataclass(frozen=True, slots=True)
class Result:
    """What a run left behind."""

    path: Path
    best: Epoch
    epochs: int  # of the recipe
    interrupted: bool
    test: (
        dict[str, Any] | None
    )  # the accuracy record of the test split; None after an interruption, or where it was not opened


@dataclass(frozen=True, slots=True)
class _Run:
    """A run that is ready to go on, from its start or from where it was interrupted."""

    name: str
    folder: Path
    sizes: Specification
    recipe: Recipe
    state: State
    settings: dict[str, Any]

    @property
    def path(self) -> Path:
        return self.folder / f"{self.name}.safetensors"


def train(request: Request) -> Result:
    """Trains as requested and writes the best epoch as a checkpoint after every epoch.

    Raises:
        EdgeError: a size or dial out of range, data or CUDA missing, nothing to resume, a loss that is no number, or
            an interruption before the first epoch was complete.
    """
    device = _device(request.device)
    torch.set_num_threads(request.threads or torch.get_num_threads())
    run = _prepared(request, device)
    material = _material(run.recipe, run.settings["data"], request.data_dir, device)
    runs.make_folder(run.folder)
    parameters = models.parameter_count(run.state.model)
    training = material.training
    if not request.part_of:
        _tell(f"{run.name}: {parameters:,} parameters, {len(training):,} {training.name} images, on {device}")
    interrupted = _learn(run, material, device, request.part_of)
    best = run.state.best_epoch
    if best is None:
        raise NothingKeptError("interrupted before the first epoch was complete, nothing was kept; start again")
    if interrupted:
        return Result(run.path, best, run.recipe.epochs, interrupted, test=None)
    opened = test_split(run.settings["data"], request.data_dir) if request.test else None
    final = _checkpoint(run, material.validation, test=opened)
    checkpoint.save(run.path, final)
    loop.write_metrics(
        run.folder / runs.METRICS_FILE,
        run.state.epochs,
        settings=run.settings,
        accuracy=list(final.accuracy),
        temperature=final.temperature,
    )
    return Result(run.path, best, run.recipe.epochs, interrupted, test=final.accuracy[-1] if request.test else None)


def _prepared(request: Request, device: torch.device) -> _Run:
    asked = specification.resized(specification.named(request.model), **request.sizes)
    name = request.name or specification.name_of(asked)
    if not NAME.fullmatch(name):
        raise SpecificationError(f"--name {name!r} is no name for a file; use letters, digits, '-', '_' and '.'")
    folder = request.out / name
    if request.resume:
        settings = runs.load_settings(folder)
        recipe = Recipe(**settings["recipe"])
        _refuse_other_dials(request.dials, recipe)
        sizes = specification.from_json(settings["specification"])
        return _Run(name, folder, sizes, recipe, runs.load_state(folder, device), settings)
    written = recipes.named(request.recipe, request.model)
    if request.data not in DIGITS:
        written = recipes.for_other_classes(written)
    recipe = dataclasses.replace(written, **request.dials)
    torch.manual_seed(recipe.seed)
    model = models.build(asked, initialise=recipe.initialisation == "edge")
    settings = runs.settings_of(name, asked, recipe, request.data)
    return _Run(name, folder, asked, recipe, loop.begin(model, recipe, device), settings)


def _learn(run: _Run, material: Material, device: torch.device, part_of: str) -> bool:
    """Trains, with files after every epoch, and says whether it was interrupted."""
    state, kept = run.state, len(run.state.epochs)
    with Display(run.recipe.epochs, part_of) as display:

        def keep(epoch: Epoch) -> None:
            nonlocal kept
            best = state.best_epoch is epoch
            if best:
                checkpoint.save(run.path, _checkpoint(run, material.validation, test=None))
            runs.save_state(run.folder, state, run.settings)
            loop.write_metrics(run.folder / runs.METRICS_FILE, state.epochs, settings=run.settings)
            kept = epoch.number
            display.epoch(epoch, best=best)

        try:
            loop.run(state, run.recipe, material, device=device, on_progress=display.step, on_epoch=keep)
        except KeyboardInterrupt:
            if len(state.epochs) > kept:  # it fell between the end of an epoch and its files
                keep(state.epochs[-1])
            return True
    return False


def _refuse_other_dials(dials: dict[str, Any], recipe: Recipe) -> None:
    for dial, wanted in dials.items():
        if (running := getattr(recipe, dial)) != wanted:
            option = f"--{dial.replace('_', '-')}"
            raise RecipeError(
                f"the run was started with {option} {running}, and --resume goes on with it; "
                f"leave {option} out, or start anew without --resume"
            )


def _material(recipe: Recipe, data: str, folder: Path | None, device: torch.device) -> Material:
    training, validation = splits(data, folder)
    drawn = None
    if recipe.strokes:
        images, labels = strokes.sample(
            round(recipe.strokes * len(training) * MIXED_POOL), seed=STROKE_SEEDS["mixed"] + recipe.seed * 10
        )
        drawn = Split("strokes-mixed", images, labels)
    return Material(training, validation, drawn, _teacher(recipe.teacher, device) if recipe.teacher else None)


def _teacher(name: str, device: torch.device) -> nn.Module:
    """The model of a shipped checkpoint, or of a file, ready to be asked.

    Raises:
        RecipeError: there is no such checkpoint.
    """
    path = checkpoint.shipped(name) or Path(name)
    if not path.is_file():
        raise RecipeError(
            f"no teacher {name!r}; name a shipped checkpoint or a file with --teacher, or leave it out: ''"
        )
    return checkpoint.load(path).model().to(device)


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
    if result.interrupted:
        lines.append("interrupted; the same command with --resume goes on")
    name = result.path.stem
    lines.append(f"next: edge export --model {name} --checkpoint {result.path} --quantize")
    return "\n".join(lines)


def _checkpoint(run: _Run, validation: Split, *, test: Split | None) -> Checkpoint:
    model = models.build(run.sizes)
    model.load_state_dict(run.state.best)
    logits = loop.logits_of(model, validation.images)
    accuracy = [record(validation, float((logits.argmax(1) == validation.labels).mean()))]
    if test is not None:
        accuracy.append(record(test, loop.score(model, test)[1]))
    best = run.state.best_epoch
    assert best is not None
    return Checkpoint(
        name=run.name,
        specification=run.sizes,
        weights=run.state.best,
        temperature=loop.temperature_of(logits, validation.labels),
        accuracy=tuple(accuracy),
        training={"recipe": recipes.to_json(run.recipe), "best_epoch": best.number, "versions": checkpoint.versions()},
    )


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
