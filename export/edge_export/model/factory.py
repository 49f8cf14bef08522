"""What `--model` names when it is nobody's name: a class or function of the user's own, called with literals.

    package.module:factory
    package.module:LSTM(28, 256, num_layers=2)
    path/to/file.py:ResNet(BasicBlock, [2, 2])

Arguments are read, never evaluated: numbers, strings, lists and the like, and names that stand in the same module.

Many a file that holds a class also trains it: an import would download data, train for minutes and overwrite the
checkpoint. Of a file that does more than define, only what the factory needs is run: imports, definitions, and the
assignments of the names that they use.
"""

import ast
import importlib
import importlib.util
import inspect
import symtable
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import nn

from edge_export.model.errors import ModelError
from edge_export.model.repairs import without_cuda

FORM = "give --model package.module:factory or path/to/file.py:Class, with its arguments as in 'nets:LSTM(28, 128)'"

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Name:
    """An argument that is a name in the factory's module, such as the class of a block.

    Attributes:
        name: as it stands there.
    """

    name: str


@dataclass(frozen=True, slots=True)
class Factory:
    """What is called for a model.

    Attributes:
        source: the module, "package.module", or the path of its file, which ends in ".py".
        name: of the class or function.
        arguments: by position; literals, or `Name`.
        options: by keyword; literals, or `Name`.
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
        source = Path(self.source).stem if self.source.endswith(".py") else self.source
        return f"{source}:{self.call}"


def is_factory(model: str) -> bool:
    """Whether `--model` names a factory; a name of `edge models` has no colon."""
    return ":" in model


def parse(model: str) -> Factory:
    """Reads `--model`.

    Raises:
        ModelError: it names no factory, or an argument is no literal.
    """
    source, _, call = model.partition(":")
    source, call = source.strip(), call.strip()
    try:
        tree = ast.parse(call, mode="eval").body
    except (SyntaxError, ValueError) as error:
        raise ModelError(f"{model!r} names no factory; {FORM}") from error
    made = tree.func if isinstance(tree, ast.Call) else tree
    if not source or (source.startswith(".") and not source.endswith(".py")) or not isinstance(made, ast.Name):
        raise ModelError(f"{model!r} names no factory; {FORM}")
    if not isinstance(tree, ast.Call):
        return Factory(source, made.id, call)
    if any(keyword.arg is None for keyword in tree.keywords):
        raise ModelError(f"{call} spreads a dictionary with **, and edge evaluates nothing; write each argument out")
    options = {str(keyword.arg): _argument(keyword.value) for keyword in tree.keywords}
    return Factory(source, made.id, call, tuple(_argument(node) for node in tree.args), options)


def make(factory: Factory, tell: Tell) -> nn.Module:
    """Imports the factory and calls it.

    Args:
        factory: what to call.
        tell: takes a line before anything of the user's is run.

    Raises:
        ModelError: there is no such module or factory, its code fails, its arguments do not fit, or it makes no module.
    """
    source = _imported(factory, tell)
    maker = getattr(source, factory.name, None)
    if not callable(maker):
        raise ModelError(f"{factory.source} has no factory {factory.name!r}{_choices(source)}; {FORM}")
    arguments = [_resolved(source, value) for value in factory.arguments]
    options = {key: _resolved(source, value) for key, value in factory.options.items()}
    try:
        inspect.signature(maker).bind(*arguments, **options)
    except TypeError as error:
        raise ModelError(
            f"{factory.label} cannot be called like this: {error}; it is {factory.name}{_signature(maker)}: give its "
            f"arguments as literals, as in --model '{factory.source}:{_example(factory.name, maker)}'"
        ) from error
    except ValueError:
        pass  # a callable without a signature: the call itself will tell
    with theirs(f"{factory.label} fails when it is made"), without_cuda():
        module = maker(*arguments, **options)
    if not isinstance(module, nn.Module):
        raise ModelError(
            f"{factory.label} gives a {type(module).__name__}, not a torch.nn.Module; name what returns the model"
        )
    return module


@contextmanager
def theirs(what: str) -> Iterator[None]:
    """Runs somebody's own code: what it prints goes to stderr, what it warns of nowhere, and its errors are named.

    Args:
        what: what is happening, as the beginning of a message.

    Raises:
        ModelError: the code raises anything, or ends the program.
    """
    try:
        with warnings.catch_warnings(), redirect_stdout(sys.stderr):
            warnings.simplefilter("ignore")
            yield
    except ModelError:
        raise
    except (Exception, SystemExit) as error:
        raise ModelError(f"{what}: {reason(error)}; the error is in that code, not in edge") from error


def reason(error: BaseException) -> str:
    """What an error says, and where in the user's own code it was raised, in one line."""
    said = " ".join(str(error).split())[:300] or "no message"
    inside = (Path(torch.__file__).parent, Path(__file__).parents[1])
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith("<") and not any(Path(frame.filename).is_relative_to(root) for root in inside)
    ]
    where = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {said}{where}"


