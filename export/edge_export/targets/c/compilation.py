"""The self-test of a C form, by the compiler at hand."""

import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from edge_export.targets.c.text import CSource
from edge_export.targets.registry import DeploymentError

STANDARD = ("-std=c99", "-O2")
NATIVE = (*STANDARD, "-march=native")  # the fast path of this machine
_SECONDS = 300


@dataclass(frozen=True, slots=True)
class SelfTest:
    """A self-test that was compiled and run.

    Attributes:
        compiler: its first line about itself.
        flags: what it was given.
        passed: whether every logit has its bits.
        output: the table.
    """

    compiler: str
    flags: tuple[str, ...]
    passed: bool
    output: str


def run_self_test(
    source: CSource, compiler: str = "cc", modes: tuple[tuple[str, ...], ...] = (STANDARD, NATIVE)
) -> list[SelfTest]:
    """Compiles and runs the self-test, in plain C and with what this processor has; nothing where there is no compiler.

    Args:
        source: the two files.
        compiler: a C compiler.
        modes: flags, a build for each.

    Raises:
        DeploymentError: the compiler does not take it.
    """
    if shutil.which(compiler) is None:
        return []
    results = []
    for flags in modes:
        with tempfile.TemporaryDirectory() as scratch:
            program = Path(scratch) / "self_test"
            test = f"-D{source.name.upper()}_SELF_TEST"
            try:
                version = build(source, (compiler, *flags, test), program)
            except DeploymentError:
                if flags == NATIVE:
                    continue  # not every compiler knows the machine that it runs on
                raise
            ran = _run([str(program)], program.parent)
            results.append(SelfTest(version, flags, ran.returncode == 0, ran.stdout))
    return results


def build(source: CSource, command: tuple[str, ...], target: Path, words: int = 1) -> str:
    """Compiles a C form, in the folder of what is made of it, and says who compiled it.

    Args:
        source: the two files.
        command: the compiler and its flags.
        target: the program, library or module.
        words: how many words of the command name the compiler.

    Raises:
        DeploymentError: the compiler does not take it.
    """
    write_files(source, target.parent)
    told = _run([*command[:words], "--version"], target.parent)
    version = (told.stdout.splitlines() or [command[0]])[0]
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
