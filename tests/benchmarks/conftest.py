"""The programs of benchmarks/, run in this process: each start of one imports PyTorch for seconds."""

import importlib
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def benchmark_program(monkeypatch, capsys) -> Callable[..., tuple[int, str, str]]:
    """Runs a program of that name as it is typed; gives its exit code and what it printed to both streams."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))

    def run(name: str, *arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", [f"{name}.py", *map(str, arguments)])
        capsys.readouterr()
        try:
            code = importlib.import_module(name).main()
        except SystemExit as end:
            code = end.code
        printed = capsys.readouterr()
        # What Python does with an exit code that is a text.
        return (1, printed.out, f"{printed.err}{code}\n") if isinstance(code, str) else (code or 0, *printed)

    return run