# --- arguments --------------------------------------------------------------------------------------------------------


def _argument(node: ast.expr) -> Any:  # noqa: ANN401 - a literal may be anything
    if isinstance(node, ast.Name):
        return Name(node.id)
    if isinstance(node, ast.List | ast.Tuple):
        values = [_argument(one) for one in node.elts]
        return values if isinstance(node, ast.List) else tuple(values)
    try:
        return ast.literal_eval(node)
    except ValueError as error:
        raise ModelError(
            f"the argument {ast.unparse(node)} is no literal, and edge evaluates nothing; write its value: a number, "
            "a string, a list, True, None"
        ) from error


def _resolved(source: ModuleType, value: Any) -> Any:  # noqa: ANN401 - a literal may be anything
    if isinstance(value, list | tuple):
        return type(value)(_resolved(source, one) for one in value)
    if not isinstance(value, Name):
        return value
    if not hasattr(source, value.name):
        raise ModelError(f"{source.__name__} has no {value.name!r}; arguments are literals, or names of that module")
    return getattr(source, value.name)


def _signature(maker: Callable[..., Any]) -> str:
    return str(inspect.signature(maker))


def _example(name: str, maker: Callable[..., Any]) -> str:
    """A call with a value for each argument that needs one."""
    needed = [
        parameter.name
        for parameter in inspect.signature(maker).parameters.values()
        if parameter.default is parameter.empty
        and parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    ]
    return f"{name}({', '.join(f'{one}=...' for one in needed)})"


def _choices(source: ModuleType) -> str:
    classes = [
        name
        for name, value in vars(source).items()
        if isinstance(value, type) and issubclass(value, nn.Module) and value.__module__ == source.__name__
    ]
    return f", only {', '.join(classes)}" if classes else ""


# --- importing --------------------------------------------------------------------------------------------------------


def _imported(factory: Factory, tell: Tell) -> ModuleType:
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)  # as `python -m` does: the user's module usually lies beside the data
    spec = _spec_of_file(Path(factory.source)) if factory.source.endswith(".py") else _spec(factory.source)
    known = sys.modules.get(spec.name)
    if known is not None and getattr(known, "__file__", None) == spec.origin and hasattr(known, factory.name):
        return known
    text = Path(spec.origin).read_text(encoding="utf-8") if spec.origin and spec.origin.endswith(".py") else ""
    with theirs(f"{factory.source} cannot be read"):
        tree = ast.parse(text)
    if _is_installed(spec) or all(_only_defines(statement) for statement in tree.body):
        tell(f"importing {factory.source}")
        return _run(spec, None)
    wanted = {factory.name, *_names((factory.arguments, tuple(factory.options.values())))}
    needed = _needed(tree, wanted)
    left_out = [statement for statement in tree.body if statement not in needed]
    tell(
        f"importing {factory.source}: it does more than define, so that only what {factory.name} needs is run; "
        f"{len(left_out)} of its {len(tree.body)} statements are not"
    )
    return _run(spec, ast.Module(needed, []))


def _run(spec: ModuleSpec, tree: ast.Module | None) -> ModuleType:
    """Runs a module, whole or what is left of it, with the arguments of a script that was given none."""
    module = importlib.util.module_from_spec(spec)
    arguments, sys.argv = sys.argv, [spec.origin or spec.name]
    before = sys.modules.get(spec.name)
    sys.modules[spec.name] = module
    try:
        with theirs(f"{spec.name} fails when it is imported"), without_cuda():
            if tree is None:
                assert spec.loader is not None
                spec.loader.exec_module(module)
            else:
                exec(compile(tree, str(spec.origin), "exec"), module.__dict__)  # noqa: S102 - it is what was asked for
    except BaseException:
        del sys.modules[spec.name]
        if before is not None:
            sys.modules[spec.name] = before
        raise
    finally:
        sys.argv = arguments
    return module


