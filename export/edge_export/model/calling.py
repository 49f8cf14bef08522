"""How somebody's module is called: with its pictures, what else `forward` wants, and what it keeps between calls.

Recurrent modules have their first states in many places: made in `forward`, an argument, an attribute that a method
sets before each batch, or sizes of a batch that are written down somewhere. `ways` lists what a module may want,
`probing` takes the first that works. Whatever a call leaves behind in the module is put back after it, so that each
answer is that of a fresh module.
"""

import inspect
import re
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from edge.bundle.input import ROWS
from edge.bundle.manifest import Preparation
from edge_export.model.errors import ModelError
from edge_export.model.preparation import PIXELS, axes_of, is_by_row, prepared, row_of

# What modules call the method that makes their first states.
FIRST_STATES = re.compile(
    r"(init|zero|begin|reset|start|initial|make|get).*(hidden|state|h0|hc)s?$|(hidden|state)s?_?(init|zero)",
    re.IGNORECASE,
)
# And the attribute that keeps them.
KEPT_STATES = ("hidden", "hidden_state", "hidden_states", "hidden_cell", "state", "states", "h", "h0", "hc")
# What they call the size of the batch, in an attribute or beside the class.
BATCH_SIZES = ("batch_size", "batchsize", "batchSize", "batch", "bs", "n_batch", "BATCH_SIZE", "BATCH", "BS")
# What they call the right answers, where `forward` computes the loss too.
LABELS = frozenset({"label", "labels", "target", "targets", "y", "gt", "truth", "true_labels", "y_true"})
# What an argument is called that is no second picture.
NO_PICTURE = re.compile(
    r"^(h|c|m|s|t)x?_?\d?(_?(prev|0|init))?$|hid|state|cell|mem|mask|noise|time|teacher|step|token|cond"
)
# What begins the name of a method that answers nothing, and may write or train something instead.
NO_ANSWER = re.compile(
    r"save|load|fit|train|test|valid|export|dump|write|plot|show|log|set|add|register|configure|on_|init|reset|loss|step"
)
# How a batch holds its pictures, where `forward` takes the batch whole.
BATCHES = ("pair", "mapping")


@dataclass(frozen=True, slots=True)
class More:
    """What `forward` wants besides the pictures, and what must be so before it is called.

    Attributes:
        wanted: the names of its other arguments that have no default.
        method: the name of the module's own method that makes the states of a batch; None where it is not asked.
        of: what that method takes: "batch", its size; "pixels", the pictures; "", nothing.
        attribute: which attribute keeps what the method gives; None where it is an argument, or the method sets it.
        sized: whether the sizes of the batch that are written down are those of the batch that comes.
        given: what the other arguments get that nothing else is known of: "", nothing; "pictures", the same pictures;
            "sequences" or "rows", states of zeros for layers that see whole sequences or a row at a call.
        batch: how the pictures are handed over: "", as they are; one of `BATCHES`, in a batch with something else.
        asked: the name of the method, or of the part, that is asked in the place of `forward`, where there is none.
        truth: the class that is said to be the right answer, where `forward` wants one.
    """

    wanted: tuple[str, ...] = ()
    method: str | None = None
    of: str = "batch"
    attribute: str | None = None
    sized: bool = False
    given: str = ""
    batch: str = ""
    asked: str | None = None
    truth: int = 0

    @property
    def wants_truth(self) -> str | None:
        """The argument that is the right answer; None where there is none."""
        return next((name for name in self.wanted if name.lower() in LABELS), None)

    @property
    def words(self) -> list[str]:
        """What is done, a line each."""
        said = []
        if self.sized:
            said.append("a size of the batch that is written down is that of the batch that comes")
        if self.method:
            said.append(f"forward begins with the states of {self.method}()")
        if self.asked:
            said.append(f"has no forward, and is asked by its {self.asked}")
        if self.batch:
            said.append(f"takes the batch whole, as a {self.batch}")
        known = {
            "those of full sequences": [name for name in self.wanted if _is_length(name)],
            "zeros, for a loss that nobody reads": [name for name in self.wanted if name.lower() in LABELS],
            "the number of pictures": [name for name in self.wanted if name in BATCH_SIZES],
        }
        said += [f"its argument {names[0]} is {what}" for what, names in known.items() if names]
        unknown = [name for name in self.wanted if not _is_known(name)]
        if self.given == "pictures":
            said.append(f"its argument {', '.join(unknown)} is the same picture again")
        elif self.method is None and unknown:
            said.append("forward begins with empty states")
        return said


def in_evaluation(module: nn.Module) -> nn.Module:
    """The module in evaluation, float32, on the CPU, whatever its class means by `train` and `eval`: some train there.

    Args:
        module: any; its methods of these names become torch's own.
    """
    for part in module.modules():
        kind = type(part)
        own = (kind.train, kind.eval) != (nn.Module.train, nn.Module.eval)
        if own and not _is_torch(kind.__module__) and not isinstance(part, torch.jit.ScriptModule):
            vars(part).update(train=partial(nn.Module.train, part), eval=partial(nn.Module.eval, part))
    return nn.Module.float(nn.Module.cpu(nn.Module.eval(module)))


