"""ONNX Runtime sessions on graphs that are not bundles yet."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto

from edge.bundle.input import OUTPUTS
from edge.session import session as thin_session
from edge.session.providers import Options, open_on
from edge_export.graph.builder import IMAGE, LOGITS, PROBABILITIES


class RuntimeSession(Protocol):
    """What is used of onnxruntime's session, which has no types."""

    def run(self, names: list[str] | None, feed: dict[str, NDArray[np.uint8]]) -> list[NDArray[Any]]:
        """The outputs of those names, in that order; `None` is all."""


def open_session(model: ModelProto) -> RuntimeSession:
    """A session with the runtime's own settings, on the CPU with one thread, whatever the size of the machine.

    Raises:
        ProviderError: onnxruntime cannot load the graph.
    """
    session: RuntimeSession = open_on(model.SerializeToString(), "cpu", Options(), None)
    return session


@dataclass(frozen=True, slots=True)
class _Deployed:
    session: thin_session.Session

    def run(self, names: list[str] | None, feed: dict[str, NDArray[np.uint8]]) -> list[NDArray[Any]]:
        return self.session.fetch(OUTPUTS if names is None else tuple(names), feed[IMAGE])


def open_deployed(model: ModelProto) -> RuntimeSession:
    """A session as the runtime makes it of a bundle: a few images and many are each computed in their way.

    Raises:
        ProviderError: onnxruntime cannot load the graph.
        BundleError: the graph has another interface than a bundle's.
    """
    return _Deployed(thin_session.create(model.SerializeToString(), provider="cpu", threads=1))


def run(
    session: RuntimeSession, images: NDArray[np.uint8], batch: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Logits and probabilities, each float32 (N, classes), of uint8 images (N, 28, 28) in batches of that size."""
    parts: Sequence[Any] = [
        session.run([LOGITS, PROBABILITIES], {IMAGE: images[start : start + batch]})
        for start in range(0, len(images), batch)
    ]
    return np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])
