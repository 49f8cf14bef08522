"""The peak memory of this process."""

import sys
from pathlib import Path

_KILOBYTE = 1024


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
