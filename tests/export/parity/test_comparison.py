"""Parity: every tolerance refuses what is beyond it, passes what is within, and says what would have passed."""

import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from edge.errors import EdgeError
from edge_export.pack import packing
from edge_export.parity import comparison, tolerances
from edge_export.parity.comparison import BATCHES, ParityError, Reference
from edge_export.parity.tolerances import TOLERANCES
from edge_train.data.splits import Split
from edge_train.models import networks
from edge_train.models.specification import Recurrent
from edge_train.training.evaluation import logits_of

COUNT = 1000
TEMPERATURE = 0.5


@pytest.fixture(scope="module")
def reference() -> Reference:
    """1000 images, each answered clearly and rightly with a margin of 4, and five extremes."""
    random = np.random.default_rng(1)
    labels = np.arange(COUNT) % 10
    logits = random.uniform(-1, 1, (COUNT, 10)).astype(np.float32)
    logits[np.arange(COUNT), labels] = 5
    extreme = random.normal(size=(5, 10)).astype(np.float32)
    return Reference(
        Split("made-parity", np.zeros((COUNT, 28, 28), np.uint8), labels),
        logits,
        comparison.probabilities_of(logits, TEMPERATURE),
        packing.extreme_images()[0],
        extreme,
        comparison.probabilities_of(extreme, TEMPERATURE),
    )


def answering(reference: Reference, *, digits=None, extremes=None, at=BATCHES):
    """A form of the model that gives these logits at these batch sizes, and PyTorch's otherwise."""

    def run(images: np.ndarray, batch: int) -> tuple[np.ndarray, np.ndarray]:
        if len(images) == COUNT:
            logits = reference.logits if digits is None or batch not in at else digits
        else:
            logits = reference.extreme_logits if extremes is None else extremes
        return logits, comparison.probabilities_of(logits, TEMPERATURE)

    return run


def flipping(reference: Reference, count: int, *, wrong_before: int = 0) -> np.ndarray:
    """PyTorch's logits with another label for the first `count` images."""
    logits = reference.logits.copy()
    logits[np.arange(count), (reference.split.labels[:count] + 1) % 10] = 9
    return logits


def broken(rows: list) -> list[str]:
    return [failure for row in rows for failure in row.failures]


def test_the_tolerances_are_those_that_were_promised():
    assert TOLERANCES["fp32"] == tolerances.Tolerance(logit_error=1e-4, flip_share=0.0, accuracy_drop=0.0)
    assert TOLERANCES["int8"] == tolerances.Tolerance(logit_error=None, flip_share=0.002, accuracy_drop=0.1)
    assert BATCHES == (1, 2, 3, 17, 256)


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_the_same_answers_pass_at_every_batch_size_and_on_the_extremes(precision, reference):
    rows = comparison.compare("onnx", precision, reference, answering(reference))
    assert [row.batch for row in rows] == [*BATCHES, 1]
    assert [row.data for row in rows] == ["made-parity"] * 5 + ["extremes"]
    assert all(row.passed and row.logits_max_error == row.flips == row.accuracy_drop == 0 for row in rows)
    assert all(row.accuracy == 1.0 for row in rows[:-1])
    assert rows[-1].accuracy is None


@pytest.mark.parametrize(("precision", "limit"), [("fp32", 1e-4), ("fp16", 0.1)])
@pytest.mark.parametrize("place", ["digits", "extremes"])
def test_one_logit_of_one_image_beyond_the_tolerance_is_refused(*, precision, limit, place, reference):
    for factor, refused in ((0.9, False), (1.1, True)):
        logits = (reference.logits if place == "digits" else reference.extreme_logits).copy()
        logits[3, 7] -= limit * factor
        rows = comparison.compare("onnx", precision, reference, answering(reference, **{place: logits}))
        assert bool(broken(rows)) == refused
        if refused:
            assert "max |logit error|" in broken(rows)[0]
            assert [row.data for row in rows if not row.passed] == (
                ["made-parity"] * 5 if place == "digits" else ["extremes"]
            )


def test_int8_has_no_limit_on_logits_as_long_as_labels_stay(reference):
    assert not broken(
        comparison.compare("onnx", "int8", reference, answering(reference, digits=reference.logits * 0.8))
    )


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
@pytest.mark.parametrize("place", ["digits", "extremes"])
def test_a_logit_that_is_not_finite_is_refused_in_every_precision(*, value, precision, place, reference):
    logits = (reference.logits if place == "digits" else reference.extreme_logits).copy()
    logits[0, 0] = value
    with np.errstate(invalid="ignore"):
        rows = comparison.compare("onnx", precision, reference, answering(reference, **{place: logits}))
    assert "a logit is not finite" in broken(rows)


