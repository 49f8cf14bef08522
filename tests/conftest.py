"""What all tests share: real data where there is some, no network, and the command line in this process."""

import io
import os
import signal
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

# Read before any test changes the environment.
EDGE_DATA = os.environ.get("EDGE_DATA")


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Marks as `exhaustive` what others of the same test stand for.

    `@pytest.mark.represented(name=(...))` names the values of `name` that do, and `@pytest.mark.sampled(6)` takes so
    many cases, the first, the last and some evenly between them.
    """
    expected, seen = set(), set()
    cases: dict[str, list[pytest.Item]] = {}
    for item in items:
        for marker in item.iter_markers("represented"):
            ((argument, representatives),) = marker.kwargs.items()
            test, value = item.nodeid.partition("[")[0], item.callspec.params[argument]
            expected |= {(test, each) for each in representatives}
            seen.add((test, value))
            if value not in representatives:
                item.add_marker("exhaustive")
        if item.get_closest_marker("sampled"):
            cases.setdefault(item.nodeid.partition("[")[0], []).append(item)
    for family in cases.values():
        (count,) = family[0].get_closest_marker("sampled").args
        steps = max(count - 1, 1)
        taken = {round(at * (len(family) - 1) / steps) for at in range(count)}
        for at, item in enumerate(family):
            if at not in taken:
                item.add_marker("exhaustive")
    whole = not any("::" in argument for argument in config.args)
    if whole and (missing := sorted(expected - seen)):
        raise pytest.UsageError(f"these stand for others in their tests, and are not there: {missing}")


@pytest.fixture(scope="session")
def parameters(request: pytest.FixtureRequest) -> Callable[..., list]:
    """The values with which the tests of that name will be run, for what is made once for all of them."""

    def of(test: str, *arguments: str) -> list:
        found = [item for item in request.session.items if getattr(item, "originalname", None) == test]
        values = [tuple(item.callspec.params[argument] for argument in arguments) for item in found]
        return list(dict.fromkeys(values if len(arguments) > 1 else [value for (value,) in values]))

    return of


@pytest.fixture(scope="session", autouse=True)
def ctrl_c() -> None:
    """Ctrl-C reaches what a test starts: a shell lets what it runs in the background ignore it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any attempt to reach another machine is an error of the test."""

    def refuse(*_: object) -> None:
        raise AssertionError("a test tried to use the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.fixture(autouse=True)
def no_data(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A test finds real data only where it asks for it."""
    monkeypatch.setitem(os.environ, "EDGE_DATA", str(tmp_path_factory.getbasetemp() / "no-data"))


@pytest.fixture(autouse=True)
def no_profile(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """What was measured on the machine of the tests changes none of them."""
    folder = str(tmp_path_factory.getbasetemp() / "no-cache")
    for name in ("XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.setenv(name, folder)


@pytest.fixture(autouse=True)
def uncounted_children(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Coverage counts in processes that a test starts only where lines run in no other: it doubles what they take."""
    if not request.node.get_closest_marker("counted_children"):
        monkeypatch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)


@pytest.fixture(scope="session")
def edge_data() -> Path:
    """The folder of the real data: `$EDGE_DATA`."""
    if not EDGE_DATA or not Path(EDGE_DATA).is_dir():
        pytest.skip("$EDGE_DATA names no folder: the real data is not on this machine")
    return Path(EDGE_DATA)


@pytest.fixture(scope="session")
def mnist_folder(edge_data: Path) -> Path:
    """The folder in which the four MNIST files are."""
    for folder in (edge_data / "MNIST" / "raw", edge_data / "raw", edge_data):
        if any(folder.glob("train-images-idx3-ubyte*")):
            return folder
    pytest.skip(f"no MNIST files in $EDGE_DATA ({edge_data})")


@pytest.fixture
def edge_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Ended]:
    """Runs the command line in this process."""

    def run(*arguments: str | Path, stdin: bytes = b"") -> Ended:
        from edge.cli.main import main

        monkeypatch.setattr("sys.argv", ["edge", *map(str, arguments)])
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        monkeypatch.setattr("sys.excepthook", sys.excepthook)  # typer replaces it
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main()
        captured = capsys.readouterr()
        return Ended(int(end.value.code or 0), captured.out, captured.err)

    return run
