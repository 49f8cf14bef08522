"""The weights of somebody's own model, out of what `checkpoint_file` reads.

What is wrapped around the state dict is taken off, a few levels of it, and what training put in front of the names.
"""

import json
import re
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from edge_export.model.checkpoint_file import CLASS, SAVE, pickled_class, read, whole_module
from edge_train.training.checkpoint import CheckpointError

State = dict[str, Tensor]

# The usual names of a state dict in a checkpoint, the likeliest first; any other name is taken too.
USUAL = ("state_dict", "model_state_dict", "model", "net", "network", "module", "weights", "params", "ema")
# What training puts in front of every name: DataParallel, torch.compile.
WRAPPERS = ("module.", "_orig_mod.")
# What torch.nn.utils.prune makes of a weight's name.
ORIGINAL, MASK = "_orig", "_mask"
# Counters of wrappers and of BatchNorm, from which nothing is computed in evaluation.
COUNTERS = ("n_averaged", "num_batches_tracked")
# Where a checkpoint keeps what its model was made with: Lightning's name, and those that people take.
ARGUMENTS = ("hyper_parameters", "hparams", "model_args", "model_config", "config", "cfg", "args", "kwargs", "params")
# What lies beside weights, and says what their model is made with.
SETTINGS = "config.json"
# What layers of torch.ao add that are prepared for int8, or are int8.
QUANTISED = ("fake_quant", "activation_post_process", "_packed_params", "zero_point")
# What people put behind the name of a part of a network.
OF_A_PART = re.compile(r"_?(model_)?(state_dict|state|dict|weights|params)$")
# What NumPy calls arrays that nobody named.
OF_A_ROW = re.compile(r"arr_\d+")
MOST_NAMED = 4  # of the names that do not fit
WHOLE = 4  # tensors, from which on a network is recognised by its names and sizes among others
DEEPEST = 3  # levels around a state dict: {"trainer": {"model": {"state_dict": ...}}}

OF_ANOTHER_CLASS = "the file is of another class, or of the class with other arguments; check both"


@dataclass(frozen=True, slots=True)
class StateReading:
    """A state dict in a checkpoint, under one reading of its names.

    Attributes:
        state: the tensors by name.
        said: what was taken off to come to it, in words; empty where nothing was.
        entry: where it lies in the checkpoint, the names of the levels with dots between them; empty for all of it.
        parts: whether it is put together of all that lies there.
    """

    state: State
    said: tuple[str, ...]
    entry: str = ""
    parts: bool = False


def load(module: nn.Module, path: Path, content: bytes, name: str, entry: str | None = None) -> tuple[str, ...]:
    """Puts the weights of a file into a module.

    Args:
        module: takes them.
        path: of the file, for messages.
        content: of the file.
        name: what the model is called in messages.
        entry: which of several networks in the file, as `StateReading` names it; without, the only one that fits.

    Returns:
        What was taken off on the way, in words.

    Raises:
        CheckpointError: the file holds no state dict, one that does not fit, or several that fit and differ.
    """
    candidates = _candidates(path, read(path, content))
    wanted = module.state_dict()
    readings = [reading for candidate in candidates for reading in _readings(candidate, wanted)]
    readings += _joined(candidates, wanted)
    if entry is not None:
        readings = [reading for reading in readings if reading.entry == entry] or _no_entry(path, entry, readings)
    fitting = [reading for reading in readings if _fits(reading.state, wanted)]
    _refuse_several(path, name, fitting)
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
        beside = [] if reading.parts else beside
        return (*reading.said, *(f"and not {one}" for one in beside))
    if all(name.isdecimal() for name in candidates[0].state):
        raise CheckpointError(
            f"{path} holds no state dict, but {len(candidates[0].state)} tensors without names, whose sizes in their "
            f"order are not those of {name}; save one with: {SAVE}"
        )
    closest = max(readings, key=lambda reading: len(reading.state.keys() & wanted.keys()))
    raise CheckpointError(f"the weights in {path} do not fit {name}: {_difference(closest.state, wanted)}")


def _refuse_several(path: Path, name: str, fitting: list[StateReading]) -> None:
    """An averaged network beside the trained one fits as well, and answers otherwise: nobody but its author knows."""
    networks = {reading.entry: reading.state for reading in reversed(fitting)}
    first, *others = [*reversed(networks.values())] or [{}]
    names = _without_counters(first)
    if any(not torch.equal(first[at], other[at]) for other in others for at in names):
        lines = " or ".join(f"--weights {one}" for one in reversed(networks))
        raise CheckpointError(f"{path} holds {len(networks)} networks that fit {name} and differ; say which: {lines}")


