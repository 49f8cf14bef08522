"""The document `edge.bench/1`: what was measured, where, and all that is needed to judge it; written, and read again.

The number in the schema's name changes when a reader of the old one would misread the new one; further keys may come
without that. Durations carry their unit in their name. A percentile that too few calls stand on is null.
"""

import json
import os
import platform
import types
import typing
from dataclasses import asdict, dataclass, is_dataclass
from pathlib import Path
from typing import Any

import edge
from edge.bench.turns import PERCENTILES
from edge.bundle.manifest import Accuracy
from edge.errors import InputError
from edge.session import cpu, runtime


@dataclass(frozen=True, slots=True)
class Machine:
    """The processor and the software.

    Attributes:
        cpu: what the processor calls itself; its architecture where the system does not tell.
        cpu_family: the numbers by which its maker tells generations apart, such as "family 26, model 2"; None where
            the system does not tell.
        architecture: such as "x86_64" or "arm64".
        int8_instructions: those of `edge.session.cpu.INT8_INSTRUCTIONS` it has; None where the system does not tell.
        allowed_cpus: how many this process may use.
        load_average: processes that wanted a processor in the minute before, on average; None where the system does
            not tell. Above 0 others took part in what was measured.
        system: operating system and its version.
        python: version.
        numpy: version; None where it is not installed.
        onnxruntime: version of the module that this process imported; None where it imported none.
        distributions: the installed distributions of ONNX Runtime, and those that were asked for, with their versions.
        edge: version.
    """

    cpu: str
    cpu_family: str | None
    architecture: str
    int8_instructions: tuple[str, ...] | None
    allowed_cpus: int
    load_average: float | None
    system: str
    python: str
    numpy: str | None
    onnxruntime: str | None
    distributions: dict[str, str]
    edge: str


def describe_machine(*distributions: str) -> Machine:
    """Describes this machine; call it before the measurement, for the load that others make.

    Args:
        distributions: what took part besides ONNX Runtime, such as "torch"; those that are not installed are left out.
    """
    found = cpu.instruction_sets()
    versions = {name: version for name in distributions if (version := runtime.version(name)) is not None}
    return Machine(
        cpu=cpu.model(),
        cpu_family=cpu.family(),
        architecture=platform.machine(),
        int8_instructions=None if found is None else tuple(name for name in cpu.INT8_INSTRUCTIONS if name in found),
        allowed_cpus=cpu.allowed(),
        load_average=round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        system=platform.platform(),
        python=platform.python_version(),
        numpy=runtime.version("numpy"),
        onnxruntime=runtime.imported(),
        distributions=runtime.runtimes() | versions,
        edge=edge.__version__,
    )


SCHEMA = "edge.bench/1"

_LARGEST = 1e300  # no figure of ours comes near, and infinity is none
_SHOWN = 40  # letters of a wrong value


@dataclass(frozen=True, slots=True)
class Procedure:
    """How it was measured.

    Attributes:
        seconds: time for each configuration, warm-up included.
        rounds: turns that this time was split into.
        warmup_share: share of each turn that was not counted.
        warmup_calls: calls of each turn that were not counted at the least.
        most_calls: a configuration ended early after so many.
        calls_needed: calls that each percentile needs.
        spinning: whether idle threads waited busily.
        cold_starts: fresh processes for each bundle and provider.
        providers: as asked for.
        threads: thread counts, as asked for.
        batches: batch sizes, as asked for.
    """

    seconds: float
    rounds: int
    warmup_share: float
    warmup_calls: int
    most_calls: int
    calls_needed: dict[str, int]
    spinning: bool
    cold_starts: int
    providers: tuple[str, ...]
    threads: tuple[int, ...]
    batches: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class BundleFacts:
    """A bundle.

    Attributes:
        name: how the other lists call it.
        path: the file.
        size_bytes: of the file.
        sha256: of the file.
        model: name of the model specification.
        precision: "fp32", "fp16" or "int8".
        method: how it was quantised.
        checkpoint_sha256: what it was exported from: bundles of one checkpoint are one model.
        accuracy: of the bundle, on a test split, else on a validation split; None where the manifest has neither.
    """

    name: str
    path: str
    size_bytes: int
    sha256: str
    model: str
    precision: str
    method: str
    checkpoint_sha256: str
    accuracy: Accuracy | None


@dataclass(frozen=True, slots=True)
class ColdStartFacts:
    """The fresh processes of a bundle on a provider; durations and peaks are medians.

    Attributes:
        bundle: its name.
        requested_provider: as asked for.
        provider: where it ran.
        processes: how many were timed.
        wall_ms: from before the interpreter until the process is gone.
        import_ms: numpy, onnxruntime and edge.
        load_ms: file, digest, manifest and session.
        first_run_ms: the first image.
        peak_bytes: most memory resident, one image; None where the system does not tell.
        largest_batch: images of the largest batch that was asked for.
        largest_batch_peak_bytes: most memory resident in one process that also ran this batch.
        all_wall_ms: of each process, in the order of time.
    """

    bundle: str
    requested_provider: str
    provider: str
    processes: int
    wall_ms: float
    import_ms: float
    load_ms: float
    first_run_ms: float
    peak_bytes: int | None
    largest_batch: int
    largest_batch_peak_bytes: int | None
    all_wall_ms: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class SessionFacts:
    """A session in the measuring process.

    Attributes:
        bundle: its name.
        requested_provider: as asked for.
        provider: where it ran, proved.
        reason: why there.
        threads: threads inside one operator.
        placement: number of nodes by the provider that ran them, from a profile.
        verification_failure: the step at which `edge verify` refuses the bundle here, and why; None when it passes.
        loads: how many fresh loads were timed.
        load_ms: their median, from the bytes in memory; None when there were none.
    """

    bundle: str
    requested_provider: str
    provider: str
    reason: str
    threads: int
    placement: dict[str, int]
    verification_failure: str | None
    loads: int
    load_ms: float | None


