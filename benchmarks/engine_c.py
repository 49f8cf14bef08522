"""Measures the C forms beside ONNX Runtime: what a model costs at a batch of one when it is a loop of its own.

Each shipped model is written by `edge export --to c`, compiled to a shared library by each compiler at hand and
measured in turns with the sessions of its fp32 and int8 bundles, on the same images, one at a time, in processor time
of this process. The address of an image is taken before: numpy needs 2 us for it, half of what lstm-20 does. Then
the library answers all of MNIST's test images: its bits are held to the referee's, its accuracy to that of the fp32
bundle, which is PyTorch's. The test set decides nothing here: it is reported.

    python benchmarks/engine_c.py [MODEL...] [--images 200] [--json FILE] [--emx PROGRAM]

`--emx` names the program of emx-onnx-cgen, in an environment of its own, whose C of the fp32 graph is measured as well.
"""

import argparse
import ctypes
import dataclasses
import json
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
from onnx.utils import Extractor

from edge.bench.results import describe_machine
from edge.bundle import shipped
from edge.bundle.bundle import Bundle
from edge.session import session
from edge.text.table import aligned
from edge_export.parity import evaluation_data
from edge_export.targets import registry
from edge_export.targets.c import network_of, referee
from edge_export.targets.registry import TargetRequest

MODELS = ("lstm", "bilstm", "gru", "rnn", "rnn-relu", "lstm-20", "cnn-16k", "cnn")
FLAGS = {" plain": ("-O3", "-march=native", "-DPLAIN"), "": ("-O3", "-march=native")}
ROUNDS = 15
WARM_UP = 20

Run = Callable[[int], object]  # answers one of the images


def library(compiler: str, flags: tuple[str, ...], source: Path, name: str | None = None) -> Callable[[int, int], None]:
    """The logits of one image, by address: no copy is made."""
    target = source.with_name(f"{source.stem}-{compiler}-{'-'.join(flags).replace('=', '')}.so")
    words = [compiler, "-std=c99", *flags, "-shared", "-fPIC", str(source), "-lm", "-o", str(target)]
    subprocess.run(words, check=True)
    function = getattr(ctypes.CDLL(str(target)), name or f"{source.stem}_logits")
    function.argtypes, function.restype = [ctypes.c_void_p, ctypes.c_void_p], None
    return function


def by_emx(program: Path, model: str, folder: Path) -> Path:
    """C of the fp32 graph by emx-onnx-cgen, with one image and the logits alone: its other parts it does not take."""
    graph = onnx.load_from_string(shipped.info(model).data)
    for _ in range(2):  # the shapes of what is left follow from one image
        for one in (*graph.graph.input, *graph.graph.output):
            one.type.tensor_type.shape.dim[0].dim_value = 1
        del graph.graph.value_info[:]
        graph = Extractor(onnx.shape_inference.infer_shapes(graph)).extract_model(["image"], ["logits"])
    source, target = folder / f"{model}.onnx", folder / f"emx_{model}.c"
    onnx.save(graph, source)
    inside = ["--large-weight-threshold", "0", "--large-temp-threshold", "0"]
    subprocess.run([program, "compile", *inside, source, target], check=True, capture_output=True)
    return target


