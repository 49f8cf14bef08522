"""A fresh process that loads a bundle and classifies one image.

    python -m edge.bench.first_image BUNDLE PROVIDER BATCH

It prints one JSON object: milliseconds of the imports, of the load (file, digest, session) and of the first run; then,
where BATCH is above 1, one more run of that many images; the peak memory of all that; and where it ran. It imports as
little as a program on a device would, because its imports are part of what is measured.
"""

import json
import sys
import time
from pathlib import Path

from edge.session.providers import Provider

_KILOBYTE = 1024


def first_image(path: Path, provider: Provider, batch: int) -> dict[str, float | int | str | None]:
    """Does what `edge.load` and a first `classify` do, and times the steps.

    Args:
        path: the bundle.
        provider: "auto", "cpu" or "cuda".
        batch: images of a second, untimed run; 1 for none.

    Raises:
        BundleError: the bundle cannot be used.
        ProviderError: the provider cannot run it here.
    """
    begun = time.perf_counter()
    import numpy as np

    from edge.bundle import bundle
    from edge.bundle.input import COLUMNS, ROWS
    from edge.session import runtime, session

    runtime.load()
    imported = time.perf_counter()
    source = bundle.read(path)
    running = session.create(source.data, provider=provider, manifest=source.manifest)
    loaded = time.perf_counter()
    running.run(np.zeros((1, ROWS, COLUMNS), np.uint8))
    ran = time.perf_counter()
    if batch > 1:
        running.run(np.zeros((batch, ROWS, COLUMNS), np.uint8))
    return {
        "provider": running.provider,
        "import_ms": (imported - begun) * 1e3,
        "load_ms": (loaded - imported) * 1e3,
        "first_run_ms": (ran - loaded) * 1e3,
        "peak_bytes": peak_bytes(),
    }


def peak_bytes(root: Path = Path("/")) -> int | None:
    """The most memory this process ever had resident.

    On Linux it is `VmHWM`, which begins anew with each program. `getrusage` does not: a process that was started
    by a large one reports the peak of its parent.

    Args:
        root: where `proc` is found; only tests give another.

    Returns:
        Bytes; None on Windows, which does not tell.
    """
    if sys.platform == "win32":
        return None
    import resource

    try:
        status = (root / "proc/self/status").read_text(errors="replace")
    except OSError:
        status = ""
    for line in status.splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * _KILOBYTE
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * _KILOBYTE


if __name__ == "__main__":
    sys.stdout.write(json.dumps(first_image(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))))
