"""Configurations take turns, and what cannot run is told and does not stop the others."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from edge.bench import rounds, timing
from edge.bench.plan import Plan, subjects
from edge.bench.rounds import ROUNDS, Measured
from edge.errors import ProviderError
from edge.session.session import Session

SHORT = 0.008  # seconds: a millisecond a turn


@pytest.fixture
def turns(monkeypatch):
    """The lengths in seconds of the turns that are taken, which are not timed."""
    taken = []

    def turn(call, seconds, series):
        call()
        taken.append(seconds)
        series.append(1)
        return 1

    monkeypatch.setattr(timing, "turn", turn)
    return taken


def opened(plan):
    measured = Measured()
    rounds.open_sessions(plan, measured)
    return measured


def test_every_configuration_has_a_turn_in_every_round_and_every_second_round_runs_backwards(two, turns, monkeypatch):
    plan = Plan(two, providers=("cpu",), batches=(1, 3))
    measured = opened(plan)
    order = []
    monkeypatch.setattr(rounds, "_turn", lambda one, _: order.append((one.running.setup.subject.name, one.batch)))
    numbers = list(rounds.measure(plan, measured))
    forwards = [("a", 1), ("a", 3), ("b", 1), ("b", 3)]
    assert order[:8] == forwards + forwards[::-1]
    assert len(order) == ROUNDS * 4
    assert numbers == [number for number in range(1, ROUNDS + 1) for _ in range(4)]


def test_the_time_of_a_configuration_is_shared_by_its_turns(two, turns):
    plan = Plan(two, providers=("cpu",), batches=(1,), seconds=4.0)
    measured = opened(plan)
    list(rounds.measure(plan, measured))
    assert turns == [4.0 / ROUNDS] * (2 * ROUNDS)
    assert [one.warmup_calls for one in measured.series] == [ROUNDS, ROUNDS]


def test_each_session_is_loaded_afresh_in_every_round(two, turns):
    plan = Plan(two, providers=("cpu",), batches=(1, 2))
    measured = opened(plan)
    list(rounds.measure(plan, measured))
    assert [len(each.load_ns) for each in measured.running] == [ROUNDS, ROUNDS]


def test_a_sample_is_a_run_of_the_session_on_the_whole_batch(two, monkeypatch):
    sizes = []
    real = Session.run

    def run(self, images):
        sizes.append((len(images), images.dtype, images.flags.c_contiguous))
        return real(self, images)

    plan = Plan(two[:1], providers=("cpu",), batches=(7,), seconds=SHORT)
    measured = opened(plan)
    monkeypatch.setattr(Session, "run", run)
    list(rounds.measure(plan, measured))
    assert set(sizes) == {(7, np.dtype(np.uint8), True)}
    one = measured.series[0]
    assert len(sizes) == len(one.call_ns) + one.warmup_calls
    assert min(one.call_ns) > 0


def test_the_images_are_those_of_the_evidence(two, images):
    assert np.array_equal(opened(Plan(two, batches=(7,))).series[0].images, np.concatenate([images, images[:2]]))


def test_the_provider_and_the_placement_are_the_real_ones(two):
    measured = opened(Plan(two[:1], providers=("cpu",), threads=(1, 2)))
    assert [(each.session.provider, each.session.threads) for each in measured.running] == [("cpu", 1), ("cpu", 2)]
    assert all(list(each.placement) == ["cpu"] and each.placement["cpu"] >= 1 for each in measured.running)


def test_a_bundle_that_gives_wrong_answers_here_is_measured_and_says_so(shelf, repack, evidence):
    off = replace(evidence, logits=evidence.logits + np.float32(1))
    (shelf / "off.onnx").write_bytes(repack(name="off", evidence=off))
    measured = opened(Plan(subjects(["off", "linear-fp32"]), providers=("cpu",), threads=(1, 2)))
    assert [each.wrong and each.wrong.partition(":")[0] for each in measured.running] == ["evidence"] * 2 + [None] * 2


def test_a_provider_that_is_refused_leaves_the_others(shelf, repack):
    (shelf / "int8.onnx").write_bytes(repack(name="int8", precision="int8", providers=("cpu",)))
    measured = opened(Plan(subjects(["int8"]), providers=("cuda", "cpu")))
    assert [(each.setup.provider, "CPU only" in each.reason) for each in measured.refused] == [("cuda", True)]
    assert [each.session.provider for each in measured.running] == ["cpu"]


def test_a_batch_that_fails_is_told_once_and_not_tried_again(two, monkeypatch):
    plan = Plan(two, providers=("cpu",), batches=(1, 5), seconds=SHORT)
    measured = opened(plan)
    tries = []

    def run(_self, images):
        if len(images) == 5:
            tries.append(1)
            raise ProviderError("no memory; try a smaller batch")

    monkeypatch.setattr(Session, "run", run)
    list(rounds.measure(plan, measured))
    assert [one.failure for one in measured.series] == [None, "no memory; try a smaller batch"] * 2
    assert len(tries) == 2
    assert all(one.call_ns for one in measured.series if one.batch == 1)


def test_whoever_stops_early_keeps_what_was_measured(two):
    plan = Plan(two, providers=("cpu",), batches=(1,), seconds=SHORT)
    measured = opened(plan)
    list(itertools.islice(rounds.measure(plan, measured), 1))
    assert [bool(one.call_ns) for one in measured.series] == [True, False]