def ways(module: nn.Module) -> list[More]:
    """What a module may want, the plainest first."""
    if not isinstance(module, torch.jit.ScriptModule) and type(module).forward is nn.Module.forward:
        return [More(asked=name) for name in _askable(module)]
    compiled = isinstance(module, torch.jit.ScriptModule)
    parameters = [] if compiled else list(inspect.signature(module.forward).parameters.values())
    wanted = tuple(
        one.name
        for one in parameters[1:]
        if one.default is one.empty and one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)
    )
    sizes = [True, False] if any(name in holder for holder in _holders(module) for name in BATCH_SIZES) else [False]
    plain = [More(wanted, sized=sized) for sized in reversed(sizes)]
    asked = [
        More(wanted, method, of, attribute, sized)
        for method in _makers_of_states(module)
        for of in ("batch", "", "pixels")
        for attribute in ([None] if wanted else [*(name for name in KEPT_STATES if hasattr(module, name)), None])
        for sized in sizes
    ]
    unknown = [name for name in wanted if not _is_known(name)]
    zeros = [More(wanted, given=given) for given in ("sequences", "rows") if unknown and _hidden(module)]
    pictures = [] if not unknown or any(map(NO_PICTURE.search, unknown)) else [More(wanted, given="pictures")]
    whole = [More(batch=batch) for batch in BATCHES if not wanted and not compiled]
    return [*plain, *asked, *zeros, *pictures, *whole]


def _makers_of_states(module: nn.Module) -> list[str]:
    """The methods of a module's own classes that make its first states, by their names."""
    own = [name for kind in type(module).__mro__ if not _is_torch(kind.__module__) for name in vars(kind)]
    return [name for name in dict.fromkeys(own) if FIRST_STATES.search(name) and callable(getattr(module, name, None))]


def _askable(module: nn.Module) -> list[str]:
    """What may be asked in the place of a `forward`: the module's own methods of one argument, then its parts."""
    methods = []
    for kind in type(module).__mro__:
        for name, value in vars(kind).items() if not _is_torch(kind.__module__) else ():
            if inspect.isfunction(value) and not name.startswith("_") and not NO_ANSWER.match(name):
                parameters = list(inspect.signature(value).parameters.values())[1:]
                needed = [one for one in parameters if one.default is one.empty and one.kind != one.VAR_KEYWORD]
                methods += [name] if len(needed) == 1 else []
    return [*dict.fromkeys(methods), *(name for name, _ in module.named_children())]


class _Batch(dict[str, Any]):
    """A batch by its names: under any that is none of a label or a length are the pictures."""

    def __init__(self, pixels: Tensor, rows: int) -> None:
        super().__init__()
        self.pixels, self.rows = pixels, rows

    def __missing__(self, name: str) -> Any:  # noqa: ANN401 - as of a dictionary
        return _argument(name, len(self.pixels), self.rows) if _is_known(name) else self.pixels

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - likewise
        if name.startswith("__"):
            raise AttributeError(name)
        return self[name]


def call(model: nn.Module, images: Tensor, preparation: Preparation, more: More) -> object:
    """What a module returns for pictures: float [batch, 28, 28] in [0, 1].

    What it prints goes to stderr, because stdout holds results only. States that it makes itself have the precision
    of the pictures.
    """
    with redirect_stdout(sys.stderr), _default(images.dtype), warnings.catch_warnings(), _put_back(model):
        warnings.simplefilter("ignore")
        pixels = prepared(images, preparation)
        batch = images.shape[0]
        if more.sized:
            for holder in _holders(model):
                holder.update({name: batch for name in BATCH_SIZES if _is_size(holder.get(name))})
        states = _states(model, batch, pixels, more)
        if more.attribute is not None and states is not None:
            setattr(model, more.attribute, states)
        if is_by_row(preparation.layout):
            return _row_by_row(model, pixels, preparation, more, states)
        rows = PIXELS if PIXELS in axes_of(preparation.layout) else ROWS
        asked = model if more.asked is None else getattr(model, more.asked)
        if more.batch:
            return asked((pixels, _argument("labels", batch, rows)) if more.batch == "pair" else _Batch(pixels, rows))
        unknown = sum(not _is_known(name) for name in more.wanted)
        if more.given == "pictures":
            free = iter([pixels] * unknown)
        elif more.given:
            free = iter(_zeros(model, batch, unknown, more.given))
        else:
            free = iter([] if more.method is None or more.attribute is not None else [states])
        given = [
            _argument(name, batch, rows, more.truth) if _is_known(name) else next(free, None) for name in more.wanted
        ]
        return asked(pixels, *given)


