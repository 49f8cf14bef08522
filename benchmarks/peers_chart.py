"""The document of a run of `peers.py` as a chart: how many times as fast as the default export each peer is."""

from pathlib import Path
from typing import Any

import peers_page

from edge import charts
from edge.text.files import write_atomically

# The peers that most readers would take otherwise; all of them are in the tables.
SHOWN = {
    "torch": ("PyTorch", "#c9ced6"),
    "stock int8": ("ONNX Runtime, stock int8", charts.GREY),
    "openvino": ("OpenVINO", "#6b7585"),
    "edge": ("edge fp32", "#9dc0ef"),
    "edge int8": ("edge int8", charts.BLUE),
}
LABELLED = ("edge", "edge int8")  # a figure at each bar would be a table
BASELINE_NAME = "ONNX Runtime, default export = 1"
BAR = 0.16  # height, of a model's row of 1
TICKS = (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)


def draw(document: dict[str, Any], folder: Path) -> None:
    """Writes peers.png and peers.svg.

    Raises:
        ModuleNotFoundError: matplotlib is not installed.
    """
    models = document["models"]
    batches = list(dict.fromkeys(row["batch"] for model in models for row in model["peers"]))
    with charts.style():
        drawn = charts.figure(5.4 * len(batches), 1.6 + 0.72 * len(models))
        panels = drawn.subplots(1, len(batches), sharey=True, squeeze=False)[0]
        for panel, batch in zip(panels, batches, strict=True):
            _panel(panel, document, batch)
        handles, labels = panels[0].get_legend_handles_labels()
        drawn.suptitle("Times as fast as the default export, same weights, one thread", fontsize=13, fontweight="bold")
        drawn.legend(handles, labels, loc="outside lower center", ncols=len(labels), fontsize=9)
        write_atomically(folder / "peers.png", charts.png(drawn))
        write_atomically(folder / "peers.svg", charts.svg(drawn).encode())


def _panel(panel: Any, document: dict[str, Any], batch: int) -> None:  # noqa: ANN401 - matplotlib is optional
    models = document["models"]
    ratios = [1.0]
    for place, (peer, (label, colour)) in enumerate(SHOWN.items()):
        offset = (place - (len(SHOWN) - 1) / 2) * BAR
        panel.barh([0], [0], color=colour, label=label)  # for the legend, whatever runs here
        for index, model in enumerate(models):
            row = _row(model, peer, batch)
            if row is None:
                continue
            ratio, wrong = row["ratio"], peers_page.wrong(row)
            ratios.append(ratio)
            panel.barh(index + offset, ratio - 1, BAR * 0.92, left=1, color=colour, alpha=0.35 if wrong else 1)
            text = "wrong labels" if wrong else f"{ratio:.1f}x" if peer in LABELLED else ""
            weight = "bold" if peer == "edge int8" else "normal"
            panel.text(max(ratio, 1) * 1.03, index + offset, text, va="center", fontsize=7.5, fontweight=weight)
    panel.axvline(1, color=charts.INK, linewidth=1.2, label=BASELINE_NAME)
    panel.set_xscale("log")
    panel.set_xlim(min(ratios) / 1.15, max(ratios) * 1.5)
    ticks = [tick for tick in TICKS if panel.get_xlim()[0] < tick < panel.get_xlim()[1]]
    panel.set_xticks(ticks, [f"{tick:g}x" for tick in ticks])
    panel.minorticks_off()
    panel.set_yticks(range(len(models)), [model["model"] for model in models], fontsize=11)
    panel.set_ylim(len(models) - 0.5, -0.5)
    panel.set_title("one image at a time" if batch == 1 else f"batches of {batch}")
    panel.set_xlabel("slower  ←   →  faster", fontsize=9)
    panel.grid(axis="x")
    panel.set_axisbelow(True)
    panel.tick_params(length=0)
    for spine in panel.spines.values():
        spine.set_visible(False)


def _row(model: dict[str, Any], peer: str, batch: int) -> dict[str, Any] | None:
    """The figures of a peer; None where it did not run."""
    rows = (row for row in model["peers"] if row["peer"] == peer and row["batch"] == batch and "failure" not in row)
    return next(rows, None)
