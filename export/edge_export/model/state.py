"""The weights of somebody's own model, out of whatever file they were saved in; no pickle is ever executed.

The kind of a file is seen by its first bytes. torch's files are read with `weights_only`; objects that it does not
know, such as the `argparse.Namespace` of a training script, become plain dictionaries: their classes are never
imported. What is wrapped around the state dict is taken off, a few levels of it, and what training put in front of
the names.
"""

import io
import pickle
import pickletools
import warnings
import zipfile
from _compat_pickle import IMPORT_MAPPING
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from edge_train.training.checkpoint import CheckpointError

State = dict[str, Tensor]

# The usual names of a state dict in a checkpoint, the likeliest first; any other name is taken too.
USUAL = ("state_dict", "model_state_dict", "model", "net", "network", "module", "weights", "params", "ema")
# What training puts in front of every name: DataParallel, torch.compile.
WRAPPERS = ("module.", "_orig_mod.")
# Counters of wrappers and of BatchNorm, from which nothing is computed in evaluation.
COUNTERS = ("n_averaged", "num_batches_tracked")
# Where a checkpoint keeps what its model was made with: Lightning's name, and those that people take.
ARGUMENTS = ("hyper_parameters", "hparams", "model_args", "model_config", "config", "cfg", "args", "kwargs", "params")
MOST_NAMED = 4  # of the names that do not fit
WHOLE = 4  # tensors, from which on a network is recognised by its names and sizes among others
DEEPEST = 3  # levels around a state dict: {"trainer": {"model": {"state_dict": ...}}}

OF_ANOTHER_CLASS = "the file is of another class, or of the class with other arguments; check both"
SAVE = "torch.save(model.state_dict(), 'weights.pt')"

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


@dataclass(frozen=True, slots=True)
class StateReading:
    """A state dict in a checkpoint, under one reading of its names.

    Attributes:
        state: the tensors by name.
        said: what was taken off to come to it, in words; empty where nothing was.
    """

    state: State
    said: tuple[str, ...]


class _Plain:
    """Stands for a class that a pickle names: what it makes is a dictionary, and no code of it is run."""

    def __new__(cls, *_arguments: object, **_options: object) -> Any:  # noqa: ANN401 - never an instance
        made: OrderedDict[str, object] = OrderedDict()
        made.__dict__["pickled_class"] = cls.__name__
        return made


def load(module: nn.Module, path: Path, content: bytes, name: str) -> tuple[str, ...]:
    """Puts the weights of a file into a module.

    Args:
        module: takes them.
        path: of the file, for messages.
        content: of the file.
        name: what the model is called in messages.

    Returns:
        What was taken off on the way, in words.

    Raises:
        CheckpointError: the file holds no state dict, or one that does not fit.
    """
    candidates = _candidates(path, _read(path, content))
    wanted = module.state_dict()
    readings = [reading for candidate in candidates for reading in _readings(candidate, wanted)]
    fitting = [reading for reading in readings if _fits(reading.state, wanted)]
    for reading in fitting or readings:  # what old versions of layers are called, torch translates itself
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                module.load_state_dict(_with_counters(reading.state, wanted))
        except RuntimeError:
            continue
        beside = [one.said[0] for one in candidates if one.said and one.said[0] not in reading.said]
        prefixed = [one.said[-1] for one in fitting if one.said[:-1] == reading.said[:-1] and one.said != reading.said]
        beside += [said for said in prefixed if said not in beside]
        return (*reading.said, *(f"and not {one}" for one in beside))
    closest = max(readings, key=lambda reading: len(reading.state.keys() & wanted.keys()))
    raise CheckpointError(f"the weights in {path} do not fit {name}: {_difference(closest.state, wanted)}")


def shapes(path: Path, content: bytes) -> str:
    """The tensors of a file with their sizes, the first and the last ones: they tell what a model was made with."""
    state = _candidates(path, _read(path, content))[0].state
    told = [f"{name} {'x'.join(map(str, tensor.shape))}" for name, tensor in state.items() if tensor.ndim > 1]
    return ", ".join(told if len(told) <= 2 * MOST_NAMED else [*told[:MOST_NAMED], "...", *told[-MOST_NAMED:]])


