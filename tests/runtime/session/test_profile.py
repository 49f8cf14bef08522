"""The profile: kept where the system keeps what can be made again, and passed over when it is not this machine's."""

import json
import sys

import numpy as np
import pytest

import edge
from edge.bench import tuning
from edge.bench.tuning import BranchTrial, Trial
from edge.bundle import branches, shipped
from edge.bundle.bundle import read
from edge.errors import InputError
from edge.session import batching, session
from edge.session.batching import Batching, rule

SHA = "a" * 64


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache folder of the user."""
    folder = tmp_path / "cache"
    for name in ("XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.setenv(name, str(folder))
    if sys.platform == "darwin":
        monkeypatch.setenv("HOME", str(folder))
    return folder


def test_what_was_kept_is_the_plan_from_then_on(cache):
    assert batching.batching_for(SHA, 2) == rule(2)
    batching.keep(SHA, 2, Batching(512, 2, "profile"))
    batching.keep(SHA, 1, Batching(128, 1, "profile"))
    assert batching.batching_for(SHA, 2) == Batching(512, 2, "profile")
    assert batching.batching_for(SHA, 1) == Batching(128, 1, "profile")
    assert batching.batching_for("b" * 64, 2) == rule(2)


def test_a_new_measurement_takes_the_place_of_the_old_one(cache):
    batching.keep(SHA, 2, Batching(512, 2, "profile"))
    batching.keep(SHA, 2, Batching(64, 1, "profile"))
    assert batching.batching_for(SHA, 2) == Batching(64, 1, "profile")
    assert len(json.loads(batching.profile_path().read_text())["plans"]) == 1


def test_the_profile_of_another_machine_is_passed_over_and_kept(cache, monkeypatch):
    batching.keep(SHA, 2, Batching(512, 2, "profile"))
    monkeypatch.setattr("edge.session.batching.machine", lambda: "another")
    assert batching.batching_for(SHA, 2) == rule(2)
    batching.keep(SHA, 2, Batching(64, 2, "profile"))
    monkeypatch.undo()


def test_the_number_of_few_images_is_kept_where_there_is_one(cache):
    batching.keep(SHA, 2, Batching(512, 2, "profile", 24))
    assert batching.batching_for(SHA, 2) == Batching(512, 2, "profile", 24)
    batching.keep(SHA, 2, Batching(512, 2, "profile"))
    assert batching.batching_for(SHA, 2).few_images is None


def test_the_profile_stays_small(cache):
    for number in range(batching.MOST_ENTRIES + 3):
        batching.keep(f"{number:064}", 2, Batching(512, 2, "profile"))
    assert batching.batching_for(f"{0:064}", 2) == rule(2)
    assert batching.batching_for(f"{batching.MOST_ENTRIES + 2:064}", 2).source == "profile"


def entry(**changes):
    return {"machine": batching.machine(), "bundle": SHA, "cores": 2, "chunk_images": 64, "threads": 2} | changes


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "\0\xff",
        "[" * 100_000,
        '{"format": 1}',
        '{"format": 1, "plans": 3}',
        '{"format": 2, "plans": []}',
        *(
            json.dumps({"format": 1, "plans": [changed]})
            for changed in (
                3,
                {},
                entry(chunk_images=0),
                entry(chunk_images=10**9),
                entry(chunk_images="64"),
                entry(chunk_images=True),
                entry(threads=3),
                entry(threads=0),
                entry(few_images=0),
                entry(few_images="12"),
                entry(machine=None),
            )
        ),
    ],
)
def test_a_damaged_profile_is_passed_over(cache, text):
    batching.profile_path().parent.mkdir(parents=True)
    batching.profile_path().write_text(text, encoding="latin-1")
    assert batching.batching_for(SHA, 2) == rule(2)
    batching.keep(SHA, 2, Batching(128, 2, "profile"))
    assert batching.batching_for(SHA, 2) == Batching(128, 2, "profile")


def test_a_folder_in_its_place_is_passed_over(cache):
    batching.profile_path().mkdir(parents=True)
    assert batching.batching_for(SHA, 2) == rule(2)


def test_tuning_measures_every_candidate_and_keeps_its_choice(cache, bundle_path):
    seen = []
    result = tuning.tune(read(bundle_path), cores=2, rounds=1, progress=lambda done, total: seen.append((done, total)))
    assert {(trial.threads, trial.chunk_images) for trial in result.trials} == {
        (threads, chunk) for threads in (1, 2) for chunk in tuning.CHUNKS
    }
    assert seen[-1] == (20, 20)
    assert [done for done, _ in seen] == list(range(1, 21))
    assert result.kept == batching.profile_path()
    assert edge.load(bundle_path, provider="cpu", threads=2).batching == result.plan
    lines = result.lines()
    assert lines[0].startswith("linear-fp32 on ")
    assert sum("chosen" in line for line in lines) == 1
    assert lines[-1] == f"kept in {batching.profile_path()}"


@pytest.fixture
def with_branches():
    """A shipped bundle that computes a few images in another way than many."""
    return read(shipped.locate("rnn-int8"))


def test_tuning_measures_both_ways_of_a_model_and_the_classifier_takes_what_was_measured(
    cache, with_branches, monkeypatch
):
    monkeypatch.setattr(tuning, "SECONDS", 0)
    monkeypatch.setattr(tuning, "CHUNKS", (256,))
    result = tuning.tune(with_branches, cores=1, rounds=1)
    assert [trial.images for trial in result.branches] == list(tuning.BATCHES)
    assert result.plan.few_images == tuning.first_of_many(result.branches)
    table = [line.split() for line in result.lines()]
    assert ["images", "few", "us", "many", "us", "times", "as", "fast"] in table
    batching.keep(with_branches.sha256, 1, Batching(256, 1, "profile", 7))
    loaded = edge.load("rnn-int8", provider="cpu", threads=1)
    images = np.random.default_rng(1).integers(0, 256, (8, 28, 28), dtype=np.uint8)
    ways = branches.split(with_branches.data)
    for count, way in ((1, ways.few), (6, ways.few), (7, ways.many), (8, ways.many)):
        expected = session.create(way, provider="cpu", threads=1).run(images[:count])[0]
        np.testing.assert_array_equal(loaded.logits(images[:count]), expected)


def test_a_bundle_with_one_way_has_no_trial_of_two(cache, bundle_path, monkeypatch):
    monkeypatch.setattr(tuning, "CHUNKS", (256,))
    result = tuning.tune(read(bundle_path), cores=1, rounds=1)
    assert result.branches == ()
    assert result.plan.few_images is None


@pytest.mark.parametrize(
    ("ratios", "first"),
    [
        ({1: 0.4, 2: 0.9, 4: 1.2, 8: 1.5}, 4),
        ({1: 0.4, 2: 1.1, 4: 0.9, 8: 1.5}, 8),  # from there on it stays the faster one
        ({1: 0.4, 2: 0.5, 4: 0.6, 8: 0.7}, 9),
        ({1: 1.1, 2: 1.2}, 1),
        ({}, None),
    ],
)
def test_many_begin_where_their_way_is_faster_from_then_on(ratios, first):
    trials = [BranchTrial(images, 10.0, 10.0 / ratio, ratio, 0.01) for images, ratio in ratios.items()]
    assert tuning.first_of_many(trials) == first


def test_a_profile_that_cannot_be_written_is_told_and_no_error(cache, bundle_path):
    cache.write_text("a file where the folder should be")
    result = tuning.tune(read(bundle_path), cores=1, rounds=1)
    assert result.kept is None
    assert result.lines()[-1].startswith("not kept: ")


def test_nothing_to_measure_is_refused(cache, bundle_path):
    with pytest.raises(InputError, match="give 1 or more of each"):
        tuning.tune(read(bundle_path), cores=0)


def trial(chunk, ratio, error=0.001):
    return Trial(chunk, 2, 10 * ratio, ratio, error)


def test_what_is_not_clearly_better_changes_nothing():
    assert tuning.choose([trial(256, 1.015), trial(128, 1.0)]).chunk_images == 256
    assert tuning.choose([trial(256, 1.05, 0.03), trial(128, 1.0, 0.03)]).chunk_images == 256


def test_what_is_clearly_better_is_taken():
    assert tuning.choose([trial(256, 1.05), trial(128, 1.0)]).chunk_images == 128
    assert tuning.choose([trial(256, 1.3, 0.5), trial(128, 1.0, 0.5)]).chunk_images == 128


def test_the_profile_is_looked_up_once_and_only_when_a_batch_is_large(cache, bundle_path):
    loaded = edge.load(bundle_path, provider="cpu", threads=2)
    loaded.classify(np.zeros((63, 28, 28), np.uint8))
    sha = read(bundle_path).sha256
    batching.keep(sha, 2, Batching(128, 1, "profile"))
    loaded.classify(np.zeros((1000, 28, 28), np.uint8))
    assert loaded.batching == Batching(128, 1, "profile")
    batching.keep(sha, 2, Batching(64, 2, "profile"))
    assert loaded.batching == Batching(128, 1, "profile")
