"""One training run: from what is asked for to the checkpoint of the best epoch."""

import dataclasses
import re
import shlex
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from edge.bundle.input import DIGITS
from edge.errors import EdgeError
from edge.text import files
from edge.text.terminal import printable, to_stderr
from edge_train.data import datasets
from edge_train.data.datasets import Dataset
from edge_train.data.splits import DataError, Split
from edge_train.models import networks, specification
from edge_train.models.specification import Specification, SpecificationError
from edge_train.training import checkpoint, evaluation, loop, mixture, recipes, run_folder
from edge_train.training.callbacks import TENSORBOARD_FOLDER, Callback, RunProgress, TensorBoard
from edge_train.training.checkpoint import Checkpoint, CheckpointError
from edge_train.training.evaluation import Answers
from edge_train.training.loop import Epoch, State, TrainingData, TrainingStep
from edge_train.training.recipes import Recipe, RecipeError

# It names a folder, a file and a model; `edge export` takes a colon for somebody's own module.
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")

DEFAULT_MODEL = "lstm"
DEFAULT_DATA = datasets.MNIST


class DeviceError(EdgeError):
    """CUDA was asked for and is not there."""


class NothingKeptError(EdgeError):
    """Ctrl-C came before the first epoch was complete."""


@dataclass(frozen=True, slots=True)
class TrainingRequest:
    """What is asked of a run; `None` and hyperparameters that are not named mean the recipe's own.

    Attributes:
        model: what to train; `None` is `DEFAULT_MODEL`, or what a resumed run was started with.
        name: of the result; `None` is made from the sizes.
        recipe: its name.
        data: what `datasets.find` takes; `None` is `DEFAULT_DATA`, or what a resumed run was started with.
        data_dir: where published sets are; `None` is the usual place.
        hyperparameters: fields of `Recipe` in place of the recipe's own.
        sizes: what `specification.resized` takes.
        start: a checkpoint or a shipped model whose weights the run goes on from; `None` draws the first weights.
        out: folder of the runs.
        resume: whether an interrupted run goes on.
        device: "auto", "cpu" or "cuda".
        threads: of the CPU; `None` takes what PyTorch takes.
        tensorboard: whether event files are written.
        test: whether the test set is opened at the end; runs that are chosen among must not look at it.
        part_of: what the run is a part of, such as "run 2/6"; progress says so, and leaves no lines of its own.
    """

    model: str | None = None
    name: str | None = None
    recipe: str = "best"
    data: str | None = None
    data_dir: Path | None = None
    hyperparameters: dict[str, Any] = field(default_factory=dict)
    sizes: dict[str, Any] = field(default_factory=dict)
    start: str | None = None
    out: Path = Path("runs")
    resume: bool = False
    device: str = "auto"
    threads: int | None = None
    tensorboard: bool = False
    test: bool = True
    part_of: str = ""


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """A run when it is over, or was interrupted: what it left behind, and all that its report tells.

    Attributes:
        path: of the checkpoint.
        checkpoint: of the best epoch; its temperature was fitted on the validation split.
        recipe: that it was trained by.
        data: what `--data` named.
        training_images: that an epoch shows, drawn ones and those of no class among them.
        epochs: those that are complete, at least one.
        validation: the best epoch's answers to the validation split.
        test: its answers to the test split; `None` for an interrupted run and where it was not to be opened.
        environment: where it was trained.
        interrupted: whether Ctrl-C ended it.
    """

    path: Path
    checkpoint: Checkpoint
    recipe: Recipe
    data: str
    training_images: int
    epochs: tuple[Epoch, ...]
    validation: Answers
    test: Answers | None = None
    environment: dict[str, Any] = field(default_factory=dict)
    interrupted: bool = False

    @property
    def best(self) -> Epoch:
        """The epoch that was kept."""
        number: int = self.checkpoint.training["best_epoch"]
        return self.epochs[number - 1]

    @property
    def test_record(self) -> dict[str, Any] | None:
        """The accuracy on the test split with the data it was measured on; `None` where it was not opened."""
        return None if self.test is None else evaluation.accuracy_record(self.test.split, self.test.accuracy)


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


