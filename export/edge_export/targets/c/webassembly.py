"""The C form as WebAssembly, packed as `edge.mjs` opens it: a bundle with the module in place of a graph."""

import base64
import hashlib
import json
import shutil
import sys
import tempfile
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

from edge.bundle import bundle
from edge.bundle.bundle import Bundle
from edge.bundle.wire import encode_metadata
from edge_export.targets.c import CForm, compilation
from edge_export.targets.c.text import CSource
from edge_export.targets.registry import DeploymentError

MODULE_KEY, BITS_KEY = "edge.wasm", "edge.bits"

_CALLS_BYTES = 16384  # of stack beside the working memory
_ZIG = (sys.executable, "-m", "ziglang", "cc")  # clang with its linker, as a Python package
_FLAGS = ("-std=c99", "-O3", "-msimd128", "-mbulk-memory", "-ffreestanding", "-nostdlib")


def pack(made: CForm, source: Bundle) -> Bundle:
    """The form as one checked file: manifest, evidence with the limits of C, the module, and the bits of its logits.

    Args:
        made: the C form.
        source: the bundle that it was made from.

    Raises:
        DeploymentError: there is no compiler for WebAssembly, or it does not take the file.
    """
    module, compiler = compiled(made.source)
    manifest = replace(
        source.manifest,
        name=f"{made.name}-c",
        precision=made.precision,
        method="c",
        int8_verdict=made.verdict if made.precision == "int8" else None,
        accuracy=(),
    )
    limits, found = tuple(map(float, made.limits)), source.evidence
    # Extremes are of no class: other int8 arithmetic may say another one, and no digit may (`verified`).
    flips = int((made.golden.argmax(1) != found.logits.argmax(1)).sum())
    allowed = max(flips, found.max_flips)
    evidence = replace(found, limits=limits, max_logit_error=max(limits), max_flips=allowed)
    facts = {
        "classes": len(manifest.labels),
        "compiler": compiler,
        "source": {"name": source.manifest.name, "sha256": source.sha256},
        "wasm": base64.b64encode(module).decode(),
    }
    bits = hashlib.sha256(made.golden.astype("<f4").tobytes()).hexdigest()
    entries = {MODULE_KEY: json.dumps(facts, sort_keys=True, separators=(",", ":")), BITS_KEY: bits}
    return bundle.read(bundle.pack(b"".join(map(encode_metadata, entries, entries.values())), manifest, evidence))


def compiled(source: CSource) -> tuple[bytes, str]:
    """The module, whose `logits` takes the addresses of an image and of its logits, and who compiled it.

    Args:
        source: the two files.

    Raises:
        DeploymentError: there is no compiler for WebAssembly, or it does not take the file.
    """
    if shutil.which("clang") is not None and shutil.which("wasm-ld") is not None:
        compiler: tuple[str, ...] = ("clang", "--target=wasm32")
    elif find_spec("ziglang") is not None:
        compiler = (*_ZIG, "--target=wasm32-freestanding")
    else:
        raise DeploymentError(
            "no compiler for WebAssembly is installed here, which --engine c needs; on Debian: apt install clang lld; "
            "elsewhere: pip install ziglang; or leave --engine out"
        )
    stack = -(-(source.stack_bytes + _CALLS_BYTES) // 16) * 16
    exported = [f"-D{source.name}_{one}=edge_{one}" for one in ("logits", "rows")] + ["-Wl,--export=edge_logits"]
    if f"void {source.name}_rows(" in source.code:
        exported += [f"-D{source.name.upper()}_ROWS", "-Wl,--export=edge_rows"]
    linking = ("-Wl,--no-entry", *exported, f"-Wl,-z,stack-size={stack}", "-Wl,--strip-all")
    with tempfile.TemporaryDirectory() as scratch:
        module = Path(scratch) / "module.wasm"
        version = compilation.build(source, (*compiler, *_FLAGS, *linking), module, len(compiler) - 1)
        return module.read_bytes(), version
