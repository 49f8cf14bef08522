"""Throughput: many images on every core, and a folder of small pictures from the disk to JSON lines.

Why: tools promise a fast model and then feed it from one core, in batches that suit nobody. Two questions are asked
here. How many images a second does `Classifier.classify` manage, against ONNX Runtime's default session with its own
threads at batch 256? And is `edge predict FOLDER --json`, with decoding, model and output, as fast as only decoding the
folder with Pillow?

    python benchmarks/throughput.py [--model lstm] [--rounds 9] [--idx t10k-images-idx3-ubyte.gz]

Candidates take turns, forwards and backwards, after a round that warms up; ratios are medians of each round's ratio.
The second part runs in fresh processes, starting included. Images are shifted strokes out of a bundle's evidence, or
those of an IDX file such as MNIST's.
"""

import argparse
import gzip
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from PIL import Image

import edge
from edge.bundle import bundle, shipped
from edge.session import profile

DEFAULT_BATCH = 256

PILLOW = """
import os
import sys
import numpy as np
from PIL import Image
for path in sorted(entry.path for entry in os.scandir(sys.argv[1])):
    np.asarray(Image.open(path))
"""
EDGE = "from edge.cli.main import main; main()"

Image28 = NDArray[np.uint8]


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
    classified, plans = classification(arguments.model, images, arguments.rounds, arguments.threads)
    read = folder(f"{arguments.model}-int8", images, arguments.rounds, arguments.threads)
    print(f"{len(images)} images, {arguments.rounds} rounds after 1 to warm up, {profile.machine()}")
    for title, seconds in (("classify", classified), ("folder of PNG files, in fresh processes", read)):
        print(f"\n{title:42}{'images/s':>10}{'p10':>8}{'p90':>8}{'us each':>9}{'times the first':>17}")
        for name, row in summary(seconds, len(images)).items():
            rates = f"{row['images_per_s']:10.0f}{row['p10']:8.0f}{row['p90']:8.0f}"
            print(f"{name:42}{rates}{row['us_per_image']:9.1f}{row['times']:17.2f}")
    document = {
        "benchmark": "throughput",
        "version": 1,
        "machine": profile.machine(),
        "python": sys.version.split()[0],
        "model": arguments.model,
        "images": len(images),
        "rounds": arguments.rounds,
        "threads": arguments.threads,
        "plans": plans,
        "classify": summary(classified, len(images)),
        "folder": summary(read, len(images)),
    }
    print(json.dumps(document))


def strokes(count: int) -> Image28:
    """Images like MNIST's: the drawn digits of a bundle's evidence, moved about by up to two pixels."""
    evidence = bundle.read(shipped.locate(shipped.DEFAULT)).evidence
    drawn = evidence.images[[kind.startswith("stroke ") for kind in evidence.kinds]]
    random = np.random.default_rng(0)
    moves = random.integers(-2, 3, (count, 2)).tolist()
    return np.stack([np.roll(drawn[index % len(drawn)], move, (0, 1)) for index, move in enumerate(moves)])


def read_idx(path: Path) -> Image28:
    """The images of an IDX file of uint8 (N, 28, 28)."""
    data = path.read_bytes()
    data = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
    return np.frombuffer(data, np.uint8, offset=16).reshape(-1, 28, 28)


def classification(
    model: str, images: Image28, rounds: int, threads: int | None
) -> tuple[dict[str, list[float]], dict[str, dict[str, object]]]:
    """Seconds for all images: the default session of the fp32 bundle, then `classify` of both bundles."""
    default = onnxruntime.InferenceSession(shipped.locate(model).read_bytes(), providers=["CPUExecutionProvider"])
    loaded = {name: edge.load(name, provider="cpu", threads=threads) for name in (model, f"{model}-int8")}

    def by_default() -> None:
        for start in range(0, len(images), DEFAULT_BATCH):
            default.run(["probabilities"], {"image": images[start : start + DEFAULT_BATCH]})

    candidates: dict[str, Callable[[], object]] = {f"default session, {model}, batch {DEFAULT_BATCH}": by_default}
    for name, classifier in loaded.items():
        candidates[f"classify, {name}"] = lambda classifier=classifier: classifier.classify(images)
    plans = {
        name: {"chunk_images": it.batching.chunk_images, "threads": it.batching.threads, "source": it.batching.source}
        for name, it in loaded.items()
    }
    return in_turns(candidates, rounds), plans


def folder(model: str, images: Image28, rounds: int, threads: int | None) -> dict[str, list[float]]:
    """Seconds from start to end of a process that decodes the pictures with Pillow, or predicts them."""
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

        seconds = in_turns(
            {"np.asarray(Image.open(path)), one core": decode, f"edge predict --json, {model}": predict}, rounds
        )
        records = [json.loads(line) for line in lines.read_text(encoding="utf-8").splitlines()]
    if [Path(record["path"]).stem for record in records] != [f"{index:05}" for index in range(len(images))]:
        raise SystemExit("edge predict left pictures out, or changed their order")
    return seconds


def in_turns(candidates: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each candidate in each round; the first round warms up and is left out."""
    seconds: dict[str, list[float]] = {name: [] for name in candidates}
    for turn in range(rounds + 1):
        for name in list(candidates) if turn % 2 else reversed(candidates):
            started = time.perf_counter()
            candidates[name]()
            seconds[name].append(time.perf_counter() - started)
    return {name: row[1:] for name, row in seconds.items()}


def summary(seconds: dict[str, list[float]], images: int) -> dict[str, dict[str, float]]:
    """Images a second, with percentiles, and how many times the first candidate's."""
    first = next(iter(seconds.values()))
    results = {}
    for name, row in seconds.items():
        rates = sorted(images / each for each in row)
        results[name] = {
            "images_per_s": statistics.median(rates),
            "p10": rates[len(rates) // 10],
            "p90": rates[len(rates) * 9 // 10],
            "us_per_image": statistics.median(row) / images * 1e6,
            "times": statistics.median(base / each for base, each in zip(first, row, strict=True)),
        }
    return results


if __name__ == "__main__":
    main()