def _is_installed(spec: ModuleSpec) -> bool:
    """Whether a module belongs to an installed package, which nobody writes a training script into."""
    return any(part in ("site-packages", "dist-packages") for part in Path(spec.origin or "").parts)


def _spec(name: str) -> ModuleSpec:
    importlib.invalidate_caches()
    try:
        with theirs(f"{name} cannot be found"):
            spec = importlib.util.find_spec(name)
    except ModelError as error:
        if not isinstance(error.__cause__, ModuleNotFoundError | ValueError):
            raise
        spec = None
    if spec is None or spec.loader is None:
        raise ModelError(
            f"no module {name!r}; run edge in its folder, install it, or give its file: path/to/file.py:Class"
        )
    return spec


def _spec_of_file(path: Path) -> ModuleSpec:
    """The module of a file; inside a package it keeps the package's name, so that relative imports work."""
    if not path.is_file():
        raise ModelError(f"there is no file {path}; check the path")
    path = path.resolve()
    name, folder = path.stem, path.parent
    while (folder / "__init__.py").is_file():
        name, folder = f"{folder.name}.{name}", folder.parent
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))  # what lies beside it
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    return spec


# --- what a factory needs of a file that does more than define --------------------------------------------------------


def _only_defines(statement: ast.stmt) -> bool:
    """Whether a statement at the top of a file does nothing that takes long: no loop, and no call."""
    if isinstance(statement, ast.Import | ast.ImportFrom | ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return True
    if isinstance(statement, ast.For | ast.While | ast.With | ast.AsyncFor | ast.AsyncWith):
        return False
    if isinstance(statement, ast.If) and "__name__" in ast.unparse(statement.test):
        return True
    return not any(isinstance(node, ast.Call) for node in ast.walk(statement))


def _needed(tree: ast.Module, wanted: set[str]) -> list[ast.stmt]:
    """The statements that bind the wanted names, and those that they need in turn, in the order of the file."""
    taken: set[int] = set()
    names = set(wanted)
    grown = True
    while grown:
        grown = False
        for place, statement in enumerate(tree.body):
            if place in taken or not (_always(statement) or names & _bound(statement)):
                continue
            taken.add(place)
            names |= _globals_of(statement)
            grown = True
    return [statement for place, statement in enumerate(tree.body) if place in taken]


def _always(statement: ast.stmt) -> bool:
    """Star imports, whose names nobody knows beforehand, and what makes imports possible."""
    if isinstance(statement, ast.ImportFrom):
        return statement.module == "__future__" or any(alias.name == "*" for alias in statement.names)
    return isinstance(statement, ast.Expr) and ast.unparse(statement).startswith("sys.path.")


def _bound(statement: ast.stmt) -> set[str]:
    """The names that a statement gives a value; a loop, and the part for `python file.py`, count for none."""
    if isinstance(statement, ast.For | ast.While | ast.With) or (
        isinstance(statement, ast.If) and "__name__" in ast.unparse(statement.test)
    ):
        return set()
    if isinstance(statement, ast.Import | ast.ImportFrom):
        return {alias.asname or alias.name.partition(".")[0] for alias in statement.names}
    if isinstance(statement, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef):
        return {statement.name}
    if isinstance(statement, ast.Expr):
        return set()
    bound = {node.id for node in ast.walk(statement) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    if isinstance(statement, ast.If | ast.Try):
        bound |= {
            name
            for inner in ast.walk(statement)
            if isinstance(inner, ast.stmt) and inner is not statement
            for name in _bound(inner)
        }
    if isinstance(statement, ast.Assign):  # sizes["hidden"] = 128, Net.layers = 2
        bases = [target.value for target in statement.targets if isinstance(target, ast.Subscript | ast.Attribute)]
        bound |= {base.id for base in bases if isinstance(base, ast.Name)}
    return bound


def _globals_of(statement: ast.stmt) -> set[str]:
    """The names of the module that a statement uses, in its functions too."""
    found: set[str] = set()
    tables = [symtable.symtable(ast.unparse(statement), "statement", "exec")]
    while tables:
        table = tables.pop()
        at_top = table.get_type() == "module"
        found |= {one.get_name() for one in table.get_symbols() if one.is_referenced() and (at_top or one.is_global())}
        tables += table.get_children()
    return found


def _names(values: tuple[Any, ...]) -> set[str]:
    found: set[str] = set()
    for value in values:
        if isinstance(value, Name):
            found.add(value.name)
        elif isinstance(value, list | tuple):
            found |= _names(tuple(value))
    return found
