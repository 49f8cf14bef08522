"""What another provider of ONNX Runtime makes of every shipped bundle: whether it runs it, how exactly, and how fast.

    python benchmarks/providers.py --provider openvino          all shipped bundles beside the CPU; two minutes

Why: a provider says that it can run a model long before it does, leaves to the CPU, without a word, what it has no
kernels for, and computes in another precision. So each bundle is verified on it, its errors stand beside those of the
CPU, and the two are timed in turns, at one image and at many.

Needs edge and NumPy only, and an ONNX Runtime with that provider, in an environment of its own: see docs/devices.md.
The clock is the processor time of the process, all threads included, or with `--wall` the time that passes, which is
the one for providers that compute elsewhere. Progress goes to stderr, the table in Markdown to stdout; `--out FILE`
writes a JSON document (schema edge.providers/1).
"""

import argparse
import dataclasses
import json
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import edge
from edge.bench.results import describe_machine
from edge.bench.turns import WALL, Clock, Turn, compare, time_in_turns
from edge.bundle import bundle, shipped
from edge.errors import EdgeError
from edge.session import providers, session
from edge.text.files import write_atomically
from edge.text.table import markdown

SCHEMA = "edge.providers/1"
BATCHES = (1, 64)
ROUNDS = 16
BURST = Turn(seconds=0.02, warmup_calls=1, most_calls=200)


def main() -> int:
    """Measures, prints and writes."""
    options = _options()
    where = describe_machine()
    clock: Clock = WALL if options.wall else time.process_time_ns
    rows = []
    for name in options.bundles:
        rows.append(row(name, options.provider, options.settings, rounds=options.rounds, clock=clock))
        say(f"{name}: {told(rows[-1])}")
    document = {
        "schema": SCHEMA,
        "machine": dataclasses.asdict(where),
        "settings": {
            "provider": options.provider,
            "provider_options": options.settings,
            "threads": 1,
            "clock": "wall" if options.wall else "processor time of the process",
            "rounds": options.rounds,
        },
        "bundles": rows,
    }
    print("\n".join(table(rows, options.provider)))
    if options.out is not None:
        write_atomically(options.out, (json.dumps(document, indent=1) + "\n").encode())
    return 0


def row(
    name: str, provider: str, settings: Mapping[str, str], *, rounds: int = ROUNDS, clock: Clock = WALL
) -> dict[str, Any]:
    """What a provider makes of one shipped bundle, beside the CPU."""
    on_cpu = facts(name, "cpu", {})
    there = facts(name, provider, settings)
    found = {"bundle": name, "cpu": on_cpu, "provider": there}
    if there["refused"] is None:
        found["speed"] = [speed(name, provider, settings, batch, rounds=rounds, clock=clock) for batch in BATCHES]
    return found


def facts(name: str, provider: str, settings: Mapping[str, str]) -> dict[str, Any]:
    """What `edge verify` finds on one provider."""
    outcome = edge.verify(shipped.locate(name), provider, provider_options=settings)
    figures = {key: value for step in outcome.steps for key, value in step.figures.items()}
    failed = outcome.failed
    kept = ("nodes", "nodes_elsewhere", "max_logit_error", "max_logit_error_allowed", "flips", "digit_flips")
    return {
        "verified": outcome.passed,
        "refused": failed.detail if failed is not None and failed.name == "load" else None,
        "failed": None if failed is None else f"{failed.name}: {failed.detail}",
        **{key: figures.get(key) for key in kept},
    }


def speed(
    name: str, provider: str, settings: Mapping[str, str], batch: int, *, rounds: int = ROUNDS, clock: Clock = WALL
) -> dict[str, float | int]:
    """Times one bundle on the CPU and on the provider in turns, with one thread."""
    source = bundle.read(shipped.locate(name))
    images = np.resize(source.evidence.images, (batch, *source.evidence.images.shape[1:]))
    asked: dict[str, tuple[str, Mapping[str, str]]] = {"cpu": ("cpu", {}), "there": (provider, settings)}
    calls = {}
    for key, (where, given) in asked.items():
        running = session.create(
            source.data, provider=where, threads=1, manifest=source.manifest, provider_options=given
        )
        calls[key] = lambda run=running.run: run(images)
    timed = time_in_turns(calls, rounds=rounds, warmup_rounds=2, turn=BURST, clock=clock)
    ratio = compare(timed["cpu"].medians(), timed["there"].medians())
    return {
        "batch": batch,
        "cpu_us": timed["cpu"].median_us(),
        "provider_us": timed["there"].median_us(),
        "times_as_fast": ratio.value,
        "error": ratio.error,
    }


def table(rows: Sequence[Mapping[str, Any]], provider: str) -> list[str]:
    """The rows as a table of Markdown."""
    head = ["bundle", "error, cpu", f"error, {provider}", "flips", *(f"batch {batch}, us" for batch in BATCHES)]
    cells = [head]
    for each in rows:
        there, on_cpu = each["provider"], each["cpu"]
        if there["refused"] is not None:
            cells.append([each["bundle"], _figure(on_cpu), _reason(there["refused"]), "", "", ""])
            continue
        speeds = [
            f"{one['cpu_us']:.0f} -> {one['provider_us']:.0f} ({one['times_as_fast']:.2f}x)" for one in each["speed"]
        ]
        flips = f"{on_cpu['flips']} -> {there['flips']}"
        state = _figure(there) if there["verified"] else f"{_figure(there)}, FAILS"
        cells.append([each["bundle"], _figure(on_cpu), state, flips, *speeds])
    return markdown(cells, right=range(1, len(head)))


def told(found: Mapping[str, Any]) -> str:
    """A row in one line, for the progress."""
    there = found["provider"]
    return "verified" if there["verified"] else str(there["failed"])


def _reason(refused: str) -> str:
    """What happened, in the fewest words."""
    happened = refused.partition("; ")[0]
    before, leaves, what = happened.partition("it leaves ")
    return f"leaves {what}" if leaves else before


def _figure(found: Mapping[str, Any]) -> str:
    error = found["max_logit_error"]
    return "-" if error is None else f"{error:.1e}"


def say(line: str) -> None:
    """Tells what is going on."""
    print(line, file=sys.stderr, flush=True)


def parsed_settings(words: Sequence[str]) -> dict[str, str]:
    """The settings of a provider, from words such as "device_type=GPU"."""
    return dict(word.split("=", 1) for word in words)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--provider", required=True, metavar="NAME", help="short name, such as openvino")
    parser.add_argument("--provider-option", nargs="+", default=[], metavar="KEY=VALUE", help="its settings")
    parser.add_argument("--bundles", nargs="+", default=shipped.names(), metavar="NAME", help="shipped bundles")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="bursts of each")
    parser.add_argument("--wall", action="store_true", help="time that passes, for what computes elsewhere")
    parser.add_argument("--out", type=Path, metavar="FILE", help="writes the document")
    options = parser.parse_args()
    try:
        options.settings = parsed_settings(options.provider_option)
        providers.check(options.provider, options.settings)
    except (EdgeError, ValueError) as error:
        parser.error(str(error))
    return options


if __name__ == "__main__":
    sys.exit(main())
