"""Verification of a bundle that nobody vouches for: in a child process with limits of time and memory.

Whatever a stranger's graph does to that process, the outcome is a table. The child tells each step as soon as it is
taken, and what is told when it ends by force is what it reached.
"""

import json
import math
import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from edge.bundle import signature
from edge.bundle.signature import Trusted
from edge.session import providers, runtime
from edge.session.providers import PROVIDERS, Provider
from edge.verification import STEPS, Step, Verification, steps, verify

_ENDED = "it was ended by"
_TOLD = "edge.isolation: "  # what the lines of a child begin with
_ROOT = str(Path(__file__).parents[1])  # the child imports this package, wherever it was imported from
_LEAST_MEMORY_BYTES = 2 << 30
_LEAST_SECONDS = 120.0  # a slow device takes seconds to import what it needs


def verify_apart(
    path: str | os.PathLike[str],
    provider: Provider = "auto",
    limits: "ChildLimits | None" = None,
    *,
    trusted: Trusted | None = None,
    provider_options: Mapping[str, str] | None = None,
) -> Verification:
    """Takes the steps in a child process, for a bundle that nobody vouches for.

    Args:
        path: the bundle.
        provider: as `verify` takes it.
        limits: what the child may take; by default what any bundle of that size needs many times over.
        trusted: as `verify` takes it.
        provider_options: as `verify` takes them.

    Returns:
        The outcome; that the child ended, hung or took too much is a step that failed.

    Raises:
        KeyFileError: a public key cannot be read.
        InputError: an unknown provider, or settings for one that takes none.
    """
    if provider not in PROVIDERS or provider_options:
        providers.check(provider, provider_options)
    name, keys = os.fspath(path), signature.public_keys(trusted)
    allowed = limits or ChildLimits.of(path)
    # Other providers reserve more address space than there is memory.
    on_cpu = provider == "cpu" or (provider == "auto" and "onnxruntime-gpu" not in runtime.runtimes())
    memory = allowed.memory_bytes if on_cpu else 0
    # -P: a folder called edge where the command is typed is not this package.
    settings = [name, provider, json.dumps(provider_options or {}), str(memory), str(allowed.seconds), *keys]
    command = [sys.executable, "-P", "-m", "edge.isolation", *settings]
    try:
        done = subprocess.run(  # noqa: S603 - this Python, and the path that was asked for
            command,
            capture_output=True,
            check=False,
            timeout=allowed.seconds,
            encoding="utf-8",
            errors="replace",
            env={**os.environ, "PYTHONPATH": os.pathsep.join([_ROOT, *filter(None, [os.environ.get("PYTHONPATH")])])},
        )
        output, cause = done.stdout, _ending(done.returncode, done.stderr, allowed)
    except subprocess.TimeoutExpired as error:
        told = error.stdout or b""
        output = told.decode(errors="replace") if isinstance(told, bytes) else told
        cause = f"it did not end within {allowed.seconds:g} s"
    except OSError:
        return verify(
            path, provider, trusted=keys or None, provider_options=provider_options
        )  # no process can be started here
    taken, placed = [], None
    for line in output.splitlines():
        if line.startswith(_TOLD):
            record = json.loads(line.removeprefix(_TOLD))
            placed = record.pop("provider")
            taken.append(Step(**record))
    if cause and (not taken or (taken[0].passed and len(taken) < len(STEPS))):
        # A runtime for other processors dies with any bundle, once it is imported: after the first step.
        blamed = runtime.crash() if taken and cause.startswith(_ENDED) else None
        detail = blamed or f"{cause}; do not use this bundle on this machine"
        taken.append(Step(STEPS[len(taken)], passed=False, detail=detail))
    return Verification(name, placed, tuple(taken))


@dataclass(frozen=True, slots=True)
class ChildLimits:
    """What a child process may take.

    Attributes:
        memory_bytes: of address space.
        seconds: of time, and of processor time.
    """

    memory_bytes: int
    seconds: float

    @classmethod
    def of(cls, path: str | os.PathLike[str]) -> Self:
        """What a bundle of that size needs many times over: an ordinary one takes 0.1 GB and half a second."""
        try:
            size = Path(path).stat().st_size
        except (OSError, ValueError):
            size = 0
        return cls(memory_bytes=_LEAST_MEMORY_BYTES + 32 * size, seconds=_LEAST_SECONDS + size / 1e6)


def _ending(code: int, complaint: str, allowed: ChildLimits) -> str:
    """How a child ended before its time, in words; empty where it did not."""
    if code == 0:
        return ""
    if ending := runtime.ended_by(code):
        return f"{_ENDED} {ending}"
    if "MemoryError" in complaint or "bad_alloc" in complaint:
        return f"it needs more than {allowed.memory_bytes / 1e9:.1f} GB of memory"
    return f"it ended with {(complaint.strip().splitlines() or [f'exit code {code}'])[-1]}"


def _child(name: str, provider: str, provider_options: str, memory: str, seconds: str, *keys: str) -> None:
    """The steps, each told as soon as it is taken, under the limits."""
    _limit(int(memory), float(seconds))
    for step, placed in steps(name, provider, keys, json.loads(provider_options)):
        print(_TOLD + json.dumps({**asdict(step), "provider": placed}), flush=True)  # noqa: T201 - to the parent


def _limit(memory_bytes: int, seconds: float) -> None:
    """Where the system has such limits, which Windows does not."""
    try:
        import resource
    except ImportError:
        return
    if memory_bytes:
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(seconds), math.ceil(seconds) + 1))
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a crash leaves no file


if __name__ == "__main__":
    _child(*sys.argv[1:])
