"""Times are taken in turns and judged by ratios within a round; percentiles are samples, none that too few stand on."""

import itertools
import math
import random

import pytest

from edge.bench import turns
from edge.bench.turns import ClockError, Series, Turn, compare, percentile, take_turns, time_in_turns, time_turn


class Clock:
    """A clock that moves only when a call says so."""

    def __init__(self):
        self.now = 0

    def __call__(self):
        return self.now

    def task(self, *durations):
        """A call that takes these nanoseconds, one after another, again and again."""
        following = itertools.cycle(durations)

        def call():
            self.now += next(following)

        return call


@pytest.fixture
def clock():
    return Clock()


def sequence(items, **settings):
    taken = list(take_turns(items, **settings))
    return [
        (number, "".join(item for _, item in turns))
        for number, turns in itertools.groupby(taken, key=lambda turn: turn[0])
    ]


def test_rounds_come_in_pairs_of_opposite_order_and_each_pair_begins_one_later():
    assert sequence("abc", rounds=6) == [(1, "abc"), (2, "cba"), (3, "bca"), (4, "acb"), (5, "cab"), (6, "bac")]


@pytest.mark.parametrize("count", [2, 3, 5])
def test_over_as_many_pairs_as_there_are_tasks_every_task_takes_every_place_equally_often(count):
    orders = [order for _, order in sequence("abcde"[:count], rounds=2 * count)]
    assert {
        (place, orders_of.count(item))
        for item in "abcde"[:count]
        for place, orders_of in enumerate(zip(*orders, strict=True))
    } == {(place, 2) for place in range(count)}


def test_rounds_that_warm_up_are_numbered_from_zero_down():
    assert [number for number, _ in sequence("ab", rounds=2, warmup_rounds=2)] == [-1, 0, 1, 2]


def test_rounds_go_on_until_the_seconds_are_over_and_none_is_cut_off(clock):
    work = clock.task(300_000_000)
    taken = []
    for number, item in take_turns("ab", rounds=1, seconds=1.0, clock=clock):
        work()
        taken.append((number, item))
    assert taken == [(1, "a"), (1, "b"), (2, "b"), (2, "a")]  # the second round begins after 0.6 s


def test_nobody_has_no_turns():
    assert list(take_turns([], rounds=3)) == []


def test_a_drift_of_the_machine_cancels_within_a_pair_of_rounds(clock):
    def drifting():  # each call takes a little longer than the one before, whoever makes it
        clock.now += 1_000_000 + clock.now // 1000

    found = time_in_turns({"one": drifting, "same": drifting}, rounds=40, clock=clock)
    ratio = compare(found["one"].medians(), found["same"].medians())
    assert ratio.value == pytest.approx(1, abs=1e-5)


def test_a_turn_does_not_count_its_warm_up(clock):
    series = Series()
    durations = itertools.chain([700], itertools.repeat(100))

    def call():
        clock.now += next(durations)

    time_turn(call, series, Turn(2000e-9, warmup_calls=1), clock=clock)
    assert series.warmup_calls == 1
    assert [list(each) for each in series.rounds] == [[100] * 13]  # 700 of 2000 ns went into the first call


def test_the_warm_up_lasts_a_share_of_the_turn_where_calls_are_short(clock):
    series = Series()
    time_turn(clock.task(10), series, Turn(1000e-9, 1, 0.1), clock=clock)
    assert (series.warmup_calls, len(series.rounds[0])) == (10, 90)


def test_a_turn_times_at_least_one_call_and_cuts_none_off(clock):
    series = Series()
    time_turn(clock.task(5000), series, Turn(1e-6, 1), clock=clock)
    assert (series.warmup_calls, list(series.rounds[0])) == (1, [5000])


def test_a_turn_ends_when_it_has_calls_enough(clock):
    series = Series()
    time_turn(clock.task(1), series, Turn(1.0, most_calls=5), clock=clock)
    assert len(series.rounds[0]) == 5


def test_by_default_a_turn_is_one_timed_call(clock):
    series = Series()
    time_turn(clock.task(7), series, clock=clock)
    assert (series.warmup_calls, [list(each) for each in series.rounds]) == (0, [[7]])


def test_the_end_of_what_a_call_returned_is_not_part_of_it(clock):
    class Result:
        def __del__(self):
            clock.now += 1_000_000

    def call():
        clock.now += 5
        return Result()

    series = Series()
    time_turn(call, series, Turn(1.0, most_calls=3), clock=clock)
    assert list(series.rounds[0]) == [5, 5, 5]


