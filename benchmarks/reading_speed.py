"""What reading a picture costs: against decoding it, for the two ends of what people bring.

    python benchmarks/reading_speed.py [--model NAME-or-FILE] [--seconds S]

A phone's 12-megapixel JPEG should not take much longer from file to label than Pillow takes to decode it in full (edge
decodes at a fraction of the size where the format allows it), and a 28x28 PNG should cost next to nothing before the
model. Everything runs in turns in one thread, whose processor time counts; of the times, believe the ratios
(`edge.bench.turns`). The pictures are drawn by the stroke generator.

The last line is one JSON document with all of it.
"""

import argparse
import dataclasses
import io
import json
import sys
from collections.abc import Callable

import numpy as np
from PIL import Image

import edge
from edge.bench.results import describe_machine
from edge.bench.turns import PERCENTILES, compare, percentile, thread_clock, time_in_turns
from edge.picture import preprocessing
from edge.text.table import aligned
from edge_train import strokes

SCHEMA = "edge.reading-speed/2"
SEED = 40_001
PHONE = (4000, 3000)  # pixels
WARM_UP = 2
LEAST_ROUNDS = 5
DECODE, WHOLE = ": Pillow decodes it in full", ": file to label"


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
        tasks[name + DECODE] = lambda content=content: decoded(content)
        tasks[name + WHOLE] = lambda content=content: classifier.predict(content)
    small = {f"28x28 PNG {name}": content for name, content in smalls().items()}
    quick = {name: lambda content=content: preprocessing.read(content) for name, content in small.items()}
    where = describe_machine("pillow")
    effort = {"rounds": LEAST_ROUNDS, "warmup_rounds": WARM_UP, "seconds": arguments.seconds}
    series = {}
    for group in (tasks, quick):
        series |= time_in_turns(group, **effort, clock=thread_clock())
    rows = [("", "p50 ms", "p90 ms", "runs", "times the decode")]
    times = {}
    for name, one in series.items():
        ordered = one.ordered()
        found = {label: percentile(ordered, per_mille) for label, per_mille in PERCENTILES.items()}
        times[name] = {f"{label}_ms": None if ns is None else ns / 1e6 for label, ns in found.items()}
        decode = series.get(name.removesuffix(WHOLE) + DECODE) if name.endswith(WHOLE) else None
        ratio = f"{compare(one.medians(), decode.medians()).value:.2f}" if decode else ""
        high = times[name]["p90_ms"]
        rows.append(
            (name, f"{one.median_us() / 1e3:.3f}", "-" if high is None else f"{high:.3f}", str(len(ordered)), ratio)
        )
    print("\n".join(aligned(rows, right=range(1, 5))))
    document = {"schema": SCHEMA, "model": arguments.model, "machine": dataclasses.asdict(where), **effort}
    print(json.dumps({**document, "times": times}))
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


if __name__ == "__main__":
    sys.exit(main())
