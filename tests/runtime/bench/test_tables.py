"""What was measured as tables for people; the command's own tests look at the rest of them."""

from dataclasses import replace

import pytest

from edge.bench import presentation
from edge.bench.benchmark import results_of
from edge.bench.measurement import Experiment


def cells(lines):
    header = next(at for at, line in enumerate(lines) if line.startswith("bundle"))
    return lines[header], lines[header + 1 :]


def test_cold_start_load_and_memory_have_their_own_table(experiment, measured, cold, some_machine):
    lines = presentation.cost_lines(results_of(experiment, some_machine, cold, measured))
    header, (row,) = cells(lines)
    assert header.split()[:5] == ["bundle", "provider", "nodes", "file", "load"]
    assert header.endswith("cold start  import  load   run    peak  peak at 4")
    assert row.endswith("80.0    50.0  5.00  1.00  0.0 KB     0.1 KB")
    assert "median of 3" in lines[0]
    assert "median of 3" in lines[1]


def test_the_peak_of_a_single_image_is_shown_once(experiment, measured, cold, some_machine):
    single = Experiment(experiment.subjects, providers=("cpu",), batches=(1,))
    text = "\n".join(presentation.cost_lines(results_of(single, some_machine, cold, measured)))
    assert text.count("peak") == 1


@pytest.mark.parametrize(
    ("instructions", "told"),
    [(None, "(int8 instructions unknown)"), ((), "(no int8 instructions)"), (("avx2",), "(avx2)")],
)
def test_the_line_of_the_machine_names_what_int8_depends_on(experiment, measured, some_machine, instructions, told):
    machine = replace(some_machine, int8_instructions=instructions)
    line = presentation.machine_line(results_of(experiment, machine, [], measured))
    assert line.startswith(f"Some CPU {told}, 2 CPUs allowed; ")
