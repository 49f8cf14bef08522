"""How a batch is cut: equal parts, one for each thread or a multiple; and what threads do with them."""

import threading

import pytest

from edge.session import batching
from edge.session.batching import LEAST_IMAGES_PER_THREAD, Batching


@pytest.mark.parametrize("threads", [1, 2, 3, 8])
@pytest.mark.parametrize("chunk", [64, 256])
@pytest.mark.parametrize("count", [1, 63, 64, 127, 128, 257, 1000, 10_000])
def test_the_parts_are_equal_small_enough_and_cover_everything(count, chunk, threads):
    parts = batching.chunks(count, Batching(chunk, threads, "rule"))
    assert [index for part in parts for index in range(part.start, part.stop)] == list(range(count))
    sizes = [part.stop - part.start for part in parts]
    assert max(sizes) <= chunk
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize("count", [128, 500, 1000, 10_000])
def test_no_thread_is_left_without_work_at_the_end(count):
    assert len(batching.chunks(count, Batching(256, 2, "rule"))) % 2 == 0


def test_a_batch_too_small_for_two_threads_is_one_part():
    assert batching.chunks(2 * LEAST_IMAGES_PER_THREAD - 1, batching.rule(2)) == [
        slice(0, 2 * LEAST_IMAGES_PER_THREAD - 1)
    ]
    assert batching.rule(2).direct_images == 2 * LEAST_IMAGES_PER_THREAD - 1
    assert batching.rule(1).direct_images == batching.CHUNK_IMAGES


def test_every_part_is_worked_on_once_by_no_more_threads_than_planned():
    seen, workers = [], set()
    gate = threading.Barrier(3, timeout=30)  # passed only if three work at the same time

    def work(part):
        workers.add(threading.get_ident())
        seen.append(part.start)
        if part.start < 192:
            gate.wait()

    batching.run_in_parts(6 * 64, Batching(64, 3, "rule"), work)
    assert sorted(seen) == [0, 64, 128, 192, 256, 320]
    assert len(workers) == 3
    assert threading.get_ident() in workers


def test_the_first_failure_is_raised_and_the_rest_left_out():
    begun = []

    def work(part):
        begun.append(part)
        raise MemoryError(f"part {part.start}")

    with pytest.raises(MemoryError, match="part"):
        batching.run_in_parts(100 * 64, Batching(64, 2, "rule"), work)
    assert len(begun) <= 2
    assert not [thread for thread in threading.enumerate() if thread.name == "edge-classify"]


def test_where_the_system_gives_no_thread_the_calling_one_does_all_the_work(monkeypatch):
    def refuse(_thread):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    seen = []
    batching.run_in_parts(6 * 64, Batching(64, 3, "rule"), lambda part: seen.append(part.start))
    assert sorted(seen) == [0, 64, 128, 192, 256, 320]
