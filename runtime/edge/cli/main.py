"""The hub of the command line: finds the command, and turns what it raises into an exit code.

    0    done
    1    an expected failure, told in one line: `edge: what happened; what to do next`
    2    wrong usage
    130  stopped with Ctrl-C
    143  stopped by SIGTERM

A bug keeps its traceback. Only the module of the command that was asked for is imported: starting counts, on a
device above all. The upper layers register their commands as entry points, so nothing here knows them.
"""

import atexit
import errno
import gc
import signal
import sys
from typing import Annotated, NoReturn

import typer

from edge.cli import extras, streams
from edge.cli.registry import commands
from edge.errors import EdgeError
from edge.text.terminal import printable

# Importing numpy, Pillow and onnxruntime makes some 27 000 lasting objects. Python would look for garbage among them
# seventy times on the way, and twice at the end: together an eighth of the time of `edge predict digit.png`.
_OBJECTS_BETWEEN_COLLECTIONS = 100_000


def main() -> None:
    """Runs the command line and ends the process."""
    gc.set_threshold(_OBJECTS_BETWEEN_COLLECTIONS)
    atexit.register(_leave_objects)
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _terminate)
    word = sys.argv[1] if len(sys.argv) > 1 else ""
    try:
        streams.prepare()
        try:
            application(word)(prog_name="edge")
        finally:  # it ends with an exception in any case
            streams.settle()
    except EdgeError as error:
        fail(error)
    except ModuleNotFoundError as error:
        if (explained := extras.explain(word, error)) is None:
            raise
        fail(explained)
    except OSError as error:
        if (told := streams.failure_of(error)) is None:
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
