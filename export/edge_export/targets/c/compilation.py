"""C forms compiled: their self-test by the compiler at hand, and the module of a page by one for WebAssembly."""

import shutil
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

from edge_export.targets.c.text import CSource
from edge_export.targets.registry import DeploymentError

STANDARD = ("-std=c99", "-O2")
NATIVE = (*STANDARD, "-march=native")  # the fast path of this machine
_WASM = ("-std=c99", "-O3", "-msimd128", "-mbulk-memory", "-ffreestanding", "-nostdlib")
_SECONDS = 300
_CALLS_BYTES = 16384  # of stack beside the working memory


def run_self_test(
    source: CSource, modes: tuple[tuple[str, ...], ...] = (STANDARD, NATIVE)
) -> dict[str, subprocess.CompletedProcess[str]]:
    """Compiles and runs the self-test, in plain C and with what this processor has; not where there is no `cc`.

    Args:
        source: the two files.
        modes: flags, a build for each.

    Returns:
        What each build printed and returned, by what the compiler says of itself and the flags.

    Raises:
        DeploymentError: the compiler does not take it.
    """
    results = {}
    for flags in modes if shutil.which("cc") else ():
        with tempfile.TemporaryDirectory() as scratch:
            program = Path(scratch) / "self_test"
            try:
                version = build(source, ("cc", *flags, f"-D{source.name.upper()}_SELF_TEST"), program)
            except DeploymentError:
                if flags == NATIVE:
                    continue  # not every compiler knows the machine that it runs on
                raise
            results[f"{version}, {' '.join(flags)}"] = _run([str(program)], program.parent)
    return results


def module(source: CSource) -> tuple[bytes, str]:
    """WebAssembly whose `edge_logits` takes the addresses of an image and of its logits, and who compiled it.

    Raises:
        DeploymentError: there is no compiler for WebAssembly, or it does not take the file.
    """
    compiler: tuple[str, ...] = ("clang", "--target=wasm32")
    if shutil.which("clang") is None or shutil.which("wasm-ld") is None:
        if find_spec("ziglang") is None:
            raise DeploymentError(
                "no compiler for WebAssembly is installed here, which --engine c needs; on Debian: apt install clang "
                "lld; elsewhere: pip install ziglang; or leave --engine out"
            )
        compiler = (sys.executable, "-m", "ziglang", "cc", "--target=wasm32-freestanding")
    stack = -(-(source.stack_bytes + _CALLS_BYTES) // 16) * 16
    exported = (f"-D{source.name}_logits=edge_logits", "-Wl,--export=edge_logits", "-Wl,--no-entry", "-Wl,--strip-all")
    with tempfile.TemporaryDirectory() as scratch:
        target = Path(scratch) / "module.wasm"
        words = (*compiler, *_WASM, *exported, f"-Wl,-z,stack-size={stack}")
        version = build(source, words, target, len(compiler) - 1)
        return target.read_bytes(), version


def build(source: CSource, command: tuple[str, ...], target: Path, words: int = 1) -> str:
    """Compiles a C form in the folder of what is made of it; `words` of the command name the compiler, who is told.

    Raises:
        DeploymentError: the compiler does not take it.
    """
    write_files(source, target.parent)
    version = (_run([*command[:words], "--version"], target.parent).stdout.splitlines() or [command[0]])[0]
    done = _run([*command, f"{source.name}.c", "-o", str(target)], target.parent)
    if done.returncode != 0:
        said = done.stderr.strip().splitlines() or ["it says nothing"]
        reason = next((line for line in said if "error" in line), said[0])
        raise DeploymentError(f"{version} does not compile {source.name}.c: {reason}; please report it")
    return version


def write_files(source: CSource, folder: Path) -> None:
    """Writes both files for a compiler to read."""
    (folder / f"{source.name}.c").write_text(source.code, encoding="utf-8")
    (folder / f"{source.name}.h").write_text(source.header, encoding="utf-8")


def _run(words: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(words, capture_output=True, text=True, cwd=folder, timeout=_SECONDS, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired) as error:
        raise DeploymentError(f"{words[0]} cannot be run: {error}; try again") from error
