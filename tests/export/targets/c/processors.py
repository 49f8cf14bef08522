"""Runs the self-test of C forms on every processor and compiler at hand: `python3 dev.py c`.

Each line is one model on one target: whether every logit has the bits that the referee computed, or why it was not run.
On a Cortex-M the flash and RAM of the model and the instructions of one image are measured too, with QEMU's `-icount`.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from edge.bundle import shipped
from edge.text.table import aligned
from edge_export.targets import registry
from edge_export.targets.registry import TargetRequest

MODELS = (
    "lstm-20",
    "gru",
    "rnn",
    "rnn-relu",
    "lstm",
    "bilstm",
    "cnn-16k-int8",
    "cnn-int8",
    "lstm-20 fp32",
    "cnn-16k fp32",
)
BOARD = Path(__file__).parents[4] / "examples" / "cortex-m4"
SECONDS = 600

STRICT = ("-std=c99", "-pedantic", "-Wall", "-Wextra", "-Wconversion", "-Werror")
SANITISERS = ("-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
CORTEX = {
    "Cortex-M3": ("mps2-an385", ("-mcpu=cortex-m3",)),
    "Cortex-M4": ("mps2-an386", ("-mcpu=cortex-m4", "-mfpu=fpv4-sp-d16", "-mfloat-abi=hard")),
    "Cortex-M7": ("mps2-an500", ("-mcpu=cortex-m7", "-mfpu=fpv5-d16", "-mfloat-abi=hard")),
}
PACKAGES = {
    "clang": "clang",
    "arm-none-eabi-gcc": "gcc-arm-none-eabi libnewlib-arm-none-eabi",
    "qemu-system-arm": "qemu-system-arm",
    "wasm-ld": "lld",
    "node": "nodejs",
    **{
        f"{cpu}-linux-gnu-gcc": f"gcc-{cpu}-linux-gnu libc6-dev-{arch}-cross"
        for cpu, arch in (("aarch64", "arm64"), ("riscv64", "riscv64"), ("s390x", "s390x"))
    },
    **{f"qemu-{cpu}": "qemu-user" for cpu in ("aarch64", "riscv64", "s390x")},
}

# The self-test prints; a module for WebAssembly has no C library, and imports what it or its compiler calls.
STDIO = "int printf(const char *, ...);\n"
IN_NODE = """\
const code = require("fs").readFileSync(process.argv[2]);
let bytes;
const env = {
  printf: () => 0, puts: () => 0, putchar: () => 0,
  memset: (to, value, count) => (bytes().fill(value, to, to + count), to),
  memcpy: (to, from, count) => (bytes().copyWithin(to, from, from + count), to),
};
WebAssembly.instantiate(code, { env }).then(({ instance }) => {
  bytes = () => new Uint8Array(instance.exports.memory.buffer);
  process.exit(instance.exports.self_test());
});
"""


@dataclass(frozen=True, slots=True)
class Build:
    """A compiler with its flags, and what runs the program.

    Attributes:
        target: what it is called.
        tools: programs that it needs.
        compile: the command before the source; `-o` and the program's name come last.
        run: what stands before the program's name.
        floats: whether it is right for fp32.
        board: QEMU's machine, of a Cortex-M.
    """

    target: str
    tools: tuple[str, ...]
    compile: tuple[str, ...]
    run: tuple[str, ...] = ()
    floats: bool = True
    board: str = ""


def builds() -> Iterator[Build]:
    """Every target."""
    for compiler in ("gcc", "clang"):
        native = ("-O3", "-march=native")
        for flags in (
            ("-O0",),
            ("-O2",),
            ("-O3",),
            native,
            (*native, "-DPLAIN"),
            ("-O2", "-m32", "-msse2", "-mfpmath=sse"),
        ):
            yield Build(f"x86 {compiler} {' '.join(flags)}", (compiler,), (compiler, *STRICT, *flags))
        yield Build(f"x86 {compiler} -Ofast", (compiler,), (compiler, *STRICT, "-Ofast"), floats=False)
        yield Build(f"x86 {compiler} sanitisers", (compiler,), (compiler, *STRICT, *SANITISERS))
    for cpu in ("aarch64", "riscv64", "s390x"):
        compiler = f"{cpu}-linux-gnu-gcc"
        for flags in (("-O2",), ("-O3",)) + ((("-O3", "-DPLAIN"),) if cpu == "aarch64" else ()):
            yield Build(
                f"{cpu} {' '.join(flags)}",
                (compiler, f"qemu-{cpu}"),
                (compiler, *STRICT, *flags, "-static"),
                (f"qemu-{cpu}",),
            )
    for name, (board, cpu) in CORTEX.items():
        for flags in (("-O2",), ("-O2", "-DPLAIN"), ("-O3",)):
            yield Build(
                f"{name} {' '.join(flags)}",
                ("arm-none-eabi-gcc", "qemu-system-arm"),
                ("arm-none-eabi-gcc", *STRICT, *cpu, "-mthumb", *flags, "-ffunction-sections", "-fdata-sections"),
                board=board,
            )
    for flags in (("-O2",), ("-O3", "-msimd128")):
        wasm = ("clang", *STRICT, *flags, "--target=wasm32", "-nostdlib", "-I.", "-Dmain=self_test")
        linked = ("-Wl,--no-entry", "-Wl,--export=self_test", "-Wl,--allow-undefined", "-Wl,-z,stack-size=262144")
        yield Build(f"wasm32 {' '.join(flags)}", ("clang", "wasm-ld", "node"), (*wasm, *linked), ("node", "run.js"))


def main() -> int:
    """The table; 0 where no self-test failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "models", nargs="*", default=MODELS, help="shipped bundles; 'NAME fp32' for the weights as they are"
    )
    parser.add_argument("--only", default="", help="targets whose name holds this")
    chosen = parser.parse_args()
    failed = False
    for model in chosen.models:
        name, _, precision = model.partition(" ")
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch)
            request = TargetRequest(precision or "int8", data="strokes")
            written = registry.write("c", shipped.info(name), folder, request)
            (folder / "stdio.h").write_text(STDIO)
            (folder / "run.js").write_text(IN_NODE)
            rows = [(model, "target", "self-test", "flash", "RAM", "instructions")]
            for build in builds():
                if chosen.only in build.target and (build.floats or precision != "fp32"):
                    row = tried(build, folder, written.paths[0].stem)
                    failed |= row[1].startswith("FAILED")
                    rows.append((" ", *row))
            print("\n".join([*aligned(rows), ""]), flush=True)
    return int(failed)


