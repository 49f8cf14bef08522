"""The model that is exported: one of edge's own from a checkpoint, or anybody's `nn.Module`."""

import hashlib
import importlib
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from torch import nn

from edge.bundle.input import COLUMNS, DIGITS, ROWS
from edge.errors import EdgeError
from edge_export.graph import conversion, traced
from edge_export.graph.builder import Converted
from edge_train.models import networks, specification
from edge_train.models.specification import MODELS
from edge_train.training import checkpoint
from edge_train.training.checkpoint import Checkpoint, CheckpointError

DEFAULT = "lstm"  # what is exported when nothing is named
PROBES = (2, 3)  # batch sizes that somebody's own module is asked with


class ModelError(EdgeError, ValueError):
    """What `--model` names cannot be exported."""


@dataclass(frozen=True, slots=True)
class TrainedModel:
    """A trained PyTorch model and everything that the manifest says of it.

    `module`: float images [batch, 28, 28] in [0, 1] to logits [batch, labels], in evaluation mode, on the CPU.
    """

    name: str
    model: str
    module: nn.Module
    labels: tuple[str, ...]
    architecture: dict[str, Any]
    checkpoint_sha256: str
    temperature: float = 1.0
    accuracy: tuple[dict[str, Any], ...] = ()
    checkpoint: Checkpoint | None = None  # of edge's own models only

    @property
    def trained_on(self) -> str | None:
        """The data that its checkpoint names, as `--data` took it; `None` where it names none."""
        return None if self.checkpoint is None else self.checkpoint.training.get("data")

    @property
    def parameters(self) -> int:
        """Trainable numbers."""
        return networks.parameter_count(self.module)

    def convert(self) -> Converted:
        """The fp32 graph: written from the weights where edge knows the model, traced by torch otherwise."""
        if self.checkpoint is not None:
            return conversion.convert(self.checkpoint)
        return traced.convert(self.module, classes=len(self.labels), temperature=self.temperature)


def find(model: str | None, path: Path | None, labels: Path | None) -> TrainedModel:
    """The subject of an export.

    Args:
        model: a name, or `package.module:factory`, where the factory takes nothing and returns an `nn.Module`; `None`
            is the name in the checkpoint, and `DEFAULT` without one.
        path: the checkpoint; `None` takes the one that is shipped under that name.
        labels: a text file with one label a line, in the order of the logits.

    Raises:
        ModelError: no such name or factory, labels that do not fit.
        CheckpointError: no checkpoint, or one of another model.
    """
    if model is not None and ":" in model:
        return _own(model, path, labels)
    if path is None:
        model = model or DEFAULT
        path = checkpoint.shipped(model)
        if path is None:
            known = model in MODELS
            advice = f"train it with `edge train --model {model}` and name the result with --checkpoint"
            raise CheckpointError(
                f"no checkpoint of {model!r} is shipped; " + (advice if known else f"use one of {', '.join(MODELS)}")
            )
    stored = checkpoint.load(path)
    if model not in (None, stored.name):
        raise CheckpointError(f"{path} is a checkpoint of {stored.name!r}, not {model!r}; use --model {stored.name}")
    return TrainedModel(
        name=stored.name,
        model=stored.name,
        module=stored.model(),
        labels=stored.labels if labels is None else read_labels(labels, len(stored.labels)),
        architecture=specification.to_json(stored.specification),
        checkpoint_sha256=stored.sha256,
        temperature=stored.temperature,
        accuracy=stored.accuracy,
        checkpoint=stored,
    )


def read_labels(path: Path, classes: int) -> tuple[str, ...]:
    """The labels in a text file, one a line.

    Raises:
        ModelError: it cannot be read, or has not one different label for each class.
    """
    try:
        lines = tuple(line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip())
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(f"cannot read the labels in {path}: {error}; give a text file, one label a line") from error
    if len(lines) != classes or len(set(lines)) != classes:
        raise ModelError(
            f"{path} has {len(lines)} labels ({len(set(lines))} different), the model has {classes} classes; "
            "give each class one label of its own, one a line"
        )
    return lines


