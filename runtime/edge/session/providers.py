"""Providers: where a model runs, proved by a session, or refused with the reason and the repair.

A provider is proved, never believed. onnxruntime lists CUDA when it was compiled in, and falls back to the CPU with a
log line when the libraries or the device are missing; here "cuda" is a session in which no node may run on the CPU, or
a `ProviderError` that names the first obstacle, which is asked of the machine because onnxruntime only logs it. The
same holds for every other provider that ONNX Runtime has. What it is called there is its short name here: "openvino"
for OpenVINOExecutionProvider.
"""

import ctypes
import io
import json
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

from edge.bundle.input import COLUMNS, NAME, ROWS
from edge.bundle.manifest import Manifest
from edge.errors import InputError, ProviderError, RuntimeMissingError
from edge.session import runtime as installed
from edge.session.cpu import PROBE_INPUT, addition
from edge.session.runtime import failures, first_line, short_name

Provider = str
"""Where a model is asked to run: "auto", "cpu", "cuda", or the short name of another provider of ONNX Runtime."""

PROVIDERS = ("auto", "cpu", "cuda")
"""Those that need no ONNX Runtime to be known, and that bundles are made for."""

BATCHES = (1, 64)
"""Images in the runs that show where nodes are placed: a graph may take another branch for a batch than for one."""

_CPU = "CPUExecutionProvider"
_MADE_FOR = frozenset({"cpu", "cuda"})  # what a manifest speaks of; only a session tells about all others

_DRIVER = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
_LIBRARY = "onnxruntime_providers_{}.dll" if sys.platform == "win32" else "libonnxruntime_providers_{}.so"
_INSTALL_LIBRARIES = "pip install 'onnxruntime-gpu[cuda,cudnn]'"
_ON_NVIDIA = frozenset({"cuda", "tensorrt"})

# onnxruntime's levels of its loggers, from 0 (verbose) to 4 (fatal): what matters is raised, and told by our own
# messages. Its process-wide logger cannot be asked for its current level.
_FATAL = 4
_DEFAULT = 2

_MOST_OPERATORS_NAMED = 4


@dataclass(frozen=True, slots=True)
class Options:
    """How a session runs.

    Attributes:
        threads: threads inside one operator, at least 1. Always given, because onnxruntime would otherwise take
            every processor of the machine and fail to pin its threads inside a container.
        spinning: whether idle threads wait busily: a little faster, at the price of a processor each.
        profile: prefix of onnxruntime's profile file; None for no profile.
        provider_options: settings of the provider, as ONNX Runtime names them; they hold above edge's own.
    """

    threads: int = 1
    spinning: bool = False
    profile: Path | None = None
    provider_options: tuple[tuple[str, str], ...] = ()


def check(provider: Provider, provider_options: Mapping[str, str] | None = None) -> None:
    """Refuses a word that names no provider, and settings for one that takes none.

    Args:
        provider: as it was typed.
        provider_options: settings that were given for it.

    Raises:
        InputError: there is no such provider, or no such setting.
        RuntimeMissingError: onnxruntime is not installed, or broken, and none but it knows the word.
    """
    if provider not in PROVIDERS and provider not in (known := installed.providers()):
        more = ", ".join(sorted(set(known) - set(PROVIDERS)))
        raise InputError(f"there is no provider {provider!r}; use one of {', '.join(PROVIDERS)}, {more}")
    if provider_options and provider in {"auto", "cpu"}:
        raise InputError(
            f"provider options are settings of one provider, and {provider} takes none; name the one that they are for"
        )


def open_best(data: bytes, options: Options, manifest: Manifest | None, *, on_cpu: bytes) -> tuple[Any, str, str]:
    """The native session on CUDA where that is proved, else on the CPU; where that is, and why.

    Args:
        data: the ONNX model, which must have been checked.
        options: how it runs.
        manifest: what the bundle says; it sharpens the messages and says which providers can run it.
        on_cpu: what is loaded in the place of `data` on the CPU.

    Raises:
        RuntimeMissingError: onnxruntime is not installed, or broken.
        ProviderError: onnxruntime cannot load the model.
    """
    try:
        return open_on(data, "cuda", options, manifest), "cuda", "CUDA is proved here"
    except RuntimeMissingError:
        raise
    except ProviderError as error:
        obstacle = str(error).partition("; ")[0]
        return open_on(on_cpu, "cpu", options, manifest), "cpu", f"no CUDA: {obstacle}"


