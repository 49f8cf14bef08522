"""What variation costs: the time of one epoch of each model with plain pictures, with varied ones, and with all of it.

The variants take turns in one process, on one thread, and the processor time of that thread counts: other programs on
the machine then change little but the caches. A part of the epoch is run and the whole computed from it.

    python benchmarks/epoch_time.py [--models lstm gru] [--images 4096] [--rounds 3] [--out FILE.json]
"""

import argparse
import dataclasses
import json
import statistics
import time
from pathlib import Path
from typing import Any

import host
import torch

from edge.text import table
from edge.text.files import write_atomically
from edge_train import strokes
from edge_train.data.splits import Split
from edge_train.models import (
    networks,
    specification,
)
from edge_train.training import (
    checkpoint,
    loop,
    recipes,
)
from edge_train.training.loop import TrainingData

EPOCH = 55_000  # MNIST's training images without the validation split
SHIPPED = ("lstm", "gru", "bilstm", "rnn", "rnn-relu", "lstm-20", "cnn", "cnn-16k")
VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {"augmentation": "none", "teacher": "", "averaging": 0.0},
    "digits": {"augmentation": "digits", "teacher": "", "averaging": 0.0},
    "pictures": {"augmentation": "pictures", "teacher": "", "averaging": 0.0},
    "best": {},
}


def main() -> None:
    """Measures, prints a table and writes the document."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=SHIPPED)
    parser.add_argument("--images", type=int, default=4096)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    document = {
        "schema": "edge.epoch-time/1",
        "command": f"python benchmarks/epoch_time.py --images {options.images} --rounds {options.rounds}",
        "machine": host.machine(),
        "versions": host.versions(),
        "models": {model: seconds(model, options.images, options.rounds) for model in options.models},
    }
    rows = [("model", *VARIANTS, "digits / plain", "pictures / plain")]
    for model, epoch in document["models"].items():  # type: ignore[attr-defined]
        shares = [f"{epoch[variant] / epoch['plain']:.2f}" for variant in ("digits", "pictures")]
        rows.append((model, *(f"{epoch[variant]:.1f} s" for variant in VARIANTS), *shares))
    print("\n".join(table.aligned(rows)))
    if options.out:
        write_atomically(options.out, (json.dumps(document, indent=2, sort_keys=True) + "\n").encode())


def seconds(model: str, images: int, rounds: int) -> dict[str, float]:
    """Processor seconds of one epoch of a model, by variant: the median of the rounds."""
    pixels, labels = strokes.sample(images, seed=5)
    split = Split("strokes-training", pixels, labels)
    few = Split("strokes-validation", pixels[:10], labels[:10])
    taken: dict[str, list[float]] = {variant: [] for variant in VARIANTS}
    for _ in range(rounds):
        for variant, dials in VARIANTS.items():
            recipe = dataclasses.replace(recipes.named("best", model), **dials, epochs=1, strokes=0.0)
            state = loop.begin(networks.build(specification.named(model)), recipe, torch.device("cpu"))
            path = checkpoint.shipped(recipe.teacher) if recipe.teacher else None
            material = TrainingData(split, few, teacher=checkpoint.load(path).model() if path else None)
            started = time.thread_time()
            ignore = {"on_progress": lambda _: None, "on_epoch": lambda _: None}
            loop.run(state, recipe, material, device=torch.device("cpu"), **ignore)  # type: ignore[arg-type]
            taken[variant].append((time.thread_time() - started) / images * EPOCH)
    return {variant: round(statistics.median(times), 2) for variant, times in taken.items()}


if __name__ == "__main__":
    main()