def _own(model: str, path: Path | None, labels: Path | None) -> TrainedModel:
    if path is None:
        raise CheckpointError(f"{model} needs its weights; name their file with --checkpoint")
    module = _made(model)
    content = checkpoint.read_file(path)
    try:
        module.load_state_dict(_state(path, content))
    except (RuntimeError, KeyError) as error:
        reason = " ".join(str(error).split())[:300]
        raise CheckpointError(f"the weights in {path} do not fit {model}: {reason}; check both") from error
    module = module.eval().cpu().float()
    classes = _classes(model, module)
    if labels is None and classes != specification.CLASSES:
        raise ModelError(f"{model} has {classes} classes; name them with --labels FILE, one a line")
    return TrainedModel(
        name=model.rpartition(":")[2].lower(),
        model=model,
        module=module,
        labels=read_labels(labels, classes) if labels else DIGITS,
        architecture={"kind": "own", "class": type(module).__qualname__},
        checkpoint_sha256=hashlib.sha256(content).hexdigest(),
    )


def _classes(model: str, module: nn.Module) -> int:
    """How many logits a module gives, asked with two batch sizes: one alone would hide a frozen batch axis."""
    for batch in PROBES:
        with torch.no_grad():
            try:
                output = module(torch.zeros(batch, ROWS, COLUMNS))
            except Exception as error:  # foreign code may raise anything, and all of it means the same
                raise ModelError(
                    f"{model} does not take {batch} float images [{batch}, {ROWS}, {COLUMNS}]: {error}; "
                    "wrap it in a module that takes any batch"
                ) from error
        if not isinstance(output, torch.Tensor) or output.ndim != 2 or len(output) != batch or output.shape[1] < 2:
            shape = tuple(output.shape) if isinstance(output, torch.Tensor) else type(output).__name__
            raise ModelError(f"{model} gives {shape} for {batch} images; it must give logits [batch, classes]")
    return int(output.shape[1])


def _made(model: str) -> nn.Module:
    package, _, factory = model.partition(":")
    if not package or package.startswith(".") or not factory:
        raise ModelError(f"{model!r} names no factory; give --model package.module:factory")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)  # as `python -m` does: the user's module usually lies beside the data
    try:
        source = importlib.import_module(package)
    except ModuleNotFoundError as error:
        raise ModelError(f"no module {error.name!r}; run edge in its folder, or install it") from error
    maker = getattr(source, factory, None)
    if not callable(maker):
        raise ModelError(f"{package} has no factory {factory!r}; give --model package.module:factory")
    try:
        module = maker()
    except TypeError as error:
        raise ModelError(f"{model}() cannot be called without arguments: {error}; write a factory that can") from error
    if not isinstance(module, nn.Module):
        raise ModelError(f"{model}() gives a {type(module).__name__}, not a torch.nn.Module; return the model")
    return module


def _state(path: Path, content: bytes) -> dict[str, torch.Tensor]:
    if path.suffix == ".safetensors":
        try:
            return load_tensors(content)
        except SafetensorError as error:
            raise CheckpointError(f"{path} is damaged or not a safetensors file ({error}); save it again") from error
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file makes torch raise anything, also without a word
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise CheckpointError(
            f"{path} is no plain state dict ({reason}); save one with "
            "safetensors.torch.save_file(model.state_dict(), 'model.safetensors')"
        ) from error
    if not isinstance(state, dict) or not all(isinstance(tensor, torch.Tensor) for tensor in state.values()):
        raise CheckpointError(f"{path} holds no state dict; save model.state_dict(), not the model or a wrapper")
    return state


def bundle_name(trained: TrainedModel, precision: str) -> str:
    """The name of the bundle of that precision: `lstm`, `lstm-int8`."""
    return trained.name if precision == "fp32" else f"{trained.name}-{precision}"
