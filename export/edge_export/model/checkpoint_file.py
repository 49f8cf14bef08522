"""A file of weights as it is on the disk; no pickle is ever executed.

The kind of a file is seen by its first bytes. torch's files are read with `weights_only`; objects that it does not
know, such as the `argparse.Namespace` of a training script, become plain dictionaries: their classes are never
imported. Of a pickle that torch did not write, and of NumPy's archives, tensors and arrays are read in the same way.
"""

import io
import pickle
import pickletools
import warnings
import zipfile
from _compat_pickle import IMPORT_MAPPING
from collections import OrderedDict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from torch._utils import _rebuild_parameter, _rebuild_tensor_v2

from edge_export.model import archives
from edge_train.training.checkpoint import CheckpointError

SAVE = "torch.save(model.state_dict(), 'weights.pt')"

CLASS = "pickled_class"
"""Attribute of what stands for an object of a class that a pickle names: the name of that class."""

# torch.save's older form begins with a pickle of this number.
_LEGACY = pickle.dumps(torch.serialization.MAGIC_NUMBER, 2)[:-1]
_PICKLE = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")

# What torch itself knows in a checkpoint.
_OWN_MODULES = ("torch._utils.", "torch.storage.", "torch._tensor.")
_OWN = (
    "torch.Size", "torch.device", "torch.nn.parameter.Parameter", "_codecs.encode", "builtins.set",
    "collections.OrderedDict", "collections.Counter",
)  # fmt: skip

# Files of other kinds, by their first bytes, and what they are.
_OTHERS: dict[bytes, str] = {
    b"\x89HDF": "an HDF5 file, as Keras saves models; export needs the weights of a PyTorch model",
    b"\x93NUMPY": "a NumPy array; save the state dict of the model",
    b"version https://git-lfs": "a pointer of Git LFS, not the file itself; fetch it with: git lfs pull",
    b"<!DOCTYPE": "a web page, not the file that it links to; download the file itself",
    b"<html": "a web page, not the file that it links to; download the file itself",
    b"\x1f\x8b": "a gzip archive; unpack it first",
    b"\x08": "an ONNX model, or no checkpoint at all; export needs the weights of a PyTorch model",
}


class _Plain:
    """Stands for a class that a pickle names: what it makes is a dictionary, and no code of it is run."""

    def __new__(cls, *_arguments: object, **_options: object) -> Any:  # noqa: ANN401 - never an instance
        made: OrderedDict[str, object] = OrderedDict()
        made.__dict__[CLASS] = cls.__name__
        return made


def read(path: Path, content: bytes) -> object:
    """What a file holds.

    Args:
        path: of the file, for messages.
        content: of the file.

    Raises:
        CheckpointError: it is damaged, or no file of torch or safetensors.
    """
    if content[8:9] == b"{" and int.from_bytes(content[:8], "little") < len(content):
        try:
            return load_tensors(content)
        except SafetensorError as error:
            raise CheckpointError(f"{path} is damaged or not a safetensors file ({error}); save it again") from error
    if not content:
        raise CheckpointError(f"{path} is empty, no plain state dict; copy it again")
    for first, what in _OTHERS.items():
        if content.startswith(first):
            raise CheckpointError(f"{path} is {what}")
    if content.startswith(b"PK"):
        if (arrays := _arrays(content)) is not None:
            return arrays
        if (tensors := _of_program(content)) is not None:
            return tensors
        _check_archive(path, content)
    elif not content.startswith(_PICKLE):
        raise CheckpointError(f"{path} is damaged, or no file of torch or safetensors at all; save one with: {SAVE}")
    elif not content.startswith(_LEGACY):
        return _plainly_unpickled(path, content)
    return _unpickled(path, content)


def _arrays(content: bytes) -> dict[str, torch.Tensor] | None:
    """The arrays of an archive of NumPy; None where it is none, or holds objects."""
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            return {name: torch.from_numpy(archive[name]) for name in archive.files} if archive.files else None
    except (ValueError, TypeError, AttributeError, zipfile.BadZipFile):
        return None


