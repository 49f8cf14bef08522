"""How many images run at once: chunks of equal size, run side by side by threads that share one session.

onnxruntime lets go of Python's lock while it computes, and a session may be used by several threads: for the small
models of edge that is faster than threads inside one operator, which have too little to do each.

The rule holds for every machine. What `edge bench --tune` measured on this one is kept in a small file in the user's
cache folder, the profile, never inside a bundle:

    {"format": 1, "plans": [{"machine": ..., "bundle": "<sha256>", "cores": 2, "chunk_images": 256, "threads": 2}, ...]}

and "few_images" where a model computes a few images in another way than many. Everything in it can be measured again,
so whatever is wrong with it (damaged, of another machine or another edge) is passed over without a word.
"""

import itertools
import json
import os
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from edge.bundle.manifest import Manifest
from edge.session import cpu, runtime
from edge.text.files import cache_folder, make_folder, write_atomically

Origin = Literal["rule", "profile"]

# Larger chunks are not faster on any model of edge, and need memory for every activation of every image.
CHUNK_IMAGES = 256

# With fewer images than this each, starting a thread (some 50 us) and smaller chunks cost more than the thread brings.
LEAST_IMAGES_PER_THREAD = 64

# Below this size handing work to other threads costs more than the work: the models of edge have 0.03 to 3 MB.
SMALL_MODEL_BYTES = 8 * 2**20


@dataclass(frozen=True, slots=True)
class Batching:
    """How a classifier runs many images.

    Attributes:
        chunk_images: images in one run at most.
        threads: runs at a time at most, each in a thread of its own; 1 where the operators themselves use the cores.
        source: "profile" if it was measured on this machine, "rule" otherwise.
        few_images: batches of fewer images are computed in the way for a few, where a model has one
            (`edge.bundle.branches`); None leaves it to the file.
    """

    chunk_images: int
    threads: int
    source: Origin
    few_images: int | None = None

    @property
    def direct_images(self) -> int:
        """Up to this many images are one run in the caller's thread."""
        return self.chunk_images if self.threads == 1 else min(self.chunk_images, 2 * LEAST_IMAGES_PER_THREAD - 1)


def rule(threads: int) -> Batching:
    """The batching for a machine without a profile.

    Args:
        threads: cores that may be used, at least 1.
    """
    return Batching(CHUNK_IMAGES, threads, "rule")


def default_threads(size_bytes: int) -> int:
    """The threads for a model of that size: 1 for small ones, else every CPU that the process may use."""
    return 1 if size_bytes < SMALL_MODEL_BYTES else cpu.allowed()


def few_images(limit: int, manifest: Manifest | None) -> int:
    """Batches of fewer images are a few, as long as nothing was measured here: the file may know this processor.

    Args:
        limit: what the graph says.
        manifest: what the bundle says; None where there is only a graph.
    """
    vnni = None if manifest is None else manifest.few_images_vnni
    return limit if vnni is None or not cpu.has_vnni() else vnni


def chunks(count: int, batching: Batching) -> list[slice]:
    """Cuts a batch into parts whose sizes differ by one at most.

    A small remainder would take another branch of a graph that looks at the size of its batch, and leave all threads
    but one without work at the end: so the number of parts is a multiple of the number of threads.

    Args:
        count: images, at least 1.
        batching: at most `batching.chunk_images` in a part.
    """
    workers = max(1, min(batching.threads, count // LEAST_IMAGES_PER_THREAD))
    rounds = -(-count // (batching.chunk_images * workers))
    parts = min(count, rounds * workers)
    edges = [count * part // parts for part in range(parts + 1)]
    return [slice(start, end) for start, end in itertools.pairwise(edges)]


def run_in_parts(count: int, batching: Batching, work: Callable[[slice], None]) -> None:
    """Does the work for every part of a batch, several parts at a time; the calling thread does its share.

    Args:
        count: images, at least 1.
        batching: how they are cut, and how many threads there may be.
        work: called with each part, from several threads at once.

    Raises:
        BaseException: the first that `work` raised; parts not begun by then are left out.
    """
    waiting = deque(chunks(count, batching))
    failures: list[BaseException] = []

    def serve() -> None:
        try:
            while True:
                try:
                    part = waiting.popleft()
                except IndexError:
                    return
                work(part)
        except BaseException as error:  # noqa: BLE001 - raised again by the calling thread
            failures.append(error)
            waiting.clear()

    helpers = [
        threading.Thread(target=serve, name="edge-classify", daemon=True)
        for _ in range(min(batching.threads, len(waiting)) - 1)
    ]
    started = []
    for helper in helpers:
        try:
            helper.start()
        except RuntimeError:  # the system gives no more threads: those that there are do the work
            break
        started.append(helper)
    serve()
    for helper in started:
        helper.join()
    if failures:
        raise failures[0]


def startable_threads(wanted: int) -> int:
    """How many threads the system gives this process, up to so many: tried, because nothing tells it beforehand."""
    gate = threading.Event()
    started: list[threading.Thread] = []
    try:
        for _ in range(wanted):
            thread = threading.Thread(target=gate.wait, daemon=True)
            thread.start()
            started.append(thread)
    except RuntimeError:
        pass
    finally:
        gate.set()
    for thread in started:
        thread.join()
    return len(started)


FORMAT = 1

# One entry for each bundle and number of cores; the oldest go first.
MOST_ENTRIES = 64
# Larger numbers were not written by edge.
MOST_CHUNK_IMAGES = 65_536

_FILE = "profile.json"


def profile_path() -> Path:
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
    target = profile_path()
    advice = f"set {'LOCALAPPDATA' if os.name == 'nt' else 'XDG_CACHE_HOME'} to a folder that can be written"
    make_folder(target.parent, advice=advice)
    record = {"format": FORMAT, "plans": [*others, new][-MOST_ENTRIES:]}
    write_atomically(target, (json.dumps(record, indent=1) + "\n").encode(), "the profile", advice=advice)
    return target


def _entries() -> list[dict[str, Any]]:
    """The entries of the profile that are in order; none without a profile."""
    try:
        record = json.loads(profile_path().read_bytes())
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
