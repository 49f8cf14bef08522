"""Where a bundle runs: its evidence replayed in every runtime that edge writes for, and a single image timed.

    python benchmarks/targets.py                  all shipped bundles; some five minutes
    python benchmarks/targets.py --docs           the same, and writes the table into docs/targets.md
    EDGE_TRITON=PYTHON python benchmarks/targets.py     with a Triton server: tests/export/targets/triton_server.py

Why: "it runs everywhere" is worth nothing without a run. Each runtime replays the evidence with its own code, and the
line that it tells is read here; a runtime that is not at hand has a row that says what is missing, and no figure.

The page is opened in Chromium, drawn on with pointer events along the stroke generator's pen paths, and answers; its
labels are compared with Python's on the image that it shows. Times are medians by the wall clock: of a run in Python,
Node and C++, of an answer in the page, of a request to Triton. Progress goes to stderr, the page in Markdown to
stdout; `--out DIR` writes targets.json (schema edge.targets/1) and targets.md.
"""

import argparse
import dataclasses
import importlib.util
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import resources
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

import edge
from edge import verification
from edge.bench.results import describe_machine
from edge.bundle import bundle, shipped
from edge.session import session
from edge.text.files import write_atomically
from edge.text.table import markdown as table
from edge_export.targets import cpp, cpp_toolchain, html, registry, web_runtime
from edge_export.targets.registry import DeploymentError
from edge_train.strokes.handwriting import Dice, write

SCHEMA = "edge.targets/1"
ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "targets.md"
BEGIN, END = "<!-- benchmarks/targets.py -->\n", "<!-- end -->\n"
TIMED = ("lstm", "lstm-int8", "cnn-16k")
ROUNDS = 201
WARM_UP = 20
DRAWN, SEED = 100, 17
POINTS = 3  # every third one of a path: a mouse is no faster
ASKED = "lstm"  # the page that all digits are drawn on: the advice for WebAssembly

# The line of the step `evidence`, which is the same in Python, JavaScript and C++.
FOUND = re.compile(
    r"max \|logit error\| (?P<error>\S+) \(allowed (?P<allowed>\S+)\).*, (?P<digits>\d+) of \d+ digits flip .*"
    r", (?P<extremes>\d+) of \d+ extremes"
)
IMAGE = (
    "const shown = document.querySelector('#image').getContext('2d').getImageData(0, 0, 28, 28).data;"
    "return [...shown].filter((_, at) => at % 4 === 0)"
)
COUNT = "return performance.getEntriesByName('edge.predict').length"
ANSWERS = "return performance.getEntriesByName('edge.predict').map((one) => [one.startTime, one.duration])"


# Strokes of points, as shares of the pad.
Drawing = list[list[tuple[float, float]]]


class AbsentError(Exception):
    """A runtime is not at hand; the message says what is missing."""


@dataclass(frozen=True)
class Replayed:
    """What a bundle answered in one runtime.

    Attributes:
        name: of the bundle.
        max_logit_error: of the golden image that comes closest to its limit.
        share: of what is allowed for that image; above 1 the evidence does not hold.
        digit_flips: digits with another label than PyTorch gave.
        extreme_flips: the same of images that are no digits.
        ms: median time of a single image, milliseconds.
    """

    name: str
    max_logit_error: float
    share: float
    digit_flips: int
    extreme_flips: int
    ms: float


@dataclass(frozen=True)
class Row:
    """One runtime.

    Attributes:
        runtime: what it is called in the table.
        version: of what ran.
        replays: of each bundle; empty where it is not at hand.
        absent: why, where it is not.
        facts: what else was measured.
    """

    runtime: str
    version: str
    replays: tuple[Replayed, ...] = ()
    absent: str = ""
    facts: dict[str, Any] = dataclasses.field(default_factory=dict)


