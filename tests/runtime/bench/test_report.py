"""The document `edge.bench/1`: its keys and types are pinned, because other programs read them."""

import json
from array import array

import pytest

from edge.bench import rounds
from edge.bench.coldstart import ColdStarts, Start
from edge.bench.plan import Plan, subjects
from edge.bench.report import bundle_facts, report
from edge.bench.rounds import Measured, Refused
from edge.bundle.manifest import Accuracy

KEYS = {
    "": "schema complete machine settings bundles cold_starts sessions latencies failures",
    "machine": "cpu architecture int8_instructions allowed_cpus system python numpy onnxruntime distributions edge",
    "settings": "seconds rounds warmup_share warmup_calls most_calls calls_needed spinning cold_starts providers "
    "threads batches",
    "bundles": "name path size_bytes sha256 model precision method checkpoint_sha256 accuracy",
    "cold_starts": "bundle requested_provider provider processes wall_ms import_ms load_ms first_run_ms peak_bytes "
    "largest_batch largest_batch_peak_bytes all_wall_ms",
    "sessions": "bundle requested_provider provider reason threads placement verification_failure loads load_ms",
    "latencies": "bundle requested_provider provider threads batch calls warmup_calls latency_us latency_per_image_us "
    "fastest_us slowest_us images_per_second whole_percentiles_us",
    "failures": "bundle requested_provider threads batch reason",
}


@pytest.fixture
def plan(shelf):
    return Plan(subjects(["linear-fp32"]), providers=("cpu",), batches=(1, 4))


@pytest.fixture
def measured(plan):
    """100 calls of batch 1 that took 1 to 100 us, none of batch 4, three loads."""
    found = Measured()
    rounds.open_sessions(plan, found)
    found.series[0].call_ns = array("q", [us * 1000 for us in range(100, 0, -1)])
    found.series[0].warmup_calls = 8
    found.running[0].load_ns = array("q", [3_000_000, 1_000_000, 2_000_000])
    return found


@pytest.fixture
def cold(plan):
    starts = [Start("cpu", wall, 50.0, 5.0, 1.0, peak) for wall, peak in ((90.0, 30), (70.0, 10), (80.0, 20))]
    return [ColdStarts(plan.subjects[0], "cpu", bulk_peak_bytes=99, starts=starts)]


def test_the_document_has_exactly_these_keys_and_is_plain_json(plan, measured, cold, some_machine):
    measured.refused.append(Refused(plan.setups[0], "no; use another"))
    document = json.loads(json.dumps(report(plan, some_machine, cold, measured).document(), allow_nan=False))
    assert document["schema"] == "edge.bench/1"
    for name, keys in KEYS.items():
        part = document[name] if name else document
        assert sorted((part[0] if isinstance(part, list) else part).keys()) == sorted(keys.split())


def test_the_machine_and_the_settings_are_in_the_document(plan, measured, cold, some_machine):
    document = report(plan, some_machine, cold, measured).document()
    assert document["machine"]["int8_instructions"] == ("avx2",)
    assert document["settings"]["calls_needed"] == {"p50": 20, "p90": 100, "p99": 1000, "p99.9": 10_000}
    assert document["settings"]["spinning"] is False
    assert document["settings"]["batches"] == (1, 4)


def test_percentiles_without_enough_calls_are_null(plan, measured, cold, some_machine):
    (latency,) = report(plan, some_machine, cold, measured).latencies
    assert latency.latency_us == {"p50": 50.0, "p90": 90.0, "p99": None, "p99.9": None}
    assert (latency.calls, latency.warmup_calls) == (100, 8)
    assert (latency.fastest_us, latency.slowest_us) == (1.0, 100.0)
    assert len(latency.whole_percentiles_us) == 99
    assert latency.whole_percentiles_us[49] == 50.0
    assert latency.whole_percentiles_us[98] is None


def test_throughput_and_latency_of_an_image_count_the_batch(plan, measured, some_machine):
    measured.series[1].call_ns = array("q", [8_000] * 20)
    latency = report(plan, some_machine, [], measured).latencies[1]
    assert latency.latency_us["p50"] == 8.0
    assert latency.latency_per_image_us["p50"] == 2.0
    assert latency.images_per_second == pytest.approx(500_000)


def test_loads_and_cold_starts_are_medians_beside_their_number(plan, measured, cold, some_machine):
    found = report(plan, some_machine, cold, measured)
    assert (found.sessions[0].loads, found.sessions[0].load_ms) == (3, 2.0)
    (start,) = found.cold_starts
    assert (start.processes, start.wall_ms, start.peak_bytes) == (3, 80.0, 20)
    assert (start.largest_batch, start.largest_batch_peak_bytes) == (4, 99)
    assert start.all_wall_ms == (90.0, 70.0, 80.0)


def test_a_system_that_tells_no_memory_has_none_in_the_document(plan, measured, some_machine):
    cold = [ColdStarts(plan.subjects[0], "cpu", starts=[Start("cpu", 1.0, 1.0, 1.0, 1.0, None)])]
    assert report(plan, some_machine, cold, measured).cold_starts[0].peak_bytes is None


def test_the_actual_provider_and_the_placement_are_in_the_document(shelf, some_machine):
    plan = Plan(subjects(["linear-fp32"]), providers=("cpu",))
    measured = Measured()
    rounds.open_sessions(plan, measured)
    (session,) = report(plan, some_machine, [], measured).sessions
    assert (session.requested_provider, session.provider, session.reason) == ("cpu", "cpu", "as asked for")
    assert session.placement["cpu"] >= 1


def test_a_refused_provider_is_told_once_although_the_fresh_process_failed_too(plan, measured, some_machine):
    measured.refused.append(Refused(plan.setups[0], "no CUDA; use another"))
    cold = [ColdStarts(plan.subjects[0], "cpu", failure="no CUDA; use another")]
    failures = report(plan, some_machine, cold, measured).failures
    assert [(each.threads, each.batch, each.reason) for each in failures] == [(1, None, "no CUDA; use another")]


def test_failures_of_fresh_processes_and_of_batches_are_told(plan, measured, some_machine):
    measured.series[1].failure = "no memory; try a smaller batch"
    cold = [ColdStarts(plan.subjects[0], "cpu", failure="it fell over; try again")]
    failures = report(plan, some_machine, cold, measured).failures
    assert [(each.threads, each.batch) for each in failures] == [(None, None), (1, 4)]


@pytest.mark.parametrize(
    ("figures", "split"),
    [
        ([("validation", "bundle"), ("test", "bundle"), ("test", "checkpoint")], "test"),
        ([("test", "checkpoint"), ("validation", "bundle")], "validation"),
        ([("test", "checkpoint")], None),
        ([], None),
    ],
)
def test_the_accuracy_is_the_bundles_own_on_test_data_where_there_is_some(shelf, repack, figures, split):
    accuracy = tuple(Accuracy(data="noise", split=name, images=9, of=of, accuracy=0.5) for name, of in figures)
    (shelf / "linear-fp32.onnx").write_bytes(repack(accuracy=accuracy))
    found = bundle_facts(subjects(["linear-fp32"])[0]).accuracy
    assert found is None if split is None else (found.split, found.of) == (split, "bundle")