def _of_program(content: bytes) -> dict[str, torch.Tensor] | None:
    """The tensors of an archive that holds a program beside them; None where it is none."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return archives.weights(archive)
    except zipfile.BadZipFile:
        return None


class _Tensors(pickle.Unpickler):
    """Reads a pickle of tensors, arrays and containers; every other class that it names stands for itself, unused."""

    def find_class(self, module: str, name: str) -> Any:  # noqa: ANN401 - classes and functions
        """What a name in the pickle stands for: a maker of data, or a plain dictionary."""
        full = f"{IMPORT_MAPPING.get(module, module)}.{name}"
        known = {name: maker for maker, name in _of_numpy()}
        return _MAKERS.get(full) or known.get(full) or type(full, (_Plain,), {})


def _plainly_unpickled(path: Path, content: bytes) -> object:
    """A pickle that torch did not write, of which only what makes data is run: no class that it names is imported."""
    try:
        return _as_tensors(_Tensors(io.BytesIO(content)).load())
    except Exception as error:  # a damaged or hostile pickle raises anything
        raise CheckpointError(
            f"{path} is a pickle that torch did not save, and holds more than tensors ({type(error).__name__}: "
            f"{str(error)[:80]}); load it where it was made, and save it with: {SAVE}"
        ) from error


def _as_tensors(value: object) -> object:
    """Containers with their numeric arrays as tensors."""
    if isinstance(value, np.ndarray) and value.dtype.kind in "fiub":
        return torch.from_numpy(np.ascontiguousarray(value.astype(value.dtype.newbyteorder("=")))).reshape(value.shape)
    if isinstance(value, dict) and not pickled_class(value):
        return {name: _as_tensors(one) for name, one in value.items()}
    return [_as_tensors(one) for one in value] if isinstance(value, list | tuple) else value


def _storage(content: bytes) -> Any:  # noqa: ANN401 - a storage of torch
    """The numbers of a tensor, which torch writes into a pickle as a file of its own."""
    return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)


_MAKERS: dict[str, Any] = {
    "collections.OrderedDict": OrderedDict,
    "torch._utils._rebuild_tensor_v2": _rebuild_tensor_v2,
    "torch._utils._rebuild_parameter": _rebuild_parameter,
    "torch.storage._load_from_bytes": _storage,
    "_codecs.encode": lambda text, _encoding: text.encode("latin-1"),  # how an old pickle holds bytes
}
"""What a pickle of tensors is made with; none of it does anything but make data."""


def _check_archive(path: Path, content: bytes) -> None:
    try:
        names = zipfile.ZipFile(io.BytesIO(content)).namelist()
    except zipfile.BadZipFile as error:
        raise CheckpointError(f"{path} is cut off or damaged ({error}), no plain state dict; copy it again") from error
    inner = {name.partition("/")[2] for name in names}
    if "constants.pkl" in inner:
        raise CheckpointError(
            f"{path} is a TorchScript archive, which is a program; save the weights alone: "
            f"model = torch.jit.load('{path.name}'); {SAVE}"
        )
    if "data.pkl" not in inner:
        raise CheckpointError(f"{path} is an archive that torch did not save; save the weights with: {SAVE}")


def _unpickled(path: Path, content: bytes) -> object:
    """A file of torch.save, read with `weights_only`."""
    stands: list[Any] = [*_of_numpy()]
    known = {name for _, name in stands}
    classes = _classes(content)
    stands += [(type(name, (_Plain,), {}), name) for name in classes if name not in known]
    try:
        with torch.serialization.safe_globals(stands), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of torch's older forms
            return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file makes torch raise anything, also without a word
        said = str(error).rpartition("WeightsUnpickler error: ")[2] or type(error).__name__
        if "persistent_load" in said and classes:  # the older form keeps the source of a module beside it
            raise whole_module(path, classes[0]) from error
        reason = " ".join(said.split(". ")[0].split())[:160]
        raise CheckpointError(
            f"{path} is damaged, or no plain state dict ({reason}); copy it again, or save one with: {SAVE}"
        ) from error


def _of_numpy() -> Iterable[tuple[Any, str]]:
    """What numbers and arrays of NumPy are made with, which are data and no code."""
    makers = {"scalar": np.float64(0).__reduce__()[0], "_reconstruct": np.zeros(1).__reduce__()[0]}
    for module in ("numpy.core.multiarray", "numpy._core.multiarray"):
        yield from ((maker, f"{module}.{name}") for name, maker in makers.items())
    yield np.ndarray, "numpy.ndarray"
    yield np.dtype, "numpy.dtype"
    for name, kind in vars(np.dtypes).items():
        if isinstance(kind, type):
            yield kind, f"numpy.dtypes.{name}"


def _classes(content: bytes) -> list[str]:
    """The classes and functions that the pickles of a file name, except torch's own; nothing is executed."""
    if content.startswith(b"PK"):
        archive = zipfile.ZipFile(io.BytesIO(content))
        content = archive.read(next(name for name in archive.namelist() if name.endswith("data.pkl")))
    names: dict[str, None] = {}  # in the order of the file
    stream = io.BytesIO(content)
    try:
        while stream.tell() < len(content):  # the older form is several pickles in a row, then raw numbers
            for operation, argument, _ in pickletools.genops(stream):
                if operation.name == "GLOBAL":
                    module, _, name = str(argument).partition(" ")
                    names[f"{IMPORT_MAPPING.get(module, module)}.{name}"] = None
    except (ValueError, IndexError, UnicodeDecodeError):
        pass  # the end of the pickles, or a damaged file: torch says which
    own = {*_OWN, *(f"torch.{name}" for name in dir(torch) if name.endswith(("Storage", "Tensor")))}
    return [name for name in names if name not in own and not name.startswith(_OWN_MODULES)]


def whole_module(path: Path, name: str) -> CheckpointError:
    """What is said of a module that was pickled whole."""
    return CheckpointError(
        f"{path} is no plain state dict, it holds a whole pickled {name}, and reading it would execute it; save the "
        f"weights alone, where its class is at hand: model = torch.load('{path.name}', weights_only=False); {SAVE}"
    )


def pickled_class(value: object) -> str | None:
    """The class of a module that was pickled whole."""
    facts: dict[str, object] = getattr(value, "__dict__", {}) if isinstance(value, OrderedDict) else {}
    return str(facts[CLASS]) if "_modules" in facts else None