def _no_entry(path: Path, entry: str, readings: list[StateReading]) -> list[StateReading]:
    held = ", ".join(dict.fromkeys(reading.entry for reading in readings if reading.entry))
    raise CheckpointError(f"{path} holds no weights under {entry!r}; " + (f"it has {held}" if held else "leave it out"))


def shapes(path: Path, content: bytes) -> str:
    """The tensors of a file with their sizes, the first and the last ones: they tell what a model was made with."""
    state = _candidates(path, read(path, content))[0].state
    told = [f"{name} {'x'.join(map(str, tensor.shape))}" for name, tensor in state.items() if tensor.ndim > 1]
    return ", ".join(told if len(told) <= 2 * MOST_NAMED else [*told[:MOST_NAMED], "...", *told[-MOST_NAMED:]])


def arguments(path: Path, content: bytes) -> tuple[dict[str, Any], bool]:
    """What the model of a checkpoint was made with, as the checkpoint says, and whether it is Lightning that says so.

    Args:
        path: of the file, for messages.
        content: of the file.
    """
    root = read(path, content)
    entries = root if isinstance(root, Mapping) else {}
    for name in ARGUMENTS:
        entry = entries.get(name)
        if isinstance(entry, Mapping) and not _is_state(entry):
            found = {**entry, **getattr(entry, "__dict__", {})}  # what stands for a Namespace has attributes
            return {str(key): found[key] for key in found.keys() - {CLASS}}, name == ARGUMENTS[0]
    plain = {str(key): entry for key, entry in entries.items() if _is_plain(entry)}
    return plain or _beside(path), False


