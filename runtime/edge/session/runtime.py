"""ONNX Runtime as it is installed: its import, which distributions there are, how to repair them, and what it raises.

`onnxruntime`, `onnxruntime-gpu` and their siblings install the same module: together they overwrite each
other's files, and removing one deletes files of the other. So exactly one may be there.
"""

import os
import re
import signal
import subprocess
import sys
from types import ModuleType

from edge.errors import RuntimeMissingError

DISTRIBUTIONS = (
    "onnxruntime",
    "onnxruntime-gpu",
    "onnxruntime-cann",
    "onnxruntime-directml",
    "onnxruntime-migraphx",
    "onnxruntime-openvino",
    "onnxruntime-qnn",
    "onnxruntime-rocm",
    "onnxruntime-training",
    "onnxruntime-webgpu",
    "onnxruntime-windowsml",
)

DISTRIBUTION_OF = {
    "cuda": "onnxruntime-gpu",
    "tensorrt": "onnxruntime-gpu",
    "cann": "onnxruntime-cann",
    "dml": "onnxruntime-directml",
    "migraphx": "onnxruntime-migraphx",
    "openvino": "onnxruntime-openvino",
    "qnn": "onnxruntime-qnn",
    "rocm": "onnxruntime-rocm",
    "webgpu": "onnxruntime-webgpu",
}
"""The distribution that brings a provider, where one does. That for macOS has coreml beside the CPU."""

MADE_FOR_PROVIDER = {provider: name for provider, name in DISTRIBUTION_OF.items() if provider != "tensorrt"}
"""The distribution that is there for one provider. onnxruntime-gpu has TensorRT too, whose libraries few install."""

INSTALL_CPU = "pip install 'edge-toolkit[cpu]'"
INSTALL_GPU = "pip install 'edge-toolkit[gpu]'"

# The file, line and signature of the C++ function that raised an error.
_SOURCE_PLACE = re.compile(r"^(Exception during initialization: )?/\S+:\d+ [^()]*\([^()]*\)( const)? ")

_SUFFIX = "ExecutionProvider"

# Libraries of the system that the wheels need and that small systems lack, with the package of Debian and Ubuntu.
_SYSTEM_LIBRARIES = {"libstdc++.so.6": "libstdc++6", "libgcc_s.so.1": "libgcc-s1"}

_IMPORT_SECONDS = 120  # a small device that swaps takes many

# Exit codes of Windows that are no decision of the program.
_WINDOWS_ENDINGS = {0xC000001D: "Illegal instruction", 0xC0000005: "Access violation", 0xC0000409: "Abort"}


def load() -> ModuleType:
    """Imports onnxruntime.

    Raises:
        RuntimeMissingError: it is not installed, or cannot be imported, or two distributions broke each other.
    """
    try:
        import onnxruntime
    except (ImportError, OSError, AttributeError) as error:
        raise RuntimeMissingError(explain(first_line(error))) from error
    # What a removed distribution leaves behind can be an empty package.
    if not hasattr(onnxruntime, "InferenceSession"):
        raise RuntimeMissingError(explain("the module is empty"))
    module: ModuleType = onnxruntime
    return module


def crash() -> str | None:
    """Imports onnxruntime in a process of its own, because one for other processors ends the process that imports it.

    Returns:
        What happened, and the repair: "what happened; what to do next". None where the process lived, even if the
        import raised an error: `load` tells that.
    """
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-c", "import onnxruntime"],
            capture_output=True,
            check=False,
            timeout=_IMPORT_SECONDS,
        )
        ending = ended_by(done.returncode)
    except subprocess.TimeoutExpired:
        ending = f"nothing, for {_IMPORT_SECONDS} s"
    except OSError:
        return None  # no process can be started here
    if ending is None:
        return None
    if broken := clash():
        return f"Python is ended by {ending} when it imports onnxruntime: {broken}"
    name, number = next(iter(runtimes().items()), ("onnxruntime", "of an unknown version"))
    return (
        f"{name} {number} does not run on this processor: Python is ended by {ending} when it imports it; install "
        f"another version with: pip install '{name}!={number}'"
    )


def ended_by(code: int) -> str | None:
    """What ended a process against its will, in words; None where it ended by itself.

    Args:
        code: exit code, as `subprocess` gives it.
    """
    if code < 0:
        try:
            return signal.strsignal(-code) or f"signal {-code}"
        except ValueError:  # there is no such signal here
            return f"signal {-code}"
    return _WINDOWS_ENDINGS.get(code)


def telemetry_is_off() -> bool:
    """Whether the environment keeps ONNX Runtime from telling its maker about this machine."""
    return os.environ.get("ORT_DISABLE_TELEMETRY") == "1"


