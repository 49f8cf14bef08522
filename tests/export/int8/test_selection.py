"""The choice: by goal, within the budget of accuracy, by more than noise; the simpler one where it is close."""

import itertools
from dataclasses import replace
from typing import get_args

import numpy as np
import onnx
import pytest

from edge.errors import EdgeError
from edge_export.int8 import selection
from edge_export.int8.latency import Latency
from edge_export.int8.quantisation import QuantisedModel
from edge_export.int8.selection import GOALS, Measured, NotWorthwhileError, beats, choose
from edge_export.options import Goal
from edge_export.pack import packing
from edge_export.parity import comparison
from edge_export.parity.comparison import ParityRow

ROW = ParityRow("made", "int8", "made-parity", 100, 1, 0.0, 0.0, 0.0, 0.0, 0, 1.0, 0.0, ())
BROKEN = replace(ROW, flips=9, accuracy_drop=1.0, failures=("9 of 100 labels flip, 0.20% may; 9.00% would pass",))


def made(
    name: str = "one",
    single: float = 1.0,
    bulk: float = 1.0,
    size: float = 1.0,
    *,
    noise: float = 0.0,
    rows: tuple[ParityRow, ...] = (ROW,),
) -> Measured:
    """A candidate that is so many times as fast and as small as fp32."""
    latencies = tuple(Latency(batch, 100.0, 100.0 / ratio, ratio, noise) for batch, ratio in ((1, single), (256, bulk)))
    return Measured(name, QuantisedModel(onnx.ModelProto()), 1000, round(1000 * size), 1.0, latencies, rows)


def test_the_goals_of_the_command_line_are_those_of_the_choice():
    assert get_args(Goal) == tuple(GOALS)


@pytest.mark.parametrize(("goal", "gain"), [("latency", 2.0), ("throughput", 4.0), ("size", 1.0), ("balanced", 2.0)])
def test_a_gain_is_that_of_the_goal(goal, gain):
    assert made(single=2, bulk=4).gain(goal) == pytest.approx(gain)


def test_balance_counts_all_three_alike():
    assert {round(made("", *factors).gain("balanced"), 9) for factors in itertools.permutations((0.5, 3, 4))} == {
        round(6 ** (1 / 3), 9)
    }


def test_a_batch_at_which_int8_is_slower_by_more_than_noise_is_a_hole():
    slower = Latency(16, 100.0, 125.0, 0.8, 0.01)
    noisy = Latency(64, 100.0, 104.0, 0.96, 0.01)
    one = replace(
        made(single=2, bulk=3), latencies=(made(single=2).latencies[0], slower, noisy, Latency(256, 1, 1, 3, 0))
    )
    assert one.holes == (slower,)
    assert one.gain("latency") == 2
    assert one.gain("throughput") == 3


@pytest.mark.parametrize(
    ("goal", "winner"),
    [("latency", "single"), ("throughput", "bulk"), ("size", "small"), ("balanced", "all")],
)
def test_each_goal_has_its_winner(goal, winner):
    field = [made("small", 0.8, 0.8, 4.0), made("single", 3, 0.5, 3), made("bulk", 0.5, 5, 3), made("all", 2, 2, 3.5)]
    assert choose(field, goal).name == winner
    assert choose(field[::-1], goal).name == winner, "where one wins clearly, the order decides nothing"


@pytest.mark.parametrize("goal", ["latency", "throughput", "balanced"])
def test_ties_go_to_the_simpler_one(goal):
    alike = [made("simple", 2, 2, 2), made("closer", 2.04, 2.04, 2.04)]
    assert choose(alike, goal).name == "simple"
    assert choose([*alike, made("better", 2.2, 2.2, 2.2)], goal).name == "better"


@pytest.mark.parametrize(("ratio", "won"), [(1.0, False), (1.04, False), (1.06, True)])
def test_fp32_is_beaten_by_more_than_a_margin(ratio, won):
    assert beats(made(single=ratio), None, "latency") == won
    assert (choose([made(single=ratio)], "latency") is not None) == won


@pytest.mark.parametrize(("noise", "won"), [(0.0, True), (0.03, True), (0.035, False), (0.2, False)])
def test_a_win_must_exceed_three_standard_errors(noise, won):
    assert beats(made(single=1.1, noise=noise), None, "latency") == won


def test_the_noise_of_both_counts():
    noisy, other = made(single=1.15, noise=0.04), made(single=1.0, noise=0.04)
    assert beats(noisy, None, "latency")
    assert not beats(noisy, other, "latency")


