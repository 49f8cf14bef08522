"""Where the numbers of the classes are in what a model returns, and what `--output` may say of it."""

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
