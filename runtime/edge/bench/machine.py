"""Where it was measured: the facts without which a duration says nothing."""

import platform
import subprocess
from dataclasses import dataclass
from pathlib import Path

import edge
from edge import cpu, installation

_SYSCTL_SECONDS = 5


@dataclass(frozen=True, slots=True)
class Machine:
    """The processor and the software.

    Attributes:
        cpu: what the processor calls itself; its architecture where the system does not tell.
        architecture: such as "x86_64" or "arm64".
        int8_instructions: those of `edge.cpu.INT8_INSTRUCTIONS` it has; None where the system does not tell.
        allowed_cpus: how many this process may use.
        system: operating system and its version.
        python: version.
        numpy: version.
        onnxruntime: version of the module that was imported.
        distributions: the installed distributions of ONNX Runtime with their versions.
        edge: version.
    """

    cpu: str
    architecture: str
    int8_instructions: tuple[str, ...] | None
    allowed_cpus: int
    system: str
    python: str
    numpy: str
    onnxruntime: str
    distributions: dict[str, str]
    edge: str


def describe() -> Machine:
    """Describes this machine.

    Raises:
        RuntimeMissingError: onnxruntime is not installed, or broken.
    """
    import numpy as np

    from edge import session

    found = cpu.instruction_sets()
    return Machine(
        cpu=cpu_name(),
        architecture=platform.machine(),
        int8_instructions=None if found is None else tuple(name for name in cpu.INT8_INSTRUCTIONS if name in found),
        allowed_cpus=cpu.allowed(),
        system=platform.platform(),
        python=platform.python_version(),
        numpy=np.__version__,
        onnxruntime=session.load_runtime().__version__,
        distributions=installation.runtimes(),
        edge=edge.__version__,
    )


def cpu_name(root: Path = Path("/")) -> str:
    """What the processor calls itself, such as "AMD EPYC 7763 64-Core Processor".

    Args:
        root: where `proc` is found; only tests give another.
    """
    if platform.system() == "Darwin":
        name = _sysctl("machdep.cpu.brand_string")
    elif platform.system() == "Linux":
        name = _from_proc(root / "proc/cpuinfo")
    else:
        name = platform.processor()
    return name or platform.machine() or "unknown"


def _from_proc(path: Path) -> str:
    try:
        lines = path.read_text(errors="replace").splitlines()
    except OSError:
        return ""
    facts = {key.strip(): value.strip() for key, colon, value in (line.partition(":") for line in lines) if colon}
    # x86 has "model name"; boards with an arm64 processor tell at most the board, as "Model".
    return facts.get("model name") or facts.get("Model") or ""


def _sysctl(key: str) -> str:
    try:
        ended = subprocess.run(  # noqa: S603 - a fixed program, and keys from this file
            ["/usr/sbin/sysctl", "-n", key], capture_output=True, text=True, timeout=_SYSCTL_SECONDS, check=False
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return ended.stdout.strip()
