"""One picture, or a few: what a device and a service have, from batch 1 on, against what they would have without edge.

    python benchmarks/single.py                                 all shipped models; some 20 minutes
    python benchmarks/single.py --models lstm --batch 1 16      one model, two batch sizes

Why: a device classifies one picture at a time, a service and a page of digits a few, and both are where a runtime's own
cost counts most and where the form of a graph that is best in bulk may be the worst. Speed in bulk says nothing of it.
So every batch size from 1 on has a row here, and none is left out because it is unflattering.

All ways run in turns in one process, with one thread each, on the same weights and images; their labels are compared
with those of the stock export. The processor time of the calling thread counts: other programs on the machine then
change little but the caches. (OpenVINO does a few percent of its work in threads of its own, which are not counted.)
`edge.bench.turns` says how times are taken and what the error of a ratio is.

Progress goes to stderr, the page in Markdown to stdout. `--out DIR` writes single.json (schema edge.single/1) and
single.md.
"""

import argparse
import dataclasses
import functools
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import peers_runtimes
import single_page
import stock_exports
import torch
from numpy.typing import NDArray
from peers_runtimes import Peer
from stock_exports import StockExports

import edge
from edge.bench.results import describe_machine
from edge.bench.turns import Series, Turn, compare, thread_clock, time_in_turns
from edge.bundle import bundle, shipped
from edge.bundle.input import NAME, OUTPUTS
from edge.session import session
from edge.text.files import write_atomically
from edge_train import strokes

SCHEMA = "edge.single/1"
MODELS = ("lstm", "bilstm", "gru", "rnn", "rnn-relu", "lstm-20", "cnn", "cnn-16k")
BATCHES = (1, 2, 4, 8, 12, 16, 24, 32, 64, 256)
SEED = 4711
PACKAGES = ("torch", "onnx", "openvino")

ROUNDS, BULK_ROUNDS = 24, 12
BULK_FROM = 64  # images: calls take milliseconds, and fewer rounds see as much
# Sessions are made anew so often, because where their memory lies moves a ratio by up to 10 %: edge's fp32 LSTM came to
# 0.86, 0.93 and 1.08 times the stock export at batch 64 in three processes, which have the same operator.
MAKINGS = 4
WARM_UP_ROUNDS = 2
# The first call of a burst brings the weights back into the cache that the others took, and is not timed.
BURST = Turn(seconds=0.01, warmup_calls=1, most_calls=30)

_LOGITS = (OUTPUTS[0],)
BASELINE = "stock"
PEERS = {BASELINE: "default", "stock int8": "stock int8", "OpenVINO": "openvino", "OpenVINO int8": "openvino int8"}
"""Ways without edge, as `peers_runtimes.PEERS` calls them."""

Ready = dict[str, Callable[[], Any]]


def main() -> int:
    """Measures, prints and writes."""
    options = _options()
    torch.set_num_threads(1)
    where = describe_machine(*PACKAGES)
    images, _ = strokes.sample(max(options.batch), seed=SEED)
    models = []
    with tempfile.TemporaryDirectory(prefix="edge-single-") as folder:
        for name in options.models:
            say(f"{name}: export, quantise")
            source = stock_exports.stock_exports(name, Path(folder))
            rows = [row for batch in options.batch for row in batch_rows(source, images[:batch], options.rounds)]
            say(f"{name}: what stands around a session")
            around = [interface(bundle_name, images[:1], options.rounds) for bundle_name in bundles_of(name)]
            models.append({"model": name, "rows": rows, "interface": around})
    document = {
        "schema": SCHEMA,
        "machine": dataclasses.asdict(where),
        "settings": {
            "threads": 1,
            "clock": "processor time of the calling thread",
            "rounds": options.rounds,
            "makings": MAKINGS,
            "bulk_rounds": min(options.rounds, BULK_ROUNDS),
            "warm_up_rounds": WARM_UP_ROUNDS,
            "burst_seconds": BURST.seconds,
            "baseline": BASELINE,
        },
        "models": models,
    }
    page = single_page.markdown(document)
    print(page)
    if options.out is not None:
        options.out.mkdir(parents=True, exist_ok=True)
        write_atomically(options.out / "single.json", (json.dumps(document, indent=1) + "\n").encode())
        write_atomically(options.out / "single.md", page.encode())
        say(f"written to {options.out}")
    return 0


def bundles_of(model: str) -> list[str]:
    """The shipped bundles of a model, fp32 first."""
    return [name for name in (model, f"{model}-int8") if name in shipped.names()]


