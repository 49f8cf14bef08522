"""Calls in somebody's `forward` that cannot stay as they are, answered in another way while it runs.

Nothing of the model is changed: torch asks a `TorchFunctionMode` at every call, in eager mode as well as under both
exporters, so that PyTorch's reference and the graph are repaired alike. The calls are counted, and each repair belongs
to the call of one number.

| call                             | what is done instead                                                             |
|----------------------------------|----------------------------------------------------------------------------------|
| `.cuda()`, `.to("mps")`          | nothing: the tensor stays where it is                                            |
| `.squeeze()` without an axis     | the axes go that are 1 at every batch size: a batch of one keeps its own         |
| `F.dropout(x)` that is always on | nothing: a model in evaluation drops nothing                                     |
| a softmax or sigmoid at the end  | nothing: what enters it are the logits                                           |
| an argmax at the end             | nothing: likewise, and the largest one decides                                   |
| `torch.randn` and the like       | the mean of what would be drawn: an answer must not depend on chance             |
| what ONNX has no operator for    | the same by operators that it has (`edge_export.model.lacking`)                  |
| packing sequences of full length | nothing: a recurrent layer takes them as they are                                |
| `.double()`, `.half()`, `dtype=` | the precision that everything else has: the weights are float32                  |
"""

import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import rnn
from torch.overrides import TorchFunctionMode

from edge_export.model import lacking

Call = Callable[..., Any]

CPU = torch.device("cpu")
QUOTES = "'>"  # around the name of a class
DEVICES = ("cuda", "mps", "xpu", "hip", "npu", "mlu")  # which people write their scripts for

_SQUEEZES = (torch.squeeze, Tensor.squeeze)
_SOFTMAXES = (torch.softmax, F.softmax, Tensor.softmax)
_SIGMOIDS = (torch.sigmoid, F.sigmoid, Tensor.sigmoid)
_PRECISIONS = (Tensor.double, Tensor.half, Tensor.bfloat16)
_ARGMAXES = (torch.argmax, Tensor.argmax)
_MAXES = (torch.max, Tensor.max)
_DROPOUTS = (F.dropout, F.dropout1d, F.dropout2d, F.alpha_dropout, F.feature_alpha_dropout, torch.dropout)


@dataclass(frozen=True, slots=True)
class Seen:
    """A call that may need a repair.

    Attributes:
        kind: "squeeze", "softmax", "sigmoid", "argmax", "max" along an axis, or "dropout".
        shape: of the tensor that entered.
        result: the tensor that it returned.
    """

    kind: str
    shape: tuple[int, ...]
    result: Tensor


class Largest(NamedTuple):
    """What `torch.max` along an axis gives."""

    values: Tensor
    indices: Tensor


@dataclass(frozen=True, slots=True)
class Repairs:
    """What is done in the place of which call.

    Attributes:
        axes: for a `.squeeze()` without an axis, by the number of the call: the axes that go.
        skipped: the numbers of the calls that return what enters them.
        moves: whether tensors are moved to CUDA.
        end: the kind of the last call, whose result was the answer: "softmax", "sigmoid", or None.
        decides: whether the answer was the class itself, by an argmax that is left out.
        dropout: whether a dropout was always on.
        packed: whether sequences of full length are packed.
        still: whether random numbers are their mean.
        single: whether any other precision is that of the pictures.
        lacking: whether ONNX has no operator for one of its calls.
    """

    axes: Mapping[int, tuple[int, ...]] = field(default_factory=dict)
    skipped: frozenset[int] = frozenset()
    moves: bool = False
    end: str | None = None
    decides: bool = False
    dropout: bool = False
    packed: bool = False
    still: bool = False
    single: bool = False
    lacking: bool = False

    def __bool__(self) -> bool:
        told = self.axes or self.skipped or self.moves or self.packed or self.still or self.single or self.lacking
        return bool(told)


