"""Published against reproduced: runs the recipes on MNIST and collects what they reached.

    python benchmarks/reproduce.py --recipe origin [--models lstm cnn] [--runs runs/origin]
    python benchmarks/reproduce.py --recipe best
    python benchmarks/reproduce.py --recipe fine-tuned   # from the runs of `best`; the teacher is the shipped cnn
    python benchmarks/reproduce.py --collect

Finished runs are not repeated: a folder of runs that is there already is only read. `--collect` trains nothing. Both
write `train/edge_train/training/reached.json`, which `edge train --list` shows, and print the tables of
docs/training.md.
"""

import argparse
import json
import statistics
from pathlib import Path
from typing import Any

from edge.bundle import bundle, shipped
from edge.text.files import write_atomically
from edge_train.models.specification import MODELS
from edge_train.training import recipes, trainer

ROOT = Path(__file__).resolve().parents[1]
REACHED = ROOT / "train" / "edge_train" / "training" / "reached.json"

# Three where a run takes less than three minutes on one core, otherwise one.
SEEDS: dict[str, int] = {"lstm": 3, "lstm-20": 3, "rnn-relu": 3, "cnn": 3}


def main() -> None:
    """Runs what is missing, collects, prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", choices=("origin", "best", recipes.FINE_TUNED))
    parser.add_argument("--models", nargs="+")
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--collect", action="store_true")
    options = parser.parse_args()
    if options.recipe and not options.collect:
        for model in options.models or recipes.tables()[options.recipe]:
            for seed in range(SEEDS.get(model, 1) if options.recipe == "origin" else 1):
                run(options.recipe, model, seed, options.runs / options.recipe)
    reached = collected(options.runs)
    write_atomically(REACHED, (json.dumps(reached, indent=2, sort_keys=True) + "\n").encode())
    print("\n".join([*origin_table(reached), "", *best_table(reached)]))


def run(recipe: str, model: str, seed: int, folder: Path) -> None:
    """One run, unless its folder holds a finished one; one of fine-tuning goes on from that of `best`."""
    name = f"{model}-seed{seed}"
    start = folder.parent / "best" / name / f"{name}.safetensors" if recipe == recipes.FINE_TUNED else None
    if not finished(folder / name / "metrics.json"):
        request = trainer.TrainingRequest(
            model,
            name=name,
            recipe=recipe,
            hyperparameters={"seed": seed},
            start=None if start is None else str(start),
            out=folder,
            threads=1,
        )
        print(trainer.summary(trainer.train(request)))


def finished(path: Path) -> dict[str, Any] | None:
    """The metrics of a finished run; None for others."""
    if not path.is_file():
        return None
    metrics: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return metrics if "accuracy" in metrics else None


def collected(folder: Path) -> dict[str, dict[str, dict[str, Any]]]:
    """What every recipe of every model reached, by the runs in a folder.

    A run counts for a recipe when its dials are the recipe's, the seed aside.
    """
    reached: dict[str, dict[str, dict[str, Any]]] = {}
    for recipe, of_models in recipes.tables().items():
        for model, dials in of_models.items():
            found = [
                metrics
                for path in sorted((folder / recipe).glob(f"{model}*/metrics.json"))
                if (metrics := finished(path)) and same(metrics, recipes.to_json(dials), model)
            ]
            if found:
                entry: dict[str, Any] = {
                    "validation": [accuracy(metrics, "validation") for metrics in found],
                    "test": [accuracy(metrics, "test") for metrics in found],
                }
                if model == "lstm-20" and recipe == "origin":  # its figure is of an early epoch
                    entry["validation_after_3_epochs"] = [
                        round(metrics["epochs"][2]["validation_accuracy"], 4) for metrics in found
                    ]
                reached.setdefault(recipe, {})[model] = entry
    return reached


def same(metrics: dict[str, Any], dials: dict[str, Any], model: str) -> bool:
    """Whether a run is one of this recipe and model, whatever its seed."""
    settings = metrics["settings"]
    named = settings["name"] == model or settings["name"].startswith(f"{model}-seed")
    return named and {**settings["recipe"], "seed": 0} == {**dials, "seed": 0}


def accuracy(metrics: dict[str, Any], split: str) -> float:
    """The accuracy of a run on a split, in [0, 1]."""
    return next(float(record["accuracy"]) for record in metrics["accuracy"] if record["split"] == split)


def origin_table(reached: dict[str, dict[str, dict[str, Any]]]) -> list[str]:
    """Published against reproduced, in Markdown."""
    lines = ["| model | published | reproduced (test) | runs | best of each, validation |", "|---|---|---|---|---|"]
    for model in recipes.tables()["origin"]:
        published = MODELS[model].published or "-"
        entry = reached.get("origin", {}).get(model)
        if entry is None:
            lines.append(f"| {model} | {published} | not run | 0 | |")
            continue
        test = statistics.mean(entry["test"])
        early = entry.get("validation_after_3_epochs")
        note = f", {statistics.mean(early):.2%} after 3 epochs (validation)" if early else ""
        validation = ", ".join(f"{value:.2%}" for value in entry["validation"])
        lines.append(f"| {model} | {published} | {test:.2%}{note} | {len(entry['test'])} | {validation} |")
    return lines


def best_table(reached: dict[str, dict[str, dict[str, Any]]]) -> list[str]:
    """What our recipes reached, before and after fine-tuning, and the shipped bundles, in Markdown."""
    lines = [
        "| model | best, validation | test | fine-tuned, validation | test | fp32, test | int8, test |",
        "|---|---|---|---|---|---|---|",
    ]
    for model, entry in reached.get("best", {}).items():
        tuned = reached.get(recipes.FINE_TUNED, {}).get(model)
        figures = [
            *(f"{one[split][0]:.2%}" if one else "-" for one in (entry, tuned) for split in ("validation", "test")),
            *(_bundle_accuracy(name) for name in (model, f"{model}-int8")),
        ]
        lines.append(f"| {model} | {' | '.join(figures)} |")
    return lines


def _bundle_accuracy(name: str) -> str:
    if name not in shipped.names():
        return "-"
    records = bundle.read(shipped.locate(name)).manifest.accuracy
    return next((f"{record.accuracy:.2%}" for record in records if record.split == "test"), "-")


if __name__ == "__main__":
    main()
