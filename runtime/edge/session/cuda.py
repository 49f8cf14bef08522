"""Why CUDA does not work here: asked of the machine, because onnxruntime only logs it.

Every function takes the imported onnxruntime module; this file never imports it.
"""

import ctypes
import io
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from types import ModuleType

_DRIVER = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
_PROVIDER_LIBRARY = "onnxruntime_providers_cuda.dll" if sys.platform == "win32" else "libonnxruntime_providers_cuda.so"
_INSTALL_LIBRARIES = "pip install 'onnxruntime-gpu[cuda,cudnn]'"

# onnxruntime's levels of its process-wide logger, which cannot be asked for its current one.
_FATAL = 4
_DEFAULT = 2


@contextmanager
def quiet(runtime: ModuleType) -> Iterator[None]:
    """Keeps onnxruntime's own logger still: what it would say about CUDA is told by our messages."""
    runtime.set_default_logger_severity(_FATAL)
    try:
        yield
    finally:
        runtime.set_default_logger_severity(_DEFAULT)


def preload(runtime: ModuleType) -> None:
    """Loads the CUDA and cuDNN libraries that pip installed, which the system's loader does not find.

    Versions before 1.21 cannot, and rely on the system's libraries. A failure shows when the session is made.
    """
    if hasattr(runtime, "preload_dlls"):
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            runtime.preload_dlls()


def explain(runtime: ModuleType, reason: str, open_proof: Callable[[], object]) -> str:
    """Finds the first obstacle after a CUDA session failed.

    Args:
        runtime: the imported onnxruntime.
        reason: first line of the failure.
        open_proof: makes a CUDA session of a model that any GPU runs.

    Returns:
        A message of the form `what happened; what to do next`.
    """
    if missing := _load_failure(_DRIVER):
        return f"this machine has no NVIDIA driver ({missing}); install the driver, or use --provider cpu"
    library = Path(runtime.__file__ or "").parent / "capi" / _PROVIDER_LIBRARY
    if missing := _load_failure(str(library)):
        return f"the CUDA libraries cannot be loaded ({missing}); install them with: {_INSTALL_LIBRARIES}"
    try:
        open_proof()
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
