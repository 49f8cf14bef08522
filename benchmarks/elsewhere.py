"""Runs the thin wheel on processors that are not here, by emulation: what holds on them is measured and not assumed.

    python3 dev.py elsewhere                                        all boards; half an hour on two cores
    python benchmarks/elsewhere.py --wheel dist/*.whl --boards cortex-a72

Why: int8 arithmetic, vector code and the wheels of others differ between processors, and people have boards that no
developer has. For each machine a small Debian is unpacked, nothing of it is run to set it up, and the wheel is put into
it with ONNX Runtime. Then Python runs there under qemu's user emulation as each processor in turn: `edge doctor`, the
verification of every shipped bundle, the labels and the 28x28 images of drawn pictures, and the tests of the runtime
for as long as `--tests` allows. The same is asked of this machine, and compared.

qemu shows the processor information of the host to the program, so that each board brings its own. Emulation says
whether something is right, never how fast it is; it cannot emulate VNNI.

Needs the Debian packages mmdebstrap and qemu-user, and uv. All is kept in `.elsewhere/`, which git ignores, and found
there the next time. Writes benchmarks/results/emulated/elsewhere.json (schema edge.elsewhere/1), some doctors' reports
beside it, and the table in docs/devices.md, after each board.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from elsewhere_page import into_page, table

from edge.text.files import write_atomically

SCHEMA = "edge.elsewhere/1"
ROOT = Path(__file__).resolve().parents[1]
CACHE = ROOT / ".elsewhere"
RESULTS = ROOT / "benchmarks" / "results" / "emulated"

SUITE = "trixie"
PYTHON = "3.13"  # that suite's
PACKAGES = "python3,libstdc++6"
TOOLS = {"mmdebstrap": "mmdebstrap", "qemu-aarch64": "qemu-user", "qemu-x86_64": "qemu-user"}
TEST_SECONDS = 600
STEP_SECONDS = 5400
# The most telling first; those of the service, of commands and of clusters start processes and take longest.
TESTS = (
    "picture/test_everywhere.py",
    "session",
    "bundle",
    "classifier",
    "text",
    "picture/test_plain_png.py",
    "picture/test_luminance.py",
    "picture/test_decode_formats.py",
    "picture",
    "explanation",
    "batch",
    "bench",
    "cli",
)


@dataclass(frozen=True, slots=True)
class Machine:
    """A kind of machine.

    Attributes:
        architecture: Debian's name.
        qemu: the emulator's program.
        platform: uv's name for its wheels.
    """

    architecture: str
    qemu: str
    platform: str


@dataclass(frozen=True, slots=True)
class Board:
    """A processor to be emulated.

    Attributes:
        cpu: qemu's name.
        machine: what kind of machine it is in.
        known_from: where people have it.
        cpuinfo: lines of one processor in `/proc/cpuinfo`.
        doctor: whether `edge doctor` is run there too, which replays the evidence once more.
    """

    cpu: str
    machine: Machine
    known_from: str
    cpuinfo: str
    doctor: bool = False


ARM64 = Machine("arm64", "qemu-aarch64", "aarch64-manylinux_2_28")
X86_64 = Machine("amd64", "qemu-x86_64", "x86_64-manylinux_2_28")


def arm(part: str, *features: str) -> str:
    """What Linux says of an arm64 core."""
    listed = " ".join(("fp", "asimd", "evtstrm", "crc32", "cpuid", *features))
    return (
        f"BogoMIPS\t: 108.00\nFeatures\t: {listed}\nCPU implementer\t: 0x41\nCPU architecture: 8\n"
        f"CPU variant\t: 0x0\nCPU part\t: {part}\nCPU revision\t: 3\n"
    )


def x86(name: str, model: int, *flags: str) -> str:
    """What Linux says of an x86 processor."""
    listed = " ".join(("fpu", "sse", "sse2", "ssse3", "sse4_1", "sse4_2", "popcnt", *flags))
    return (
        f"vendor_id\t: GenuineIntel\ncpu family\t: 6\nmodel\t\t: {model}\nmodel name\t: {name}\nflags\t\t: {listed}\n"
    )


AVX2 = ("avx", "f16c", "fma", "bmi1", "bmi2", "avx2")
BOARDS = {
    board.cpu: board
    for board in (
        Board("cortex-a53", ARM64, "Raspberry Pi 3, Zero 2", arm("0xd03"), doctor=True),
        Board("cortex-a72", ARM64, "Raspberry Pi 4", arm("0xd08"), doctor=True),
        Board("cortex-a76", ARM64, "Raspberry Pi 5", arm("0xd0b", "atomics", "fphp", "asimdhp", "asimddp")),
        Board("max", ARM64, "all that qemu has", arm("0xd0b", "atomics", "fphp", "asimdhp", "asimddp", "i8mm", "sve")),
        Board("Nehalem", X86_64, "x86 of 2008, without AVX", x86("Intel Core i7 9xx (Nehalem)", 26), doctor=True),
        Board("Haswell", X86_64, "x86 of 2013", x86("Intel Core (Haswell)", 60, *AVX2)),
        Board("Skylake-Client", X86_64, "x86 of 2015", x86("Intel Core (Skylake)", 94, *AVX2)),
    )
}

# What is asked on every processor, in one process: JSON on the last line.
QUESTIONS = """
import importlib.util, io, json, platform, sys, time
from PIL import Image
import numpy as np
from elsewhere_page import into_page, table
import edge
from edge.bundle import bundle, shipped
from edge.session import cpu, runtime, session
from edge.session import cpu

