"""The environments of the project, and how its programs are run in them; needs nothing but Python.

An environment is made once, and again when pyproject.toml, constraints.txt or its Python change. uv installs into all
of them: it resolves and links in seconds what takes pip minutes.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import time
import tomllib
from functools import cache
from pathlib import Path
from typing import IO

ROOT = Path(__file__).resolve().parent.parent
CONSTRAINTS = ROOT / "constraints.txt"
STAMP = "edge-setup.txt"
MINIMUM_PYTHON = (3, 11)
NEWEST_PYTHON = (3, 14)
MONITORED = (3, 12)  # from here on Python itself can count the lines that run; to trace them costs two fifths more time

EVERYTHING = ROOT / ".venv"  # editable, with the extra `dev`
EARLIEST = ROOT / ".venv-earliest"  # the same on the oldest Python at hand, for `dev.py exhaustive`
THIN = ROOT / ".venv-thin"  # the built wheel with the extra `cpu`, on the newest Python: what a device has
OLDEST = ROOT / ".venv-oldest"  # the same on the oldest Python, with the lowest versions that pyproject.toml admits
CLIENTS = ROOT / ".venv-clients"  # other people's clients of `edge serve`, without edge
ENGINES = ROOT / ".venv-engines"  # Ray, Dask, pyarrow and a play of S3, with what a device has


def set_up_everything(folder: Path = EVERYTHING, python: Path | None = None) -> None:
    """The environment for development: everything, with edge itself editable.

    Args:
        folder: where it is made; `EVERYTHING` is there before any other.
        python: its interpreter; this one, or the newest at hand where this one cannot count lines itself.
    """
    python = python or (Path(sys.executable) if sys.version_info >= MONITORED else pythons_at_hand()[-1])
    if make_environment(folder, python):
        install(folder, ["-c", CONSTRAINTS, "-e", ".[dev]"])
        finish_environment(folder, python)


def set_up_clients() -> None:
    """An environment of other people's clients, which want other versions than edge does."""
    python = Path(sys.executable)
    if make_environment(CLIENTS, python):
        install(CLIENTS, ["--group", "clients"])
        finish_environment(CLIENTS, python)


def set_up_engines() -> None:
    """An environment of what else edge works with, beside what a device has."""
    python = Path(sys.executable)
    if make_environment(ENGINES, python):
        install(ENGINES, ["--group", "engines", *device_requirements()])
        finish_environment(ENGINES, python)


def set_up_device(folder: Path, wheel: Path, python: Path, *, lowest: bool = False) -> None:
    """An environment like a device's: the wheel, ONNX Runtime for CPUs, no torch, no onnx."""
    if make_environment(folder, python):
        if lowest:
            # Without wheels for this Python the lowest version is no candidate: nothing is compiled here.
            install(folder, ["--resolution", "lowest-direct", "--only-binary", ":all:", *device_requirements()])
        else:
            install(folder, ["-c", CONSTRAINTS, f"{wheel}[cpu]"])
        install(folder, ["-c", CONSTRAINTS, "pytest", "coverage"])
        finish_environment(folder, python)
    install(folder, ["--no-deps", "--reinstall-package", "edge-toolkit", wheel])


