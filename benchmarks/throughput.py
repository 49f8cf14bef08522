"""Throughput: many images on every core, and a folder of small pictures from the disk to JSON lines.

Why: tools promise a fast model and then feed it from one core, in batches that suit nobody. Two questions are asked
here. How many images a second does `Classifier.classify` manage, against ONNX Runtime's default session with its own
threads at batch 256? And is `edge predict FOLDER --json`, with decoding, model and output, as fast as only decoding the
folder with Pillow?

    python benchmarks/throughput.py [--model lstm] [--rounds 9] [--idx t10k-images-idx3-ubyte.gz]

Candidates take turns, by the wall clock, after a round that warms up (`edge.bench.turns` says how they are compared).
The second part runs in fresh processes, starting included. Images are shifted strokes out of a bundle's evidence, or
those of an IDX file such as MNIST's.
"""

import argparse
import dataclasses
import gzip
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from PIL import Image

import edge
from edge.bench.results import describe_machine
from edge.bench.turns import Series, compare, time_in_turns
from edge.bundle import bundle, shipped
from edge.bundle.input import COLUMNS, NAME, ROWS
from edge.text.table import aligned

DEFAULT_BATCH = 256
WARM_UP_ROUNDS = 1

PILLOW = """
import os
import sys
import numpy as np
from PIL import Image
for path in sorted(entry.path for entry in os.scandir(sys.argv[1])):
    np.asarray(Image.open(path))
"""
EDGE = "from edge.cli.main import main; main()"

Images = NDArray[np.uint8]


def main() -> None:
    """Measures, prints two tables, and ends with one JSON document."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="lstm", help="a shipped model; its fp32 and its int8 bundle are measured")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--threads", type=int, help="cores to use at most; all that the process may use without")
    parser.add_argument("--idx", type=Path, help="images in MNIST's file format, packed or not")
    arguments = parser.parse_args()
    images = read_idx(arguments.idx) if arguments.idx else strokes(arguments.images)
    images = images[: arguments.images]
    where = describe_machine("pillow")
    classified, plans = classification(arguments.model, images, arguments.rounds, arguments.threads)
    read = folder(f"{arguments.model}-int8", images, arguments.rounds, arguments.threads)
    parts = {"classify": summary(classified, len(images)), "folder": summary(read, len(images))}
    print(f"{len(images)} images, {arguments.rounds} rounds after {WARM_UP_ROUNDS} to warm up, {where.cpu}")
    for part in parts.values():
        rows = [("", "images/s", "us each", "times the first")]
        for name, row in part.items():
            times = f"{row['times']:.2f} +- {row['times'] * row['error']:.2f}"
            rows.append((name, f"{row['images_per_s']:,.0f}", f"{row['us_per_image']:.1f}", times))
        print("\n".join(["", *aligned(rows, right=range(1, 4))]))
    document = {
        "benchmark": "throughput",
        "version": 2,
        "machine": dataclasses.asdict(where),
        "model": arguments.model,
        "images": len(images),
        "rounds": arguments.rounds,
        "threads": arguments.threads,
        "plans": plans,
        **parts,
    }
    print(json.dumps(document))


def strokes(count: int) -> Images:
    """Images like MNIST's: the drawn digits of a bundle's evidence, moved about by up to two pixels."""
    evidence = bundle.read(shipped.locate(shipped.DEFAULT)).evidence
    drawn = evidence.images[[kind.startswith("stroke ") for kind in evidence.kinds]]
    random = np.random.default_rng(0)
    moves = random.integers(-2, 3, (count, 2)).tolist()
    return np.stack([np.roll(drawn[index % len(drawn)], move, (0, 1)) for index, move in enumerate(moves)])


def read_idx(path: Path) -> Images:
    """The images of an IDX file of uint8 (N, 28, 28)."""
    data = path.read_bytes()
    data = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
    return np.frombuffer(data, np.uint8, offset=16).reshape(-1, ROWS, COLUMNS)


def classification(
    model: str, images: Images, rounds: int, threads: int | None
) -> tuple[dict[str, Series], dict[str, dict[str, object]]]:
    """All images: the default session of the fp32 bundle, then `classify` of both bundles."""
    default = onnxruntime.InferenceSession(shipped.locate(model).read_bytes(), providers=["CPUExecutionProvider"])
    loaded = {name: edge.load(name, provider="cpu", threads=threads) for name in (model, f"{model}-int8")}

    def by_default() -> None:
        for start in range(0, len(images), DEFAULT_BATCH):
            default.run(["probabilities"], {NAME: images[start : start + DEFAULT_BATCH]})

    candidates: dict[str, Callable[[], object]] = {f"default session, {model}, batch {DEFAULT_BATCH}": by_default}
    for name, classifier in loaded.items():
        candidates[f"classify, {name}"] = lambda classifier=classifier: classifier.classify(images)
    plans = {
        name: {"chunk_images": it.batching.chunk_images, "threads": it.batching.threads, "source": it.batching.source}
        for name, it in loaded.items()
    }
    return time_in_turns(candidates, rounds=rounds, warmup_rounds=WARM_UP_ROUNDS), plans


def folder(model: str, images: Images, rounds: int, threads: int | None) -> dict[str, Series]:
    """From start to end of a process that decodes the pictures with Pillow, or predicts them."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    options = [] if threads is None else ["--threads", str(threads)]
    with tempfile.TemporaryDirectory() as place:
        pictures = Path(place) / "pictures"
        pictures.mkdir()
        for index, image in enumerate(images):
            Image.fromarray(image).save(pictures / f"{index:05}.png")
        lines = Path(place) / "lines.json"

        def decode() -> None:
            subprocess.run([sys.executable, "-c", PILLOW, str(pictures)], env=environment, check=True)

        def predict() -> None:
            command = [sys.executable, "-c", EDGE, "predict", str(pictures), "--json", "--model", model, *options]
            with lines.open("wb") as file:
                subprocess.run(command, env=environment, stdout=file, check=True)

        programs = {"np.asarray(Image.open(path)), one core": decode, f"edge predict --json, {model}": predict}
        series = time_in_turns(programs, rounds=rounds, warmup_rounds=WARM_UP_ROUNDS)
        records = [json.loads(line) for line in lines.read_text(encoding="utf-8").splitlines()]
    if [Path(record["path"]).stem for record in records] != [f"{index:05}" for index in range(len(images))]:
        raise SystemExit("edge predict left pictures out, or changed their order")
    return series


def summary(series: dict[str, Series], images: int) -> dict[str, dict[str, float]]:
    """Images a second, and how many times the first candidate's."""
    first = next(iter(series.values())).medians()
    results = {}
    for name, one in series.items():
        times = compare(first, one.medians())
        us = one.median_us() / images
        results[name] = {"images_per_s": 1e6 / us, "us_per_image": us, "times": times.value, "error": times.error}
    return results


if __name__ == "__main__":
    main()
