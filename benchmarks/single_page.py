"""The document of a run of `single.py` as a page in Markdown: one picture first, then a few, then the interface."""

from collections.abc import Iterator
from typing import Any

from edge.text.table import markdown as table

FP32, INT8 = "edge fp32", "edge int8"
BARE = "bare session"
HOLE = 0.97  # below this share of fp32's speed, int8 is a mistake at that batch size
ABSENT = "–"


def markdown(document: dict[str, Any]) -> str:
    """The whole page."""
    return "\n".join(
        [
            *_head(document),
            *_one_picture(document),
            *_few(document),
            *_holes(document),
            *_interface(document),
            *_failures(document),
        ]
    )


def _head(document: dict[str, Any]) -> Iterator[str]:
    host, settings = document["machine"], document["settings"]
    family = f", {host['cpu_family']}" if host["cpu_family"] else ""
    versions = {"Python": host["python"], "edge": host["edge"], "numpy": host["numpy"], **host["distributions"]}
    instructions = ", ".join(host["int8_instructions"] or ()) or "none known"
    rounds, bulk, makings = (settings[key] for key in ("rounds", "bulk_rounds", "makings"))
    yield "# One picture, or a few"
    yield ""
    yield f"{host['cpu']}{family}, {host['system']}, int8 instructions: {instructions}; {host['allowed_cpus']} CPUs,"
    yield f"load average {host['load_average']} before the run."
    yield f"{', '.join(f'{name} {version}' for name, version in versions.items())}."
    yield ""
    yield f"One thread each, {rounds} rounds in turns ({bulk} in bulk), sessions made anew {makings} times; time is the"
    yield f"{settings['clock']}. Ratios say how many times as fast as `{settings['baseline']}`,"
    yield "`torch.onnx.export` in a default session of ONNX Runtime; ± is the standard error of the median. The others"
    yield "are `quantize_dynamic` of that file, OpenVINO with either file, and the shipped bundles, their sessions"
    yield "alone, which give logits as those files do, and through `Classifier.classify`, which gives probabilities."
    yield "What a prediction with its score takes is in the last table. Made by `python benchmarks/single.py`."


def _one_picture(document: dict[str, Any]) -> Iterator[str]:
    ways = _ways(document)
    yield from ("", "## One picture", "")
    rows = [["model", "stock, us", *ways[1:]]]
    for model in document["models"]:
        found = _by_way(model, 1)
        if found:
            stock = found[ways[0]]
            rows.append([model["model"], f"{stock['us_per_image']:.1f}", *(_ratio(found.get(way)) for way in ways[1:])])
    yield from table(rows, right=range(1, len(rows[0])))


def _few(document: dict[str, Any]) -> Iterator[str]:
    ways, batches = _ways(document), _batches(document)
    for model in document["models"]:
        yield from ("", f"## {model['model']}, batch by batch", "")
        rows = [["way", *map(str, batches)]]
        stock = [_by_way(model, batch)[ways[0]] for batch in batches]
        rows.append(["stock, us an image", *(f"{row['us_per_image']:.1f}" for row in stock)])
        rows += [[way, *(_figure(_by_way(model, batch).get(way)) for batch in batches)] for way in ways[1:]]
        yield from table(rows, right=range(1, len(rows[0])))


def _holes(document: dict[str, Any]) -> Iterator[str]:
    batches = _batches(document)
    yield from ("", "## int8 against fp32, sessions alone", "")
    yield f"How many times as fast as edge fp32; bold below {HOLE}."
    yield ""
    rows = [["model", *map(str, batches)]]
    for model in document["models"]:
        found = [_by_way(model, batch).get(INT8) for batch in batches]
        cells = [ABSENT if row is None else f"{row['to_fp32']:.2f}" for row in found]
        marked = [
            f"**{cell}**" if row is not None and row["to_fp32"] < HOLE else cell
            for cell, row in zip(cells, found, strict=True)
        ]
        rows.append([model["model"], *marked])
    yield from table(rows, right=range(1, len(rows[0])))


def _interface(document: dict[str, Any]) -> Iterator[str]:
    around = [each for model in document["models"] for each in model["interface"]]
    calls = [call for call in around[0]["ratio"] if call != BARE]
    yield from ("", "## What stands around a session, one picture", "")
    yield "How many times as long as the bare session takes: ONNX Runtime's own with the bundle, which fetches logits"
    yield "and probabilities."
    yield ""
    rows = [["bundle", "bare, us", *calls]]
    rows += [
        [each["bundle"], f"{each['us'][BARE]:.1f}", *(f"{each['ratio'][call]:.2f}" for call in calls)]
        for each in around
    ]
    yield from table(rows, right=range(1, len(rows[0])))


def _failures(document: dict[str, Any]) -> Iterator[str]:
    found = dict.fromkeys(
        f"- {row['way']}: {row['failure']}" for model in document["models"] for row in model["rows"] if "failure" in row
    )
    wrong = [
        f"- {model['model']}, batch {row['batch']}, {row['way']}: {row['flips']} labels differ from the stock export's"
        for model in document["models"]
        for row in model["rows"]
        if row.get("flips")
    ]
    if found or wrong:
        yield from ("", "## What does not run, and labels that differ", "", *found, *wrong)
    yield ""


def _ways(document: dict[str, Any]) -> list[str]:
    """The ways that ran anywhere, the baseline first."""
    rows = (row for model in document["models"] for row in model["rows"] if "failure" not in row)
    return list(dict.fromkeys(row["way"] for row in rows))


def _batches(document: dict[str, Any]) -> list[int]:
    return list(dict.fromkeys(row["batch"] for model in document["models"] for row in model["rows"]))


def _by_way(model: dict[str, Any], batch: int) -> dict[str, dict[str, Any]]:
    return {row["way"]: row for row in model["rows"] if row["batch"] == batch and "failure" not in row}


def _ratio(row: dict[str, Any] | None) -> str:
    return ABSENT if row is None else f"{row['ratio']:.2f} ± {row['ratio'] * row['error']:.2f}"


def _figure(row: dict[str, Any] | None) -> str:
    return ABSENT if row is None else f"{row['ratio']:.2f}"
