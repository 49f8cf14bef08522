"""Sets everything up on a fresh machine, with nothing but Python 3.11 or newer, and runs it.

    python3 dev.py demo     exports the shipped LSTM to int8, verifies it, and reads a picture with it
    python3 dev.py test     passes every gate: format, lint, types, import rules; all tests; the built wheel without
                            torch on the newest Python at hand; the oldest versions that are admitted; coverage
    python3 dev.py gates    passes format, lint, types and import rules alone, before a commit
    python3 dev.py pythons  runs the runtime's tests from the built wheel on every Python at hand
    python3 dev.py elsewhere  runs the thin wheel under emulation as processors of boards that are not here
    python3 dev.py clients  asks a service with clients that others wrote, in an environment of their own
    python3 dev.py engines  reads pictures with Ray, Dask, Parquet and S3, in an environment of their own
    python3 dev.py web      fetches ONNX Runtime for browsers, for `edge export --to html` and its tests
    python3 dev.py cpp      unpacks ONNX Runtime's C++ headers, for `edge export --to cpp` and its tests
    python3 dev.py c        runs the self-test of C forms by every compiler and on every emulated processor at hand
    python3 dev.py map      prints the rooms of the repository, their sizes and imports; `--at REV` of any commit
    python3 dev.py api      writes docs/api.md anew from the docstrings of `import edge`
    python3 dev.py fuzz MIN tries the readers of files with what they do not expect, for so many minutes
    python3 dev.py soak     predicts 200 000 times in 8 threads, and reads 20 000 files of which 1 % are bad
    python3 dev.py ship     exports every shipped checkpoint to the shipped bundles: after a training or a change of
                            the export, with MNIST at hand
    python3 dev.py bench    measures edge beside its peers on this machine; the results stay in runs/peers

All may be run again at any time: what is installed already is left as it is.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import time
import tomllib
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent
CONSTRAINTS = ROOT / "constraints.txt"
PICTURE = Path("docs") / "pictures" / "seven.jpg"
STAMP = "edge-setup.txt"
MINIMUM_PYTHON = (3, 11)
NEWEST_PYTHON = (3, 14)

# The int8 candidate of each shipped model: what `--optimize balanced` takes, except that `dynamic-lstm` is as good for
# the LSTMs on processors without VNNI, and far behind in bulk on those with it.
SHIPPED_INT8 = {
    "bilstm": "branched",
    "cnn": "blocks",
    "cnn-16k": "blocks",
    "gru": "branched",
    "lstm": "branched",
    "lstm-20": "weight-only",
    "rnn": "branched",
    "rnn-relu": "branched",
}

EVERYTHING = ROOT / ".venv"  # editable, with the extra `dev`
THIN = ROOT / ".venv-thin"  # the built wheel with the extra `cpu`, on the newest Python: what a device has
CPP = ROOT / ".cpp"  # headers for edge.hpp, and programs that were compiled with them
WEB = ROOT / ".web-runtime"  # the two files of onnxruntime-web that a page needs
CLIENTS = ROOT / ".venv-clients"  # other people's clients of `edge serve`, without edge
ENGINES = ROOT / ".venv-engines"  # Ray, Dask, pyarrow and a play of S3, with what a device has
OLDEST = ROOT / ".venv-oldest"  # the same on this Python, with the lowest versions that pyproject.toml admits

# What the commands import: one start with all of it leaves its bytecode, in a third of the space and half of the time
# that it takes to compile all that is installed.
IMPORTED = "torch, torchvision, onnx, onnxruntime.quantization, onnxscript, matplotlib.pyplot"

# Rooms of the runtime that no extra changes: their tests run where a device's do, in `THIN` and `OLDEST`, and not here.
WITHOUT_EXTRAS = ("classifier", "explanation", "picture", "session")


def main() -> int:
    """Runs the task that is named on the command line."""
    tasks = {
        "demo": demo,
        "test": test,
        "gates": gates,
        "pythons": pythons,
        "elsewhere": elsewhere,
        "clients": clients,
        "engines": engines,
        "web": web,
        "cpp": cpp,
        "c": c_forms,
        "map": rooms,
        "api": api,
        "fuzz": fuzz,
        "soak": soak,
        "ship": ship,
        "bench": bench,
    }
    name, *options = sys.argv[1:] or [""]
    if name not in tasks or (options and name not in {"map", "fuzz", "soak", "c"}):
        print(__doc__)
        return 2
    if sys.version_info < MINIMUM_PYTHON:
        print(f"edge needs Python 3.11 or newer, this is {sys.version.split()[0]}; run: python3.11 dev.py {name}")
        return 1
    os.chdir(ROOT)
    try:
        tasks[name](*options)
    except subprocess.CalledProcessError as error:
        print(f"\ndev.py: this failed (exit {error.returncode}): {' '.join(map(str, error.cmd))}", file=sys.stderr)
        return 1
    return 0


def demo() -> None:
    """The main job, from a checkpoint to the label of a picture."""
    set_up_everything()
    edge = program(EVERYTHING, "edge")
    run([edge, "export", "--model", "lstm", "--quantize", "--out", "bundles"])
    run([edge, "verify", "bundles/lstm-int8.onnx"])
    run([edge, "predict", PICTURE, "--model", "bundles/lstm-int8.onnx", "--show"])


def test() -> None:
    """Every gate, then every test, the runtime's as a device would run them, and how much of the code they ran."""
    gates()
    for old in ROOT.glob(".coverage*"):
        old.unlink()
    python = program(EVERYTHING, "python")
    wheel, source = build(python)
    set_up_clients()
    web()
    cpp()
    full = [f"--ignore=tests/runtime/{room}" for room in WITHOUT_EXTRAS]
    measured = ["-m", "coverage", "run", f"--rcfile={ROOT / 'pyproject.toml'}", f"--data-file={ROOT / '.coverage'}"]
    run([python, *measured, "-m", "pytest", "--durations=5", "-q", *full], **surroundings())
    newest = pythons_at_hand()[-1]
    set_up_device(THIN, wheel, newest)
    thin = program(THIN, "python")
    run([thin, *measured, "-m", "pytest", "-q", "tests/runtime"], folder=source, EDGE_THIN=str(THIN))
    run([program(THIN, "edge"), "doctor"])
    set_up_device(OLDEST, wheel, Path(sys.executable), lowest=True)
    run([program(OLDEST, "python"), "-m", "pytest", "-q", "tests/runtime"], EDGE_THIN=str(OLDEST))
    run([program(OLDEST, "edge"), "doctor"])
    run([python, "-m", "coverage", "combine", "-q"])
    run([python, "-m", "coverage", "report"])
    print("\ndev.py: all gates and tests passed")


