"""The whole path on a GPU, in one command of at most ten minutes: what works is shown, and what is refused says why.

    python benchmarks/gpu.py --out gpu.json        with onnxruntime-gpu; fp16 needs edge-toolkit[export] as well
    python benchmarks/gpu.py --provider cpu         as far as a CPU can go; so do its tests

Why: a GPU is rarely at hand, and then for minutes. Every step is taken whatever became of the one before; the exit code
is 0 where all that were taken hold. A step that this provider or this installation cannot take says so.

The document (schema edge.whole-path/1) goes to `--out`, a line a step to stdout. It was not run on a GPU yet.
"""

import argparse
import dataclasses
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import providers as beside_the_cpu

import edge
from edge.bench.results import describe_machine
from edge.bundle import bundle, shipped
from edge.errors import EdgeError, ProviderError
from edge.session import providers, session
from edge.text.files import write_atomically

SCHEMA = "edge.whole-path/1"
PICTURE = Path(__file__).resolve().parents[1] / "docs" / "pictures" / "seven.jpg"

# The logits of two fp32 sums in another order; TF32 has 10 bits, and must be off unless it is asked for.
FP32_TOLERANCE = 1e-4
SMALL_MEMORY_BYTES = 64 * 2**20  # of a GPU: a batch of a large model's size does not fit
HUGE_BATCH = 200_000
STREAM_RUNS = 20
EXPORT_SECONDS = 240
BENCH_BUNDLES = ("lstm", "cnn-16k")
FP32 = ("lstm", "gru", "cnn-16k")

Step = Callable[[str], dict[str, Any]]


class Untaken(Exception):  # noqa: N818 - no error: a step that is not for this place
    """A step cannot be taken here; the message says why."""


class Broken(Exception):  # noqa: N818 - it is what the step found
    """A step was taken, and does not hold; the message says what was found."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a step.

    Attributes:
        step: its name.
        state: "holds", "broken", or "not taken".
        told: what was found, in words; empty where the figures say it all.
        figures: what was measured.
        seconds: how long it took.
    """

    step: str
    state: str
    told: str
    figures: dict[str, Any]
    seconds: float


def main() -> int:
    """Takes all steps, prints and writes."""
    options = _options()
    outcomes = []
    for name in options.steps:
        outcomes.append(take(name, options.provider))
        one = outcomes[-1]
        print(
            f"{one.state:9}  {one.step:10}  {one.seconds:6.1f} s  {one.told or json.dumps(one.figures)[:160]}",
            flush=True,
        )
    document = {
        "schema": SCHEMA,
        "machine": dataclasses.asdict(describe_machine("torch")),
        "provider": options.provider,
        "steps": [dataclasses.asdict(one) for one in outcomes],
    }
    if options.out is not None:
        write_atomically(options.out, (json.dumps(document, indent=1) + "\n").encode())
    return int(any(one.state == "broken" for one in outcomes))


def take(name: str, provider: str) -> Outcome:
    """Takes one step; whatever becomes of it is the outcome."""
    begun = time.monotonic()
    state, told, figures = "holds", "", {}
    try:
        figures = STEPS[name](provider)
    except Untaken as error:
        state, told = "not taken", str(error)
    except (Broken, EdgeError) as error:
        state, told = "broken", str(error)
    return Outcome(name, state, told, figures, round(time.monotonic() - begun, 1))


def prove(provider: str) -> dict[str, Any]:
    """A session of one node."""
    providers.prove(provider)
    return {"provider": provider}


def predict(provider: str) -> dict[str, Any]:
    """A photo gets the label that the CPU gives it."""
    found = {name: edge.load(name, provider=provider).predict(PICTURE) for name in FP32}
    wanted = {name: edge.load(name, provider="cpu").predict(PICTURE).label for name in FP32}
    labels = {name: each.label for name, each in found.items()}
    if labels != wanted or any(each.provider != provider for each in found.values()):
        raise Broken(f"{labels} on {provider}, {wanted} on the CPU")
    return {"labels": labels}


def verify(provider: str) -> dict[str, Any]:
    """Every bundle that is made for the provider is verified there, and each other one is refused as it is loaded."""
    figures = {}
    for name in shipped.names():
        found = beside_the_cpu.facts(name, provider, {})
        made_for = provider in bundle.read(shipped.locate(name)).manifest.providers
        # What no manifest speaks of may refuse what it has no kernels for.
        refusable = provider not in {"cpu", "cuda"} or not made_for
        if not (found["verified"] or (refusable and found["refused"] is not None)):
            raise Broken(f"{name}: {found['failed']}")
        figures[name] = found["refused"] or found["max_logit_error"]
    return {"bundles": figures}


