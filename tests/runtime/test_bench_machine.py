"""The facts of the machine that stand beside every measurement."""

import platform

import numpy as np
import pytest

from edge import cpu, installation
from edge.bench import machine


def test_the_machine_is_described_by_what_is_really_there():
    import onnxruntime

    found = machine.describe()
    assert found.python == platform.python_version()
    assert found.numpy == np.__version__
    assert found.onnxruntime == onnxruntime.__version__
    assert found.distributions == installation.runtimes()
    assert found.allowed_cpus == cpu.allowed()
    assert found.cpu
    instructions = cpu.instruction_sets()
    assert found.int8_instructions is None if instructions is None else set(found.int8_instructions) == instructions


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("processor\t: 0\nmodel name\t: Some CPU @ 2 GHz\nflags\t: avx2\n", "Some CPU @ 2 GHz"),
        ("processor\t: 0\nBogoMIPS\t: 108.00\n\nModel\t\t: Some Board 4\n", "Some Board 4"),
    ],
)
def test_linux_names_the_processor_or_the_board(tmp_path, monkeypatch, text, name):
    monkeypatch.setattr("platform.system", lambda: "Linux")
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/cpuinfo").write_text(text)
    assert machine.cpu_name(tmp_path) == name


def test_a_processor_without_a_name_is_called_by_its_architecture(tmp_path, monkeypatch):
    monkeypatch.setattr("platform.system", lambda: "Linux")
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    assert machine.cpu_name(tmp_path) == "riscv64"


def test_macos_is_asked_by_sysctl(monkeypatch):
    monkeypatch.setattr("platform.system", lambda: "Darwin")
    monkeypatch.setattr(machine, "_sysctl", lambda key: {"machdep.cpu.brand_string": "Some M9"}[key])
    assert machine.cpu_name() == "Some M9"
