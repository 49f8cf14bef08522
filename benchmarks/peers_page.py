"""The document of a run of `peers.py` as text: for the terminal, and as a Markdown page."""

from collections.abc import Callable, Iterator
from typing import Any

from edge.text import table

WRONG_SHARE = 0.01  # more labels than this that differ from torch's: the model is another one, its speed no comparison


def terminal(document: dict[str, Any]) -> str:
    """All figures as aligned columns: a row for each model, batch size and peer, then bulk, then the limits."""
    head = ("model", "batch", "peer", "us", "p90", "times", "logits", "flips", "accuracy", "size", "")
    rows = [head, *(_cells(model["model"], row) for model in document["models"] for row in model["peers"])]
    bulk = [("model", "peer", "images/s", "times", "flips", "accuracy")]
    bounds = [("model", "MFLOP", "fp32 us", "int8 us")]
    for model in document["models"]:
        bulk += [(model["model"], *_bulk_cells(row)) for row in model["bulk"]]
        bounds.append((model["model"], *_bound(model)))
    settings = document["settings"]
    lines = ["us: microseconds per image, medians, 1 thread; times: as fast as the default export, paired by round;"]
    lines += ["logits: largest difference from torch's; flips: labels that differ; accuracy: " + settings["images"], ""]
    lines += [*table.aligned(rows), ""]
    lines += [f"all threads, {settings['bulk_images']:,} images: the default session at batch 256, edge in one call"]
    lines += ["", *table.aligned(bulk), ""]
    lines += [f"this machine, 1 thread: {limits_line(document)}; the least time for the products of an image"]
    return "\n".join([*lines, "", *table.aligned(bounds)])


def markdown(document: dict[str, Any]) -> str:
    """The page: a table for each batch size, then bulk, answers, sizes, limits; how it was made."""
    batches = list(dict.fromkeys(row["batch"] for model in document["models"] for row in model["peers"]))
    lines = ["# edge beside its peers", "", *_introduction(document)]
    for batch in batches:
        grid = _grid(document, batch, _speed, ("least time, fp32 / int8", _least))
        limits = f"| this machine |{' |' * (grid[0].count('|') - 3)} {limits_line(document)} |"
        lines += ["", f"## Batch {batch}", "", *grid, limits]
    lines += ["", *_bulk(document)]
    lines += ["", f"## Answers, batch {batches[-1]}", ""]
    lines += ["Labels that differ from torch's, accuracy, and the largest difference of a logit.", ""]
    lines += _grid(document, batches[-1], _answers)
    lines += ["", "## Size of the files", "", *_grid(document, batches[-1], _size)]
    if failures := list(_failures(document)):
        lines += ["", "## What does not run", "", *failures]
    host = document["machine"]
    found = {"Python": host["python"], "edge": host["edge"], "numpy": host["numpy"], **host["distributions"]}
    versions = ", ".join(f"{name} {version}" for name, version in found.items())
    lines += ["", "## How it was made", "", f"    {document['command']}", "", f"{versions}. {document['seconds']} s."]
    return "\n".join(lines) + "\n"


def limits_line(document: dict[str, Any]) -> str:
    """The measured limits in a few words."""
    found = document["limits"]
    products = f"{found['fp32_gflops']:.0f} GFLOP/s in fp32, {found['int8_gops']:.0f} GOP/s in int8"
    return f"{products}, {found['memory_gb_per_s']:.0f} GB/s of memory"


def wrong(row: dict[str, Any]) -> bool:
    """Whether a peer computes another model."""
    return bool(row["flips"] > WRONG_SHARE * row["images"])


def _introduction(document: dict[str, Any]) -> list[str]:
    settings, host = document["settings"], document["machine"]
    instructions = ", ".join(host["int8_instructions"] or ()) or "none known"
    processor = f"{host['cpu']}, {host['cpu_family']}" if host["cpu_family"] else host["cpu"]
    return [
        f"{processor}, {host['system']}, {host['allowed_cpus']} CPUs, int8 instructions: {instructions}. The same",
        f"weights and images ({settings['images']}) in one process, one thread, {settings['rounds']} rounds in turns.",
        f"Load average before the run: {host['load_average']}; clock: {settings['clock']}.",
        "",
        "Cells: median microseconds per image, and how many times as fast as `default`: `torch.onnx.export` in a",
        f"default ONNX Runtime session. ✗: more than {WRONG_SHARE:.0%} of its labels differ from torch's. –: does not",
        "run, the reason is below. The last column is the least time that the products of one image take at the rates",
        "of the last row, which products of 512x512 matrices and a copy reached in the same run.",
    ]


