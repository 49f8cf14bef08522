"""Where the numbers of the classes are in what a model returns, and what `--output` may say of it."""

from dataclasses import dataclass, replace
from typing import NamedTuple

import pytest
import torch

from edge_export.model import answer as answers
from edge_export.model.errors import ModelError


def returned(make):
    """What a model returns for two and for three pictures."""
    return {count: make(count) for count in (2, 3)}


def steps(count: int) -> torch.Tensor:
    return torch.arange(5 * count * 10, dtype=torch.float32).reshape(5, count, 10)


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (None, lambda given: given[-1]),
        (":last", lambda given: given[-1]),
        (":mean", lambda given: given.mean(0)),
        (":sum", lambda given: given.sum(0)),
        (":mean:smallest", lambda given: -given.mean(0)),
        (":smallest", lambda given: -given[-1]),
    ],
)
def test_what_is_taken_of_the_steps_can_be_told(told, expected):
    found = answers.find(returned(steps), told)
    torch.testing.assert_close(found.take(steps(4)), expected(steps(4)))
    assert answers.find(returned(steps), found.option) == found, "the option says what was taken"


def test_a_name_stands_before_it():
    def make(count):
        return {"distances": torch.ones(count, 10), "steps": steps(count).transpose(0, 1)}

    found = answers.find(returned(make), "steps:sum")
    assert (found.name, found.time, found.steps) == ("steps", 1, "sum")
    assert found.words == "its output steps, the sum of the steps of axis 1"
    assert answers.find(returned(make), "distances:smallest").smallest


def test_a_key_with_a_colon_in_it_is_a_key():
    found = answers.find(returned(lambda count: {"a:mean": torch.ones(count, 10)}), "a:mean")
    assert (found.name, found.steps) == ("a:mean", "last")


def test_another_word_is_refused_with_those_that_there_are():
    with pytest.raises(ModelError, match=r"cannot take 'largest' of an output; say one of last, mean, sum, smallest"):
        answers.find(returned(steps), ":largest")


def test_one_picture_may_have_its_answer_in_the_smallest_number():
    found = answers.find_alone(torch.arange(10.0), ":smallest", 10)
    torch.testing.assert_close(found.take(torch.arange(10.0)), -torch.arange(10.0)[None])


def test_everything_else_that_could_be_the_answer_is_listed():
    def make(count):
        return torch.ones(count, 10), steps(count), torch.ones(count, 7)

    chosen = answers.find(returned(make), None, 10)
    assert chosen.name == "0"
    assert [one.option for one in answers.others(returned(make), chosen)] == [
        "0:smallest",
        "1:last", "1:last:smallest", "1:mean", "1:mean:smallest", "1:sum", "1:sum:smallest",
    ]  # fmt: skip


class Named(NamedTuple):
    state: torch.Tensor
    numbers: torch.Tensor


@dataclass
class Fields:
    loss: torch.Tensor
    inner: dict[str, torch.Tensor]


def test_outputs_are_named_by_their_place_key_or_field():
    one = torch.ones(2, 10)
    assert set(answers.outputs(one)) == {""}
    assert set(answers.outputs([one, (one, one)])) == {"0", "1.0", "1.1"}
    assert set(answers.outputs(Named(one, one))) == {"state", "numbers"}
    assert set(answers.outputs(Fields(one, {"a": one}))) == {"loss", "inner.a"}
    assert answers.outputs("no tensor at all") == {}


def test_axes_of_size_1_go_and_the_words_say_so():
    found = answers.find(returned(lambda count: torch.ones(count, 1, 10, 1)), None)
    assert found.take(torch.ones(5, 1, 10, 1)).shape == (5, 10)
    assert found.words == "without the axes 1, 3 of size 1"
    smallest = replace(found, smallest=True)
    assert "negative, because its smallest number is the answer" in smallest.words


@pytest.mark.parametrize(
    "make",
    [
        torch.ones,
        lambda count: torch.ones(count, count),
        lambda count: torch.ones(10, count),
        lambda count: torch.ones(count, count + 5),
        lambda count: torch.ones(count, 2, 3, 4),
        lambda count: torch.ones((count, *[1] * count)),
        lambda count: "a text",
    ],
    ids=[
        "one number",
        "square",
        "classes first",
        "more with the batch",
        "four axes",
        "axes with the batch",
        "no tensor",
    ],
)
def test_what_has_no_number_for_each_class_is_no_answer(make):
    with pytest.raises(ModelError, match="where one number for each class was expected"):
        answers.find(returned(make), None)


def test_an_output_that_there_is_none_of_is_told_with_those_that_there_are():
    with pytest.raises(ModelError, match=r"there is no output 'logits'; it gives 0, 1"):
        answers.find(returned(lambda count: (torch.ones(count, 10), torch.ones(count))), "logits")
    with pytest.raises(ModelError, match=r"there is no output 'logits'; it gives \(a tensor alone\)"):
        answers.find(returned(lambda count: torch.ones(count, 10)), "logits")


def test_one_picture_without_a_number_for_each_class_has_no_answer():
    with pytest.raises(ModelError, match="no number for each class of one picture either"):
        answers.find_alone((torch.ones(3, 3), torch.ones(5, 2)), None, 10)


def test_probabilities_over_the_batch_are_told_from_those_over_the_classes():
    numbers = torch.arange(12.0).reshape(3, 4) ** 2
    assert answers.is_over_batch(numbers.softmax(0))
    assert not answers.is_over_batch(numbers.softmax(1))
    assert not answers.is_over_batch(numbers)


def test_the_kind_of_numbers_is_seen_in_their_values():
    numbers = torch.arange(12.0).reshape(3, 4)
    assert answers.kind(numbers) == "logits"
    assert answers.kind(numbers.softmax(1)) == "probabilities"
    assert answers.kind(numbers.log_softmax(1)) == "log-probabilities"
