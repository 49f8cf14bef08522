"""What `--model` names when it is nobody's name: a class or function of the user's own, called with literals.

    package.module:factory
    package.module:LSTM(28, 256, num_layers=2)
    path/to/file.py:ResNet(BasicBlock, [2, 2])
    path/to/notebook.ipynb:Net(Config(hidden=64))

Arguments are read, never evaluated: numbers, strings, lists and the like, names that stand in the same module, and
calls of such names with arguments of the same kind. A model that the module made already is taken by its name.
"""

import argparse
import ast
import copy
import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

from torch import nn

from edge_export.model import absent, compiling, fetching, importing
from edge_export.model.errors import ModelError
from edge_export.model.importing import Tell, theirs
from edge_export.model.repairs import without_cuda

FORM = "give --model package.module:factory or path/to/file.py:Class, with its arguments as in 'nets:LSTM(28, 128)'"

# What an argument is called that takes all settings as one.
AS_ONE = frozenset({"args", "arg", "config", "configs", "conf", "cfg", "hparams", "opt", "opts", "options", "params"})
# And what holds a model in something that trains it.
INSIDE = ("model", "net", "network", "classifier")
# What arguments are often made with, also where the module has no such name.
_COMMON = {"Namespace": argparse.Namespace, "SimpleNamespace": SimpleNamespace, "dict": dict}


@dataclass(frozen=True, slots=True)
class Name:
    """An argument that is a name in the factory's module, such as the class of a block.

    Attributes:
        name: as it stands there, with dots where it is an attribute.
    """

    name: str