def _cells(model: str, row: dict[str, Any]) -> tuple[str, ...]:
    name = (model, str(row["batch"]), row["peer"])
    if "failure" in row:
        return (*name, *["-"] * 7, row["failure"])
    times = (f"{row['p50_us']:.1f}", _or_dash(row["p90_us"]), f"{row['ratio']:.2f}x")
    answers = (f"{row['logits_max_error']:.0e}", f"{row['flips']} of {row['images']}", f"{row['accuracy']:.2%}")
    return (*name, *times, *answers, table.size(row["size_bytes"]), "WRONG LABELS" if wrong(row) else "")


def _bulk_cells(row: dict[str, Any]) -> tuple[str, ...]:
    rate = (f"{row['images_per_s']:,.0f}", f"{row['ratio']:.2f}x")
    return (row["peer"], *rate, str(row["flips"]), f"{row['accuracy']:.2%}")


def _grid(
    document: dict[str, Any],
    batch: int,
    cell: Callable[[dict[str, Any]], str],
    last: tuple[str, Callable[[dict[str, Any]], str]] | None = None,
) -> list[str]:
    """A row for each model, a column for each peer, and one more of the model itself."""
    peers = list(dict.fromkeys(row["peer"] for model in document["models"] for row in model["peers"]))
    lines = [_line(["model", *peers, *([last[0]] if last else [])])]
    lines.append("|---" * (lines[0].count("|") - 1) + "|")
    for model in document["models"]:
        rows = {row["peer"]: row for row in model["peers"] if row["batch"] == batch}
        cells = ["–" if "failure" in rows[peer] else cell(rows[peer]) for peer in peers]
        lines.append(_line([model["model"], *cells, *([last[1](model)] if last else [])]))
    return lines


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _speed(row: dict[str, Any]) -> str:
    return f"{_figure(row['p50_us'])} ({row['ratio']:.2f}x){' ✗' if wrong(row) else ''}"


def _least(model: dict[str, Any]) -> str:
    return f"{_figure(model['bound']['fp32_us'])} / {_figure(model['bound']['int8_us'])}"


def _answers(row: dict[str, Any]) -> str:
    return f"{row['flips']} of {row['images']}, {row['accuracy']:.2%}, {row['logits_max_error']:.0e}"


def _size(row: dict[str, Any]) -> str:
    return table.size(row["size_bytes"])


def _bulk(document: dict[str, Any]) -> Iterator[str]:
    yield f"## All threads, {document['settings']['bulk_images']:,} images"
    yield ""
    yield "Images a second: the default session at batch 256 with its own threads; `edge.load(...).classify(images)`."
    yield ""
    peers = [row["peer"] for row in document["models"][0]["bulk"]]
    yield _line(["model", *peers])
    yield "|---" * (len(peers) + 1) + "|"
    for model in document["models"]:
        yield _line([model["model"], *(f"{row['images_per_s']:,.0f} ({row['ratio']:.2f}x)" for row in model["bulk"])])


def _failures(document: dict[str, Any]) -> Iterator[str]:
    for model in document["models"]:
        for row in model["peers"]:
            if "failure" in row:
                yield f"- {model['model']}, batch {row['batch']}, {row['peer']}: {row['failure']}"


def _bound(model: dict[str, Any]) -> tuple[str, str, str]:
    bound = model["bound"]
    return f"{bound['flop'] / 1e6:.2f}", f"{bound['fp32_us']:.1f}", f"{bound['int8_us']:.1f}"


def _or_dash(us: float | None) -> str:
    """A percentile, which needs calls enough."""
    return "-" if us is None else f"{us:.1f}"


def _figure(number: float) -> str:
    """Three digits at most, as no timing has more."""
    return f"{number:.0f}" if number >= 10 else f"{number:.1f}"