def main() -> int:
    """Replays everywhere and prints the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--bundles", nargs="+", default=shipped.names(), metavar="NAME")
    parser.add_argument("--out", type=Path, help="folder for targets.json and targets.md")
    parser.add_argument("--docs", action="store_true", help="write the table into docs/targets.md")
    options = parser.parse_args()
    rows = []
    for runtime, replay in RUNTIMES.items():
        print(f"{runtime} ...", file=sys.stderr)
        try:
            with tempfile.TemporaryDirectory() as scratch:
                row = replay(options.bundles, Path(scratch))
        except (AbsentError, DeploymentError) as error:
            row = Row(runtime, "", absent=str(error))
            print(f"  not run: {error}", file=sys.stderr)
        rows.append(row)
    host = dataclasses.asdict(describe_machine("onnxruntime"))
    text = "\n".join(page(rows, host)) + "\n"
    print(text)
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        record = {"schema": SCHEMA, "machine": host, "runtimes": [dataclasses.asdict(row) for row in rows]}
        write_atomically(options.out / "targets.json", f"{json.dumps(record, indent=1)}\n".encode())
        write_atomically(options.out / "targets.md", text.encode())
    if options.docs:
        before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
        _, _, after = rest.partition(END)
        write_atomically(PAGE, f"{before}{BEGIN}{text}{END}{after}".encode())
    held = all(one.share <= 1 and one.digit_flips == 0 for row in rows for one in row.replays)
    return 0 if held else 1


def page(rows: Sequence[Row], host: dict[str, Any]) -> Iterator[str]:
    """The table and what is to be said of it."""
    body = [
        ["runtime", "bundles", "fp32: max \\|logit error\\|", "int8: share of its limit", "digits, extremes flipped"]
    ]
    body[0] += [f"`{name}`" for name in TIMED]
    for row in rows:
        if not row.replays:
            continue
        fp32 = [one.max_logit_error for one in row.replays if not one.name.endswith("-int8")]
        int8 = [one.share for one in row.replays if one.name.endswith("-int8")]
        times = {one.name: one.ms for one in row.replays}
        flips = f"{sum(one.digit_flips for one in row.replays)}, {sum(one.extreme_flips for one in row.replays)}"
        shown = [f"{times[name]:.2g} ms" if name in times else "" for name in TIMED]
        error, share = f"{max(fp32, default=0):.1e}", f"{max(int8, default=0):.2f}"
        body.append([f"{row.runtime}, {row.version}", str(len(row.replays)), error, share, flips, *shown])
    yield from table(body, right=range(1, len(body[0])))
    yield ""
    instructions = ", ".join(host["int8_instructions"] or ()) or "no int8 instructions known"
    load = f"load average {host['load_average']} on {host['allowed_cpus']} CPUs"
    yield f"{host['cpu']}, {instructions}, one thread; {load}."
    yield "A flipped extreme is one that its bundle allows. Made by `python benchmarks/targets.py --docs`."
    for row in rows:
        if row.absent:
            yield f"Not run: {row.runtime}, because {row.absent}."
    for facts in (row.facts for row in rows if row.facts):
        first, slowest = facts["first_answer_s"], facts["slowest_first_answer_s"]
        spent = facts["first_answer_processor_s"]
        median, most = facts["answer_ms"], facts["answer_p95_ms"]
        yield ""
        yield f"The page: the first answer came {first:.2f} s after opening, {spent:.2f} s of"
        yield f"the processor (medians of {facts['opened']} pages, the largest {slowest:.2f}), further ones within"
        yield f"{median:.1f} ms (median of {facts['answers']}; 95 % within {most:.1f})."
        yield f"Of {facts['drawn']} digits drawn with pointer events on the page of `{ASKED}`, {facts['as_python']} got"
        yield f"Python's label for the same image, and {facts['right']} the digit that was meant. The files have"
        yield f"{facts['smallest_mb']:.2f} to {facts['largest_mb']:.2f} MB."


def in_python(names: Sequence[str], _: Path) -> Row:
    """The bundles as `edge verify` and `edge.load` run them."""
    return Row("Python", f"onnxruntime {version('onnxruntime')}", tuple(map(verified, map(shipped.locate, names))))


def in_ort_format(names: Sequence[str], scratch: Path) -> Row:
    """The same runtime with the bundles in ORT format."""
    paths = [registry.write("ort", shipped.info(name), scratch).paths[0] for name in names]
    return Row("ORT format", f"onnxruntime {version('onnxruntime')}", tuple(map(verified, paths)))


def verified(path: Path | str) -> Replayed:
    """The steps in this process, and the time of a run."""
    source = bundle.read(path)
    outcome = verification.verify(path, provider="cpu")
    outcome.raise_if_failed()
    running = session.create(source.data, provider="cpu", threads=1, manifest=source.manifest)
    image = source.evidence.images[:1]
    times = []
    for _ in range(WARM_UP + ROUNDS):
        began = time.perf_counter()
        running.run(image)
        times.append(time.perf_counter() - began)
    ms = statistics.median(times[WARM_UP:]) * 1e3
    return told(source.manifest.name, outcome.steps[-1].detail, ms)


def told(name: str, detail: str, ms: float) -> Replayed:
    """What the line of a replay says."""
    found = FOUND.search(detail)
    assert found is not None, detail
    error, allowed = float(found["error"]), float(found["allowed"])
    return Replayed(name, error, error / allowed, int(found["digits"]), int(found["extremes"]), ms)


def in_node(names: Sequence[str], scratch: Path) -> Row:
    """onnxruntime-web in Node, by edge.mjs."""
    node = shutil.which("node")
    if node is None:
        raise AbsentError("Node is not installed")
    own = resources.files("edge_export.targets") / "javascript"
    for name in ("edge.mjs", "replay.mjs"):
        (scratch / name).write_bytes((own / name).read_bytes())
    for name, content in web_runtime.files().items():
        (scratch / name).write_bytes(content)
    lines = asked([node, scratch / "replay.mjs", scratch, *map(shipped.locate, names)])
    replays = tuple(told(one["name"], one["steps"][-1]["detail"], one["ms"]) for one in lines)
    node_version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    return Row("Node", f"{node_version}, onnxruntime-web {web_runtime.VERSION}", replays)


def in_cpp(names: Sequence[str], scratch: Path) -> Row:
    """edge.hpp over ONNX Runtime's C++ interface, by replay.cpp."""
    own = resources.files("edge_export.targets") / "cplusplus"
    for name in cpp.SOURCES:
        (scratch / name).write_bytes((own / name).read_bytes())
    program = cpp_toolchain.build(scratch, "replay")
    lines = asked([program, "--json", *map(shipped.locate, names)])
    replays = tuple(told(one["name"], one["steps"][-1]["detail"], one["ms"]) for one in lines)
    return Row("C++", f"onnxruntime {lines[0]['onnxruntime']}", replays)