spec = importlib.util.spec_from_file_location("everywhere", sys.argv[1])
everywhere = importlib.util.module_from_spec(spec)
sys.modules["pytest"] = type(sys)("pytest")
sys.modules["pytest"].mark = type("mark", (), {"parametrize": staticmethod(lambda *_: lambda test: test)})
spec.loader.exec_module(everywhere)

begun = time.monotonic()
bundles = {}
for name in shipped.names():
    source = bundle.read(shipped.locate(name))
    outcome = edge.verify(source.path, "cpu")
    running = session.create(source.data, provider="cpu", threads=1, manifest=source.manifest)
    figures = {key: value for step in outcome.steps for key, value in step.figures.items()}
    bundles[name] = {
        "precision": source.manifest.precision,
        "verified": outcome.passed,
        "failed": None if outcome.failed is None else outcome.failed.detail,
        "max_logit_error": figures.get("max_logit_error"),
        "flips": figures.get("flips"),
        "logits": running.run(source.evidence.images)[0].astype(float).tolist(),
    }
classifier = edge.load("lstm-int8", provider="cpu", threads=1)
digests, labels = {}, {}
for name, draw in everywhere.PICTURES.items():
    picture = draw()
    digests[name] = everywhere.digest(picture)
    stored = io.BytesIO()
    Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8)).save(stored, "PNG")
    labels[name] = classifier.predict(stored.getvalue()).label
print(json.dumps({
    "processor": cpu.model(),
    "machine": platform.machine(),
    "python": platform.python_version(),
    "versions": {name: runtime.version(name) for name in ("onnxruntime", "numpy", "pillow")},
    "int8_is_exact": cpu.int8_is_exact(),
    "bundles": bundles,
    "digests": digests,
    "labels": labels,
    "seconds": round(time.monotonic() - begun, 1),
}))
"""

# Where there is no loader for programs of other machines, a child has to be started by the emulator too.
SITE = "import os, sys\nsys.executable = os.environ.get('EDGE_LAUNCHER', sys.executable)\n"


class Failed(Exception):  # noqa: N818 - it is how a step ended
    """A step did not end as it should; the message says how."""


def main() -> int:
    """Sets up what is missing, asks every board, and writes."""
    options = _options()
    if missing := sorted({package for tool, package in TOOLS.items() if shutil.which(tool) is None}):
        say(f"elsewhere.py: without the Debian packages {', '.join(missing)}; apt-get install {' '.join(missing)}")
        return 1
    wheel = options.wheel.resolve()
    here = ask([sys.executable], {})
    for name in options.boards:
        board = BOARDS[name]
        say(f"{name} ({board.known_from})")
        set_up(board.machine, wheel)
        found = {"date": time.strftime("%Y-%m-%d"), "known_from": board.known_from}
        found |= examine(board, here, options.tests)
        say(f"  {found['seconds']} s")
        lines = table(keep(name, found, here))
        into_page(lines)
    print("\n".join(lines))
    return 0


def keep(name: str, found: dict[str, Any], here: dict[str, Any]) -> dict[str, Any]:
    """Writes what one board found beside what others did before, so that a run that is stopped keeps what it has."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    kept = RESULTS / "elsewhere.json"
    boards = json.loads(kept.read_bytes())["boards"] if kept.is_file() else {}
    boards[name] = found
    document = {
        "schema": SCHEMA,
        "qemu": version_of("qemu-aarch64"),
        "suite": SUITE,
        "host": {key: here[key] for key in ("processor", "machine", "python", "versions", "int8_is_exact")},
        "megabytes": {machine.architecture: sizes(machine) for machine in machines(list(boards))},
        "boards": {each: boards[each] for each in BOARDS if each in boards},
    }
    write_atomically(kept, (json.dumps(document, indent=1) + "\n").encode())
    return document


