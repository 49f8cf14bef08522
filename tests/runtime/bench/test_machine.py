"""The facts of the machine that stand beside every measurement."""

import platform

import numpy as np

from edge.bench import machine
from edge.session import cpu, runtime


def test_the_machine_is_described_by_what_is_really_there():
    import onnxruntime

    found = machine.describe()
    assert found.python == platform.python_version()
    assert found.numpy == np.__version__
    assert found.onnxruntime == onnxruntime.__version__
    assert found.distributions == runtime.runtimes()
    assert found.allowed_cpus == cpu.allowed()
    assert found.cpu == cpu.model()
    instructions = cpu.instruction_sets()
    assert found.int8_instructions is None if instructions is None else set(found.int8_instructions) == instructions