def in_triton(names: Sequence[str], scratch: Path) -> Row:
    """A Triton server of nvidia-pytriton, over HTTP."""
    python = os.environ.get("EDGE_TRITON")
    if not python:
        raise AbsentError("$EDGE_TRITON names no Python with nvidia-pytriton and tritonclient")
    for name in names:
        registry.write("triton", shipped.info(name), scratch)
    script = ROOT / "tests" / "export" / "targets" / "triton_server.py"
    found = [one for one in asked([python, script, scratch / "triton", *names]) if one["protocol"] == "http"]
    replays = []
    for one in found:
        extremes = one["flips"] - one["digit_flips"]
        figures = (one["max_logit_error"], one["share"], one["digit_flips"], extremes, one["ms"])
        replays.append(Replayed(one["name"], *figures))
    return Row("Triton", f"{found[0]['server']}, Python backend, HTTP", tuple(replays))


def asked(words: Sequence[str | Path]) -> list[dict[str, Any]]:
    """The lines of JSON that a program prints."""
    surroundings = {**os.environ, "PYTHONPATH": str(ROOT / "runtime")}
    done = subprocess.run([*map(str, words)], capture_output=True, text=True, check=False, env=surroundings)
    if done.returncode:
        raise SystemExit(f"{words[0]} failed: {done.stderr[-2000:]}")
    return [json.loads(line) for line in done.stdout.splitlines()]


