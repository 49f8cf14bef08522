"""What was measured on this machine: a small file in the user's cache folder, never inside a bundle.

    {"format": 1, "plans": [{"machine": ..., "bundle": "<sha256>", "cores": 2, "chunk_images": 256, "threads": 2}, ...]}

and "few_images" where a model computes a few images in another way than many.

Everything in it can be measured again, so whatever is wrong with it (damaged, of another machine or another edge) is
passed over without a word, and the rule of `edge.session.batching` holds.
"""

import json
import os
from pathlib import Path
from typing import Any

from edge.session import cpu, runtime
from edge.session.batching import Batching, rule
from edge.text.files import cache_folder, make_folder, write_atomically

FORMAT = 1

# One entry for each bundle and number of cores; the oldest go first.
MOST_ENTRIES = 64
# Larger numbers were not written by edge.
MOST_CHUNK_IMAGES = 65_536

_FILE = "profile.json"


def path() -> Path:
    """Where the profile is kept."""
    return cache_folder() / _FILE


def machine() -> str:
    """What a measurement holds for: the processor, the CPUs that may be used, and the version of ONNX Runtime."""
    versions = " and ".join(f"{name} {number}" for name, number in runtime.runtimes().items())
    return f"{cpu.model()}, {cpu.allowed()} CPUs, {versions or 'no onnxruntime'}"


def batching_for(bundle_sha256: str, cores: int) -> Batching:
    """The measured batching for a bundle on this machine, or the rule's.

    Args:
        bundle_sha256: SHA-256 of the bundle's file.
        cores: cores that may be used, at least 1.
    """
    entries = [entry for entry in _entries() if entry["bundle"] == bundle_sha256 and entry["cores"] == cores]
    if entries and any(entry["machine"] == (here := machine()) for entry in entries):
        entry = next(entry for entry in reversed(entries) if entry["machine"] == here)
        return Batching(entry["chunk_images"], entry["threads"], "profile", entry.get("few_images"))
    return rule(cores)


def keep(bundle_sha256: str, cores: int, batching: Batching) -> Path:
    """Writes a measured batching to the profile, in place of an older one for the same machine, bundle and cores.

    Args:
        bundle_sha256: SHA-256 of the bundle's file.
        cores: cores that might be used when it was measured.
        batching: what was measured as the best.

    Returns:
        The file.

    Raises:
        WriteError: the folder cannot be made or written.
    """
    new = {
        "machine": machine(),
        "bundle": bundle_sha256,
        "cores": cores,
        "chunk_images": batching.chunk_images,
        "threads": batching.threads,
    }
    if batching.few_images is not None:
        new["few_images"] = batching.few_images
    same = ("machine", "bundle", "cores")
    others = [entry for entry in _entries() if any(entry[key] != new[key] for key in same)]
    target = path()
    advice = f"set {'LOCALAPPDATA' if os.name == 'nt' else 'XDG_CACHE_HOME'} to a folder that can be written"
    make_folder(target.parent, advice=advice)
    record = {"format": FORMAT, "plans": [*others, new][-MOST_ENTRIES:]}
    write_atomically(target, (json.dumps(record, indent=1) + "\n").encode(), "the profile", advice=advice)
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
    numbers = [entry.get(key) for key in ("cores", "chunk_images", "threads")] + [entry.get("few_images", 1)]
    if not all(type(number) is int and number >= 1 for number in numbers):
        return False
    return (
        isinstance(entry.get("machine"), str)
        and isinstance(entry.get("bundle"), str)
        and entry["threads"] <= entry["cores"]
        and entry["chunk_images"] <= MOST_CHUNK_IMAGES
    )