def device_requirements() -> list[str]:
    """What pyproject.toml asks for on a device, as uv takes it for direct requirements."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return [*project["dependencies"], *project["optional-dependencies"]["cpu"]]


def build(python: Path) -> tuple[Path, Path]:
    """Builds the sdist of this tree and the wheel from that sdist.

    Args:
        python: the interpreter of the environment for development.

    Returns:
        The path of the wheel, and the folder of the unpacked sdist, which holds the tests that belong to it.
    """
    target = ROOT / "dist"
    shutil.rmtree(target, ignore_errors=True)
    run([python, "-m", "hatchling", "build", "-t", "sdist", "-d", target])
    archive = next(target.glob("*.tar.gz"))
    with tarfile.open(archive) as packed:
        packed.extractall(target, filter="data")
    source = target / archive.name.removesuffix(".tar.gz")
    run([python, "-m", "hatchling", "build", "-t", "wheel", "-d", target], folder=source)
    return next(target.glob("*.whl")), source


@cache
def pythons_at_hand() -> list[Path]:
    """The interpreters that can run edge, one for each minor version, the oldest first; this one is among them."""
    found = {version_of(Path(sys.executable)): Path(sys.executable)}
    for minor in range(MINIMUM_PYTHON[1], NEWEST_PYTHON[1] + 1):
        on_path = shutil.which(f"python3.{minor}")
        pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
        for candidate in [*([Path(on_path)] if on_path else []), *pyenv.glob(f"3.{minor}.*/bin/python3")]:
            if version_of(candidate) == (3, minor):
                found.setdefault((3, minor), candidate)
    return [found[version] for version in sorted(found)]


def version_of(python: Path) -> tuple[int, int]:
    """The version of an interpreter that can also make environments; (0, 0) for one that does not start or cannot."""
    ask = "import sys, bz2, ctypes, ensurepip, lzma, sqlite3, venv, zlib; print(*sys.version_info[:2])"
    answer = subprocess.run([python, "-c", ask], capture_output=True, text=True, check=False)
    major, minor = (answer.stdout.split() if answer.returncode == 0 else ()) or (0, 0)
    return int(major), int(minor)


def make_environment(folder: Path, python: Path) -> bool:
    """Makes a virtual environment; false when a finished one for this state of the project is there."""
    if stamp_of(folder) == wanted_stamp(python):
        return False
    say(f"setting up {folder.name} (once; torch is large)" if folder == EVERYTHING else f"setting up {folder.name}")
    if folder != EVERYTHING:
        run([program(EVERYTHING, "python"), "-m", "uv", "venv", "-q", "--clear", "--python", python, folder])
        return True
    there = program(folder, "python")
    fresh = [] if there.exists() and version_of(there) == version_of(python) else ["--clear"]
    # A pip of its own takes longer to install than uv does: that of the interpreter installs uv, where it has one.
    asked = [python, "-m", "pip", "--version", "--disable-pip-version-check"]
    pip_at_hand = subprocess.run(asked, capture_output=True, check=False).returncode == 0
    try:
        run([python, "-m", "venv", *fresh, *(["--without-pip"] if pip_at_hand else []), folder])
    except subprocess.CalledProcessError as error:
        raise SystemExit(f"dev.py: cannot make {folder}: {error}; on Debian: apt install python3-venv") from error
    pip = [python, "-m", "pip", "--python", there] if pip_at_hand else [there, "-m", "pip"]
    run([*pip, "install", "-q", "--disable-pip-version-check", "-c", CONSTRAINTS, "uv"])
    return True


def finish_environment(folder: Path, python: Path) -> None:
    """Notes that the environment is complete, so that the next run is quick."""
    (folder / STAMP).write_text(wanted_stamp(python), encoding="utf-8")


def install(folder: Path, what: list[object]) -> None:
    """Installs into an environment with uv."""
    uv = [program(EVERYTHING, "python"), "-m", "uv", "pip", "install", "-q"]
    run([*uv, "--python", program(folder, "python"), *what])


def stamp_of(folder: Path) -> str:
    """The state of the project that an environment was made for; empty when it is not finished."""
    path = folder / STAMP
    return path.read_text(encoding="utf-8") if path.is_file() and program(folder, "python").exists() else ""


def wanted_stamp(python: Path) -> str:
    """What an environment depends on: the declared dependencies and its Python."""
    content = (ROOT / "pyproject.toml").read_bytes() + CONSTRAINTS.read_bytes() + f"{python} {sys.version}".encode()
    return hashlib.sha256(content).hexdigest()


def program(folder: Path, name: str) -> Path:
    """The path of a program of an environment."""
    return folder / ("Scripts" if os.name == "nt" else "bin") / (f"{name}.exe" if os.name == "nt" else name)


def run(command: list[object], *, folder: Path = ROOT, told: IO[str] | None = None, **environment: str) -> None:
    """Runs a command and shows it; an error ends everything.

    Python keeps the bytecode of what it imports beside it even where the machine is set not to: these environments are
    the project's own, and each start would compile torch anew, which takes seconds. So the first command that needs a
    package compiles it, and no start is spent on that alone.

    Args:
        command: the program and its arguments.
        folder: where it runs.
        told: takes all that would be shown.
        environment: variables beside those of this process.

    Raises:
        CalledProcessError: it did not end with 0.
    """
    words = [str(word) for word in command]
    shown = [str(Path(words[0]).relative_to(ROOT)) if Path(words[0]).is_relative_to(ROOT) else words[0], *words[1:]]
    say("$ " + shortened(shown), told)
    started = time.monotonic()
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    subprocess.run(words, check=True, cwd=folder, env={**kept, **environment}, stdout=told, stderr=told)
    if (seconds := time.monotonic() - started) > 5:
        say(f"  {seconds:.0f} s", told)


def shortened(words: list[str]) -> str:
    """A command as it is shown: of many files that are left out it tells how many they are."""
    ignored = [word for word in words if word.startswith("--ignore=")]
    rest = [word for word in words if word not in ignored]
    return " ".join([*rest, *([f"(without {len(ignored)} files)"] if ignored else [])])


def say(line: str, told: IO[str] | None = None) -> None:
    """Tells what is going on, before a program writes anything itself."""
    print(line, file=told or sys.stderr, flush=True)