def in_page(names: Sequence[str], scratch: Path) -> Row:
    """The page in Chromium: opened from the disk, drawn on, and asked to verify itself."""
    driving = browser_driver()
    if driving.CHROMIUM is None or driving.DRIVER is None:
        raise AbsentError(driving.MISSING)
    runtime = web_runtime.files()
    replays, firsts, spent, sizes, asked_page = [], [], [], [], {}
    strokes, labels = pen_paths()
    with driving.browser(scratch / "profile") as window:
        agent = window.run("return navigator.userAgent")
        for name in names:
            path = scratch / f"{name}.html"
            path.write_bytes(html.page(shipped.info(name), runtime))
            sizes.append(path.stat().st_size / 1e6)
            began = processor_seconds()
            window.open(path.as_uri())
            window.wait_for(lambda: window.run("return !document.querySelector('#verify').hidden"))
            window.draw("#pad", strokes[0])  # there is a pad, but no model yet: the answer comes as soon as there is
            window.wait_for(lambda: window.run(COUNT))
            first, took = window.run(ANSWERS)[0]
            firsts.append((first + took) / 1e3)
            spent.append(processor_seconds() - began)
            answer(window, strokes[1])
            times = [duration for _, duration in window.run(ANSWERS)[2:]]
            window.run("document.querySelector('#verify').click()")
            window.wait_for(lambda name=name: window.text("#report").startswith(f"{name}: verified"))
            replays.append(told(name, window.text("#report"), statistics.median(times)))
            if name == ASKED:
                asked_page = drawn(window, name, strokes, labels)
            print(
                f"  {name}: first answer after {firsts[-1]:.2f} s, {spent[-1]:.2f} s of the processor", file=sys.stderr
            )
    browser = re.search(r"Chrome/(\d+)", agent)
    facts = {
        "first_answer_s": statistics.median(firsts),
        "slowest_first_answer_s": max(firsts),
        "first_answer_processor_s": statistics.median(spent),
        "opened": len(firsts),
        "smallest_mb": min(sizes),
        "largest_mb": max(sizes),
        **asked_page,
    }
    return Row(
        "page", f"Chromium {browser[1] if browser else agent}", tuple(replays), facts=facts if asked_page else {}
    )


def drawn(window: Any, name: str, strokes: list[Drawing], labels: Sequence[int]) -> dict[str, Any]:  # noqa: ANN401 - the tests' own
    """All digits drawn, and the labels compared with Python's on the image that the page shows."""
    classifier = edge.load(name, provider="cpu")
    as_python = right = 0
    before = window.run(COUNT)
    for each, label in zip(strokes, labels, strict=True):
        shown = answer(window, each)
        image = np.array(window.run(IMAGE), np.uint8).reshape(28, 28)
        as_python += shown == classifier.predict_image(image).label
        right += shown == str(label)
    times = [duration for _, duration in window.run(ANSWERS)[before:]]
    return {
        "drawn": len(strokes),
        "as_python": as_python,
        "right": right,
        "answers": len(times),
        "answer_ms": statistics.median(times),
        "answer_p95_ms": float(np.quantile(times, 0.95)),
    }


def answer(window: Any, strokes: Drawing) -> str:  # noqa: ANN401 - the tests' own
    """What the page says of a drawing, after the last point of it was answered."""
    window.run("document.querySelector('#clear').click()")
    window.wait_for(lambda: window.text("#label") == "")
    window.draw("#pad", strokes)
    settled = 0
    while (count := window.run(COUNT)) != settled:  # each point is asked about, the last one answers last
        settled = count
        time.sleep(0.05)
    return str(window.text("#label"))


def processor_seconds() -> float:
    """What all processes that this one started have taken: a browser has many, and a busy machine makes them wait."""
    facts = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            words = path.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
            facts[int(path.parent.name)] = (int(words[1]), int(words[11]) + int(words[12]))
    ours = {os.getpid()}
    while more := {process for process, (parent, _) in facts.items() if parent in ours} - ours:
        ours |= more
    return sum(facts[process][1] for process in ours - {os.getpid()}) / os.sysconf("SC_CLK_TCK")


def pen_paths() -> tuple[list[Drawing], list[int]]:
    """Digits as the stroke generator moves its pen, and what they are."""
    labels = np.arange(DRAWN) % 10
    writing = write(labels, Dice(np.random.default_rng(SEED).random((DRAWN, 128))), 64)
    drawings = []
    for path, joined in zip(writing.positions, writing.joined, strict=True):
        placed = 0.15 + 0.7 * (path - path.min(0)) / np.ptp(path, axis=0).max()
        drawings.append([stroke[::POINTS].tolist() for stroke in np.split(placed, np.flatnonzero(~joined) + 1)])
    return drawings, labels.tolist()


def browser_driver() -> ModuleType:
    """The driver of Chromium that the tests use."""
    place = ROOT / "tests" / "runtime" / "service" / "browser.py"
    specification = importlib.util.spec_from_file_location("browser", place)
    assert specification is not None
    assert specification.loader is not None
    driving = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(driving)
    return driving


RUNTIMES: dict[str, Callable[[Sequence[str], Path], Row]] = {
    "Python": in_python,
    "ORT format": in_ort_format,
    "C++": in_cpp,
    "Node": in_node,
    "page": in_page,
    "Triton": in_triton,
}

if __name__ == "__main__":
    sys.exit(main())