def train(
    request: TrainingRequest, *, source: Dataset | None = None, callbacks: Sequence[Callback] = ()
) -> TrainingResult:
    """Trains as requested and writes the best epoch as a checkpoint after every epoch.

    Args:
        request: what is asked for.
        source: the data set, in place of the one that the request names.
        callbacks: are told of every step and epoch, after the progress bar.

    Raises:
        EdgeError: a size or hyperparameter out of range, data or CUDA missing, nothing to resume, a loss that is no
            number, a folder that cannot be written, or an interruption before the first epoch was complete.
    """
    device = _device(request.device)
    torch.set_num_threads(request.threads or torch.get_num_threads())
    run = _prepared(request, source, device)
    data = mixture.training_data(run.recipe, run.source, device)
    # Before the first epoch, because an hour later is late to learn that it cannot be made.
    files.make_folder(run.folder, advice="choose another --out")
    shown = len(data.training) + data.drawn_per_epoch(run.recipe) + data.outliers_per_epoch(run.recipe)
    if not request.part_of:
        parameters, training = networks.parameter_count(run.state.model), data.training
        to_stderr(f"{run.name}: {parameters:,} parameters, {len(training):,} {training.name} images, on {device}")
    interrupted = _learn(run, data, device, request, callbacks)
    if run.state.best_epoch is None:
        raise NothingKeptError("interrupted before the first epoch was complete, nothing was kept; start again")
    test = run.source.test() if request.test and not interrupted else None
    kept, answers = _evaluated(run, data.validation, test=test)
    if not interrupted:
        checkpoint.save(run.path, kept)
        run_folder.write_metrics(
            run.folder,
            run.state.epochs,
            settings=run.settings,
            accuracy=list(kept.accuracy),
            temperature=kept.temperature,
        )
    return TrainingResult(
        path=run.path,
        checkpoint=kept,
        recipe=run.recipe,
        data=run.settings["data"],
        training_images=shown,
        epochs=tuple(run.state.epochs),
        validation=answers[0],
        test=None if test is None else answers[1],
        environment=run_folder.environment(device),
        interrupted=interrupted,
    )


def summary(result: TrainingResult, report: Path | None = None) -> str:
    """The result in a few lines, ending with what to type next.

    Args:
        result: of the run.
        report: its page, where there is one.
    """
    best = result.best
    lines = [f"best epoch {best.number}: validation accuracy {best.validation_accuracy:.2%}"]
    if (figure := result.test_record) is not None:
        lines.append(f"{figure['data']} {figure['split']}, {figure['images']:,} images: {figure['accuracy']:.2%}")
    lines.append(f"checkpoint: {result.path}")
    if report is not None:
        lines.append(f"report: {report}")
    if result.interrupted:
        lines.append("interrupted; the same command with --resume goes on")
    lines.append(next_step(result.path.stem, result.path))
    return "\n".join(lines)


def next_step(name: str, path: Path) -> str:
    """The line with the command that exports a checkpoint; it can be copied whatever the folder is called."""
    command = ["edge", "export", "--model", name, "--checkpoint", str(path), "--quantize"]
    return f"next: {printable(shlex.join(command))}"


def _prepared(request: TrainingRequest, source: Dataset | None, device: torch.device) -> _Run:
    model = DEFAULT_MODEL if request.model is None else request.model
    data = DEFAULT_DATA if request.data is None else request.data
    asked = specification.resized(specification.named(model), **request.sizes)
    found = datasets.find(data, request.data_dir) if source is None else source
    name = request.name or specification.name_of(asked) + found.suffix
    if not NAME.fullmatch(name):
        raise SpecificationError(f"--name {name!r} is no name for a file; use letters, digits, '-', '_' and '.'")
    folder = request.out / name
    if request.resume:
        return _resumed(request, source, name, folder, device)
    written = recipes.named(request.recipe, model)
    if found.labels != DIGITS:  # only into digits can drawn ones be mixed, and a model of digits teaches no others
        written = recipes.for_other_classes(written)
    recipe = dataclasses.replace(written, **request.hyperparameters)
    sizes = specification.of_classes(asked, len(found.labels))
    torch.manual_seed(recipe.seed)
    settings = {**run_folder.settings_of(name, sizes, recipe, found.data), "labels": list(found.labels)}
    if request.start is not None:
        stored = _start(request.start, sizes, found)
        network, settings["start"] = stored.model(), {"name": stored.name, "sha256": stored.sha256}
    elif request.recipe == recipes.FINE_TUNED:
        raise RecipeError(
            f"the recipe {recipes.FINE_TUNED} goes on from a trained model; name its checkpoint with --start, "
            "or use --recipe best"
        )
    else:
        network = networks.build(sizes, initialise=recipe.initialisation == "edge")
    state = loop.begin(network, recipe, device, trained=request.start is not None)
    return _Run(name, folder, sizes, recipe, state, settings, found)


