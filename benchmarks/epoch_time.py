"""What variation costs: the time of one epoch of each model with plain pictures, with varied ones, and with all of it.

Why: varied pictures are what makes a model right on photos, and whoever trains pays for them at each epoch. The
variants take turns in one process, on one thread, and the processor time of that thread counts: other programs on the
machine then change little but the caches. A part of the epoch is run and the whole computed from it.

    python benchmarks/epoch_time.py [--models lstm gru] [--images 4096] [--rounds 3] [--out FILE.json]
"""

import argparse
import dataclasses
import functools
import json
from pathlib import Path
from typing import Any

import torch

from edge.bench.results import describe_machine
from edge.bench.turns import Series, compare, take_turns, thread_clock, time_turn
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
    where = describe_machine("torch")
    epochs = {model: epoch_times(model, options.images, options.rounds) for model in options.models}
    rows = [("model", *VARIANTS, "digits / plain", "pictures / plain")]
    for model, series in epochs.items():
        costs = [compare(series[variant].medians(), series["plain"].medians()) for variant in ("digits", "pictures")]
        rows.append(
            (
                model,
                *(f"{seconds(series[variant], options.images):.1f} s" for variant in VARIANTS),
                *(f"{cost.value:.2f}" for cost in costs),
            )
        )
    print("\n".join(table.aligned(rows, right=range(1, len(rows[0])))))
    document = {
        "schema": "edge.epoch-time/2",
        "command": f"python benchmarks/epoch_time.py --images {options.images} --rounds {options.rounds}",
        "machine": dataclasses.asdict(where),
        "models": {
            model: {variant: round(seconds(one, options.images), 2) for variant, one in series.items()}
            for model, series in epochs.items()
        },
    }
    if options.out:
        write_atomically(options.out, (json.dumps(document, indent=2, sort_keys=True) + "\n").encode())


def epoch_times(model: str, images: int, rounds: int) -> dict[str, Series]:
    """The processor time of training on so many images once, by variant; what prepares it is not part of it."""
    pixels, labels = strokes.sample(images, seed=5)
    split = Split("strokes-training", pixels, labels)
    few = Split("strokes-validation", pixels[:10], labels[:10])
    cpu, clock = torch.device("cpu"), thread_clock()
    found = {variant: Series() for variant in VARIANTS}
    for number, variant in take_turns(list(VARIANTS), rounds=rounds, warmup_rounds=1):
        recipe = dataclasses.replace(recipes.named("best", model), **VARIANTS[variant], epochs=1, strokes=0.0)
        state = loop.begin(networks.build(specification.named(model)), recipe, cpu)
        path = checkpoint.shipped(recipe.teacher) if recipe.teacher else None
        data = TrainingData(split, few, teacher=checkpoint.load(path).model() if path else None)
        epoch = functools.partial(loop.run, state, recipe, data, device=cpu)
        time_turn(epoch, found[variant] if number >= 1 else Series(), clock=clock)
    return found


def seconds(series: Series, images: int) -> float:
    """Of a whole epoch, from its part with so many images."""
    return series.median_us() / 1e6 / images * EPOCH


if __name__ == "__main__":
    main()
