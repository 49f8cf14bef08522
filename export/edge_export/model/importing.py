"""Somebody's own code, imported: a module, a file or a notebook, and of a script only what the factory needs."""

import argparse
import ast
import importlib
import importlib.util
import json
import re
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from edge_export.model import statements
from edge_export.model.errors import ModelError
from edge_export.model.repairs import without_cuda

Tell = Callable[[str], None]

FILES = (".py", ".ipynb")

# Cells of a notebook that are Python all the same, after their first line.
_PYTHON_CELLS = re.compile(r"%%(time|timeit|capture|prun|writefile\s+\S+\.py)\b")
# Lines of a notebook that are none of Python: magics, commands of the shell, questions.
_NO_PYTHON = re.compile(r"^(\s*)(?:[%!?]|\w+\s*=\s*[%!]|[^#'\"]*\?\s*$).*$", re.MULTILINE)


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
    where = ""
    # `extract_tb` would read the source of every frame.
    for frame, line in reversed(list(traceback.walk_tb(error.__traceback__))):
        name = frame.f_code.co_filename
        if not name.startswith("<") and not any(Path(name).is_relative_to(root) for root in inside):
            where = f" ({Path(name).name}, line {line})"
            break
    return f"{type(error).__name__}: {said}{where}"


def find(source: str, name: str, wanted: set[str], tell: Tell) -> ModuleType:
    """Imports a module, a file or a notebook, as far as some names of it are needed.

    Args:
        source: "package.module", or a path that ends in one of `FILES`.
        name: of the factory, for messages.
        wanted: the names that are needed; the factory's among them.
        tell: takes a line before anything of the user's is run.

    Raises:
        ModelError: there is no such module, or its code fails.
    """
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)  # as `python -m` does: the user's module usually lies beside the data
    spec = _spec_of_file(Path(source)) if source.endswith(FILES) else _spec(source)
    known = sys.modules.get(spec.name)
    if known is not None and getattr(known, "__file__", None) == spec.origin and hasattr(known, name):
        return known
    with theirs(f"{source} cannot be read"):
        tree = ast.parse(_text(spec))
    inner = statements.opened(tree, name)
    tree = tree if inner is None else inner
    if inner is None and spec.loader is not None and (_is_installed(spec) or statements.only_define(tree)):
        tell(f"importing {source}")
        return _run(spec, None)
    needed = statements.needed(tree, wanted)
    left_out = [statement for statement in tree.body if statement not in needed]
    tell(
        f"importing {source}: it does more than define, so that only what {name} needs is run; "
        f"{len(left_out)} of its {len(tree.body)} statements are not"
    )
    return _run(spec, ast.Module(needed, []))


@contextmanager
def nothing_required() -> Iterator[None]:
    """Parsers of a script do without the arguments that they require: the folder of its data is none of the model's."""
    original = argparse.ArgumentParser.parse_known_args

    def parse(self: argparse.ArgumentParser, *arguments: Any, **options: Any) -> Any:  # noqa: ANN401 - argparse's own
        for action in vars(self)["_actions"]:
            action.required = False
            if not action.option_strings and action.nargs is None:
                action.nargs = "?"
        return original(self, *arguments, **options)

    argparse.ArgumentParser.parse_known_args = parse  # type: ignore[method-assign]
    try:
        yield
    finally:
        argparse.ArgumentParser.parse_known_args = original  # type: ignore[method-assign]


def _run(spec: ModuleSpec, tree: ast.Module | None) -> ModuleType:
    """Runs a module, whole or what is left of it, with the arguments of a script that was given none."""
    module = importlib.util.module_from_spec(spec)
    arguments, sys.argv = sys.argv, [spec.origin or spec.name]
    before = sys.modules.get(spec.name)
    sys.modules[spec.name] = module
    try:
        with theirs(f"{spec.name} fails when it is imported"), without_cuda(), nothing_required():
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


def _text(spec: ModuleSpec) -> str:
    """The text of a module, in whatever encoding it declares; empty where it is compiled."""
    origin = spec.origin or ""
    if origin.endswith(".ipynb"):
        return _of_notebook(Path(origin))
    return importlib.util.decode_source(Path(origin).read_bytes()) if origin.endswith(".py") else ""


def _of_notebook(path: Path) -> str:
    """The Python of a notebook; a cell that is none, as a whole, is left out."""
    parts = []
    for cell in json.loads(path.read_text(encoding="utf-8")).get("cells", []):
        text = "".join(cell.get("source", [])) if cell.get("cell_type") == "code" else ""
        if text.lstrip().startswith("%%"):
            first, _, text = text.lstrip().partition("\n")
            text = text if _PYTHON_CELLS.match(first) else ""
        text = _NO_PYTHON.sub(r"\1pass", text)
        try:
            ast.parse(text)
        except SyntaxError:
            continue
        parts.append(text)
    return "\n".join(parts)


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
    known = sys.modules.get(name)
    if name in sys.stdlib_module_names or (known is not None and getattr(known, "__file__", None) != str(path)):
        name = f"own_{name}"  # a module of that name is another one, which others need
    if path.suffix == ".py":
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None
        return spec
    spec = ModuleSpec(name, None, origin=str(path))
    spec.has_location = True
    return spec
