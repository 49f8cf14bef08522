"""What was measured as aligned tables, for people."""

from collections.abc import Sequence

from edge.bench.results import ColdStartFacts, LatencyFacts, Results, SessionFacts
from edge.bench.turns import PERCENTILES
from edge.text.table import aligned, size
from edge.text.terminal import printable

ABSENT = "-"

_TEXT_COLUMNS = 2  # name and provider; all others are numbers and stand to the right


def machine_line(results: Results) -> str:
    """Where it was measured, in one line."""
    machine = results.machine
    if machine.int8_instructions is None:
        instructions = "int8 instructions unknown"
    else:
        instructions = ", ".join(machine.int8_instructions) or "no int8 instructions"
    cpus = "1 CPU" if machine.allowed_cpus == 1 else f"{machine.allowed_cpus} CPUs"
    software = f"Python {machine.python}, onnxruntime {machine.onnxruntime}"
    return f"{machine.cpu} ({instructions}), {cpus} allowed; {machine.system}; {software}"


def latency_lines(results: Results) -> list[str]:
    """A row for each configuration, below a title; nothing when no call was timed."""
    if not results.latencies:
        return []
    header = ["bundle", "provider", "threads", "batch", *PERCENTILES, "p50/image", "images/s", "calls"]
    lines = _table(header, [_latency_row(each) for each in results.latencies])
    if any(None in each.latency_us.values() for each in results.latencies):
        needed = ", ".join(f"{name} {count}" for name, count in results.settings.calls_needed.items())
        lines.append(f"{ABSENT}: too few calls (needed: {needed}); give more --seconds")
    return ["latency of a call, in microseconds", *lines]


def cost_lines(results: Results) -> list[str]:
    """A row for each bundle on each provider, below a title; nothing when nothing was measured."""
    starts = {(each.bundle, each.requested_provider): each for each in results.cold_starts}
    sessions = {(each.bundle, each.requested_provider): each for each in reversed(results.sessions)}
    keys = list(dict.fromkeys([*starts, *((each.bundle, each.requested_provider) for each in results.sessions)]))
    if not keys:
        return []
    sizes = {each.name: size(each.size_bytes) for each in results.bundles}
    loads = max((each.loads for each in results.sessions), default=0)
    title = [f"load of a session in milliseconds, median of {loads}"]
    header = ["bundle", "provider", "nodes", "file", "load"]
    columns = 6 if max(results.settings.batches) > 1 else 5  # the peak at batch 1 would be there twice
    if starts:
        count = max(each.processes for each in results.cold_starts)
        title.append(
            f"cold start in milliseconds, a fresh process that classifies one image, from before it until it is gone, "
            f"median of {count}"
        )
        header += ["cold start", "import", "load", "run", "peak", f"peak at {max(results.settings.batches)}"][:columns]
    rows = [
        [
            printable(key[0]),
            *_session_cells(sessions.get(key), sizes[key[0]]),
            *(_start_cells(starts.get(key))[:columns] if starts else []),
        ]
        for key in keys
    ]
    return [*title, *_table(header, rows)]


def failure_lines(results: Results) -> list[str]:
    """A line for each thing that could not be measured."""
    lines = []
    for each in results.failures:
        where = [f"on {each.requested_provider}"]
        where += [f"at batch {each.batch}"] * (each.batch is not None)
        lines.append(f"{printable(each.bundle)} {' '.join(where)}: {printable(each.reason)}")
    return list(dict.fromkeys(lines))


def warning_lines(results: Results) -> list[str]:
    """A line for each bundle whose figures are those of wrong answers."""
    lines = [
        f"{printable(each.bundle)} on {each.provider} fails `edge verify` at {printable(each.verification_failure)}; "
        "its figures are those of wrong answers"
        for each in results.sessions
        if each.verification_failure is not None
    ]
    return list(dict.fromkeys(lines))


def _latency_row(each: LatencyFacts) -> list[str]:
    return [
        printable(each.bundle),
        each.provider,
        str(each.threads),
        str(each.batch),
        *(_number(each.latency_us[name]) for name in PERCENTILES),
        _number(each.latency_per_image_us["p50"]),
        _number(each.images_per_second),
        str(each.calls),
    ]


def _session_cells(session: SessionFacts | None, file: str) -> list[str]:
    if session is None:
        return [ABSENT, ABSENT, file, ABSENT]
    count = str(sum(session.placement.values()))
    nodes = count if set(session.placement) == {session.provider} else _placement(session)
    return [session.provider, nodes, file, _number(session.load_ms)]


def _start_cells(start: ColdStartFacts | None) -> list[str]:
    if start is None:
        return [ABSENT] * 6
    durations = (start.wall_ms, start.import_ms, start.load_ms, start.first_run_ms)
    peaks = (start.peak_bytes, start.largest_batch_peak_bytes)
    return [*map(_number, durations), *(ABSENT if peak is None else size(peak) for peak in peaks)]


def _placement(session: SessionFacts) -> str:
    """The nodes where not all of them ran on the provider of the session."""
    return " + ".join(f"{count} {provider}" for provider, count in session.placement.items())


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return aligned([header, *rows], right=range(_TEXT_COLUMNS, len(header)))


def _number(value: float | None) -> str:
    """Three digits that mean something, or all before the point."""
    if value is None:
        return ABSENT
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:,.0f}"