def machines(boards: Sequence[str]) -> list[Machine]:
    """The kinds of machines of these boards."""
    return list(dict.fromkeys(BOARDS[name].machine for name in boards))


def set_up(machine: Machine, wheel: Path) -> None:
    """Unpacks a Debian and puts the wheel into it, with what it needs; what is there already stays."""
    root = CACHE / machine.architecture
    CACHE.mkdir(exist_ok=True)
    if not (root / "opt").is_dir():
        say(f"  unpacking {SUITE} for {machine.architecture}")
        shutil.rmtree(root, ignore_errors=True)
        packages = ["--variant=extract", f"--include={PACKAGES}", f"--architectures={machine.architecture}"]
        call(["mmdebstrap", "--quiet", *packages, SUITE, root])
        for name in ("bin", "lib", "sbin", "lib64"):  # links that a script of a package would make
            if not (root / name).exists() and (root / "usr" / name).exists():
                (root / name).symlink_to(f"usr/{name}")
    packages = root / "opt" / "edge"
    state = f"{wheel.name} {wheel.stat().st_mtime_ns} {(ROOT / 'constraints.txt').read_text(encoding='utf-8')}"
    stamp = root / "opt" / "edge-stamp.txt"
    if not stamp.is_file() or stamp.read_text(encoding="utf-8") != state:
        say(f"  installing {wheel.name}")
        shutil.rmtree(packages, ignore_errors=True)
        target = ["--target", packages, "--python-platform", machine.platform, "--python-version", PYTHON]
        only = ["--only-binary", ":all:", "-c", ROOT / "constraints.txt"]
        call([sys.executable, "-m", "uv", "pip", "install", "-q", *target, *only, f"{wheel}[cpu]", "pytest"])
        (packages / "sitecustomize.py").write_text(SITE, encoding="utf-8")
        stamp.write_text(state, encoding="utf-8")
    (root / "proc").mkdir(exist_ok=True)


def examine(board: Board, here: dict[str, Any], test_seconds: int) -> dict[str, Any]:
    """All that is asked of one board; what failed is in it."""
    begun = time.monotonic()
    root = CACHE / board.machine.architecture
    four = "\n".join(f"processor\t: {number}\n{board.cpuinfo}" for number in range(4))
    (root / "proc" / "cpuinfo").write_text(four + "\n", encoding="utf-8")
    launcher = CACHE / f"python-{board.cpu}"
    program = f"{root}/usr/bin/python{PYTHON}"
    launcher.write_text(f'#!/bin/sh\nexec {board.machine.qemu} -L {root} -cpu {board.cpu} {program} "$@"\n')
    launcher.chmod(0o755)
    environment = {"EDGE_LAUNCHER": str(launcher), "PYTHONPATH": "/opt/edge", "OPENBLAS_NUM_THREADS": "1"}
    found: dict[str, Any] = {"doctor": None, "failure": None, "tests": None}
    try:
        found |= judged(ask([str(launcher)], environment), here)
        if board.doctor:
            found["doctor"] = examined(board, launcher, environment)
        if test_seconds:
            found["tests"] = tests(launcher, environment, test_seconds)
    except Failed as error:
        # What was asked before the doctor or the tests failed holds all the same.
        found["failure" if "bundles" not in found else "cut_short"] = str(error)
        say(f"  {error}")
    return found | {"seconds": round(time.monotonic() - begun)}


def examined(board: Board, launcher: Path, environment: dict[str, str]) -> int:
    """Keeps what `edge doctor` prints there, and gives its exit code.

    Raises:
        Failed: it was ended.
    """
    report = run([launcher, "-m", "edge", "doctor"], environment, STEP_SECONDS)
    if report.returncode not in {0, 1}:
        raise Failed(f"the doctor ended with {report.returncode}")
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / f"doctor-{board.cpu}.txt").write_text(report.stdout, encoding="utf-8")
    return report.returncode