def open_on(data: bytes, provider: str, options: Options, manifest: Manifest | None) -> Any:  # noqa: ANN401
    """The native session on one provider.

    Args:
        data: the ONNX model, which must have been checked.
        provider: "cpu", "cuda", or the short name of another one.
        options: how it runs.
        manifest: what the bundle says; it sharpens the messages and says which providers can run it.

    Raises:
        RuntimeMissingError: onnxruntime is not installed, or broken.
        ProviderError: the provider cannot run the model here, or onnxruntime cannot load it.
    """
    if manifest is not None and not _is_made_for(provider, manifest):
        raise ProviderError(_not_made_for(provider, manifest))
    runtime = installed.load()
    if provider == "cpu":
        try:
            return _native(runtime, data, _CPU, options)
        except failures() as error:
            raise _cannot_load(runtime, error, manifest) from error
    return _open_strictly(runtime, data, provider, options)


def _is_made_for(provider: str, manifest: Manifest) -> bool:
    """Whether a session is worth a try: a provider that no manifest speaks of may run what the CPU runs."""
    return provider in manifest.providers or (provider not in _MADE_FOR and "cpu" in manifest.providers)


def _not_made_for(provider: str, manifest: Manifest) -> str:
    if provider == "cuda" and "cpu" in manifest.providers:
        return (
            f"{manifest.name} has {manifest.precision} kernels that exist on the CPU only; export "
            f"{manifest.model} for CUDA with `edge export --model {manifest.model} --precision fp16` (or fp32), "
            "or use --provider cpu"
        )
    return (
        f"{manifest.name} was made for {', '.join(manifest.providers)}, not for {provider}; "
        "upgrade edge with: pip install -U edge-toolkit, or export the model again with `edge export`"
    )


def _open_strictly(runtime: ModuleType, data: bytes, provider: str, options: Options) -> Any:  # noqa: ANN401
    """A session of which no node may run on the CPU."""
    execution = installed.providers().get(provider, provider)
    name, version = _display(execution), runtime.__version__
    if execution not in runtime.get_available_providers():
        raise ProviderError(f"onnxruntime {version} was built without {name}; {_where_it_is(provider)}")
    with _quiet(runtime):
        if provider in _ON_NVIDIA:
            _preload(runtime)
        try:
            native = _native(runtime, data, execution, options)
        except failures() as error:
            reason = _obstacle(runtime, data, provider, options, first_line(error))
            raise ProviderError(reason) from error
    if native.get_providers()[:1] != [execution]:
        raise ProviderError(f"onnxruntime {version} replaced {name} by {native.get_providers()}; use --provider cpu")
    return native


def _where_it_is(provider: str) -> str:
    if clash := installed.clash():
        return clash
    if line := installed.swap_line(provider):
        build = "GPU build" if provider in _ON_NVIDIA else "build that has it"
        return f"swap it for the {build}: {line}"
    return "use a build of ONNX Runtime that has it, or --provider cpu"


def _display(execution: str) -> str:
    """ONNX Runtime's own spelling of a provider, such as "OpenVINO"."""
    return execution.removesuffix("ExecutionProvider")


def _settings(execution: str, options: Options) -> dict[str, str]:
    """What a provider is told: edge's own settings, and above them the user's."""
    own: dict[str, dict[str, str]] = {
        # TF32 rounds the operands of a product to 10 bits: its logits would not keep to the fp32 tolerance of 1e-4.
        "CUDAExecutionProvider": {"use_tf32": "0"},
        # It has threads of its own, and would take all processors.
        "OpenVINOExecutionProvider": {"num_of_threads": str(options.threads)},
    }
    return own.get(execution, {}) | dict(options.provider_options)


def _native(
    runtime: ModuleType,
    data: bytes,
    execution: str,
    options: Options,
    *,
    strict: bool = True,
) -> Any:  # noqa: ANN401
    settings = runtime.SessionOptions()
    settings.intra_op_num_threads = options.threads
    settings.inter_op_num_threads = 1
    settings.execution_mode = runtime.ExecutionMode.ORT_SEQUENTIAL
    settings.log_severity_level = _FATAL
    spinning = "1" if options.spinning else "0"
    settings.add_session_config_entry("session.intra_op.allow_spinning", spinning)
    settings.add_session_config_entry("session.inter_op.allow_spinning", spinning)
    if options.profile is not None:
        settings.enable_profiling = True
        settings.profile_file_prefix = str(options.profile)
    if execution == _CPU:
        return runtime.InferenceSession(data, settings, providers=[_CPU])
    if strict:
        settings.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    return runtime.InferenceSession(
        data, settings, providers=[(execution, _settings(execution, options))], enable_fallback=0
    )


def prove(provider: str) -> None:
    """Proves by a session of one node that a provider works on this machine.

    Raises:
        RuntimeMissingError: onnxruntime is not installed, or broken.
        ProviderError: it does not work; the message names what is missing.
    """
    import numpy as np

    native = open_on(addition(), provider, Options(), None)
    try:
        native.run(None, {PROBE_INPUT: np.ones(1, np.float32)})
    except failures() as error:
        raise ProviderError(f"{provider} failed at its first node: {first_line(error)}; use --provider cpu") from error