def batch_rows(source: StockExports, images: NDArray[np.uint8], rounds: int) -> list[dict[str, Any]]:
    """A row for each way at one batch size."""
    batch = len(images)
    timed: dict[str, Series] = {}
    for _ in range(MAKINGS):
        ready, failures = without_edge(source, images)
        ready |= with_edge(source.name, images)
        labels = {way: np.asarray(run()).argmax(1) for way, run in ready.items()}
        found = timings(ready, -(-(rounds if batch < BULK_FROM else min(rounds, BULK_ROUNDS)) // MAKINGS))
        for way, series in found.items():
            timed.setdefault(way, Series()).rounds += series.rounds
    say(f"{source.name}, batch {batch}: {timed[BASELINE].median_us() / batch:.1f} us an image by the stock export")
    rows: list[dict[str, Any]] = [{"way": way, "batch": batch, "failure": why} for way, why in failures.items()]
    for way, series in timed.items():
        ratio = compare(timed[BASELINE].medians(), series.medians())
        rows.append(
            {
                "way": way,
                "batch": batch,
                "us_per_image": series.median_us() / batch,
                "ratio": ratio.value,
                "error": ratio.error,
                "to_fp32": compare(timed[single_page.FP32].medians(), series.medians()).value,
                "flips": int((labels[way] != labels[BASELINE]).sum()),
            }
        )
    return rows


def without_edge(source: StockExports, images: NDArray[np.uint8]) -> tuple[Ready, dict[str, str]]:
    """What a user has without edge, ready to run on these images; and why some are not."""
    ready: Ready = {}
    failures = {}
    for way, name in PEERS.items():
        made = peers_runtimes.made(name, source, len(images))
        if isinstance(made, Peer):
            ready[way] = functools.partial(made.run, made.prepare(images))
        else:
            failures[way] = made
    return ready, failures


def with_edge(model: str, images: NDArray[np.uint8]) -> Ready:
    """The shipped bundles of a model, each as a session that gives logits, as the stock export, and as a classifier."""
    ready: Ready = {}
    for name in bundles_of(model):
        source = bundle.read(shipped.locate(name))
        running = session.create(source.data, provider="cpu", threads=1, manifest=source.manifest)
        classifier = edge.load(name, provider="cpu", threads=1)
        precision = source.manifest.precision
        ready[f"edge {precision}"] = lambda fetch=running.fetch: fetch(_LOGITS, images)[0]
        ready[f"edge {precision}, Classifier"] = functools.partial(classifier.classify, images)
    return ready


def interface(name: str, image: NDArray[np.uint8], rounds: int) -> dict[str, Any]:
    """What each call around a session takes for one image, as a multiple of the bare session's run.

    The bare session is ONNX Runtime's own with default options, and fetches what `Session.run` fetches; fetching the
    logits alone says what the other outputs cost.
    """
    bare = stock_exports.default_session(shipped.locate(name))
    classifier = edge.load(name, provider="cpu", threads=1)
    running = session.create(classifier.bundle.data, provider="cpu", threads=1, manifest=classifier.manifest)
    feed, alone = {NAME: image}, image[0]
    calls: Ready = {
        single_page.BARE: lambda: bare.run(["logits", "probabilities"], feed),
        "logits only": lambda: bare.run(["logits"], feed),
        "every output": lambda: bare.run(None, feed),
        "Session.run": lambda: running.run(image),
        "classify": lambda: classifier.classify(image),
        "predictions": lambda: classifier.predictions(image),
        "predict_image": lambda: classifier.predict_image(alone),
    }
    timed = timings(calls, rounds)
    base = timed[single_page.BARE].medians()
    ratios = {call: compare(series.medians(), base) for call, series in timed.items()}
    return {
        "bundle": name,
        "us": {call: series.median_us() for call, series in timed.items()},
        "ratio": {call: ratio.value for call, ratio in ratios.items()},
        "error": {call: ratio.error for call, ratio in ratios.items()},
    }


def timings(calls: Ready, rounds: int) -> dict[str, Series]:
    """All calls in turns."""
    return time_in_turns(calls, rounds=rounds, warmup_rounds=WARM_UP_ROUNDS, turn=BURST, clock=thread_clock())


def say(line: str) -> None:
    """Tells what is going on."""
    print(line, file=sys.stderr, flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=MODELS, choices=MODELS, metavar="NAME", help="shipped models")
    parser.add_argument("--batch", nargs="+", type=int, default=BATCHES, metavar="N", help="images a call")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="bursts of each way")
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder for single.json and single.md")
    options = parser.parse_args()
    if min(options.batch) < 1 or options.rounds < 1:
        parser.error("--batch and --rounds need numbers from 1 on")
    return options


if __name__ == "__main__":
    sys.exit(main())
