"""The whole benchmark of `edge bench`: fresh processes first, while this one is small and quiet, then its sessions.

Imports, the loader and the allocator are warm only once, so a cold start takes a process of its own. The file cache is
warm: what a device pays after its own start is the disk's affair. Processes of different bundles take turns, so that a
busy moment of the machine meets all of them.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from edge.bench import measurement, turns
from edge.bench.measurement import Calls, Experiment, NamedBundle, Observations, Opened
from edge.bench.results import (
    BundleFacts,
    ColdStartFacts,
    Failure,
    LatencyFacts,
    Machine,
    Procedure,
    Results,
    SessionFacts,
    describe_machine,
)
from edge.bench.turns import take_turns
from edge.bundle.manifest import Accuracy
from edge.errors import ProviderError
from edge.session import runtime
from edge.session.providers import Provider
from edge.text.terminal import ProgressBar

# Which accuracy stands for a bundle: of data that decided nothing before of data that did.
_SPLITS = ("test", "validation")

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


def run(experiment: Experiment, progress: ProgressBar, starter: Starter = start) -> Results:
    """Measures all of an experiment, or what there is of it when Ctrl-C comes.

    Args:
        experiment: what is measured.
        progress: is told every step.
        starter: starts a fresh process.

    Returns:
        The results; their `complete` is False after Ctrl-C.

    Raises:
        RuntimeMissingError: onnxruntime is not installed, or broken.
    """
    runtime.load()  # so that no load pays for the import, and the machine can tell its version
    where = describe_machine()
    cold: list[ColdStarts] = []
    measured = Observations()
    complete = True
    try:
        _measure(experiment, progress, cold, measured, starter)
    except KeyboardInterrupt:
        complete = False
    finally:
        progress.clear()
    return results_of(experiment, where, cold, measured, complete=complete)


def results_of(
    experiment: Experiment,
    where: Machine,
    cold: Sequence[ColdStarts],
    measured: Observations,
    *,
    complete: bool = True,
) -> Results:
    """Puts the measurements together; what has none is left out.

    Args:
        experiment: what was to be measured.
        where: the machine.
        cold: the fresh processes.
        measured: the sessions and their calls.
        complete: whether it ran to its end.
    """
    return Results(
        complete=complete,
        machine=where,
        settings=_settings(experiment),
        bundles=tuple(bundle_facts(subject) for subject in experiment.subjects),
        cold_starts=tuple(_cold_start(each, max(experiment.batches)) for each in cold if each.starts),
        sessions=tuple(_session(each) for each in measured.opened),
        latencies=tuple(_latency(each) for each in measured.calls if each.runs.series.rounds),
        failures=_failures(cold, measured),
    )


def bundle_facts(subject: NamedBundle) -> BundleFacts:
    """What the document says of a bundle."""
    source, manifest = subject.source, subject.source.manifest
    return BundleFacts(
        name=subject.name,
        path=str(source.path),
        size_bytes=source.size,
        sha256=source.sha256,
        model=manifest.model,
        precision=manifest.precision,
        method=manifest.method,
        checkpoint_sha256=manifest.checkpoint_sha256,
        accuracy=_best_accuracy(manifest.accuracy),
    )


def _measure(
    experiment: Experiment, progress: ProgressBar, cold: list[ColdStarts], measured: Observations, starter: Starter
) -> None:
    if count := processes(experiment):
        progress.begin(count, f"cold start: {count} fresh processes")
        for _ in measure_starts(experiment, cold, starter):
            progress.step()
    measurement.open_sessions(experiment, measured)
    count = len(measured.calls)
    what = f"{count} configuration{'' if count == 1 else 's'} of {experiment.seconds:g} s"
    steps = measurement.ROUNDS * (count + len(measured.opened))
    progress.begin(steps, f"latency: {what} in {measurement.ROUNDS} rounds")
    for _ in measurement.measure(measured):
        progress.step()


def _settings(experiment: Experiment) -> Procedure:
    return Procedure(
        seconds=experiment.seconds,
        rounds=measurement.ROUNDS,
        warmup_share=measurement.WARMUP_SHARE,
        warmup_calls=measurement.WARMUP_CALLS,
        most_calls=measurement.MOST_CALLS,
        calls_needed={name: turns.samples_needed(per_mille) for name, per_mille in turns.PERCENTILES.items()},
        spinning=measurement.SPINNING,
        cold_starts=experiment.cold_starts,
        providers=experiment.providers,
        threads=experiment.threads,
        batches=experiment.batches,
    )


def _best_accuracy(figures: Sequence[Accuracy]) -> Accuracy | None:
    own = {each.split: each for each in reversed(figures) if each.of == "bundle"}
    return next((own[split] for split in _SPLITS if split in own), None)


def _cold_start(each: ColdStarts, largest_batch: int) -> ColdStartFacts:
    starts = each.starts
    peaks = [start.peak_bytes for start in starts if start.peak_bytes is not None]
    return ColdStartFacts(
        bundle=each.subject.name,
        requested_provider=each.requested,
        provider=starts[0].provider,
        processes=len(starts),
        wall_ms=statistics.median(start.wall_ms for start in starts),
        import_ms=statistics.median(start.import_ms for start in starts),
        load_ms=statistics.median(start.load_ms for start in starts),
        first_run_ms=statistics.median(start.first_run_ms for start in starts),
        peak_bytes=round(statistics.median(peaks)) if peaks else None,
        largest_batch=largest_batch,
        largest_batch_peak_bytes=each.bulk_peak_bytes,
        all_wall_ms=tuple(start.wall_ms for start in starts),
    )


def _session(each: Opened) -> SessionFacts:
    loads = each.loads.series.ordered()
    return SessionFacts(
        bundle=each.setup.subject.name,
        requested_provider=each.setup.provider,
        provider=each.session.provider,
        reason=each.session.reason,
        threads=each.session.threads,
        placement=each.placement,
        verification_failure=each.wrong,
        loads=len(loads),
        load_ms=statistics.median(loads) / 1e6 if loads else None,
    )


def _latency(each: Calls) -> LatencyFacts:
    ordered = each.runs.series.ordered()
    per_call = {name: turns.percentile(ordered, per_mille) for name, per_mille in turns.PERCENTILES.items()}
    return LatencyFacts(
        bundle=each.opened.setup.subject.name,
        requested_provider=each.opened.setup.provider,
        provider=each.opened.session.provider,
        threads=each.opened.session.threads,
        batch=each.batch,
        calls=len(ordered),
        warmup_calls=each.runs.series.warmup_calls,
        latency_us={name: _us(value) for name, value in per_call.items()},
        latency_per_image_us={name: _us(value, each.batch) for name, value in per_call.items()},
        fastest_us=ordered[0] / 1e3,
        slowest_us=ordered[-1] / 1e3,
        images_per_second=each.batch * len(ordered) / (sum(ordered) / 1e9),
        whole_percentiles_us=tuple(_us(turns.percentile(ordered, whole * 10)) for whole in range(1, 100)),
    )


def _failures(cold: Sequence[ColdStarts], measured: Observations) -> tuple[Failure, ...]:
    found = [
        Failure(each.setup.subject.name, each.setup.provider, each.setup.threads, None, each.reason)
        for each in measured.refused
    ]
    refused = {(each.bundle, each.requested_provider) for each in found}
    # A provider that is refused is refused in a fresh process too: that is told once.
    found += [
        Failure(each.subject.name, each.requested, None, None, each.failure)
        for each in cold
        if each.failure is not None and (each.subject.name, each.requested) not in refused
    ]
    timed = [
        *((each, None, each.loads.failure) for each in measured.opened),
        *((each.opened, each.batch, each.runs.failure) for each in measured.calls),
    ]
    found += [
        Failure(opened.setup.subject.name, opened.setup.provider, opened.session.threads, batch, failure)
        for opened, batch, failure in timed
        if failure is not None
    ]
    return tuple(found)


def _us(duration_ns: int | None, images: int = 1) -> float | None:
    return None if duration_ns is None else duration_ns / images / 1e3
