"""Cold start: fresh processes, because imports, the loader and the allocator are warm only once.

The file cache is warm: what a device pays after its own start is the disk's affair. Processes of different bundles take
turns, so that a busy moment of the machine meets all of them.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from edge.bench.measurement import Experiment, NamedBundle
from edge.bench.turns import take_turns
from edge.errors import ProviderError
from edge.session.providers import Provider

# Far more than a slow memory card takes for the imports: a process that needs longer hangs.
_PATIENCE_SECONDS = 300
# With these in the environment every process compiles numpy anew, or reports its imports.
_DISTORTING = frozenset({"PYTHONDONTWRITEBYTECODE", "PYTHONPROFILEIMPORTTIME"})


@dataclass(frozen=True, slots=True)
class Start:
    """One fresh process.

    Attributes:
        provider: where it ran, "cpu" or "cuda".
        wall_ms: from before the interpreter until the process is gone.
        import_ms: numpy, onnxruntime and edge.
        load_ms: reading the file, its digest and its manifest, and the session.
        first_run_ms: the first image.
        peak_bytes: most memory ever resident; None where the system does not tell.
    """

    provider: str
    wall_ms: float
    import_ms: float
    load_ms: float
    first_run_ms: float
    peak_bytes: int | None


@dataclass(slots=True, eq=False)
class ColdStarts:
    """The processes of one bundle on one provider.

    Attributes:
        subject: the bundle.
        requested: the provider as asked for.
        bulk_peak_bytes: peak memory of a process that also ran the largest batch.
        starts: the processes, in the order of time.
        failure: why there are no more; None when all went well.
    """

    subject: NamedBundle
    requested: Provider
    bulk_peak_bytes: int | None = None
    starts: list[Start] = field(default_factory=list)
    failure: str | None = None


def start(subject: NamedBundle, provider: Provider, batch: int = 1) -> Start:
    """Runs one fresh process.

    Args:
        subject: the bundle.
        provider: "auto", "cpu" or "cuda".
        batch: images of a second run, for its memory; 1 for none.

    Raises:
        ProviderError: the process failed; the message is its last line.
    """
    # -P: a file of the current folder must not take the place of a module.
    command = [sys.executable, "-P", "-m", "edge.bench.first_image", str(subject.source.path), provider, str(batch)]
    # As a device would have it: no byte code thrown away, and edge found where this process finds it.
    environment = {key: value for key, value in os.environ.items() if key not in _DISTORTING}
    begun = time.perf_counter()
    try:
        ended = subprocess.run(  # noqa: S603 - our own module
            command, env=environment, capture_output=True, text=True, check=False, timeout=_PATIENCE_SECONDS
        )
    except subprocess.TimeoutExpired as error:
        raise ProviderError(f"no image within {_PATIENCE_SECONDS} s; try --provider cpu") from error
    except OSError as error:
        raise ProviderError(f"{sys.executable} cannot be started: {error.strerror}; use --cold-starts 0") from error
    wall_ms = (time.perf_counter() - begun) * 1e3
    if ended.returncode != 0:
        last = (ended.stderr.strip().splitlines() or [f"the process ended with {ended.returncode}"])[-1]
        # A traceback ends with `edge.errors.ProviderError: message`.
        raise ProviderError(last.partition("Error: ")[2] or last)
    return Start(wall_ms=wall_ms, **json.loads(ended.stdout))


Starter = Callable[[NamedBundle, Provider, int], Start]
"""Starts a process: `start`, or what a test gives in its place."""


def processes(experiment: Experiment) -> int:
    """How many processes `measure_starts` starts when none fails."""
    pairs = len(experiment.subjects) * len(experiment.providers)
    return pairs * (experiment.cold_starts + 1) if experiment.cold_starts else 0


def measure_starts(experiment: Experiment, into: list[ColdStarts], starter: Starter = start) -> Iterator[str]:
    """Starts the processes, in rounds over all bundles and providers.

    The first round does not count: it compiles byte code, warms the file cache, and runs the largest batch for its
    memory.

    Args:
        experiment: what is measured.
        into: receives the results as they come, so that whoever stops early keeps them.
        starter: starts a process.

    Yields:
        The name of the bundle, after each process.
    """
    if not experiment.cold_starts:
        return
    into += [ColdStarts(subject, provider) for subject in experiment.subjects for provider in experiment.providers]
    for number, each in take_turns(into, rounds=experiment.cold_starts, warmup_rounds=1):
        if each.failure is None:
            try:
                begun = starter(each.subject, each.requested, 1 if number >= 1 else max(experiment.batches))
            except ProviderError as error:
                each.failure = str(error)
            else:
                if number >= 1:
                    each.starts.append(begun)
                else:
                    each.bulk_peak_bytes = begun.peak_bytes
        yield each.subject.name
