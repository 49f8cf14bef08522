"""What the processor offers to this process: how many CPUs, and the instructions that int8 depends on.

Whether products of int8 lose a part of their sums on this processor is measured, because no list of instructions says.
x86 kernels with AVX2 and without VNNI add pairs of products of a uint8 and an int8 in 16 bits, and saturate
(onnxruntime#5849, #6004, #14642). Those with VNNI do not, and neither do those of x86 before AVX2 and of arm64, whether
it has the instructions for dot products or not. So ONNX Runtime is asked, by a model of one node, written without
the ONNX package: every version of the last years reads it.
"""

import math
import os
import platform
import subprocess
from collections.abc import Iterator
from pathlib import Path

from edge.bundle.graph import encode_bytes, encode_integer
from edge.errors import ProviderError

INT8_INSTRUCTIONS = ("avx2", "avx512_vnni", "avx_vnni", "amx_int8", "asimddp", "i8mm")
"""Names as Linux gives them: what int8 gains speed from. Whether its products are exact is measured."""

ANY_TARGET = "any"
"""What the manifest calls int8 that needs none of them to be exact."""

_SYSCTL_NAMES = {  # macOS: what `sysctl hw.optional` calls them
    "hw.optional.avx2_0": "avx2",
    "hw.optional.avx512vnni": "avx512_vnni",
    "hw.optional.arm.FEAT_DotProd": "asimddp",
    "hw.optional.arm.FEAT_I8MM": "i8mm",
}
_SYSCTL_SECONDS = 5


def allowed(root: Path = Path("/")) -> int:
    """Counts the CPUs that this process may use: its affinity, and the quota of its container.

    Args:
        root: where `proc` and `sys` are found; only tests give another.

    Returns:
        At least 1.
    """
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = cgroup_quota(root)
    return count if quota is None else max(1, min(count, math.ceil(quota)))


def cgroup_quota(root: Path = Path("/")) -> float | None:
    """Reads how many CPUs' worth of time the control groups of this process grant.

    Args:
        root: where `proc` and `sys` are found; only tests give another.

    Returns:
        The smallest quota on the way from the process's group to the top, in CPUs; None without a quota, or
        where there are no control groups.
    """
    quotas = [quota for folder in _cgroup_folders(root) if (quota := _quota(folder)) is not None]
    return min(quotas, default=None)


def instruction_sets(root: Path = Path("/")) -> frozenset[str] | None:
    """Names those of `INT8_INSTRUCTIONS` that the processor has.

    Args:
        root: where `proc` is found; only tests give another.

    Returns:
        The names; None where this system does not tell (Windows, or no `/proc`).
    """
    if platform.system() == "Darwin":
        return parse_sysctl(_sysctl())
    text = _text(root / "proc/cpuinfo")
    return None if text is None else parse_cpuinfo(text)


def has_vnni() -> bool:
    """Whether the processor is known to have VNNI, x86's products of four bytes at a time."""
    return not {"avx512_vnni", "avx_vnni"}.isdisjoint(instruction_sets() or ())


def model(root: Path = Path("/")) -> str:
    """Names the processor as its maker does; where the system does not tell, by its architecture.

    Args:
        root: where `proc` is found; only tests give another.
    """
    if platform.system() == "Darwin":
        name = (_sysctl("machdep.cpu.brand_string") or "").partition(":")[2]
    else:
        name = parse_model(_text(root / "proc/cpuinfo") or "") or platform.processor()
    return " ".join(name.split()) or platform.machine() or "unknown processor"


def family(root: Path = Path("/")) -> str | None:
    """The numbers of an x86 processor, which tell its generation where its name does not.

    Args:
        root: where `proc` is found; only tests give another.

    Returns:
        Such as "family 26, model 2"; None where this system does not tell.
    """
    facts = _facts(_text(root / "proc/cpuinfo") or "")
    numbers = facts.get("cpu family"), facts.get("model")
    return "family {}, model {}".format(*numbers) if all(numbers) else None


def parse_model(text: str) -> str | None:
    """The name of the first processor in a Linux `/proc/cpuinfo`, or the numbers by which arm64 names its cores."""
    facts = _facts(text)
    if name := facts.get("model name") or facts.get("Model"):
        return name
    numbers = [facts[key] for key in ("CPU implementer", "CPU part", "CPU variant") if key in facts]
    return f"arm64 core {' '.join(numbers)}" if numbers else None


def parse_cpuinfo(text: str) -> frozenset[str] | None:
    """Names the int8 instructions in a Linux `/proc/cpuinfo`; None when it lists no features at all.

    Only what every processor has counts, because a thread may run on any of them.
    """
    features = [
        set(value.split())
        for line in text.splitlines()
        for key, _, value in [line.partition(":")]
        if key.strip() in {"flags", "Features"}
    ]
    return frozenset(set.intersection(*features) & set(INT8_INSTRUCTIONS)) if features else None


def parse_sysctl(text: str | None) -> frozenset[str] | None:
    """Names the int8 instructions in the output of macOS's `sysctl hw.optional`; None without output."""
    if not text:
        return None
    values = dict(line.split(": ", 1) for line in text.splitlines() if ": " in line)
    return frozenset(name for key, name in _SYSCTL_NAMES.items() if values.get(key, "").strip() == "1")


