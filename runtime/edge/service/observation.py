"""What is noted of each request: figures by route, what kind of answers were given, and a line of the access log."""

import asyncio
import json
import logging
import sys
import time
from collections.abc import Sequence
from typing import Any

from edge.bundle.manifest import Rejection
from edge.classifier.classifier import Prediction
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
        line = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "client": (scope.get("client") or ("",))[0],
            "method": scope["method"],
            "path": scope["path"],
            "status": status,
            "ms": round(seconds * 1e3, 3),
        }
        if not self._lines:
            asyncio.get_running_loop().call_later(_LOG_SECONDS, self.flush)
        self._lines.append(json.dumps(line))

    def outputs(self, model: str, outputs: Outputs, rule: Rejection | None) -> None:
        """Images were answered as tensors."""
        unsure = outputs.probabilities.max(axis=1) < UNSURE
        rejected = 0
        if outputs.scores is not None and rule is not None:
            rejects = outputs.scores < rule.threshold
            rejected = int(rejects.sum())
            unsure &= ~rejects
        self._add(model, len(unsure), int(unsure.sum()), rejected)

    def predictions(self, given: Sequence[Prediction]) -> None:
        """Pictures were answered, all by one model."""
        rejected = sum(each.rejected for each in given)
        unsure = sum(not each.rejected and each.confidence < UNSURE for each in given)
        if given:
            self._add(given[0].model, len(given), unsure, rejected)

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

    def _add(self, model: str, images: int, unsure: int, rejected: int) -> None:
        counts = {"sure": images - unsure - rejected, "unsure": unsure, "rejected": rejected}
        for outcome, count in counts.items():
            if count:
                self._metrics.answers.labels(model, outcome).inc(count)
