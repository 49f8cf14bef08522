"""From measurements to the document."""

import statistics
from array import array
from collections.abc import Sequence

from edge.bench import timing
from edge.bench.coldstart import ColdStarts
from edge.bench.document import BundleFacts, ColdStartFacts, Failure, LatencyFacts, Report, SessionFacts, Settings
from edge.bench.machine import Machine
from edge.bench.plan import Plan, Subject
from edge.bench.rounds import ROUNDS, SPINNING, Measured, Running, Series
from edge.bundle.manifest import Accuracy

# Which accuracy stands for a bundle: of data that decided nothing before of data that did.
_SPLITS = ("test", "validation")


def report(
    plan: Plan, machine: Machine, cold: Sequence[ColdStarts], measured: Measured, *, complete: bool = True
) -> Report:
    """Puts the measurements together; what has none is left out.

    Args:
        plan: what was to be measured.
        machine: where.
        cold: the fresh processes.
        measured: the sessions and calls.
        complete: whether it ran to its end.
    """
    return Report(
        complete=complete,
        machine=machine,
        settings=_settings(plan),
        bundles=tuple(bundle_facts(subject) for subject in plan.subjects),
        cold_starts=tuple(_cold_start(each, max(plan.batches)) for each in cold if each.starts),
        sessions=tuple(_session(each) for each in measured.running),
        latencies=tuple(latency_facts(each) for each in measured.series if each.call_ns),
        failures=_failures(cold, measured),
    )


def bundle_facts(subject: Subject) -> BundleFacts:
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


def latency_facts(one: Series) -> LatencyFacts:
    """What the document says of a series, which must hold a call."""
    ordered = sorted(one.call_ns)
    per_call = {name: timing.percentile(ordered, per_mille) for name, per_mille in timing.PERCENTILES.items()}
    return LatencyFacts(
        bundle=one.running.setup.subject.name,
        requested_provider=one.running.setup.provider,
        provider=one.running.session.provider,
        threads=one.running.session.threads,
        batch=one.batch,
        calls=len(ordered),
        warmup_calls=one.warmup_calls,
        latency_us={name: _us(value) for name, value in per_call.items()},
        latency_per_image_us={name: _us(value, one.batch) for name, value in per_call.items()},
        fastest_us=ordered[0] / 1e3,
        slowest_us=ordered[-1] / 1e3,
        images_per_second=one.batch * len(ordered) / (sum(ordered) / 1e9),
        whole_percentiles_us=tuple(_us(value) for value in timing.whole_percentiles(ordered)),
    )


def _settings(plan: Plan) -> Settings:
    return Settings(
        seconds=plan.seconds,
        rounds=ROUNDS,
        warmup_share=timing.WARMUP_SHARE,
        warmup_calls=timing.WARMUP_CALLS,
        most_calls=timing.MOST_SAMPLES,
        calls_needed={name: timing.samples_needed(per_mille) for name, per_mille in timing.PERCENTILES.items()},
        spinning=SPINNING,
        cold_starts=plan.cold_starts,
        providers=plan.providers,
        threads=plan.threads,
        batches=plan.batches,
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


def _session(each: Running) -> SessionFacts:
    return SessionFacts(
        bundle=each.setup.subject.name,
        requested_provider=each.setup.provider,
        provider=each.session.provider,
        reason=each.session.reason,
        threads=each.session.threads,
        placement=each.placement,
        verification_failure=each.wrong,
        loads=len(each.load_ns),
        load_ms=_median_ms(each.load_ns),
    )


def _failures(cold: Sequence[ColdStarts], measured: Measured) -> tuple[Failure, ...]:
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
    found += [
        Failure(
            one.running.setup.subject.name,
            one.running.setup.provider,
            one.running.session.threads,
            one.batch,
            one.failure,
        )
        for one in measured.series
        if one.failure is not None
    ]
    return tuple(found)


def _median_ms(durations_ns: "array[int]") -> float | None:
    return statistics.median(durations_ns) / 1e6 if durations_ns else None


def _us(duration_ns: int | None, images: int = 1) -> float | None:
    return None if duration_ns is None else duration_ns / images / 1e3
