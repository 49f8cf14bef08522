"""Where it was measured: the facts without which a duration says nothing."""

import platform
from dataclasses import dataclass

import edge
from edge.session import cpu, runtime


@dataclass(frozen=True, slots=True)
class Machine:
    """The processor and the software.

    Attributes:
        cpu: what the processor calls itself; its architecture where the system does not tell.
        architecture: such as "x86_64" or "arm64".
        int8_instructions: those of `edge.session.cpu.INT8_INSTRUCTIONS` it has; None where the system does not tell.
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

    found = cpu.instruction_sets()
    return Machine(
        cpu=cpu.model(),
        architecture=platform.machine(),
        int8_instructions=None if found is None else tuple(name for name in cpu.INT8_INSTRUCTIONS if name in found),
        allowed_cpus=cpu.allowed(),
        system=platform.platform(),
        python=platform.python_version(),
        numpy=np.__version__,
        onnxruntime=runtime.load().__version__,
        distributions=runtime.runtimes(),
        edge=edge.__version__,
    )