def _facts(cpuinfo: str) -> dict[str, str]:
    """What a Linux `/proc/cpuinfo` says, of the last processor where several say different things."""
    return {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in cpuinfo.splitlines())}


def _cgroup_folders(root: Path) -> Iterator[Path]:
    for line in (_text(root / "proc/self/cgroup") or "").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, group = rest.partition(":")
        if controllers and "cpu" not in controllers.split(","):
            continue
        top = root / "sys/fs/cgroup" / ("cpu" if controllers else "")
        folder = top / group.strip("/")
        # In a container the group's own path is often not mounted: its limits are then at the top.
        while folder != top and top in folder.parents:
            yield folder
            folder = folder.parent
        yield top


def _quota(folder: Path) -> float | None:
    if text := _text(folder / "cpu.max"):  # version 2: "200000 100000", or "max 100000"
        quota, _, period = text.strip().partition(" ")
    else:  # version 1: -1 without a limit
        quota = (_text(folder / "cpu.cfs_quota_us") or "").strip()
        period = (_text(folder / "cpu.cfs_period_us") or "").strip()
    if quota.isdecimal() and period.isdecimal() and int(quota) > 0 and int(period) > 0:
        return int(quota) / int(period)
    return None


def _sysctl(name: str = "hw.optional") -> str | None:
    try:
        return subprocess.run(  # noqa: S603 - the names are our own
            ["/usr/sbin/sysctl", name], capture_output=True, text=True, timeout=_SYSCTL_SECONDS, check=False
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return None


def _text(path: Path) -> str | None:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return None


PROBE_INPUT, PROBE_OUTPUT = "x", "y"

TERMS = 64
"""Products in each sum of `products`: more than a register holds, so that a kernel takes its usual way."""

PIXEL = 255
"""The largest uint8."""

WEIGHT = 127
"""The largest int8: with 63 and less a pair of products fits into 16 bits."""

_COLUMNS = 16
_OPSET = 13
_IR_VERSION = 7

# Element types of ONNX's TensorProto.
_FLOAT, _UINT8, _INT8, _INT32 = 1, 2, 3, 6


def addition() -> bytes:
    """A model that adds a float32 tensor of shape [1] to itself: every provider that computes has a kernel for it."""
    node = encode_bytes(1, PROBE_INPUT) * 2 + encode_bytes(2, PROBE_OUTPUT) + encode_bytes(4, "Add")
    return _model(node, _value(PROBE_INPUT, _FLOAT, 1), _value(PROBE_OUTPUT, _FLOAT, 1))


def products(weight: int) -> bytes:
    """A model that multiplies uint8 [1, TERMS] by a matrix of int8, and gives the sums as int32 [1, 16].

    Args:
        weight: what the matrix is full of, 0 to 127. It is a constant, as in every int8 bundle, because a kernel
            rearranges constants when the session is made.
    """
    matrix = b"".join(encode_integer(1, size) for size in (TERMS, _COLUMNS))
    matrix += encode_integer(2, _INT8) + encode_bytes(8, "weights")
    matrix += encode_bytes(9, bytes([weight]) * TERMS * _COLUMNS)
    inputs = encode_bytes(1, PROBE_INPUT) + encode_bytes(1, "weights")
    node = inputs + encode_bytes(2, PROBE_OUTPUT) + encode_bytes(4, "MatMulInteger")
    takes, gives = _value(PROBE_INPUT, _UINT8, 1, TERMS), _value(PROBE_OUTPUT, _INT32, 1, _COLUMNS)
    return _model(node, takes, gives, encode_bytes(5, matrix))


def _model(node: bytes, takes: bytes, gives: bytes, constants: bytes = b"") -> bytes:
    """A serialised ModelProto of one node."""
    graph = (
        encode_bytes(1, node) + encode_bytes(2, "probe") + constants + encode_bytes(11, takes) + encode_bytes(12, gives)
    )
    opset = encode_bytes(1, "") + encode_integer(2, _OPSET)
    return encode_integer(1, _IR_VERSION) + encode_bytes(7, graph) + encode_bytes(8, opset)


def _value(name: str, element: int, *axes: int) -> bytes:
    """A ValueInfoProto."""
    shape = b"".join(encode_bytes(1, encode_integer(1, axis)) for axis in axes)
    tensor = encode_integer(1, element) + encode_bytes(2, shape)
    return encode_bytes(1, name) + encode_bytes(2, encode_bytes(1, tensor))


def int8_is_exact() -> bool | None:
    """Multiplies the largest numbers on the CPU; takes a millisecond.

    Returns:
        Whether the sums are right; None where ONNX Runtime cannot be asked.
    """
    try:
        return measured_sum(WEIGHT) == PIXEL * WEIGHT * TERMS
    except ProviderError:
        return None


def measured_sum(weight: int) -> int:
    """The sum of `TERMS` products of `PIXEL` and a weight, as ONNX Runtime computes it on this processor.

    Args:
        weight: 0 to 127.

    Raises:
        RuntimeMissingError: onnxruntime is not installed, or broken.
        ProviderError: onnxruntime cannot load the model.
    """
    import numpy as np

    from edge.session.providers import Options, open_on  # which asks `addition` itself

    native = open_on(products(weight), "cpu", Options(), None)
    (sums,) = native.run([PROBE_OUTPUT], {PROBE_INPUT: np.full((1, TERMS), PIXEL, np.uint8)})
    return int(sums.min())
