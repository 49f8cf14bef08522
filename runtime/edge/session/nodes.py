"""Where each node of a session really runs: read from the profile that ONNX Runtime writes of runs."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edge.bundle.input import COLUMNS, NAME, ROWS
from edge.session.runtime import short_name

# A graph may take another branch for a batch than for a single image: both are run.
BATCHES = (1, 64)


def placement(native: Any, batches: Sequence[int] = BATCHES) -> dict[str, str]:  # noqa: ANN401 - onnxruntime is untyped
    """Runs batches of empty images, and ends the session's profile.

    Args:
        native: a session of a bundle's graph that writes a profile.
        batches: images in each run.

    Returns:
        Short name of the provider of each node that ran, keyed by "operator name", in the order of execution. The nodes
        are those that onnxruntime's optimiser left, and a provider may have made one of many.

    Raises:
        OSError: the profile cannot be read.
        Exception: one of `edge.session.runtime.failures`: a run failed.
    """
    import numpy as np

    for size in batches:
        native.run(None, {NAME: np.zeros((size, ROWS, COLUMNS), np.uint8)})
    events = json.loads(Path(native.end_profiling()).read_text(encoding="utf-8"))
    placed: dict[str, str] = {}
    for event in events:
        # Older versions also write fences around each node, which carry no provider.
        if event.get("cat") == "Node" and (execution := event["args"].get("provider")):
            node = event["name"].removesuffix("_kernel_time") or f"#{event['args'].get('node_index', '?')}"
            placed[f"{event['args']['op_name']} {node}"] = short_name(execution)
    return placed
