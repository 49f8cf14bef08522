"""Percentiles are samples, and none is given that too few samples stand on."""

import itertools

import pytest

from edge.bench import timing


@pytest.fixture
def clock(monkeypatch):
    """A clock that moves only when a call says so."""

    class Clock:
        now = 0

        def advance(self, nanoseconds):
            self.now += nanoseconds

    clock = Clock()
    monkeypatch.setattr("edge.bench.timing.time.perf_counter_ns", lambda: clock.now)
    return clock


@pytest.mark.parametrize(("per_mille", "needed"), [(500, 20), (900, 100), (990, 1000), (999, 10_000), (10, 1000)])
def test_a_percentile_needs_ten_samples_on_its_rarer_side(per_mille, needed):
    assert timing.samples_needed(per_mille) == needed
    assert timing.percentile(range(needed - 1), per_mille) is None
    assert timing.percentile(range(needed), per_mille) is not None


@pytest.mark.parametrize(("per_mille", "expected"), [(500, 500), (900, 900), (990, 990), (10, 10)])
def test_a_percentile_is_the_smallest_sample_that_so_many_do_not_exceed(per_mille, expected):
    assert timing.percentile(range(1, 1001), per_mille) == expected


def test_a_percentile_lies_between_no_two_samples():
    assert timing.percentile([1] * 10 + [3] * 10, 500) == 1
    assert timing.percentile([1] * 10 + [3] * 11, 500) == 3


def test_whole_percentiles_are_ninety_nine_with_gaps_at_both_ends_of_a_short_series():
    found = timing.whole_percentiles(range(1, 101))
    assert len(found) == 99
    assert [at for at, value in enumerate(found, start=1) if value is not None] == list(range(10, 91))
    assert found[49] == 50
    assert None not in timing.whole_percentiles(range(1000))


def test_a_turn_does_not_count_its_warm_up(clock):
    series = timing.series()
    durations = itertools.chain([700], itertools.repeat(100))
    uncounted = timing.turn(lambda: clock.advance(next(durations)), 2000e-9, series)
    assert uncounted == 1
    assert list(series) == [100] * 13  # 700 of 2000 ns went into the first call


def test_the_warm_up_lasts_a_share_of_the_turn_where_calls_are_short(clock):
    series = timing.series()
    assert timing.turn(lambda: clock.advance(10), 1000e-9, series) == 10
    assert len(series) == 90


def test_a_turn_times_at_least_one_call_and_cuts_none_off(clock):
    series = timing.series()
    assert timing.turn(lambda: clock.advance(5000), 1e-6, series) == 1
    assert list(series) == [5000]


def test_a_series_ends_when_it_is_long_enough(clock, monkeypatch):
    monkeypatch.setattr(timing, "MOST_SAMPLES", 5)
    series = timing.series()
    for _ in range(3):
        timing.turn(lambda: clock.advance(1), 1e-6, series)
    assert len(series) == 5


def test_every_printed_percentile_fits_into_the_longest_series():
    assert max(map(timing.samples_needed, timing.PERCENTILES.values())) <= timing.MOST_SAMPLES
