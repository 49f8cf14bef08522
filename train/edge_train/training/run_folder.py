"""The folder of a run: what it writes, and how an interrupted run goes on.

runs/lstm/lstm.safetensors    the best epoch so far: a checkpoint that `edge export` takes
runs/lstm/last.safetensors    weights, best weights and optimiser after the last whole epoch: for --resume
runs/lstm/metrics.json        the course of the run
"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from edge_train.models import networks, specification
from edge_train.training import checkpoint, recipes
from edge_train.training.checkpoint import CheckpointError
from edge_train.training.loop import Epoch, State, begin
from edge_train.training.recipes import Recipe

STATE_FILE = "last.safetensors"
METRICS_FILE = "metrics.json"


def make_folder(folder: Path) -> None:
    """Makes the folder of a run: before the first epoch, because an hour later is late to learn that it cannot be.

    Raises:
        CheckpointError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CheckpointError(f"cannot make the folder {folder}: {error.strerror}; choose another --out") from error


def save_state(folder: Path, state: State, settings: dict[str, Any]) -> None:
    """Writes everything that `load_state` needs, atomically."""
    tensors = {f"model.{name}": tensor for name, tensor in state.model.state_dict().items()}
    tensors |= {f"best.{name}": tensor for name, tensor in state.best.items()}
    if state.averaged is not None:
        tensors |= {f"averaged.{name}": tensor for name, tensor in state.averaged.state_dict().items()}
    for index, slots in state.optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{index}.{name}": tensor for name, tensor in slots.items()}
    header = {"settings": settings, "steps": state.steps, "epochs": [asdict(epoch) for epoch in state.epochs]}
    content = save_tensors(
        {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()},
        metadata={checkpoint.HEADER: json.dumps(header, sort_keys=True)},
    )
    checkpoint.write(folder / STATE_FILE, content)


def load_settings(folder: Path) -> dict[str, Any]:
    """The settings that the run in `folder` was started with.

    Raises:
        CheckpointError: there is no run to resume, or its state is damaged.
    """
    return _read(folder)[0]["settings"]  # type: ignore[no-any-return]


def load_state(folder: Path, device: torch.device) -> State:
    """The run in `folder` after its last whole epoch, ready to go on.

    Raises:
        CheckpointError: there is no run to resume, or its state is damaged.
    """
    header, tensors = _read(folder)
    try:
        return _state(header, tensors, device)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:  # PyTorch raises the last for other shapes
        last_line = (str(error).splitlines() or [""])[-1].strip()  # of PyTorch's many the one that names a tensor
        raise CheckpointError(
            f"{folder / STATE_FILE} is damaged ({last_line}); start the run again without --resume"
        ) from error


def _state(header: dict[str, Any], tensors: dict[str, torch.Tensor], device: torch.device) -> State:
    settings = header["settings"]
    recipe = recipes.from_json(settings["recipe"])
    model = networks.build(specification.from_json(settings["specification"]))
    model.load_state_dict(_below(tensors, "model."))
    state = begin(model, recipe, device)
    if state.averaged is not None:
        state.averaged.load_state_dict(_below(tensors, "averaged."))
    state.steps = header["steps"]
    slots: dict[int, dict[str, torch.Tensor]] = {}
    for name, tensor in _below(tensors, "optimiser.").items():
        index, slot = name.split(".", 1)
        slots.setdefault(int(index), {})[slot] = tensor
    state.optimiser.load_state_dict({"state": slots, "param_groups": state.optimiser.state_dict()["param_groups"]})
    state.epochs = [Epoch(**epoch) for epoch in header["epochs"]]
    state.best = {name: tensor.to(device) for name, tensor in _below(tensors, "best.").items()}
    return state


def settings_of(name: str, model: specification.Specification, recipe: Recipe, data: str) -> dict[str, Any]:
    """What a run is started with, as plain values."""
    return {
        "name": name,
        "specification": specification.to_json(model),
        "recipe": recipes.to_json(recipe),
        "data": data,
    }


def _below(tensors: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _read(folder: Path) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    path = folder / STATE_FILE
    if not path.is_file():
        raise CheckpointError(f"there is no run to resume in {folder}; start one without --resume")
    content = checkpoint.read_file(path)
    try:
        header = json.loads(checkpoint.header_of(content)[checkpoint.HEADER])
        return {key: header[key] for key in ("settings", "steps", "epochs")}, load_tensors(content)
    except Exception as error:  # safetensors raises several kinds; each means the same to the user
        raise CheckpointError(f"{path} is damaged ({error}); start the run again without --resume") from error
