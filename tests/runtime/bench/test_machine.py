"""The facts of the machine that stand beside every measurement."""

import platform
import subprocess
import sys

import numpy as np

from edge.bench.results import describe_machine
from edge.session import cpu, runtime


def test_the_machine_is_described_by_what_is_really_there():
    import onnxruntime

    found = describe_machine("pillow", "a-package-that-nobody-made")
    assert found.python == platform.python_version()
    assert found.numpy == np.__version__
    assert found.onnxruntime == onnxruntime.__version__
    assert found.distributions == {**runtime.runtimes(), "pillow": runtime.version("pillow")}
    assert found.allowed_cpus == cpu.allowed()
    assert (found.cpu, found.cpu_family) == (cpu.model(), cpu.family())
    instructions = cpu.instruction_sets()
    assert found.int8_instructions is None if instructions is None else set(found.int8_instructions) == instructions


def test_a_process_that_computed_nothing_imports_nothing_to_tell_where_it_is():
    asked = (
        "import sys; from edge.bench.results import describe_machine\n"
        "print(describe_machine().onnxruntime, 'numpy' in sys.modules)"
    )
    ended = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert ended.stdout.split() == ["None", "False"]
