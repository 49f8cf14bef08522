"""The weights in archives that hold a program beside them: of TorchScript, and of `torch.export`.

The program stays where it is: neither archive is loaded as torch would. What is read are the tensors, under the names
that they have in the state dict of the class that was compiled.

Source: torch.jit.save, torch.export.save (PyTorch 2.x).
"""

import io
import json
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

# How torch.export numbers the precisions of tensors. Source: ScalarType in torch/_export/serde/schema.py.
_PRECISIONS = {
    1: torch.uint8, 2: torch.int8, 3: torch.int16, 4: torch.int32, 5: torch.int64, 6: torch.float16, 7: torch.float32,
    8: torch.float64, 12: torch.bool, 13: torch.bfloat16,
}  # fmt: skip


def weights(archive: zipfile.ZipFile) -> dict[str, Tensor] | None:
    """The tensors of such an archive, by name; None where it is none, or keeps them otherwise.

    Args:
        archive: of any kind.
    """
    inner = {name.partition("/")[2]: name for name in archive.namelist()}
    plain = {name.rpartition("/")[2]: name for name in archive.namelist()}
    try:
        if "constants.pkl" in inner and "data.pkl" in inner:
            return _of_torchscript(archive, inner)
        if "model_weights_config.json" in plain:
            return _of_exported_program(archive, plain["model_weights_config.json"])
        if "serialized_state_dict.pt" in plain:  # before torch 2.8
            stored = io.BytesIO(archive.read(plain["serialized_state_dict.pt"]))
            return dict(torch.load(stored, map_location="cpu", weights_only=True))
    except Exception:  # noqa: BLE001 - a damaged or hostile archive raises anything
        return None
    return None


def _of_exported_program(archive: zipfile.ZipFile, at: str) -> dict[str, Tensor]:
    folder = at.rpartition("/")[0]
    found = {}
    for name, entry in json.loads(archive.read(at))["config"].items():
        meta = entry["tensor_meta"]
        sizes, strides = ([one["as_int"] for one in meta[key]] for key in ("sizes", "strides"))
        numbers = torch.frombuffer(
            bytearray(archive.read(f"{folder}/{entry['path_name']}")), dtype=_PRECISIONS[meta["dtype"]]
        )
        found[name] = torch.as_strided(numbers, sizes, strides, meta["storage_offset"]["as_int"])
    return found


class _Attributes:
    """Stands for a compiled module: what it holds, and none of what it does."""

    held: Mapping[str, Any]

    def __setstate__(self, held: Mapping[str, Any]) -> None:
        self.held = held


class _Attributed(pickle.Unpickler):
    """Reads the attributes of compiled modules; no class that they name is imported."""

    def __init__(self, archive: zipfile.ZipFile, inner: Mapping[str, str]) -> None:
        super().__init__(io.BytesIO(archive.read(inner["data.pkl"])))
        self.archive, self.inner = archive, inner

    def find_class(self, module: str, name: str) -> Any:  # noqa: ANN401 - classes and functions
        """What a name stands for: a maker of tensors or lists, or of what holds them."""
        if module == "torch" and name.endswith("Storage"):
            return name
        if module == "torch.jit._pickle":  # lists and dictionaries with the types of their entries
            return lambda entries, *_: entries
        maker = _MAKERS.get(f"{module}.{name}")
        return maker or type(name, (_Attributes,), {})

    def persistent_load(self, pid: Any) -> Any:  # noqa: ANN401 - torch's own
        """The numbers of a tensor, which lie beside the pickle."""
        _, kind, key, _, _ = pid
        return torch.frombuffer(bytearray(self.archive.read(self.inner[f"data/{key}"])), dtype=_STORAGES[kind])


def _tensor(numbers: Tensor, offset: int, sizes: Any, strides: Any, *_: object) -> Tensor:  # noqa: ANN401 - torch's own
    return torch.as_strided(numbers, sizes, strides, offset)


_STORAGES = {
    "ByteStorage": torch.uint8, "CharStorage": torch.int8, "ShortStorage": torch.int16, "IntStorage": torch.int32,
    "LongStorage": torch.int64, "HalfStorage": torch.float16, "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64, "BoolStorage": torch.bool, "BFloat16Storage": torch.bfloat16,
}  # fmt: skip
_MAKERS: dict[str, Any] = {
    "collections.OrderedDict": OrderedDict,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_parameter": lambda tensor, *_: tensor,
}


def _of_torchscript(archive: zipfile.ZipFile, inner: Mapping[str, str]) -> dict[str, Tensor]:
    return dict(_flat(_Attributed(archive, inner).load()))


def _flat(module: _Attributes, prefix: str = "") -> list[tuple[str, Tensor]]:
    """The tensors of a module and of its parts, with dots in their names."""
    found: list[tuple[str, Tensor]] = []
    for name, value in module.held.items():
        if isinstance(value, Tensor):
            found.append((prefix + name, value))
        elif isinstance(value, _Attributes):
            found += _flat(value, f"{prefix}{name}.")
    return found
