"""Packages that somebody's file imports and that are not installed: a stand-in, as long as nothing is computed by it.

A file with a model also trains it, and imports what training takes: Lightning, metrics, loggers, progress bars. None
of it is needed for the model's answers. So what is missing is stood in for while the file is imported and the model is
made; whatever of it `forward` touches raises the error that it is not installed. `LightningModule` becomes a plain
`nn.Module` that keeps its hyperparameters, and so does any class that somebody derives a class with a `forward` from.

Modules that lie in a folder above the file, as in a repository that is run from its root, are found there.
"""

import ast
import inspect
import linecache
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import FrameType, FunctionType, ModuleType
from typing import Any

import torch
from torch import nn

FOLDERS_ABOVE = 4  # of a file, in which its own modules may lie
# What constructors call at their end, of base classes that are not there; it leaves the weights to the checkpoint.
_LAST_CALLS = frozenset({"post_init", "init_weights", "register_for_auto_class"})

_INSTALLED = tuple({*sysconfig.get_paths().values(), str(Path(__file__).parents[1])})
_making: list[object] = []  # not empty while a file is imported or a model is made


class _Meta(type):
    """A class whose attributes are stand-ins too; what is derived from it and has a `forward` is a module of torch."""

    def __new__(cls, name: str, bases: tuple[type, ...], facts: dict[str, Any]) -> "_Meta":
        if "forward" in facts and not any(issubclass(base, nn.Module) for base in bases):
            bases = (*bases, nn.Module)
        return super().__new__(cls, name, bases, facts)

    def __getattr__(cls, name: str) -> Any:  # noqa: ANN401 - whatever it stands for
        if name.startswith("__"):
            raise AttributeError(name)
        return _stand_in(f"{cls.of}.{name}")


class _StandIn(metaclass=_Meta):
    """Stands for anything of a package that is not there: a class, a function, a decorator, a value."""

    of = ""

    def __new__(cls, *arguments: Any, **options: Any) -> Any:  # noqa: ANN401 - as a decorator it gives the function
        if issubclass(cls, nn.Module) or not (arguments or options):  # a copy is made without any
            return super().__new__(cls)
        _check(cls.of)
        only_function = len(arguments) == 1 and isinstance(arguments[0], FunctionType | type)
        return arguments[0] if only_function else super().__new__(cls)

    def __init__(self, *arguments: Any, **options: Any) -> None:  # noqa: ANN401 - whatever it is given
        if isinstance(self, nn.Module):
            super().__init__()
            vars(self)["config"] = next(iter(arguments), None)  # as a model of Hugging Face keeps it
        else:
            vars(self).update(options)

    def __call__(self, *arguments: Any, **options: Any) -> Any:  # noqa: ANN401 - likewise
        if isinstance(self, nn.Module):
            return nn.Module.__call__(self, *arguments, **options)
        _check(self.of)
        return arguments[0] if len(arguments) == 1 and isinstance(arguments[0], FunctionType | type) else self

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - likewise
        if isinstance(self, nn.Module) and name not in _LAST_CALLS:
            return nn.Module.__getattr__(self, name)
        if name.startswith("__"):
            raise AttributeError(name)
        return _stand_in(f"{self.of}.{name}")


def _check(name: str) -> None:
    if not _making:
        package = name.partition(".")[0]
        raise ModuleNotFoundError(f"{package} is not installed, and the model computes with {name}; install it")


def _stand_in(name: str) -> Any:  # noqa: ANN401 - a class
    package, _, last = name.rpartition(".")
    facts = {"of": name, "__module__": package}
    return LightningModule if last == "LightningModule" else _Meta(last, (_StandIn,), facts)


class Hyperparameters(dict[str, Any]):
    """A dictionary whose entries are attributes too, and those of the dictionaries in it."""

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever was stored
        try:
            value = self[name]
        except KeyError as error:
            raise AttributeError(name) from error
        return Hyperparameters(value) if isinstance(value, dict) else value