def test_noise_in_time_says_nothing_about_bytes():
    assert beats(made(size=1.001, noise=9.0), None, "size")
    assert not beats(made(size=1.0), None, "size")
    assert not beats(made(size=2.0), made(size=2.0), "size")


def test_balance_dilutes_noise_as_it_dilutes_time():
    assert made(noise=0.3).noise("balanced") == pytest.approx(0.3 * 2**0.5 / 3)
    assert made(noise=0.3).noise("latency") == 0.3


def test_small_noise_does_not_change_the_choice():
    random = np.random.default_rng(1)
    chosen = set()
    for _ in range(200):
        shaken = [
            made(name, *(factor * random.uniform(0.985, 1.015) for factor in factors), 3.0)
            for name, factors in (("weight-only", (1, 1)), ("dynamic-lstm", (2, 1.2)), ("branched", (2.01, 2.4)))
        ]
        chosen.add(tuple(choose(shaken, goal).name for goal in ("latency", "throughput")))
    assert chosen == {("dynamic-lstm", "branched")}


def test_what_loses_too_much_accuracy_is_not_chosen_however_fast_it_is():
    field = [made("right", 1.2), made("wrong", 50, rows=(ROW, BROKEN))]
    assert not field[1].passed
    assert choose(field, "latency").name == "right"
    assert choose(field[1:], "latency") is None
    assert selection.best_of_losers(field[1:], "latency") is None


@pytest.mark.parametrize("goal", GOALS)
def test_where_none_beats_fp32_none_is_chosen(goal):
    assert choose([made("one", 0.9, 0.9, 0.9), made("two", 1.0, 1.0, 1.0)], goal) is None
    assert choose([], goal) is None


def test_a_later_candidate_that_beats_fp32_is_not_hidden_by_an_earlier_one_that_does_not():
    assert choose([made("noisy", 1.2, noise=1.0), made("sure", 1.1)], "latency").name == "sure"


def test_the_best_of_those_that_lose():
    losers = [made("one", 0.5), made("two", 0.9), made("wrong", 0.99, rows=(BROKEN,)), made("three", 0.7)]
    assert selection.best_of_losers(losers, "latency").name == "two"
    assert selection.best_of_losers([made("first", 0.9), made("second", 0.9)], "latency").name == "first"


def test_the_closest_of_those_that_lose_too_much_is_the_one_that_loses_least():
    worse = replace(BROKEN, accuracy_drop=2.0)
    more = replace(BROKEN, flips=20)
    field = [made("worse", rows=(ROW, worse)), made("more", rows=(more, ROW)), made("least", rows=(BROKEN, ROW))]
    for order in itertools.permutations(field):
        assert selection.closest(order).name == "least"


@pytest.mark.parametrize("goal", GOALS)
def test_a_refusal_names_the_goal_the_best_and_the_ways_out(goal):
    error = selection.not_worthwhile([made("one", 0.5, 0.5, 0.5), made("two", 0.9, 0.9, 0.9)], goal)
    assert str(error) == (
        f"int8 does not pay here for {goal} ({GOALS[goal]}): the best candidate, two, is 0.90 times as good as fp32, "
        "which is worse or within noise; nothing was written; export it in fp32, choose another --optimize, or take "
        "it with --force"
    )
    assert isinstance(error, NotWorthwhileError)
    assert isinstance(error, EdgeError)


def test_every_candidate_is_measured_in_bytes_time_and_answers(converted, quantised, digits, monkeypatch):
    monkeypatch.setattr("edge_export.int8.latency.REPETITIONS", {1: 2, 256: 2})
    monkeypatch.setattr("edge_export.int8.latency.SECONDS", 0)
    checkpoint, one = converted("lstm")
    built = {name: quantised("lstm", name) for name in ("weight-only", "branched")}
    reference = comparison.reference(checkpoint.model(), digits, packing.extreme_images()[0], temperature=0.75)
    measured = selection.measure(one.model, built, reference)
    assert [each.name for each in measured] == list(built)
    for each in measured:
        assert each.quantised is built[each.name]
        assert each.size_bytes == len(each.quantised.model.SerializeToString(deterministic=True))
        assert each.fp32_bytes == len(one.model.SerializeToString(deterministic=True))
        assert [latency.batch for latency in each.latencies] == [1, 256]
        assert [(row.stage, row.data, row.batch) for row in each.rows] == [
            (each.name, "strokes-parity", 1),
            (each.name, "strokes-parity", 256),
            (each.name, "extremes", 1),
        ]
        assert all(row.logits_max_error > 0 for row in each.rows)
        assert each.load_ms > 0
