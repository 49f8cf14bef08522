"""The hub of the command line: finds the command, and turns what it raises into an exit code.

    0    done
    1    an expected failure, told in one line: `edge: what happened; what to do next`
    2    wrong usage
    130  stopped with Ctrl-C

A bug keeps its traceback. Only the module of the command that was asked for is imported: starting counts, on a
device above all. The upper layers register their commands as entry points, so nothing here knows them.
"""

import atexit
import gc
import sys
from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from edge.cli import extras
from edge.errors import EdgeError, MissingExtraError
from edge.text.table import printable

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint, EntryPoints

GROUP = "edge.commands"

BUILT_IN = {
    "predict": "edge.cli.commands.predict",
    "read": "edge.cli.commands.read",
    "explain": "edge.cli.commands.explain",
    "verify": "edge.cli.commands.verify",
    "info": "edge.cli.commands.info",
    "models": "edge.cli.commands.models",
    "doctor": "edge.cli.commands.doctor",
    "bench": "edge.cli.commands.bench",
}
"""Module of each command of this package; the function has the command's name."""

Command = Callable[..., Any]

# Importing numpy, Pillow and onnxruntime makes some 27 000 lasting objects. Python would look for garbage among them
# seventy times on the way, and twice at the end: together an eighth of the time of `edge predict digit.png`.
_OBJECTS_BETWEEN_COLLECTIONS = 100_000


def main() -> None:
    """Runs the command line and ends the process."""
    gc.set_threshold(_OBJECTS_BETWEEN_COLLECTIONS)
    atexit.register(_leave_objects)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a file name need not fit the terminal's encoding
    word = sys.argv[1] if len(sys.argv) > 1 else ""
    try:
        application(word)(prog_name="edge")
    except EdgeError as error:
        fail(error)
    except ModuleNotFoundError as error:
        if (explained := extras.explain(word, error)) is None:
            raise
        fail(explained)
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


def commands(word: str) -> dict[str, Command]:
    """The commands that the first word may mean: one of them, or all for help and for unknown words."""
    if word == "--version":
        return {}
    if word in BUILT_IN:
        return {word: _built_in(word)}
    registered = {point.name: point for point in entry_points(GROUP)}
    if word in registered:
        return {word: load(registered[word])}
    found: dict[str, Command] = {name: _built_in(name) for name in BUILT_IN}
    for name, point in registered.items():
        found.setdefault(name, _load_or_explain(point))
    return found


def entry_points(group: str) -> "EntryPoints":
    """The commands that other packages registered; only the commands of this one do without, and start sooner."""
    from importlib import metadata  # imports the e-mail package among others: an eighth of the start of `edge predict`

    return metadata.entry_points(group=group)


def load(point: "EntryPoint") -> Command:
    """Imports a registered command.

    Raises:
        MissingExtraError: it needs packages that are not installed.
    """
    try:
        command: Command = point.load()
    except ModuleNotFoundError as error:
        if (explained := extras.explain(point.name, error)) is None:
            raise
        raise explained from error
    return command


def fail(error: EdgeError) -> NoReturn:
    """Tells an expected failure in one line and ends the process."""
    typer.echo(f"edge: {printable(' '.join(str(error).splitlines()))}", err=True)
    sys.exit(1)


def _leave_objects() -> None:
    """Keeps Python from looking for garbage at the end. PyTorch's libraries would report what is left as leaks."""
    if "torch" not in sys.modules:
        gc.freeze()


def _built_in(name: str) -> Command:
    command: Command = getattr(import_module(BUILT_IN[name]), name)
    return command


def _load_or_explain(point: "EntryPoint") -> Command:
    """The registered command; for the help, where it cannot be imported, a line that tells why."""
    try:
        return load(point)
    except MissingExtraError:
        reason = f"(not installed: edge-toolkit[{extras.EXTRA_OF.get(point.name, point.name)}])"
    except ImportError as error:
        reason = f"(broken: {error})"

    def unavailable() -> None:
        """Never called: a command that is named itself is loaded by `commands`, which raises."""

    unavailable.__doc__ = reason
    return unavailable
