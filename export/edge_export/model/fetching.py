"""What a constructor fetches, and a model that gets its weights from a checkpoint does not need.

Many a class begins with the weights of ImageNet, of which the checkpoint then replaces every one, and some load their
training data when they are made. Nothing is fetched while a model is made: weights that come from elsewhere are left
as they were drawn, and a data set of MNIST's family is as large as it should be, and empty.
"""

import importlib.util
import sys
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

SIZES = {True: 60_000, False: 10_000}  # of MNIST's training and test data, which scripts reckon epochs with
_NAMES = ("load_state_dict_from_url", "load_url")  # of the function, in torch and in those who import it


class _Unfetched(OrderedDict[str, Any]):
    """The state dict that was not fetched; entries may be taken out of it, as is done before it is loaded."""

    def __missing__(self, name: str) -> torch.Tensor:
        return torch.zeros(0)

    def __delitem__(self, name: str) -> None:
        pass

    def pop(self, _name: str, _default: object = None) -> Any:  # noqa: ANN401 - as of a dictionary
        """Nothing."""


@contextmanager
def nothing_fetched() -> Iterator[None]:
    """Code that is run inside fetches neither weights nor data."""
    original, load = torch.hub.load_state_dict_from_url, nn.Module.load_state_dict

    def unfetched(*_: object, **__: object) -> _Unfetched:
        return _Unfetched()

    def loaded(self: nn.Module, state: Any, *arguments: Any, **options: Any) -> Any:  # noqa: ANN401 - torch's own
        return None if isinstance(state, _Unfetched) else load(self, state, *arguments, **options)

    nn.Module.load_state_dict = loaded  # type: ignore[assignment, method-assign]
    there = dict(sys.modules)
    holders = _rename(there.values(), original, unfetched)
    data = _data_methods()
    for owner, name, _, other in data:
        setattr(owner, name, other)
    try:
        yield
    finally:
        nn.Module.load_state_dict = load  # type: ignore[method-assign]
        since = [module for name, module in list(sys.modules.items()) if there.get(name) is not module]
        _rename([*holders, *since], unfetched, original)
        for owner, name, before, _ in data:
            setattr(owner, name, before)


def _rename(modules: Iterable[object], one: Callable[..., Any], other: Callable[..., Any]) -> list[object]:
    """Gives every module that has a function under its usual name another in its place, and returns these modules."""
    holders = []
    for module in modules:
        for name in _NAMES:
            if getattr(module, "__dict__", {}).get(name) is one:
                setattr(module, name, other)
                holders.append(module)
    return holders


def _data_methods() -> list[tuple[type, str, Any, Any]]:
    """What torchvision's MNIST asks of the disk and of the network, with what it was and what it is instead."""
    if importlib.util.find_spec("torchvision") is None:
        return []
    from torchvision.datasets import mnist

    def empty(self: Any) -> tuple[torch.Tensor, torch.Tensor]:  # noqa: ANN401 - a data set of torchvision
        count = SIZES[bool(getattr(self, "train", True))]
        return torch.zeros(1, 28, 28, dtype=torch.uint8).expand(count, 28, 28), torch.zeros(1).long().expand(count)

    others: dict[str, Any] = {
        "_check_legacy_exist": lambda _: False,
        "_check_exists": lambda _: True,
        "download": lambda _: None,
        "_load_data": empty,
    }
    return [
        (kind, name, vars(kind)[name], other)
        for kind in vars(mnist).values()
        if isinstance(kind, type) and issubclass(kind, mnist.MNIST)
        for name, other in others.items()
        if name in vars(kind)
    ]
