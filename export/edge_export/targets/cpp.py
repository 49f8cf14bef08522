"""C++: the bundle unchanged, and the header that opens, checks, replays and asks it with ONNX Runtime's C++ interface.

    cpp/NAME.onnx           the bundle, byte for byte
    cpp/edge.hpp            the header
    cpp/replay.cpp          a program that replays the evidence of bundles, and an example
    cpp/CMakeLists.txt      builds it

Where this machine has a compiler and the headers of ONNX Runtime, the evidence is replayed by that program.
"""

import json
import subprocess
import tempfile
from importlib import resources
from pathlib import Path
from typing import Any

from edge import verification
from edge.bundle.bundle import Bundle
from edge.text.files import make_folder, write_together
from edge.verification import Step, Verification
from edge_export.targets import cpp_toolchain
from edge_export.targets.registry import DeploymentError, WrittenTarget, refuse_unless_verified

FOLDER = "cpp"
SOURCES = ("edge.hpp", "replay.cpp", "CMakeLists.txt")
_SECONDS = 120  # for the replay


def write(source: Bundle, out: Path) -> WrittenTarget:
    """Writes the bundle beside the header and the program.

    Args:
        source: the bundle.
        out: what is written goes into its folder `cpp`.

    Raises:
        DeploymentError: the evidence does not hold.
        WriteError: the folder cannot be made or written.
    """
    own = resources.files("edge_export.targets") / "cplusplus"
    contents = {name: (own / name).read_bytes() for name in SOURCES}
    contents[f"{source.manifest.name}.onnx"] = source.data
    replay, notes = _replayed(source.manifest.name, contents)
    refuse_unless_verified(replay, "bundle")
    folder = out / FOLDER
    make_folder(folder)
    write_together({folder / name: content for name, content in contents.items()})
    build = "cmake -B build -DCMAKE_BUILD_TYPE=Release && cmake --build build"
    return WrittenTarget(
        tuple(folder / name for name in reversed(contents)),
        replay,
        (*notes, f"build it: cd {folder} && {build} && build/replay {source.manifest.name}.onnx"),
    )


def _replayed(name: str, contents: dict[str, bytes]) -> tuple[Verification, tuple[str, ...]]:
    """The evidence in C++; where nothing can be compiled in Python, with the same runtime."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        for file, content in contents.items():
            (folder / file).write_bytes(content)
        bundle = folder / f"{name}.onnx"
        try:
            program = cpp_toolchain.build(folder, "replay")
        except DeploymentError as error:
            return verification.verify(bundle, provider="cpu"), (f"replayed in Python only: {error}",)
        try:
            done = subprocess.run(  # noqa: S603 - our own program
                [program, "--json", bundle], capture_output=True, text=True, timeout=_SECONDS, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise DeploymentError(
                f"the program cannot replay the evidence: {error}; try again, or deploy the bundle"
            ) from error
    if not done.stdout:
        reason = done.stderr.strip().replace(f"edge: {bundle}: ", "")
        raise DeploymentError(f"edge.hpp refuses the bundle: {reason}; deploy the bundle itself")
    report: dict[str, Any] = json.loads(done.stdout)
    steps = tuple(Step(each["name"], passed=each["passed"], detail=each["detail"]) for each in report["steps"])
    return Verification(name, "cpu", steps), (f"replayed in C++ with onnxruntime {report['onnxruntime']}",)