def arguments(path: Path, content: bytes) -> tuple[dict[str, Any], bool]:
    """What the model of a checkpoint was made with, as the checkpoint says, and whether it is Lightning that says so.

    Args:
        path: of the file, for messages.
        content: of the file.
    """
    root = _read(path, content)
    entries = root if isinstance(root, Mapping) else {}
    for name in ARGUMENTS:
        entry = entries.get(name)
        if isinstance(entry, Mapping) and not _is_state(entry):
            found = {**entry, **getattr(entry, "__dict__", {})}  # what stands for a Namespace has attributes
            return {str(key): found[key] for key in found.keys() - {"pickled_class"}}, name == ARGUMENTS[0]
    return {str(key): entry for key, entry in entries.items() if _is_plain(entry)}, False


def _is_plain(value: object) -> bool:
    """Whether an entry is a number, a text, or a list of such: what sizes of layers are stored as."""
    if isinstance(value, list | tuple):
        return all(_is_plain(one) for one in value)
    return isinstance(value, int | float | str)


# --- reading ----------------------------------------------------------------------------------------------------------


def _read(path: Path, content: bytes) -> object:
    """What a file holds."""
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
        _check_archive(path, content)
    elif not content.startswith(_PICKLE):
        raise CheckpointError(f"{path} is damaged, or no file of torch or safetensors at all; save one with: {SAVE}")
    elif not content.startswith(_LEGACY):
        raise CheckpointError(
            f"{path} is a pickle that torch did not save, and reading it would execute it; load it where it was made, "
            f"and save it with: {SAVE}"
        )
    return _unpickled(path, content)


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
    if any(name.endswith(".npy") for name in names):
        raise CheckpointError(f"{path} is an archive of NumPy arrays; save the state dict of the model: {SAVE}")
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
            raise _whole(path, classes[0]) from error
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


# --- unwrapping -------------------------------------------------------------------------------------------------------


def _candidates(path: Path, root: object) -> list[StateReading]:
    """The state dicts in what a file holds: itself, or the entries that are one, the usual names first."""
    if _is_state(root):
        return [StateReading(_tensors(root), ())]
    entries = _entries(root)
    level: list[tuple[tuple[str, ...], object]] = [((), root)]
    found: list[tuple[tuple[str, ...], object]] = []
    for _ in range(DEEPEST):
        level = [((*path, name), entry) for path, holder in level for name, entry in _entries(holder).items()]
        found = [(path, entry) for path, entry in level if _is_state(entry)]
        if found:
            break
    found.sort(key=lambda one: USUAL.index(one[0][-1]) if one[0][-1] in USUAL else len(USUAL))
    if found:
        return [StateReading(_tensors(entry), (f"the entry {'.'.join(path)!r}",)) for path, entry in found]
    whole = next((one for one in (root, *entries.values()) if _pickled_class(one)), None)
    if whole is not None:
        raise _whole(path, str(_pickled_class(whole)))
    held = ", ".join(list(entries)[: 2 * MOST_NAMED] if isinstance(root, Mapping) else []) or type(root).__name__
    raise CheckpointError(f"{path} holds no state dict, but {held}; save one with: {SAVE}")


def _entries(holder: object) -> dict[str, object]:
    """What a container holds, by name or by place; nothing where it is none."""
    if isinstance(holder, list | tuple):
        return {str(place): entry for place, entry in enumerate(holder)}
    return {str(name): entry for name, entry in holder.items()} if isinstance(holder, Mapping) else {}


def _whole(path: Path, name: str) -> CheckpointError:
    """What is said of a module that was pickled whole."""
    return CheckpointError(
        f"{path} is no plain state dict, it holds a whole pickled {name}, and reading it would execute it; save the "
        f"weights alone, where its class is at hand: model = torch.load('{path.name}', weights_only=False); {SAVE}"
    )


def _is_state(value: object) -> bool:
    return (
        isinstance(value, Mapping)
        and not _pickled_class(value)
        and any(isinstance(entry, Tensor) for entry in value.values())
        and all(
            isinstance(name, str) and (isinstance(entry, Tensor) or "_extra_state" in name)
            for name, entry in value.items()
        )
    )


def _tensors(value: object) -> State:
    assert isinstance(value, Mapping)
    return {name: entry for name, entry in value.items() if isinstance(entry, Tensor)}


def _pickled_class(value: object) -> str | None:
    """The class of a module that was pickled whole."""
    facts: dict[str, object] = getattr(value, "__dict__", {}) if isinstance(value, OrderedDict) else {}
    return str(facts["pickled_class"]) if "_modules" in facts else None