class LightningModule(nn.Module):
    """What a model needs of Lightning's module: its hyperparameters, and that logging does nothing.

    Attributes:
        hparams: what `save_hyperparameters` kept.
    """

    device = torch.device("cpu")
    logger = trainer = None
    current_epoch = global_step = 0

    def __init__(self, *_arguments: object, **_options: object) -> None:
        super().__init__()
        self.hparams = Hyperparameters()

    def save_hyperparameters(self, *names: object, ignore: str | Sequence[str] = (), **_options: object) -> None:
        """Keeps the arguments of the `__init__` that calls it, some of them, or those of a dictionary."""
        caller = inspect.currentframe()
        caller = caller and caller.f_back
        assert caller is not None
        values = inspect.getargvalues(caller)
        kept = {name: values.locals[name] for name in values.args[1:] if name in values.locals}
        kept |= values.locals.get(values.keywords or "", {})
        for given in names:
            if not isinstance(given, str):
                kept |= dict(given) if isinstance(given, dict) else vars(given)
        wanted = {name for name in names if isinstance(name, str)} or set(kept)
        ignored = {ignore} if isinstance(ignore, str) else set(ignore)
        self.hparams.update({name: value for name, value in kept.items() if name in wanted - ignored})

    def log(self, *_arguments: object, **_options: object) -> None:
        """Nothing."""

    log_dict = log


class _Module(ModuleType):
    """A module that is not there."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.__path__ = []

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever it stands for
        if name.startswith("__"):
            raise AttributeError(name)
        return _stand_in(f"{self.__name__}.{name}")


class _Finder(MetaPathFinder, Loader):
    """Finds what no other finder of Python does, for somebody's own code only."""

    def __init__(self) -> None:
        self.absent: set[str] = set()

    def find_spec(self, name: str, _path: object = None, _target: object = None) -> ModuleSpec | None:
        """A stand-in, or the module in a folder above the file that imports it."""
        package = name.partition(".")[0]
        if package in self.absent:
            return ModuleSpec(name, self, is_package=True)
        caller = _importing()
        if "." in name or caller is None or _may_fail(caller):
            return None
        for folder in list(Path(caller.f_code.co_filename).resolve().parents)[:FOLDERS_ABOVE]:
            if (found := PathFinder.find_spec(name, [str(folder)])) is not None:
                return found
        self.absent.add(package)
        return ModuleSpec(name, self, is_package=True)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """The stand-in."""
        return _Module(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Nothing is to be run."""


@contextmanager
def stood_in_for() -> Iterator[set[str]]:
    """Stands in for packages that are not installed; gives their names as they are asked for."""
    finder = _Finder()
    sys.meta_path.append(finder)
    _making.append(finder)
    try:
        yield finder.absent
    finally:
        _making.remove(finder)
        sys.meta_path.remove(finder)
        for name, module in list(sys.modules.items()):
            if isinstance(module, _Module):
                del sys.modules[name]  # others look for them too, to know what is installed


def _importing() -> FrameType | None:
    """Where the import stands; None in code of Python, of an installed package, or of edge."""
    frame = inspect.currentframe()
    while frame is not None and (
        frame.f_code.co_filename.startswith("<frozen") or frame.f_code.co_filename == __file__
    ):
        frame = frame.f_back
    if frame is None or frame.f_code.co_filename.startswith(("<", *_INSTALLED)):
        return None
    return frame


def _may_fail(caller: FrameType) -> bool:
    """Whether an import stands in a `try`: its author knows what to do without."""
    try:
        tree = ast.parse("".join(linecache.getlines(caller.f_code.co_filename)))
    except SyntaxError:
        return False
    return any(
        isinstance(node, ast.Try) and node.body[0].lineno <= caller.f_lineno <= (node.body[-1].end_lineno or 0)
        for node in ast.walk(tree)
    )
