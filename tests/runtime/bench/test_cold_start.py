"""Cold starts are fresh processes, in rounds; their memory is their own."""

import sys

import pytest

from edge.bench.benchmark import Start, measure_starts, processes, start
from edge.bench.first_image import peak_bytes
from edge.bench.measurement import Experiment, named_bundles
from edge.errors import ProviderError


class Starter:
    """Starts nothing, and remembers the name of each bundle and its batch; the third start of `broken` fails."""

    def __init__(self, broken=""):
        self.started, self.broken = [], broken

    def __call__(self, subject, provider, batch):
        self.started.append((subject.name, batch))
        if subject.name == self.broken and self.started.count((subject.name, 1)) == 1:
            raise ProviderError("it fell over; try again")
        return Start(provider, len(self.started), 1, 1, 1, batch * 1000)


@pytest.mark.counted_children
def test_a_fresh_process_tells_its_parts_and_its_memory(two):
    begun = start(two[0], "cpu", 3)
    assert begun.provider == "cpu"
    assert min(begun.import_ms, begun.load_ms, begun.first_run_ms) > 0
    assert begun.wall_ms > begun.import_ms + begun.load_ms + begun.first_run_ms
    assert begun.peak_bytes is None if sys.platform == "win32" else begun.peak_bytes > 10_000_000


def test_a_fresh_process_ignores_the_files_of_the_current_folder(two, tmp_path, monkeypatch):
    (tmp_path / "numpy.py").write_text("raise SystemExit('the wrong numpy')\n")
    monkeypatch.chdir(tmp_path)
    assert start(two[0], "cpu").provider == "cpu"


def test_a_process_that_fails_tells_its_last_words(shelf, repack):
    (shelf / "int8.onnx").write_bytes(repack(name="int8", providers=("cpu",)))
    with pytest.raises(ProviderError, match=r"^int8 has fp32 kernels that exist on the CPU only"):
        start(named_bundles(["int8"])[0], "cuda")


def test_bundles_take_turns_and_the_first_round_runs_the_largest_batch_for_its_memory_only(two):
    experiment, into, starter = Experiment(two, batches=(1, 64), cold_starts=2), [], Starter()
    assert len(list(measure_starts(experiment, into, starter))) == processes(experiment) == 6
    assert starter.started == [("a", 64), ("b", 64), ("b", 1), ("a", 1), ("b", 1), ("a", 1)]
    assert [each.bulk_peak_bytes for each in into] == [64_000, 64_000]
    assert [[start.wall_ms for start in each.starts] for each in into] == [[4, 6], [3, 5]]


def test_a_bundle_that_fails_is_not_started_again(two):
    into, starter = [], Starter(broken="b")
    list(measure_starts(Experiment(two, cold_starts=3), into, starter))
    assert [name for name, _ in starter.started] == ["a", "b", "b", "a", "a", "a"]
    assert [each.failure for each in into] == [None, "it fell over; try again"]
    assert [len(each.starts) for each in into] == [3, 0]


def test_no_cold_starts_start_nothing(two):
    experiment, into, starter = Experiment(two, cold_starts=0), [], Starter()
    assert list(measure_starts(experiment, into, starter)) == into == starter.started == []
    assert processes(experiment) == 0


def test_linux_is_asked_for_the_peak_of_this_program(tmp_path):
    status = tmp_path / "proc/self/status"
    status.parent.mkdir(parents=True)
    status.write_text("Name:\tpython\nVmPeak:\t  99 kB\nVmHWM:\t    7 kB\n")
    assert peak_bytes(tmp_path) == (None if sys.platform == "win32" else 7 * 1024)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not tell")
def test_without_proc_the_peak_comes_from_getrusage(tmp_path):
    assert peak_bytes(tmp_path) > 1_000_000


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="macOS starts the count anew for each program")
@pytest.mark.exhaustive  # the child below tells its own memory
def test_a_large_parent_does_not_count(two):
    ballast = bytearray(200_000_000)
    ballast[::4096] = b"x" * len(ballast[::4096])  # touched, so that it is resident
    assert peak_bytes() > 200_000_000
    assert start(two[0], "cpu").peak_bytes < 200_000_000
