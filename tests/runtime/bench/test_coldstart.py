"""Cold starts are fresh processes, in rounds; their memory is their own."""

import sys

import pytest

from edge.bench import coldstart, memory
from edge.bench.coldstart import Start
from edge.bench.plan import Plan, subjects
from edge.errors import ProviderError


@pytest.fixture
def started(monkeypatch):
    """The processes that would have been started, as the name of their bundle and their batch."""
    calls = []

    def start(subject, provider, *, batch=1):
        calls.append((subject.name, batch))
        if subject.name == "b" and len(calls) > 2:
            raise ProviderError("it fell over; try again")
        return Start(provider, wall_ms=len(calls), import_ms=1, load_ms=1, first_run_ms=1, peak_bytes=batch * 1000)

    monkeypatch.setattr(coldstart, "start", start)
    return calls


def test_a_fresh_process_tells_its_parts_and_its_memory(two):
    begun = coldstart.start(two[0], "cpu", batch=3)
    assert begun.provider == "cpu"
    assert min(begun.import_ms, begun.load_ms, begun.first_run_ms) > 0
    assert begun.wall_ms > begun.import_ms + begun.load_ms + begun.first_run_ms
    assert begun.peak_bytes is None if sys.platform == "win32" else begun.peak_bytes > 10_000_000


def test_a_fresh_process_ignores_the_files_of_the_current_folder(two, tmp_path, monkeypatch):
    (tmp_path / "numpy.py").write_text("raise SystemExit('the wrong numpy')\n")
    monkeypatch.chdir(tmp_path)
    assert coldstart.start(two[0], "cpu").provider == "cpu"


def test_a_process_that_fails_tells_its_last_words(shelf, repack):
    (shelf / "int8.onnx").write_bytes(repack(name="int8", providers=("cpu",)))
    with pytest.raises(ProviderError, match=r"^int8 has fp32 kernels that exist on the CPU only"):
        coldstart.start(subjects(["int8"])[0], "cuda")


def test_bundles_take_turns_and_the_first_round_runs_the_largest_batch_for_its_memory_only(two, started):
    plan = Plan(two[:1] * 2, batches=(1, 64), cold_starts=2)
    into = []
    assert len(list(coldstart.measure(plan, into))) == coldstart.processes(plan) == 6
    assert started == [("a", 64), ("a", 64), ("a", 1), ("a", 1), ("a", 1), ("a", 1)]
    assert [each.bulk_peak_bytes for each in into] == [64_000, 64_000]
    assert [[start.wall_ms for start in each.starts] for each in into] == [[3, 5], [4, 6]]


def test_a_bundle_that_fails_is_not_started_again(two, started):
    into = []
    list(coldstart.measure(Plan(two, cold_starts=3), into))
    assert [name for name, _ in started] == ["a", "b", "a", "b", "a", "a"]
    assert [each.failure for each in into] == [None, "it fell over; try again"]
    assert [len(each.starts) for each in into] == [3, 0]


def test_no_cold_starts_start_nothing(two, started):
    plan, into = Plan(two, cold_starts=0), []
    assert (list(coldstart.measure(plan, into)), into, started, coldstart.processes(plan)) == ([], [], [], 0)


def test_linux_is_asked_for_the_peak_of_this_program(tmp_path):
    status = tmp_path / "proc/self/status"
    status.parent.mkdir(parents=True)
    status.write_text("Name:\tpython\nVmPeak:\t  99 kB\nVmHWM:\t    7 kB\n")
    assert memory.peak_bytes(tmp_path) == (None if sys.platform == "win32" else 7 * 1024)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not tell")
def test_without_proc_the_peak_comes_from_getrusage(tmp_path):
    assert memory.peak_bytes(tmp_path) > 1_000_000


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="macOS starts the count anew for each program")
def test_a_large_parent_does_not_count(two):
    ballast = bytearray(400_000_000)
    ballast[::4096] = b"x" * len(ballast[::4096])  # touched, so that it is resident
    assert memory.peak_bytes() > 400_000_000
    assert coldstart.start(two[0], "cpu").peak_bytes < 400_000_000
