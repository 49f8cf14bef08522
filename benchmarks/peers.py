"""edge beside its peers: the same weights and images, one process, in turns.

    python3 dev.py bench                                        all of it, into runs/peers
    .venv/bin/python benchmarks/peers.py --models lstm --quick  one model, in a minute

Whoever chooses a runtime asks what it costs against what they have: torch, the export of the tutorials, another
engine. Such figures from different pages do not compare: other machines, weights, threads. Here every peer has the same
weights and one thread, whose processor time counts, and runs between the others (`edge.bench.turns`); its labels are
checked against torch's on the images of the run, because a fast wrong answer is none. The last row is what this machine
could do at best. Many images with all threads are timed by the wall clock.

Progress goes to stderr, the tables to stdout, and after them one JSON document (schema edge.peers/2). `--out DIR`
writes peers.json, peers.md, peers.png and peers.svg.
"""

import argparse
import dataclasses
import json
import shlex
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import limits
import numpy as np
import peers_chart
import peers_page
import peers_runtimes
import stock_exports
import torch
from numpy.typing import NDArray
from peers_runtimes import BASELINE, PEERS, REFERENCE, Peer
from stock_exports import StockExports

import edge
from edge.bench.results import describe_machine
from edge.bench.turns import Turn, compare, percentile, thread_clock, time_in_turns
from edge.bundle import shipped
from edge.bundle.input import COLUMNS, ROWS
from edge.errors import EdgeError
from edge.text.files import write_atomically
from edge_train import strokes
from edge_train.data import published
from edge_train.data.splits import DataError

SCHEMA = "edge.peers/2"
SHIPPED = ("lstm", "gru", "rnn", "rnn-relu", "bilstm", "lstm-20", "cnn", "cnn-16k")
BATCHES = (1, 256)
ROUNDS, QUICK_ROUNDS = 15, 3
WARM_UP_ROUNDS = 2
# A burst is long enough for a percentile of short calls, and short enough that a round sees one machine. Its first call
# brings the peer's weights back into the cache that the others took, and is not timed.
BURST = Turn(seconds=0.02, warmup_calls=1, most_calls=30)
CHECKED_IMAGES, QUICK_CHECKED_IMAGES = 2048, 256  # multiples of the usual batch, which some peers have fixed
BULK_IMAGES, QUICK_BULK_IMAGES = 10_000, 2000
BULK_BATCH = 256
STROKES_SEED = 3
PACKAGES = ("torch", "onnx", "openvino", "tract", "ncnn", "pnnx")


@dataclasses.dataclass(frozen=True, slots=True)
class Data:
    """The images of the run: uint8 (N, 28, 28), ink 255 on background 0, and their labels int64 (N,)."""

    name: str
    images: NDArray[np.uint8]
    labels: NDArray[np.int64]


def main() -> int:
    """Measures, prints and writes."""
    options = _options()
    torch.set_num_threads(1)
    started = time.monotonic()
    try:
        data = images(QUICK_BULK_IMAGES if options.quick else BULK_IMAGES)
        document = measured(options, data)
    except (EdgeError, FileNotFoundError) as error:
        print(f"peers: {error}", file=sys.stderr)
        return 1
    document["seconds"] = round(time.monotonic() - started)
    print(peers_page.terminal(document))
    text = json.dumps(document, indent=1) + "\n"
    print(text, end="")
    if options.out is not None:
        write(document, text, options.out)
    return 0


def images(count: int) -> Data:
    """MNIST's test images where they are, otherwise drawn strokes."""
    try:
        test = published.load_test("mnist", fetch=False)
    except DataError:
        drawn, labels = strokes.sample(count, seed=STROKES_SEED)
        return Data("strokes", drawn, labels)
    return Data(test.name, test.images[:count], test.labels[:count])


def measured(options: argparse.Namespace, data: Data) -> dict[str, Any]:
    """The whole run as one document."""
    checked = QUICK_CHECKED_IMAGES if options.quick else CHECKED_IMAGES
    rounds = options.rounds or (QUICK_ROUNDS if options.quick else ROUNDS)
    around = describe_machine(*PACKAGES)
    machine_limits = limits.measure()
    models: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="edge-peers-") as folder:
        for name in options.models:
            say(f"{name}: export, quantise")
            source = stock_exports.stock_exports(name, Path(folder))
            rows = [row for batch in options.batch for row in one_batch(source, batch, data, checked, rounds)]
            say(f"{name}: all threads, {len(data.images)} images")
            bulk = in_bulk(source, data, rounds)
            machine_limits = limits.better(limits.measure(), machine_limits)
            models.append({"model": name, "peers": rows, "bulk": bulk, "flop": limits.flop(source.specification)})
    for model in models:
        fp32, int8 = limits.bounds_us(model["flop"], machine_limits)
        model["bound"] = {"flop": model.pop("flop"), "fp32_us": fp32, "int8_us": int8}
    return {
        "schema": SCHEMA,
        "command": shlex.join(["python", *sys.argv]),
        "machine": dataclasses.asdict(around),
        "settings": {
            "threads": 1,
            "clock": "processor time of the calling thread; the wall clock for many images with all threads",
            "rounds": rounds,
            "warm_up_rounds": WARM_UP_ROUNDS,
            "burst_seconds": BURST.seconds,
            "images": data.name,
            "checked_images": checked,
            "bulk_images": len(data.images),
            "baseline": BASELINE,
            "reference": REFERENCE,
        },
        "limits": machine_limits,
        "models": models,
    }


