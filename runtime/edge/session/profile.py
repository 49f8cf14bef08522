"""What was measured on this machine: a small file in the user's cache folder, never inside a bundle.

    {"format": 1, "plans": [{"machine": ..., "bundle": "<sha256>", "cores": 2, "chunk_images": 256, "threads": 2}, ...]}

Everything in it can be measured again, so whatever is wrong with it (damaged, of another machine or another edge) is
passed over without a word, and the rule of `edge.session.plan` holds.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

from edge.session import cpu, installation
from edge.session.plan import Plan, rule
from edge.text.files import write_atomically

FORMAT = 1

# One entry for each bundle and number of cores; the oldest go first.
MOST_ENTRIES = 64
# Larger numbers were not written by edge.
MOST_CHUNK_IMAGES = 65_536

_FOLDER = "edge-toolkit"
_FILE = "profile.json"


def path() -> Path:
    """Where the profile is kept: the folder that this system has for what can be made again.

    `$XDG_CACHE_HOME` or `~/.cache`, `%LOCALAPPDATA%` on Windows, `~/Library/Caches` on macOS.
    """
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or "~/AppData/Local"
    elif sys.platform == "darwin":
        base = "~/Library/Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
        if not os.path.isabs(base) and not base.startswith("~"):  # noqa: PTH117 - the XDG rules ignore relative ones
            base = "~/.cache"
    return Path(os.path.expanduser(base)) / _FOLDER / _FILE  # noqa: PTH111 - without a home, Path raises


def machine() -> str:
    """What a measurement holds for: the processor, the CPUs that may be used, and the version of ONNX Runtime."""
    versions = " and ".join(f"{name} {number}" for name, number in installation.runtimes().items())
    return f"{cpu.model()}, {cpu.allowed()} CPUs, {versions or 'no onnxruntime'}"


def plan_for(bundle_sha256: str, cores: int) -> Plan:
    """The measured plan for a bundle on this machine, or the rule's.

    Args:
        bundle_sha256: SHA-256 of the bundle's file.
        cores: cores that may be used, at least 1.
    """
    entries = [entry for entry in _entries() if entry["bundle"] == bundle_sha256 and entry["cores"] == cores]
    if entries and any(entry["machine"] == (here := machine()) for entry in entries):
        entry = next(entry for entry in reversed(entries) if entry["machine"] == here)
        return Plan(entry["chunk_images"], entry["threads"], "profile")
    return rule(cores)


def keep(bundle_sha256: str, cores: int, plan: Plan) -> Path:
    """Writes a measured plan to the profile, in place of an older one for the same machine, bundle and cores.

    Args:
        bundle_sha256: SHA-256 of the bundle's file.
        cores: cores that might be used when it was measured.
        plan: what was measured as the best.

    Returns:
        The file.

    Raises:
        OSError: the folder cannot be made or written.
    """
    new = {
        "machine": machine(),
        "bundle": bundle_sha256,
        "cores": cores,
        "chunk_images": plan.chunk_images,
        "threads": plan.threads,
    }
    same = ("machine", "bundle", "cores")
    others = [entry for entry in _entries() if any(entry[key] != new[key] for key in same)]
    target = path()
    target.parent.mkdir(parents=True, exist_ok=True)
    record = {"format": FORMAT, "plans": [*others, new][-MOST_ENTRIES:]}
    write_atomically(target, (json.dumps(record, indent=1) + "\n").encode())
    return target


def _entries() -> list[dict[str, Any]]:
    """The entries of the profile that are in order; none without a profile."""
    try:
        record = json.loads(path().read_bytes())
    except (OSError, ValueError, RecursionError):
        return []
    if not isinstance(record, dict) or record.get("format") != FORMAT or not isinstance(record.get("plans"), list):
        return []
    return [entry for entry in record["plans"] if _is_in_order(entry)]


def _is_in_order(entry: object) -> bool:
    if not isinstance(entry, dict):
        return False
    numbers = [entry.get(key) for key in ("cores", "chunk_images", "threads")]
    if not all(type(number) is int and number >= 1 for number in numbers):
        return False
    return (
        isinstance(entry.get("machine"), str)
        and isinstance(entry.get("bundle"), str)
        and entry["threads"] <= entry["cores"]
        and entry["chunk_images"] <= MOST_CHUNK_IMAGES
    )
