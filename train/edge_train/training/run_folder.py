"""The folder of a run: what is written into it, where that was, and how an interrupted run goes on.

runs/lstm/lstm.safetensors    the best epoch so far: a checkpoint that `edge export` takes
runs/lstm/last.safetensors    weights, best weights and optimiser after the last whole epoch: for --resume
runs/lstm/metrics.json        the course of the run
"""

import json
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from edge.bench.results import describe_machine
from edge.text import files
from edge_train.models import networks, specification
from edge_train.training import checkpoint, recipes
from edge_train.training.checkpoint import CheckpointError
from edge_train.training.loop import Epoch, State, begin
from edge_train.training.recipes import Recipe

STATE_FILE = "last.safetensors"
METRICS_FILE = "metrics.json"


def write_metrics(folder: Path, epochs: list[Epoch], **more: object) -> None:
    """Writes the course of the run so far, in one step.

    Args:
        folder: of the run.
        epochs: those that are complete.
        **more: what else is known, by its key.

    Raises:
        WriteError: the folder cannot be written.
    """
    document = {**more, "epochs": [asdict(epoch) for epoch in epochs]}
    files.write_atomically(
        folder / METRICS_FILE, (json.dumps(document, indent=2, sort_keys=True) + "\n").encode(), "the metrics"
    )


def save_state(folder: Path, state: State, settings: dict[str, Any]) -> None:
    """Writes everything that `load_state` needs, in one step.

    Raises:
        WriteError: the folder cannot be written.
    """
    tensors = {f"model.{name}": tensor for name, tensor in state.model.state_dict().items()}
    tensors |= {f"best.{name}": tensor for name, tensor in state.best.items()}
    tensors |= {f"start.{name}": tensor for name, tensor in state.start.items()}
    if state.averaged is not None:
        tensors |= {f"averaged.{name}": tensor for name, tensor in state.averaged.state_dict().items()}
    for index, slots in state.optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{index}.{name}": tensor for name, tensor in slots.items()}
    header = {"settings": settings, "steps": state.steps, "epochs": [asdict(epoch) for epoch in state.epochs]}
    content = save_tensors(
        {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()},
        metadata={checkpoint.HEADER: json.dumps(header, sort_keys=True)},
    )
    files.write_atomically(folder / STATE_FILE, content, "the state")


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
    state.start = {name: tensor.to(device) for name, tensor in _below(tensors, "start.").items()}
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


def environment(device: torch.device) -> dict[str, Any]:
    """This machine, this process and the time of the day in UTC: what a reader needs to judge times and to repeat them.

    Args:
        device: what the network was trained on.
    """
    facts = describe_machine("torchvision")
    return {
        "finished": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "cpu": facts.cpu,
        "allowed_cpus": facts.allowed_cpus,
        "threads": torch.get_num_threads(),
        "platform": facts.system,
        "python": facts.python,
        "edge": facts.edge,
        "torch": torch.__version__,
        "torchvision": facts.distributions.get("torchvision"),
        "numpy": facts.numpy,
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