def one_batch(source: StockExports, batch: int, data: Data, checked: int, rounds: int) -> Iterator[dict[str, Any]]:
    """A row for each peer at one batch size: its times per image, and how its labels differ from torch's."""
    say(f"{source.name}, batch {batch}: make the peers")
    made = {peer: peers_runtimes.made(peer, source, batch) for peer in PEERS}
    ready = {peer: one for peer, one in made.items() if isinstance(one, Peer)}
    whole = max(batch, checked // batch * batch)  # peers with fixed shapes take whole batches only
    given, truth = np.resize(data.images, (whole, ROWS, COLUMNS)), np.resize(data.labels, whole)
    say(f"{source.name}, batch {batch}: check the answers of {len(ready)} peers")
    logits = {peer: logits_of(one, given, batch) for peer, one in ready.items()}
    wanted = logits[REFERENCE].argmax(1)
    tasks = {}
    for peer, one in ready.items():
        feed = one.prepare(given[:batch])
        tasks[peer] = lambda run=one.run, feed=feed: run(feed)
    say(f"{source.name}, batch {batch}: {rounds} rounds")
    timings = time_in_turns(tasks, rounds=rounds, warmup_rounds=WARM_UP_ROUNDS, turn=BURST, clock=thread_clock())
    for peer, found in made.items():
        row: dict[str, Any] = {"peer": peer, "batch": batch}
        if isinstance(found, str):
            yield {**row, "failure": found}
            continue
        calls, labels = timings[peer].ordered(), logits[peer].argmax(1)
        ratio = compare(timings[BASELINE].medians(), timings[peer].medians())
        p90 = percentile(calls, 900)
        yield {
            **row,
            "p50_us": timings[peer].median_us() / batch,
            "p90_us": None if p90 is None else p90 / 1e3 / batch,
            "ratio": ratio.value,
            "ratio_error": ratio.error,
            "calls": len(calls),
            "logits_max_error": float(np.abs(logits[peer] - logits[REFERENCE]).max()),
            "flips": int((labels != wanted).sum()),
            "images": whole,
            "accuracy": float((labels == truth).mean()),
            "size_bytes": found.size_bytes,
        }


def logits_of(peer: Peer, given: NDArray[np.uint8], batch: int) -> NDArray[np.float32]:
    """The logits (N, 10) of every image, in batches of that size; N is a multiple of it."""
    parts = []
    for start in range(0, len(given), batch):
        answer = peer.run(peer.prepare(given[start : start + batch]))
        parts.append(np.asarray(answer, np.float32).copy())  # some peers write the next answer into the same memory
    return np.concatenate(parts)


def in_bulk(source: StockExports, data: Data, rounds: int) -> list[dict[str, Any]]:
    """Many images with the threads that each side takes by itself: the default session in batches, edge in one call."""
    session = stock_exports.default_session(source.exported, threads=None)
    values = stock_exports.floats(data.images)

    def default() -> NDArray[np.float32]:
        starts = range(0, len(values), BULK_BATCH)
        return np.concatenate([session.run(None, {"image": values[at : at + BULK_BATCH]})[0] for at in starts])

    bundles = {"edge": source.name, "edge int8": f"{source.name}-int8"}
    shipped_names = shipped.names()
    classifiers = {peer: edge.load(name, provider="cpu") for peer, name in bundles.items() if name in shipped_names}
    tasks: dict[str, Any] = {BASELINE: default}
    for peer, classifier in classifiers.items():
        tasks[peer] = lambda classify=classifier.classify: classify(data.images)
    labels = {peer: np.asarray(task()).argmax(1) for peer, task in tasks.items()}
    timings = time_in_turns(tasks, rounds=max(1, rounds // 3), warmup_rounds=1)
    return [
        {
            "peer": peer,
            "images_per_s": len(data.images) / timing.median_us() * 1e6,
            "ratio": compare(timings[BASELINE].medians(), timing.medians()).value,
            "flips": int((labels[peer] != labels[BASELINE]).sum()),
            "accuracy": float((labels[peer] == data.labels).mean()),
        }
        for peer, timing in timings.items()
    ]


def write(document: dict[str, Any], text: str, folder: Path) -> None:
    """The document, the page and the picture, into one folder."""
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / "peers.json", text.encode())
    write_atomically(folder / "peers.md", peers_page.markdown(document).encode())
    try:
        peers_chart.draw(document, folder)
    except ModuleNotFoundError as error:
        say(f"no picture: {error.name} is not installed; install it with: pip install 'edge-toolkit[bench]'")
    say(f"written to {folder}")


def say(line: str) -> None:
    """Tells what is going on."""
    print(line, file=sys.stderr, flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=SHIPPED, choices=SHIPPED, metavar="NAME", help="shipped models")
    parser.add_argument("--batch", nargs="+", type=int, default=BATCHES, metavar="N", help="images a call")
    parser.add_argument("--rounds", type=int, help=f"bursts of each peer; otherwise {ROUNDS}, {QUICK_ROUNDS} if quick")
    parser.add_argument("--quick", action="store_true", help="few rounds and images: to see that all works")
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder for peers.json, peers.md, peers.png, peers.svg")
    options = parser.parse_args()
    if min(options.batch) < 1 or (options.rounds is not None and options.rounds < 1):
        parser.error("--batch and --rounds need numbers from 1 on")
    return options


if __name__ == "__main__":
    sys.exit(main())