def test_a_single_flip_refuses_fp32_however_small_the_error(reference):
    logits = reference.logits.copy()
    logits[5, 0], logits[5, 1] = 7.0, 7.00001
    close = replace(reference, logits=logits, probabilities=comparison.probabilities_of(logits, TEMPERATURE))
    swapped = logits.copy()
    swapped[5, 0], swapped[5, 1] = 7.00001, 7.0
    failures = broken(comparison.compare("onnx", "fp32", close, answering(close, digits=swapped)))
    assert any("1 of 1000 labels flip, 0.00% may; 0.10% would pass" in failure for failure in failures)


@pytest.mark.parametrize(("flips", "refused"), [(0, False), (2, False), (3, True)])
def test_int8_may_flip_two_labels_in_a_thousand(flips, refused, reference):
    # Where PyTorch was wrong, a flip costs no accuracy: the flip budget alone decides.
    wrong = replace(reference, split=Split("made-parity", reference.split.images, (reference.split.labels + 5) % 10))
    rows = comparison.compare("onnx", "int8", wrong, answering(wrong, digits=flipping(reference, flips)))
    assert bool(broken(rows)) == refused
    assert all(row.flips == flips for row in rows[:-1])
    if refused:
        assert broken(rows)[0] == "3 of 1000 labels flip, 0.20% may; 0.30% would pass"


@pytest.mark.parametrize(("lost", "refused"), [(1, False), (2, True)])
def test_int8_may_lose_a_tenth_of_a_point_of_accuracy(lost, refused, reference):
    rows = comparison.compare("onnx", "int8", reference, answering(reference, digits=flipping(reference, lost)))
    assert bool(broken(rows)) == refused
    assert rows[0].accuracy == pytest.approx(1 - lost / 1000)
    assert rows[0].accuracy_drop == pytest.approx(lost / 10)
    if refused:
        assert broken(rows)[0] == "accuracy falls by 0.200 points, 0.10 are allowed; 0.20 would pass"


@pytest.mark.parametrize(("lost", "refused"), [(5, False), (6, True)])
def test_a_larger_budget_lets_int8_lose_more_and_flip_twice_as_much(lost, refused, reference):
    wider = replace(reference, tolerances=tolerances.with_budget(0.5))
    rows = comparison.compare("onnx", "int8", wider, answering(wider, digits=flipping(wider, lost)))
    assert bool(broken(rows)) == refused
    assert tolerances.with_budget(0.5)["int8"].flip_share == pytest.approx(0.01)


def test_a_budget_is_for_int8_alone_and_the_usual_one_changes_nothing():
    assert tolerances.with_budget(0.1) == TOLERANCES
    assert tolerances.with_budget(0.0)["int8"] == tolerances.Tolerance(None, 0.002, 0.0)
    wide = tolerances.with_budget(5.0)
    assert {name: wide[name] for name in ("fp32", "fp16")} == {name: TOLERANCES[name] for name in ("fp32", "fp16")}


def test_no_accuracy_at_all_may_be_lost_where_the_budget_is_nothing(reference):
    strict = replace(reference, tolerances=tolerances.with_budget(0.0))
    assert broken(comparison.compare("onnx", "int8", strict, answering(strict, digits=flipping(strict, 1))))


def test_only_the_batch_sizes_that_are_asked_for_are_run(reference):
    rows = comparison.compare("onnx", "int8", reference, answering(reference), batches=(1, 256))
    assert [(row.data, row.batch) for row in rows] == [("made-parity", 1), ("made-parity", 256), ("extremes", 1)]


def test_what_int8_wins_is_no_failure(reference):
    labels = reference.split.labels.copy()
    labels[:2] = (labels[:2] + 1) % 10
    wrong = replace(reference, split=Split("made-parity", reference.split.images, labels))
    rows = comparison.compare("onnx", "int8", wrong, answering(wrong, digits=flipping(reference, 2)))
    assert not broken(rows)
    assert rows[0].accuracy_drop == pytest.approx(-0.2)


@pytest.mark.parametrize("batch", BATCHES)
def test_an_error_at_one_batch_size_alone_is_found(batch, reference):
    rows = comparison.compare("onnx", "fp32", reference, answering(reference, digits=reference.logits + 1, at=(batch,)))
    assert [row.batch for row in rows if not row.passed] == [batch]
    assert f"at batch {batch}:" in comparison.refusal(rows, "")


def test_the_tolerance_that_is_named_would_really_have_passed(reference):
    random = np.random.default_rng(2)
    for error in 10 ** random.uniform(-3.99, 2, 60):
        logits = reference.logits.copy()
        logits[0, 0] -= np.float32(error)
        failure = broken(
            comparison.compare("onnx", "fp32", reference, answering(reference, digits=logits, at=(1,)))[:1]
        )[0]
        named = float(re.search(r"; (\S+) would pass", failure)[1])
        real = float(np.abs(logits - reference.logits).max())
        assert real <= named <= 1.11 * real, failure