def _row_by_row(
    model: nn.Module,
    pixels: Tensor,
    preparation: Preparation,
    more: More,
    states: Any,  # noqa: ANN401 - whatever the module makes
) -> object:
    """What a module returns for the last row, given a row at a call and the states that it returned for the row before.

    The states stand behind the answer in what it returns, in the order of its arguments; or it keeps them itself.
    """
    kept = more.attribute is not None or any(hasattr(model, name) for name in KEPT_STATES)
    if not more.wanted and not kept:
        raise ModelError("it takes no state that a row could hand on to the next one")
    given = list(states) if len(more.wanted) > 1 and isinstance(states, tuple) else [states]
    given = [_for_batch(one, pixels.shape[0]) for one in given[: len(more.wanted)]]
    returned: object = None
    for row in range(ROWS):
        returned = model(row_of(pixels, row, preparation), *given)
        if more.wanted:
            behind = returned[1:] if isinstance(returned, tuple | list) else ()
            if len(behind) != len(more.wanted):
                raise ModelError(
                    f"it takes {', '.join(more.wanted)} at a row, and gives {len(behind)} states back behind its answer"
                )
            given = list(behind)
    return returned


def _for_batch(states: Any, batch: int) -> Any:  # noqa: ANN401 - whatever the module makes
    """States that were made for one picture, as many times as there are pictures."""
    if isinstance(states, tuple | list):
        return type(states)(_for_batch(one, batch) for one in states)
    if not isinstance(states, Tensor) or states.ndim not in (2, 3):
        return states
    axis = states.ndim - 2  # [batch, hidden], or [layers, batch, hidden]
    size = [*states.shape[:axis], batch, -1]
    return states.expand(size) if states.shape[axis] == 1 else states


def _is_known(name: str) -> bool:
    return _is_length(name) or name.lower() in LABELS or name in BATCH_SIZES


def _argument(name: str, batch: int, rows: int, truth: int = 0) -> Tensor | int:
    """What `forward` wants under a name that says what it is."""
    if name in BATCH_SIZES:
        return batch
    return torch.full((batch,), rows if _is_length(name) else truth, dtype=torch.long)


def _states(model: nn.Module, batch: int, pixels: Tensor, more: More) -> Any:  # noqa: ANN401 - whatever it makes
    if more.method is None:
        return None
    method = getattr(model, more.method)
    return method({"batch": batch, "pixels": pixels}[more.of]) if more.of else method()


def _hidden(model: nn.Module) -> tuple[int, int, bool] | None:
    """Layers in both directions, units and whether there are cells, of the first recurrent layer; None without one."""
    for part in model.modules():
        if isinstance(part, nn.RNNBase):
            return part.num_layers * (1 + part.bidirectional), part.hidden_size, isinstance(part, nn.LSTM)
        if isinstance(part, nn.RNNCellBase):
            return 1, part.hidden_size, isinstance(part, nn.LSTMCell)
    written = [vars(model).get(name) for name in ("hidden_size", "hidden_dim", "num_hidden", "n_hidden", "hidden")]
    units = [one for one in written if isinstance(one, int)]
    return (1, units[0], False) if units else None


def _zeros(model: nn.Module, batch: int, count: int, how: str) -> list[Any]:
    """So many arguments of zeros for the first recurrent layer: its states, or one argument with both of an LSTM."""
    hidden = _hidden(model)
    assert hidden is not None
    layers, units, cells = hidden
    zeros = torch.zeros(*((layers,) if how == "sequences" else ()), batch, units)
    return [(zeros, zeros)] if cells and count == 1 else [zeros] * count


def _is_length(name: str) -> bool:
    return "len" in name.lower()


def _is_size(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _holders(model: nn.Module) -> list[dict[str, Any]]:
    """Where sizes of a batch are written down: the attributes of the module and its parts, and beside their classes."""
    parts = list(model.modules())
    beside = {name: sys.modules.get(name) for part in parts if not _is_torch(name := type(part).__module__)}
    return [vars(part) for part in parts] + [vars(module) for module in beside.values() if module is not None]


def _is_torch(name: str) -> bool:
    return name.partition(".")[0] in ("torch", "torchvision")


@contextmanager
def _put_back(model: nn.Module) -> Iterator[None]:
    """What runs inside leaves the attributes of a module, its parts and their modules as they were."""
    attributes = [(one, {name: one[name] for name in one if not name.startswith("_")}) for one in _holders(model)]
    stored = [vars(part).get("_buffers") for part in model.modules()]  # a ScriptModule has none in sight
    buffers = [(one, dict(one)) for one in stored if isinstance(one, dict)]
    try:
        yield
    finally:
        for holder, kept in attributes + buffers:
            holder.update(kept)


@contextmanager
def _default(dtype: torch.dtype) -> Iterator[None]:
    before = torch.get_default_dtype()
    if dtype == before:
        yield
        return
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)