@dataclass(frozen=True, slots=True)
class LatencyFacts:
    """The calls of one configuration.

    Attributes:
        bundle: its name.
        requested_provider: as asked for.
        provider: where it ran, proved.
        threads: threads inside one operator.
        batch: images of a call.
        calls: how many were timed.
        warmup_calls: how many were not counted.
        latency_us: of a call, by the name of the percentile.
        latency_per_image_us: the same, divided by the batch.
        fastest_us: the shortest call.
        slowest_us: the longest call.
        images_per_second: images of all timed calls by the time that these took.
        whole_percentiles_us: of a call, the percentiles 1 to 99.
    """

    bundle: str
    requested_provider: str
    provider: str
    threads: int
    batch: int
    calls: int
    warmup_calls: int
    latency_us: dict[str, float | None]
    latency_per_image_us: dict[str, float | None]
    fastest_us: float
    slowest_us: float
    images_per_second: float
    whole_percentiles_us: tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class Failure:
    """Something that could not be measured.

    Attributes:
        bundle: its name.
        requested_provider: as asked for.
        threads: threads inside one operator; None in a fresh process, which chose them itself.
        batch: images of a call; None where not even a session could be made.
        reason: why not; what to do next.
    """

    bundle: str
    requested_provider: str
    threads: int | None
    batch: int | None
    reason: str


@dataclass(frozen=True, slots=True)
class Results:
    """All that was measured, with all that is needed to judge it.

    Attributes:
        complete: whether it ran to its end.
        machine: where it was measured.
        settings: how.
        bundles: what.
        cold_starts: fresh processes.
        sessions: sessions of the measuring process.
        latencies: their calls.
        failures: what could not be measured.
        schema: name and number of this form.
    """

    complete: bool
    machine: Machine
    settings: Procedure
    bundles: tuple[BundleFacts, ...]
    cold_starts: tuple[ColdStartFacts, ...]
    sessions: tuple[SessionFacts, ...]
    latencies: tuple[LatencyFacts, ...]
    failures: tuple[Failure, ...]
    schema: str = SCHEMA

    def document(self) -> dict[str, Any]:
        """The same as plain JSON values, the schema first."""
        return {"schema": self.schema} | asdict(self)


def read(path: Path) -> Results:
    """Reads a document that `edge bench --json` printed, perhaps on another machine.

    Args:
        path: the file.

    Raises:
        InputError: it cannot be read, is no such document or damaged, or its measurement was stopped early.
    """
    again = "measure again with: edge bench --json > results.json"
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}; name what `edge bench --json` printed") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is no JSON document ({error}); {again}") from error
    schema = content.get("schema") if isinstance(content, dict) else None
    if schema != SCHEMA:
        raise InputError(f"{path} has the schema {schema!r}, expected {SCHEMA!r}; {again}")
    try:
        results: Results = _typed(Results, content, "")
        _check_references(results)
    except ValueError as error:
        raise InputError(f"{path} is damaged: {error}; {again}") from error
    if not results.complete:
        raise InputError(f"{path} was stopped early; {again}")
    return results


def _typed(kind: Any, value: Any, where: str) -> Any:  # noqa: ANN401 - a return for each kind of JSON value
    """The value as the annotation of a field wants it; a key that is not there is None.

    Raises:
        ValueError: it is something else.
    """
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in {types.UnionType, typing.Union}:  # always "or None" here
        return None if value is None else _typed(arguments[0], value, where)
    if is_dataclass(kind) and isinstance(value, dict):
        make, hints = typing.cast("type[Any]", kind), typing.get_type_hints(kind)
        return make(**{key: _typed(hint, value.get(key), f"{where}.{key}") for key, hint in hints.items()})
    if origin is tuple and isinstance(value, list):
        return tuple(_typed(arguments[0], each, f"{where}[{at}]") for at, each in enumerate(value))
    if origin is dict and isinstance(value, dict):
        return {key: _typed(arguments[1], each, f"{where}[{key!r}]") for key, each in value.items()}
    if kind is float and type(value) in {int, float} and abs(value) < _LARGEST:  # false for what is not a number
        return float(value)
    if type(value) is kind and kind is not float:
        return value
    raise ValueError(f"{where.lstrip('.')} is {json.dumps(value)[:_SHOWN]}")


def _check_references(results: Results) -> None:
    """Checks what a reader relies on beyond the types.

    Raises:
        ValueError: a bundle, a percentile or a setting is missing.
    """
    names = {each.name for each in results.bundles}
    measured = [each.bundle for each in results.cold_starts] + [each.bundle for each in results.sessions]
    measured += [each.bundle for each in results.latencies] + [each.bundle for each in results.failures]
    if unknown := set(measured) - names:
        raise ValueError(f"{min(unknown)!r} was measured, and is none of its bundles")
    for latency in results.latencies:
        if not (latency.latency_us.keys() & latency.latency_per_image_us.keys()) >= PERCENTILES.keys():
            raise ValueError(f"a latency of {latency.bundle!r} lacks a percentile")
        if min((value for value in latency.latency_us.values() if value is not None), default=1.0) <= 0:
            raise ValueError(f"a latency of {latency.bundle!r} is not above 0")
    if not (results.settings.providers and results.settings.threads and results.settings.batches):
        raise ValueError("its settings ask for nothing")