@dataclass(frozen=True, slots=True)
class Made:
    """An argument that a name of the factory's module makes, such as `Config(hidden=64)`.

    Attributes:
        name: of what is called, with dots where it is an attribute.
        arguments: by position.
        options: by keyword.
    """

    name: str
    arguments: tuple[Any, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Factory:
    """What is called for a model.

    Attributes:
        source: the module, "package.module", or the path of its file, which ends in ".py" or ".ipynb".
        name: of the class or function.
        arguments: by position; literals, `Name` or `Made`.
        options: by keyword; likewise.
        call: as it was written, such as "LSTM(28, 256)".
    """

    source: str
    name: str
    call: str
    arguments: tuple[Any, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """What the manifest calls it: without the folders of a file, which are nobody's business."""
        source = Path(self.source).stem if self.source.endswith(importing.FILES) else self.source
        return f"{source}:{self.call}"

    @property
    def bare(self) -> bool:
        """Whether it was named without any brackets."""
        return self.call == self.name


def is_factory(model: str) -> bool:
    """Whether `--model` names a factory; a name of `edge models` has no colon."""
    return ":" in model


def parse(model: str) -> Factory:
    """Reads `--model`.

    Raises:
        ModelError: it names no factory, or an argument is no literal.
    """
    source, _, call = model.partition(":")
    if len(source.strip()) == 1 and call[:1] in ("\\", "/"):  # the drive of a path on Windows
        drive, (source, _, call) = source, call.partition(":")
        source = f"{drive}:{source}"
    source, call = source.strip(), call.strip()
    try:
        tree = ast.parse(call, mode="eval").body
    except (SyntaxError, ValueError) as error:
        raise ModelError(f"{model!r} names no factory; {FORM}") from error
    made = tree.func if isinstance(tree, ast.Call) else tree
    named = source and (not source.startswith(".") or source.endswith(importing.FILES))
    if not named or not isinstance(made, ast.Name):
        raise ModelError(f"{model!r} names no factory; {FORM}")
    if not isinstance(tree, ast.Call):
        return Factory(source, made.id, call)
    return Factory(source, made.id, call, *_arguments(tree))


def make(
    factory: Factory, tell: Tell, suggested: Mapping[str, Any] | None = None, *, needed: bool = False
) -> nn.Module:
    """Imports the factory and calls it.

    Args:
        factory: what to call.
        tell: takes a line before anything of the user's is run.
        suggested: values for its arguments by name, where it was named without any.
        needed: whether those are taken only for arguments that have no default.

    Raises:
        ModelError: there is no such module or factory, its code fails, its arguments do not fit, or it makes no module.
    """
    with absent.stood_in_for() as missing, fetching.nothing_fetched(), compiling.nothing_compiled():
        try:
            module = _made(factory, tell, suggested or {}, needed=needed)
        except ModelError as error:
            if not missing:
                raise
            raise ModelError(f"{error}; {', '.join(sorted(missing))} is not installed: install it") from error.__cause__
    if missing:
        tell(f"not installed, and stood in for as long as the model computes without: {', '.join(sorted(missing))}")
    return module


def _made(factory: Factory, tell: Tell, suggested: Mapping[str, Any], *, needed: bool) -> nn.Module:
    wanted = {factory.name, *_names((factory.arguments, tuple(factory.options.values())))}
    source = importing.find(factory.source, factory.name, wanted, tell)
    maker = getattr(source, factory.name, None)
    if isinstance(maker, nn.Module) and factory.bare:
        return copy.deepcopy(maker)  # what the module made stays as it was
    if not callable(maker):
        raise ModelError(f"{factory.source} has no factory {factory.name!r}{_choices(source)}; {FORM}")
    arguments = [_resolved(source, value) for value in factory.arguments]
    options = {key: _resolved(source, value) for key, value in factory.options.items()}
    if factory.bare and (taken := _taken(maker, suggested, needed=needed)):
        words = ", ".join(f"{name}={_short(value)}" for name, value in taken.items())
        tell(f"arguments: {words}, of the checkpoint")
        options = taken
    try:
        inspect.signature(maker).bind(*arguments, **options)
    except TypeError as error:
        raise ModelError(
            f"{factory.label} cannot be called like this: {error}; it is {factory.name}{_signature(maker)}: give its "
            f"arguments as literals, as in --model '{factory.source}:{_example(source, factory.name, maker)}'"
        ) from error
    except ValueError:
        pass  # a callable without a signature: the call itself will tell
    with theirs(f"{factory.label} fails when it is made"), without_cuda():
        module = maker(*arguments, **options)
    inner = _inside(module)
    if inner is not None:
        tell(f"{factory.label} gives a {type(module).__name__}; its {inner} is taken for the model")
        module = getattr(module, inner)
    if not isinstance(module, nn.Module):
        raise ModelError(
            f"{factory.label} gives a {type(module).__name__}, not a torch.nn.Module; name what returns the model"
        )
    return module


# --- arguments --------------------------------------------------------------------------------------------------------


def _arguments(call: ast.Call) -> tuple[tuple[Any, ...], dict[str, Any]]:
    if any(keyword.arg is None for keyword in call.keywords):
        raise ModelError(
            f"{ast.unparse(call)} spreads a dictionary with **, and edge evaluates nothing; write each argument out"
        )
    return (
        tuple(_argument(node) for node in call.args),
        {str(keyword.arg): _argument(keyword.value) for keyword in call.keywords},
    )


def _argument(node: ast.expr) -> Any:  # noqa: ANN401 - a literal may be anything
    if isinstance(node, ast.Name | ast.Attribute) and (name := _dotted(node)):
        return Name(name)
    if isinstance(node, ast.Call) and (name := _dotted(node.func)):
        return Made(name, *_arguments(node))
    if isinstance(node, ast.List | ast.Tuple):
        values = [_argument(one) for one in node.elts]
        return values if isinstance(node, ast.List) else tuple(values)
    if isinstance(node, ast.Dict) and all(isinstance(key, ast.Constant) for key in node.keys):
        keys = [key.value for key in node.keys if isinstance(key, ast.Constant)]
        return dict(zip(keys, map(_argument, node.values), strict=True))
    try:
        return ast.literal_eval(node)
    except ValueError as error:
        raise ModelError(
            f"the argument {ast.unparse(node)} is no literal, and edge evaluates nothing; write its value: a number, "
            "a string, a list, True, None"
        ) from error


def _dotted(node: ast.expr) -> str | None:
    """A name, or names with dots between them; None for anything else."""
    if isinstance(node, ast.Attribute):
        before = _dotted(node.value)
        return before and f"{before}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else None


def _resolved(source: ModuleType, value: Any) -> Any:  # noqa: ANN401 - a literal may be anything
    if isinstance(value, list | tuple):
        return type(value)(_resolved(source, one) for one in value)
    if isinstance(value, dict):
        return {key: _resolved(source, one) for key, one in value.items()}
    if isinstance(value, Name):
        return _found(source, value.name)
    if not isinstance(value, Made):
        return value
    maker = _found(source, value.name)
    arguments = [_resolved(source, one) for one in value.arguments]
    options = {key: _resolved(source, one) for key, one in value.options.items()}
    with theirs(f"the argument {value.name}(...) fails"):
        return maker(*arguments, **options)


def _found(source: ModuleType, name: str) -> Any:  # noqa: ANN401 - whatever the module has
    first, *more = name.split(".")
    if not hasattr(source, first) and first not in _COMMON:
        raise ModelError(f"{source.__name__} has no {name!r}; arguments are literals, or names of that module")
    value = getattr(source, first, _COMMON.get(first))
    for attribute in more:
        if not hasattr(value, attribute):
            raise ModelError(f"{source.__name__} has no {name!r}; arguments are literals, or names of that module")
        value = getattr(value, attribute)
    return value


def _taken(maker: Callable[..., Any], suggested: Mapping[str, Any], *, needed: bool) -> dict[str, Any]:
    """The suggested values that a factory takes by these names; all of them where it wants them as one."""
    parameters = inspect.signature(maker).parameters.values()
    named = [one for one in parameters if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)]
    required = [one.name for one in named if one.default is one.empty]
    if len(required) == 1 and required[0] not in suggested and required[0] in AS_ONE:
        settings = getattr(maker, "config_class", None)
        if isinstance(settings, type):  # as models of transformers have it
            return {required[0]: settings(**suggested)}
        if not suggested:
            return {}
        return {required[0]: absent.Hyperparameters(suggested)}
    chosen = required if needed else [one.name for one in named]
    return {name: suggested[name] for name in chosen if name in suggested}


def _inside(holder: object) -> str | None:
    """The attribute of something that trains a model, such as a `Trainer`, in which the model is; None without one."""
    attributes = getattr(holder, "__dict__", {})
    inside = [name for name, value in attributes.items() if isinstance(value, nn.Module) and list(value.parameters())]
    if isinstance(holder, nn.Module) or not inside:
        return None
    usual = [name for name in INSIDE if name in inside]
    return usual[0] if usual else inside[0] if len(inside) == 1 else None


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _signature(maker: Callable[..., Any]) -> str:
    return str(inspect.signature(maker))


def _example(source: ModuleType, name: str, maker: Callable[..., Any]) -> str:
    """A call with a value for each argument that needs one; the class of the module that an argument is said to be."""
    needed = [
        parameter
        for parameter in inspect.signature(maker).parameters.values()
        if parameter.default is parameter.empty
        and parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    ]
    kinds = {one.name: getattr(one.annotation, "__name__", str(one.annotation)) for one in needed}
    values = {
        one: f"{kind}()"
        if isinstance(getattr(source, kind, None), type)
        else "SimpleNamespace(hidden=128)"
        if one in AS_ONE
        else "..."
        for one, kind in kinds.items()
    }
    return f"{name}({', '.join(f'{one}={value}' for one, value in values.items())})"


def _choices(source: ModuleType) -> str:
    classes = [
        name
        for name, value in vars(source).items()
        if isinstance(value, type) and issubclass(value, nn.Module) and value.__module__ == source.__name__
    ]
    return f", only {', '.join(classes)}" if classes else ""


def _names(values: Iterable[Any]) -> set[str]:
    """The names of the module that arguments are made of."""
    found: set[str] = set()
    for value in values:
        if isinstance(value, Name | Made):
            found.add(value.name.partition(".")[0])
        if isinstance(value, Made):
            found |= _names((value.arguments, value.options))
        elif isinstance(value, Mapping):
            found |= _names(value.values())
        elif isinstance(value, list | tuple):
            found |= _names(value)
    return found
