"""Where something was measured: the facts without which a duration says nothing, for every document of edge."""

import os
import platform
from dataclasses import dataclass

import edge
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


def describe(*distributions: str) -> Machine:
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
