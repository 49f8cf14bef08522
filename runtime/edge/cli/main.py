"""The hub of the command line: finds the command, and turns what it raises into an exit code.

    0    done
    1    an expected failure, told in one line: `edge: what happened; what to do next`
    2    wrong usage
    130  stopped with Ctrl-C
    143  stopped by SIGTERM

A bug keeps its traceback. Only the module of the command that was asked for is imported: starting counts, on a
device above all. For the help, and for a word that is no command, its first line is read from its source: importing all
of them would load torch to print a screen of text. The upper layers register their commands as entry points, so nothing
here knows them, but for the extras: which packages each brings, and what to say when a command misses one of them.

Standard streams that are closed, full, or in an encoding that does not know every letter are dealt with here, so that
no command has to: what cannot be told on the standard error is left out, and results that cannot be written are a
failure that is told.
"""

import atexit
import errno
import gc
import io
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, TextIO

import typer

from edge.errors import EdgeError, MissingExtraError, WriteError
from edge.text.terminal import printable

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP = "edge.commands"
"""Entry points of this group are commands: `name = "package.module:function"`."""

BUILT_IN = {
    "predict": "edge.cli.predict",
    "read": "edge.cli.read",
    "merge": "edge.cli.predict",
    "explain": "edge.cli.predict",
    "verify": "edge.cli.bundles",
    "info": "edge.cli.bundles",
    "keygen": "edge.cli.bundles",
    "sign": "edge.cli.bundles",
    "models": "edge.cli.bundles",
    "doctor": "edge.cli.machine",
    "bench": "edge.cli.machine",
    "serve": "edge.cli.bundles",
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
    found = {name: _described(_documentation(module).get(name, "")) for name, module in BUILT_IN.items()}
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
        if (explained := explain_missing(point.name, error)) is None:
            raise
        raise explained from error
    return command


def _help_of(point: "EntryPoint") -> str:
    if missing(point.name) is not None:
        return f"(not installed: edge-toolkit[{extra_of(point.name)}])"
    try:
        return _documentation(point.module).get(point.attr, "")
    except (ImportError, OSError, SyntaxError, ValueError) as error:
        return f"(broken: {error})"


@cache
def _documentation(module: str) -> dict[str, str]:
    """The docstrings of the functions of a module by their names, read from its source; it is not imported.

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
    statements = ast.parse(source.read_bytes()).body
    return {each.name: ast.get_docstring(each) or "" for each in statements if isinstance(each, ast.FunctionDef)}


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


def explain_missing(command: str, error: ImportError) -> MissingExtraError | None:
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


# Importing numpy, Pillow and onnxruntime makes some 27 000 lasting objects. Python would look for garbage among them
# seventy times on the way, and twice at the end: together an eighth of the time of `edge predict digit.png`.
_OBJECTS_BETWEEN_COLLECTIONS = 100_000

# What a write to a stream fails with, other than that its reader has left, which ends a command quietly.
_UNWRITABLE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EBADF, errno.EFBIG})


def main() -> None:
    """Runs the command line and ends the process."""
    gc.set_threshold(_OBJECTS_BETWEEN_COLLECTIONS)
    atexit.register(_leave_objects)
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _terminate)
    word = sys.argv[1] if len(sys.argv) > 1 else ""
    try:
        prepare_streams()
        try:
            application(word)(prog_name="edge")
        finally:  # it ends with an exception in any case
            settle_streams()
    except EdgeError as error:
        fail(error)
    except ModuleNotFoundError as error:
        if (explained := explain_missing(word, error)) is None:
            raise
        fail(explained)
    except OSError as error:
        if (told := failure_of_output(error)) is None:
            raise
        if error.errno == errno.EPIPE:  # the reader has left, and knows it
            sys.exit(1)
        fail(told)
    except KeyboardInterrupt:
        sys.exit(130)


def application(word: str) -> typer.Typer:
    """Builds the application with as few commands as the first word of the command line allows.

    Args:
        word: the first argument; a command, an option such as `--help`, or nothing.

    Raises:
        MissingExtraError: the command needs packages that are not installed.
    """
    app = typer.Typer(
        name="edge",
        add_completion=False,
        no_args_is_help=True,
        rich_markup_mode=None,  # plain help, and no import of rich
        pretty_exceptions_enable=False,  # a bug shows Python's own traceback
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(hub)
    for name, command in commands(word).items():
        app.command(name)(command)
    return app


def show_version(asked: bool) -> None:
    """Prints the version and ends, if the option was given."""
    if asked:
        import edge

        typer.echo(f"edge {edge.__version__}")
        raise typer.Exit


def hub(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=show_version, help="Show the version and stop.")
    ] = False,
) -> None:
    """From a trained classifier to a verified ONNX model on the device."""


def fail(error: EdgeError) -> NoReturn:
    """Tells an expected failure in one line and ends the process."""
    typer.echo(f"edge: {printable(' '.join(str(error).splitlines()))}", err=True)
    sys.exit(1)


def _terminate(number: int, _frame: object) -> NoReturn:
    """Ends as an exception does, so that whoever has temporary files removes them."""
    sys.exit(128 + number)


def _leave_objects() -> None:
    """Keeps Python from looking for garbage at the end. PyTorch's libraries would report what is left as leaks."""
    if "torch" not in sys.modules:
        gc.freeze()


class _Forgiving(io.TextIOBase):
    """A standard error that drops what cannot be written: results must not be lost to a remark about them."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with suppress(OSError, ValueError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError, ValueError):
            self._stream.flush()

    def isatty(self) -> bool:
        return self._stream.isatty()

    def fileno(self) -> int:
        return self._stream.fileno()

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._stream.encoding


def prepare_streams() -> None:
    """Makes every stream one that can be used.

    Raises:
        EdgeError: the standard output is closed, so that nobody would get the results.
    """
    for number in range(3):  # a file that is opened later must not get the number of a closed stream
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # noqa: FBT003 - it takes no keyword
    sys.stdin = sys.stdin or open(os.devnull, encoding="utf-8")  # noqa: SIM115, PTH123 - as long as the process
    sys.stderr = sys.stderr or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123
    if sys.stdout is None:
        raise EdgeError("the standard output is closed; send it to a file, or to /dev/null")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a file name need not fit the terminal's encoding
    if isinstance(sys.stderr, io.TextIOWrapper):
        sys.stderr = _Forgiving(sys.stderr)


def settle_streams() -> None:
    """Writes what is left of the results, while it can still be told that it failed.

    Raises:
        OSError: it cannot be written.
    """
    if sys.stdout is not None:
        sys.stdout.flush()


def failure_of_output(error: OSError) -> EdgeError | None:
    """What to tell of an error of the standard output; None where it is none, or the reader has left.

    The stream is let go of, because Python would fail at it again when the process ends.
    """
    if error.filename is not None or error.errno not in _UNWRITABLE | {errno.EPIPE}:
        return None
    with suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    reason = error.strerror or str(error)
    return WriteError(f"the results cannot be written to the standard output: {reason}; send it elsewhere")