def measure(
    model: str, images: np.ndarray, test: evaluation_data.Split | None, folder: Path, emx: Path | None = None
) -> dict[str, object]:
    """Figures of one model."""
    source = shipped.info(f"{model}-int8") if model.startswith("cnn") else shipped.info(model)
    written = {"int8": registry.write("c", source, folder, TargetRequest("int8")).paths[0]}
    written["fp32"] = registry.write("c", shipped.info(model), folder, TargetRequest("fp32")).paths[0]
    forms = [(f"c {precision}", path, None) for precision, path in written.items()]
    if emx is not None:
        forms.append(("emx fp32", by_emx(emx, model, folder), "model"))
    libraries = {
        f"{name} {compiler}{way}": library(compiler, flags, path, function)
        for name, path, function in forms
        for compiler in filter(shutil.which, ("gcc", "clang"))
        for way, flags in FLAGS.items()
        if name == "c int8" or way != " plain"
    }
    logits = np.empty(len(source.manifest.labels), np.float32)
    addresses, answer = [image.ctypes.data for image in images], logits.ctypes.data
    runs: dict[str, Run] = {}
    for bundle in (model, f"{model}-int8"):
        found = shipped.info(bundle)
        running = session.create(found.data, provider="cpu", threads=1, manifest=found.manifest)
        runs[f"ort {bundle}"] = lambda at, running=running: running.run(images[at : at + 1])
    for name, call in libraries.items():
        runs[name] = lambda at, call=call: call(addresses[at], answer)
    times = timed(runs, len(images))
    against = times[f"ort {model}-int8"]
    ratios = {
        name: statistics.median(other / own for other, own in zip(against, values, strict=True))
        for name, values in times.items()
    }
    medians = {name: statistics.median(values) for name, values in times.items()}
    result: dict[str, object] = {"model": model, "us": medians, "times_as_fast_as_ort_int8": ratios}
    if test is not None:
        result["test"] = _tested(model, source, test, next(iter(libraries.values())))
    return result


def timed(runs: dict[str, Run], count: int) -> dict[str, list[float]]:
    """Microseconds of processor time an image, in every round."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for run in runs.values():
        for at in range(min(WARM_UP, count)):
            run(at)
    for _ in range(ROUNDS):
        for name, run in runs.items():
            begin = time.process_time()
            for at in range(count):
                run(at)
            times[name].append((time.process_time() - begin) / count * 1e6)
    return times


def _tested(model: str, source: Bundle, test: evaluation_data.Split, call: Callable) -> dict[str, object]:
    """Bits and accuracy on the test set."""
    found = np.empty((len(test.images), len(source.manifest.labels)), np.float32)
    for image, row in zip(test.images, found, strict=True):
        call(image.ctypes.data, row.ctypes.data)
    expected = referee.logits(network_of(source, TargetRequest("int8")), test.images)
    fp32 = session.create(shipped.info(model).data, provider="cpu", threads=1)
    before = np.concatenate([fp32.run(test.images[at : at + 256])[0] for at in range(0, len(test.images), 256)])
    right, was_right = (float((each.argmax(1) == test.labels).mean()) for each in (found, before))
    return {
        "images": len(test.images),
        "same_bits_as_referee": int((found.view(np.uint32) == expected.view(np.uint32)).all(axis=1).sum()),
        "accuracy": right,
        "accuracy_fp32": was_right,
        "lost_points": round(100 * (was_right - right), 3),
        "flips": int((found.argmax(1) != before.argmax(1)).sum()),
        "max_logit_error": float(np.abs(found - before).max()),
    }


def main() -> None:
    """Prints a table, and writes one JSON document."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", default=MODELS)
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--emx", type=Path, help="the program emx-onnx-cgen")
    chosen = parser.parse_args()
    data = evaluation_data.find("auto", None)
    images = np.ascontiguousarray(data.parity.images[: chosen.images])
    results = []
    with tempfile.TemporaryDirectory() as scratch:
        for model in chosen.models:
            one = measure(model, images, data.test, Path(scratch), chosen.emx)
            results.append(one)
            rows = [(model, "us an image", "times as fast as the int8 session")]
            rows += [
                (
                    f"  {name}",
                    f"{us:.1f}",
                    f"{one['times_as_fast_as_ort_int8'][name]:.2f}",
                )
                for name, us in one["us"].items()
            ]
            print(
                "\n".join([*aligned(rows), f"  {one.get('test', 'no test set here')}", ""]),
                flush=True,
            )
    if chosen.json:
        document = {
            "schema": "edge.engine-c/1",
            "machine": dataclasses.asdict(describe_machine("onnxruntime")),
            "results": results,
        }
        chosen.json.write_text(json.dumps(document, indent=2) + "\n")


if __name__ == "__main__":
    main()
