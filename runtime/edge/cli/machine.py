"""What this machine can run, found out by doing it, with the repair, and what bundles cost on it: `doctor`, `bench`."""

import json
import platform
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from edge.bundle import shipped
from edge.cli import main
from edge.cli.arguments import JsonOption
from edge.errors import InputError, ProviderError, RuntimeMissingError
from edge.session import cpu, providers, runtime
from edge.session.providers import Provider
from edge.text.table import aligned
from edge.text.terminal import ProgressBar, printable

if TYPE_CHECKING:
    from edge.bench.results import Results
    from edge.verification import Verification

State = Literal["ok", "note", "broken"]

_PACKAGES = ("edge-toolkit", "numpy", "pillow", "typer")


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at.

    Attributes:
        name: what was looked at.
        state: "ok"; "note" for what is absent but not needed; "broken" for what must be repaired.
        detail: what was found.
        repair: what to type; None where nothing is to be done.
    """

    name: str
    state: State
    detail: str
    repair: str | None = None


def doctor(as_json: JsonOption = False) -> None:
    """Examine this machine, and say the repair.

    The installation, the providers (proved by sessions), the processor, and every shipped bundle.
    """
    checks = list(examine())
    broken = [check for check in checks if check.state == "broken"]
    if as_json:
        typer.echo(json.dumps({"healthy": not broken, "checks": [asdict(check) for check in checks]}))
    else:
        for check, line in zip(checks, aligned([(c.state, c.name, printable(c.detail)) for c in checks]), strict=True):
            typer.echo(line)
            if check.repair and check.state != "ok":
                typer.echo(f"        -> {check.repair}")
    if broken:
        names = ", ".join(check.name for check in broken)
        typer.echo(f"edge: broken: {names}; follow the arrows above", err=True)
        raise typer.Exit(1)


def examine(root: Path = Path("/")) -> Iterator[Check]:
    """Looks at the installation, the runtime, the processor and the shipped bundles, one check at a time.

    Args:
        root: where `proc` and `sys` are found; only tests give another.
    """
    yield Check("python", "ok", f"{platform.python_version()} on {platform.system()} {platform.machine()}")
    yield from _packages()
    yield from _extras()
    yield Check("cpus", "ok", _cpus(root))
    yield _telemetry()
    if arrays := _arrays():
        yield arrays
        return
    # What kills the process that imports it is asked in a child, and nothing else here may import it then.
    if crash := runtime.crash():
        yield Check("runtime", "broken", *_split(crash))
        return
    yield _runtime()
    yield _provider("cpu")
    yield _provider("cuda")
    yield from _other_providers()
    yield _products(root)
    yield from _bundles()


def _packages() -> Iterator[Check]:
    for name in _PACKAGES:
        if found := runtime.version(name):
            yield Check(name, "ok", found)
        else:
            # From a source tree edge runs without being installed; its requirements have to be.
            state: State = "note" if name == "edge-toolkit" else "broken"
            yield Check(name, state, "not installed", f"pip install {name}")


def _arrays() -> Check | None:
    """What keeps NumPy from being imported, without which nothing else can be looked at."""
    try:
        import numpy as np  # noqa: F401 - only whether it can be
    except ImportError as error:
        # NumPy's own text is a page long and says in one line what it was.
        lines = str(error).splitlines() or [type(error).__name__]
        reason = next((line for line in lines if line.startswith("Original error was: ")), lines[0])
        reason = reason.removeprefix("Original error was: ")
        repair = runtime.missing_library(reason) or "pip install --force-reinstall numpy"
        return Check("arrays", "broken", f"NumPy cannot be imported ({reason})", repair)
    return None


def _extras() -> Iterator[Check]:
    for extra, packages in main.PACKAGES.items():
        versions = {name: runtime.version(name) for name in packages}
        if all(versions.values()):
            yield Check(f"extra {extra}", "ok", ", ".join(f"{name} {found}" for name, found in versions.items()))
        else:
            missing = ", ".join(name for name, found in versions.items() if not found)
            yield Check(f"extra {extra}", "note", f"without {missing}", f"pip install 'edge-toolkit[{extra}]'")


def _runtime() -> Check:
    found = runtime.runtimes()
    listed = ", ".join(f"{name} {number}" for name, number in found.items()) or "none"
    try:
        loaded = runtime.load().__version__
    except RuntimeMissingError as error:
        return Check("runtime", "broken", *_split(str(error)))
    if len(found) > 1:
        return Check(
            "runtime",
            "broken",
            f"{listed} are both installed and overwrite each other's files; the one that answers is {loaded}",
            runtime.repair(found),
        )
    return Check("runtime", "ok", f"{listed}, imported as {loaded}")


def _telemetry() -> Check:
    if runtime.telemetry_is_off():
        return Check("telemetry", "ok", "off: ONNX Runtime tells its maker nothing")
    repair = "take ORT_DISABLE_TELEMETRY out of the environment, or set it to 1"
    return Check("telemetry", "note", "on: ONNX Runtime tells its maker about this machine", repair)


def _provider(name: str) -> Check:
    try:
        providers.prove(name)
    except ProviderError as error:
        # Beside the CPU, only who installed the build for a provider expects it.
        expected = name == "cpu" or runtime.MADE_FOR_PROVIDER.get(name) in runtime.runtimes()
        return Check(f"provider {name}", "broken" if expected else "note", *_split(str(error)))
    return Check(f"provider {name}", "ok", "proved by a session")


def _other_providers() -> Iterator[Check]:
    """Those that are compiled in beside the CPU and CUDA; azure computes nothing, it asks others over the network."""
    try:
        names = runtime.built_in()
    except RuntimeMissingError:
        return
    yield from (_provider(name) for name in names if name not in {"cpu", "cuda", "azure"})


def _cpus(root: Path) -> str:
    quota = cpu.cgroup_quota(root)
    limit = "no quota" if quota is None else f"a quota of {quota:g}"
    return f"{cpu.allowed(root)} allowed ({limit})"


def _products(root: Path) -> Check:
    found = cpu.instruction_sets(root)
    listed = "unknown instructions"
    if found is not None:
        listed = ", ".join(name for name in cpu.INT8_INSTRUCTIONS if name in found) or "none of the instructions for it"
    exact = cpu.int8_is_exact()
    if exact:
        return Check("int8 products", "ok", f"summed exactly, measured ({listed})")
    if exact is None:
        return Check("int8 products", "note", f"not measured ({listed})", "edge verify the int8 bundle that you use")
    return Check(
        "int8 products",
        "note",
        f"saturate, measured ({listed}): bundles for any target are exact, those for vnni or arm64 are not here",
        "edge verify the int8 bundle that you use",
    )


def _bundles() -> Iterator[Check]:
    names = shipped.names()
    if not names:
        yield Check("bundles", "broken", "none is shipped", "pip install --force-reinstall edge-toolkit")
    from edge.verification import verify

    for name in names:
        yield _bundle(f"bundle {name}", verify(shipped.locate(name), "cpu"))


def _bundle(title: str, outcome: "Verification") -> Check:
    failed = outcome.failed
    if failed is None:
        return Check(title, "ok", outcome.steps[-1].detail)
    return Check(
        title, "broken", f"{failed.name}: {failed.detail}", "use the fp32 bundle, or re-export on this machine"
    )


def _split(message: str) -> tuple[str, str]:
    """Every message is `what happened; what to do next`."""
    happened, _, repair = message.partition("; ")
    return happened, repair


def bench(
    bundles: Annotated[
        list[str] | None, typer.Argument(metavar="[BUNDLE]...", help="Paths, or names of shipped ones; default: all.")
    ] = None,
    *,
    batch: Annotated[str, typer.Option(metavar="N,...", help="Batch sizes.")] = "1,16,256",
    threads: Annotated[str, typer.Option(metavar="N,...", help="Threads inside one operator.")] = "1",
    provider: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME,...", help="Where to run; several are compared. [default: auto]"),
    ] = None,
    seconds: Annotated[float, typer.Option(help="Time for each bundle, provider, thread count and batch size.")] = 3.0,
    cold_starts: Annotated[int, typer.Option(help="Fresh processes for each bundle and provider; 0 for none.")] = 5,
    as_json: JsonOption = False,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw latency against accuracy, as .png or .svg.")
    ] = None,
    from_file: Annotated[
        Path | None,
        typer.Option("--from", metavar="FILE", help="Show what --json printed, here or on a device; measure nothing."),
    ] = None,
    tune: Annotated[
        bool, typer.Option("--tune", help="Measure instead how each bundle runs many images fastest, and keep that.")
    ] = False,
) -> None:
    """Measure bundles on this machine.

    Latency, throughput, load, cold start and memory, all bundles in turns. Ctrl-C shows what there is so far.
    """
    if tune:
        if as_json or plot is not None or from_file is not None:
            raise typer.BadParameter("--tune prints its own table; leave --json, --plot and --from out.")
        _tune(bundles or [shipped.DEFAULT])
        return
    if from_file is not None and bundles:
        raise typer.BadParameter("--from shows the bundles of its file; leave out their names.")
    from edge.bench import presentation
    from edge.bench import results as documents
    from edge.bench.benchmark import bundle_facts, run
    from edge.bench.measurement import Experiment, named_bundles

    known = None if from_file is None else documents.read(from_file)
    try:
        experiment = Experiment(
            subjects=() if from_file is not None else named_bundles(bundles or []),
            providers=_providers(provider or ["auto"]),
            threads=_counts("--threads", threads),
            batches=_counts("--batch", batch),
            seconds=seconds,
            cold_starts=cold_starts,
        )
        if plot is not None:
            presentation.check_plot(plot, known.bundles if known else map(bundle_facts, experiment.subjects))
    except InputError as error:
        raise typer.BadParameter(str(error)) from error
    results = known or run(experiment, ProgressBar(in_logs=True))
    _show(results, as_json=as_json)
    if not results.complete:
        raise typer.Exit(130)
    if plot is not None:
        presentation.write_plot(results, plot)
        typer.echo(f"wrote {plot}", err=True)
    if results.failures:
        raise typer.Exit(1)


def _tune(names: list[str]) -> None:
    """Chunk size and threads for each bundle, measured and kept for `edge.load` and `edge predict`."""
    from edge.bench import tuning
    from edge.bundle import bundle

    for found in [bundle.read(shipped.locate(name)) for name in names]:
        bar = ProgressBar()

        def show(done: int, total: int, bar: ProgressBar = bar) -> None:
            if done == 1:
                bar.begin(total)
            bar.show(done)

        measured = tuning.tune(found, progress=show)
        bar.clear()
        typer.echo("\n".join(measured.lines()))


def _show(results: "Results", *, as_json: bool) -> None:
    from edge.bench import presentation

    if as_json:
        typer.echo(json.dumps(results.document()))
    else:
        blocks = [
            [presentation.machine_line(results)],
            presentation.latency_lines(results),
            presentation.cost_lines(results),
        ]
        typer.echo("\n\n".join("\n".join(block) for block in blocks if block))
    for line in (*presentation.warning_lines(results), *presentation.failure_lines(results)):
        typer.echo(f"edge: {line}", err=True)
    if not results.complete:
        some = results.latencies or results.cold_starts
        typer.echo(
            f"edge: stopped early; {'these are the figures so far' if some else 'nothing is measured yet'}", err=True
        )


def _providers(options: list[str]) -> tuple[Provider, ...]:
    """The choices of one or several comma-separated lists, each once."""
    words = dict.fromkeys(word.strip() for option in options for word in option.split(","))
    for word in words:
        providers.check(word)
    return tuple(words)


def _counts(option: str, text: str) -> tuple[int, ...]:
    """The numbers of a comma-separated list, ascending, each once."""
    try:
        return tuple(sorted({int(word) for word in text.split(",")}))
    except ValueError as error:
        raise InputError(f"{option} {text!r} is no list of whole numbers; write for example {option} 1,16") from error
