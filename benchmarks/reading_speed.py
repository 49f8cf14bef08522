"""What reading a picture costs: against decoding it, for the two ends of what people bring.

    python benchmarks/reading_speed.py [--model NAME-or-FILE] [--seconds S]

A phone's 12-megapixel JPEG should not take much longer from file to label than Pillow takes to decode it in full (edge
decodes at a fraction of the size where the format allows it), and a 28x28 PNG should cost next to nothing before the
model. Everything runs in turns in one process, so that noise meets all alike: ratios count, not milliseconds. The
pictures are drawn by the stroke generator.

The last line is one JSON document with all of it.
"""

import argparse
import io
import json
import sys
import time
from collections.abc import Callable

import host
import numpy as np
from PIL import Image

import edge
from edge.picture import preprocessing
from edge.text.table import aligned
from edge_train import strokes

SCHEMA = "edge.reading-speed/1"
SEED = 40_001
PHONE = (4000, 3000)  # pixels
WARM_UP = 2
LEAST_ROUNDS = 5


def main() -> int:
    """Times everything in turns."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="lstm-int8", help="a shipped name or a bundle")
    parser.add_argument("--seconds", type=float, default=20, help="for each of the two groups")
    arguments = parser.parse_args()
    classifier = edge.load(arguments.model, provider="cpu", threads=1)
    photo = {f"12 MP {name}": content for name, content in photos().items()}
    tasks: dict[str, Callable[[], object]] = {}
    for name, content in photo.items():
        tasks[f"{name}: Pillow decodes it in full"] = lambda content=content: decoded(content)
        tasks[f"{name}: file to label"] = lambda content=content: classifier.predict(content)
    small = {f"28x28 PNG {name}": content for name, content in smalls().items()}
    quick = {name: lambda content=content: preprocessing.read(content) for name, content in small.items()}
    results = timed(tasks, arguments.seconds) | timed(quick, arguments.seconds)
    rows = [("", "p50 ms", "p90 ms", "runs", "times the decode")]
    for name, times in results.items():
        whole = results.get(name.replace("file to label", "Pillow decodes it in full"))
        ratio = f"{np.median(times) / np.median(whole):.2f}" if whole is not None and whole is not times else ""
        middle, high = np.percentile(times, (50, 90)) * 1000
        rows.append((name, f"{middle:.3f}", f"{high:.3f}", str(len(times)), ratio))
    for line in aligned(rows):
        print(line)
    percentiles = {
        name: dict(zip(("p50_s", "p90_s", "p99_s"), np.percentile(times, (50, 90, 99)).tolist(), strict=True))
        for name, times in results.items()
    }
    print(json.dumps({"schema": SCHEMA, "model": arguments.model, **machine(), "times": percentiles}))
    return 0


def photos() -> dict[str, bytes]:
    """One photo of a page at a phone's size, in the formats of phones and scanners."""
    page = Image.fromarray(strokes.draw_page(5, seed=SEED, size=(PHONE[0] // 4, PHONE[1] // 4), shadow=True))
    large = page.resize(PHONE, Image.Resampling.BICUBIC)
    return {"JPEG": encoded(large, "JPEG", quality=90), "grey JPEG": encoded(large.convert("L"), "JPEG", quality=90)}


def smalls() -> dict[str, bytes]:
    """A digit as MNIST has it, dark on light, and one that is framed in another way."""
    images, _ = strokes.sample(1, seed=SEED)
    ready = Image.fromarray(images[0])
    moved = Image.fromarray(np.roll(255 - images[0], (3, 3), (0, 1)))
    return {
        "as MNIST's": encoded(ready, "PNG"),
        "as MNIST's, dark on light": encoded(Image.fromarray(255 - images[0]), "PNG"),
        "dark on light, not in the middle": encoded(moved, "PNG"),
    }


def encoded(image: Image.Image, kind: str, **options: int) -> bytes:
    """The bytes of a picture file."""
    content = io.BytesIO()
    image.save(content, kind, **options)
    return content.getvalue()


def decoded(content: bytes) -> None:
    """Every pixel, as Pillow gives it."""
    with Image.open(io.BytesIO(content)) as image:
        image.load()


def timed(tasks: dict[str, Callable[[], object]], seconds: float) -> dict[str, list[float]]:
    """Seconds of each run of each task, in turns, until the time is up."""
    times: dict[str, list[float]] = {name: [] for name in tasks}
    rounds = 0
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or rounds < WARM_UP + LEAST_ROUNDS:
        for name, task in tasks.items():
            started = time.perf_counter()
            task()
            if rounds >= WARM_UP:
                times[name].append(time.perf_counter() - started)
        rounds += 1
    return times


def machine() -> dict[str, object]:
    """What the figures were measured on."""
    return {**host.machine(), "threads": 1, "warm_up": WARM_UP, "versions": host.versions()}


if __name__ == "__main__":
    sys.exit(main())