def clients() -> None:
    """The service asked by tritonclient and kserve, and its deployment files checked against their schemas."""
    set_up_everything()
    set_up_clients()
    tests = "tests/runtime/service/test_clients.py"
    run([program(EVERYTHING, "python"), "-m", "pytest", "-q", tests], EDGE_CLIENTS=str(program(CLIENTS, "python")))


def engines() -> None:
    """Many pictures with what others made for them; Ray needs a machine that is not busy."""
    set_up_everything()
    python = Path(sys.executable)
    if make_environment(ENGINES, python):
        install(ENGINES, ["--group", "engines", *device_requirements()])
        finish_environment(ENGINES, python)
    tests = "tests/runtime/batch/test_engines.py"
    run([program(EVERYTHING, "python"), "-m", "pytest", "-q", tests], EDGE_ENGINES=str(program(ENGINES, "python")))


def surroundings() -> dict[str, str]:
    """What tests find beside Python, where it is there."""
    folders = {"EDGE_WEB_RUNTIME": WEB, "EDGE_CPP": CPP}
    found = {name: str(folder) for name, folder in folders.items() if folder.is_dir()}
    return {"EDGE_CLIENTS": str(program(CLIENTS, "python")), **found}


def web() -> None:
    """ONNX Runtime for browsers, where npm is there to fetch it; the tests that need it are skipped elsewhere."""
    if not fetch("web_runtime", WEB):
        say("  the tests of pages are skipped; on Debian: apt install nodejs npm chromium chromium-driver")