def failures() -> tuple[type[Exception], ...]:
    """What onnxruntime raises: its own exceptions share no base class."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    own = (kind for kind in vars(state).values() if isinstance(kind, type) and issubclass(kind, Exception))
    return (*own, RuntimeError, ValueError)


def first_line(error: BaseException) -> str:
    """The first line of an error without what onnxruntime puts in front, or the error's name when it is silent."""
    lines = str(error).strip().splitlines()
    if not lines:
        return type(error).__name__
    line = lines[0]
    if line.startswith("[ONNXRuntimeError]"):
        line = line.split(" : ", 3)[-1]
    return _SOURCE_PLACE.sub("", line) or line


def runtimes() -> dict[str, str]:
    """Maps each installed distribution of ONNX Runtime to its version."""
    return {name: found for name in DISTRIBUTIONS if (found := version(name)) is not None}


def version(distribution: str) -> str | None:
    """The version of an installed distribution; None when it is not installed or its record is broken."""
    from importlib import metadata  # slow to import, and most commands ask for no version

    try:
        # A half-removed distribution has a record without a version, whatever the type says.
        return metadata.version(distribution) or None
    except (metadata.PackageNotFoundError, KeyError):
        return None


def imported() -> str | None:
    """The version of the onnxruntime module that this process has imported; None before that."""
    return getattr(sys.modules.get("onnxruntime"), "__version__", None)


def clash() -> str | None:
    """Says in one line what is wrong and how to repair it when several runtimes are installed; else None."""
    found = runtimes()
    if len(found) < 2:
        return None
    named = " and ".join(f"{name} {number}" for name, number in found.items())
    return f"{named} are both installed and overwrite each other's files; {repair(found)}"


def repair(found: dict[str, str]) -> str:
    """The commands that leave exactly one working runtime, as one line."""
    remove = f"pip uninstall -y {' '.join(found)}, then " if found else ""
    # Who installed one that does more than the CPU wants that.
    more = next((name for name in found if name != "onnxruntime"), None)
    if more is None:
        return f"repair it with: {remove}{INSTALL_CPU}"
    without = "a GPU" if more == "onnxruntime-gpu" else "its providers"
    return f"repair it with: {remove}{install_line(more)} (or {INSTALL_CPU} without {without})"


def install_line(distribution: str) -> str:
    """What to type to install a distribution of ONNX Runtime: the extra of edge, where there is one."""
    extras = {"onnxruntime": INSTALL_CPU, "onnxruntime-gpu": INSTALL_GPU}
    return extras.get(distribution, f"pip install {distribution}")


def swap_line(provider: str) -> str | None:
    """What to type to have a runtime with that provider; None where no distribution brings it.

    Args:
        provider: short name.
    """
    wanted = DISTRIBUTION_OF.get(provider)
    if wanted is None:
        return None
    others = [name for name in runtimes() if name != wanted]
    return f"pip uninstall -y {' '.join(others)}; {install_line(wanted)}" if others else install_line(wanted)


def short_name(execution_provider: str) -> str:
    """ONNX Runtime's name of a provider without what all of them end in, in small letters, such as "openvino"."""
    return execution_provider.removesuffix(_SUFFIX).lower()


def providers() -> dict[str, str]:
    """ONNX Runtime's names of all providers that it knows, built in or not, by their short names.

    Raises:
        RuntimeMissingError: onnxruntime is not installed, or broken.
    """
    return {short_name(name): name for name in load().get_all_providers()}


def built_in() -> tuple[str, ...]:
    """Short names of the providers that are compiled into the installed ONNX Runtime; whether they work is not said.

    Raises:
        RuntimeMissingError: onnxruntime is not installed, or broken.
    """
    return tuple(short_name(name) for name in load().get_available_providers())


def explain(reason: str) -> str:
    """Says why onnxruntime cannot be imported, and the repair, as one line.

    Args:
        reason: what the import complained about.
    """
    found = runtimes()
    if not found:
        return f"onnxruntime is not installed; install it with: {INSTALL_CPU} (or {INSTALL_GPU} for CUDA)"
    if line := missing_library(reason):
        return f"this system lacks a library that onnxruntime needs ({reason}); {line}"
    if broken := clash():
        return f"onnxruntime cannot be imported ({reason}): {broken}"
    name, number = next(iter(found.items()))
    return f"{name} {number} cannot be imported ({reason}); {repair(found)}"


def missing_library(reason: str) -> str | None:
    """What to do where an import failed for want of a library of the system; None where it failed for something else.

    Args:
        reason: what the import complained about.
    """
    for library, package in _SYSTEM_LIBRARIES.items():
        if f"{library}: " in reason:
            return f"install the package {package}, on Debian and Ubuntu with: apt-get install {package}"
    return None
