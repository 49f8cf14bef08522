"""ONNX Runtime sessions on graphs that are not bundles yet."""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnx import ModelProto

from edge_export.graph.builder import IMAGE, LOGITS, PROBABILITIES

ERRORS_ONLY = 3  # onnxruntime's log severity: 0 verbose to 4 fatal


class Session(Protocol):
    """What is used of onnxruntime's session, which has no types."""

    def run(self, names: list[str] | None, feed: dict[str, NDArray[np.uint8]]) -> list[NDArray[Any]]:
        """The outputs of those names, in that order; `None` is all."""


def open_session(model: ModelProto) -> Session:
    """A session with one thread, so that parity and timings do not depend on the machine's size."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = ERRORS_ONLY
    session: Session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return session


def run(session: Session, images: NDArray[np.uint8], batch: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Logits and probabilities, each float32 (N, classes), of uint8 images (N, 28, 28) in batches of that size."""
    parts: Sequence[Any] = [
        session.run([LOGITS, PROBABILITIES], {IMAGE: images[start : start + batch]})
        for start in range(0, len(images), batch)
    ]
    return np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])
