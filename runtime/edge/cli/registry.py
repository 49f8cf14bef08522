"""The commands: those of this package, and those that others register as entry points.

A command is imported when it is asked for. For the help, and for a word that is no command, its first line is read from
its source: importing all of them would load torch to print a screen of text. The extras are here too: which packages
each brings, and what to say when a command misses one of them.
"""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge.errors import MissingExtraError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP = "edge.commands"
"""Entry points of this group are commands: `name = "package.module:function"`."""

BUILT_IN = {
    "predict": "edge.cli.commands.predict",
    "read": "edge.cli.commands.read",
    "merge": "edge.cli.commands.merge",
    "explain": "edge.cli.commands.predict",
    "verify": "edge.cli.commands.bundles",
    "info": "edge.cli.commands.bundles",
    "keygen": "edge.cli.commands.bundles",
    "sign": "edge.cli.commands.bundles",
    "models": "edge.cli.commands.bundles",
    "doctor": "edge.cli.commands.doctor",
    "bench": "edge.cli.commands.bench",
    "serve": "edge.cli.commands.serve",
}
"""Module of each command of this package; the function has the command's name."""

Command = Callable[..., Any]


def commands(word: str) -> dict[str, Command]:
    """The commands that the first word may mean: the one that it names, or all, for the help and for other words.

    Args:
        word: the first argument; a command, an option such as `--help`, or nothing.

    Returns:
        The functions by name. Where the word names none, they cannot be called and only carry their help.

    Raises:
        MissingExtraError: the command needs packages that are not installed.
    """
    if word == "--version":
        return {}
    if word in BUILT_IN:
        return {word: getattr(import_module(BUILT_IN[word]), word)}
    registered = _registered()
    if word in registered:
        return {word: _load(registered[word])}
    found = {name: _described(_documentation(module, name)) for name, module in BUILT_IN.items()}
    for name, point in sorted(registered.items()):
        found.setdefault(name, _described(_help_of(point)))
    return found


def _registered() -> dict[str, "EntryPoint"]:
    """What other packages registered; the commands of this one do without, and start sooner."""
    from importlib import metadata  # imports the e-mail package among others: an eighth of the start of `edge predict`

    return {point.name: point for point in metadata.entry_points(group=GROUP)}


def _load(point: "EntryPoint") -> Command:
    try:
        command: Command = point.load()
    except ModuleNotFoundError as error:
        if (explained := explain(point.name, error)) is None:
            raise
        raise explained from error
    return command


def _help_of(point: "EntryPoint") -> str:
    if missing(point.name) is not None:
        return f"(not installed: edge-toolkit[{extra_of(point.name)}])"
    try:
        return _documentation(point.module, point.attr)
    except (ImportError, OSError, SyntaxError, ValueError) as error:
        return f"(broken: {error})"


def _documentation(module: str, function: str) -> str:
    """The docstring of a function, read from the source of its module; the module is not imported.

    Raises:
        ImportError: there is no such module.
        OSError: its source cannot be read.
        SyntaxError: it is no Python.
    """
    import ast  # for the help only
    from importlib.util import find_spec

    top, *below = module.split(".")
    spec = find_spec(top)
    if spec is None or spec.origin is None:
        raise ImportError(f"there is no module {top}")
    source = Path(spec.origin) if not below else Path(spec.origin).parent.joinpath(*below).with_suffix(".py")
    for statement in ast.parse(source.read_bytes()).body:
        if isinstance(statement, ast.FunctionDef) and statement.name == function:
            return ast.get_docstring(statement) or ""
    return ""


def _described(documentation: str) -> Command:
    """A command that only has its help."""

    def never_called() -> None:
        pass

    never_called.__doc__ = documentation
    return never_called


PACKAGES = {
    "serve": ("starlette", "uvicorn", "httptools", "prometheus-client", "python-multipart"),
    "train": ("torch", "torchvision", "safetensors", "matplotlib"),
    "export": ("torch", "torchvision", "safetensors", "onnx", "onnxscript", "matplotlib"),
    "plot": ("matplotlib",),
    "sign": ("cryptography",),
    "tables": ("pyarrow",),
    "ray": ("ray",),
    "remote": ("fsspec", "aiohttp", "s3fs"),
}
"""Packages by extra; a command that needs one has the extra's name, unless `EXTRA_OF` gives another."""

EXTRA_OF = {"data": "train", "keygen": "sign", "report": "train", "sweep": "export"}
"""The extra of each command that is called otherwise."""

MODULE_OF = {
    "prometheus-client": "prometheus_client",
    "python-multipart": "python_multipart",
}
"""Modules whose name is not that of their package."""


def extra_of(command: str) -> str:
    """The extra that brings what a command needs."""
    return EXTRA_OF.get(command, command)


def missing(command: str) -> str | None:
    """The first package of a command's extra that is not installed; None where all are, or it needs no extra."""
    from importlib.util import find_spec  # for the help only

    for package in PACKAGES.get(extra_of(command), ()):
        if find_spec(MODULE_OF.get(package, package)) is None:
            return package
    return None


def explain(command: str, error: ImportError) -> MissingExtraError | None:
    """Turns the failed import of a command into the line that installs its extra.

    Args:
        command: the command that was asked for.
        error: what the import raised.

    Returns:
        None when the missing module belongs to no package of the extra: that is a bug, and keeps its traceback.
    """
    absent = (error.name or "").partition(".")[0]
    extra = extra_of(command)
    for package in PACKAGES.get(extra, ()):
        if absent == MODULE_OF.get(package, package):
            return MissingExtraError(command, extra, package)
    return None