def cpp() -> None:
    """ONNX Runtime's C++ headers, where apt is there to fetch them; the tests that need them are skipped elsewhere."""
    if not fetch("cpp_toolchain", CPP):
        say("  the tests of edge.hpp are skipped; on Debian: apt install g++ libssl-dev zlib1g-dev")


def c_forms(*options: str) -> None:
    """The self-test of C forms everywhere; what is missing is named in the table, with its Debian package."""
    set_up_everything()
    run([program(EVERYTHING, "python"), "tests/export/targets/c/processors.py", *options])


def fetch(module: str, folder: Path) -> bool:
    """Has a module of the targets fetch what it needs, once; false where that fails."""
    set_up_everything()
    if folder.is_dir():
        return True
    call = f"""
import sys, pathlib
from edge.errors import EdgeError
from edge_export.targets import {module}
try:
    {module}.fetch(pathlib.Path({str(folder)!r}))
except EdgeError as error:
    sys.exit(f"dev.py: {{error}}")
"""
    try:
        run([program(EVERYTHING, "python"), "-c", call])
    except subprocess.CalledProcessError:
        return False
    return True


def gates() -> None:
    """What takes seconds and needs no test: format, lint, types, the order of the imports."""
    set_up_everything()
    python = program(EVERYTHING, "python")
    run([python, "-m", "ruff", "format", "--check", "."])
    run([python, "-m", "ruff", "check", "."])
    run([python, "-m", "mypy"])
    run([program(EVERYTHING, "lint-imports")])


def pythons() -> None:
    """The runtime's tests from the built wheel on every Python at hand; tells which are not."""
    set_up_everything()
    wheel, source = build(program(EVERYTHING, "python"))
    told = []
    found = dict(zip(map(version_of, interpreters := pythons_at_hand()), interpreters, strict=True))
    for minor in range(MINIMUM_PYTHON[1], NEWEST_PYTHON[1] + 1):
        if (interpreter := found.get((3, minor))) is None:
            told.append(f"3.{minor}: skipped: no python3.{minor} on the path and none of pyenv's")
            continue
        folder = ROOT / f".venv-3.{minor}"
        set_up_device(folder, wheel, interpreter)
        run([program(folder, "python"), "-m", "pytest", "-q", "tests/runtime"], folder=source, EDGE_THIN=str(folder))
        told.append(f"3.{minor}: passed: {interpreter}")
    # Without the lock that lets one thread compute at a time; its ABI is another, so that it needs wheels of its own.
    if (free := shutil.which(f"python3.{NEWEST_PYTHON[1]}t")) is None:
        told.append(f"3.{NEWEST_PYTHON[1]}t: skipped: no python3.{NEWEST_PYTHON[1]}t on the path")
    else:
        folder = ROOT / f".venv-3.{NEWEST_PYTHON[1]}t"
        set_up_device(folder, wheel, Path(free))
        run([program(folder, "python"), "-m", "pytest", "-q", "tests/runtime"], folder=source, EDGE_THIN=str(folder))
        told.append(f"3.{NEWEST_PYTHON[1]}t: passed: {free}")
    print("", *told, sep="\n")


def elsewhere() -> None:
    """The thin wheel under emulation, on processors of boards; half an hour, and the table of docs/devices.md."""
    set_up_everything()
    python = program(EVERYTHING, "python")
    wheel, _ = build(python)
    run([python, "benchmarks/elsewhere.py", "--wheel", wheel])


def rooms(*options: str) -> None:
    """The rooms of the repository; needs no environment."""
    run([sys.executable, "docs/rooms.py", *options])


