"""The plan: bundles are read first, each once, and nonsense is refused before anything is measured."""

import pytest

from edge.bench.plan import Plan, subjects
from edge.errors import BundleDamagedError, BundleNotFoundError, InputError


def test_without_names_all_shipped_bundles_are_measured(shelf, repack):
    (shelf / "other.onnx").write_bytes(repack(name="other"))
    assert [each.name for each in subjects([])] == ["linear-fp32", "other"]


def test_a_bundle_named_twice_is_measured_once_in_the_order_of_the_names(shelf, bundle_path, repack):
    bundle_path.write_bytes(repack(name="mine"))
    assert [each.name for each in subjects([str(bundle_path), "linear-fp32", str(bundle_path)])] == [
        "mine",
        "linear-fp32",
    ]


def test_bundles_that_share_a_name_are_called_as_they_were_asked_for(shelf, bundle_path):
    assert [each.name for each in subjects(["linear-fp32", str(bundle_path)])] == ["linear-fp32", str(bundle_path)]


def test_an_unknown_or_damaged_bundle_is_refused(shelf, bundle_path, packed):
    with pytest.raises(BundleNotFoundError, match="the shipped ones are: linear-fp32"):
        subjects(["linear-fp32", "nothing"])
    bundle_path.write_bytes(packed[:-1])
    with pytest.raises(BundleDamagedError):
        subjects([str(bundle_path)])


def test_nothing_shipped_and_nothing_named_is_told(shelf):
    (shelf / "linear-fp32.onnx").unlink()
    with pytest.raises(BundleNotFoundError, match="name a bundle"):
        subjects([])


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
        Plan((), **wrong)


def test_a_plan_has_a_session_for_each_bundle_provider_and_thread_count(shelf):
    plan = Plan(subjects(["linear-fp32"]), providers=("cpu", "auto"), threads=(1, 2), batches=(1, 8))
    assert [(each.provider, each.threads) for each in plan.setups] == [("cpu", 1), ("cpu", 2), ("auto", 1), ("auto", 2)]