@pytest.mark.parametrize("count", [300, 700, 3000])
def test_the_flips_that_are_named_would_really_have_passed(count):
    labels = np.zeros(count, np.int64)
    logits = np.tile(np.eye(10, dtype=np.float32)[0], (count, 1))
    made = comparison.Reference(
        Split("made-parity", np.zeros((count, 1, 1), np.uint8), labels),
        logits,
        logits,
        logits[:1],
        logits[:1],
        logits[:1],
    )
    for flips in range(1, 40):
        found = logits.copy()
        found[:flips, 1] = 2
        row = comparison.row("onnx", "fp32", made, batch=1, logits=found, probabilities=found)
        share = float(re.search(r"(\S+)% would pass", next(one for one in row.failures if "flip" in one))[1]) / 100
        assert flips <= share * count + 1e-9
        points = float(re.search(r"allowed; (\S+) would pass", row.failures[-1])[1])
        assert row.accuracy_drop <= points + 1e-9


def test_a_refusal_says_what_where_and_what_to_do(reference):
    rows = comparison.compare("onnx fp32", "fp32", reference, answering(reference, digits=reference.logits + 1))
    text = comparison.refusal(rows, "first at head: error 1, its share is 0.0001")
    assert text == (
        "onnx fp32 differs from PyTorch on made-parity at batch 1: max |logit error| 1 exceeds 0.0001; 1 would pass; "
        "first at head: error 1, its share is 0.0001; nothing was written; report this model"
    )


@pytest.mark.parametrize("precision", ["int8", "fp16"])
def test_what_another_precision_breaks_is_answered_with_fp32(precision, reference):
    rows = comparison.compare("onnx", precision, reference, answering(reference, digits=flipping(reference, 500)))
    assert f"export it in fp32, {precision} is not safe" in comparison.refusal(rows, "")


def test_errors_are_those_of_logits_and_probabilities(reference):
    logits = reference.logits.copy()
    logits[0] += 0.5  # the same for every class, which no softmax sees
    logits[1, 2] += 0.25
    row = comparison.compare("onnx", "int8", reference, answering(reference, digits=logits))[0]
    assert row.logits_max_error == pytest.approx(0.5, abs=1e-6)
    assert row.logits_mean_error == pytest.approx((10 * 0.5 + 0.25) / (COUNT * 10), rel=1e-4)
    change = np.abs(comparison.probabilities_of(logits, TEMPERATURE) - reference.probabilities)
    assert row.probabilities_max_error == pytest.approx(change.max())
    assert row.probabilities_max_error == change[1].max()
    assert row.probabilities_mean_error == pytest.approx(change.mean())


def test_the_first_digits_alone_are_compared_where_fewer_are_given(reference):
    logits, probabilities = reference.logits[:200], reference.probabilities[:200]
    row = comparison.row("PNG file", "fp32", reference, batch=1, logits=logits, probabilities=probabilities)
    assert (row.images, row.passed) == (200, True)


def test_labels_that_are_none_of_the_models_own_are_not_counted(reference):
    letters = replace(reference, labelled=False)
    assert letters.accuracy is None
    rows = comparison.compare("onnx", "int8", letters, answering(letters, digits=flipping(reference, 2)))
    assert all(row.accuracy is None and row.accuracy_drop == 0 for row in rows)
    assert not broken(rows)
    assert broken(comparison.compare("onnx", "int8", letters, answering(letters, digits=flipping(reference, 3))))


def test_flipped_images_and_their_margins(reference):
    assert comparison.flipped(reference, flipping(reference, 4)).tolist() == [0, 1, 2, 3]
    logits = np.array([[1.0, 4.0, 2.5], [-1.0, -1.0, -3.0]], np.float32)
    np.testing.assert_allclose(comparison.margins(logits), [1.5, 0.0])


def test_a_softmax_survives_large_logits():
    probabilities = comparison.probabilities_of(np.array([[1e4, 0.0], [-1e4, -1e4]], np.float32), 0.25)
    np.testing.assert_allclose(probabilities, [[1, 0], [0.5, 0.5]])
    assert probabilities.dtype == np.float32


def test_the_reference_is_pytorch_on_the_cpu(digits):
    torch.manual_seed(3)
    module = networks.build(Recurrent("gru", hidden=6)).eval()
    made = comparison.reference(module, digits, packing.extreme_images()[0], temperature=2.0)
    np.testing.assert_array_equal(made.logits, logits_of(module, digits.images))
    np.testing.assert_array_equal(made.extreme_logits, logits_of(module, packing.extreme_images()[0]))
    np.testing.assert_allclose(made.probabilities.sum(1), 1, atol=1e-6)
    assert made.accuracy == (made.logits.argmax(1) == digits.labels).mean()