class Repaired(TorchFunctionMode):
    """Runs code with repairs, and notes the calls that may need one.

    Args:
        repairs: what is done in the place of which call.
    """

    def __init__(self, repairs: Repairs) -> None:
        super().__init__()
        self.repairs = repairs
        self.seen: list[Seen] = []
        self.cuda = False
        self.random = False
        self.double = False
        self.lacking = False
        self.packed: bool | None = None  # whether sequences were packed, and all of them were of full length

    def __torch_function__(
        self,
        func: Call,
        types: Any,  # noqa: ANN401 - torch's own signature
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401
        """Answers a call of torch."""
        named = dict(kwargs or {})
        if _moves_to_cuda(func, args, named):
            self.cuda = True
            if func is Tensor.cuda:
                return args[0]
            args = tuple(_on_cpu(func, one) if place else one for place, one in enumerate(args))
            named = {key: _on_cpu(Tensor.to if key == "device" else func, one) for key, one in named.items()}
        if func in _PRECISIONS or any(map(_is_precision, (*args, *named.values()))):
            self.double = True
            if func in _PRECISIONS:
                return args[0].to(torch.get_default_dtype())
            args = tuple(torch.get_default_dtype() if _is_precision(one) else one for one in args)
            named = {key: torch.get_default_dtype() if _is_precision(one) else one for key, one in named.items()}
        if getattr(func, "__name__", "") == "_pack_padded_sequence":
            sequence, lengths, batch_first = args
            full = bool((lengths == sequence.shape[1 if batch_first else 0]).all())
            self.packed = full and self.packed is not False
        if func in _MEANS:
            self.random = True
            if self.repairs.still:
                return _MEANS[func](*args, **named)
        kind = _kind(func, args, named)
        if kind is None:
            other = lacking.answered(func, args, named)
            self.lacking = self.lacking or other is not None
            return func(*args, **named) if other is None else other
        number = len(self.seen)
        entered = args[0] if args else named["input"]
        if number in self.repairs.skipped:
            result: Any = Largest(entered, entered) if kind == "max" else entered
        elif number in self.repairs.axes:
            axes = self.repairs.axes[number]
            result = torch.squeeze(entered, axes) if axes else entered
        else:
            result = func(*args, **named)
        self.seen.append(Seen(kind, tuple(entered.shape), result[1] if kind == "max" else result))
        return result


@contextmanager
def unpacked(model: nn.Module) -> Iterator[None]:
    """Code of a model that packs sequences of full length, and unpacks them, leaves them as they are.

    Both functions are Python that torch asks nobody about: their names are given others, in torch's module, in those
    that the model's classes were written in, and wherever else they have the names that torch gave them.
    """

    def pack(sequence: Tensor, _lengths: object, batch_first: bool = False, **_: object) -> Tensor:
        del batch_first  # the layer knows it too
        return sequence

    def pad(sequence: Tensor, batch_first: bool = False, **_: object) -> tuple[Tensor, Tensor]:
        rows, batch = (1, 0) if batch_first else (0, 1)
        return sequence, torch.full((sequence.shape[batch],), sequence.shape[rows])

    pack_name, pad_name = "pack_padded_sequence", "pad_packed_sequence"
    others: dict[object, object] = {rnn.pack_padded_sequence: pack, rnn.pad_packed_sequence: pad}
    modules = {rnn, *(sys.modules[type(layer).__module__] for layer in model.modules())}
    for module in list(sys.modules.values()):
        beside = getattr(module, "__dict__", {})
        if any(beside.get(name) is rnn.__dict__[name] for name in (pack_name, pad_name)):
            modules.add(module)
    changed = [
        (module, name, value)
        for module in modules
        for name, value in list(vars(module).items())
        if inspect.isfunction(value) and value in others
    ]
    for module, name, value in changed:
        setattr(module, name, others[value])
    try:
        yield
    finally:
        for module, name, value in changed:
            setattr(module, name, value)


@contextmanager
def without_cuda() -> Iterator[None]:
    """Code that moves its tensors to CUDA leaves them where they are."""
    with Repaired(Repairs()):
        yield


def _kind(func: Call, args: tuple[Any, ...], named: Mapping[str, Any]) -> str | None:
    if func in _SQUEEZES:
        return "squeeze" if len(args) + len(named) == 1 else None
    if func in _SOFTMAXES:
        return "softmax"
    if func in _SIGMOIDS:
        return "sigmoid"
    if func in _ARGMAXES and len(args) + len(named) > 1:
        return "argmax"
    if func in _MAXES and (any(map(_is_axis, args[1:])) or "dim" in named):
        return "max"
    return "dropout" if func in _DROPOUTS and _is_on(func, args, named) else None


def _is_axis(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_on(func: Call, args: tuple[Any, ...], named: Mapping[str, Any]) -> bool:
    """Whether a dropout drops: a layer in evaluation calls the same function, and tells it not to."""
    if func is torch.dropout:
        return bool(named.get("train", args[2:3] == (True,)))
    bound = inspect.signature(func).bind(*args, **named)
    bound.apply_defaults()
    return bool(bound.arguments["training"])


def _moves_to_cuda(func: Call, args: tuple[Any, ...], named: Mapping[str, Any]) -> bool:
    if func is Tensor.cuda or _is_elsewhere(Tensor.to, named.get("device")):
        return True
    return func in (Tensor.to, Tensor.type) and any(_is_elsewhere(func, argument) for argument in args[1:])


def _is_elsewhere(func: Call, value: object) -> bool:
    """Whether an argument names a device that is not the CPU, by its name, number or type of tensors."""
    if func is Tensor.type:
        return "torch.cuda." in str(value)
    if isinstance(value, torch.device):
        return value.type in DEVICES
    if isinstance(value, str):
        return value.partition(":")[0] in DEVICES
    return func is Tensor.to and isinstance(value, int) and not isinstance(value, bool)  # of `get_device()`


def _is_precision(value: object) -> bool:
    """Whether an argument names a precision of floats that is not float32."""
    named = isinstance(value, str) and value in ("torch.DoubleTensor", "torch.HalfTensor")
    dtypes = (torch.float64, torch.float16, torch.bfloat16, torch.DoubleTensor, torch.HalfTensor)
    return named or any(value is one for one in dtypes)


def _on_cpu(func: Call, value: Any) -> Any:  # noqa: ANN401 - an argument may be anything
    if not _is_elsewhere(func, value):
        return value
    return f"torch.{str(value).rpartition('.')[2].rstrip(QUOTES)}" if func is Tensor.type else CPU


def _normal(mean: Any, _deviation: Any = None, size: Any = None, **options: Any) -> Any:  # noqa: ANN401 - torch's own
    options.pop("generator", None)
    return mean if isinstance(mean, Tensor) else torch.full(size, float(mean), **options)


def _uniform_(tensor: Tensor, low: float = 0.0, high: float = 1.0, **_: object) -> Tensor:
    return tensor.fill_((low + high) / 2)


# What is drawn at random, and its mean.
_MEANS: dict[Call, Call] = {
    torch.randn: torch.zeros,
    torch.randn_like: torch.zeros_like,
    torch.rand: lambda *sizes, **options: torch.zeros(*sizes, **options) + 0.5,
    torch.rand_like: lambda tensor, **options: torch.zeros_like(tensor, **options) + 0.5,
    torch.normal: _normal,
    Tensor.normal_: lambda tensor, mean=0.0, *_, **__: tensor.fill_(mean),
    Tensor.uniform_: _uniform_,
}
