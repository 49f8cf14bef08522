"""Checkpoints: weights in safetensors, everything else as JSON in its header. Never pickle."""

import hashlib
import json
import sys
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor, nn

from edge.bundle.input import DIGITS
from edge.errors import EdgeError
from edge.text import files
from edge_train.models import networks, specification
from edge_train.models.specification import Specification

# One header entry: safetensors does not keep the order of several, and the same checkpoint shall be the same bytes.
HEADER = "edge.checkpoint"
PROTOCOL = 1


class CheckpointError(EdgeError, ValueError):
    """A checkpoint is missing, damaged, or belongs to another model."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A trained model at rest.

    Attributes:
        name: of the model.
        specification: what it is.
        weights: its state dict.
        labels: of the logits, in their order.
        temperature: softmax(logits / temperature) is calibrated on the validation data.
        accuracy: figures with the data they were measured on: {"data", "split", "images", "accuracy" in [0, 1]}.
        training: recipe, data, best epoch and versions: for people and reports.
        sha256: of the file that it was read from; empty where it was read from none.
    """

    name: str
    specification: Specification
    weights: dict[str, Tensor]
    labels: tuple[str, ...] = DIGITS
    temperature: float = 1.0
    accuracy: tuple[dict[str, Any], ...] = ()
    training: dict[str, Any] = field(default_factory=dict)
    sha256: str = ""

    def model(self) -> nn.Module:
        """The network with these weights, in evaluation mode, on the CPU."""
        model = networks.build(self.specification)
        try:
            model.load_state_dict(self.weights)
        except RuntimeError as error:
            raise CheckpointError(
                f"the weights do not fit the model {self.name!r}: {str(error).splitlines()[-1].strip()}; train it again"
            ) from error
        return model.eval()


def to_bytes(checkpoint: Checkpoint) -> bytes:
    """The checkpoint as the bytes of a safetensors file; the same checkpoint gives the same bytes."""
    header = {
        "protocol": PROTOCOL,
        "name": checkpoint.name,
        "specification": specification.to_json(checkpoint.specification),
        "labels": list(checkpoint.labels),
        "temperature": checkpoint.temperature,
        "accuracy": list(checkpoint.accuracy),
        "training": checkpoint.training,
    }
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in checkpoint.weights.items()}
    return save_tensors(weights, metadata={HEADER: json.dumps(header, sort_keys=True)})


def save(path: Path, checkpoint: Checkpoint) -> None:
    """Writes the checkpoint in one step, and makes its folder where there is none.

    Raises:
        WriteError: it cannot be written; an old file stays as it was.
    """
    files.make_folder(path.parent)
    files.write_atomically(path, to_bytes(checkpoint), "the checkpoint")


def load(path: Path) -> Checkpoint:
    """Reads a checkpoint.

    Raises:
        CheckpointError: no file, not safetensors, or not written by `edge train`.
    """
    content = read_file(path)
    try:
        tensors = load_tensors(content)
        header = json.loads(header_of(content)[HEADER])
    except (SafetensorError, ValueError) as error:
        raise CheckpointError(
            f"{path} is damaged or not a safetensors file ({error}); train the model again"
        ) from error
    except KeyError as error:
        raise CheckpointError(
            f"{path} has weights but not edge's description of the model; "
            "export it as your own model: --model package.module:factory --checkpoint FILE"
        ) from error
    try:
        if header["protocol"] != PROTOCOL:
            raise CheckpointError(
                f"{path} has checkpoint protocol {header['protocol']}, this edge reads {PROTOCOL}; train it again"
            )
        return Checkpoint(
            name=header["name"],
            specification=specification.from_json(header["specification"]),
            weights=tensors,
            labels=tuple(header["labels"]),
            temperature=float(header["temperature"]),
            accuracy=tuple(header["accuracy"]),
            training=header["training"],
            sha256=hashlib.sha256(content).hexdigest(),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"the description in {path} is damaged ({error!r}); train the model again") from error


def shipped(name: str) -> Path | None:
    """The checkpoint that comes with the package under that name, if there is one."""
    path = Path(str(resources.files("edge_train") / "checkpoints" / f"{name}.safetensors"))
    return path if path.is_file() else None


def header_of(content: bytes) -> dict[str, str]:
    """The string metadata in the header of a safetensors file.

    Source: the format is 8 bytes of little-endian header length, then the header as JSON.
    """
    length = int.from_bytes(content[:8], "little")
    metadata = json.loads(content[8 : 8 + length]).get("__metadata__", {})
    return {str(key): str(entry) for key, entry in metadata.items()}


def read_file(path: Path) -> bytes:
    """The bytes of a checkpoint file.

    Raises:
        CheckpointError: it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"cannot read the checkpoint {path}: {error.strerror}; check the path") from error


def versions() -> dict[str, str]:
    """What the weights were made with."""
    return {"python": ".".join(map(str, sys.version_info[:2])), "torch": torch.__version__}
