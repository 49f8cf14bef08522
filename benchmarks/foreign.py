"""What `edge export` makes of models as people write them: what each needs, seconds, peak memory, and int8 candidates.

Why: a tool for anybody's model is judged by the models of others. The models are those of `tests/export/wild`, each
exported on its command line from its own class and checkpoint, in a process of its own that is forked from one that has
imported everything. Times are processor seconds, so that a busy machine does not count; memory is the process's largest
resident set, of which what was imported takes most.

    python benchmarks/foreign.py                            # all models, fp32
    python benchmarks/foreign.py --quantize NAME NAME ...   # these, with the table of int8 candidates
"""

import argparse
import contextlib
import dataclasses
import importlib.util
import io
import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch

from edge.bench.results import describe_machine
from edge.classifier import classifier
from edge.cli.main import main as edge
from edge_export import pipeline
from edge_train import strokes

COLLECTION = Path(__file__).parents[1] / "tests" / "export" / "wild" / "collection.py"
IMAGES, SEED = 200, 41  # drawn digits that the bundle and the module are both asked
KILOBYTES_A_MEGABYTE = 1024

IMPORTED = (pipeline,)  # what every process begins with, because the first one has it


def collection() -> ModuleType:
    """The module that holds the models."""
    spec = importlib.util.spec_from_file_location("wild_collection", COLLECTION)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def export(wild: ModuleType, name: str, *, quantize: bool) -> dict[str, Any]:
    """Exports a model in this process and tells what came of it."""
    model, net = wild.WILD[name], wild.made(name)
    images, _ = strokes.sample(IMAGES, seed=SEED)
    with torch.no_grad():
        expected = model.answers(net, images).double().numpy()
    torch.save(model.save(net.state_dict()), "weights.ckpt")
    words = ["--model", f"{wild.MODULES}/{model.model}", "--checkpoint", "weights.ckpt", "--data", "strokes"]
    words += [*model.options, *(["--quantize", "--force"] if quantize else [])]
    sys.argv = ["edge", "export", *words, "--out", "out"]
    said = io.StringIO()
    begun = time.process_time()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            edge()
            code = 0
        except SystemExit as end:
            code = int(end.code or 0)
    seconds = time.process_time() - begun
    if code:
        return {"name": name, "failed": said.getvalue().strip().splitlines()[-1], "cpu_seconds": round(seconds, 2)}
    (path,) = Path("out").glob("*.onnx")
    report = json.loads(next(Path("out").glob("*.report.json")).read_text(encoding="utf-8"))
    found = model.said(torch.from_numpy(classifier.load(path, provider="cpu").logits(images))).double().numpy()
    return {
        "name": name,
        "options": " ".join(model.options),
        "layout": report["manifest"]["preparation"]["layout"],
        "exporter": report["exporter"],
        "nodes": report["nodes_fp32"],
        "error": float(np.abs(found - expected).max()),
        "flips": int((found.argmax(1) != expected.argmax(1)).sum()),
        "cpu_seconds": round(seconds, 2),
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // KILOBYTES_A_MEGABYTE,
        "method": report["manifest"]["method"],
        "verdict": report["manifest"]["int8_verdict"],
        "candidates": [
            {
                "name": one["name"],
                "gain": one["gain"],
                "passed": one["passed"],
                "flips": max(row["flips"] for row in one["parity"] if row["data"] != "extremes"),
                "size": one["size_bytes"] / one["fp32_size_bytes"],
            }
            for one in report["candidates"]
        ],
    }


def forked(wild: ModuleType, name: str, *, quantize: bool) -> dict[str, Any]:
    """Exports a model in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "result.json"
        child = os.fork()
        if child == 0:
            try:
                os.chdir(folder)
                result.write_text(json.dumps(export(wild, name, quantize=quantize)), encoding="utf-8")
            except BaseException as error:  # noqa: BLE001 - the parent tells it, the child only ends
                result.write_text(json.dumps({"name": name, "failed": repr(error)}), encoding="utf-8")
            os._exit(0)
        os.waitpid(child, 0)
        done: dict[str, Any] = json.loads(result.read_text(encoding="utf-8"))
        return done


def table(rows: Sequence[dict[str, Any]]) -> list[str]:
    """What each model needed and gave, as Markdown."""
    lines = ["| model | options | takes | nodes | largest error | CPU s | peak MB |", "|---|---|---|---|---|---|---|"]
    for row in rows:
        if "failed" in row:
            lines.append(f"| {row['name']} | {row['failed']} | | | | | |")
            continue
        options = f"`{row['options']}`" if row["options"] else ""
        lines.append(
            f"| {row['name']} | {options} | `{row['layout']}` | {row['nodes']} | {row['error']:.1e} "
            f"| {row['cpu_seconds']:.1f} | {row['peak_mb']} |"
        )
    return lines


def candidate_table(rows: Sequence[dict[str, Any]]) -> list[str]:
    """The int8 candidates of each model, as Markdown: times as good as fp32, and what became of them."""
    lines = [
        "| model | candidate | bytes | one picture | many | flips of 2000 | |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        if "failed" in row:
            lines.append(f"| {row['name']} | all | | | | | refused: {row['failed'].removeprefix('edge: ')} |")
        for one in row.get("candidates", []):
            outcome = "refused" if not one["passed"] else "taken" if one["name"] == row["method"] else ""
            gain = one["gain"]
            lines.append(
                f"| {row['name']} | {one['name']} | {one['size']:.0%} | {gain['latency']:.2f} "
                f"| {gain['throughput']:.2f} | {one['flips']} | {outcome} |"
            )
    return lines


def main() -> None:
    """Exports the models that are named, all without a name, and prints the tables and one JSON document."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="of models in tests/export/wild/collection.py")
    parser.add_argument("--quantize", action="store_true", help="with int8 candidates")
    parser.add_argument("--json", type=Path, help="where the JSON document goes")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    wild = collection()
    rows = []
    for name in arguments.names or wild.WILD:
        rows.append(forked(wild, name, quantize=arguments.quantize))
        print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
    print("\n".join(candidate_table(rows) if arguments.quantize else table(rows)))
    document = {"machine": dataclasses.asdict(describe_machine("torch", "onnx")), "models": rows}
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