# --- fitting ----------------------------------------------------------------------------------------------------------


def _readings(candidate: StateReading, wanted: Mapping[str, Tensor]) -> list[StateReading]:
    """A state dict by its own names, and by what is left when the part goes that stands in front of the wanted ones."""
    readings = [candidate]
    plain = {_unwrapped(name): tensor for name, tensor in candidate.state.items()}
    if plain.keys() != candidate.state.keys():
        taken = ", ".join(prefix for prefix in WRAPPERS if any(prefix in name for name in candidate.state))
        readings.append(StateReading(plain, (*candidate.said, f"{taken} in front of the names")))
    first = next(iter(wanted), "")
    outer = f"{first.partition('.')[0]}."
    if all(name.startswith(outer) for name in wanted):  # of the network inside, and the class stands around it
        inside = {outer + name: tensor for name, tensor in plain.items()}
        readings.append(StateReading(inside, (*candidate.said, f"{outer} put in front of the names")))
    for name in plain:
        prefix = name.removesuffix(first)
        if name.endswith("." + first) and prefix:
            inner = {key.removeprefix(prefix): value for key, value in plain.items() if key.startswith(prefix)}
            # A loss or a metric may lie beside, or the same network a second time, averaged; a layer alone is another.
            if 2 * len(inner) > len(plain) or (len(wanted) >= WHOLE and _fits(inner, wanted)):
                readings.append(StateReading(inner, (*candidate.said, f"{prefix} in front of the names")))
    return readings


def _unwrapped(name: str) -> str:
    for prefix in (*WRAPPERS, *WRAPPERS):  # in either order
        name = name.removeprefix(prefix)
    return name.replace("._orig_mod.", ".")


def _fits(state: State, wanted: Mapping[str, Tensor]) -> bool:
    names = _without_counters(state)
    return names == _without_counters(wanted) and all(_has_size(state[name], wanted[name]) for name in names)


def _has_size(stored: Tensor, wanted: Tensor) -> bool:
    """Whether a tensor has the size that the module wants; a lazy layer takes any."""
    return is_lazy(wanted) or stored.shape == wanted.shape


def _without_counters(names: Iterable[str]) -> set[str]:
    return {name for name in names if not name.endswith(COUNTERS)}


def _with_counters(state: State, wanted: Mapping[str, Tensor]) -> State:
    """The state with the counters that the module wants, and no others."""
    kept = {name: tensor for name, tensor in state.items() if name in wanted or not name.endswith(COUNTERS)}
    return kept | {name: wanted[name] for name in wanted.keys() - kept.keys() if name.endswith(COUNTERS)}


def _difference(state: State, wanted: Mapping[str, Tensor]) -> str:
    """How weights and module differ, short, with the likely cause."""
    missing, extra = sorted(wanted.keys() - state.keys()), sorted(state.keys() - wanted.keys())
    other = [name for name in wanted if name in state and not _has_size(state[name], wanted[name])]
    parts = []
    if other:
        sizes = [f"{name} {_size(state[name])} for {_size(wanted[name])}" for name in other]
        parts.append(f"other sizes in the file: {_short(sizes)}")
    if missing:
        parts.append(f"missing in the file: {_short(missing)}")
    if extra:
        parts.append(f"only in the file: {_short(extra)}")
    shared = bool(state.keys() & wanted.keys())
    return f"{'; '.join(parts)}; {_likely(missing, extra, other) if shared else OF_ANOTHER_CLASS}"


def _likely(missing: list[str], extra: list[str], other: list[str]) -> str:
    arguments = "give the arguments that it was trained with, as in --model 'nets:LSTM(28, 256, num_layers=2)'"
    if any("_reverse" in name for name in (*missing, *extra)):
        return f"one reads in both directions, the other in one: {arguments}"
    if any(name.rpartition("_l")[2].isdecimal() for name in (*missing, *extra)):
        return f"the numbers of layers differ: {arguments}"
    if other and not missing and not extra:
        return f"the model was made with other sizes: {arguments}"
    if missing and extra and not other:
        return "the file is of another class, or the layers were renamed since; check both"
    return OF_ANOTHER_CLASS


def _size(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "one number"


def _short(names: list[str]) -> str:
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return ", ".join(names[:MOST_NAMED]) + more
