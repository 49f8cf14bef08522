"""The document `edge.bench/1`: its keys and types are pinned, because other programs read them; and it reads back."""

import json
from array import array

import pytest

from edge.bench.benchmark import ColdStarts, Start, bundle_facts, results_of
from edge.bench.measurement import Experiment, Observations, Refused, named_bundles, open_sessions
from edge.bench.results import read
from edge.bundle.manifest import Accuracy
from edge.errors import InputError

KEYS = {
    "": "schema complete machine settings bundles cold_starts sessions latencies failures",
    "machine": "cpu cpu_family architecture int8_instructions allowed_cpus load_average system python numpy "
    "onnxruntime distributions edge",
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


def test_the_document_has_exactly_these_keys_and_is_plain_json(experiment, measured, cold, some_machine):
    measured.refused.append(Refused(experiment.setups[0], "no; use another"))
    document = json.loads(json.dumps(results_of(experiment, some_machine, cold, measured).document(), allow_nan=False))
    assert document["schema"] == "edge.bench/1"
    for name, keys in KEYS.items():
        part = document[name] if name else document
        assert sorted((part[0] if isinstance(part, list) else part).keys()) == sorted(keys.split())


def test_the_machine_and_the_settings_are_in_the_document(experiment, measured, cold, some_machine):
    document = results_of(experiment, some_machine, cold, measured).document()
    assert document["machine"]["int8_instructions"] == ("avx2",)
    assert document["settings"]["calls_needed"] == {"p50": 20, "p90": 100, "p99": 1000, "p99.9": 10_000}
    assert document["settings"]["spinning"] is False
    assert document["settings"]["batches"] == (1, 4)


def test_percentiles_without_enough_calls_are_null(experiment, measured, cold, some_machine):
    (latency,) = results_of(experiment, some_machine, cold, measured).latencies
    assert latency.latency_us == {"p50": 50.0, "p90": 90.0, "p99": None, "p99.9": None}
    assert (latency.calls, latency.warmup_calls) == (100, 8)
    assert (latency.fastest_us, latency.slowest_us) == (1.0, 100.0)
    assert len(latency.whole_percentiles_us) == 99
    assert latency.whole_percentiles_us[49] == 50.0
    assert latency.whole_percentiles_us[98] is None


def test_throughput_and_latency_of_an_image_count_the_batch(experiment, measured, some_machine):
    measured.calls[1].runs.series.rounds.append(array("q", [8_000] * 20))
    latency = results_of(experiment, some_machine, [], measured).latencies[1]
    assert latency.latency_us["p50"] == 8.0
    assert latency.latency_per_image_us["p50"] == 2.0
    assert latency.images_per_second == pytest.approx(500_000)


def test_loads_and_cold_starts_are_medians_beside_their_number(experiment, measured, cold, some_machine):
    found = results_of(experiment, some_machine, cold, measured)
    assert (found.sessions[0].loads, found.sessions[0].load_ms) == (3, 2.0)
    (start,) = found.cold_starts
    assert (start.processes, start.wall_ms, start.peak_bytes) == (3, 80.0, 20)
    assert (start.largest_batch, start.largest_batch_peak_bytes) == (4, 99)
    assert start.all_wall_ms == (90.0, 70.0, 80.0)


def test_a_system_that_tells_no_memory_has_none_in_the_document(experiment, measured, some_machine):
    cold = [ColdStarts(experiment.subjects[0], "cpu", starts=[Start("cpu", 1.0, 1.0, 1.0, 1.0, None)])]
    assert results_of(experiment, some_machine, cold, measured).cold_starts[0].peak_bytes is None


def test_the_actual_provider_and_the_placement_are_in_the_document(shelf, some_machine):
    experiment = Experiment(named_bundles(["linear-fp32"]), providers=("cpu",))
    measured = Observations()
    open_sessions(experiment, measured)
    (session,) = results_of(experiment, some_machine, [], measured).sessions
    assert (session.requested_provider, session.provider, session.reason) == ("cpu", "cpu", "as asked for")
    assert session.placement["cpu"] >= 1


def test_a_refused_provider_is_told_once_although_the_fresh_process_failed_too(experiment, measured, some_machine):
    measured.refused.append(Refused(experiment.setups[0], "no CUDA; use another"))
    cold = [ColdStarts(experiment.subjects[0], "cpu", failure="no CUDA; use another")]
    failures = results_of(experiment, some_machine, cold, measured).failures
    assert [(each.threads, each.batch, each.reason) for each in failures] == [(1, None, "no CUDA; use another")]


def test_failures_of_fresh_processes_and_of_batches_are_told(experiment, measured, some_machine):
    measured.calls[1].runs.failure = "no memory; try a smaller batch"
    cold = [ColdStarts(experiment.subjects[0], "cpu", failure="it fell over; try again")]
    measured.opened[0].loads.failure = "the file is gone; try again"
    failures = results_of(experiment, some_machine, cold, measured).failures
    assert [(each.threads, each.batch) for each in failures] == [(None, None), (1, None), (1, 4)]


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
    found = bundle_facts(named_bundles(["linear-fp32"])[0]).accuracy
    assert found is None if split is None else (found.split, found.of) == (split, "bundle")


@pytest.fixture
def document(experiment, measured, cold, some_machine):
    """As another program reads it."""
    measured.refused.append(Refused(experiment.setups[0], "no; use another"))
    return json.loads(json.dumps(results_of(experiment, some_machine, cold, measured).document()))


@pytest.fixture
def saved(tmp_path):
    def save(content):
        path = tmp_path / "results.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    return save


def test_a_document_of_a_device_reads_back_as_it_was(document, saved):
    assert json.loads(json.dumps(read(saved(document)).document())) == document


def test_keys_that_a_later_edge_adds_are_passed_over_and_those_of_an_earlier_one_may_lack(document, saved):
    older = {**document, "machine": {k: v for k, v in document["machine"].items() if k != "load_average"}, "more": 1}
    assert read(saved(older)).machine.load_average is None


def changed(document, path, value):
    part = document
    for key in path[:-1]:
        part = part[key]
    part[path[-1]] = value
    return document


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("schema",), "edge.bench/2", "has the schema 'edge.bench/2', expected 'edge.bench/1'"),
        (("complete",), False, "was stopped early"),
        (("complete",), None, "complete is null"),
        (("machine",), [], r"machine is \[\]"),
        (("machine", "allowed_cpus"), "two", 'machine.allowed_cpus is "two"'),
        (("machine", "allowed_cpus"), True, "machine.allowed_cpus is true"),
        (("settings", "batches"), [], "its settings ask for nothing"),
        (("settings", "batches"), [1, 2.5], r"settings.batches\[1\] is 2.5"),
        (("settings", "seconds"), float("nan"), "settings.seconds is NaN"),
        (("settings", "seconds"), 10**400, "settings.seconds is 1000"),
        (("bundles",), [], "'linear-fp32' was measured, and is none of its bundles"),
        (("bundles", 0, "accuracy", "of"), 3, r"bundles\[0\].accuracy.of is 3"),
        (("latencies", 0, "latency_us"), {"p50": 1.0}, "a latency of 'linear-fp32' lacks a percentile"),
        (("latencies", 0, "latency_us", "p50"), 0, "a latency of 'linear-fp32' is not above 0"),
        (("latencies", 0, "whole_percentiles_us"), None, r"latencies\[0\].whole_percentiles_us is null"),
    ],
)
def test_a_damaged_document_is_one_clear_line(document, saved, path, value, message):
    with pytest.raises(InputError, match=message) as caught:
        read(saved(changed(document, path, value)))
    assert str(caught.value).endswith("measure again with: edge bench --json > results.json")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", "[1]", "null", "[" * 100_000, '"edge.bench/1"'])
def test_what_is_no_such_document_is_refused(saved, text):
    with pytest.raises(InputError, match=r"is no JSON document|has the schema None"):
        read(saved(text))


def test_a_file_that_is_not_there_is_told(tmp_path):
    with pytest.raises(InputError, match=r"cannot be read: No such file or directory; name what"):
        read(tmp_path / "nothing.json")
