"""Sets everything up on a fresh machine, with nothing but Python 3.11 or newer, and runs it.

    python3 dev.py demo     exports the shipped LSTM to int8, verifies it, and reads a picture with it
    python3 dev.py test     passes every gate: format, lint, types, import rules; all tests; the built wheel without
                            torch on the newest Python at hand; the oldest versions that are admitted; coverage
    python3 dev.py exhaustive  runs every test, those that `test` leaves out too, on the oldest Python at hand
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

import os
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO

from development.environments import (
    CLIENTS,
    CONSTRAINTS,
    EARLIEST,
    ENGINES,
    EVERYTHING,
    MINIMUM_PYTHON,
    MONITORED,
    NEWEST_PYTHON,
    OLDEST,
    ROOT,
    THIN,
    build,
    install,
    program,
    pythons_at_hand,
    run,
    say,
    set_up_clients,
    set_up_device,
    set_up_engines,
    set_up_everything,
    version_of,
)

PICTURE = Path("docs") / "pictures" / "seven.jpg"

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

CPP = ROOT / ".cpp"  # headers for edge.hpp, and programs that were compiled with them
WEB = ROOT / ".web-runtime"  # the two files of onnxruntime-web that a page needs

# Test files of the runtime to which it makes a difference that the extras are there: those that are skipped without an
# extra, and those of what the heavy halves add to. The others run where a device's do, in `THIN` and `OLDEST`.
ASKS_FOR_AN_EXTRA = re.compile(r"importorskip")
CHANGED_BY_EXTRAS = ("test_errors.py", "test_start_up.py", "cli/test_cli.py", "cli/test_doctor.py")

# What hands pixels, bytes and graphs to Pillow, NumPy and ONNX Runtime: old versions say nothing about the other tests
# that these do not say. The last bit of what NumPy computes of drawn pictures is compared in test_everywhere.py.
WITH_VERSIONS = [
    f"tests/runtime/{path}.py"
    for path in (
        "bundle/test_branches", "bundle/test_ort_format", "classifier/test_classifier", "cli/test_predict",
        "picture/test_containers", "picture/test_decode_formats", "picture/test_everywhere", "session/test_providers",
        "session/test_session", "test_drawing", "test_thin_install", "test_verification",
    )
]  # fmt: skip

# What a representative stands for in `test`: every shipped bundle, every model of a collection, every form.
REPRESENTATIVE = ["-m", "not exhaustive"]

MEASURED = ["-m", "coverage", "run", f"--rcfile={ROOT / 'pyproject.toml'}", f"--data-file={ROOT / '.coverage'}"]


def main() -> int:
    """Runs the task that is named on the command line."""
    name, *options = sys.argv[1:] or [""]
    if name not in TASKS or (options and name not in {"map", "fuzz", "soak", "c"}):
        print(__doc__)
        return 2
    if sys.version_info < MINIMUM_PYTHON:
        print(f"edge needs Python 3.11 or newer, this is {sys.version.split()[0]}; run: python3.11 dev.py {name}")
        return 1
    os.chdir(ROOT)
    try:
        TASKS[name](*options)
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
    """Every gate, then every test, the runtime's as a device would run them, and how much of the code they ran.

    What runs as on devices runs beside the rest, and is shown when both have ended.
    """
    gates()
    for old in ROOT.glob(".coverage*"):
        old.unlink()
    python = program(EVERYTHING, "python")
    wheel, source = build(python)
    set_up_clients()
    web()
    cpp()
    oldest, newest = pythons_at_hand()[0], pythons_at_hand()[-1]
    set_up_device(THIN, wheel, newest)
    set_up_device(OLDEST, wheel, oldest, lowest=True)
    full = [f"--ignore={path}" for path in without_extras()]
    with ThreadPoolExecutor() as beside, tempfile.TemporaryFile("w+", encoding="utf-8") as told:
        devices = beside.submit(test_as_on_devices, source, newest, told)
        try:
            found = {**surroundings(), **core(python), "CXXFLAGS": "-O0"}  # which g++ takes a third less time for
            run([python, *MEASURED, "-m", "pytest", "--durations=5", "-q", *REPRESENTATIVE, *full], **found)
        finally:
            say("\ndev.py: the tests as on devices:")
            devices.exception()
            told.seek(0)
            shutil.copyfileobj(told, sys.stdout)
            sys.stdout.flush()
    devices.result()
    run([python, "-m", "coverage", "combine", "-q"])
    run([python, "-m", "coverage", "report"])
    print("\ndev.py: all gates and tests passed")


def test_as_on_devices(source: Path, newest: Path, told: IO[str]) -> None:
    """The runtime's tests without the extras: the wheel on the newest Python, and with the oldest versions.

    Args:
        source: the folder of the unpacked sdist.
        newest: the interpreter of `THIN`.
        told: takes what the tests print.
    """
    thin = program(THIN, "python")
    found = {"EDGE_THIN": str(THIN), **core(newest)}
    run([thin, *MEASURED, "-m", "pytest", "-q", *REPRESENTATIVE, "tests/runtime"], folder=source, told=told, **found)
    run([program(THIN, "edge"), "doctor"], told=told)
    oldest = program(OLDEST, "python")
    tests = [*REPRESENTATIVE, *WITH_VERSIONS]
    run([oldest, "-m", "pytest", "-q", *tests], folder=source, told=told, EDGE_THIN=str(OLDEST))


def core(python: Path) -> dict[str, str]:
    """How coverage counts lines in an interpreter."""
    return {"COVERAGE_CORE": "sysmon"} if version_of(python) >= MONITORED else {}


def without_extras() -> list[str]:
    """The test files of the runtime to which the extras make no difference."""
    folder = ROOT / "tests" / "runtime"
    changed = {folder / name for name in CHANGED_BY_EXTRAS}
    same = [path for path in folder.rglob("test_*.py") if path not in changed]
    return sorted(str(path) for path in same if not ASKS_FOR_AN_EXTRA.search(path.read_text(encoding="utf-8")))


def exhaustive() -> None:
    """Every test of the tree, on the oldest Python at hand, where `test` takes one that counts lines itself."""
    set_up_everything()
    set_up_clients()
    web()
    cpp()
    oldest, folder = pythons_at_hand()[0], EVERYTHING
    if version_of(program(EVERYTHING, "python")) != version_of(oldest):
        set_up_everything(folder := EARLIEST, oldest)
    run([program(folder, "python"), "-m", "pytest", "--durations=5", "-q"], **surroundings())


def clients() -> None:
    """The service asked by tritonclient and kserve, and its deployment files checked against their schemas."""
    set_up_everything()
    set_up_clients()
    tests = "tests/runtime/service/test_clients.py"
    run([program(EVERYTHING, "python"), "-m", "pytest", "-q", tests], EDGE_CLIENTS=str(program(CLIENTS, "python")))


def engines() -> None:
    """Many pictures with what others made for them; Ray needs a machine that is not busy."""
    set_up_everything()
    set_up_engines()
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


TASKS = {
    "demo": demo,
    "test": test,
    "exhaustive": exhaustive,
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

if __name__ == "__main__":
    sys.exit(main())
