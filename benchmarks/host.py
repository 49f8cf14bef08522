"""What a figure depends on beside the code: the machine, and the versions of everything that takes part."""

import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

from edge.session import cpu, runtime

PACKAGES = ("edge-toolkit", "torch", "onnx", "openvino", "tract", "ncnn", "pnnx", "numpy", "pillow", "matplotlib")


def machine() -> dict[str, Any]:
    """What decides the figures of a machine; call it before the run, for the load that others make."""
    return {
        "processor": processor(),
        "architecture": platform.machine(),
        "system": platform.system(),
        "cpus": cpu.allowed(),
        "load_average": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "int8_instructions": sorted(cpu.instruction_sets() or ()),
    }


def processor() -> str:
    """The processor's own name where the system tells it."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    named = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    text = named.get("model name") or platform.processor() or platform.machine()
    return f"{text}, family {named['cpu family']}, model {named['model']}" if "cpu family" in named else text


def versions() -> dict[str, str | None]:
    """The versions of everything that takes part; None for what is not installed."""
    found: dict[str, str | None] = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = None
    return {**found, **runtime.runtimes()}
