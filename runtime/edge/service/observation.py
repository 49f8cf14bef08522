"""What is noted of each request: figures by route, what kind of answers were given, and a line of the access log."""

import asyncio
import logging
import sys
import time
from collections.abc import Callable
from json.encoder import encode_basestring_ascii as quoted
from typing import Any

import numpy as np

from edge.bundle.manifest import Rejection
from edge.service.metrics import Metrics
from edge.service.microbatching import Outputs
from edge.service.requests import Scope

LOG = logging.getLogger("edge.service")

UNSURE = 0.5
"""Confidence below which an answer is counted as unsure."""

_LOG_SECONDS = 0.2  # lines are written together: a write for each would cost as much as a fifth of a request


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
