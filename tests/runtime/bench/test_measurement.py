"""Bundles are read first, each once; all take turns; what cannot run is told and does not stop the others."""

import numpy as np
import pytest

from edge.bench import benchmark, measurement
from edge.bench.benchmark import Start
from edge.bench.measurement import ROUNDS, Experiment, Observations, Timed, measure, named_bundles, open_sessions
from edge.bench.turns import Turn
from edge.errors import BundleDamagedError, BundleNotFoundError, InputError, ProviderError

SHORT = 0.008  # seconds: a millisecond a turn


def opened(experiment):
    measured = Observations()
    open_sessions(experiment, measured)
    return measured


def test_without_names_all_shipped_bundles_are_measured(shelf, repack):
    (shelf / "other.onnx").write_bytes(repack(name="other"))
    assert [each.name for each in named_bundles([])] == ["linear-fp32", "other"]


def test_a_bundle_named_twice_is_measured_once_in_the_order_of_the_names(shelf, bundle_path, repack):
    bundle_path.write_bytes(repack(name="mine"))
    found = named_bundles([str(bundle_path), "linear-fp32", str(bundle_path)])
    assert [each.name for each in found] == ["mine", "linear-fp32"]


def test_bundles_that_share_a_name_are_called_as_they_were_asked_for(shelf, bundle_path):
    found = named_bundles(["linear-fp32", str(bundle_path)])
    assert [each.name for each in found] == ["linear-fp32", str(bundle_path)]


def test_an_unknown_or_damaged_bundle_is_refused(shelf, bundle_path, packed):
    with pytest.raises(BundleNotFoundError, match="the shipped ones are: linear-fp32"):
        named_bundles(["linear-fp32", "nothing"])
    bundle_path.write_bytes(packed[:-1])
    with pytest.raises(BundleDamagedError):
        named_bundles([str(bundle_path)])


def test_nothing_shipped_and_nothing_named_is_told(shelf):
    (shelf / "linear-fp32.onnx").unlink()
    with pytest.raises(BundleNotFoundError, match="name a bundle"):
        named_bundles([])


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"batches": (1, 0)}, "0 is no batch size"),
        ({"batches": (10**9,)}, "give 1 to 65536"),
        ({"threads": (-1,)}, "-1 is no number of threads"),
        ({"seconds": 0.0}, "give a number above 0"),
        ({"seconds": float("nan")}, "give a number above 0"),
        ({"seconds": float("inf")}, "give a number above 0"),
        ({"cold_starts": -1}, "give 0 or more"),
    ],
)
def test_what_cannot_be_measured_is_refused(wrong, message):
    with pytest.raises(InputError, match=message):
        Experiment((), **wrong)


def test_there_is_a_session_for_each_bundle_provider_and_thread_count(shelf):
    experiment = Experiment(named_bundles(["linear-fp32"]), providers=("cpu", "auto"), threads=(1, 2), batches=(1, 8))
    assert [(each.provider, each.threads) for each in experiment.setups] == [
        ("cpu", 1),
        ("cpu", 2),
        ("auto", 1),
        ("auto", 2),
    ]


def test_loads_and_calls_of_all_have_a_turn_in_every_round(two):
    measured = opened(Experiment(two, providers=("cpu",), batches=(1, 3), seconds=SHORT))
    numbers = list(measure(measured))
    assert numbers == [number for number in range(1, ROUNDS + 1) for _ in range(6)]
    assert [len(each.loads.series.rounds) for each in measured.opened] == [ROUNDS] * 2
    assert [list(map(len, each.loads.series.rounds)) for each in measured.opened] == [[1] * ROUNDS] * 2, "a load a turn"
    assert [len(each.runs.series.rounds) for each in measured.calls] == [ROUNDS] * 4
    assert min(duration for each in measured.calls for duration in each.runs.series.ordered()) > 0


def test_the_time_of_a_configuration_is_shared_by_its_turns(two):
    measured = opened(Experiment(two, providers=("cpu",), batches=(1,), seconds=4.0))
    assert {each.runs.turn for each in measured.calls} == {Turn(4.0 / ROUNDS, 1, 0.1, measurement.MOST_CALLS // ROUNDS)}


def test_the_images_are_those_of_the_evidence_as_often_as_the_batch_needs(two, images):
    (one,) = opened(Experiment(two[:1], batches=(7,))).calls
    assert np.array_equal(one.images, np.concatenate([images, images[:2]]))
    assert one.batch == 7
    logits, probabilities = one.runs.call()
    assert logits.shape == probabilities.shape == (7, 10)


def test_the_provider_and_the_placement_are_the_real_ones(two):
    measured = opened(Experiment(two[:1], providers=("cpu",), threads=(1, 2)))
    assert [(each.session.provider, each.session.threads) for each in measured.opened] == [("cpu", 1), ("cpu", 2)]
    assert all(set(each.placement) == {"cpu"} and each.placement["cpu"] >= 1 for each in measured.opened)


def test_a_bundle_whose_answers_are_wrong_here_is_told(shelf, repack):
    (shelf / "linear-fp32.onnx").write_bytes(repack(temperature=3.0))
    (one,) = opened(Experiment(named_bundles(["linear-fp32"]), providers=("cpu",))).opened
    assert one.wrong is not None
    assert one.wrong.startswith("evidence: ")


def test_a_provider_that_is_refused_does_not_stop_the_others(shelf, repack):
    (shelf / "linear-fp32.onnx").write_bytes(repack(providers=("cpu",)))
    measured = opened(Experiment(named_bundles(["linear-fp32"]), providers=("cuda", "cpu")))
    assert [each.setup.provider for each in measured.opened] == ["cpu"]
    assert [each.setup.provider for each in measured.refused] == ["cuda"]
    assert "kernels that exist on the CPU only" in measured.refused[0].reason


def test_what_fails_keeps_its_calls_and_is_not_called_again():
    calls = iter([None, None, ProviderError("no memory; try a smaller batch")])

    def call():
        if isinstance(failure := next(calls), ProviderError):
            raise failure

    one = Timed(call, Turn())
    for _ in range(5):
        one.take()
    assert one.failure == "no memory; try a smaller batch"
    assert list(map(len, one.series.rounds)) == [1, 1]


def test_whoever_stops_early_keeps_what_was_measured(two, quiet):
    experiment = Experiment(two, providers=("cpu",), batches=(1,), seconds=SHORT, cold_starts=0)
    results = benchmark.run(experiment, quiet(stop_after=3))  # two loads, then the calls of the first bundle
    assert not results.complete
    assert [each.bundle for each in results.latencies] == ["a"]
    assert [each.loads for each in results.sessions] == [1, 1]


def test_all_of_an_experiment_is_measured(two, quiet):
    results = benchmark.run(
        Experiment(two, providers=("cpu",), batches=(1, 2), seconds=SHORT, cold_starts=1),
        told := quiet(),
        lambda _subject, provider, batch: Start(provider, 400.0, 300.0, 4.0, 0.5, batch * 1000),
    )
    assert results.complete
    assert [(each.bundle, each.batch) for each in results.latencies] == [("a", 1), ("a", 2), ("b", 1), ("b", 2)]
    assert [(each.bundle, each.wall_ms, each.largest_batch_peak_bytes) for each in results.cold_starts] == [
        ("a", 400.0, 2000),
        ("b", 400.0, 2000),
    ]
    assert told.stages == {"cold start: 4 fresh processes": 4, "latency: 4 configurations of 0.008 s in 8 rounds": 48}