def _start(start: str, sizes: Specification, source: Dataset) -> Checkpoint:
    """The checkpoint that a run goes on from.

    Raises:
        CheckpointError: there is none, it is damaged, or it is of another model or of other classes.
    """
    path = checkpoint.shipped(start) or Path(start)
    if not path.is_file():
        raise CheckpointError(f"no checkpoint {start!r} to start from; name a file or a shipped model with --start")
    stored = checkpoint.load(path)
    if stored.specification != sizes:
        raise CheckpointError(
            f"{start} is {specification.name_of(stored.specification)}, and {specification.name_of(sizes)} is to be "
            "trained; name the model of the checkpoint with --model, or another --start"
        )
    if stored.labels != source.labels:
        raise CheckpointError(
            f"{start} has other classes than {source.name}; train from the beginning, without --start"
        )
    return stored


def _resumed(request: TrainingRequest, source: Dataset | None, name: str, folder: Path, device: torch.device) -> _Run:
    """The run in a folder as it was left, with what it was started with, and with nothing else under its name."""
    settings = {"labels": list(DIGITS), **run_folder.load_settings(folder)}  # older runs know of ten digits only
    recipe, sizes = recipes.from_json(settings["recipe"]), specification.from_json(settings["specification"])
    state = run_folder.load_state(folder, device)
    _refuse_other_hyperparameters(request.hyperparameters, recipe)
    _refuse_other_sizes(request, sizes)
    if request.start is not None and "start" not in settings:
        raise _other("--start", "without --start", CheckpointError)
    if request.data is not None and Path(request.data) != Path(settings["data"]):
        raise _other("--data", f"with --data {settings['data']}", DataError)
    found = datasets.find(settings["data"], request.data_dir) if source is None else source
    if settings["labels"] != list(found.labels):
        raise DataError(
            f"the run was started with the classes {', '.join(settings['labels'])}, and {found.data} has "
            f"{', '.join(found.labels)} now; bring them back, or start anew without --resume"
        )
    return _Run(name, folder, sizes, recipe, state, settings, found)


def _learn(
    run: _Run, data: TrainingData, device: torch.device, request: TrainingRequest, callbacks: Sequence[Callback]
) -> bool:
    """Trains, with files after every epoch, and says whether it was interrupted."""
    state, kept = run.state, len(run.state.epochs)
    told: list[Callback] = []
    with ExitStack() as stack:
        if request.tensorboard:
            folder = run.folder / TENSORBOARD_FOLDER
            told.append(stack.enter_context(TensorBoard(folder, run.recipe, data.batches(run.recipe), done=kept)))
        told.insert(0, stack.enter_context(RunProgress(run.recipe.epochs, request.part_of)))
        told += callbacks

        def on_epoch(epoch: Epoch) -> None:
            nonlocal kept
            best = state.best_epoch is epoch
            if best:
                checkpoint.save(run.path, _evaluated(run, data.validation, test=None)[0])
            run_folder.save_state(run.folder, state, run.settings)
            run_folder.write_metrics(run.folder, state.epochs, settings=run.settings)
            kept = epoch.number
            for callback in told:
                callback.on_epoch(epoch, best=best)

        def on_step(step: TrainingStep) -> None:
            for callback in told:
                callback.on_step(step)

        try:
            loop.run(state, run.recipe, data, device=device, on_step=on_step, on_epoch=on_epoch)
        except KeyboardInterrupt:
            if len(state.epochs) > kept:  # it fell between the end of an epoch and its files
                on_epoch(state.epochs[-1])
            return True
    return False


def _refuse_other_hyperparameters(asked: dict[str, Any], recipe: Recipe) -> None:
    for name, wanted in asked.items():
        if (running := getattr(recipe, name)) != wanted:
            option = f"--{name.replace('_', '-')}"
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


def _evaluated(run: _Run, validation: Split, *, test: Split | None) -> tuple[Checkpoint, list[Answers]]:
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
        accuracy=tuple(evaluation.accuracy_record(one.split, one.accuracy) for one in answers),
        training={
            "recipe": recipes.to_json(run.recipe),
            "data": run.source.data,
            "best_epoch": best.number,
            "versions": checkpoint.versions(),
            **({"start": run.settings["start"]} if "start" in run.settings else {}),
        },
    )
    return stored, answers


def _device(wanted: str) -> torch.device:
    if wanted == "cuda" and not torch.cuda.is_available():
        raise DeviceError("this machine has no CUDA device that torch can use; train with --device cpu")
    use_cuda = wanted == "cuda" or (wanted == "auto" and torch.cuda.is_available())
    return torch.device("cuda" if use_cuda else "cpu")