def _beside(path: Path) -> dict[str, Any]:
    """The settings in the file that Hugging Face writes beside the weights; none where there is none."""
    try:
        settings = json.loads(path.with_name(SETTINGS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return settings if isinstance(settings, dict) else {}


def _is_plain(value: object) -> bool:
    """Whether an entry is a number, a text, or a list of such: what sizes of layers are stored as."""
    if isinstance(value, list | tuple):
        return all(_is_plain(one) for one in value)
    return isinstance(value, int | float | str)


# --- unwrapping -------------------------------------------------------------------------------------------------------


def _candidates(path: Path, root: object) -> list[StateReading]:
    """The state dicts in what a file holds: itself, or the entries that are one, the usual names first."""
    if (row := _row(root)) is not None:
        return [StateReading(row, ())]
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
        return [StateReading(_tensors(entry), (f"the entry {(at := '.'.join(path))!r}",), at) for path, entry in found]
    whole = next((one for one in (root, *entries.values()) if pickled_class(one)), None)
    if whole is not None:
        raise whole_module(path, str(pickled_class(whole)))
    held = ", ".join(list(entries)[: 2 * MOST_NAMED] if isinstance(root, Mapping) else []) or type(root).__name__
    raise CheckpointError(f"{path} holds no state dict, but {held}; save one with: {SAVE}")


def _row(value: object) -> State | None:
    """Tensors or arrays one after the other, by their places; None where it is nothing of that kind."""
    if isinstance(value, Mapping) and all(OF_A_ROW.fullmatch(str(name)) for name in value):
        value = list(value.values())
    if not isinstance(value, list | tuple) or not value:
        return None
    tensors = [
        torch.from_numpy(one) if isinstance(one, np.ndarray) and one.dtype.kind in "fiu" else one for one in value
    ]
    return {str(place): one for place, one in enumerate(tensors)} if _are_tensors(tensors) else None


def _are_tensors(values: list[Any]) -> bool:
    return all(isinstance(one, Tensor) for one in values)


def _entries(holder: object) -> dict[str, object]:
    """What a container holds, by name or by place; nothing where it is none."""
    if isinstance(holder, list | tuple):
        return {str(place): entry for place, entry in enumerate(holder)}
    return {str(name): entry for name, entry in holder.items()} if isinstance(holder, Mapping) else {}


def _is_state(value: object) -> bool:
    return (
        isinstance(value, Mapping)
        and not pickled_class(value)
        and any(isinstance(entry, Tensor) for entry in value.values())
        and all(
            isinstance(name, str) and (isinstance(entry, Tensor) or "_extra_state" in name)
            for name, entry in value.items()
        )
    )


def _tensors(value: object) -> State:
    assert isinstance(value, Mapping)
    return {name: entry for name, entry in value.items() if isinstance(entry, Tensor)}


# --- fitting ----------------------------------------------------------------------------------------------------------


def _readings(candidate: StateReading, wanted: Mapping[str, Tensor]) -> list[StateReading]:
    """A state dict by its own names, and by what is left when the part goes that stands in front of the wanted ones."""

    def reading(state: State, said: str, inside: str = "") -> StateReading:
        return StateReading(state, (*candidate.said, said), ".".join(filter(None, (candidate.entry, inside))))

    if all(name.isdecimal() for name in candidate.state):
        tensors = list(candidate.state.values())
        if len(tensors) == len(wanted) and all(map(_has_size, tensors, wanted.values())):
            return [reading(dict(zip(wanted, tensors, strict=True)), "its tensors by their order, all of these sizes")]
        return [candidate]
    readings = [candidate]
    plain = {_unwrapped(name): tensor for name, tensor in candidate.state.items()}
    if plain.keys() != candidate.state.keys():
        taken = ", ".join(prefix for prefix in WRAPPERS if any(prefix in name for name in candidate.state))
        readings.append(reading(plain, f"{taken} in front of the names"))
    if (inner := {name.replace(".module.", "."): tensor for name, tensor in plain.items()}).keys() != plain.keys():
        readings.append(reading(inner, "module. in front of parts of the names"))
        plain = plain if plain.keys() & wanted.keys() > inner.keys() & wanted.keys() else inner
    if (whole := _unpruned(plain)).keys() != plain.keys():
        plain = whole
        readings.append(reading(plain, "pruned weights, times their masks"))
    first = next(iter(wanted), "")
    outer = f"{first.partition('.')[0]}."
    if all(name.startswith(outer) for name in wanted):  # of the network inside, and the class stands around it
        inside = {outer + name: tensor for name, tensor in plain.items()}
        readings.append(reading(inside, f"{outer} put in front of the names"))
    for name in plain:
        prefix = name.removesuffix(first)
        if name.endswith("." + first) and prefix:
            inner = {key.removeprefix(prefix): value for key, value in plain.items() if key.startswith(prefix)}
            # A loss or a metric may lie beside, or the same network a second time, averaged; a layer alone is another.
            if 2 * len(inner) > len(plain) or (len(wanted) >= WHOLE and _fits(inner, wanted)):
                readings.append(reading(inner, f"{prefix} in front of the names", prefix.rstrip(".")))
    return readings


def _joined(candidates: list[StateReading], wanted: Mapping[str, Tensor]) -> list[StateReading]:
    """The parts of a network that lie beside each other, each under the name that it has in the network."""
    parts: dict[str, State] = {}
    for candidate in candidates:
        name = OF_A_PART.sub("", candidate.entry.rpartition(".")[2])
        state = {f"{name}.{_unwrapped(key)}": tensor for key, tensor in candidate.state.items()}
        if state.keys() & wanted.keys():
            parts[name] = state
    whole = {key: tensor for state in parts.values() for key, tensor in state.items()}
    if len(parts) < 2 or not _fits(whole, wanted):
        return []
    return [StateReading(whole, (f"the parts {', '.join(parts)}",), parts=True)]


def _unwrapped(name: str) -> str:
    for prefix in (*WRAPPERS, *WRAPPERS):  # in either order
        name = name.removeprefix(prefix)
    return name.replace("._orig_mod.", ".")


def _unpruned(state: State) -> State:
    """A state dict whose pruned weights, each kept as it was and with a mask beside, are their product."""
    pruned = {name.removesuffix(MASK) for name in state if name.endswith(MASK)}
    whole = {name: state[name + ORIGINAL] * state[name + MASK] for name in pruned if name + ORIGINAL in state}
    beside = {name + end for name in whole for end in (ORIGINAL, MASK)}
    return {name: tensor for name, tensor in state.items() if name not in beside} | whole


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
    if any(word in name for name in extra for word in QUANTISED):
        return (
            "the file is of a network that torch.ao prepared for int8, or made int8, whose rounding is a part of its "
            "answer: export the network as it was trained in floats, and let edge make it int8 with --quantize"
        )
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