def _cannot_load(runtime: ModuleType, error: Exception, manifest: Manifest | None) -> ProviderError:
    version = runtime.__version__
    advice = "upgrade it with: pip install -U onnxruntime"
    if manifest is not None:
        advice = f"the bundle was tested with {manifest.minimum_onnxruntime} and newer: pip install -U onnxruntime"
    return ProviderError(f"onnxruntime {version} cannot load the model: {first_line(error)}; {advice}")


@contextmanager
def _quiet(runtime: ModuleType) -> Iterator[None]:
    """Keeps onnxruntime's own logger still: what it would say about CUDA is told by our messages."""
    runtime.set_default_logger_severity(_FATAL)
    try:
        yield
    finally:
        runtime.set_default_logger_severity(_DEFAULT)


def _preload(runtime: ModuleType) -> None:
    """Loads the CUDA and cuDNN libraries that pip installed, which the system's loader does not find.

    Versions before 1.21 cannot, and rely on the system's libraries. A failure shows when the session is made.
    """
    if hasattr(runtime, "preload_dlls"):
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            runtime.preload_dlls()


def _obstacle(runtime: ModuleType, data: bytes, provider: str, options: Options, reason: str) -> str:
    """Finds the first obstacle after a session failed for that reason: `what happened; what to do next`."""
    execution = installed.providers().get(provider, provider)
    name = _display(execution)
    nvidia = provider in _ON_NVIDIA
    if nvidia and (missing := _load_failure(_DRIVER)):
        return f"this machine has no NVIDIA driver ({missing}); install the driver, or use --provider cpu"
    library = Path(runtime.__file__ or "").parent / "capi" / _LIBRARY.format(provider)
    if (provider == "cuda" or library.exists()) and (missing := _load_failure(str(library))):
        advice = f"install them with: {_INSTALL_LIBRARIES}" if nvidia else "install what it names"
        return f"the {name} libraries cannot be loaded ({missing}); {advice}"
    try:
        _native(runtime, addition(), execution, replace(options, profile=None))
    except Exception as error:  # noqa: BLE001 - whatever it is, it is the answer
        line = "it leaves every node to the CPU" if "default CPU EP" in str(error) else first_line(error)
        device = "the GPU with `nvidia-smi`" if nvidia else "its device and its options"
        return f"{name} does not start here ({line}); check {device}, or use --provider cpu"
    if "default CPU EP" in reason:
        reason = _left_over(runtime, data, execution, options) or f"some of its nodes have no {name} kernel"
    advice = "export it with --precision fp16 or fp32" if provider == "cuda" else "take an fp32 bundle"
    return f"{name} works here, but not for this model: {reason}; {advice}, or use --provider cpu"


def placement(native: Any, batches: Sequence[int] = BATCHES) -> dict[str, str]:  # noqa: ANN401 - onnxruntime is untyped
    """Runs batches of empty images, and ends the session's profile.

    Args:
        native: a session of a bundle's graph that writes a profile.
        batches: images in each run.

    Returns:
        Short name of the provider of each node that ran, keyed by "operator name", in the order of execution. The nodes
        are those that onnxruntime's optimiser left, and a provider may have made one of many.

    Raises:
        OSError: the profile cannot be read.
        Exception: one of `edge.session.runtime.failures`: a run failed.
    """
    import numpy as np

    for size in batches:
        native.run(None, {NAME: np.zeros((size, ROWS, COLUMNS), np.uint8)})
    events = json.loads(Path(native.end_profiling()).read_text(encoding="utf-8"))
    placed: dict[str, str] = {}
    for event in events:
        # Older versions also write fences around each node, which carry no provider.
        if event.get("cat") == "Node" and (execution := event["args"].get("provider")):
            node = event["name"].removesuffix("_kernel_time") or f"#{event['args'].get('node_index', '?')}"
            placed[f"{event['args']['op_name']} {node}"] = short_name(execution)
    return placed


def _left_over(runtime: ModuleType, data: bytes, execution: str, options: Options) -> str | None:
    """Names the operators that a provider leaves to the CPU where it may; None where that cannot be measured."""
    import tempfile

    try:
        with tempfile.TemporaryDirectory(prefix="edge-profile-") as folder:
            profiled = replace(options, profile=Path(folder) / "nodes")
            placed = placement(_native(runtime, data, execution, profiled, strict=False), [1])
    except OSError:
        return None
    except failures():
        return None
    left = Counter(node.partition(" ")[0] for node, where in placed.items() if where == "cpu")
    named = [operator for operator, _ in left.most_common(_MOST_OPERATORS_NAMED)]
    if len(left) > len(named):
        named.append("others")
    return f"it leaves {', '.join(named)} to the CPU ({left.total()} of {len(placed)} nodes)" if left else None


def _load_failure(library: str) -> str | None:
    """The loader's complaint about a library; None when it loads."""
    try:
        ctypes.CDLL(library)
    except OSError as error:
        return (str(error).splitlines() or [library])[0]
    return None
