"""The C form as WebAssembly, packed as `edge.mjs` opens it: a bundle with the module in place of a graph."""

import base64
import hashlib
import json
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

from edge.bundle import bundle
from edge.bundle.bundle import Bundle
from edge.bundle.wire import encode_metadata
from edge_export.targets.c import CForm, compilation
from edge_export.targets.c.text import CSource
from edge_export.targets.registry import DeploymentError

MODULE_KEY, BITS_KEY = "edge.wasm", "edge.bits"

_CALLS_BYTES = 16384  # of stack beside the working memory
_FLAGS = ("--target=wasm32", "-std=c99", "-O3", "-msimd128", "-mbulk-memory", "-ffreestanding", "-nostdlib")


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
    limits = tuple(map(float, made.limits))
    evidence = replace(source.evidence, limits=limits, max_logit_error=max(limits))
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
    if shutil.which("clang") is None or shutil.which("wasm-ld") is None:
        raise DeploymentError(
            "no compiler for WebAssembly is installed here, which --engine c needs; on Debian: apt install clang lld; "
            "or leave --engine out"
        )
    stack = -(-(source.stack_bytes + _CALLS_BYTES) // 16) * 16
    exported = (f"-D{source.name}_logits=edge_logits", "-Wl,--export=edge_logits")
    linking = ("-Wl,--no-entry", *exported, f"-Wl,-z,stack-size={stack}", "-Wl,--strip-all")
    with tempfile.TemporaryDirectory() as scratch:
        module = Path(scratch) / "module.wasm"
        version = compilation.build(source, "clang", (*_FLAGS, *linking), module)
        return module.read_bytes(), version
