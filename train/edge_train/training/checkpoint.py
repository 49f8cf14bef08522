"""Checkpoints: weights in safetensors, everything else as JSON in its header. Never pickle."""

import hashlib
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor, nn

from edge.bundle.fields import finite
from edge.bundle.input import DIGITS
from edge.errors import EdgeError
from edge.text import files
from edge_train.models import networks, specification
from edge_train.models.specification import Specification, SpecificationError

# One header entry: safetensors does not keep the order of several, and the same checkpoint shall be the same bytes.
HEADER = "edge.checkpoint"
PROTOCOL = 1

T = TypeVar("T")


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
    """Reads a checkpoint, and checks all that it says of itself before a network is made of it.

    Args:
        path: the file.

    Raises:
        CheckpointError: no file, not safetensors, not written by `edge train`, a description that does not hold
            together, or weights of other sizes or that are no numbers.
    """
    content = read_file(path)
    try:
        tensors = load_tensors(content)
        header = json.loads(header_of(content)[HEADER])
    except (SafetensorError, ValueError, RecursionError) as error:
        raise CheckpointError(
            f"{path} is damaged or not a safetensors file ({error}); train the model again"
        ) from error
    except KeyError as error:
        raise CheckpointError(
            f"{path} has weights but not edge's description of the model; "
            "export it as your own model: --model package.module:factory --checkpoint FILE"
        ) from error
    if not isinstance(header, dict) or "protocol" not in header:
        raise CheckpointError(f"the description in {path} is damaged (no protocol); train the model again")
    if header["protocol"] != PROTOCOL:
        raise CheckpointError(
            f"{path} has checkpoint protocol {header['protocol']}, this edge reads {PROTOCOL}; train it again"
        )
    try:
        stored = _described(header, tensors, hashlib.sha256(content).hexdigest())
    except (SpecificationError, ValueError) as error:
        raise CheckpointError(f"the description in {path} is damaged ({error}); train the model again") from error
    _check_sizes(stored, path)
    check_numbers(tensors, path)
    return stored


def check_numbers(weights: Mapping[str, Tensor], path: Path) -> None:
    """Refuses weights that are no finite real numbers, by their names.

    Args:
        weights: tensors by name.
        path: the file that they were read from.

    Raises:
        CheckpointError: a tensor is complex, or holds NaN or an infinity.
    """
    for name, tensor in weights.items():
        if tensor.is_complex():
            raise CheckpointError(f"{name} in {path} is complex; give a model of real numbers")
        if not tensor.is_floating_point():
            continue
        for what, found in (("NaN", tensor.isnan()), ("infinity", tensor.isinf())):
            if count := int(found.sum()):
                raise CheckpointError(
                    f"{name} in {path} has {count} {what}: its training diverged; train it again, at a lower rate"
                )


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


def _described(header: dict[str, Any], weights: dict[str, Tensor], sha256: str) -> Checkpoint:
    """The checkpoint of a description.

    Raises:
        ValueError: an entry is missing or none of its kind; the message says which.
        SpecificationError: no such model.
    """
    sizes = specification.from_json(_entry(header, "specification", dict))
    name, labels = _entry(header, "name", str), _entry(header, "labels", list)
    if not files.is_file_name(name):
        raise ValueError(f"its name {name!r} is none that a file may have")
    if not all(isinstance(label, str) for label in labels) or len(set(labels)) != len(labels):
        raise ValueError("its labels are not texts that differ")
    if len(labels) != sizes.classes:
        raise ValueError(f"it has {len(labels)} labels for {sizes.classes} classes")
    temperature = finite(_entry(header, "temperature", object))
    if temperature is None or temperature <= 0:
        raise ValueError(f"its temperature is {header['temperature']!r}, not a number above 0")
    accuracy = _entry(header, "accuracy", list)
    if not all(isinstance(figure, dict) and _is_accuracy(figure) for figure in accuracy):
        raise ValueError("its accuracy is no list of data, split, images and a share")
    training = _entry(header, "training", dict)
    return Checkpoint(name, sizes, weights, tuple(labels), temperature, tuple(accuracy), training, sha256)


def _entry(header: dict[str, Any], key: str, kind: type[T]) -> T:
    if not isinstance(value := header.get(key), kind) or value is None:
        raise ValueError(f"its {key} is {type(value).__name__}, not {kind.__name__}" if key in header else f"no {key}")
    return value


def _is_accuracy(figure: dict[str, Any]) -> bool:
    share = finite(figure.get("accuracy"))
    return (
        figure.keys() == {"data", "split", "images", "accuracy"}
        and isinstance(figure["data"], str)
        and isinstance(figure["split"], str)
        and type(figure["images"]) is int
        and share is not None
        and 0 <= share <= 1
    )


def _check_sizes(stored: Checkpoint, path: Path) -> None:
    """Compares the tensors with the description before a network is built: one of other sizes may not fit in memory."""
    try:
        with torch.device("meta"):  # shapes without numbers
            network = networks.build(stored.specification, initialise=False)
    except (SpecificationError, RuntimeError, ValueError, OverflowError) as error:
        raise CheckpointError(f"the description in {path} is damaged ({error}); train the model again") from error
    wanted = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    found = {name: tuple(tensor.shape) for name, tensor in stored.weights.items()}
    for name in {**wanted, **found}:
        if wanted.get(name) != found.get(name):
            here, there = (_shape(shapes.get(name)) for shapes in (found, wanted))
            raise CheckpointError(
                f"the weights in {path} do not fit the model {stored.name!r}: {name} is {here}, and should be {there}; "
                "train it again"
            )


def _shape(shape: tuple[int, ...] | None) -> str:
    return "missing" if shape is None else str(list(shape))
