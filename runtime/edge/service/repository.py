"""The bundles that are served: each verified before it answers, and replaced while requests go on.

A model is one object that never changes. A reload makes a new one, replays its evidence, and puts it in the place of
the old one, which finishes what it has begun; a bundle that fails is told, and the old one goes on.
"""

import logging
from collections.abc import Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge import verification
from edge.classifier.classifier import Classifier, load
from edge.errors import BundleNotFoundError, EdgeError, InputError
from edge.service.metrics import Metrics, model_observer
from edge.service.microbatching import Batcher, Outputs
from edge.service.requests import Settings
from edge.session import cpu

LOG = logging.getLogger("edge.service")

Signature = tuple[int, int, int]


@dataclass(frozen=True, slots=True, eq=False)
class Model:
    """One verified bundle.

    Attributes:
        name: by which requests name it: the bundle's own.
        path: its file.
        classifier: the bundle and its session.
        batcher: through which all requests go.
        signature: of the file when it was read: modification time in nanoseconds, bytes, inode.
        evidence: what the replay of its evidence found, in a line.
    """

    name: str
    path: Path
    classifier: Classifier
    batcher: Batcher
    signature: Signature
    evidence: str

    @property
    def digest(self) -> str:
        """SHA-256 of the bundle's bytes, in hexadecimal digits."""
        return self.classifier.bundle.sha256

    def facts(self) -> dict[str, Any]:
        """What the page needs to know of it, as JSON takes it."""
        manifest = self.classifier.manifest
        return {
            "name": self.name,
            "labels": list(manifest.labels),
            "precision": manifest.precision,
            "recurrent": manifest.architecture.get("kind") == "recurrent",
            "parameters": manifest.parameters,
            "bytes": self.classifier.bundle.size,
            "digest": self.digest,
            "provider": self.classifier.provider,
            "evidence": self.evidence,
        }


class Repository:
    """The models of a service, by name.

    Args:
        settings: which bundles, and where they run.
        metrics: where runs are counted.

    Raises:
        BundleError: a bundle is missing or damaged.
        VerificationError: a bundle does not give on this machine what its evidence says.
        ProviderError: a bundle cannot run here.
        InputError: two bundles have one name.
    """

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self._settings = settings
        self._metrics = metrics
        self._executor: Executor = ThreadPoolExecutor(max(len(settings.bundles), 1), thread_name_prefix="edge-model")
        self._models: dict[str, Model] = {}
        self._refused: dict[Path, Signature] = {}
        for path in settings.bundles:
            model = self._load(path)
            if model.name in self._models:
                raise InputError(
                    f"{path} and {self._models[model.name].path} are both called {model.name}; serve one of them"
                )
            self._models[model.name] = model
        self.default = next(iter(self._models))

    @property
    def models(self) -> Mapping[str, Model]:
        """The models that answer now, by name, in the order in which they were given."""
        return self._models

    def get(self, name: str | None) -> Model:
        """The model of that name, or the first one where none is named.

        Raises:
            BundleNotFoundError: no model has that name.
        """
        model = self._models.get(name or self.default)
        if model is None:
            raise BundleNotFoundError(f"no model is called {name!r}; this service has {', '.join(self._models)}")
        return model

    def changed(self) -> bool:
        """Whether a file is another one than that which was read, or was refused, last."""
        return any(self._is_new(model) for model in self._models.values())

    def reload(self, *, force: bool = False) -> list[str]:
        """Reads the files anew that have changed; takes as long as a start, and is called beside the event loop.

        Args:
            force: read them all.

        Returns:
            The names of the models that were replaced.
        """
        replaced = []
        for model in list(self._models.values()):
            if not force and not self._is_new(model):
                continue
            signature = _signature(model.path)
            try:
                fresh = self._load(model.path)
                if fresh.name != model.name:
                    raise InputError(f"it is called {fresh.name} now, and was {model.name}; restart the service for it")
            except EdgeError as error:
                if signature is not None:
                    self._refused[model.path] = signature
                self._metrics.reloads.labels(model.name, "refused").inc()
                LOG.warning("%s is refused, the one in use goes on: %s", model.path, error)
                continue
            self._refused.pop(model.path, None)
            self._models[model.name] = fresh  # a single step: requests see the old one or the new one
            self._metrics.reloads.labels(model.name, "replaced").inc()
            self._metrics.describe(fresh.name, fresh.digest, replaces=model.digest)
            LOG.info("%s is replaced: %s", model.name, fresh.evidence)
            replaced.append(model.name)
        return replaced

    def close(self) -> None:
        """Lets go of the threads."""
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _is_new(self, model: Model) -> bool:
        signature = _signature(model.path)
        return signature not in {None, model.signature, self._refused.get(model.path)}

    def _load(self, path: Path) -> Model:
        signature = _signature(path)
        provider, options = self._settings.provider, self._settings.provider_options
        outcome = verification.verify(path, provider, provider_options=options)
        outcome.raise_if_failed()
        classifier = load(path, provider=provider, threads=cpu.allowed(), provider_options=options)
        name = classifier.manifest.name

        def compute(images: NDArray[np.uint8]) -> Outputs:
            return Outputs(*classifier.run(images))

        batcher = Batcher(
            compute,
            self._executor,
            observe=model_observer(self._metrics, name, classifier.manifest.rejection),
            queue_seconds=self._settings.limits.queue_seconds,
        )
        self._metrics.describe(name, classifier.bundle.sha256)
        evidence = outcome.steps[-1].detail
        return Model(name, path, classifier, batcher, signature or (0, 0, 0), evidence)


def _signature(path: Path) -> Signature | None:
    try:
        facts = path.stat()
    except OSError:
        return None
    return facts.st_mtime_ns, facts.st_size, facts.st_ino