def test_whoever_is_interrupted_keeps_the_calls_that_were_timed(clock):
    durations = iter([4, 6])

    def call():
        try:
            clock.now += next(durations)
        except StopIteration:
            raise KeyboardInterrupt from None

    series = Series()
    with pytest.raises(KeyboardInterrupt):
        time_turn(call, series, Turn(1.0), clock=clock)
    assert [list(each) for each in series.rounds] == [[4, 6]]


def test_every_task_has_a_series_of_the_rounds_that_count(clock):
    told = []
    tasks = {"slow": clock.task(9000), "fast": clock.task(1000)}
    found = time_in_turns(tasks, rounds=4, warmup_rounds=2, turn=Turn(0, 1), clock=clock, progress=told.append)
    assert [list(map(list, each.rounds)) for each in found.values()] == [[[9000]] * 4, [[1000]] * 4]
    assert [each.warmup_calls for each in found.values()] == [4, 4]
    assert told == list(range(1, 13))
    assert compare(found["slow"].medians(), found["fast"].medians()).value == 9


def test_a_series_tells_its_median_in_microseconds():
    series = Series()
    for duration in (1000, 9000, 2000):
        time_turn((clock := Clock()).task(duration), series, clock=clock)
    assert series.median_us() == 2.0
    assert series.ordered() == [1000, 2000, 9000]


def test_a_ratio_is_formed_within_its_round_so_that_a_slow_minute_leaves_it_alone():
    usual, slow = [2.0, 1.0], [20.0, 10.0]
    rounds = [usual, usual, slow, slow, slow]
    ratio = compare([one for one, _ in rounds], [other for _, other in rounds])
    assert (ratio.value, ratio.error) == (2.0, 0.0)


def test_a_round_in_which_the_clock_stood_still_says_nothing():
    ratio = compare([4.0, 0.0, 6.0, 8.0], [2.0, 1.0, 0.0, 4.0])
    assert (ratio.value, ratio.error) == (2.0, 0.0)
    with pytest.raises(ClockError, match="stood still"):
        compare([0.0, 1.0], [1.0, 0.0])


def test_a_burst_in_a_few_rounds_changes_neither_ratio_nor_error():
    quiet = [2.0, 2.02, 1.98, 2.01, 1.99] * 4
    loud = [*quiet[:-2], 50.0, 0.1]
    calm, disturbed = compare(quiet, [1.0] * 20), compare(loud, [1.0] * 20)
    assert disturbed.value == pytest.approx(calm.value, rel=0.01)
    assert disturbed.error == pytest.approx(calm.error, rel=0.5)


def test_the_error_is_how_far_medians_of_normal_noise_really_scatter():
    dice = random.Random(1)
    runs = [compare([dice.gauss(1, 0.1) for _ in range(100)], [1.0] * 100) for _ in range(300)]
    mean = sum(run.value for run in runs) / len(runs)
    scatter = math.sqrt(sum((run.value - mean) ** 2 for run in runs) / len(runs))
    assert sorted(run.error for run in runs)[150] == pytest.approx(scatter, rel=0.15)


def test_four_times_the_rounds_have_half_the_error():
    dice = random.Random(2)
    noise = [dice.gauss(1, 0.05) for _ in range(4000)]
    many, few = compare(noise, [1.0] * 4000), compare(noise[:1000], [1.0] * 1000)
    assert few.error == pytest.approx(2 * many.error, rel=0.1)


def test_the_clock_of_a_thread_is_its_own_processor_time_where_that_is_counted_finely(monkeypatch):
    assert turns.thread_clock() in {turns.WALL, turns.time.thread_time_ns}
    before = (read := turns.thread_clock())()
    sum(range(10_000))
    assert read() > before


@pytest.mark.parametrize(("per_mille", "needed"), [(500, 20), (900, 100), (990, 1000), (999, 10_000), (10, 1000)])
def test_a_percentile_needs_ten_samples_on_its_rarer_side(per_mille, needed):
    assert turns.samples_needed(per_mille) == needed
    assert percentile(range(needed - 1), per_mille) is None
    assert percentile(range(needed), per_mille) is not None


@pytest.mark.parametrize(("per_mille", "expected"), [(500, 500), (900, 900), (990, 990), (10, 10)])
def test_a_percentile_is_the_smallest_sample_that_so_many_do_not_exceed(per_mille, expected):
    assert percentile(range(1, 1001), per_mille) == expected


def test_a_percentile_lies_between_no_two_samples():
    assert percentile([1] * 10 + [3] * 10, 500) == 1
    assert percentile([1] * 10 + [3] * 11, 500) == 3