def api() -> None:
    """The page of the public names."""
    set_up_everything()
    run([program(EVERYTHING, "python"), "docs/api.py"])


def fuzz(minutes: str = "10") -> None:
    """The tests of properties with many examples each, for so many minutes."""
    set_up_everything()
    run([program(EVERYTHING, "python"), "tests/fuzz.py", minutes])


def soak(*options: str) -> None:
    """Much work of one process, and of one command: answers, order and memory stay as they are."""
    set_up_everything()
    run([program(EVERYTHING, "python"), "benchmarks/soak.py", *options])


def ship() -> None:
    """The shipped bundles anew, fp32 and int8, judged on MNIST; reports stay in `bundles/`."""
    set_up_everything()
    edge = program(EVERYTHING, "edge")
    for checkpoint in sorted((ROOT / "train" / "edge_train" / "checkpoints").glob("*.safetensors")):
        model = checkpoint.stem
        int8 = ["--quantize", "--candidate", SHIPPED_INT8[model]]
        for options, name in (([], model), (int8, f"{model}-int8")):
            run([edge, "export", "--model", model, "--data", "mnist", "--out", "bundles", *options])
            shutil.copy(Path("bundles") / f"{name}.onnx", ROOT / "runtime" / "edge" / "models")


def bench() -> None:
    """The shipped models in every runtime that one could take instead, the extra `bench`; some 20 minutes."""
    set_up_everything()
    install(EVERYTHING, ["-c", CONSTRAINTS, "-e", ".[bench]"])
    run([program(EVERYTHING, "python"), "benchmarks/peers.py", "--out", "runs/peers"])


def set_up_everything() -> None:
    """The environment for development: everything, with edge itself editable."""
    python = Path(sys.executable)
    if make_environment(EVERYTHING, python):
        install(EVERYTHING, ["-c", CONSTRAINTS, "-e", ".[dev]"])
        run([program(EVERYTHING, "python"), "-c", f"import {IMPORTED}"])
        finish_environment(EVERYTHING, python)


def set_up_clients() -> None:
    """An environment of other people's clients, which want other versions than edge does."""
    python = Path(sys.executable)
    if make_environment(CLIENTS, python):
        install(CLIENTS, ["--group", "clients"])
        finish_environment(CLIENTS, python)


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
    run([python, "-m", "build", "--no-isolation", "--outdir", target, "."])
    archive = next(target.glob("*.tar.gz"))
    with tarfile.open(archive) as packed:
        packed.extractall(target, filter="data")
    return next(target.glob("*.whl")), target / archive.name.removesuffix(".tar.gz")


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
    ask = "import sys, venv, ctypes, zlib; print(*sys.version_info[:2])"
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
    try:
        venv.create(folder, with_pip=True, clear=not program(folder, "python").exists())
    except (subprocess.CalledProcessError, OSError) as error:
        raise SystemExit(f"dev.py: cannot make {folder}: {error}; on Debian: apt install python3-venv") from error
    # uv resolves and links in seconds what takes pip minutes, and installs into the other environments too.
    pip = [program(folder, "python"), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    run([*pip, "-c", CONSTRAINTS, "uv"])
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


def run(command: list[object], *, folder: Path = ROOT, **environment: str) -> None:
    """Runs a command and shows it; an error ends everything.

    Python keeps the bytecode of what it imports beside it even where the machine is set not to: these environments are
    the project's own, and each start would compile torch anew, which takes seconds.
    """
    words = [str(word) for word in command]
    shown = [str(Path(words[0]).relative_to(ROOT)) if Path(words[0]).is_relative_to(ROOT) else words[0], *words[1:]]
    say("$ " + " ".join(shown))
    started = time.monotonic()
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    subprocess.run(words, check=True, cwd=folder, env={**kept, **environment})
    if (seconds := time.monotonic() - started) > 5:
        say(f"  {seconds:.0f} s")


def say(line: str) -> None:
    """Tells what is going on, before a program writes anything itself."""
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
