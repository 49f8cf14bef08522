"""Sets everything up on a fresh machine, with nothing but Python 3.11 or newer, and runs it.

    python3 dev.py demo     exports the shipped LSTM to int8, verifies it, and reads a picture with it
    python3 dev.py test     format, lint, types, import rules; all tests; the built wheel without torch; the oldest
                            ONNX Runtime that is admitted
    python3 dev.py ship     exports every shipped checkpoint to the shipped bundles: after a training or a change of
                            the export, with MNIST at hand
    python3 dev.py bench    edge beside its peers on this machine, speed and answers; the results stay in runs/peers

All may be run again at any time: what is installed already is left as it is.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import time
import tomllib
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent
CONSTRAINTS = ROOT / "constraints.txt"
PICTURE = Path("docs") / "pictures" / "seven.jpg"
STAMP = "edge-setup.txt"
MINIMUM_PYTHON = (3, 11)

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
THIN = ROOT / ".venv-thin"  # the built wheel with the extra `cpu`: what a device has
OLDEST = ROOT / ".venv-oldest"  # the same with the lowest versions that pyproject.toml admits


def main() -> int:
    """Runs the task that is named on the command line."""
    tasks = {"demo": demo, "test": test, "ship": ship, "bench": bench}
    if len(sys.argv) != 2 or sys.argv[1] not in tasks:
        print(__doc__)
        return 2
    if sys.version_info < MINIMUM_PYTHON:
        print(
            f"edge needs Python 3.11 or newer, this is {sys.version.split()[0]}; run: python3.11 dev.py {sys.argv[1]}"
        )
        return 1
    os.chdir(ROOT)
    try:
        tasks[sys.argv[1]]()
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
    """Every gate, then every test, then the runtime's tests as a device would run them."""
    set_up_everything()
    python = program(EVERYTHING, "python")
    run([python, "-m", "ruff", "format", "--check", "."])
    run([python, "-m", "ruff", "check", "."])
    run([python, "-m", "mypy"])
    run([program(EVERYTHING, "lint-imports")])
    run([python, "-m", "pytest", "--durations=5", "-q"])
    wheel = build_wheel(python)
    for folder, lowest in ((THIN, False), (OLDEST, True)):
        set_up_device(folder, wheel, lowest=lowest)
        run([program(folder, "python"), "-m", "pytest", "-q", "tests/runtime"], EDGE_THIN=str(folder))
        run([program(folder, "edge"), "doctor"])
    print("\ndev.py: all gates and tests passed")


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
    if make_environment(EVERYTHING):
        install(EVERYTHING, ["-c", CONSTRAINTS, "-e", ".[dev]"])
        finish_environment(EVERYTHING)


def set_up_device(folder: Path, wheel: Path, *, lowest: bool) -> None:
    """An environment like a device's: the wheel, ONNX Runtime for CPUs, no torch, no onnx."""
    if make_environment(folder):
        if lowest:
            # Without wheels for this Python the lowest version is no candidate: nothing is compiled here.
            install(folder, ["--resolution", "lowest-direct", "--only-binary", ":all:", *device_requirements()])
        else:
            install(folder, ["-c", CONSTRAINTS, f"{wheel}[cpu]"])
        install(folder, ["-c", CONSTRAINTS, "pytest"])
        finish_environment(folder)
    install(folder, ["--no-deps", "--reinstall-package", "edge-toolkit", wheel])


def device_requirements() -> list[str]:
    """What pyproject.toml asks for on a device, as uv takes it for direct requirements."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return [*project["dependencies"], *project["optional-dependencies"]["cpu"]]


def build_wheel(python: Path) -> Path:
    """Builds the wheel from this tree and returns its path."""
    target = ROOT / "dist"
    shutil.rmtree(target, ignore_errors=True)
    run([python, "-m", "hatchling", "build", "-t", "wheel", "-d", target])
    return next(target.glob("*.whl"))


def make_environment(folder: Path) -> bool:
    """Makes a virtual environment; false when a finished one for this state of the project is there."""
    if stamp_of(folder) == wanted_stamp():
        return False
    say(f"setting up {folder.name} (once; torch is large)" if folder == EVERYTHING else f"setting up {folder.name}")
    try:
        venv.create(folder, with_pip=True, clear=not program(folder, "python").exists())
    except (subprocess.CalledProcessError, OSError) as error:
        raise SystemExit(f"dev.py: cannot make {folder}: {error}; on Debian: apt install python3-venv") from error
    if folder == EVERYTHING:
        # uv resolves and links in seconds what takes pip minutes, and installs into the other environments too.
        pip = [program(folder, "python"), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
        run([*pip, "-c", CONSTRAINTS, "uv"])
    return True


def finish_environment(folder: Path) -> None:
    """Notes that the environment is complete, so that the next run is quick."""
    (folder / STAMP).write_text(wanted_stamp(), encoding="utf-8")


def install(folder: Path, what: list[object]) -> None:
    """Installs into an environment with uv."""
    uv = [program(EVERYTHING, "python"), "-m", "uv", "pip", "install", "-q"]
    run([*uv, "--python", program(folder, "python"), *what])


def stamp_of(folder: Path) -> str:
    """The state of the project that an environment was made for; empty when it is not finished."""
    path = folder / STAMP
    return path.read_text(encoding="utf-8") if path.is_file() and program(folder, "python").exists() else ""


def wanted_stamp() -> str:
    """What an environment depends on: the declared dependencies and this Python."""
    content = (ROOT / "pyproject.toml").read_bytes() + CONSTRAINTS.read_bytes() + sys.version.encode()
    return hashlib.sha256(content).hexdigest()


def program(folder: Path, name: str) -> Path:
    """The path of a program of an environment."""
    return folder / ("Scripts" if os.name == "nt" else "bin") / (f"{name}.exe" if os.name == "nt" else name)


def run(command: list[object], **environment: str) -> None:
    """Runs a command and shows it; an error ends everything."""
    words = [str(word) for word in command]
    shown = [str(Path(words[0]).relative_to(ROOT)) if Path(words[0]).is_relative_to(ROOT) else words[0], *words[1:]]
    say("$ " + " ".join(shown))
    started = time.monotonic()
    subprocess.run(words, check=True, env={**os.environ, **environment})
    if (seconds := time.monotonic() - started) > 5:
        say(f"  {seconds:.0f} s")


def say(line: str) -> None:
    """Tells what is going on, before a program writes anything itself."""
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
