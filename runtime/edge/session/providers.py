"""Providers: where a model runs, proved by a session, or refused with the reason and the repair.

A provider is proved, never believed. onnxruntime lists CUDA when it was compiled in, and falls back to the CPU with a
log line when the libraries or the device are missing; here "cuda" is a session in which no node may run on the CPU, or
a `ProviderError` that names the first obstacle, which is asked of the machine because onnxruntime only logs it.
"""

import ctypes
import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

from edge.bundle.manifest import Manifest, ProviderName
from edge.errors import ProviderError, RuntimeMissingError
from edge.session import probes
from edge.session import runtime as installed
from edge.session.runtime import failures, first_line

Provider = Literal["auto", "cpu", "cuda"]

PROVIDERS: tuple[Provider, ...] = ("auto", "cpu", "cuda")
EXECUTION_PROVIDERS: dict[ProviderName, str] = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}

_DRIVER = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
_PROVIDER_LIBRARY = "onnxruntime_providers_cuda.dll" if sys.platform == "win32" else "libonnxruntime_providers_cuda.so"
_INSTALL_LIBRARIES = "pip install 'onnxruntime-gpu[cuda,cudnn]'"

# TF32 rounds the operands of a product to 10 bits: its logits would not keep to the fp32 tolerance of 1e-4.
_CUDA_OPTIONS = {"use_tf32": "0"}

# onnxruntime's levels of its loggers, from 0 (verbose) to 4 (fatal): what matters is raised, and told by our own
# messages. Its process-wide logger cannot be asked for its current level.
_FATAL = 4
_DEFAULT = 2


@dataclass(frozen=True, slots=True)
class Options:
    """How a session runs.

    Attributes:
        threads: threads inside one operator, at least 1. Always given, because onnxruntime would otherwise take
            every processor of the machine and fail to pin its threads inside a container.
        spinning: whether idle threads wait busily: a little faster, at the price of a processor each.
        profile: prefix of onnxruntime's profile file; None for no profile.
    """

    threads: int = 1
    spinning: bool = False
    profile: Path | None = None


def open_best(
    data: bytes, options: Options, manifest: Manifest | None, *, on_cpu: bytes
) -> tuple[Any, ProviderName, str]:
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


def open_on(data: bytes, provider: ProviderName, options: Options, manifest: Manifest | None) -> Any:  # noqa: ANN401
    """The native session on one provider.

    Args:
        data: the ONNX model, which must have been checked.
        provider: "cpu" or "cuda".
        options: how it runs.
        manifest: what the bundle says; it sharpens the messages and says which providers can run it.

    Raises:
        RuntimeMissingError: onnxruntime is not installed, or broken.
        ProviderError: the provider cannot run the model here, or onnxruntime cannot load it.
    """
    if manifest is not None and provider not in manifest.providers:
        raise ProviderError(_not_made_for(provider, manifest))
    runtime = installed.load()
    if provider == "cpu":
        try:
            return _native(runtime, data, "cpu", options)
        except failures() as error:
            raise _cannot_load(runtime, error, manifest) from error
    return _open_cuda(runtime, data, options)


def _not_made_for(provider: ProviderName, manifest: Manifest) -> str:
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


def _open_cuda(runtime: ModuleType, data: bytes, options: Options) -> Any:  # noqa: ANN401
    execution = EXECUTION_PROVIDERS["cuda"]
    version = runtime.__version__
    if execution not in runtime.get_available_providers():
        clash = installed.clash()
        raise ProviderError(
            f"onnxruntime {version} was built without CUDA; "
            + (clash or f"swap it for the GPU build: {installed.SWAP_TO_GPU}")
        )
    with _quiet(runtime):
        _preload(runtime)
        try:
            native = _native(runtime, data, "cuda", options)
        except failures() as error:
            reason = _obstacle(runtime, first_line(error))
            raise ProviderError(reason) from error
    if native.get_providers()[:1] != [execution]:
        raise ProviderError(f"onnxruntime {version} replaced CUDA by {native.get_providers()}; use --provider cpu")
    return native


def _native(runtime: ModuleType, data: bytes, provider: ProviderName, options: Options) -> Any:  # noqa: ANN401
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
    if provider == "cpu":
        return runtime.InferenceSession(data, settings, providers=[EXECUTION_PROVIDERS["cpu"]])
    settings.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    return runtime.InferenceSession(
        data, settings, providers=[(EXECUTION_PROVIDERS["cuda"], _CUDA_OPTIONS)], enable_fallback=0
    )


def prove(provider: ProviderName) -> None:
    """Proves by a session of one node that a provider works on this machine.

    Raises:
        RuntimeMissingError: onnxruntime is not installed, or broken.
        ProviderError: it does not work; the message names what is missing.
    """
    import numpy as np

    native = open_on(probes.addition(), provider, Options(), None)
    try:
        native.run(None, {probes.INPUT: np.ones(1, np.float32)})
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


def _obstacle(runtime: ModuleType, reason: str) -> str:
    """Finds the first obstacle after a CUDA session failed for that reason: `what happened; what to do next`."""
    if missing := _load_failure(_DRIVER):
        return f"this machine has no NVIDIA driver ({missing}); install the driver, or use --provider cpu"
    library = Path(runtime.__file__ or "").parent / "capi" / _PROVIDER_LIBRARY
    if missing := _load_failure(str(library)):
        return f"the CUDA libraries cannot be loaded ({missing}); install them with: {_INSTALL_LIBRARIES}"
    try:
        _native(runtime, probes.addition(), "cuda", Options())
    except Exception as error:  # noqa: BLE001 - whatever it is, it is the answer
        line = (str(error).splitlines() or [type(error).__name__])[0]
        return f"CUDA does not start here ({line}); check the GPU with `nvidia-smi`, or use --provider cpu"
    if "default CPU EP" in reason:
        reason = "some of its nodes have no CUDA kernel"
    return (
        f"CUDA works here, but not for this model: {reason}; export it with --precision fp16 or fp32, "
        "or use --provider cpu"
    )


def _load_failure(library: str) -> str | None:
    """The loader's complaint about a library; None when it loads."""
    try:
        ctypes.CDLL(library)
    except OSError as error:
        return (str(error).splitlines() or [library])[0]
    return None
