"""Cold start: one picture to one label in a fresh process, the way a script on a device runs.

Why: on a device a model is often started for a single picture, and then almost all of the time is spent on importing.
`edge predict` checks every byte of its bundle, reads any picture and words its errors; this says what that costs beside
the shortest script that uses ONNX Runtime, and beside the same in PyTorch. The last table says where the time goes.

    python benchmarks/cold_start.py [--model lstm-int8] [--rounds 15]

The programs take turns (`edge.bench.turns` says how they are compared). A first run of each warms up: it fills the file
cache and writes the bytecode, which is left to Python even where the environment says otherwise. Peak memory is the
largest resident set that the system reports; this process imports nothing large, because a child starts with its
parent's.
"""

import argparse
import dataclasses
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from edge.bench.results import describe_machine
from edge.bench.turns import compare, take_turns
from edge.text.table import aligned

ROOT = Path(__file__).resolve().parent.parent
CHECKPOINT = ROOT / "train" / "edge_train" / "checkpoints" / "lstm.safetensors"

EDGE = "from edge.cli.main import main; main()"
BARE = """
import sys
import numpy as np
import onnxruntime
from PIL import Image
session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
image = np.asarray(Image.open(sys.argv[2]).convert("L"))[None]
print(session.run(["probabilities"], {"image": image})[0][0].argmax())
"""
TORCH = """
import sys
import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file
weights = load_file(sys.argv[1])
lstm, head = torch.nn.LSTM(28, 128, batch_first=True), torch.nn.Linear(128, 10)
for module, prefix in ((lstm, "recurrent."), (head, "head.")):
    own = {key.removeprefix(prefix): value for key, value in weights.items() if key.startswith(prefix)}
    module.load_state_dict(own)
image = torch.from_numpy(np.array(Image.open(sys.argv[2]).convert("L"))).float().div(255)[None]
with torch.inference_mode():
    print(int(head(lstm(image)[0][:, -1]).argmax()))
"""
PICTURE = """
import sys
from PIL import Image
from edge.bundle import bundle, shipped
source = bundle.read(shipped.locate(sys.argv[1]))
drawn = [kind.startswith("stroke ") for kind in source.evidence.kinds].index(True)
Image.fromarray(source.evidence.images[drawn]).save(sys.argv[2])
print(source.path)
"""
GROUPS = ("numpy", "PIL", "onnxruntime", "typer", "edge")


def main() -> None:
    """Measures, prints a table, and ends with one JSON document."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="lstm-int8", help="a shipped bundle")
    parser.add_argument("--rounds", type=int, default=15)
    arguments = parser.parse_args()
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    where = describe_machine("pillow")
    with tempfile.TemporaryDirectory() as folder:
        picture = str(Path(folder) / "digit.png")
        bundle = output([sys.executable, "-c", PICTURE, arguments.model, picture], environment).strip()
        programs = {
            "bare script": [sys.executable, "-c", BARE, bundle, picture],
            "edge predict": [sys.executable, "-c", EDGE, "predict", picture, "--model", arguments.model],
            "torch script": [sys.executable, "-c", TORCH, str(CHECKPOINT), picture],
        }
        programs = {name: program for name, program in programs.items() if runs(name, program, environment)}
        runs_of: dict[str, list[dict[str, float]]] = {name: [] for name in programs}
        for _, name in take_turns(list(programs), rounds=arguments.rounds):
            runs_of[name].append(measure(programs[name], environment))
        imports = {name: imported(programs[name], environment) for name in ("bare script", "edge predict")}
    results = {name: summary(runs, runs_of["bare script"]) for name, runs in runs_of.items()}
    print(f"{arguments.model}, {arguments.rounds} rounds after 1 to warm up, {where.cpu}, Python {where.python}")
    rows = [("", "wall ms", "times", "CPU ms", "times", "MB", "times")]
    for name, row in results.items():
        figures = (f"{row['wall_ms']:.0f}", f"{row['cpu_ms']:.0f}", f"{row['peak_mb']:.1f}")
        times = [f"{row[f'{quantity}_ratio']:.2f}" for quantity in ("wall", "cpu", "peak")]
        rows.append((name, *(cell for pair in zip(figures, times, strict=True) for cell in pair)))
    print("\n".join(aligned(rows, right=range(1, 7))))
    rows = [("imports, ms, least of the runs", *GROUPS, "others")]
    rows += [(name, *(f"{groups[group]:.1f}" for group in (*GROUPS, "others"))) for name, groups in imports.items()]
    print("\n".join(["", *aligned(rows, right=range(1, 7))]))
    document = {"benchmark": "cold_start", "version": 2, "model": arguments.model, "rounds": arguments.rounds}
    print(json.dumps({**document, "machine": dataclasses.asdict(where), "results": results, "imports_ms": imports}))


def output(program: list[str], environment: dict[str, str]) -> str:
    """What a program prints; its failure ends the benchmark."""
    return subprocess.run(program, env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout


def runs(name: str, program: list[str], environment: dict[str, str]) -> bool:
    """Warms up; false for a torch script on a machine without torch."""
    done = subprocess.run(program, env=environment, capture_output=True, text=True, check=False)
    if done.returncode and name != "torch script":
        raise SystemExit(f"{name} failed: {done.stderr}")
    if done.returncode:
        print(f"left out: {name} ({done.stderr.strip().splitlines()[-1]})", file=sys.stderr)
    return done.returncode == 0


def measure(program: list[str], environment: dict[str, str]) -> dict[str, float]:
    """One run: wall time, processor time, and peak memory where the system tells it."""
    started = time.perf_counter()
    process = subprocess.Popen(program, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    if not hasattr(os, "wait4"):  # Windows
        process.wait()
        return {"wall": time.perf_counter() - started, "cpu": float("nan"), "peak": float("nan")}
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    unit = 1 if sys.platform == "darwin" else 1024
    return {"wall": wall, "cpu": usage.ru_utime + usage.ru_stime, "peak": usage.ru_maxrss * unit}


def summary(runs: list[dict[str, float]], bases: list[dict[str, float]]) -> dict[str, float]:
    """Medians, and how many times those of the bare script in the same rounds."""
    ratios = {key: compare([run[key] for run in runs], [base[key] for base in bases]) for key in bases[0]}
    return {
        "wall_ms": statistics.median(run["wall"] * 1e3 for run in runs),
        "cpu_ms": statistics.median(run["cpu"] * 1e3 for run in runs),
        "peak_mb": statistics.median(run["peak"] / 1e6 for run in runs),
        **{f"{key}_ratio": ratio.value for key, ratio in ratios.items()},
        **{f"{key}_ratio_error": ratio.error for key, ratio in ratios.items()},
    }


def imported(program: list[str], environment: dict[str, str], times: int = 5) -> dict[str, float]:
    """Milliseconds that the modules of each package take to import, without those that they import themselves."""
    least: dict[str, float] = {}
    for _ in range(times):
        done = subprocess.run(
            [program[0], "-X", "importtime", *program[1:]], env=environment, capture_output=True, text=True, check=True
        )
        for own, module in re.findall(r"^import time:\s+(\d+) \|\s+\d+ \|\s*(\S+)$", done.stderr, re.MULTILINE):
            least[module] = min(least.get(module, float("inf")), int(own) / 1e3)
    groups = dict.fromkeys((*GROUPS, "others"), 0.0)
    for module, own_ms in least.items():
        top = module.partition(".")[0]
        groups[top if top in GROUPS else "others"] += own_ms
    return groups


if __name__ == "__main__":
    main()
