"""The only file that touches onnxruntime: sessions, providers, threads, and where each node really runs.

A provider is proved, never believed. onnxruntime lists CUDA when it was compiled in, and falls back to the CPU
with a log line when the libraries or the device are missing; here "cuda" is a session in which no node may run
on the CPU, or a `ProviderError` that names what is missing. onnxruntime is imported by the first session, so
that the commands that need none start quickly.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal

from edge.bundle.manifest import Manifest, ProviderName
from edge.errors import BundleError, InputError, ProviderError, RuntimeMissingError
from edge.session import cpu, installation, proof
from edge.session.cuda import explain, preload, quiet

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Provider = Literal["auto", "cpu", "cuda"]

PROVIDERS: tuple[Provider, ...] = ("auto", "cpu", "cuda")
EXECUTION_PROVIDERS: dict[ProviderName, str] = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}

INPUT = "image"
OUTPUTS = ("logits", "probabilities")

# Below this size handing work to other threads costs more than the work: the models of edge have 0.03 to 3 MB.
SMALL_MODEL_BYTES = 8 * 2**20

# TF32 rounds the operands of a product to 10 bits: its logits would not keep to the fp32 tolerance of 1e-4.
_CUDA_OPTIONS = {"use_tf32": "0"}

# onnxruntime's levels run from 0 (verbose) to 4 (fatal). What matters is raised, and told by our own messages.
_FATAL = 4

# A graph may take another branch for a batch than for a single image: both are run.
_PLACEMENT_BATCHES = (1, 64)


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


class Session:
    """A model loaded on one provider; may be used from several threads at once.

    Attributes:
        provider: where it runs, proved: "cpu" or "cuda".
        reason: why there, in a few words.
        threads: threads inside one operator.
    """

    __slots__ = ("_native", "provider", "reason", "threads")

    def __init__(self, native: Any, provider: ProviderName, reason: str, threads: int) -> None:  # noqa: ANN401 - untyped
        self._native = native
        self.provider = provider
        self.reason = reason
        self.threads = threads

    def run(self, images: "NDArray[np.uint8]") -> "tuple[NDArray[np.float32], NDArray[np.float32]]":
        """Runs one batch.

        Args:
            images: uint8 (N, 28, 28), N at least 1, ink 255 on background 0.

        Returns:
            logits and probabilities, each float32 (N, classes).

        Raises:
            ProviderError: onnxruntime failed, for example for lack of memory.
        """
        logits, probabilities = self.fetch(list(OUTPUTS), images)
        return logits, probabilities

    def fetch(self, outputs: list[str], images: "NDArray[np.uint8]") -> "list[NDArray[np.float32]]":
        """Runs one batch and gives the outputs of those names, in that order.

        Args:
            outputs: names of outputs of the graph.
            images: uint8 (N, 28, 28), N at least 1, ink 255 on background 0.

        Raises:
            ProviderError: onnxruntime failed, for example for lack of memory.
        """
        try:
            results: list[NDArray[np.float32]] = self._native.run(outputs, {INPUT: images})
        except _failures() as error:
            raise ProviderError(
                f"onnxruntime failed on a batch of {len(images)} images: {first_line(error)}; try a smaller batch"
            ) from error
        return results


def create(
    data: bytes,
    *,
    provider: Provider = "auto",
    threads: int | None = None,
    spinning: bool = False,
    manifest: Manifest | None = None,
) -> Session:
    """Makes a session of a bundle's graph.

    Args:
        data: the ONNX model, which must have been checked.
        provider: "cpu", "cuda" (proved or refused), or "auto": CUDA where it is proved, the CPU otherwise.
        threads: threads inside one operator; None takes 1 for small models and all allowed CPUs for others.
        spinning: whether idle threads wait busily.
        manifest: what the bundle says; it sharpens the messages and says which providers can run it.

    Raises:
        RuntimeMissingError: onnxruntime is not installed, or broken.
        ProviderError: the provider cannot run the model here, or onnxruntime cannot load it.
        BundleError: the graph has other inputs or outputs than a bundle.
        InputError: an unknown provider, or fewer threads than 1.
    """
    if provider not in PROVIDERS:
        raise InputError(f"there is no provider {provider!r}; use one of {', '.join(PROVIDERS)}")
    count = default_threads(len(data)) if threads is None else threads
    if count < 1:
        raise InputError(f"{count} threads cannot run anything; give 1 or more")
    options = Options(threads=count, spinning=spinning)
    if provider == "auto":
        native, placed, reason = _open_best(data, options, manifest)
    else:
        native, placed, reason = _open(data, provider, options, manifest), provider, "as asked for"
    _check_interface(native, None if manifest is None else len(manifest.labels))
    return Session(native, placed, reason, count)


def placement(data: bytes, provider: ProviderName, *, manifest: Manifest | None = None) -> dict[str, str]:
    """Measures where each node of a bundle's graph runs, from a profile of real runs.

    Args:
        data: the ONNX model.
        provider: where to run it.
        manifest: what the bundle says; it sharpens the messages.

    Returns:
        Provider ("cpu", "cuda", or onnxruntime's name of another one) of each node that ran, keyed by
        "operator name" in the order of execution. The nodes are those that onnxruntime's optimiser left.

    Raises:
        ProviderError: as `create`.
    """
    import tempfile

    import numpy as np

    with tempfile.TemporaryDirectory(prefix="edge-profile-") as folder:
        native = _open(data, provider, Options(profile=Path(folder) / "nodes"), manifest)
        for size in _PLACEMENT_BATCHES:
            native.run(None, {INPUT: np.zeros((size, 28, 28), np.uint8)})
        events = json.loads(Path(native.end_profiling()).read_text(encoding="utf-8"))
    names = {execution: name for name, execution in EXECUTION_PROVIDERS.items()}
    placed: dict[str, str] = {}
    for event in events:
        # Older versions also write fences around each node, which carry no provider.
        if event.get("cat") == "Node" and (execution := event["args"].get("provider")):
            node = event["name"].removesuffix("_kernel_time") or f"#{event['args'].get('node_index', '?')}"
            placed[f"{event['args']['op_name']} {node}"] = names.get(execution, execution)
    return placed


def prove(provider: ProviderName) -> None:
    """Proves by a session of one node that a provider works on this machine.

    Raises:
        RuntimeMissingError: onnxruntime is not installed, or broken.
        ProviderError: it does not work; the message names what is missing.
    """
    import numpy as np

    native = _open(proof.model(), provider, Options(), None)
    try:
        native.run(None, {proof.INPUT: np.ones(1, np.float32)})
    except _failures() as error:
        raise ProviderError(f"{provider} failed at its first node: {first_line(error)}; use --provider cpu") from error


def default_threads(size_bytes: int) -> int:
    """The threads for a model of that size: 1 for small ones, else every CPU that the process may use."""
    return 1 if size_bytes < SMALL_MODEL_BYTES else cpu.allowed()


def load_runtime() -> ModuleType:
    """Imports onnxruntime.

    Raises:
        RuntimeMissingError: it is not installed, or cannot be imported, or two distributions broke each other.
    """
    try:
        import onnxruntime
    except (ImportError, OSError, AttributeError) as error:
        raise RuntimeMissingError(installation.explain(first_line(error))) from error
    # What a removed distribution leaves behind can be an empty package.
    if not hasattr(onnxruntime, "InferenceSession"):
        raise RuntimeMissingError(installation.explain("the module is empty"))
    module: ModuleType = onnxruntime
    return module


def first_line(error: BaseException) -> str:
    """The first line of an error without onnxruntime's code in front, or the error's name when it is silent."""
    lines = str(error).strip().splitlines()
    if not lines:
        return type(error).__name__
    line = lines[0]
    return line.split(" : ", 3)[-1] if line.startswith("[ONNXRuntimeError]") else line


def _open_best(data: bytes, options: Options, manifest: Manifest | None) -> tuple[Any, ProviderName, str]:
    try:
        return _open(data, "cuda", options, manifest), "cuda", "CUDA is proved here"
    except RuntimeMissingError:
        raise
    except ProviderError as error:
        obstacle = str(error).partition("; ")[0]
        return _open(data, "cpu", options, manifest), "cpu", f"no CUDA: {obstacle}"


def _open(data: bytes, provider: ProviderName, options: Options, manifest: Manifest | None) -> Any:  # noqa: ANN401
    runtime = load_runtime()
    if provider == "cpu":
        try:
            return _native(runtime, data, "cpu", options)
        except _failures() as error:
            raise _cannot_load(runtime, error, manifest) from error
    return _open_cuda(runtime, data, options, manifest)


def _open_cuda(runtime: ModuleType, data: bytes, options: Options, manifest: Manifest | None) -> Any:  # noqa: ANN401
    if manifest is not None and "cuda" not in manifest.providers:
        raise ProviderError(
            f"{manifest.name} has {manifest.precision} kernels that exist on the CPU only; export "
            f"{manifest.model} for CUDA with `edge export --model {manifest.model} --precision fp16` (or fp32), "
            "or use --provider cpu"
        )
    execution = EXECUTION_PROVIDERS["cuda"]
    version = runtime.__version__
    if execution not in runtime.get_available_providers():
        clash = installation.clash()
        raise ProviderError(
            f"onnxruntime {version} was built without CUDA; "
            + (clash or f"swap it for the GPU build: {installation.SWAP_TO_GPU}")
        )
    with quiet(runtime):
        preload(runtime)
        try:
            native = _native(runtime, data, "cuda", options)
        except _failures() as error:
            reason = explain(runtime, first_line(error), lambda: _native(runtime, proof.model(), "cuda", Options()))
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


def _failures() -> tuple[type[Exception], ...]:
    """What onnxruntime raises: its own exceptions share no base class."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    own = (kind for kind in vars(state).values() if isinstance(kind, type) and issubclass(kind, Exception))
    return (*own, RuntimeError, ValueError)


def _cannot_load(runtime: ModuleType, error: Exception, manifest: Manifest | None) -> ProviderError:
    version = runtime.__version__
    advice = "upgrade it with: pip install -U onnxruntime"
    if manifest is not None:
        advice = f"the bundle was tested with {manifest.minimum_onnxruntime} and newer: pip install -U onnxruntime"
    return ProviderError(f"onnxruntime {version} cannot load the model: {first_line(error)}; {advice}")


def _check_interface(native: Any, labels: int | None) -> None:  # noqa: ANN401 - onnxruntime is untyped
    inputs = {value.name: value.type for value in native.get_inputs()}
    outputs = {value.name: value for value in native.get_outputs()}
    if inputs != {INPUT: "tensor(uint8)"} or any(
        name not in outputs or outputs[name].type != "tensor(float)" for name in OUTPUTS
    ):
        found = {name: value.type for name, value in outputs.items()}
        raise BundleError(
            f"the graph maps {inputs} to {found}, expected {INPUT} (uint8) to {' and '.join(OUTPUTS)} (float32); "
            "re-export the model with `edge export`"
        )
    for name in OUTPUTS:
        classes = outputs[name].shape[-1:]
        # An axis without a fixed size is a name here: then only a run tells.
        if labels is not None and classes and isinstance(classes[0], int) and classes[0] != labels:
            raise BundleError(
                f"the graph has {classes[0]} classes in {name}, the manifest {labels} labels; "
                "re-export the model with `edge export`"
            )
