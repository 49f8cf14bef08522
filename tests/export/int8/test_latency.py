"""Graphs run in turns by the processor time of their thread, and a ratio knows its noise."""

import itertools

import numpy as np
import pytest

from edge_export.int8 import latency

IMAGES = np.zeros((3, 28, 28), np.uint8)


class Clock:
    """A clock that moves only when one of its sessions runs."""

    def __init__(self):
        self.now, self.runs = 0, []

    def __call__(self):
        return self.now

    def session(self, name, *milliseconds):
        """A session that takes these times in turn."""
        return Session(self, name, itertools.cycle(milliseconds))


class Session:
    def __init__(self, clock, name, milliseconds):
        self.clock, self.name, self.milliseconds = clock, name, milliseconds

    def run(self, _outputs, feed):
        self.clock.runs.append((self.name, len(feed["image"])))
        self.clock.now += round(next(self.milliseconds) * 1e6)


@pytest.fixture
def clock(monkeypatch):
    monkeypatch.setattr(latency, "SECONDS", 0)
    return Clock()


def test_latencies_are_medians_of_all_in_microseconds_an_image(clock):
    fast = clock.session("fast", 1, 1, 5000)  # every third run meets something else on the machine
    fp32, same = clock.session("fp32", 2), clock.session("same", 2)
    measured = latency.measure(fp32, {"fast": fast, "same": same}, IMAGES, clock=clock)
    assert list(measured) == ["fast", "same"]
    for name, ratio in (("fast", 2.0), ("same", 1.0)):
        assert [one.batch for one in measured[name]] == list(latency.REPETITIONS)
        assert [one.baseline_us for one in measured[name]] == pytest.approx([2000 / one for one in latency.REPETITIONS])
        assert [one.candidate_us * one.batch for one in measured[name]] == pytest.approx([2000 / ratio] * 5)
        assert [one.ratio for one in measured[name]] == pytest.approx([ratio] * 5)


def test_only_the_batches_that_are_asked_for_are_timed(clock):
    measured = latency.measure(
        clock.session("fp32", 2), {"one": clock.session("one", 1)}, IMAGES, batches=latency.ENDS, clock=clock
    )
    assert [one.batch for one in measured["one"]] == [1, 256]
    assert {count for _, count in clock.runs} == {1, 256}


def test_graphs_run_in_turns_and_each_goes_first(clock):
    fp32, one, two = (clock.session(name, 1) for name in ("fp32", "one", "two"))
    latency.measure(fp32, {"one": one, "two": two}, IMAGES, clock=clock)
    few = [batch for batch in latency.REPETITIONS if batch <= latency.FEW]
    runs = [run for run in clock.runs if run[1] not in few]
    of_few = [run for run in clock.runs if run[1] in few]
    assert of_few[::2] == of_few[1::2], "a few images are timed behind a run of the same graph"
    runs = [*of_few[::2], *runs]
    rounds = list(zip(*[iter(runs)] * 3, strict=True))
    assert len(rounds) == sum(latency.WARM_UP + rounds for rounds in latency.REPETITIONS.values())
    for batch in latency.REPETITIONS:
        of_batch = [turn for turn in rounds if turn[0][1] == batch]
        assert all({name for name, _ in turn} == {"fp32", "one", "two"} for turn in of_batch)
        assert {turn[0][0] for turn in of_batch} == {"fp32", "one", "two"}


def test_a_ratio_that_varies_has_more_noise_than_one_that_does_not(clock, monkeypatch):
    monkeypatch.setattr(latency, "REPETITIONS", {1: 100, 256: 25})
    sessions = {"steady": clock.session("steady", 1), "shaky": clock.session("shaky", *np.linspace(0.9, 1.1, 17))}
    measured = latency.measure(clock.session("fp32", 2), sessions, IMAGES, clock=clock)
    assert [one.noise for one in measured["steady"]] == pytest.approx([0, 0], abs=1e-12)
    single, bulk = measured["shaky"]
    assert 0 < single.noise < bulk.noise, "four times as many rounds, half the error"
    assert bulk.noise == pytest.approx(2 * single.noise, rel=0.3)
    assert single.ratio == pytest.approx(2.0, rel=0.02)


def test_loading_is_timed_in_milliseconds(converted):
    ticks = itertools.count(step=4_000_000)
    model = converted("lstm")[1].model
    assert latency.load_time(model, clock=lambda: next(ticks)) == pytest.approx(4.0)
