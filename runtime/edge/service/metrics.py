"""What is noted of each request: figures in Prometheus' text form at `/metrics`, and a line of the access log.

With several worker processes, each adds to files in a folder of its own that is shared by them all, and whichever is
asked answers for all of them (prometheus_client's multiprocess mode).
"""

import asyncio
import logging
import os
import sys
import time
from collections.abc import Callable
from json.encoder import encode_basestring_ascii as quoted
from typing import Any

import numpy as np
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest, multiprocess

from edge.bundle.manifest import Rejection
from edge.service.microbatching import Outputs
from edge.service.requests import Scope

LOG = logging.getLogger("edge.service")

SHARED_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""Environment variable by which prometheus_client is told where workers meet; read when it is imported."""

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

UNSURE = 0.5
"""Confidence below which an answer is counted as unsure."""

_LOG_SECONDS = 0.2  # lines are written together: a write for each would cost as much as a fifth of a request
_SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
_IMAGES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 1024, 4096)


class Metrics:
    """The figures of one process."""

    def __init__(self) -> None:
        self._shared = SHARED_FOLDER in os.environ
        self._registry = CollectorRegistry()
        registry = self._registry
        self.requests = Counter(
            "edge_requests", "Requests by route and status code.", ("route", "code"), registry=registry
        )
        self.seconds = Histogram(
            "edge_request_seconds",
            "From the headers of a request to the end of its answer.",
            ("route",),
            buckets=_SECONDS,
            registry=registry,
        )
        self.batch_images = Histogram(
            "edge_batch_images", "Images in a run of the model.", ("model",), buckets=_IMAGES, registry=registry
        )
        self.waiting = Gauge(
            "edge_waiting_requests",
            "Requests on their way: read, queued or computed.",
            ("kind",),
            registry=registry,
            multiprocess_mode="livesum",
        )
        self.answers = Counter(
            "edge_answers",
            "Images that a model judged: sure, unsure (confidence below 0.5) or rejected as none of the labels.",
            ("model", "outcome"),
            registry=registry,
        )
        self.reloads = Counter(
            "edge_reloads", "Bundles read anew: replaced or refused.", ("model", "outcome"), registry=registry
        )
        self._info = Gauge(
            "edge_model_info",
            "1 for the bundle that answers, by the SHA-256 of its bytes.",
            ("model", "digest"),
            registry=registry,
            multiprocess_mode="max",
        )

    def describe(self, model: str, digest: str, *, replaces: str | None = None) -> None:
        """Notes which bundle answers for a name."""
        if replaces is not None and replaces != digest:
            self._info.labels(model, replaces).set(0)
        self._info.labels(model, digest).set(1)

    def text(self) -> bytes:
        """All figures, of all worker processes."""
        if not self._shared:
            return generate_latest(self._registry)
        registry = CollectorRegistry()
        multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry)


class Observer:
    """Notes what happens, for the metrics and the access log.

    Args:
        metrics: where it is counted.
        access_log: whether a line of JSON for each request goes to the standard output; it never holds a picture.
    """

    def __init__(self, metrics: Metrics, *, access_log: bool) -> None:
        self._metrics = metrics
        self._access_log = access_log
        self._lines: list[str] = []
        self._now = ""
        self._seconds: dict[str, Any] = {}
        self._counts: dict[tuple[str, int], Any] = {}

    def request(self, scope: Scope, route: str, status: int, seconds: float) -> None:
        """A request has ended."""
        counter = self._counts.get((route, status))
        if counter is None:  # looking a label up costs more than counting
            counter = self._counts[route, status] = self._metrics.requests.labels(route, str(status))
            self._seconds.setdefault(route, self._metrics.seconds.labels(route))
        counter.inc()
        self._seconds[route].observe(seconds)
        if not self._access_log:
            return
        if not self._lines:  # the lines that are written together have the time of the first of them
            self._now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
            asyncio.get_running_loop().call_later(_LOG_SECONDS, self.flush)
        client = scope.get("client") or ("",)
        self._lines.append(
            f'{{"time": "{self._now}", "client": {quoted(client[0])}, "method": {quoted(scope["method"])}, '
            f'"path": {quoted(scope["path"])}, "status": {status}, "ms": {seconds * 1e3:.3f}}}'
        )

    def flush(self) -> None:
        """Writes the lines that wait."""
        lines, self._lines = self._lines, []
        if not lines:
            return
        try:
            sys.stdout.write("\n".join(lines) + "\n")
            sys.stdout.flush()
        except OSError:
            LOG.warning("the access log cannot be written; the service goes on")


def model_observer(metrics: Metrics, model: str, rule: Rejection | None) -> Callable[[Outputs], None]:
    """Counts the images of each run of a model, and which of them it was sure of.

    It is asked once a run, not once a request: the same few steps of NumPy do for all requests that went together.
    """
    images = metrics.batch_images.labels(model)
    sure, unsure, rejected = (metrics.answers.labels(model, outcome) for outcome in ("sure", "unsure", "rejected"))

    def observe(outputs: Outputs) -> None:
        images.observe(count := len(outputs.logits))
        doubts = np.maximum.reduce(outputs.probabilities, axis=1) < UNSURE
        rejections = 0
        if outputs.scores is not None and rule is not None:
            rejects = outputs.scores < rule.threshold
            if rejections := int(np.count_nonzero(rejects)):
                rejected.inc(rejections)
                doubts &= ~rejects
        if doubtful := int(np.count_nonzero(doubts)):
            unsure.inc(doubtful)
        if certain := count - doubtful - rejections:
            sure.inc(certain)

    return observe
