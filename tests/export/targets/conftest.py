"""Node with one compiler: what these tests run of WebAssembly ends before the second one has paid for itself."""

import os
import shutil
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session", autouse=True)
def node_compiles_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """V8 compiles ONNX Runtime a second time while it runs: four seconds of a processor, for half a second of work."""
    node = shutil.which("node")
    if node is None or os.name == "nt":
        yield
        return
    quick = tmp_path_factory.mktemp("node") / "node"
    quick.write_text(f'#!/bin/sh\nexec "{node}" --liftoff-only "$@"\n')
    quick.chmod(0o755)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", str(quick.parent), prepend=os.pathsep)
        yield