def ask(python: list[str], environment: dict[str, str]) -> dict[str, Any]:
    """What `QUESTIONS` finds with one Python.

    Raises:
        Failed: it ended otherwise.
    """
    everywhere = ROOT / "tests" / "runtime" / "picture" / "test_everywhere.py"
    done = run([*python, "-c", QUESTIONS, everywhere], environment, STEP_SECONDS)
    if done.returncode != 0:
        raise Failed(f"exit code {done.returncode}: {(done.stderr.strip().splitlines() or ['silent'])[-1]}")
    answers: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return answers


def judged(there: dict[str, Any], here: dict[str, Any]) -> dict[str, Any]:
    """What a board found, beside this machine; the logits themselves are left out."""
    apart: dict[str, float] = {}
    for name, each in there["bundles"].items():
        difference = np.abs(np.array(each.pop("logits")) - np.array(here["bundles"][name]["logits"])).max()
        apart[name] = float(difference)
    return there | {
        "bundles": {name: each | {"off_this_machine": apart[name]} for name, each in there["bundles"].items()},
        "same_images": sum(there["digests"][name] == digest for name, digest in here["digests"].items()),
        "same_labels": sum(there["labels"][name] == label for name, label in here["labels"].items()),
        "pictures": len(here["digests"]),
    }


def tests(launcher: Path, environment: dict[str, str], seconds: int) -> list[dict[str, Any]]:
    """The tests of the runtime, the most telling first, until the time is over."""
    end = time.monotonic() + seconds
    told = []
    for name in TESTS:
        path = f"tests/runtime/{name}"
        if (left := end - time.monotonic()) < 1:
            told.append({"path": path, "outcome": "not begun"})
            continue
        options = ["-q", "-rf", "-p", "no:cacheprovider", "--tb=line"]
        try:
            lines = run([launcher, "-m", "pytest", *options, path], environment, left).stdout.strip().splitlines()
        except Failed as error:
            told.append({"path": path, "outcome": str(error)})
            continue
        failed = [line.removeprefix("FAILED ").partition(" - ")[0] for line in lines if line.startswith("FAILED ")]
        told.append({"path": path, "outcome": (lines or ["silent"])[-1], "failed": failed})
    return told


def sizes(machine: Machine) -> dict[str, float]:
    """Megabytes of each distribution that is installed, as its record lists its files; pytest's are left out."""
    packages = CACHE / machine.architecture / "opt" / "edge"
    found = {}
    for record in packages.glob("*.dist-info/RECORD"):
        name = record.parent.name.partition("-")[0]
        lines = record.read_text(encoding="utf-8").splitlines()
        files = [packages / line.rsplit(",", 2)[0].strip('"') for line in lines]
        found[name] = round(sum(file.stat().st_size for file in files if file.is_file()) / 1e6, 1)
    for name in ("pytest", "pluggy", "iniconfig"):
        found.pop(name, None)
    return dict(sorted(found.items(), key=lambda pair: -pair[1]))


def run(command: Sequence[object], environment: dict[str, str], seconds: float) -> subprocess.CompletedProcess[str]:
    """Runs a program with little priority.

    Raises:
        Failed: it did not end in that time.
    """
    words = ["nice", "-n", "2", *map(str, command)]
    surroundings = {**os.environ, **environment}
    try:
        return subprocess.run(
            words, env=surroundings, capture_output=True, text=True, check=False, cwd=ROOT, timeout=seconds
        )
    except subprocess.TimeoutExpired as error:
        raise Failed(f"not ended within {seconds:.0f} s") from error


def call(command: Sequence[object]) -> None:
    """Runs a program that must succeed."""
    subprocess.run(["nice", *map(str, command)], check=True)  # noqa: S607 - found on the path


def version_of(program: str) -> str:
    """The first line of what a program says of its version, such as "qemu-aarch64 version 7.2.22"."""
    told = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    return told.splitlines()[0].partition(" (")[0]


def say(line: str) -> None:
    """Tells what is going on."""
    print(line, file=sys.stderr, flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wheel", required=True, type=Path, metavar="FILE", help="edge's own, as `dev.py` builds it")
    parser.add_argument("--boards", nargs="+", default=list(BOARDS), choices=BOARDS, metavar="CPU", help="which")
    parser.add_argument("--tests", type=int, default=TEST_SECONDS, metavar="SECONDS", help="for the tests of each")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
