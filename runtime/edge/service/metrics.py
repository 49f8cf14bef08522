"""What a service counts, in Prometheus' text form at `/metrics`.

With several worker processes, each adds to files in a folder of its own that is shared by them all, and whichever is
asked answers for all of them (prometheus_client's multiprocess mode).
"""

import os

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest, multiprocess

SHARED_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""Environment variable by which prometheus_client is told where workers meet; read when it is imported."""

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

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
