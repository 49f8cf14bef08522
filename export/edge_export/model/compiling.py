"""Models that compile themselves: TorchScript and `torch.compile` are left out while somebody's code is run.

Neither changes what a model says, and no exporter looks into what they made. A function that TorchScript compiled stays
so: the tracing exporter does look into those, and keeps their branches and loops.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

_COMPILE_WHOLE = ("trace", "freeze", "optimize_for_inference")  # functions of torch.jit that take a module first
_COMPILED = torch.jit.ScriptModule


class _PlainModule(nn.Module):
    """Stands for `torch.jit.ScriptModule`, whose methods are those that were written."""


@contextmanager
def nothing_compiled() -> Iterator[None]:
    """Modules that are written or made inside stay modules of Python."""
    script = torch.jit.script

    def scripted(subject: Any, *arguments: Any, **options: Any) -> Any:  # noqa: ANN401 - torch's own
        plain = isinstance(subject, nn.Module | type)
        return subject if plain else script(subject, *arguments, **options)

    def compiled(model: Any = None, **_: Any) -> Any:  # noqa: ANN401 - torch's own
        return _unchanged if model is None else model

    others: dict[str, Any] = {
        "ScriptModule": _PlainModule,
        "script_method": _unchanged,
        "script": scripted,
        **{name: _first_unless(getattr(torch.jit, name)) for name in _COMPILE_WHOLE},
    }
    before = {name: getattr(torch.jit, name) for name in others}
    compile_before = torch.compile
    for name, value in others.items():
        setattr(torch.jit, name, value)
    torch.compile = compiled
    try:
        yield
    finally:
        torch.compile = compile_before
        for name, value in before.items():
            setattr(torch.jit, name, value)


def _unchanged(subject: Any, *_: Any, **__: Any) -> Any:  # noqa: ANN401 - torch's own
    return subject


def _first_unless(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of torch.jit that leaves modules of Python as they are."""

    def answered(subject: Any, *arguments: Any, **options: Any) -> Any:  # noqa: ANN401 - torch's own
        plain = isinstance(subject, nn.Module) and not isinstance(subject, _COMPILED)
        return subject if plain else function(subject, *arguments, **options)

    return answered