def test_a_broken_parity_is_an_expected_failure():
    assert issubclass(ParityError, EdgeError)


def test_exact_logits_are_those_of_float64_rounded_once(images):
    torch.manual_seed(4)
    module = networks.build(Recurrent("lstm", hidden=9)).eval()
    exact = comparison.exact_logits(module, images)
    with torch.no_grad():
        wide = networks.build(Recurrent("lstm", hidden=9)).double()
        wide.load_state_dict(module.state_dict())
        expected = wide.eval()(torch.from_numpy(images.copy()).double() / 255).numpy()
    assert exact.dtype == np.float32
    np.testing.assert_array_equal(exact, expected.astype(np.float32))
    np.testing.assert_allclose(exact, logits_of(module, images), atol=1e-5)
    assert {parameter.dtype for parameter in module.parameters()} == {torch.float32}, "the caller's module changed"


def test_a_module_that_knows_float32_only_is_asked_in_float32(images):
    class Explicit(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn = nn.RNN(28, 10, batch_first=True)

        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            return self.rnn(pixels, torch.zeros(1, pixels.shape[0], 10))[0][:, -1]

    module = Explicit().eval()
    np.testing.assert_array_equal(comparison.exact_logits(module, images), logits_of(module, images))


@pytest.mark.parametrize(("precision", "floor"), [("fp32", 1e-3), ("fp16", 0.1), ("int8", 0.05)])
def test_evidence_allows_twice_what_the_export_saw_and_never_less_than_the_floor(precision, floor):
    assert tolerances.evidence_tolerance(precision, 0.0) == floor
    for error in 10 ** np.random.default_rng(5).uniform(-6, 1, 200):
        allowed = tolerances.evidence_tolerance(precision, error)
        assert allowed >= max(floor, 2 * error)
        assert allowed <= max(floor, 4 * error)


def test_a_little_more_error_on_another_processor_allows_the_same():
    assert tolerances.evidence_tolerance("int8", 0.031) == tolerances.evidence_tolerance("int8", 0.038)


def test_some_of_the_digits_keep_their_own_answers(reference):
    chosen = np.array([3, 14, 159])
    some = reference.only(chosen)
    np.testing.assert_array_equal(some.logits, reference.logits[chosen])
    np.testing.assert_array_equal(some.probabilities, reference.probabilities[chosen])
    assert some.split.labels.tolist() == [3, 4, 9]
    assert (some.split.name, some.accuracy) == ("made-parity", 1.0)


def test_logits_of_another_size_have_limits_of_another_size(reference):
    """Only where it is asked for: edge's own are known."""
    error = np.float32(3 * tolerances.UNKNOWN_LOGIT_ERROR)
    for times, asked, failing in ((1, True, True), (10, True, False), (10, False, True)):
        larger = replace(reference, logits=times * reference.logits, extreme_logits=times * reference.extreme_logits)
        larger = replace(larger, by_magnitude=asked)
        digits = larger.logits + error
        rows = comparison.compare("onnx fp32", "fp32", larger, answering(larger, digits=digits))
        assert [bool(row.failures) for row in rows] == [failing] * len(BATCHES) + [False]
        (*_, extremes) = comparison.compare(
            "onnx fp32", "fp32", larger, answering(larger, extremes=larger.extreme_logits + error)
        )
        assert extremes.failures, "theirs are no larger than usual"


@pytest.mark.parametrize("somebodys", [True, False])
def test_of_somebody_s_model_nobody_knows_how_its_arithmetic_adds_up(reference, somebodys):
    one = replace(reference, by_magnitude=somebodys)
    digits = one.logits + np.float32(3 * TOLERANCES["fp32"].logit_error)
    (row, *_) = comparison.compare("onnx fp32", "fp32", one, answering(one, digits=digits))
    assert row.passed == somebodys


def test_of_somebody_s_model_a_tie_in_float32_may_be_decided_either_way(reference):
    """Labels of edge's own models are held to, and the row says what happened in any case."""
    tied = reference.logits.copy()
    tied[0, 1] = tied[0, 0] - 5e-5
    turned = tied.copy()
    turned[0, 1] = tied[0, 0] + 3e-5
    for somebodys in (True, False):
        one = replace(reference, logits=tied, by_magnitude=somebodys)
        (row, *_) = comparison.compare("onnx", "fp32", one, answering(one, digits=turned))
        assert row.flips == 1
        assert row.passed == somebodys