def parity(provider: str) -> dict[str, Any]:
    """fp32 logits of many images are the CPU's within the tolerance, one by one and in batches."""
    images = np.random.default_rng(3).integers(0, 256, (500, 28, 28), dtype=np.uint8)
    errors = {}
    for name in FP32:
        golden = bundle.read(shipped.locate(name)).evidence.images
        many = np.concatenate([golden, images])
        there, here = _session(name, provider), _session(name, "cpu")
        single = np.abs(there.run(golden[:1])[0] - here.run(golden[:1])[0]).max()
        errors[name] = float(max(single, np.abs(there.run(many)[0] - here.run(many)[0]).max()))
    if max(errors.values()) > FP32_TOLERANCE:
        raise Broken(f"logits are {errors} from the CPU's, allowed {FP32_TOLERANCE}")
    return {"max_difference": errors}


def tf32(provider: str) -> dict[str, Any]:
    """TF32 is off by default: with it, logits are further from the CPU's than without."""
    if provider != "cuda":
        raise Untaken("only CUDA has TF32")
    golden = bundle.read(shipped.locate("lstm")).evidence.images
    here = _session("lstm", "cpu").run(golden)[0]
    off, on = (
        float(np.abs(_session("lstm", provider, {"use_tf32": value} if value else {}).run(golden)[0] - here).max())
        for value in ("", "1")
    )
    if off > FP32_TOLERANCE:
        raise Broken(f"by default logits are {off:.1e} from the CPU's: TF32 is not off")
    return {"off_by_default": off, "on": on}


def fp16(provider: str) -> dict[str, Any]:
    """An fp16 export is verified on the provider."""
    try:
        import torch  # noqa: F401

        import edge_export  # noqa: F401
    except ImportError as error:
        raise Untaken("needs edge-toolkit[export]") from error
    with tempfile.TemporaryDirectory(prefix="edge-fp16-") as folder:
        command = [sys.executable, "-m", "edge", "export", "--model", "lstm", "--precision", "fp16", "--out", folder]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=EXPORT_SECONDS)
        if done.returncode != 0:
            raise Broken((done.stderr.strip().splitlines() or ["silent"])[-1])
        outcome = edge.verify(Path(folder) / "lstm-fp16.onnx", provider)
        if not outcome.passed:
            raise Broken(str(outcome.failed))
        return {"max_logit_error": outcome.steps[-1].figures["max_logit_error"]}


def placement(provider: str) -> dict[str, Any]:
    """No node runs elsewhere."""
    counts = {}
    for name in FP32:
        placed = session.placement(bundle.read(shipped.locate(name)).data, provider)
        counts[name] = len(placed)
        if strays := [node for node, where in placed.items() if where != provider]:
            raise Broken(f"{name}: {strays} ran elsewhere")
    return {"nodes": counts}


def streams(provider: str) -> dict[str, Any]:
    """Two sessions that run at once, and two threads on one of them, give what each gives alone."""
    golden = bundle.read(shipped.locate("lstm")).evidence.images
    first, second = _session("lstm", provider), _session("gru", provider)
    alone = {id(each): each.run(golden)[0] for each in (first, second)}
    work = [first, second, first] * STREAM_RUNS
    with ThreadPoolExecutor(3) as pool:
        answers = list(pool.map(lambda each: each.run(golden)[0], work))
    worst = max(float(np.abs(found - alone[id(each)]).max()) for each, found in zip(work, answers, strict=True))
    if worst > FP32_TOLERANCE:
        raise Broken(f"at once, logits are {worst:.1e} from what they are alone")
    return {"runs": len(work), "max_difference": worst}


def memory(provider: str) -> dict[str, Any]:
    """A batch that does not fit is an error of edge, and the session goes on."""
    if provider != "cuda":
        raise Untaken("only CUDA bounds its memory by a setting")
    running = _session("cnn-16k", provider, {"gpu_mem_limit": str(SMALL_MEMORY_BYTES)})
    try:
        running.run(np.zeros((HUGE_BATCH, 28, 28), np.uint8))
    except ProviderError as error:
        running.run(np.zeros((1, 28, 28), np.uint8))
        return {"told": str(error)}
    raise Broken(f"{HUGE_BATCH} images fitted into {SMALL_MEMORY_BYTES} bytes")


def bench(provider: str) -> dict[str, Any]:
    """Speed beside the CPU, by the time that passes."""
    return {
        name: [beside_the_cpu.speed(name, provider, {}, batch, rounds=8) for batch in (1, 64, 1024)]
        for name in BENCH_BUNDLES
    }


STEPS: dict[str, Step] = {
    "prove": prove,
    "predict": predict,
    "verify": verify,
    "parity": parity,
    "tf32": tf32,
    "fp16": fp16,
    "placement": placement,
    "streams": streams,
    "memory": memory,
    "bench": bench,
}


def _session(name: str, provider: str, settings: dict[str, str] | None = None) -> session.Session:
    source = bundle.read(shipped.locate(name))
    return session.create(
        source.data, provider=provider, threads=1, manifest=source.manifest, provider_options=settings
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--provider", default="cuda", metavar="NAME", help="short name")
    parser.add_argument("--steps", nargs="+", default=list(STEPS), choices=STEPS, metavar="STEP", help="which")
    parser.add_argument("--out", type=Path, metavar="FILE", help="writes the document")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