def tried(build: Build, folder: Path, name: str) -> tuple[str, str, str, str, str]:
    """A line of the table."""
    missing = [tool for tool in build.tools if shutil.which(tool) is None]
    if missing:
        return (
            build.target,
            f"skipped: {missing[0]} is missing (apt install {PACKAGES.get(missing[0], missing[0])})",
            "",
            "",
            "",
        )
    program = folder / "self_test"
    test = [f"-D{name.upper()}_SELF_TEST"]
    if build.board:
        done = _run([*build.compile, "-Wno-pedantic", *test, f"{name}.c", *_on_board(program)], folder)
    else:
        if "wasm32" not in build.target:
            (folder / "stdio.h").unlink(missing_ok=True)
        else:
            (folder / "stdio.h").write_text(STDIO)
        done = _run([*build.compile, *test, f"{name}.c", "-o", str(program)], folder)
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines()
        reason = next((line for line in lines if "error" in line), lines[-1] if lines else "")
        if "-m32" in build.compile and ("bits/" in done.stderr or "cannot find" in done.stderr):
            return build.target, "skipped: no 32-bit C library (apt install gcc-multilib)", "", "", ""
        return build.target, f"FAILED to compile: {reason}", "", "", ""
    if not build.board:
        ran = _run([*build.run, str(program)], folder)
        return build.target, "the same bits" if ran.returncode == 0 else f"FAILED {ran.stderr[-200:]}", "", "", ""
    ran = _emulated(build.board, program, folder)
    if "passed: the same bits" not in ran.stdout:
        return build.target, f"FAILED {ran.stdout[-200:]}{ran.stderr[-200:]}", "", "", ""
    return build.target, "the same bits", *_measured(build, folder, name)


def _measured(build: Build, folder: Path, name: str) -> tuple[str, str, str]:
    """Flash and RAM of the model, and the instructions of one image."""
    _run([*build.compile, "-c", f"{name}.c", "-o", "model.o"], folder)
    sizes = _run(["arm-none-eabi-size", "model.o"], folder).stdout.splitlines()[1].split()
    model = [f'-DMODEL_HEADER="{name}.h"', f"-DLOGITS={name}_logits", f"-DCLASSES={name.upper()}_CLASSES"]
    flags = [flag for flag in build.compile[1:] if flag not in STRICT]
    measuring = Path(__file__).with_name("measured.c")
    words = ["arm-none-eabi-gcc", *flags, *model, "-I.", f"{name}.c", str(measuring), *_on_board(folder / "measured")]
    done = _run(words, folder)
    assert done.returncode == 0, done.stderr
    instructions, stack = _emulated(build.board, folder / "measured", folder, "-icount", "shift=2").stdout.split()
    return f"{int(sizes[0]) + int(sizes[1])}", f"{int(sizes[2]) + int(stack)}", f"{int(instructions) / 1e6:.2f} M"


def _on_board(program: Path) -> list[str]:
    linked = ["-nostartfiles", "-T", str(BOARD / "link.ld"), "-Wl,--gc-sections", "--specs=rdimon.specs", "-std=gnu99"]
    return ["-w", "-DSEMIHOSTING", str(BOARD / "startup.c"), *linked, "-o", str(program)]


def _emulated(board: str, program: Path, folder: Path, *more: str) -> subprocess.CompletedProcess[str]:
    words = ["qemu-system-arm", "-M", board, "-nographic", "-monitor", "none", *more]
    return _run([*words, "-semihosting-config", "enable=on,target=native", "-kernel", str(program)], folder)


def _run(words: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False, timeout=SECONDS)


if __name__ == "__main__":
    sys.exit(main())
